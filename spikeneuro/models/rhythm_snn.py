"""Spiking layers whose neurons are ON in a rhythm, between an encoder and a readout."""

import inspect
from collections.abc import Sequence
from typing import Any

from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_sfreq
from spikeneuro.models.layered_snn import LayeredSNN
from spikeneuro.models.spiking import as_encoder, as_surrogate, log_spaced
from spikeneuro.nn import LIF, LIFLayer, MixRhythm, RecurrentLIF, Rhythm
from spikeneuro.nn.rhythm import UNITS, Modulation
from spikeneuro.ops.surrogates import Surrogate

RHYTHMS = ("cycle", "mix", "none")

Pair = tuple[float, float]


class RhythmSNN(LayeredSNN):
    r"""Spiking network whose neurons are ON during a part of their cycle, each at its own pace.

    .. code-block:: text

        encoder            (batch, channels, times) -> (steps, batch, features)
        each layer         linear, normalisation, (recurrent) neurons with a rhythm, dropout
        readout            logits (batch, n_outputs), or with task="steps" (batch, n_outputs, times)

    Where a neuron is OFF, its membrane waits, it does not fire and costs nothing, and the gradient passes through the
    step unchanged: slow cycles reach far back in time. See `spikeneuro.nn.Rhythm`. Everything else is as in
    `RecurrentSNN`, whose readouts these are. Signals, streams (`run`, which goes on in the rhythm) and labels of steps
    are taken as they come; feature vectors as signals of one channel, read one feature after the other.

    The published settings of several benchmarks: `spikeneuro.models.rhythm_presets.published`.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples; other lengths are accepted as well.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Sampling frequency in hertz; needed with ``tau_unit="seconds"``, and for cycles in seconds or hertz.
    task : {"classification", "regression", "steps"}, default "classification"
        With "steps" every time step is labelled.
    hidden : int or sequence of int, default 64
        Neurons of each layer.
    n_layers : int, optional
        Number of layers; 1 by default, or as many as `hidden` names.
    recurrent : bool or sequence of bool, default True
        Whether the neurons of a layer are connected, for all or for each layer.
    rhythm : {"cycle", "mix", "none"}, default "cycle"
        "cycle" is `Rhythm`, "mix" is `MixRhythm` with the shortest and longest cycle of `cycle` in steps, which has no
        `duty`, `phase`, `rounding`, `min_on` or `across`, "none" the same network without modulation.
    cycle : (float, float) or one pair per layer, default (1, 50)
        Length of the cycle of the first and the last neuron of a layer in `cycle_unit`; with "hertz" its frequency.
    cycle_unit : {"steps", "seconds", "hertz"}, default "steps"
        Unit of `cycle`; steps are those of the encoder.
    duty : (float, float) or one pair per layer, default (0.1, 0.5)
        Share of the cycle that is ON, of the first and the last neuron.
    phase : float, default 0.5
        Delays of the first ON part reach from 0 to this share of the longest cycle.
    rounding : {"round", "ceil", "none"}, default "ceil"
        How cycles and ON times become whole steps; "none" keeps frequencies exactly.
    min_on : {0, 1}, default 0
        Least number of ON steps in a cycle.
    across : {"ramp", "drawn"}, default "ramp"
        Whether cycle, duty and phase rise together over the neurons, or are drawn each by itself.
    tau_unit : {"seconds", "steps"}, default "seconds"
        Unit of all time constants.
    tau : (float, float), optional
        Shortest and longest membrane time constant of a layer's neurons, log-spaced; default 0.01 to 0.5 seconds, or 1
        to 50 steps.
    tau_syn : (float, float), optional
        The same for a synaptic current, which runs on while a neuron is OFF; none by default.
    tau_adapt : (float, float), optional
        The same for the adaptation; needed with `kappa`.
    tau_readout : (float, float), optional
        The same for the outputs' leaky integrators; default 0.01 to 0.1 seconds, or 1 to 10 steps.
    learn_tau : bool, default True
        Whether all time constants are learned.
    kappa : float, default 0
        Rise of the threshold per unit of adaptation; 0 for neurons that do not adapt.
    adaptation_start : float, default 0
        Adaptation at the first step; with `kappa` only.
    threshold : float, default 1
        Threshold without adaptation.
    gain : float or "1-beta", default 1
        Factor of the input current.
    reset : {"subtract", "zero", "none"}, default "subtract"
        What a spike does to the membrane.
    reset_timing : {"same_step", "next_step"}, default "same_step"
        When; with "next_step", as published, a reset due in an OFF step is lost.
    preserve_reset : bool, default False
        Whether it waits for the next ON step instead; with "next_step" only.
    norm : {"batch", "layer", "none"}, default "batch"
        Normalisation of the input current of each layer.
    readout : {"rate", "leaky", "max", "last"}, default "rate"
        Readout over time; not used with ``task="steps"``.
    recurrent_scale : float, default 0.5
        Recurrent weights start uniform between ± recurrent_scale / sqrt(neurons).
    encoder : str or Encoder, default "direct"
        Name of an encoder or the object.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Surrogate gradient; by that name, with slope 5.
    drop_prob : float, default 0.1
        Dropout of each layer's spikes.
    recompute : int or "sqrt", optional
        Train in this many segments of time, as `RecurrentSNN` does.

    Raises
    ------
    InputError
        If a size is not positive, an option is unknown or out of range, `sfreq` is missing where times are in seconds
        or hertz, or an input does not have the shape ``(batch, n_chans, times)``.

    Warns
    -----
    RhythmWarning
        If the rhythm leaves every neuron ON, or some OFF for ever.

    References
    ----------
    Yan et al. (2025), doi:10.1038/s41467-025-63771-x.

    Examples
    --------
    Neurons in theta to gamma rhythms, on EEG at 250 Hz:

    >>> import torch
    >>> model = RhythmSNN(19, 500, 2, sfreq=250.0, cycle=(4, 80), cycle_unit="hertz", rounding="none", min_on=1)
    >>> model(torch.randn(3, 19, 500)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        task: str = "classification",
        hidden: int | Sequence[int] = 64,
        n_layers: int | None = None,
        recurrent: bool | Sequence[bool] = True,
        rhythm: str = "cycle",
        cycle: Pair | Sequence[Pair] = (1, 50),
        cycle_unit: str = "steps",
        duty: Pair | Sequence[Pair] = (0.1, 0.5),
        phase: float = 0.5,
        rounding: str = "ceil",
        min_on: int = 0,
        across: str = "ramp",
        tau_unit: str = "seconds",
        tau: Pair | None = None,
        tau_syn: Pair | None = None,
        tau_adapt: Pair | None = None,
        tau_readout: Pair | None = None,
        learn_tau: bool = True,
        kappa: float = 0.0,
        adaptation_start: float = 0.0,
        threshold: float = 1.0,
        gain: float | str = 1.0,
        reset: str = "subtract",
        reset_timing: str = "same_step",
        preserve_reset: bool = False,
        norm: str = "batch",
        readout: str = "rate",
        recurrent_scale: float = 0.5,
        encoder: str | Encoder = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.1,
        recompute: int | str | None = None,
    ) -> None:
        sizes = _sizes(hidden, n_layers)
        encoder = as_encoder(encoder)
        check_choice(rhythm, RHYTHMS, "rhythm")
        check_choice(cycle_unit, UNITS, "cycle_unit")
        check_number(kappa, "kappa", low=0.0)
        if (tau_adapt is None) != (kappa == 0):
            raise InputError(f"kappa and tau_adapt belong together, got kappa={kappa!r} and tau_adapt={tau_adapt!r}.")
        if kappa == 0 and adaptation_start:
            raise InputError(f"adaptation_start={adaptation_start!r} needs adaptation; give kappa and tau_adapt, too.")
        if preserve_reset and reset_timing != "next_step":
            raise InputError(
                f"preserve_reset keeps a reset that is still due, which reset_timing={reset_timing!r} never leaves; "
                "give reset_timing='next_step', or leave it out."
            )
        connected = _flags(recurrent, len(sizes))
        rhythms = _rhythms(
            rhythm, _pairs(cycle, "cycle", len(sizes)), _pairs(duty, "duty", len(sizes)), cycle_unit,
            _step_in_seconds(cycle_unit, sfreq, encoder), tau_unit,
            {"phase": phase, "rounding": rounding, "min_on": min_on, "across": across},
        )  # fmt: skip
        times = {"tau_mem": tau or ((0.01, 0.5) if tau_unit == "seconds" else (1.0, 50.0)), "tau_syn": tau_syn}
        times |= {"tau_adapt": tau_adapt}
        given = {name: log_spaced(span, name.removesuffix("_mem")) for name, span in times.items() if span is not None}
        settings: dict[str, Any] = given | {
            "kappa": kappa or None, "threshold": threshold, "gain": gain, "reset": reset, "reset_timing": reset_timing,
            "adaptation_start": adaptation_start, "preserve_reset": preserve_reset,
            "surrogate": as_surrogate(surrogate), "learn": tuple(given) if learn_tau else (),
        }  # fmt: skip

        def neurons(index: int, size: int, dt: float) -> LIFLayer:
            options = settings | {"dt": dt, "rhythm": rhythms[index]}
            if connected[index]:
                return RecurrentLIF(size, bias=norm == "none", recurrent_scale=recurrent_scale, **options)
            return LIF(size, **options)

        super().__init__(
            n_chans, n_times, n_outputs, sfreq, task=task, hidden=sizes, neurons=neurons,
            biased=[norm == "none" and not flag for flag in connected], tau_unit=tau_unit, tau_readout=tau_readout,
            learn_tau=learn_tau, norm=norm, readout=readout, encoder=encoder, drop_prob=drop_prob, recompute=recompute,
        )  # fmt: skip


def _sizes(hidden: int | Sequence[int], n_layers: int | None) -> tuple[int, ...]:
    if n_layers is not None:
        check_number(n_layers, "n_layers", low=1, integer=True)
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        return (hidden,) * (n_layers or 1)
    if not hidden or n_layers not in (None, len(hidden)):
        raise InputError(f"hidden names {len(hidden)} layers, but n_layers={n_layers!r}; give one of them.")
    return tuple(hidden)


def _flags(recurrent: bool | Sequence[bool], n: int) -> tuple[bool, ...]:
    flags = tuple(recurrent) if isinstance(recurrent, Sequence) else (recurrent,) * n
    if len(flags) != n or any(not isinstance(flag, bool) for flag in flags):
        raise InputError(f"recurrent must be true or false, or one of these for each of {n} layers, got {recurrent!r}.")
    return flags


def _pairs(given: Any, name: str, n: int) -> list[Pair]:
    """One pair per layer."""
    if isinstance(given, Sequence) and len(given) == 2 and not any(isinstance(part, Sequence) for part in given):
        return [(given[0], given[1])] * n
    if (
        not isinstance(given, Sequence)
        or len(given) != n
        or any(not isinstance(part, Sequence) or isinstance(part, str) or len(part) != 2 for part in given)
    ):
        raise InputError(f"{name} must be a pair (first, last), or a pair for each of {n} layers, got {given!r}.")
    return [(part[0], part[1]) for part in given]


def _step_in_seconds(unit: str, sfreq: float | None, encoder: Encoder) -> float | None:
    if unit == "steps":
        return None
    return 1.0 / (check_sfreq(sfreq, f"cycles are in {unit}") * encoder.steps_per_sample)


def _refuse_unused(options: dict[str, Any]) -> None:
    """Raise if an option that a mixed rhythm does not have is other than its default."""
    parameters = inspect.signature(RhythmSNN).parameters
    for name, value in options.items():
        default = parameters[name].default
        if value != (default if name != "duty" else [default] * len(value)):
            shown = value[0] if name == "duty" else value
            raise InputError(
                f"rhythm='mix' has no {name}, got {name}={shown!r}: each of its cycles is ON for one step; leave it "
                "out, or use rhythm='cycle'."
            )


def _rhythms(
    kind: str, cycles: list[Pair], duties: list[Pair], unit: str, seconds: float | None, tau_unit: str,
    options: dict[str, Any],
) -> list[Modulation | None]:  # fmt: skip
    """Rhythm of each layer; `seconds` is the length of a step."""
    if kind == "none":
        return [None] * len(cycles)
    if kind == "mix":
        if unit != "steps":
            raise InputError(f"rhythm='mix' has cycles in steps, got cycle_unit={unit!r}.")
        _refuse_unused(options | {"duty": duties})
        return [MixRhythm(first, last) for first, last in cycles]  # type: ignore[arg-type]  # checked there
    if seconds is None:
        return [Rhythm(cycle, duty, **options) for cycle, duty in zip(cycles, duties, strict=True)]
    if tau_unit == "seconds":
        return [
            Rhythm(cycle, duty, unit=unit, dt=seconds, **options) for cycle, duty in zip(cycles, duties, strict=True)
        ]
    # layers that count time in steps have steps of length 1: hertz are then cycles a step
    factor = seconds if unit == "hertz" else 1.0 / seconds
    return [
        Rhythm((first * factor, last * factor), duty, unit=unit, dt=1.0, **options)
        for (first, last), duty in zip(cycles, duties, strict=True)
    ]
