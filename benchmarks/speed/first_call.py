"""What the first call costs: compiled anew with an empty cache on disk, read from it, and once it is in memory."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from timing import Timing

NOTE = "Forward and backward in a new process; the first call imports the compiler too."
CASES = {
    "plain LIF": {},
    "heterogeneous, adaptive": {"tau_mem": "spread", "adapts": True},
    "recurrent": {"recurrent": True},
}
_PROGRAM = """
import json, sys, time
import torch
start = time.perf_counter()
from spikeneuro import nn, ops
imported = time.perf_counter() - start
torch.set_num_threads(int(sys.argv[2]))
options, found = json.loads(sys.argv[1]), {}
backend = options.pop("backend")
x = torch.rand(10, 4, 16, requires_grad=True)
settings = {"backend": backend}
if options.pop("tau_mem", None):
    settings |= {"tau_mem": nn.heterogeneity.LogSpaced(0.01, 0.1), "learn": "tau_mem"}
if options.pop("adapts", None):
    settings |= {"tau_adapt": 0.1, "kappa": 1.6}
layer = nn.RecurrentLIF(16, **settings) if options.pop("recurrent", None) else nn.LIF(16, **settings)
assert not options
times = []
for _ in range(2):
    start = time.perf_counter()
    layer(x).sum().backward()
    times.append(time.perf_counter() - start)
print(json.dumps([imported, *times]))
"""


def measure(backend: str, threads: int) -> list[Timing]:
    """Forward and backward of tiny layers in new processes; one call each, so no quartiles."""
    timings = []
    for name, options in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            empty = _run(options, backend, threads, folder)
            kept = _run(options, backend, threads, folder)
        for what, milliseconds in (
            ("first call, empty cache", empty[1]),
            ("first call, kernels on disk", kept[1]),
            ("second call", kept[2]),
            ("import of spikeneuro.nn after torch", kept[0]),
        ):
            timings.append(
                Timing("first-call", f"first call: {name}", "T 10, B 4, N 16", what, "ours", *(3 * [milliseconds]), 1)
            )
    return timings


def _run(options: Mapping[str, object], backend: str, threads: int, cache: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps({**options, "backend": backend}), str(threads)],
        env={**os.environ, "NUMBA_CACHE_DIR": cache}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the process of the first call failed: {done.stderr.strip().splitlines()[-1]}")
    return [1e3 * seconds for seconds in json.loads(done.stdout)]
