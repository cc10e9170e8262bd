"""The neuron op as torch sees it: `spikeneuro::lif` and `spikeneuro::recurrent_lif`.

Registered with a fake implementation and an autograd formula, so that `torch.compile`, `torch.export`, attribution
and the energy ledger see one node. Argument order (positions are stable; the energy ledger reads them):

====================  =====================================================================================
position              argument
====================  =====================================================================================
0                     x, (time, batch, *features)
(recurrent: 1, 2)     weight (neurons after, neurons before), bias or None
next 5                beta, gain, threshold, v_rest, v_reset: broadcast over the features
next 3                alpha, rho, kappa or None: no synaptic current, no adaptation
next 1                mask or None: rhythm, broadcasts to x
next 6                v, current, adaptation, history, pending, refractory_left or None: initial state
next 1                settings: reset, comparison, refractory period, surrogate as text (`LIFSettings.text`)
(recurrent: next 1)   delay
next 4                keep_potential, keep_current, keep_adaptation, backend ("reference", "numba" or "triton")
====================  =====================================================================================

Outputs: spikes, potential (membrane before the same-step reset; undefined where OFF without keep_potential), the six
parts of the final state, current of every step, adaptation of every step. Parts that do not exist or were not asked
for have shape (0,).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from spikeneuro.errors import InputError
from spikeneuro.ops import backend
from spikeneuro.ops.backend import Call, Gradients, Saved
from spikeneuro.ops.reference import lif_reference
from spikeneuro.ops.state import LIFOutput, LIFParameters, LIFSettings, LIFState

_PARAMETERS = (
    "Tensor beta, Tensor gain, Tensor threshold, Tensor v_rest, Tensor v_reset, "
    "Tensor? alpha, Tensor? rho, Tensor? kappa"
)
_STATE = "Tensor? v, Tensor? current, Tensor? adaptation, Tensor? history, Tensor? pending, Tensor? refractory_left"
_SETTINGS = "str settings"  # one argument: torch takes time for each, and twice as many take four times as long
_KEEP = "bool keep_potential, bool keep_current, bool keep_adaptation, str backend"
_RESULT = (
    "(Tensor spikes, Tensor potential, Tensor v_last, Tensor current_last, Tensor adaptation_last, "
    "Tensor history_last, Tensor pending_last, Tensor refractory_last, Tensor currents, Tensor adaptations)"
)
LIF_SCHEMA = f"(Tensor x, {_PARAMETERS}, Tensor? mask, {_STATE}, {_SETTINGS}, {_KEEP}) -> {_RESULT}"
RECURRENT_SCHEMA = (
    f"(Tensor x, Tensor weight, Tensor? bias, {_PARAMETERS}, Tensor? mask, {_STATE}, {_SETTINGS}, int delay, {_KEEP})"
    f" -> {_RESULT}"
)
BACKWARD_SCHEMA = (
    "(Tensor? grad_spikes, Tensor? grad_potential, Tensor? grad_v, Tensor? grad_current, Tensor? grad_adaptation, "
    "Tensor? grad_history, Tensor? grad_pending, Tensor? grad_currents, Tensor? grad_adaptations, "
    "Tensor potential, Tensor? spikes, Tensor? currents, Tensor? adaptations, Tensor? x, Tensor? weight, "
    f"Tensor? bias, {_PARAMETERS}, Tensor? mask, {_STATE}, {_SETTINGS}, int delay, str backend, bool[] wanted)"
    " -> Tensor[]"
)


def flatten(call: Call) -> tuple[Any, ...]:
    """Positional arguments of the op for `call`, the inverse of `_parse`."""
    p = call.parameters
    head = (call.x, p.weight, p.bias) if call.recurrent else (call.x,)
    delay = (call.delay,) if call.recurrent else ()
    keep = (call.keep_potential, call.keep_current, call.keep_adaptation, call.backend)
    return (*head, *p[:8], call.mask, *call.state, call.settings.text, *delay, *keep)


def _parse(arguments: Sequence[Any], recurrent: bool) -> Call:
    x, *rest = arguments
    weight, bias = (rest.pop(0), rest.pop(0)) if recurrent else (None, None)
    numbers, mask, state, settings, rest = rest[:8], rest[8], rest[9:15], rest[15], rest[16:]
    delay = rest.pop(0) if recurrent else 0
    return Call(
        x, _parameters(numbers, weight, bias), mask, LIFState(*state), LIFSettings.from_text(settings), delay, *rest
    )


def _parameters(numbers: Sequence[Any], weight: Tensor | None, bias: Tensor | None) -> LIFParameters:
    beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa = numbers
    return LIFParameters(beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa, weight, bias)


def _pack(output: LIFOutput, like: Tensor) -> tuple[Tensor, ...]:
    parts = (output.spikes, output.potential, *output.state, output.current, output.adaptation)
    return tuple(like.new_empty(0) if part is None else part for part in parts)


def unpack(parts: Sequence[Tensor], call: Call) -> LIFOutput:
    """Op's result as an output, with None for parts that do not exist."""
    exists = (
        True, call.parameters.alpha is not None, call.adapts, call.history_steps > 0,
        call.settings.delayed, call.settings.refractory > 0,
    )  # fmt: skip
    state = LIFState(*(part if here else None for part, here in zip(parts[2:8], exists, strict=True)))
    return LIFOutput(
        parts[0], parts[1], state,
        parts[8] if call.keep_current else None, parts[9] if call.keep_adaptation and call.adapts else None,
    )  # fmt: skip


