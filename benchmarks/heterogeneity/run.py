r"""Memory of heterogeneous networks and of their homogeneous twins at the same firing rate, in one run.

    python benchmarks/heterogeneity/run.py [--seeds 12] [--trials 24] [--csv FILE] [--plot FILE] [--md FILE] [--tiny]
    python benchmarks/heterogeneity/run.py --read FILE [--plot FILE] [--md FILE]

The committed result is that of

    python benchmarks/heterogeneity/run.py --csv benchmarks/heterogeneity/results.csv \
        --plot benchmarks/heterogeneity/memory.png --md benchmarks/heterogeneity/RESULTS.md
"""

import argparse
import dataclasses
import os
import shlex
import sys
from pathlib import Path

import torch
from table import as_csv, as_markdown, as_text, from_csv
from twins import SIZE, TINY, WIRINGS, Row, Setting, Size, compare, tune

from spikeneuro._files import readable, write_atomic

SCALES = (0.0, 0.25, 0.5, 1.0, 2.0)


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    size = TINY if options.tiny else SIZE
    size = dataclasses.replace(size, seeds=options.seeds or size.seeds, trials=options.trials or size.trials)
    if options.read is None:
        rows = [*_sweep(size), *tune(size, print)]
    else:
        with readable(options.read):
            rows = from_csv(options.read.read_text(encoding="utf-8"))
    print(as_text(rows))
    command = "python " + shlex.join(sys.argv)
    if options.csv:
        write_atomic(options.csv, as_csv(rows))
    if options.plot:
        from picture import draw

        draw(rows, options.plot)
    if options.md:
        picture = os.path.relpath(options.plot, options.md.parent) if options.plot else None
        write_atomic(options.md, as_markdown(rows, size, command, picture))
    return 0


def _sweep(size: Size) -> list[Row]:
    rows: list[Row] = []
    for wiring in WIRINGS:
        for scale in SCALES[1:3] if size == TINY else SCALES:
            setting = Setting(wiring=wiring, recurrent_scale=scale)
            ways = ("input", "threshold") if wiring == WIRINGS[0] else ("input",)
            for way in ways:
                made = compare(setting, size, way=way)
                print(f"{wiring}, recurrent scale {scale:g}, rates matched by {way}: {len(made)} rows", flush=True)
                rows += made
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, help=f"networks of each kind, by default {SIZE.seeds}")
    parser.add_argument("--trials", type=int, help=f"settings tried for each network, by default {SIZE.trials}")
    parser.add_argument("--tiny", action="store_true", help="sizes to try the command with; the numbers mean little")
    parser.add_argument("--read", type=Path, help="measure nothing: tables and picture of a table written before")
    parser.add_argument("--csv", type=Path, help="write every measurement there")
    parser.add_argument("--plot", type=Path, help="draw the capacities there (PNG or SVG)")
    parser.add_argument("--md", type=Path, help="write tables and the picture there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
