"""Leaky integrate-and-fire layers, feed-forward and recurrent."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikeneuro import ops
from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.nn.base import LIFResult, SpikingLayer
from spikeneuro.nn.decay import Decay, Value, values
from spikeneuro.nn.traces import TRACES, trace
from spikeneuro.ops import surrogates

LEARNABLE = (
    "tau_mem", "beta", "tau_syn", "alpha", "tau_adapt", "rho",
    "threshold", "v_rest", "v_reset", "gain", "kappa",
)  # fmt: skip


class Recurrence(NamedTuple):
    """Connections of a layer with itself."""

    weight: Tensor | None = None
    bias: Tensor | None = None
    delay: int = 0


class LIFLayer(SpikingLayer):
    r"""Base of the leaky integrate-and-fire layers; see `LIF` for what is computed and for the parameters."""

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        tau_mem: Value = 0.02,
        dt: float = 0.004,
        beta: Value | None = None,
        tau_syn: Value | None = None,
        alpha: Value | None = None,
        threshold: Value = 1.0,
        v_rest: Value = 0.0,
        v_reset: Value = 0.0,
        gain: Value | str = 1.0,
        reset: str = "subtract",
        reset_timing: str = "same_step",
        detach_reset: bool = False,
        comparison: str = ">",
        zero_discards_input: bool = False,
        refractory: int = 0,
        refractory_integrates: bool = True,
        tau_adapt: Value | None = None,
        rho: Value | None = None,
        kappa: Value | None = None,
        adaptation_start: float = 0.0,
        preserve_reset: bool = False,
        surrogate: str | surrogates.Surrogate = "fast_sigmoid",
        learn: str | Sequence[str] = (),
        backend: str = "auto",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(shape)
        self.dt = float(check_number(dt, "dt", low=0.0, closed="neither"))
        self.backend = check_choice(backend, ops.BACKENDS, "backend")
        self.settings = ops.LIFSettings(
            reset, reset_timing, detach_reset, comparison, zero_discards_input, refractory, refractory_integrates,
            preserve_reset, surrogates.resolve(surrogate),
        )  # fmt: skip
        self._place: dict[str, Any] = {"dtype": dtype, "device": device}
        self.learn = (learn,) if isinstance(learn, str) else tuple(learn)
        for name in self.learn:
            check_choice(name, LEARNABLE, "learn")
        self.membrane_decay = self._decay(None if beta is not None else tau_mem, beta, ("tau_mem", "beta"))
        self.synaptic_decay = self._decay(tau_syn, alpha, ("tau_syn", "alpha"))
        self.adaptation_decay = self._decay(tau_adapt, rho, ("tau_adapt", "rho"))
        if (self.adaptation_decay is None) != (kappa is None):
            raise InputError(
                "adaptation needs both its decay (tau_adapt or rho) and its strength kappa; one is missing."
            )
        self.adaptation_start = float(check_number(adaptation_start, "adaptation_start"))
        if self.adaptation_start and kappa is None:
            raise InputError("adaptation_start belongs to adaptation: give kappa and tau_adapt.")
        self.normalised = isinstance(gain, str)
        if isinstance(gain, str):
            check_choice(gain, ("1-beta",), "gain")
            if "gain" in self.learn:
                raise InputError("gain='1-beta' follows from beta and cannot be learned; give a number to learn it.")
        else:
            self._number("gain", gain)
        self._number("threshold", threshold)
        self._number("v_rest", v_rest)
        self._number("v_reset", v_reset)
        if kappa is not None:
            self._number("kappa", kappa)
        elif "kappa" in self.learn:
            raise InputError("learn='kappa' needs adaptation: give kappa and tau_adapt.")

    def _decay(self, tau: Value | None, decay: Value | None, names: tuple[str, str]) -> Decay | None:
        learned = [name for name in names if name in self.learn]
        if tau is None and decay is None:
            if learned:
                raise InputError(f"learn={learned[0]!r} needs {learned[0]} to be given.")
            return None
        if tau is not None and decay is not None:
            raise InputError(f"give {names[0]} or {names[1]}, not both.")
        if len(learned) > 1:
            raise InputError(f"learn one of {names[0]} and {names[1]}, not both.")
        return Decay(
            tau, decay, dt=self.dt, names=names, shape=self.shape, learn=learned[0] if learned else None, **self._place
        )

    def _number(self, name: str, value: Value) -> None:
        """Keep a number per neuron as a parameter or a buffer of that name."""
        kind = self._place["dtype"] or torch.get_default_dtype()
        tensor = values(value, name, self.shape, self._place["device"]).to(kind)
        if name in self.learn:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    @property
    def beta(self) -> Tensor:
        """Decay of the membrane per step now in effect."""
        assert self.membrane_decay is not None
        return self.membrane_decay()

    @property
    def tau_mem(self) -> Tensor:
        """Membrane time constant now in effect, in seconds."""
        assert self.membrane_decay is not None
        return self.membrane_decay.tau

    @property
    def alpha(self) -> Tensor | None:
        """Decay of the synaptic current per step now in effect; None without one."""
        return None if self.synaptic_decay is None else self.synaptic_decay()

    @abstractmethod
    def recurrence(self) -> Recurrence:
        """Connections of the layer with itself."""

    def parameters_now(self) -> ops.LIFParameters:
        """Numbers of the recurrence now in effect, as the op takes them."""
        beta = self.beta
        adapts = self.adaptation_decay is not None
        weight, bias, _ = self.recurrence()
        return ops.LIFParameters(
            beta=beta,
            gain=1.0 - beta if self.normalised else self._get("gain"),
            threshold=self._get("threshold"),
            v_rest=self._get("v_rest"),
            v_reset=self._get("v_reset"),
            alpha=self.alpha,
            rho=self.adaptation_decay() if self.adaptation_decay is not None else None,
            kappa=self._get("kappa") if adapts else None,
            weight=weight,
            bias=bias,
        )

    def _get(self, name: str) -> Tensor:
        tensor = getattr(self, name)
        assert isinstance(tensor, Tensor)
        return tensor

    def run(
        self,
        x: Tensor,
        state: ops.LIFState | None = None,
        record: Sequence[str] = (),
        *,
        mask: Tensor | None = None,
    ) -> LIFResult:
        """Run a piece of a sequence and return its state and traces.

        Two pieces run one after the other, the second from the state of the first, equal the whole.

        Parameters
        ----------
        x : Tensor
            Input current, (time, batch, *features).
        state : LIFState, optional
            State before the first step, from an earlier `run`; at rest by default.
        record : sequence of str
            Traces to return: "membrane" (after the reset), "potential" (before it), "current", "adaptation",
            "threshold", "spikes".
        mask : Tensor, optional
            Rhythm, 0 (OFF) or 1 (ON), broadcasts to `x`.

        Returns
        -------
        LIFResult
            Spikes, final state, traces.

        Raises
        ------
        InputError
            For an input or state of the wrong shape, or an unknown trace.
        """
        self.check_input(x)
        names = (record,) if isinstance(record, str) else tuple(record)
        for name in names:
            check_choice(name, TRACES, "record")
        parameters = self.parameters_now()
        if "adaptation" in names and parameters.rho is None:
            raise InputError("record='adaptation' needs a layer with adaptation: give kappa and tau_adapt.")
        if self.adaptation_start and (state is None or state.adaptation is None):
            start = x.new_full(x.shape[1:], self.adaptation_start)
            state = (state or ops.LIFState())._replace(adaptation=start)
        output = ops.lif(
            x, **parameters._asdict(), delay=self.recurrence().delay, mask=mask, state=state, settings=self.settings,
            keep_potential=bool({"membrane", "potential"} & set(names)), keep_current="current" in names,
            keep_adaptation=parameters.rho is not None and bool(names), backend=self.backend,
        )  # fmt: skip
        return LIFResult(
            output.spikes, output.state, {name: trace(name, output, parameters, self.settings) for name in names}
        )

    def step(self, x: Tensor, state: ops.LIFState | None = None) -> tuple[Tensor, ops.LIFState]:
        """Run one step, for loops that change something between steps (online plasticity, a stream of samples).

        The same as `run` on a sequence of one step, on every backend.

        Parameters
        ----------
        x : Tensor
            Input current of the step, (batch, *features).
        state : LIFState, optional
            State before it; at rest by default.

        Returns
        -------
        spikes : Tensor
            (batch, *features).
        state : LIFState
            State after it.
        """
        result = self.run(x[None], state)
        return result.spikes[0], result.state

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        s = self.settings
        shown = f"{self.shape}, reset={s.reset!r}, surrogate={s.surrogate!r}"
        if s.reset_timing != "same_step":
            shown += f", reset_timing={s.reset_timing!r}"
        return shown + (f", learn={self.learn}" if self.learn else "")


class LIF(LIFLayer):
    r"""Leaky integrate-and-fire neurons, each on its own.

    In continuous time :math:`\tau_{mem} \, dv/dt = -(v - v_{rest}) + R \, i(t)`, with a spike and a reset whenever v
    crosses the threshold. Computed, with :math:`\beta = \exp(-dt / \tau_{mem})`, is

    .. math::

        i_t &= \alpha \, i_{t-1} + x_t \\
        a_t &= \rho \, a_{t-1} + (1 - \rho) \, s_{t-1} \\
        u_t &= v_{rest} + \beta \, (v_{t-1} - v_{rest}) + gain \cdot i_t \\
        s_t &= H(u_t - \theta_t), \quad \theta_t = \theta + \kappa \, a_t \\
        v_t &= u_t - \theta_t \, s_t

    the last line being the default reset; ``reset_timing="next_step"`` takes :math:`\theta_t \, s_{t-1}` from
    :math:`u_t` instead. The backward pass replaces the derivative of H by the surrogate's.
    Without `tau_syn` or `alpha` the current is the input; without `kappa` the threshold is constant.

    Parameters
    ----------
    shape : int or sequence of int
        Shape that broadcasts to the features: ``128`` for (time, batch, 128), ``(16, 1, 1)`` for feature maps of 16
        channels, ``()`` for any.
    tau_mem : float, Tensor or Heterogeneity, default 0.02
        Membrane time constant in seconds, above 0. As all numbers here, one for all neurons or a tensor that
        broadcasts to `shape`.
    dt : float, default 0.004
        Length of a step in seconds.
    beta : float, Tensor or Heterogeneity, optional
        Membrane decay per step in [0, 1], in place of `tau_mem` and used bit for bit.
    tau_syn, alpha : float, Tensor or Heterogeneity, optional
        Time constant in seconds, or decay per step, of the synaptic current.
    threshold, v_rest, v_reset : float, Tensor or Heterogeneity
        Threshold, resting potential, and potential after a reset to "zero". Dimensionless.
    gain : float, Tensor, Heterogeneity or "1-beta", default 1
        Factor of the current; ``"1-beta"`` makes a constant input x settle at x.
    reset : {"subtract", "zero", "none"}
        What a spike does to the membrane.
    reset_timing : {"same_step", "next_step"}
        When; "next_step" is snnTorch's default, and that of LSNN and SRNN.
    detach_reset : bool, default False
        Whether the reset carries no gradient.
    comparison : {">", ">="}
        Whether a membrane exactly at the threshold fires; ">=" as in SpikingJelly.
    zero_discards_input : bool, default False
        With a reset to zero in the next step: also discard the input of that step, as snnTorch's Synaptic does.
    refractory : int, default 0
        Steps after a spike without another one.
    refractory_integrates : bool, default True
        Whether input is integrated meanwhile.
    tau_adapt, rho : float, Tensor or Heterogeneity, optional
        Time constant in seconds, or decay per step, of the adaptation.
    kappa : float, Tensor or Heterogeneity, optional
        Rise of the threshold per unit of adaptation.
    adaptation_start : float, default 0
        Adaptation before the first step.
    preserve_reset : bool, default False
        With a mask: whether a pending reset waits for the next ON step.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Derivative of the spike, a name or an object of `spikeneuro.ops.surrogates`.
    learn : str or sequence of str
        Numbers to learn: "tau_mem" or "beta", "tau_syn" or "alpha", "tau_adapt" or "rho", "threshold", "v_rest",
        "v_reset", "gain", "kappa". Time constants are learned as their logarithm, decays as their logit.
    backend : {"auto", "reference", "numba", "triton"}
        "auto" takes the fastest that can do it; one that is named never gives way to another.
    dtype, device : optional
        As for torch's layers.

    Raises
    ------
    InputError
        For a number out of range or of a shape that does not broadcast, and for options that do not go together.

    References
    ----------
    Gerstner et al. (2014), Neuronal Dynamics, chapter 1; Neftci et al. (2019), doi:10.1109/MSP.2019.2931595.

    Examples
    --------
    >>> layer = LIF(1, beta=0.8)
    >>> layer(torch.full((8, 1, 1), 0.4)).flatten().tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    """

    def recurrence(self) -> Recurrence:
        """Return no connections."""
        return Recurrence()


class RecurrentLIF(LIFLayer):
    r"""Leaky integrate-and-fire neurons, connected all to all.

    As `LIF`, with the current

    .. math:: i_t = \alpha \, i_{t-1} + x_t + W \, s_{t-1-delay} + b

    Parameters
    ----------
    n_neurons : int
        Number of neurons; input is (time, batch, n_neurons).
    bias : bool, default True
        Whether there is a constant input b, learned.
    delay : int, default 0
        Additional steps before a spike reaches the other neurons.
    recurrent_scale : float, default 1
        W starts uniform between ± recurrent_scale / sqrt(n_neurons), b at 0.
    **options
        Those of `LIF`.

    Raises
    ------
    InputError
        As for `LIF`.

    Examples
    --------
    >>> layer = RecurrentLIF(3)
    >>> layer(torch.zeros(5, 2, 3)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(
        self, n_neurons: int, *, bias: bool = True, delay: int = 0, recurrent_scale: float = 1.0, **options: Any
    ) -> None:
        super().__init__(n_neurons, **options)
        if len(self.shape) != 1:
            raise InputError(f"n_neurons must be an integer, got {n_neurons!r}.")
        self.delay = int(check_number(delay, "delay", low=0, integer=True))
        self.recurrent_scale = float(check_number(recurrent_scale, "recurrent_scale", low=0.0))
        place = {"dtype": options.get("dtype"), "device": options.get("device")}
        self.weight = nn.Parameter(torch.empty(n_neurons, n_neurons, **place))
        self.bias = nn.Parameter(torch.empty(n_neurons, **place)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the recurrent weights anew from torch's global generator."""
        bound = self.recurrent_scale / self.shape[0] ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def recurrence(self) -> Recurrence:
        """Return the recurrent weights, bias and delay."""
        return Recurrence(self.weight, self.bias, self.delay)
