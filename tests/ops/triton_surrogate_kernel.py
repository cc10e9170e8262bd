"""A kernel that is nothing but the surrogate's derivative; a file of its own, since Triton reads the source.

As a program, ``python triton_surrogate_kernel.py TASK IN OUT``: for each case of the JSON in IN (code, parameters,
dtype) the derivative at x on the device TASK (``cpu`` with the interpreter, ``cuda``), or the machine code for a GPU
that need not be there (``compile``), written to OUT. The tests run it so because Triton decides at its import, once per
process, whether kernels are interpreted.
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


def run(case: dict, x: list[float], device: str) -> list[float]:
    values = torch.tensor(x, dtype=getattr(torch, case["dtype"]), device=device)
    out = torch.empty_like(values)
    # What the surrogate does not have must not be looked at.
    parameters = [*case["parameters"], *[float("nan")] * (4 - len(case["parameters"]))]
    gradient_kernel[(triton.cdiv(len(x), 256),)](values, out, len(x), case["code"], *parameters, block=256)
    return out.double().tolist()


def assembly(case: dict) -> str:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kind = {"float32": "fp32", "float64": "fp64"}[case["dtype"]]
    types = {"x": f"*{kind}", "out": f"*{kind}", "n": "i32", "code": "constexpr", "block": "constexpr"}
    types |= {f"p{i}": "fp32" for i in range(4)}
    source = ASTSource(gradient_kernel, types, {"code": case["code"], "block": 256})
    try:
        return triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]
    except triton.CompilationError as error:
        return repr(error.__cause__ or error)


if __name__ == "__main__":
    task, source, target = sys.argv[1:]
    job = json.loads(Path(source).read_text())
    results = [assembly(case) if task == "compile" else run(case, job["x"], task) for case in job["cases"]]
    Path(target).write_text(json.dumps(results))
