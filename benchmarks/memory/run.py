"""Memory of training: predicted, held by tensors, and resident in a fresh process.

    python benchmarks/memory/run.py [--csv FILE] [--md FILE] [--quick]

Method. Each case is one network and one batch; its process is new. After a training step on a tiny batch (libraries,
compiled kernels, caches), what is free goes back to the system and the high-water mark of resident memory is reset
(Linux: /proc/self/clear_refs). Two training steps with AdamW and an evaluation of the batch follow. "resident" is how
far the mark rose, "counted" the most that tensors held, "predicted" what `training.predict_memory` says, all without
what is there before the steps. The allocator of the C library keeps freed blocks up to 32 MiB for later: the table has
the resident memory with that default, and with MALLOC_MMAP_THRESHOLD_=65536, which returns larger blocks at once. What
the recurrent kernel of oneDNN allocates and never touches (lstm) is counted but not resident.

Then memory of a recurrent network over the number of steps, plain and recomputed, with the slope of its logarithm, and
what recomputation costs in time.
"""

import argparse
import copy
import csv
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from spikeneuro import models
from spikeneuro.ops import buffers
from spikeneuro.training.memory import Step, follow, predict_memory

SFREQ, CHANNELS, CLASSES = 128.0, 8, 3
#: Name, hyperparameters, batch, times.
CASES = (
    ("recurrent-snn", {"norm": "layer"}, 128, 256),
    ("recurrent-snn", {"norm": "layer"}, 256, 512),
    ("recurrent-snn", {"norm": "batch", "n_layers": 2, "hidden": 128}, 128, 256),
    ("recurrent-snn", {"norm": "layer", "recompute": "sqrt"}, 512, 1000),
    ("recurrent-snn", {"norm": "layer", "recompute": "sqrt", "readout": "leaky", "n_layers": 2}, 256, 2000),
    ("spiking-eegnet", {}, 256, 512),
    ("spiking-eegnet", {}, 512, 512),
    ("cnn1d", {}, 128, 256),
    ("cnn1d", {}, 256, 512),
    ("lstm", {}, 128, 256),
    ("lstm", {"n_layers": 2, "hidden": 128}, 128, 512),
)
QUICK = (0, 3, 6, 8, 10)
MEGABYTES = ("predicted_mb", "counted_mb", "resident_mb", "resident_default_mb")
RATIOS = {"predicted_by_counted": "predicted / counted", "predicted_by_resident": "predicted / resident"}
#: The recurrent network of the second table, and its option `recompute`.
KINDS = {"plain": None, "recomputed": "sqrt"}

_HEAD = """# Memory of training

Written by `benchmarks/memory/run.py`; not edited by hand.

Two training steps with AdamW and an evaluation, without what is there before them. *Predicted*: by
`training.predict_memory`, before the run. *Counted*: the most that tensors held. *Resident*: how far the high-water
mark of a new process rose, with `MALLOC_MMAP_THRESHOLD_=65536`, which gives freed blocks back at once; beside it by
default, where the C library keeps freed blocks up to 32 MiB for later. Of an LSTM, tensors hold a workspace that the
CPU library allocates and never touches, so less is resident than predicted.
"""
_GROWTH = """A recurrent network of 128 neurons, batch of 32: what must be kept for the backward pass, as predicted, and
the median time of a training step, with `recompute="sqrt"` and without."""


def network(name: str, options: dict, times: int) -> torch.nn.Module:
    return models.create(name, n_chans=CHANNELS, n_times=times, n_outputs=CLASSES, sfreq=SFREQ, **options)


def step(module: torch.nn.Module, shape: tuple[int, ...]) -> Step:
    return Step(module, shape, torch.Tensor.mean, torch.optim.AdamW)


