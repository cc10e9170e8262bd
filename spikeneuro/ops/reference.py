"""The LIF recurrence in plain torch: the one place where the equation is written.

Every other backend is tested against this one, in value and in gradient. It runs in any floating dtype on any device
and can be differentiated twice.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spikeneuro.errors import InputError
from spikeneuro.ops.state import LIFOutput, LIFParameters, LIFSettings, LIFState
from spikeneuro.ops.surrogates import Surrogate, resolve


class _Spike(torch.autograd.Function):
    """Heaviside step forward, surrogate derivative backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: Surrogate, inclusive: bool) -> Tensor:
        """Return 1 where x > 0 (or x >= 0)."""
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0 if inclusive else x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        """Multiply with the surrogate derivative."""
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * ctx.surrogate.gradient(x), None, None


def spike(x: Tensor, surrogate: str | Surrogate = "fast_sigmoid", *, inclusive: bool = False) -> Tensor:
    """Step function with the derivative of a surrogate, for neurons written by hand.

    Forward H(x), 1 where x > 0 and 0 elsewhere; backward ``grad * surrogate.gradient(x)``.

    Parameters
    ----------
    x : Tensor
        Membrane minus threshold, any shape, any floating dtype.
    surrogate : str or Surrogate
        Name or object, see `surrogates.resolve`.
    inclusive : bool
        Whether x = 0 gives a spike.

    Returns
    -------
    Tensor
        Zeros and ones in the shape and dtype of `x`.

    Raises
    ------
    InputError
        For an unknown surrogate, or `x` that is not floating.

    References
    ----------
    Neftci et al. (2019), doi:10.1109/MSP.2019.2931595.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro import ops
    >>> x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> ops.spike(x, "triangle").tolist()
    [0.0, 0.0, 1.0]
    """
    if not x.is_floating_point():
        raise InputError(f"x must be a floating tensor, got {x.dtype}; convert it with x.float().")
    return _spike(x, resolve(surrogate), inclusive)


def _spike(x: Tensor, surrogate: Surrogate, inclusive: bool) -> Tensor:
    spikes: Tensor = _Spike.apply(x, surrogate, inclusive)  # type: ignore[no-untyped-call]
    return spikes


def lif_reference(
    x: Tensor,
    parameters: LIFParameters,
    settings: LIFSettings,
    state: LIFState | None = None,
    *,
    mask: Tensor | None = None,
    delay: int = 0,
    smooth: bool = False,
    keep_current: bool = False,
    keep_adaptation: bool = False,
) -> LIFOutput:
    """Run the LIF recurrence over a whole sequence.

    With state ``i, a, v``, spikes ``s``, input ``x`` and per-neuron parameters::

        i[t]  = alpha * i[t-1] + x[t] + W s[t-1-delay] + b
        a[t]  = rho * a[t-1] + (1 - rho) * s[t-1]
        th[t] = threshold + kappa * a[t]
        u[t]  = v_rest + beta * (v[t-1] - v_rest) + gain * i[t]
        s[t]  = m[t] * H(u[t] - th[t])                            while not refractory
        v[t]  = u[t] - th[t] * s[t]                               reset "subtract"
              = (1 - s[t]) * u[t] + s[t] * v_reset                reset "zero"

    A reset in the next step takes ``th[t] * s[t-1]`` from u[t] ("subtract"), or replaces v[t-1] by v_reset
    ("zero"). Where the rhythm's mask m[t] is 0, v[t] = v[t-1] and s[t] = 0, while i and a run on.

    Parameters
    ----------
    x : Tensor
        Input current, (time, batch, *features), any floating dtype.
    parameters : LIFParameters
        Numbers of the recurrence, in the dtype of `x`.
    settings : LIFSettings
        Choices of the recurrence.
    state : LIFState, optional
        State before the first step; at rest by default.
    mask : Tensor, optional
        Rhythm, (time, 1 or batch, *features) or broadcastable to it, 0 (OFF) or 1 (ON).
    delay : int
        Additional steps before a spike reaches the other neurons.
    smooth : bool
        Replace the step by the surrogate's primitive, also forward: a smooth system of which automatic
        differentiation gives the true derivative. For checks, not for models.
    keep_current, keep_adaptation : bool
        Whether to return these for every step.

    Returns
    -------
    LIFOutput
        Spikes, membrane before the reset, final state and what was asked for.

    Raises
    ------
    InputError
        For `smooth` with a refractory period, which has no smooth form.

    References
    ----------
    Gerstner et al. (2014), Neuronal Dynamics, chapters 1 and 6; Neftci et al. (2019),
    doi:10.1109/MSP.2019.2931595.
    """
    if smooth and settings.refractory:
        raise InputError(f"the smooth relaxation has no refractory period, got refractory={settings.refractory}.")
    p, surrogate, inclusive = parameters, settings.surrogate, settings.comparison == ">="
    state = resting_state(x, p, settings, delay) if state is None else filled(state, x, p, settings, delay)
    v, i, a, _, r, c = state
    c = None if c is None else c.detach()  # a counter
    assert v is not None  # filled above
    history = [] if state.history is None else list(state.history.unbind(0))
    on = None if mask is None else mask.to(torch.bool).expand(x.shape)
    spikes, potentials, currents, adaptations = [], [], [], []
    # Unbound once: differentiating x[t] would allocate a gradient of the whole sequence at every step.
    for t, x_t in enumerate(x.unbind(0)):
        drive = x_t if p.weight is None else x_t + functional.linear(history[0], p.weight, p.bias)
        i = drive if p.alpha is None or i is None else p.alpha * i + drive
        if keep_current:
            currents.append(i)
        th = p.threshold
        if p.rho is not None and p.kappa is not None and a is not None:
            a = p.rho * a + (1.0 - p.rho) * history[-1]
            th = p.threshold + p.kappa * a
            if keep_adaptation:
                adaptations.append(a)
        u = _integrate(v, i, r, c, th, p, settings)
        x_spike = u - th
        s = surrogate.primitive(x_spike) if smooth else _spike(x_spike, surrogate, inclusive)
        if c is not None:
            s = s * (c <= 0).to(s.dtype)
        if on is not None:
            s, u = s * on[t].to(s.dtype), torch.where(on[t], u, v)
        if c is not None:
            c = torch.where(s > 0, torch.full_like(c, settings.refractory), (c - 1).clamp(min=0))
        v = u if settings.delayed else _reset(u, s, th, p, settings)
        r = _pending(s, r, None if on is None else on[t], settings)
        if history:
            history = [*history[1:], s]
        spikes.append(s)
        potentials.append(u)
    return LIFOutput(
        torch.stack(spikes),
        torch.stack(potentials),
        LIFState(v, None if p.alpha is None else i, a, torch.stack(history) if history else None, r, c),
        torch.stack(currents) if keep_current else None,
        torch.stack(adaptations) if adaptations else None,
    )


