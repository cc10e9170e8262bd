"""The GPU backend: from tensors to the Triton kernels and back.

Arithmetic and state are float64 for float64 input and float32 otherwise. For float32 and wider, all is in the dtype of
the input. For bfloat16 and float16 input, spikes and the gradient of the input are in that dtype; the potential, the
state, currents and adaptation are in float32, because the backward pass finds the spikes again from the potential.

Recurrent products are made in full precision within one program per sample, the sum over the neurons in an order of its
own: a potential within rounding of the threshold may fire here and not in the reference. Weights stay in registers (and
half of them in the first-level cache) up to 256 neurons in float32 and 128 in float64; beyond, each program reads them
from the second-level cache at every step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from spikeneuro import _optional
from spikeneuro.errors import InputError
from spikeneuro.ops.backend import Call, Gradients, Saved
from spikeneuro.ops.state import LIFOutput, LIFState

_optional.require("triton", "gpu")

from spikeneuro.ops import triton_backward, triton_forward  # noqa: E402
from spikeneuro.ops.triton_arrays import Recurrence, State, Trace  # noqa: E402
from spikeneuro.ops.triton_launch import NUMBERS, Plan, surrogate_numbers  # noqa: E402
from spikeneuro.ops.triton_steps import Learned  # noqa: E402


def forward(call: Call) -> LIFOutput:
    """Run the forward kernel; see `spikeneuro.ops.backend`."""
    assert call.x is not None
    x = call.x.detach().contiguous()
    plan, p = Plan(call, x), call.parameters
    out = Trace(
        spikes=torch.empty_like(x),
        potential=plan.over_time(),
        currents=plan.over_time() if call.keep_current else None,
        adaptations=plan.over_time() if call.keep_adaptation and call.adapts else None,
    )
    start = plan.state()
    exists = (True, p.alpha is not None, call.adapts, False, call.settings.delayed, call.settings.refractory > 0)
    end = State(*(plan.empty(*plan.one) if here else None for here in exists))
    recurrence = Recurrence(None, None, None)
    if p.weight is not None:
        recurrence = Recurrence(
            p.weight.detach().to(plan.kind).t().contiguous(),
            None if p.bias is None else p.bias.detach().to(plan.kind).contiguous(),
            None if call.state.history is None else call.state.history.detach().contiguous(),
        )
    plan.launch(
        triton_forward.forward, plan.program(x.element_size(), recurrent=call.recurrent),
        x, plan.numbers, plan.mask, recurrence, start, end, out,
    )  # fmt: skip
    history = _last_spikes(out.spikes, call)
    state = LIFState(end.v, end.current, end.adaptation, history, end.pending, end.refractory)
    return LIFOutput(out.spikes, out.potential, state, out.currents, out.adaptations)


def backward(gradients: Gradients, saved: Saved, call: Call, wanted: Sequence[bool]) -> list[Tensor]:
    """Run the backward kernel; see `spikeneuro.ops.backend`."""
    potential = saved.potential.contiguous()
    plan, kind = Plan(call, potential), call.parameters.beta.dtype
    start = plan.state()
    adaptations, flags = _rewind(plan, potential, saved, start)
    kept = Trace(None, potential, _currents(saved, call, wanted), adaptations)
    flow, stride = _flow(plan, gradients)
    history = None if gradients.history is None else gradients.history.contiguous()
    recurrence, last = Recurrence(None, None, None), _last(gradients, history, call)
    if call.parameters.weight is not None:
        recurrence = Recurrence(call.parameters.weight.detach().to(plan.kind).contiguous(), None, history)
    # A recurrent layer's is summed over in the weights, so it is in the dtype of the arithmetic.
    gx = None
    if wanted[0] or call.recurrent:
        gx = plan.empty(plan.steps, *plan.one, dtype=plan.kind if call.recurrent else kind)
    learned, rests = Learned(*wanted[1:9]), wanted[4] and call.state.v is None
    asked = (wanted[11] or rests, *wanted[12:14], wanted[14] and call.adapts, wanted[15], False)
    first = State(*(plan.empty(*plan.one) if want else None for want in asked))
    sums = plan.empty(8, plan.columns if any(learned) else 0).zero_()
    plan.launch(
        triton_backward.backward, plan.program(kind.itemsize, recurrent=call.recurrent),
        kept, flags, plan.numbers, plan.mask, surrogate_numbers(call.settings, plan.numbers), recurrence, flow, stride,
        last, start, gx, first, sums, learned=learned,
    )  # fmt: skip
    weight, bias = _weight_gradients(gx, saved, call, wanted)
    found = [
        None if gx is None else gx.to(kind), *_number_gradients(plan, sums, first.v if rests else None, wanted),
        weight, bias, first.v, first.current, first.adaptation, _history_gradient(gx, first.spikes, history, plan),
        first.pending, plan.empty(*plan.one).zero_() if wanted[16] else None,
    ]  # fmt: skip
    # Each absent gradient is a tensor of its own: torch takes no output twice.
    return [grad if want and grad is not None else plan.empty(0) for grad, want in zip(found, wanted, strict=True)]


def _last_spikes(spikes: Tensor, call: Call) -> Tensor | None:
    """Spikes of the last steps, those before the first step included where there are fewer."""
    n, steps = call.history_steps, spikes.shape[0]
    if n == 0:
        return None
    if steps >= n:
        return spikes[steps - n :].clone()
    before = call.state.history
    before = spikes.new_zeros((n, *spikes.shape[1:])) if before is None else before.to(spikes.dtype)
    return torch.cat([before[steps:], spikes])


def _rewind(plan: Plan, potential: Tensor, saved: Saved, start: State) -> tuple[Tensor | None, Tensor | None]:
    """Adaptation of every step, and what else the backward kernel cannot rebuild; None where it is not needed."""
    options, adaptations, flags = plan.options, saved.adaptations, None
    rebuilt = options.adapts and adaptations is None
    if options.refractory or options.preserves:
        flags = plan.empty(plan.steps, *plan.one, dtype=torch.int8)
    if rebuilt:
        adaptations = plan.over_time()
    if rebuilt or flags is not None:
        plan.launch(
            triton_forward.rewind, plan.program(potential.element_size(), recurrent=False),
            potential, plan.numbers, plan.mask, start, adaptations if rebuilt else None, flags,
        )  # fmt: skip
    return adaptations if options.adapts else None, flags


def _currents(saved: Saved, call: Call, wanted: Sequence[bool]) -> Tensor | None:
    """Current of every step where a gradient needs it: the input of neurons without synapse and recurrence."""
    settings = call.settings
    resets = settings.zero_discards_input and (wanted[15] or not settings.detach_reset)
    if not (wanted[2] or wanted[6] or resets):
        return None
    plain = call.parameters.alpha is None and not call.recurrent
    currents = call.x if plain and saved.currents is None else saved.currents
    if currents is None:
        raise InputError(
            "the gradients of alpha and gain, and through a reset that discards input, need keep_current=True; "
            "spikeneuro.ops.lif sets it."
        )
    return currents.contiguous()


def _flow(plan: Plan, gradients: Gradients) -> tuple[Trace, Trace]:
    """Gradients of the outputs over time, and the elements between their steps: none for one that is constant."""
    flow, stride = [], []
    for gradient in (gradients.spikes, gradients.potential, gradients.currents, gradients.adaptations):
        constant = gradient is not None and plan.steps > 0 and gradient.stride(0) == 0
        flow.append(None if gradient is None else (gradient[:1] if constant else gradient).contiguous())
        stride.append(0 if constant else plan.columns)
    return Trace(*flow), Trace(*stride)


def _last(gradients: Gradients, history: Tensor | None, call: Call) -> State:
    """Gradients of the final state; a recurrent layer's history is read step by step instead."""
    v, current, adaptation, pending = (
        None if part is None else part.contiguous()
        for part in (gradients.v, gradients.current, gradients.adaptation, gradients.pending)
    )
    return State(v, current, adaptation, None if history is None or call.recurrent else history[0], pending, None)