def status(key: str) -> int:
    """A number of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise KeyError(key)


def resident(name: str, options: dict, batch: int, times: int) -> int:
    """How far resident memory rises in two training steps and an evaluation, in this process."""
    module = network(name, options, times)
    train(copy.deepcopy(module), torch.randn(2, CHANNELS, times))
    x = torch.randn(batch, CHANNELS, times)
    buffers.set_limit(0)
    buffers.set_limit(2**30)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    train(module, x)
    return status("VmHWM") - before


def train(module: torch.nn.Module, x: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(module.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        module(x).mean().backward()
        optimizer.step()
    module.eval()
    with torch.no_grad():
        module(x)


def in_fresh_process(case: tuple, **environment: str) -> int:
    """`resident` of a case in a process of its own."""
    command = [sys.executable, __file__, "--resident", json.dumps(case)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr.strip()[-800:]}")
    return int(done.stdout.split()[-1])


def measured(case: tuple) -> dict[str, object]:
    """One row of the table."""
    name, options, batch, times = case
    shape = (batch, CHANNELS, times)
    module = network(name, options, times)
    predicted = predict_memory(module, shape)
    counted = follow(step(copy.deepcopy(module), shape))
    there = predicted.parameters + predicted.inputs
    rise = predicted.peak - there
    back_at_once = in_fresh_process(case, MALLOC_MMAP_THRESHOLD_="65536")
    default = in_fresh_process(case)
    return {
        "model": name, "options": " ".join(f"{key}={value}" for key, value in options.items()), "batch": batch,
        "times": times, "predicted_mb": rise / 1e6, "counted_mb": (counted.peak - there) / 1e6,
        "resident_mb": back_at_once / 1e6, "resident_default_mb": default / 1e6,
        "predicted_by_counted": rise / (counted.peak - there), "predicted_by_resident": rise / back_at_once,
    }  # fmt: skip


def growth(quick: bool) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Predicted memory over the number of steps and the price of recomputation, and slopes over the logarithms."""
    sizes = (100, 200, 400) if quick else (100, 200, 400, 800, 1600, 3200)
    rows = []
    for times in sizes:
        row: dict[str, float] = {"times": times}
        for kind, recompute in KINDS.items():
            module = network("recurrent-snn", {"norm": "layer", "hidden": 128, "recompute": recompute}, times)
            row[f"{kind}_mb"] = predict_memory(module, (32, CHANNELS, times)).activations / 1e6
            row[f"{kind}_ms"] = milliseconds(module, torch.randn(32, CHANNELS, times))
        rows.append(row)
    held = {kind: [row[f"{kind}_mb"] for row in rows] for kind in KINDS}
    return rows, {kind: float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) for kind, values in held.items()}


def milliseconds(module: torch.nn.Module, x: torch.Tensor, repeats: int = 5) -> float:
    """Median time of a training step."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        module(x).mean().backward()
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken[1:])


def page(rows: list[dict[str, object]], grown: list[dict[str, float]], slopes: dict[str, float]) -> str:
    """The Markdown page."""
    lines = [_HEAD, f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()} Linux.", ""]
    sizes = ("predicted", "counted", "resident", "resident by default")
    heads = ["network", "batch x times", *(f"{size} (MB)" for size in sizes), *RATIOS.values()]
    lines += [f"| {' | '.join(heads)} |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for row in rows:
        values = [f"{row[key]:.1f}" for key in MEGABYTES] + [f"{row[key]:.2f}" for key in RATIOS]
        lines.append(f"| {row['model']} {row['options']} | {row['batch']} x {row['times']} | {' | '.join(values)} |")
    lines += ["", "## Over the number of steps", "", _GROWTH, ""]
    lines += ["| steps | plain (MB) | recomputed (MB) | plain (ms) | recomputed (ms) |", "|--:|--:|--:|--:|--:|"]
    for row in grown:
        values = " | ".join(f"{row[f'{kind}_{unit}']:.1f}" for unit in ("mb", "ms") for kind in KINDS)
        lines.append(f"| {row['times']} | {values} |")
    slope = ", ".join(f"{kind} {value:.2f}" for kind, value in slopes.items())
    return "\n".join([*lines, "", f"Slope of log memory over log steps: {slope}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="write the table of networks there")
    parser.add_argument("--md", type=Path, help="write the page there")
    parser.add_argument("--quick", action="store_true", help="fewer cases")
    parser.add_argument("--resident", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resident:
        print(resident(*json.loads(options.resident)))
        return
    rows = []
    for case in [CASES[index] for index in QUICK] if options.quick else CASES:
        rows.append(measured(case))
        print(" ".join(f"{value:.2f}" if isinstance(value, float) else str(value) for value in rows[-1].values()))
    text = page(rows, *growth(options.quick))
    print(text)
    if options.md:
        options.md.write_text(text)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
                for row in rows
            )


if __name__ == "__main__":
    main()