def _forward(call: Call) -> tuple[Tensor, ...]:
    assert call.x is not None
    if call.backend == "reference":
        output = lif_reference(
            call.x, call.parameters, call.settings, call.state, mask=call.mask, delay=call.delay,
            keep_current=call.keep_current, keep_adaptation=call.keep_adaptation,
        )  # fmt: skip
    else:
        forward, _ = backend.load(call.backend)
        output = forward(call)
    return _pack(output, call.x)


def _fake(call: Call) -> tuple[Tensor, ...]:
    x = call.x
    assert x is not None
    one, steps = x.shape[1:], call.history_steps
    shapes: list[Any] = [
        x.shape, x.shape, one, one if call.parameters.alpha is not None else 0, one if call.adapts else 0,
        (steps, *one) if steps else 0, one if call.settings.delayed else 0, one if call.settings.refractory else 0,
        x.shape if call.keep_current else 0, x.shape if call.keep_adaptation and call.adapts else 0,
    ]  # fmt: skip
    # Triton computes on numbers of 16 bits in 32, and keeps all but spikes in 32.
    wide = torch.float32 if call.backend == "triton" and x.element_size() == 2 else x.dtype
    kinds = [x.dtype, *[wide] * 4, x.dtype, *[wide] * 4]
    return tuple(x.new_empty(shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...], recurrent: bool) -> None:
    ctx.set_materialize_grads(False)
    call = _parse(inputs, recurrent)
    # The fused backward needs the current in two places; without a synapse and recurrence it is the input.
    needs_x = call.backend == "reference" or (
        not call.keep_current and (call.parameters.gain.requires_grad or call.settings.zero_discards_input)
    )
    kept = (
        call.x if needs_x else None, *call.parameters, call.mask, *call.state,
        output[1], None if call.plain else output[0], output[8] if call.keep_current else None,
        output[9] if call.keep_adaptation else None,
    )  # fmt: skip
    ctx.save_for_backward(*kept)
    ctx.choices = call[4:]  # no tensor among them
    ctx.recurrent = recurrent


_DIFFERENTIABLE_PARAMETERS = len(LIFParameters._fields)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    # Placeholders of absent outputs may come with gradients, as empty as they are.
    grads = tuple(None if grad is None or grad.numel() == 0 else grad for grad in grads)
    saved = ctx.saved_tensors
    n = _DIFFERENTIABLE_PARAMETERS
    call = Call(saved[0], LIFParameters(*saved[1 : n + 1]), saved[n + 1], LIFState(*saved[n + 2 : n + 8]), *ctx.choices)
    needed = ctx.needs_input_grad[1:]  # the first input of the node is the dispatcher's
    # In the order of Call: x, parameters (weight and bias last), state, whose last part is a counter.
    offset = 3 if ctx.recurrent else 1
    needs = (
        needed[0], *needed[offset : offset + 8], *(needed[1:3] if ctx.recurrent else (False, False)),
        *needed[offset + 9 : offset + 14], False,
    )  # fmt: skip
    if call.backend == "reference":
        found = _backward_reference(call, grads, needs)
    else:
        found = _backward_fused(call, grads, needs, Saved(*saved[n + 8 :]))
    g_x, g_numbers, g_recurrent, g_state = found[0], found[1:9], found[9:11], found[11:]
    inputs = (g_x, *(g_recurrent if ctx.recurrent else ()), *g_numbers, None, *g_state)
    return (*inputs, *(None for _ in range(len(needed) - len(inputs))))