def _integrate(
    v: Tensor, i: Tensor, r: Tensor | None, c: Tensor | None, th: Tensor, p: LIFParameters, settings: LIFSettings
) -> Tensor:
    """Membrane before threshold and same-step reset."""
    if c is not None and not settings.refractory_integrates:
        i = i * (c <= 0).to(i.dtype)
    if r is not None and settings.reset == "zero" and not settings.zero_discards_input:
        v = (1.0 - r) * v + r * p.v_reset
    u = p.v_rest + p.beta * (v - p.v_rest) + p.gain * i
    if r is not None and settings.reset == "subtract":
        u = u - _finite(th) * r
    if r is not None and settings.zero_discards_input:
        u = (1.0 - r) * u + r * p.v_reset
    return u


def _reset(u: Tensor, s: Tensor, th: Tensor, p: LIFParameters, settings: LIFSettings) -> Tensor:
    """Membrane after the same-step reset."""
    if settings.detach_reset:
        s = s.detach()
    if settings.reset == "subtract":
        return u - _finite(th) * s
    if settings.reset == "zero":
        return (1.0 - s) * u + s * p.v_reset
    return u


def _finite(th: Tensor) -> Tensor:
    """Threshold with 0 for the infinite one of neurons that never fire: that times 0 would not be a number."""
    return torch.where(torch.isfinite(th), th, torch.zeros_like(th))


def _pending(s: Tensor, r: Tensor | None, on: Tensor | None, settings: LIFSettings) -> Tensor | None:
    """Reset that the next step will have to make."""
    if r is None:
        return None
    due = s.detach() if settings.detach_reset else s
    if on is not None and settings.preserve_reset:
        return torch.where(on, due, r)
    return due


def filled(state: LIFState, x: Tensor, parameters: LIFParameters, settings: LIFSettings, delay: int) -> LIFState:
    """`state` with every part the recurrence needs, those that are None at rest, and no other."""
    rest = resting_state(x, parameters, settings, delay)
    return LIFState(
        *(
            None if at_rest is None else (at_rest if given is None else given.expand(at_rest.shape))
            for given, at_rest in zip(state, rest, strict=True)
        )
    )


def resting_state(x: Tensor, parameters: LIFParameters, settings: LIFSettings, delay: int) -> LIFState:
    """State of neurons at rest that have never fired; parts that the recurrence does not have are None."""
    zero = x.new_zeros(x.shape[1:])
    adapts = parameters.rho is not None and parameters.kappa is not None
    steps = delay + 1 if parameters.weight is not None else int(adapts)
    return LIFState(
        v=zero + parameters.v_rest,
        current=None if parameters.alpha is None else zero,
        adaptation=zero if adapts else None,
        history=x.new_zeros((steps, *x.shape[1:])) if steps else None,
        pending=zero if settings.delayed else None,
        refractory=zero if settings.refractory else None,
    )