def _number_gradients(plan: Plan, sums: Tensor, rest: Tensor | None, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of the eight numbers, summed over the batch and over what they were broadcast to."""
    found: list[Tensor | None] = []
    for name, row, want in zip(NUMBERS, sums, wanted[1:9], strict=True):
        tensor = getattr(plan.call.parameters, name)
        if not want or tensor is None:
            found.append(None)
            continue
        total = row.reshape(plan.one).sum(0)
        if name == "v_rest" and rest is not None:
            total = total + rest.sum(0)
        found.append(total.sum_to_size(tensor.shape).to(tensor.dtype))
    return found


def _weight_gradients(
    gx: Tensor | None, saved: Saved, call: Call, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of recurrent weights and bias: that of the input is that of everything that drives the current."""
    p, weight, bias = call.parameters, None, None
    if gx is None or p.weight is None:
        return None, None
    n, lag = gx.shape[-1], call.delay + 1
    if wanted[9]:
        assert saved.spikes is not None
        steps = max(gx.shape[0] - lag, 0)
        weight = gx[lag:].reshape(-1, n).t() @ saved.spikes[:steps].reshape(-1, n).to(gx.dtype)
        if call.state.history is not None:
            early = gx[:lag]
            weight += early.reshape(-1, n).t() @ call.state.history[: len(early)].reshape(-1, n).to(gx.dtype)
        weight = weight.to(p.weight.dtype)
    if wanted[10] and p.bias is not None:
        bias = gx.sum((0, 1)).sum_to_size(p.bias.shape).to(p.bias.dtype)
    return weight, bias


def _history_gradient(
    gx: Tensor | None, through_adaptation: Tensor | None, history: Tensor | None, plan: Plan
) -> Tensor | None:
    """Gradient of the spikes before the first step; `history` is that of the spikes after the last one."""
    call = plan.call
    if not call.recurrent:
        return None if through_adaptation is None else through_adaptation[None]
    assert gx is not None
    assert call.parameters.weight is not None
    lag, steps = call.delay + 1, plan.steps
    found = plan.empty(lag, *plan.one).zero_()
    found[:steps] = gx[:lag] @ call.parameters.weight.detach().to(gx.dtype)
    if through_adaptation is not None:
        found[-1] += through_adaptation
    if history is not None and steps < lag:
        found[steps:] += history[: lag - steps]
    return found
