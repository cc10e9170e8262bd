"""Arguments of the GPU kernels: tensors laid out as they read them, and the size of a program."""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from spikeneuro.ops.backend import Call
from spikeneuro.ops.state import RESETS, LIFParameters, LIFSettings
from spikeneuro.ops.triton_arrays import Layout, Shape, State
from spikeneuro.ops.triton_steps import Options

NUMBERS = ("beta", "gain", "threshold", "v_rest", "v_reset", "alpha", "rho", "kappa")
_MODES = {"none": 0, "subtract": 1, "zero": 2}
assert set(_MODES) == set(RESETS)
# Weights of one program in registers: 64 of the 128 that each of 512 threads can have.
_KEPT_BYTES = 128 * 1024
# As much again finds room in the first-level cache.
_CACHED_BYTES = 256 * 1024
_WIDE = 1 << 18  # columns from which on programs are many enough for each thread to carry four neurons


class Program(NamedTuple):
    """Shape of the programs, their number and the warps of each."""

    shape: Shape
    programs: int
    warps: int


class Plan:
    """What forward and backward pass of one call have in common."""

    def __init__(self, call: Call, like: Tensor) -> None:
        self.call, self.device = call, like.device
        self.kind = torch.float64 if like.dtype == torch.float64 else torch.float32
        self.steps, self.one = like.shape[0], like.shape[1:]
        self.features = self.one[1:]
        self.columns = self.one.numel()
        self.numbers = _numbers(call.parameters, self.features, self.kind)
        self.mask, mask_time, mask_batch = _rhythm(call.mask, self.features)
        self.layout = Layout(
            self.steps, self.columns, self.features.numel(), self.numbers.shape[1], mask_time, mask_batch,
            call.settings.refractory,
        )  # fmt: skip
        self.options = _options(call)

    def empty(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """New tensor in the dtype of the arithmetic, or another."""
        return torch.empty(shape, dtype=self.kind if dtype is None else dtype, device=self.device)

    def over_time(self) -> Tensor:
        """New tensor for all steps."""
        return self.empty(self.steps, *self.one)

    def state(self) -> State:
        """Initial state; None for a part at rest."""
        v, current, adaptation, history, pending, refractory = (
            None if part is None else part.detach().contiguous() for part in self.call.state
        )
        return State(v, current, adaptation, None if history is None else history[-1], pending, refractory)

    def program(self, itemsize: int, *, recurrent: bool) -> Program:
        """Shape of the programs for an input of so many bytes per number."""
        if recurrent:
            return _recurrent_program(self.features.numel(), self.one[0], self.kind.itemsize, self.call.delay)
        return _program(self.columns, itemsize)

    def launch(self, kernel: Any, program: Program, *arguments: Any, **constants: Any) -> None:
        """Run `kernel` over all steps; nothing to do where there is no neuron."""
        if self.columns == 0:
            return
        # The interpreter makes arrays of one element from ints, which numpy takes no more as the bound of a loop.
        rounds = np.int64(self.steps) if triton.knobs.runtime.interpret else self.steps
        with torch.cuda.device_of(self.numbers):
            kernel[(program.programs,)](
                *arguments, self.layout, rounds, opt=self.options, shape=program.shape, **constants,
                num_warps=program.warps, enable_fp_fusion=False,
            )  # fmt: skip


def surrogate_numbers(settings: LIFSettings, like: Tensor) -> Tensor:
    """Parameters of the surrogate on the device, in full precision (numbers would reach a kernel in float32)."""
    return _surrogate_numbers(settings.surrogate.parameters, like.dtype, like.device)


@lru_cache(maxsize=64)
def _surrogate_numbers(parameters: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    padded = (*parameters, *(1.0 for _ in range(4 - len(parameters))))
    return torch.tensor(padded, dtype=dtype, device=device)


def _options(call: Call) -> Options:
    settings = call.settings
    masked = call.mask is not None
    return Options(
        mode=_MODES[settings.reset],
        late=settings.delayed,
        detach=settings.detach_reset,
        inclusive=settings.comparison == ">=",
        discards=settings.zero_discards_input,
        synapse=call.parameters.alpha is not None,
        adapts=call.adapts,
        masked=masked,
        refractory=settings.refractory > 0,
        integrates=settings.refractory_integrates,
        preserves=settings.preserve_reset and masked and settings.delayed,
        code=settings.surrogate.code,
    )


def _numbers(parameters: LIFParameters, features: torch.Size, kind: torch.dtype) -> Tensor:
    """The eight numbers as rows, with one column where all are shared and one for each feature elsewhere."""
    absent = parameters.beta.new_zeros(())
    given = [getattr(parameters, name) for name in NUMBERS]
    tensors = [(absent if tensor is None else tensor.detach()).to(kind) for tensor in given]
    if all(tensor.numel() == 1 for tensor in tensors):
        return torch.stack([tensor.reshape(1) for tensor in tensors])
    return torch.stack([tensor.expand(features).reshape(-1) for tensor in tensors])


def _rhythm(mask: Tensor | None, features: torch.Size) -> tuple[Tensor | None, int, int]:
    """Mask as bytes (1 or time, 1 or batch, features), with the elements between its steps and samples."""
    if mask is None:
        return None, 0, 0
    on = (mask != 0).view(torch.uint8)
    on = on.reshape((1,) * (2 + len(features) - on.dim()) + on.shape)
    steps, batch = on.shape[:2]
    on = on.expand(steps, batch, *features).contiguous()
    n = features.numel()
    return on, batch * n if steps > 1 else 0, n if batch > 1 else 0


def _program(columns: int, itemsize: int) -> Program:
    """Blocks of columns for feed-forward neurons.

    A thread loads 4 bytes at least (fewer cannot run ahead) and 16 where there are neurons enough; where there are few,
    loads run further ahead instead, so that about as many bytes are under way. Four neurons at most, because the
    potential of a 16-bit input is stored in 32 bits.
    """
    wide = columns >= _WIDE
    per_thread = min(4, max(1, (16 if wide else 4) // itemsize))
    block = min(128 * per_thread, max(32 * per_thread, triton.next_power_of_2(columns)))
    shape = Shape(block=block, stages=4 if wide else 8, delay=-1, kept=0, tile=0)
    return Program(shape, math.ceil(columns / block), block // (32 * per_thread))


def _recurrent_program(neurons: int, batch: int, itemsize: int, delay: int) -> Program:
    """One sample with all its neurons."""
    block = max(16, triton.next_power_of_2(neurons))
    kept = min(block, _KEPT_BYTES // (block * itemsize)) if block * block * itemsize <= _CACHED_BYTES else 0
    tile = max(1, 2048 // block)
    warps = min(16, max(4, kept * block * itemsize // 8192, block // 64))
    # Reading back what an earlier step wrote forbids loads that run ahead, an inner loop over weights hinders them.
    return Program(Shape(block, 1 if delay or kept < block else 4, delay, kept, tile), batch, warps)
