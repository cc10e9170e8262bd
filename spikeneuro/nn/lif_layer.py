"""What feed-forward and recurrent leaky integrate-and-fire layers share: parameters, running, stepping."""

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
from spikeneuro.nn.rhythm import Modulation, bound
from spikeneuro.nn.rhythm_pattern import RhythmState, begin, end, mask_for
from spikeneuro.nn.rhythm_threshold import ThresholdWave, lif_with_wave
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
        rhythm: Modulation | None = None,
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
        self.rhythm = bound(rhythm, self.shape, self.dt, device)
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
        state: Any = None,
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
        state : LIFState or RhythmState, optional
            State before the first step, from an earlier `run`; at rest by default. With a rhythm it holds the steps
            passed, too: ``RhythmState(LIFState(), step=100)`` starts at rest and 100 steps into the rhythm.
        record : sequence of str
            Traces to return: "membrane" (after the reset), "potential" (before it), "current", "adaptation",
            "threshold", "spikes".
        mask : Tensor, optional
            Who is ON (1) and OFF (0), broadcasts to `x`; for layers without a rhythm of their own.

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
        passed, neurons = begin(self.rhythm, state)
        mask = mask_for(self.rhythm, x, passed, mask)
        if self.adaptation_start and (neurons is None or neurons.adaptation is None):
            start = x.new_full(x.shape[1:], self.adaptation_start)
            neurons = (neurons or ops.LIFState())._replace(adaptation=start)
        options: dict[str, Any] = {
            "delay": self.recurrence().delay, "state": neurons, "settings": self.settings,
            "keep_potential": bool({"membrane", "potential"} & set(names)), "keep_current": "current" in names,
            "keep_adaptation": parameters.rho is not None and bool(names), "backend": self.backend,
        }  # fmt: skip
        if isinstance(self.rhythm, ThresholdWave):
            output, parameters = lif_with_wave(x, parameters, self.rhythm, passed, **options)
        else:
            output = ops.lif(x, **parameters._asdict(), mask=mask, **options)
        after = end(self.rhythm, output.state, passed + len(x))
        return LIFResult(output.spikes, after, {name: trace(name, output, parameters, self.settings) for name in names})

    def step(
        self, x: Tensor, state: ops.LIFState | RhythmState | None = None
    ) -> tuple[Tensor, ops.LIFState | RhythmState]:
        """Run one step, for loops that change something between steps (online plasticity, a stream of samples).

        The same as `run` on a sequence of one step, on every backend.

        Parameters
        ----------
        x : Tensor
            Input current of the step, (batch, *features).
        state : LIFState or RhythmState, optional
            State before it; at rest by default.

        Returns
        -------
        spikes : Tensor
            (batch, *features).
        state : LIFState or RhythmState
            State after it; a `RhythmState` where the layer has a rhythm.
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
