"""A kernel that is nothing but the surrogate's derivative; a file of its own, since Triton reads the source.

As a program, ``python triton_surrogate_kernel.py DEVICE IN OUT``: for each row of the JSON in IN (code, parameters,
dtype) the derivative at x, written to OUT. The test runs it so because Triton decides at its import, once per process,
whether kernels are interpreted.
"""

import json
import sys
from pathlib import Path

import torch
import triton
import triton.language as tl

from spikeneuro.ops.triton_surrogates import surrogate_gradient


@triton.jit
def gradient_kernel(x, out, n, code: tl.constexpr, p0, p1, p2, p3, block: tl.constexpr):
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < n
    y = surrogate_gradient(tl.load(x + place, mask=inside), code, p0, p1, p2, p3)
    tl.static_assert(y.dtype == out.dtype.element_ty)
    tl.store(out + place, y, mask=inside)


def run(device: str, job: dict) -> list[list[float]]:
    results = []
    for case in job["cases"]:
        x = torch.tensor(job["x"], dtype=getattr(torch, case["dtype"]), device=device)
        out = torch.empty_like(x)
        parameters = [*case["parameters"], *[float("nan")] * (4 - len(case["parameters"]))]
        gradient_kernel[(triton.cdiv(len(x), 256),)](x, out, len(x), case["code"], *parameters, block=256)
        results.append(out.double().tolist())
    return results


if __name__ == "__main__":
    device, source, target = sys.argv[1:]
    Path(target).write_text(json.dumps(run(device, json.loads(Path(source).read_text()))))
