"""Adaptive neurons as published with LSNN, in what a LIF layer cannot do."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.nn.decay import Decay, Value
from spikeneuro.nn.rhythm import Modulation
from spikeneuro.nn.rhythm_pattern import RhythmState
from spikeneuro.nn.stepped import SteppedLayer
from spikeneuro.ops import spike, surrogates

TIMINGS = ("same_step", "next_step")
LEARNABLE = ("tau_mem", "tau_adapt")


class AdaptiveLIFState(NamedTuple):
    """State of `AdaptiveLIF`: tensors (batch, *features).

    Parameters
    ----------
    membrane : Tensor
        Membrane; the reset of a spike comes in the next step.
    adaptation : Tensor
        Adaptation variable.
    history : Tensor
        Last spikes, oldest first, (delay + 1, batch, *features).
    refractory : Tensor
        Refractory steps left.
    pending : Tensor
        1 where a reset is due.
    """

    membrane: Tensor
    adaptation: Tensor
    history: Tensor
    refractory: Tensor
    pending: Tensor


class AdaptiveLIF(SteppedLayer):
    r"""Adaptive neurons of LSNN, on their own or connected all to all.

    With :math:`\beta = \exp(-dt / \tau_{mem})` and :math:`\rho = \exp(-dt / \tau_{adapt})`,

    .. math::

        a_t &= \rho \, a_{t-1} + (1 - \rho) \, s_{t-1}, \quad \theta_t = \theta + \kappa \, a_t \\
        u_t &= \beta \, u_{t-1} + (1 - \beta) (x_t + W s_{t-1-delay} + b) - \theta_t \, s_{t-1} \\
        s_t &= H(u_t - \theta_t) \quad \text{while not refractory}

    These are the neurons of ``LIF(gain="1-beta", reset_timing="next_step")`` and `RecurrentLIF` with adaptation, which
    are much faster: this class runs as a loop in torch. It is for what those lack: a surrogate relative to the adapted
    threshold, the comparison of LSNN's released program, and neurons that do not reach themselves.

    Parameters
    ----------
    shape : int or sequence of int
        Shape that broadcasts to the features, see `SpikingLayer`; the number of neurons if `recurrent`.
    tau_mem, tau_adapt : float, Tensor or Heterogeneity, default 0.02, 0.2
        Time constants of membrane and adaptation in seconds, above 0.
    dt : float, default 0.001
        Length of a step in seconds.
    threshold : float, Tensor or Heterogeneity, default 0.01
        Threshold without adaptation.
    kappa : float, Tensor or Heterogeneity, default 1.8
        Rise of the threshold per unit of adaptation; 0 for neurons that do not adapt.
    adaptation_start : float, default 0
        Adaptation before the first step.
    refractory : int, default 0
        Steps after a spike without another one; input is integrated meanwhile.
    spike_timing : {"same_step", "next_step"}
        Which membrane is compared with :math:`\theta_t`: :math:`u_t`, or :math:`u_{t-1}` as in LSNN's released program.
    recurrent : bool, default False
        Whether the neurons are connected; W starts normal with variance 1 / n, b at 0, both learned.
    self_connections : bool, default True
        Whether a neuron reaches itself; if not, the diagonal of W has no effect.
    bias : bool, default False
        Whether there is a b.
    delay : int, default 0
        Additional steps before a spike reaches the other neurons.
    surrogate : str or Surrogate, default "multi_gaussian"
        Derivative of the spike, a name or an object of `spikeneuro.ops.surrogates`.
    relative_surrogate : bool, default False
        Whether the surrogate's argument is :math:`(u - \theta_t) / \theta_t`, as in LSNN, and not the difference.
    preserve_reset : bool, default False
        With a rhythm or a mask: whether a reset due in an OFF step waits for the next ON step, or is lost.
    rhythm : Rhythm or MixRhythm, optional
        When each neuron is ON. Where OFF, the membrane keeps its value and there is no spike; the adaptation runs on.
    learn : str or sequence of str
        "tau_mem", "tau_adapt" or both: learned as their logarithm.
    dtype, device : optional
        As for torch's layers.

    Raises
    ------
    InputError
        For a number out of range or of a shape that does not broadcast, and for options that do not go together.

    See Also
    --------
    spikeneuro.nn.presets.lsnn : The settings of the publication.

    References
    ----------
    Bellec et al. (2018), arXiv:1803.09574.

    Examples
    --------
    Constant input, and ever longer pauses:

    >>> layer = AdaptiveLIF(1, threshold=0.1, kappa=4.0)
    >>> layer(torch.full((60, 1, 1), 0.5)).flatten().nonzero().flatten().tolist()
    [4, 11, 18, 27, 37, 48, 59]
    """

    threshold: Tensor
    kappa: Tensor

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        tau_mem: Value = 0.02,
        tau_adapt: Value = 0.2,
        dt: float = 0.001,
        threshold: Value = 0.01,
        kappa: Value = 1.8,
        adaptation_start: float = 0.0,
        refractory: int = 0,
        spike_timing: str = "same_step",
        recurrent: bool = False,
        self_connections: bool = True,
        bias: bool = False,
        delay: int = 0,
        surrogate: str | surrogates.Surrogate = "multi_gaussian",
        relative_surrogate: bool = False,
        preserve_reset: bool = False,
        rhythm: Modulation | None = None,
        learn: str | Sequence[str] = (),
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        step = float(check_number(dt, "dt", low=0.0, closed="neither"))
        super().__init__(shape, dt=step, rhythm=rhythm, dtype=dtype, device=device)
        self.dt, self.preserve_reset = step, preserve_reset
        self.learn = (learn,) if isinstance(learn, str) else tuple(learn)
        for name in self.learn:
            check_choice(name, LEARNABLE, "learn")
        self.membrane_decay = self._decay(tau_mem, ("tau_mem", "beta"))
        self.adaptation_decay = self._decay(tau_adapt, ("tau_adapt", "rho"))
        self.set_number("threshold", threshold)
        self.set_number("kappa", kappa)
        self.adaptation_start = float(check_number(adaptation_start, "adaptation_start"))
        self.refractory = int(check_number(refractory, "refractory", low=0, integer=True))
        self.spike_timing = check_choice(spike_timing, TIMINGS, "spike_timing")
        self.self_connections, self.relative_surrogate = self_connections, relative_surrogate
        self.surrogate = surrogates.resolve(surrogate)
        if relative_surrogate and bool((self.threshold <= 0).any()):
            raise InputError(f"relative_surrogate=True needs threshold above 0, got {float(self.threshold.min())!r}.")
        self._connect(recurrent, bias, delay)

    def _decay(self, tau: Value, names: tuple[str, str]) -> Decay:
        learned = names[0] if names[0] in self.learn else None
        return Decay(tau, None, dt=self.dt, names=names, shape=self.shape, learn=learned, **self._place)

    def _connect(self, recurrent: bool, bias: bool, delay: int) -> None:
        self.delay = int(check_number(delay, "delay", low=0, integer=True))
        if not recurrent:
            if bias or delay or not self.self_connections:
                raise InputError("bias, delay and self_connections belong to recurrent=True.")
            self.weight, self.bias = None, None
            return
        if len(self.shape) != 1:
            raise InputError(f"recurrent=True takes the number of neurons as shape, got {self.shape}.")
        n = self.shape[0]
        self.weight = nn.Parameter(torch.randn(n, n, **self._place) / n**0.5)
        self.bias = nn.Parameter(torch.zeros(n, **self._place)) if bias else None
        if not self.self_connections:
            self.register_buffer("_others", 1.0 - torch.eye(n, **self._place), persistent=False)

    def resting_state(self, x: Tensor) -> AdaptiveLIFState:
        """Return a membrane of 0, the adaptation at its start, and no spikes."""
        zero = torch.zeros_like(x)
        history = x.new_zeros((self.delay + 1, *x.shape))
        return AdaptiveLIFState(zero, zero + self.adaptation_start, history, zero, zero)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, AdaptiveLIFState | RhythmState]:
        """Return the spikes of one step of the input, (batch, *features), and the state after it."""
        if self.rhythm is None:
            return self._advance(x, state, None)
        result = self.run(x.unsqueeze(0), state)
        return result.spikes[0], result.state

    def masked_step(self, x: Tensor, state: AdaptiveLIFState, on: Tensor) -> tuple[Tensor, AdaptiveLIFState]:
        """Return the spikes of a step in which some neurons are OFF, and the state after it."""
        return self._advance(x, state, on)

    def _advance(self, x: Tensor, state: AdaptiveLIFState, on: Tensor | None) -> tuple[Tensor, AdaptiveLIFState]:
        beta, rho = self.membrane_decay(), self.adaptation_decay()
        before = state.history[-1]
        a = rho * state.adaptation + (1.0 - rho) * before
        threshold = self.threshold + self.kappa * a
        if self.weight is not None:
            weight = self.weight if self.self_connections else self.weight * self.get_buffer("_others")
            x = x + functional.linear(state.history[0], weight, self.bias)
        u = beta * state.membrane + (1.0 - beta) * x - threshold * state.pending
        above = (state.membrane if self.spike_timing == "next_step" else u) - threshold
        s = spike(above / threshold if self.relative_surrogate else above, self.surrogate)
        s = s * (state.refractory <= 0).to(s.dtype)
        pending = s
        if on is not None:
            s, u = s * on.to(s.dtype), torch.where(on, u, state.membrane)
            pending = torch.where(on, s, state.pending) if self.preserve_reset else s
        left = torch.where(s > 0, float(self.refractory), (state.refractory - 1.0).clamp(min=0.0))
        history = torch.cat((state.history[1:], s.unsqueeze(0)))
        return s, AdaptiveLIFState(u, a, history, left, pending)

    def observe(self, state: AdaptiveLIFState) -> dict[str, Tensor]:
        """Return membrane, adaptation and the threshold in effect."""
        threshold = self.threshold + self.kappa * state.adaptation
        return {"membrane": state.membrane, "adaptation": state.adaptation, "threshold": threshold}

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return (
            f"{self.shape}"
            + (", recurrent" if self.weight is not None else "")
            + (f", learn={self.learn}" if self.learn else "")
        )