def _backward_reference(call: Call, grads: Sequence[Tensor | None], needs: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Gradients by running the reference again and differentiating it."""
    inputs = (call.x, *call.parameters, *call.state)
    with torch.enable_grad():
        leaves: list[Any] = [
            None if tensor is None else tensor.detach().requires_grad_(need)
            for tensor, need in zip(inputs, needs, strict=True)
        ]
        n = _DIFFERENTIABLE_PARAMETERS
        output = lif_reference(
            leaves[0], LIFParameters(*leaves[1 : n + 1]), call.settings, LIFState(*leaves[n + 1 :]),
            mask=call.mask, delay=call.delay,
            keep_current=call.keep_current, keep_adaptation=call.keep_adaptation,
        )  # fmt: skip
        outputs = (output.spikes, output.potential, *output.state, output.current, output.adaptation)
        pairs = [
            (value, grad)
            for value, grad in zip(outputs, grads, strict=True)
            if value is not None and grad is not None and value.requires_grad
        ]
        if not pairs:
            return tuple(None for _ in needs)
        wanted = [leaf for leaf, need in zip(leaves, needs, strict=True) if need]
        values, weights = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(values, wanted, weights, allow_unused=True))
    return tuple(next(found) if need else None for need in needs)


def _backward_fused(
    call: Call, grads: Sequence[Tensor | None], needs: Sequence[bool], saved: Saved
) -> tuple[Tensor | None, ...]:
    """Gradients by the backward kernel of a fast backend."""
    spikes, potential, v, current, adaptation, history, pending, _, currents, adaptations = grads
    p = call.parameters
    gradients = Gradients(spikes, potential, v, current, adaptation, history, pending, currents, adaptations)
    found = torch.ops.spikeneuro.lif_backward(
        *gradients, *saved, call.x, p.weight, p.bias, *p[:8], call.mask, *call.state,
        call.settings.text, call.delay, call.backend, list(needs),
    )  # fmt: skip
    return tuple(grad if need else None for grad, need in zip(found, needs, strict=True))


def run_lif(*arguments: Any) -> tuple[Tensor, ...]:
    """Run `spikeneuro::lif` on its arguments, without the dispatcher."""
    return _forward(_parse(arguments, recurrent=False))


def run_recurrent(*arguments: Any) -> tuple[Tensor, ...]:
    """Run `spikeneuro::recurrent_lif` on its arguments, without the dispatcher."""
    return _forward(_parse(arguments, recurrent=True))


def _parse_backward(arguments: Sequence[Any]) -> tuple[Gradients, Saved, Call, Sequence[bool]]:
    gradients, saved, rest = Gradients(*arguments[:9]), Saved(*arguments[9:13]), list(arguments[13:])
    x, weight, bias, numbers, mask, rest = rest[0], rest[1], rest[2], rest[3:11], rest[11], rest[12:]
    state, (settings, delay, name, wanted) = rest[:6], rest[6:]
    call = Call(
        x, _parameters(numbers, weight, bias), mask, LIFState(*state),
        LIFSettings.from_text(settings), delay,
        True, saved.currents is not None, saved.adaptations is not None, name,
    )  # fmt: skip
    return gradients, saved, call, wanted


def _run_backward(*arguments: Any) -> list[Tensor]:
    gradients, saved, call, wanted = _parse_backward(arguments)
    _, backward = backend.load(call.backend)
    return backward(gradients, saved, call, wanted)


def _fake_backward(*arguments: Any) -> list[Tensor]:
    _, saved, call, wanted = _parse_backward(arguments)
    like = saved.potential
    one = like.new_empty(like.shape[1:])
    history = like.new_empty((call.history_steps, *like.shape[1:]))
    beta = call.parameters.beta  # has the input's type, which the membrane of 16-bit input on a GPU has not
    tensors = (like.to(beta.dtype), *call.parameters, one, one, one, history.to(beta.dtype), one, one)
    return [
        torch.empty_like(tensor, memory_format=torch.contiguous_format)
        if want and tensor is not None
        else like.new_empty(0)
        for tensor, want in zip(tensors, wanted, strict=True)
    ]


_LIBRARY = torch.library.Library("spikeneuro", "FRAGMENT")


def define(name: str, schema: str, run: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Define an op of this package and return it.

    Defined at the level below `torch.library.custom_op`, whose general wrapper takes longer for the arguments of these
    ops than a small layer takes to run.

    Parameters
    ----------
    name : str
        Name in the namespace ``spikeneuro``.
    schema : str
        Its arguments and results.
    run : callable
        Its implementation on every device.
    fake : callable
        Shapes of its results, for tracing.

    Returns
    -------
    OpOverload
        The op.
    """
    _LIBRARY.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spikeneuro::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.spikeneuro, name).default


