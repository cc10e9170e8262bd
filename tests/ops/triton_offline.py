"""Compile the kernels for a GPU that need not be there: ``python triton_offline.py OUT NAME ...``.

The interpreter does not see what only the compiler refuses (types that change in a loop, shapes that are no power of
two). Writes for each layout of `LAYOUTS` and kernel what its machine code shows.
"""

import json
import sys
from pathlib import Path

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from spikeneuro.ops import LIFParameters, LIFSettings, LIFState, triton_backend
from spikeneuro.ops.backend import Call, Gradients, Saved

LAYOUTS = {
    "plain": {"neurons": 4096},
    "few": {"neurons": 128},
    "bfloat16": {"neurons": 4096, "dtype": torch.bfloat16},
    "everything": {
        "neurons": 4096, "own": ("alpha", "rho", "kappa"), "masked": True, "learns": True,
        "settings": LIFSettings("zero", "next_step", refractory=2, refractory_integrates=False, preserve_reset=True),
    },
    "discards": {
        "neurons": 128, "own": ("alpha",), "learns": True, "dtype": torch.float64,
        "settings": LIFSettings("zero", "next_step", zero_discards_input=True, comparison=">="),
    },
    "recurrent": {"neurons": 128, "delay": 0},
    "wide": {"neurons": 256, "delay": 0, "own": ("rho", "kappa"), "learns": True},
    "delayed": {"neurons": 300, "delay": 2, "own": ("alpha",), "masked": True, "learns": True},
    "tiny": {"neurons": 3, "delay": 1, "dtype": torch.bfloat16},
    # Extents of 1 are constants to the compiler.
    "one": {"steps": 1, "batch": 1, "neurons": 1, "own": ("alpha", "rho", "kappa"), "masked": True, "learns": True},
    "one-delayed": {"steps": 1, "batch": 1, "neurons": 1, "delay": 1, "masked": True, "learns": True},
}  # fmt: skip


class Offline:
    """What the compiler asks of a driver: the target is a Hopper GPU."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, _):
        return 0


def compiled(
    neurons: int, steps: int = 8, batch: int = 64, delay: int = -1, own: tuple[str, ...] = (), masked: bool = False,
    learns: bool = False,
    dtype: torch.dtype = torch.float32, settings: LIFSettings | None = None,
) -> dict:  # fmt: skip
    """Kernels of one forward and backward pass, by name."""
    made, run = {}, JITFunction.run

    def only_compile(self, *arguments, **options):
        made[self.__name__] = run(self, *arguments, **(options | {"warmup": True}))

    JITFunction.run = only_compile
    numbers = {name: torch.ones(neurons, dtype=dtype)
               for name in ("beta", "gain", "threshold", "v_rest", "v_reset", *own)}  # fmt: skip
    if delay >= 0:
        numbers["weight"] = torch.zeros(neurons, neurons, dtype=dtype)
    x = torch.zeros(steps, batch, neurons, dtype=dtype)
    call = Call(
        x, LIFParameters(**numbers), torch.ones(steps, 1, neurons) if masked else None, LIFState(),
        LIFSettings() if settings is None else settings, max(delay, 0), True, learns, "rho" in own, "triton",
    )  # fmt: skip
    output = triton_backend.forward(call)
    wanted = [True, *(learns and name in numbers for name in LIFParameters._fields), *(False for _ in range(6))]
    gradients = Gradients(torch.zeros_like(x), *(None for _ in range(8)))
    triton_backend.backward(
        gradients, Saved(output.potential, output.spikes, output.current, output.adaptation), call, wanted
    )
    JITFunction.run = run
    return made


def traits(kernel) -> dict:
    code = kernel.asm["ptx"]
    return {
        "fused multiply-adds": code.count("fma.rn"),
        "loads ahead": code.count("cp.async.ca.shared") + code.count("cp.async.cg.shared"),
        "wide loads ahead": code.count("cp.async.cg.shared"),
        "shared memory": kernel.metadata.shared,
    }


if __name__ == "__main__":
    target, *names = sys.argv[1:]
    driver.set_active(Offline())
    found = {name: {kernel: traits(code) for kernel, code in compiled(**LAYOUTS[name]).items()} for name in names}
    Path(target).write_text(json.dumps(found))
