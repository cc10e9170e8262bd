"""Izhikevich's two-variable neuron and its named firing patterns."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.nn.decay import Value
from spikeneuro.nn.stepped import SteppedLayer
from spikeneuro.ops import spike, surrogates

SCHEMES = ("half_steps", "euler")

#: Firing patterns and their a, b, c, d: regular spiking, intrinsically bursting, chattering, fast spiking,
#: low-threshold spiking, thalamo-cortical, resonator.
PRESETS: dict[str, tuple[float, float, float, float]] = {
    "RS": (0.02, 0.2, -65.0, 8.0),
    "IB": (0.02, 0.2, -55.0, 4.0),
    "CH": (0.02, 0.2, -50.0, 2.0),
    "FS": (0.1, 0.2, -65.0, 2.0),
    "LTS": (0.02, 0.25, -65.0, 2.0),
    "TC": (0.02, 0.25, -65.0, 0.05),
    "RZ": (0.1, 0.26, -65.0, 2.0),
}


class IzhikevichState(NamedTuple):
    """State of Izhikevich neurons: tensors (batch, *features).

    Parameters
    ----------
    membrane : Tensor
        Membrane v in mV.
    recovery : Tensor
        Recovery variable u.
    """

    membrane: Tensor
    recovery: Tensor


class Izhikevich(SteppedLayer):
    r"""Izhikevich neurons, each on its own.

    With v in mV, time in ms and a dimensionless input I,

    .. math::

        v' &= 0.04 v^2 + 5 v + 140 - u + I \\
        u' &= a \, (b v - u), \qquad \text{and where } v \ge 30: \quad v \leftarrow c, \; u \leftarrow u + d

    Parameters
    ----------
    shape : int or sequence of int
        Shape that broadcasts to the features, see `SpikingLayer`.
    preset : {"RS", "IB", "CH", "FS", "LTS", "TC", "RZ"}, default "RS"
        Firing pattern, that is a, b, c and d: regular spiking, intrinsically bursting, chattering, fast spiking,
        low-threshold spiking, thalamo-cortical, resonator.
    a, b, c, d : float, Tensor or Heterogeneity, optional
        Rate of recovery (per ms), its sensitivity to v, v after a spike (mV), jump of u at a spike, in place of the
        preset's. One for all neurons or a tensor that broadcasts to `shape`.
    dt : float, default 0.001
        Length of a step in seconds.
    scheme : {"half_steps", "euler"}
        "half_steps" is that of the paper's program, written for steps of 1 ms: a spike is found, and the reset made, at
        the beginning of the step after v has crossed 30 mV; then v makes two half steps and u a whole one with the new
        v. "euler" makes one step of v and u from the old values, and finds the spike in the same step.
    v_start : float, Tensor or Heterogeneity, default -65
        Membrane before the first step, mV; u starts at ``b * v_start``.
    detach_reset : bool, default False
        Whether the reset carries no gradient.
    surrogate : str or Surrogate, default "atan"
        Derivative of the spike, a name or an object of `spikeneuro.ops.surrogates`, at
        ``(v - 30) / surrogate_scale``.
    surrogate_scale : float, default 25
        What the surrogate takes as its unit, mV, above 0.
    dtype, device : optional
        As for torch's layers.

    Raises
    ------
    InputError
        For an unknown preset, scheme or surrogate, or a number that is not finite or does not broadcast.

    References
    ----------
    Izhikevich (2003), doi:10.1109/TNN.2003.820440.

    Examples
    --------
    Times in ms at which a regular-spiking neuron fires:

    >>> spikes = Izhikevich(1, preset="RS")(torch.full((200, 1, 1), 10.0))
    >>> spikes.flatten().nonzero().flatten().tolist()
    [4, 31, 79, 141, 195]
    """

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor
    v_start: Tensor

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        preset: str = "RS",
        a: Value | None = None,
        b: Value | None = None,
        c: Value | None = None,
        d: Value | None = None,
        dt: float = 0.001,
        scheme: str = "half_steps",
        v_start: Value = -65.0,
        detach_reset: bool = False,
        surrogate: str | surrogates.Surrogate = "atan",
        surrogate_scale: float = 25.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(shape, dtype=dtype, device=device)
        self.preset = check_choice(preset, PRESETS, "preset")
        for name, given, usual in zip("abcd", (a, b, c, d), PRESETS[preset], strict=True):
            self.set_number(name, usual if given is None else given)
        self.set_number("v_start", v_start)
        self.dt = float(check_number(dt, "dt", low=0.0, closed="neither"))
        self.scheme = check_choice(scheme, SCHEMES, "scheme")
        self.detach_reset = detach_reset
        self.surrogate = surrogates.resolve(surrogate)
        self.surrogate_scale = float(check_number(surrogate_scale, "surrogate_scale", low=0.0, closed="neither"))

    def resting_state(self, x: Tensor) -> IzhikevichState:
        """Return `v_start`, and the recovery variable at ``b * v_start``."""
        zero = torch.zeros_like(x)
        return IzhikevichState(zero + self.v_start, zero + self.b * self.v_start)

    def step(self, x: Tensor, state: IzhikevichState) -> tuple[Tensor, IzhikevichState]:
        """Return the spikes of one step of the input, (batch, *features), and the state after it."""
        dt_ms = 1e3 * self.dt
        if self.scheme == "euler":
            v, u = state
            moved = v + dt_ms * _slope(v, u, x), u + dt_ms * self.a * (self.b * v - u)
            spikes = self._fired(moved[0])
            return spikes, self._reset(*moved, spikes)
        spikes = self._fired(state.membrane)
        v, u = self._reset(state.membrane, state.recovery, spikes)
        for _ in range(2):
            v = v + dt_ms / 2 * _slope(v, u, x)
        return spikes, IzhikevichState(v, u + dt_ms * self.a * (self.b * v - u))

    def _fired(self, v: Tensor) -> Tensor:
        return spike((v - 30.0) / self.surrogate_scale, self.surrogate, inclusive=True)

    def _reset(self, v: Tensor, u: Tensor, spikes: Tensor) -> IzhikevichState:
        s = spikes.detach() if self.detach_reset else spikes
        return IzhikevichState((1.0 - s) * v + s * self.c, u + s * self.d)

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"{self.shape}, preset={self.preset!r}, dt={self.dt:g}, scheme={self.scheme!r}"


def _slope(v: Tensor, u: Tensor, x: Tensor) -> Tensor:
    """Change of the membrane, mV per ms."""
    return 0.04 * v * v + 5.0 * v + 140.0 - u + x
