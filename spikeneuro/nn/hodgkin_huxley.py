"""Hodgkin and Huxley's neuron: the conductances behind the spike."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.nn.decay import Value
from spikeneuro.nn.stepped import SteppedLayer
from spikeneuro.ops import spike, surrogates

METHODS = ("exponential_euler", "rk4")


class HodgkinHuxleyState(NamedTuple):
    """State of Hodgkin-Huxley neurons: tensors (batch, *features).

    Parameters
    ----------
    membrane : Tensor
        Membrane potential in mV.
    m : Tensor
        Activation of the sodium channel, 0 to 1.
    h : Tensor
        Inactivation of the sodium channel, 0 to 1.
    n : Tensor
        Activation of the potassium channel, 0 to 1.
    """

    membrane: Tensor
    m: Tensor
    h: Tensor
    n: Tensor


class HodgkinHuxley(SteppedLayer):
    r"""Hodgkin-Huxley neurons, each on its own.

    The membrane V in mV, with the input I in µA/cm², time in ms and conductances in mS/cm²:

    .. math::

        C \, dV/dt &= I - g_{Na} m^3 h \, (V - E_{Na}) - g_K n^4 (V - E_K) - g_L (V - E_L) \\
        dy/dt &= \alpha_y(V) \, (1 - y) - \beta_y(V) \, y, \quad y \in \{m, h, n\}

    with the rates per ms, in the convention in which the neuron rests near -65 mV,

    .. math::

        \alpha_m &= \frac{0.1 (V + 40)}{1 - e^{-(V + 40)/10}}, \quad \beta_m = 4 e^{-(V + 65)/18} \\
        \alpha_h &= 0.07 e^{-(V + 65)/20}, \quad \beta_h = \frac{1}{1 + e^{-(V + 35)/10}} \\
        \alpha_n &= \frac{0.01 (V + 55)}{1 - e^{-(V + 55)/10}}, \quad \beta_n = 0.125 e^{-(V + 65)/80}

    A spike is an upward crossing of `spike_at`. Nothing is reset: the channels end the spike. Its derivative by V is
    the surrogate's at ``(V - spike_at) / surrogate_scale``, from below the crossing; the membrane itself is
    differentiated exactly.

    Parameters
    ----------
    shape : int or sequence of int
        Shape that broadcasts to the features, see `SpikingLayer`.
    dt : float, default 2e-5
        Length of a step of the input in seconds.
    substeps : int, default 1
        Steps of integration within it, each of ``dt / substeps``, which should be 0.05 ms or less. The input is
        constant meanwhile, and at most one spike is emitted.
    method : {"exponential_euler", "rk4"}
        "exponential_euler" solves each equation exactly with the other variables held, first the channels, then the
        membrane. The error of the membrane falls with the square of the step; the channels run half a step ahead.
        "rk4" is the classical Runge-Kutta method: the error falls with the fourth power, for 2.5 times the work.
    capacitance : float, Tensor or Heterogeneity, default 1
        Membrane capacitance C, µF/cm², above 0. As all numbers here, one for all neurons or a tensor that broadcasts
        to `shape`.
    g_na, g_k, g_leak : float, Tensor or Heterogeneity, default 120, 36, 0.3
        Conductances of sodium, potassium and leak, mS/cm²; the first two at least 0, the leak above 0.
    e_na, e_k, e_leak : float, Tensor or Heterogeneity, default 50, -77, -54.387
        Their reversal potentials, mV.
    v_start : float, Tensor or Heterogeneity, default -65
        Membrane before the first step, mV; the channels start in their steady state for it.
    spike_at : float, default 0
        Membrane whose upward crossing is a spike, mV.
    surrogate : str or Surrogate, default "atan"
        Derivative of the spike, a name or an object of `spikeneuro.ops.surrogates`.
    surrogate_scale : float, default 25
        What the surrogate takes as its unit, mV, above 0.
    dtype, device : optional
        As for torch's layers.

    Raises
    ------
    InputError
        For a number out of range or of a shape that does not broadcast, an unknown method or surrogate.

    References
    ----------
    Hodgkin and Huxley (1952), doi:10.1113/jphysiol.1952.sp004764; Gerstner et al. (2014), Neuronal Dynamics, chapter 2.

    Examples
    --------
    10 µA/cm² for 50 ms make a few spikes, 2 µA/cm² none:

    >>> layer = HodgkinHuxley(1, dt=1e-3, substeps=50)
    >>> current = torch.tensor([2.0, 10.0]).reshape(1, 2, 1).expand(50, 2, 1)
    >>> layer(current).sum(0).flatten().tolist()
    [0.0, 4.0]
    """

    capacitance: Tensor
    g_na: Tensor
    g_k: Tensor
    g_leak: Tensor
    e_na: Tensor
    e_k: Tensor
    e_leak: Tensor
    v_start: Tensor

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        dt: float = 2e-5,
        substeps: int = 1,
        method: str = "exponential_euler",
        capacitance: Value = 1.0,
        g_na: Value = 120.0,
        g_k: Value = 36.0,
        g_leak: Value = 0.3,
        e_na: Value = 50.0,
        e_k: Value = -77.0,
        e_leak: Value = -54.387,
        v_start: Value = -65.0,
        spike_at: float = 0.0,
        surrogate: str | surrogates.Surrogate = "atan",
        surrogate_scale: float = 25.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(shape, dtype=dtype, device=device)
        self.dt = float(check_number(dt, "dt", low=0.0, closed="neither"))
        self.substeps = int(check_number(substeps, "substeps", low=1, integer=True))
        self.method = check_choice(method, METHODS, "method")
        numbers = {
            "capacitance": capacitance, "g_na": g_na, "g_k": g_k, "g_leak": g_leak,
            "e_na": e_na, "e_k": e_k, "e_leak": e_leak, "v_start": v_start,
        }  # fmt: skip
        for name, value in numbers.items():
            self.set_number(name, value)
        for name in ("capacitance", "g_na", "g_k", "g_leak"):
            lowest = float(self.get_buffer(name).min())
            positive = name in ("capacitance", "g_leak")  # without a leak the membrane could lose every conductance
            if lowest < 0 or (positive and lowest == 0):
                raise InputError(f"{name} must be {'above' if positive else 'at least'} 0, got {lowest!r}.")
        self.spike_at = float(check_number(spike_at, "spike_at"))
        self.surrogate = surrogates.resolve(surrogate)
        self.surrogate_scale = float(check_number(surrogate_scale, "surrogate_scale", low=0.0, closed="neither"))

    def resting_state(self, x: Tensor) -> HodgkinHuxleyState:
        """Return `v_start` and the steady state of the channels there."""
        v = torch.zeros_like(x) + self.v_start
        return HodgkinHuxleyState(v, *steady_state(v).unbind(0))

    def step(self, x: Tensor, state: HodgkinHuxleyState) -> tuple[Tensor, HodgkinHuxleyState]:
        """Return the spikes of one step of the input, (batch, *features) in µA/cm², and the state after it."""
        dt_ms = 1e3 * self.dt / self.substeps
        advance = self._runge_kutta if self.method == "rk4" else self._exponential_euler
        spikes = None
        for _ in range(self.substeps):
            below = (state.membrane <= self.spike_at).to(x.dtype)
            state = advance(x, state, dt_ms)
            crossed = below * spike((state.membrane - self.spike_at) / self.surrogate_scale, self.surrogate)
            # A spike in any of the substeps: 1 - (1 - a)(1 - b).
            spikes = crossed if spikes is None else spikes + (1.0 - spikes) * crossed
        assert spikes is not None  # at least one substep
        return spikes, state

    def currents(self, state: HodgkinHuxleyState) -> Tensor:
        """Return the ionic current that leaves the membrane, in µA/cm²."""
        v = state.membrane
        sodium, potassium, leak = self._conductances(state.m, state.h, state.n)
        return sodium * (v - self.e_na) + potassium * (v - self.e_k) + leak * (v - self.e_leak)

    def _conductances(self, m: Tensor, h: Tensor, n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.g_na * h * m * m * m, self.g_k * (n * n).square(), self.g_leak

    def _exponential_euler(self, x: Tensor, state: HodgkinHuxleyState, dt_ms: float) -> HodgkinHuxleyState:
        v = state.membrane
        alphas, speeds = rates(v)
        gates = _relaxed(torch.stack(state[1:]), alphas / speeds, dt_ms * speeds)
        m, h, n = gates.unbind(0)
        sodium, potassium, leak = self._conductances(m, h, n)
        total = sodium + potassium + leak
        end = (sodium * self.e_na + potassium * self.e_k + leak * self.e_leak + x) / total
        return HodgkinHuxleyState(_relaxed(v, end, dt_ms / self.capacitance * total), m, h, n)

    def _runge_kutta(self, x: Tensor, state: HodgkinHuxleyState, dt_ms: float) -> HodgkinHuxleyState:
        start = torch.stack(state)
        first = self._derivative(x, start)
        second = self._derivative(x, start + dt_ms / 2 * first)
        third = self._derivative(x, start + dt_ms / 2 * second)
        fourth = self._derivative(x, start + dt_ms * third)
        return HodgkinHuxleyState(*(start + dt_ms / 6 * (first + 2.0 * (second + third) + fourth)).unbind(0))

    def _derivative(self, x: Tensor, stacked: Tensor) -> Tensor:
        """Change per ms of the stacked V, m, h, n."""
        state = HodgkinHuxleyState(*stacked.unbind(0))
        alphas, speeds = rates(state.membrane)
        dv = (x - self.currents(state)) / self.capacitance
        return torch.cat((dv.unsqueeze(0), alphas - speeds * stacked[1:]))

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"{self.shape}, dt={self.dt:g}, substeps={self.substeps}, method={self.method!r}"


def rates(v: Tensor) -> tuple[Tensor, Tensor]:
    """Opening rates of m, h, n, and the sums of their opening and closing rates, stacked, per ms; `v` in mV."""
    m_opens, n_opens = _linoid(torch.stack(((v + 40.0) / 10.0, (v + 55.0) / 10.0))).unbind(0)
    above = v + 65.0
    alphas = torch.stack((m_opens, 0.07 * torch.exp(above / -20.0), 0.1 * n_opens))
    betas = torch.stack(
        (4.0 * torch.exp(above / -18.0), torch.sigmoid((v + 35.0) / 10.0), 0.125 * torch.exp(above / -80.0))
    )
    return alphas, alphas + betas


def steady_state(v: Tensor) -> Tensor:
    """m, h and n, stacked, long after the membrane was clamped to `v` in mV."""
    alphas, speeds = rates(v)
    return alphas / speeds


def _linoid(z: Tensor) -> Tensor:
    """``z / (1 - exp(-z))``, by its series where that is 0 / 0."""
    near = z.abs() < 1e-3
    minus = -z.masked_fill(near, 1.0)
    return torch.where(near, 1.0 + z * (0.5 + z / 12.0), minus / torch.expm1(minus))


def _relaxed(value: Tensor, end: Tensor, elapsed: Tensor) -> Tensor:
    """Exponential approach from `value` to `end` over `elapsed` time constants."""
    return end + (value - end) * torch.exp(-elapsed)
