"""The neuron op's Python entry: checks, choice of backend, one call."""

import math

import torch
from torch import Tensor

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.ops import registration
from spikeneuro.ops.state import LIFOutput, LIFParameters, LIFSettings, LIFState

BACKENDS = ("auto", "reference", "numba")


def lif(
    x: Tensor,
    *,
    beta: float | Tensor,
    gain: float | Tensor = 1.0,
    threshold: float | Tensor = 1.0,
    v_rest: float | Tensor = 0.0,
    v_reset: float | Tensor = 0.0,
    alpha: float | Tensor | None = None,
    rho: float | Tensor | None = None,
    kappa: float | Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    delay: int = 0,
    mask: Tensor | None = None,
    state: LIFState | None = None,
    settings: LIFSettings | None = None,
    keep_current: bool = False,
    keep_adaptation: bool = False,
    backend: str = "auto",
) -> LIFOutput:
    """Run leaky integrate-and-fire neurons over a whole sequence.

    The equation is that of `spikeneuro.ops.lif_reference`; the gradient of the spike is the surrogate's.

    Parameters
    ----------
    x : Tensor
        Input current, (time, batch, *features), at least one step.
    beta : float or Tensor
        Decay of the membrane per step, in [0, 1]; broadcasts over the features, as all numbers below do.
    gain : float or Tensor
        Factor of the current in the membrane.
    threshold : float or Tensor
        Firing threshold.
    v_rest, v_reset : float or Tensor
        Membrane at rest, and after a reset to "zero".
    alpha : float or Tensor, optional
        Decay of the synaptic current per step; None for no synaptic current.
    rho, kappa : float or Tensor, optional
        Decay of the adaptation per step and its effect on the threshold; both or none.
    weight : Tensor, optional
        Recurrent weights, (neurons after, neurons before); features are then (neurons,).
    bias : Tensor, optional
        Constant recurrent input, (neurons,).
    delay : int
        Additional steps of the recurrent connections.
    mask : Tensor, optional
        Rhythm: 0 (OFF) or 1 (ON), broadcasts to `x`.
    state : LIFState, optional
        State before the first step; at rest by default.
    settings : LIFSettings, optional
        Reset, comparison, refractory period and surrogate.
    keep_current, keep_adaptation : bool
        Whether to return these for every step.
    backend : {"auto", "reference", "numba"}
        "auto" takes the fastest that can do it (see `choose_backend`); a backend named here never gives way.

    Returns
    -------
    LIFOutput
        Spikes, membrane before the same-step reset, final state and what was asked for.

    Raises
    ------
    InputError
        For shapes that do not fit, or a backend that cannot do what is asked.

    Examples
    --------
    >>> x = torch.full((4, 1, 1), 0.4)
    >>> lif(x, beta=0.8).spikes.flatten().tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    settings = LIFSettings() if settings is None else settings
    _check_input(x, weight, delay, rho, kappa)
    numbers = {
        "beta": beta, "gain": gain, "threshold": threshold, "v_rest": v_rest, "v_reset": v_reset,
        "alpha": alpha, "rho": rho, "kappa": kappa, "weight": weight, "bias": bias,
    }  # fmt: skip
    parameters = LIFParameters(**{name: _tensor(value, x, name) for name, value in numbers.items()})  # type: ignore[arg-type]
    state = LIFState() if state is None else _check_state(state, x, parameters, settings, delay)
    if mask is not None and not _broadcasts(mask.shape, x.shape):
        raise InputError(f"a mask of shape {tuple(mask.shape)} does not broadcast to the input {tuple(x.shape)}.")
    check_choice(backend, BACKENDS, "backend")
    chosen, reason = choose_backend(x, parameters, settings, mask=mask, delay=delay)
    if backend != "auto" and backend != chosen:
        if backend == "numba":
            raise InputError(f"backend='numba' cannot run this: {reason}; use backend='auto' or 'reference'.")
        chosen = backend
    # The gradients of alpha and gain are sums over the current, so the fused backward needs it.
    kept = chosen == "numba" and parameters.alpha is not None and _learns(parameters.alpha, parameters.gain)
    kept = kept or (chosen == "numba" and weight is not None and _learns(parameters.gain))
    call = registration.Call(
        x, parameters, mask, state, settings, delay,
        keep_current or kept, keep_adaptation, chosen,
    )  # fmt: skip
    op = torch.ops.spikeneuro.lif if weight is None else torch.ops.spikeneuro.recurrent_lif
    output = registration.unpack(op(*registration.flatten(call)), call)
    return output if keep_current else output._replace(current=None)


def choose_backend(
    x: Tensor,
    parameters: LIFParameters,
    settings: LIFSettings,
    *,
    mask: Tensor | None = None,
    delay: int = 0,
) -> tuple[str, str]:
    """Backend that "auto" takes, and why.

    Parameters
    ----------
    x : Tensor
        Input of the op.
    parameters : LIFParameters
        Numbers of the op.
    settings : LIFSettings
        Choices of the op.
    mask : Tensor, optional
        Rhythm.
    delay : int
        Recurrent delay.

    Returns
    -------
    name : str
        "numba" or "reference".
    reason : str
        What decided.
    """
    obstacles = [
        (x.device.type != "cpu", f"the fused kernel runs on the CPU, the input is on {x.device}"),
        (x.dtype not in (torch.float32, torch.float64), f"the fused kernel takes float32 or float64, not {x.dtype}"),
        (parameters.rho is not None, "the fused kernel has no adaptation"),
        (mask is not None, "the fused kernel has no rhythm mask"),
        (settings.refractory > 0, "the fused kernel has no refractory period"),
        (delay > 0, "the fused kernel has no recurrent delay"),
        (settings.zero_discards_input, "the fused kernel has no reset that discards input"),
    ]
    for stands, reason in obstacles:
        if stands:
            return "reference", reason
    return "numba", "the fused CPU kernel covers these settings"


def membrane(output: LIFOutput, parameters: LIFParameters, settings: LIFSettings) -> Tensor:
    """Membrane after the reset of every step, from what the op returns.

    Parameters
    ----------
    output : LIFOutput
        Result of `lif`, run with ``keep_adaptation=True`` if the neuron adapts.
    parameters : LIFParameters
        Numbers it was run with.
    settings : LIFSettings
        Choices it was run with.

    Returns
    -------
    Tensor
        Membrane, (time, batch, *features).
    """
    if settings.reset == "none" or settings.delayed:
        return output.potential
    spikes = output.spikes.detach() if settings.detach_reset else output.spikes
    if settings.reset == "zero":
        return (1.0 - spikes) * output.potential + spikes * parameters.v_reset
    return output.potential - thresholds(output, parameters) * spikes


def thresholds(output: LIFOutput, parameters: LIFParameters) -> Tensor:
    """Firing threshold of every step, with its adaptation; broadcasts to the spikes."""
    if output.adaptation is None or parameters.kappa is None:
        return parameters.threshold
    return parameters.threshold + parameters.kappa * output.adaptation


def _learns(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _tensor(value: float | Tensor | None, x: Tensor, name: str) -> Tensor | None:
    """`value` as a tensor like `x` that broadcasts over its features."""
    if value is None:
        return None
    if not isinstance(value, Tensor):
        if not math.isfinite(value):
            raise InputError(f"{name} must be finite, got {value!r}.")
        return x.new_full((), value)
    if value.dtype != x.dtype or value.device != x.device:
        raise InputError(
            f"{name} is {value.dtype} on {value.device} but the input is {x.dtype} on {x.device}; "
            "convert one of them with .to(...)."
        )
    if name == "weight":
        return value
    features = x.shape[2:]
    if not _broadcasts(value.shape, features):
        raise InputError(
            f"{name} of shape {tuple(value.shape)} does not broadcast over the features {tuple(features)} "
            f"of an input of shape {tuple(x.shape)}."
        )
    return value


def _broadcasts(shape: torch.Size, to: torch.Size) -> bool:
    return len(shape) <= len(to) and all(
        mine in (1, theirs) for mine, theirs in zip(reversed(shape), reversed(to), strict=False)
    )


def _check_state(state: LIFState, x: Tensor, parameters: LIFParameters, settings: LIFSettings, delay: int) -> LIFState:
    """Raise if a part of the state does not fit the input, or belongs to nothing that the neuron has."""
    adapts = parameters.rho is not None
    steps = delay + 1 if parameters.weight is not None else int(adapts)
    one = tuple(x.shape[1:])
    expected = (
        one, one if parameters.alpha is not None else None, one if adapts else None,
        (steps, *one) if steps else None, one if settings.delayed else None, one if settings.refractory else None,
    )  # fmt: skip
    for name, part, shape in zip(LIFState._fields, state, expected, strict=True):
        if part is None:
            continue
        if shape is None:
            raise InputError(f"the state's {name} belongs to a neuron with other settings; this one has none.")
        if tuple(part.shape) != shape or part.dtype != x.dtype or part.device != x.device:
            raise InputError(
                f"the state's {name} must be {x.dtype} of shape {shape} on {x.device} for an input of shape "
                f"{tuple(x.shape)}, got {part.dtype} of shape {tuple(part.shape)} on {part.device}."
            )
    return state


def _check_input(
    x: Tensor,
    weight: Tensor | None,
    delay: int,
    rho: float | Tensor | None,
    kappa: float | Tensor | None,
) -> None:
    if x.dim() < 3 or x.shape[0] == 0:
        raise InputError(
            f"expected an input (time, batch, *features) of at least one step, got shape {tuple(x.shape)}; "
            "signals go through an encoder first."
        )
    if not x.is_floating_point():
        raise InputError(f"expected a floating-point input, got {x.dtype}; convert it with .float().")
    if (rho is None) != (kappa is None):
        raise InputError("rho and kappa belong together: give both (adaptation on) or none (off).")
    if weight is not None and (x.dim() != 3 or weight.shape != (x.shape[2], x.shape[2])):
        raise InputError(
            f"recurrent weights of shape {tuple(weight.shape)} need an input (time, batch, {weight.shape[-1]}), "
            f"got {tuple(x.shape)}."
        )
    if delay < 0 or (delay and weight is None):
        raise InputError(f"delay is a number of steps of recurrent connections, got {delay}.")
