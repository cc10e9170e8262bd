"""The fused CPU backend: from tensors to the compiled kernels and back.

Importing this module imports numba; `spikeneuro.ops` does so only when a kernel is used.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro.errors import InputError
from spikeneuro.ops import buffers, numba_backward, numba_forward
from spikeneuro.ops.backend import Call, Gradients, Saved
from spikeneuro.ops.linear import weight_gradient
from spikeneuro.ops.numba_arguments import Adjoint, Choice, Flow, Kept, Layout, Numbers, Rhythm, State, Wanted
from spikeneuro.ops.numba_rhythm import rhythm
from spikeneuro.ops.state import RESETS, LIFOutput, LIFState
from spikeneuro.ops.threads import run_blocks

_MODES = {"none": 0, "subtract": 1, "zero": 2}
assert set(_MODES) == set(RESETS)
_SHORTEST, _LONGEST = 512, 2048  # columns of a piece: long enough to hide its start, short enough for the first cache
_ALIGNED = 16  # columns of which a period is a multiple, if it can, so that results may be written past the caches
_STREAMED_FROM = 2**24  # bytes of a result that a reader would not find in the caches any more
_BLOCK = 16384  # columns that a thread carries through time: their state fits the second-level cache


def forward(call: Call) -> LIFOutput:
    """Run the compiled forward kernel; see `spikeneuro.ops.backend`."""
    x = call.x
    assert x is not None
    plan = _Plan(call, x)
    shape = tuple(x.shape)
    s, u = (buffers.empty(shape, plan.kind) for _ in range(2))
    currents = buffers.empty(shape, plan.kind) if call.keep_current else plan.no_rows()
    adaptations = buffers.empty(shape, plan.kind) if call.keep_adaptation and call.adapts else plan.no_rows()
    state = plan.state()
    run_blocks(
        numba_forward.forward, plan.pieces, plan.layout, plan.choice, plan.numbers(transposed=True), plan.rhythm,
        plan.over_time(x), state, *(plan.flat(array) for array in (s, u, currents, adaptations)), work=plan.work,
    )  # fmt: skip
    spikes = torch.from_numpy(s)
    return LIFOutput(
        spikes,
        torch.from_numpy(u),
        LIFState(
            v=plan.one(state.v),
            current=plan.one(state.current) if call.parameters.alpha is not None else None,
            adaptation=plan.one(state.adaptation) if call.adapts else None,
            history=_last(spikes, state.history, call.history_steps),
            pending=plan.one(state.pending) if call.settings.delayed else None,
            refractory=plan.one(state.refractory) if call.settings.refractory else None,
        ),
        torch.from_numpy(currents) if call.keep_current else None,
        torch.from_numpy(adaptations) if call.keep_adaptation and call.adapts else None,
    )


def backward(gradients: Gradients, saved: Saved, call: Call, wanted: Sequence[bool]) -> list[Tensor]:
    """Run the compiled backward kernel; see `spikeneuro.ops.backend`."""
    like = saved.potential
    plan = _Plan(call, like)
    kept = _kept(plan, saved, call, wanted)
    start = plan.state()
    adjoint = _adjoint(plan, gradients, call)
    flow = Flow(
        plan.flow(gradients.spikes), plan.flow(gradients.potential), plan.flow(gradients.currents),
        plan.flow(gradients.adaptations), gradients.potential is not None, gradients.currents is not None,
    )  # fmt: skip
    gx = buffers.empty(tuple(like.shape), plan.kind)
    asked = Wanted(*wanted[1:9])
    learns = any(asked) or call.adapts
    g_numbers = buffers.rows(8, plan.columns if learns else 0, plan.kind)
    surrogate = call.settings.surrogate
    run_blocks(
        numba_backward.backward, plan.pieces, plan.layout, plan.choice, surrogate.code,
        np.asarray(surrogate.parameters, plan.kind), plan.numbers(transposed=False), plan.rhythm, kept, start, flow,
        adjoint, asked, plan.flat(gx), g_numbers, work=plan.work,
    )  # fmt: skip
    g_input = torch.from_numpy(gx)
    history = _history_gradient(plan, adjoint, call)
    weight, bias = _recurrent_gradients(g_input, saved, call, wanted)
    found = [
        g_input, *_sum_numbers(g_numbers, plan, call, asked, adjoint.v), weight, bias,
        plan.one(adjoint.v), plan.one(adjoint.current), plan.one(adjoint.adaptation), history,
        plan.one(adjoint.pending), None,
    ]  # fmt: skip
    return [grad if want and grad is not None else like.new_empty(0) for grad, want in zip(found, wanted, strict=True)]


class _Plan:
    """Layout of one call, and its tensors as the kernels take them."""

    def __init__(self, call: Call, like: Tensor) -> None:
        self.call, settings = call, call.settings
        self.shape, self.features = like.shape, like.shape[2:]
        self.kind = like.detach().new_empty(0).numpy().dtype
        self.columns = self.shape[1:].numel()
        self.no_weight = np.empty((0, 0), self.kind)
        self.work = like.numel() * (self.features.numel() if call.recurrent else 1)
        late, masked = settings.delayed, call.mask is not None
        sweeps = settings.refractory > 0 or (late and masked)
        self.layout = self._recurrent_layout() if call.recurrent else self._layout()
        if sweeps:
            self.layout = self.layout._replace(block=1)
        per_row = -(-self.layout.period // self.layout.width)
        self.pieces = -(-self.columns // self.layout.period) * per_row
        self.choice = Choice(
            _MODES[settings.reset], late, settings.detach_reset, settings.comparison == ">=",
            settings.zero_discards_input, settings.refractory, settings.refractory_integrates, settings.preserve_reset,
            call.parameters.alpha is not None, call.adapts, masked, call.keep_potential, call.recurrent, call.delay,
        )  # fmt: skip
        self.rhythm: Rhythm = rhythm(call.mask, self.shape, self.layout, self.kind)

    def _layout(self) -> Layout:
        n = max(self.features.numel(), 1)
        times = -(-_SHORTEST // n)
        whole = _up_to_multiple(times, _ALIGNED // math.gcd(n, _ALIGNED))
        period = n * (whole if n * whole <= 2 * _LONGEST else times)
        width = min(period, _LONGEST)
        return Layout(period, width, max(_BLOCK // width, 1), _STREAMED_FROM)

    def _recurrent_layout(self) -> Layout:
        """Pieces of whole samples: four or more, which share each read of the weights, but one for each thread."""
        n, batch = max(self.features.numel(), 1), max(self.shape[1], 1)
        most = -(-batch // torch.get_num_threads())
        samples = min(max(4, _SHORTEST // n), most)
        whole = _up_to_multiple(samples, _ALIGNED // math.gcd(n, _ALIGNED))
        period = n * (whole if whole <= most else samples)
        return Layout(period, period, max(_BLOCK // period, 1), _STREAMED_FROM)

    def numbers(self, *, transposed: bool) -> Numbers:
        """Parameters spread over the features and repeated over the period."""
        p = self.call.parameters
        period = self.layout.period
        rows = buffers.rows(9, period, self.kind)[:, :period]
        for row, tensor in zip(rows, (*p[:8], p.bias), strict=True):
            if tensor is not None and self.columns:
                row.reshape(-1, *self.features)[...] = tensor.detach().numpy()
        weight = self.no_weight if p.weight is None else _array(p.weight.t() if transposed else p.weight)
        beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa, bias = rows
        return Numbers(beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa, weight, bias)

    def state(self) -> State:
        """Own copy of the state, which the kernels move on."""
        call, state = self.call, self.call.state
        fill = call.parameters.v_rest
        history = np.zeros((max(call.history_steps, 1), self.columns), self.kind)
        if state.history is not None:
            history[...] = _array(state.history).reshape(history.shape)
        v = fill if state.v is None else state.v
        v_now, current, adaptation, pending, refractory = self.parts(
            v, state.current, state.adaptation, state.pending, state.refractory
        )
        return State(v_now, current, adaptation, pending, refractory, history)

    def parts(self, *tensors: Tensor | None) -> list[NDArray[Any]]:
        """Own copies of parts of the state, (columns,) each; zero where there is none."""
        block = buffers.rows(len(tensors), self.columns, self.kind)[:, : self.columns]
        for row, tensor in zip(block, tensors, strict=True):
            if tensor is not None:
                row.reshape(tuple(self.shape[1:]))[...] = tensor.detach().numpy()
        return list(block)

    def one(self, part: NDArray[Any]) -> Tensor:
        """Part of the state as a tensor of its own."""
        return torch.from_numpy(part.reshape(tuple(self.shape[1:])).copy())

    def flat(self, array: NDArray[Any]) -> NDArray[Any]:
        """Array over time with one axis for batch and features."""
        return array.reshape(len(array), self.columns)

    def over_time(self, tensor: Tensor) -> NDArray[Any]:
        """Tensor over time with one axis for batch and features, copied only where it is not contiguous."""
        return self.flat(_array(tensor))

    def no_rows(self) -> NDArray[Any]:
        """Stand-in for an array over time that is not there."""
        return np.empty((0, self.columns), self.kind)

    def flow(self, gradient: Tensor | None) -> NDArray[Any]:
        """Gradient over time: all steps, or one row where it is constant in time or absent."""
        if gradient is None:
            return np.zeros((1, self.columns), self.kind)
        if gradient.shape[0] > 1 and gradient.stride(0) == 0:
            gradient = gradient[:1]
        return self.over_time(gradient)


def _up_to_multiple(number: int, of: int) -> int:
    """Smallest multiple of `of` that is not below `number`."""
    return of * -(-number // of)


def _kept(plan: _Plan, saved: Saved, call: Call, wanted: Sequence[bool]) -> Kept:
    """What the forward pass left, and whether it is enough."""
    # Without a synapse and recurrence the current is the input.
    current = (
        saved.currents if saved.currents is not None or call.recurrent or call.parameters.alpha is not None else call.x
    )
    needed = wanted[2] or wanted[6] or call.settings.zero_discards_input
    if needed and current is None:
        raise InputError("the gradients of alpha and gain need keep_current=True; spikeneuro.ops.lif sets it.")
    if call.adapts and saved.adaptations is None:
        raise InputError("gradients of adapting neurons need keep_adaptation=True; spikeneuro.ops.lif sets it.")
    return Kept(
        plan.over_time(saved.potential),
        *(
            plan.no_rows() if tensor is None else plan.over_time(tensor)
            for tensor in (saved.spikes, current if needed else None, saved.adaptations)
        ),
    )


def _adjoint(plan: _Plan, gradients: Gradients, call: Call) -> Adjoint:
    """Gradients of the final state, where the backward pass begins."""
    steps = plan.shape[0]
    history = np.zeros((max(call.history_steps, 1), plan.columns), plan.kind)
    v, current, adaptation, pending, before = plan.parts(
        gradients.v, gradients.current, gradients.adaptation, gradients.pending, None
    )
    if gradients.history is not None:
        given = _array(gradients.history).reshape(history.shape)
        if call.recurrent:
            # The spikes of time t have their place at t modulo the length.
            history[(np.arange(len(given)) + steps) % len(given)] = given
        else:
            before[:] = given[0]
    return Adjoint(v, current, adaptation, pending, before, history)


def _history_gradient(plan: _Plan, adjoint: Adjoint, call: Call) -> Tensor | None:
    """Gradient of the spikes before the first step."""
    if not call.history_steps:
        return None
    found = adjoint.history if call.recurrent else np.zeros_like(adjoint.history)
    found[-1] += adjoint.before
    return torch.from_numpy(found.reshape(call.history_steps, *plan.shape[1:]))


def _sum_numbers(
    g_numbers: NDArray[Any], plan: _Plan, call: Call, asked: Wanted, gv: NDArray[Any]
) -> list[Tensor | None]:
    """Gradients of the eight numbers, summed over the batch and over what they were broadcast to."""
    found: list[Tensor | None] = []
    for k, (tensor, want) in enumerate(zip(call.parameters[:8], asked, strict=True)):
        if not want or tensor is None:
            found.append(None)
            continue
        row = g_numbers[k, : plan.columns]
        if k == Wanted._fields.index("v_rest") and call.state.v is None:
            row += gv  # the membrane began at rest
        total = torch.from_numpy(row).reshape(-1, *plan.features).sum(0)
        found.append(total.sum_to_size(tensor.shape).clone())
    return found


def _recurrent_gradients(
    g_input: Tensor, saved: Saved, call: Call, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of recurrent weights and bias: that of the input is that of the current's drive."""
    if not call.recurrent:
        return None, None
    n, steps, weight, bias = g_input.shape[-1], g_input.shape[0], None, None
    if wanted[9]:
        assert saved.spikes is not None
        first, late = call.delay + 1, max(steps - call.delay - 1, 0)
        weight = weight_gradient(g_input[first:].reshape(-1, n), saved.spikes[:late].reshape(-1, n))
        if call.state.history is not None:
            early = min(first, steps)
            weight = weight + g_input[:early].reshape(-1, n).t() @ call.state.history[:early].reshape(-1, n)
    if wanted[10] and call.parameters.bias is not None:
        bias = g_input.sum((0, 1)).sum_to_size(call.parameters.bias.shape)
    return weight, bias


def _last(spikes: Tensor, before: NDArray[Any], steps: int) -> Tensor | None:
    """Spikes of the last steps, those before the first where there are not enough."""
    if not steps:
        return None
    if len(spikes) >= steps:
        return spikes[len(spikes) - steps :].clone()
    kept = torch.from_numpy(before).reshape(steps, *spikes.shape[1:])
    return torch.cat([kept[len(spikes) :], spikes])


def _array(tensor: Tensor) -> NDArray[Any]:
    """Contiguous array on the memory of `tensor`, copied only if it is not contiguous."""
    return tensor.detach().contiguous().numpy()