class _Refusal(torch.autograd.Function):
    """Identity on the first tensors, which depends on the others and cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, n: int, *tensors: Any) -> Any:  # noqa: ARG004 - torch calls it so
        return tuple(tensor.view_as(tensor) for tensor in tensors[:n])

    @staticmethod
    def backward(ctx: Any, *_grads: Any) -> Any:  # noqa: ARG004 - torch calls it so
        raise InputError("spikeneuro's ops cannot be differentiated twice; ops.lif_reference can.")


def _refuse_second(found: Sequence[Tensor | None], causes: Sequence[Any]) -> Sequence[Tensor | None]:
    """Gradients that raise when they are differentiated, rather than to be taken for constants."""
    causes = [tensor for tensor in causes if isinstance(tensor, Tensor) and tensor.requires_grad]
    given = [gradient for gradient in found if gradient is not None]
    if not causes or not given:
        return found
    guarded = iter(_Refusal.apply(len(given), *given, *causes))  # type: ignore[no-untyped-call]
    return [None if gradient is None else next(guarded) for gradient in found]


def _has_tangent(argument: Any) -> bool:
    return isinstance(argument, Tensor) and forward_ad.unpack_dual(argument).tangent is not None


def differentiate(op: Any, save: Callable[..., None], backward: Callable[..., Any]) -> None:
    """Give an op its autograd formula.

    Parameters
    ----------
    op : OpOverload
        The op.
    save : callable
        ``save(ctx, inputs, output)``, run after the op.
    backward : callable
        ``backward(ctx, *grads)``, one gradient for each input; it cannot be differentiated again.
    """

    def below(keys: Any, arguments: tuple[Any, ...]) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op.redispatch(keys & torch._C._after_autograd_keyset, *arguments)

    class Node(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, keys: Any, *arguments: Any) -> Any:
            output = below(keys, arguments)
            save(ctx, arguments, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            with torch.no_grad():
                found = backward(ctx, *grads)
            if torch.is_grad_enabled():  # someone means to differentiate these gradients
                found = _refuse_second(found, [*grads, *ctx.saved_tensors])
            return (None, *found)

    Node.__name__ = Node.__qualname__ = f"{op._opname}_backward"

    def run(keys: Any, *arguments: Any) -> Any:
        if forward_ad._current_level >= 0 and any(_has_tangent(argument) for argument in arguments):
            raise InputError("spikeneuro's ops have no forward-mode derivative; ops.lif_reference has one.")
        if torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in arguments):
            return Node.apply(keys, *arguments)  # type: ignore[no-untyped-call]
        return below(keys, arguments)

    _LIBRARY.impl(op._opname, run, "Autograd", with_keyset=True)


lif_op = define("lif", LIF_SCHEMA, run_lif, lambda *arguments: _fake(_parse(arguments, recurrent=False)))
recurrent_lif_op = define(
    "recurrent_lif", RECURRENT_SCHEMA, run_recurrent, lambda *arguments: _fake(_parse(arguments, recurrent=True))
)
lif_backward_op = define("lif_backward", BACKWARD_SCHEMA, _run_backward, _fake_backward)
differentiate(lif_op, functools.partial(_save, recurrent=False), _backward)
differentiate(recurrent_lif_op, functools.partial(_save, recurrent=True), _backward)
