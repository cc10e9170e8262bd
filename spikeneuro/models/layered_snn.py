"""What networks of an encoder, spiking layers and a readout share: whole signals, or piece by piece."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from torch import Tensor, nn

from spikeneuro._validation import check_choice
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_dropout, check_signal, check_sizes, check_task
from spikeneuro.models.spiking import as_encoder, log_spaced, step_length
from spikeneuro.nn import (
    EventLinear,
    LastReadout,
    LeakyReadout,
    LIFLayer,
    MaxMembraneReadout,
    OverTime,
    RateReadout,
    RhythmState,
)
from spikeneuro.nn.heterogeneity import LogSpaced
from spikeneuro.nn.readouts import Readout, ReadoutState
from spikeneuro.nn.recompute import check_segments, in_segments
from spikeneuro.ops import LIFState

READOUTS = ("rate", "leaky", "max", "last")
NORMS = ("batch", "layer", "none")


class StreamState(NamedTuple):
    """What `LayeredSNN.run` carries from one piece of a signal to the next.

    Attributes
    ----------
    encoder : object
        State of the encoder; None for codes without memory.
    layers : tuple of LIFState or RhythmState
        State of each spiking layer.
    readout : ReadoutState
        State of the readout.
    """

    encoder: object
    layers: tuple[LIFState | RhythmState, ...]
    readout: ReadoutState

    @property
    def n_steps(self) -> int:
        """Steps seen so far."""
        return self.readout.n_steps


class StreamResult(NamedTuple):
    """What `LayeredSNN.run` gives for a piece of a signal.

    Attributes
    ----------
    output : Tensor
        Logits (batch, n_outputs) of everything heard so far, or (batch, n_outputs, times) of the piece for steps.
    spikes : tuple of Tensor
        Spikes of each layer in the piece, (steps, batch, hidden).
    state : StreamState
        State for the next piece.
    """

    output: Tensor
    spikes: tuple[Tensor, ...]
    state: StreamState


class LayeredSNN(nn.Module):
    """Base of networks that are spiking layers between an encoder and a readout.

    .. code-block:: text

        encoder            (batch, channels, times) -> (steps, batch, features)
        each layer         linear, normalisation, spiking neurons, dropout
        readout            logits (batch, n_outputs), or with task="steps" (batch, n_outputs, times)

    Parameters
    ----------
    n_chans, n_times, n_outputs, sfreq
        As for `RecurrentSNN`, like the options not listed here.
    hidden : sequence of int
        Neurons of each layer.
    neurons : callable
        Called with the number of a layer, how many neurons it has and the length of a step in the unit of the time
        constants; returns the layer's neurons.
    biased : sequence of bool, optional
        Which layers' linear part has a bias; none by default, for those that get one elsewhere.
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None,
        *,
        task: str,
        hidden: Sequence[int],
        neurons: Callable[[int, int, float], LIFLayer],
        biased: Sequence[bool] | None = None,
        tau_unit: str,
        tau_readout: tuple[float, float] | None,
        learn_tau: bool,
        norm: str,
        readout: str,
        encoder: str | Encoder,
        drop_prob: float,
        recompute: int | str | None,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs)
        for size in hidden:
            check_sizes(hidden=size)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs, self.sfreq = n_chans, n_times, n_outputs, sfreq
        self.task = check_task(task)
        self.recompute = None if recompute is None else check_segments(recompute)
        if recompute is not None and norm == "batch":
            raise InputError(
                f"recompute={recompute!r} cuts sequences in time, but batch normalisation takes its statistics over "
                "the whole; use norm='layer' or norm='none'."
            )
        self.encoder = as_encoder(encoder)
        dt = step_length(tau_unit, sfreq, self.encoder)
        tau_readout = tau_readout or ((0.01, 0.1) if tau_unit == "seconds" else (1.0, 10.0))
        self.linears, self.norms, self.neurons = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = self.encoder.out_features(n_chans)
        for index, size in enumerate(hidden):
            # normalisations have a bias, as recurrent neurons have
            self.linears.append(EventLinear(width, size, bias=biased is not None and biased[index]))
            self.norms.append(_normalisation(norm, size))
            self.neurons.append(neurons(index, size, dt))
            width = size
        self.dropout = nn.Dropout(drop_prob)
        self.head = nn.Linear(width, n_outputs)
        self.readout_mode = "steps" if self.task == "steps" else check_choice(readout, READOUTS, "readout")
        self.readout = _readout(self.readout_mode, n_outputs, log_spaced(tau_readout, "tau_readout"), dt, learn_tau)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs), or (batch, n_outputs, times) for steps."""
        check_signal(x, self.n_chans, None)
        rate = self.readout_mode == "rate"
        stack = [part for layer in self._layers() for part in (*layer, self.dropout)]  # (steps, batch, neurons)
        stack += [self.readout] if rate else [self.head, self.readout]
        y = self.encoder(x)
        if self.recompute is None:
            for part in stack:
                y = part(y)
        else:
            y = in_segments(stack, y, self.recompute)
        return self.head(y) if rate else self._per_sample(y)

    def run(self, x: Tensor, state: StreamState | None = None) -> StreamResult:
        """Run one piece of a signal, carrying on from `state`.

        Parameters
        ----------
        x : Tensor
            The next piece, (batch, n_chans, times) with any number of samples.
        state : StreamState, optional
            What the call before returned; None at the start.

        Returns
        -------
        StreamResult
            Output so far (or of the piece, for steps), spikes of each layer, and the state to hand to the next call.

        Raises
        ------
        InputError
            In training mode, where batch statistics and dropout make pieces differ from the whole.
        """
        if self.training:
            raise InputError("run needs the model in evaluation mode; call model.eval() first.")
        check_signal(x, self.n_chans, None)
        spikes, encoder_state = self.encoder.run(x, None if state is None else state.encoder)
        layers, all_spikes = [], []
        for index, (linear, norm, neurons) in enumerate(self._layers()):
            result = neurons.run(norm(linear(spikes)), None if state is None else state.layers[index])
            spikes = result.spikes
            layers.append(result.state)
            all_spikes.append(spikes)
        rate = self.readout_mode == "rate"
        read, summary = self.readout.run(
            spikes if rate else self.head(spikes), None if state is None else state.readout
        )
        output = self.head(read) if rate else self._per_sample(read)
        return StreamResult(output, tuple(all_spikes), StreamState(encoder_state, tuple(layers), summary))

    def _layers(self) -> list[tuple[nn.Module, nn.Module, LIFLayer]]:
        neurons = cast("list[LIFLayer]", list(self.neurons))
        return list(zip(self.linears, self.norms, neurons, strict=True))

    def _per_sample(self, output: Tensor) -> Tensor:
        """With steps: (steps, batch, n_outputs) -> (batch, n_outputs, times), the value at the end of each sample."""
        if self.task != "steps":
            return output
        every = self.encoder.steps_per_sample
        return output[every - 1 :: every].permute(1, 2, 0)


def _normalisation(name: str, features: int) -> nn.Module:
    check_choice(name, NORMS, "norm")
    if name == "batch":
        return OverTime(nn.BatchNorm1d(features))
    return nn.LayerNorm(features) if name == "layer" else nn.Identity()


def _readout(mode: str, n_outputs: int, tau: LogSpaced, dt: float, learn: bool) -> Readout:
    if mode == "rate":
        return RateReadout()
    if mode in ("steps", "leaky"):
        return LeakyReadout(n_outputs, sequence=mode == "steps", tau_mem=tau, dt=dt, learn=learn)
    kind = MaxMembraneReadout if mode == "max" else LastReadout
    return kind(n_outputs, tau_mem=tau, dt=dt, learn=learn)
