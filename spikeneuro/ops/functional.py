"""The neuron op's Python entry: checks, choice of backend, one call."""

import math
import os
from importlib.util import find_spec

import torch
from torch import Tensor

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.ops import registration
from spikeneuro.ops.backend import Call
from spikeneuro.ops.reference import filled
from spikeneuro.ops.state import LIFOutput, LIFParameters, LIFSettings, LIFState

BACKENDS = ("auto", "reference", "numba", "triton")


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
    keep_potential: bool = True,
    keep_current: bool = False,
    keep_adaptation: bool = False,
    backend: str = "auto",
) -> LIFOutput:
    """Run leaky integrate-and-fire neurons over a whole sequence.

    The equation is that of `spikeneuro.ops.lif_reference`; the gradient of the spike is the surrogate's.

    Parameters
    ----------
    x : Tensor
        Input current, (time, batch, *features); without steps, the state comes back as it was.
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
    keep_potential : bool
        Whether to return the membrane of every step. Without it the compiled kernel need not write it for neurons
        that the rhythm holds OFF, and the result's `potential` is None.
    keep_current, keep_adaptation : bool
        Whether to return these for every step.
    backend : {"auto", "reference", "numba", "triton"}
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
    if bias is not None and weight is None:
        raise InputError("bias belongs to recurrent connections: give weight too, or add the bias to the input.")
    numbers = {
        "beta": beta, "gain": gain, "threshold": threshold, "v_rest": v_rest, "v_reset": v_reset,
        "alpha": alpha, "rho": rho, "kappa": kappa, "weight": weight, "bias": bias,
    }  # fmt: skip
    parameters = LIFParameters(**{name: _tensor(value, x, name) for name, value in numbers.items()})  # type: ignore[arg-type]
    state = LIFState() if state is None else _check_state(state, x, parameters, settings, delay)
    if mask is not None and not _broadcasts(mask.shape, x.shape):
        raise InputError(f"a mask of shape {tuple(mask.shape)} does not broadcast to the input {tuple(x.shape)}.")
    check_choice(backend, BACKENDS, "backend")
    if backend == "auto":
        chosen, _ = choose_backend(x)
    else:
        chosen, reason = backend, obstacle(backend, x)
        if reason is not None:
            raise InputError(f"backend={backend!r} cannot run this: {reason}; use backend='auto' or 'reference'.")
    kept_current, kept_adaptation = _kept(parameters, settings, chosen)
    call = Call(
        x, parameters, mask, state, settings, delay,
        keep_potential or _kept_potential(parameters), keep_current or kept_current,
        keep_adaptation or kept_adaptation, chosen,
    )  # fmt: skip
    if len(x) == 0:
        same = filled(state, x, parameters, settings, delay)
        return LIFOutput(x, x if keep_potential else None, same, x if keep_current else None,
                         x if keep_adaptation and call.adapts else None)  # fmt: skip
    op = torch.ops.spikeneuro.lif if weight is None else torch.ops.spikeneuro.recurrent_lif
    output = registration.unpack(op(*registration.flatten(call)), call)
    return output._replace(
        potential=output.potential if keep_potential else None,
        current=output.current if keep_current else None, adaptation=output.adaptation if keep_adaptation else None,
    )  # fmt: skip


def choose_backend(x: Tensor) -> tuple[str, str]:
    """Backend that "auto" takes, and why.

    On the CPU the fused kernels of numba, on a GPU those of triton: both cover every setting of the recurrence. The
    reference runs what they cannot (other types of numbers, other devices, triton not installed).

    Parameters
    ----------
    x : Tensor
        Input of the op.

    Returns
    -------
    name : str
        "numba", "triton" or "reference".
    reason : str
        What decided.
    """
    found = "numba" if x.device.type == "cpu" else "triton"
    reason = obstacle(found, x)
    if reason is not None:
        return "reference", reason
    return found, f"the fused kernels of {found} run on {x.device.type}"


def obstacle(backend: str, x: Tensor) -> str | None:
    """Why `backend` cannot run on `x`; None where it can."""
    if backend == "reference":
        return None
    if backend == "numba":
        if x.device.type != "cpu":
            return f"its kernels run on the CPU, the input is on {x.device}"
        if x.dtype not in (torch.float32, torch.float64):
            return f"its kernels take float32 or float64, not {x.dtype}"
        return None
    if x.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"its kernels run on a GPU, the input is on {x.device}"
    if find_spec("triton") is None:
        return "triton is not installed"
    return None


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
    if output.potential is None:
        raise InputError("the membrane follows from the potential; run the op with keep_potential=True.")
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


def _kept_potential(parameters: LIFParameters) -> bool:
    """Whether the backward pass will need the membrane before each step, for the gradient of its decay."""
    return torch.is_grad_enabled() and parameters.beta.requires_grad


def _kept(parameters: LIFParameters, settings: LIFSettings, backend: str) -> tuple[bool, bool]:
    """Whether the fused backward pass will need the current and the adaptation of every step."""
    if backend == "reference" or not torch.is_grad_enabled():
        return False, False
    p = parameters
    differs = p.alpha is not None or p.weight is not None  # the current from the input, which is there anyway
    current = settings.zero_discards_input or p.gain.requires_grad or (p.alpha is not None and p.alpha.requires_grad)
    return differs and current, p.rho is not None


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
        wide = x.element_size() == 2 and part.dtype == torch.float32  # as a GPU leaves it after 16-bit input
        if tuple(part.shape) != shape or not (part.dtype == x.dtype or wide) or part.device != x.device:
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
    if x.dim() < 3:
        raise InputError(
            f"expected an input (time, batch, *features), got shape {tuple(x.shape)}; "
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
