r"""Speed of the neuron layers against memory and the other libraries, and the bars they are held to, in one run.

    python benchmarks/speed/run.py [--threads 2] [--repeats 15] [--only CASE ...] [--csv FILE] \
        [--plot FILE] [--md FILE]

The peers come with the `test` extra; one that is not installed is named, and its bars stay unmeasured. The committed
result is that of

    python benchmarks/speed/run.py --csv benchmarks/speed/results.csv --plot benchmarks/speed/speed.png \
        --md benchmarks/speed/RESULTS.md

on an otherwise idle machine.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collected import Collected

FAMILIES = ("lif", "heterogeneous", "training", "recurrent", "rhythm", "growth", "first-call")


def main() -> int:
    options = _options()
    # Before torch and numba are imported, which read them once.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    import torch
    from collected import Collected
    from timing import DisagreementError
    from written import as_csv, as_markdown, as_text

    from spikeneuro._files import write_atomic
    from spikeneuro.errors import InputError

    torch.set_num_threads(options.threads)
    collected = Collected(options.threads, "python " + shlex.join(sys.argv), tiny=options.tiny)
    print(f"{collected.made_with()}\n{collected.circumstances()}")
    for name in dict.fromkeys(options.only or FAMILIES):
        try:
            for line in _measure(name, options, collected):
                print(line, flush=True)
        except (DisagreementError, InputError) as error:
            # The other cases stay worth measuring; the page and the exit status tell that this one is not whole.
            collected.failures.append(f"{name}: {error}")
            print(collected.failures[-1], file=sys.stderr)
    print(as_text(collected))
    if options.csv:
        write_atomic(options.csv, as_csv(collected))
    if options.plot:
        from plot import draw

        draw(collected, options.plot)
    if options.md:
        picture = os.path.relpath(options.plot, options.md.parent) if options.plot else None
        table = os.path.relpath(options.csv, options.md.parent) if options.csv else None
        write_atomic(options.md, as_markdown(collected, picture, table))
    return 1 if collected.failures else 0


def _measure(name: str, options: argparse.Namespace, collected: "Collected") -> Iterator[str]:
    """Measure one family into `collected`, and give its lines as they come."""
    import feed_forward
    import first_call
    import growth
    import recurrent
    import rhythm
    import training_step
    from written import case_lines

    tiny, backend = options.tiny, options.backend
    wide = feed_forward.TINY if tiny else feed_forward.Size()
    looped = recurrent.TINY if tiny else recurrent.Size()
    if name == "growth":
        collected.add_growth(*growth.measure(wide, backend, options.repeats))
    elif name == "first-call":
        collected.timings += first_call.measure(backend, options.threads)
    else:
        # Each makes its tensors when it is called, so that those of one family are gone before the next begins.
        makers = {
            "lif": lambda: [feed_forward.case_lif(wide, backend)],
            "heterogeneous": lambda: [feed_forward.case_heterogeneous(wide, backend)],
            "training": lambda: training_step.cases(backend, tiny=tiny),
            "recurrent": lambda: recurrent.cases(looped, backend),
            "rhythm": lambda: rhythm.cases(looped, wide, backend),
        }
        for case in makers[name]():
            collected.run(case, options.repeats)
            yield from case_lines(collected, case.name)
        return
    note = {"growth": growth.NOTE, "first-call": first_call.NOTE}[name]
    for case in dict.fromkeys(timing.case for timing in collected.timings if timing.family == name):
        collected.notes[case] = note
        yield from case_lines(collected, case)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=_positive, default=2)
    parser.add_argument("--repeats", type=_positive, default=15, help="timed calls each; slow contenders get fewer")
    parser.add_argument("--only", nargs="+", choices=FAMILIES, metavar="CASE", help=f"some of {', '.join(FAMILIES)}")
    parser.add_argument("--backend", default="numba", help="ours; 'numba' refuses what it cannot do, 'auto' gives way")
    parser.add_argument("--tiny", action="store_true", help="sizes to try the command with; the bars mean nothing then")
    parser.add_argument("--csv", type=Path, help="write every timing there")
    parser.add_argument("--plot", type=Path, help="draw the ratios and the growth there (PNG or SVG)")
    parser.add_argument("--md", type=Path, help="write bars, tables and the picture there")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
