"""Encoder, recurrent spiking layers, readout: for signals, events and ROI series, whole or piece by piece."""

from typing import NamedTuple, cast

from torch import Tensor, nn

from spikeneuro._validation import check_choice
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_dropout, check_signal, check_sizes, check_task
from spikeneuro.models.spiking import as_encoder, as_surrogate, step_length
from spikeneuro.nn import (
    EventLinear,
    LastReadout,
    LeakyReadout,
    MaxMembraneReadout,
    OverTime,
    RateReadout,
    RecurrentLIF,
)
from spikeneuro.nn.heterogeneity import LogSpaced
from spikeneuro.nn.readouts import Readout, ReadoutState
from spikeneuro.nn.recompute import check_segments, in_segments
from spikeneuro.ops import LIFState
from spikeneuro.ops.surrogates import Surrogate

READOUTS = ("rate", "leaky", "max", "last")
NORMS = ("batch", "layer", "none")


class StreamState(NamedTuple):
    """What `RecurrentSNN.run` carries from one piece of a signal to the next.

    Attributes
    ----------
    encoder : object
        State of the encoder; None for codes without memory.
    layers : tuple of LIFState
        State of each recurrent layer.
    readout : ReadoutState
        State of the readout.
    """

    encoder: object
    layers: tuple[LIFState, ...]
    readout: ReadoutState

    @property
    def n_steps(self) -> int:
        """Steps seen so far."""
        return self.readout.n_steps


class StreamResult(NamedTuple):
    """What `RecurrentSNN.run` gives for a piece of a signal.

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


class RecurrentSNN(nn.Module):
    r"""Recurrent spiking network with heterogeneous, learnable time constants.

    .. code-block:: text

        encoder            (batch, channels, times) -> (steps, batch, features)
        n_layers times     linear, normalisation, RecurrentLIF of `hidden` neurons, dropout
        readout            logits (batch, n_outputs), or with task="steps" (batch, n_outputs, times)

    Readouts: "rate" is linear in the mean firing rates; the others let every step's linear read-out pass through a
    leaky integrator, ``v[t] = beta v[t-1] + (1 - beta) x[t]``, and take its mean ("leaky"), its maximum ("max")
    or its last value ("last") over time. With ``task="steps"`` the integrator's value at the end of each sample
    labels it.

    The network is causal as its encoder is: `run` takes a signal in pieces and gives what `forward` gives on the whole.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples; other lengths are accepted as well.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Sampling frequency in hertz; needed with ``tau_unit="seconds"``.
    task : {"classification", "regression", "steps"}, default "classification"
        With "steps" every time step is labelled.
    hidden : int, default 64
        Neurons of each layer.
    n_layers : int, default 1
        Number of recurrent layers.
    tau_unit : {"seconds", "steps"}, default "seconds"
        Unit of `tau` and `tau_readout`. Count in steps where the sampling is slow (fMRI): 20 ms has no memory at 2 s.
    tau : (float, float), optional
        Shortest and longest membrane time constant of a layer's neurons, log-spaced; default 0.01 to 0.5 seconds, or 1
        to 50 steps.
    tau_readout : (float, float), optional
        The same for the outputs' leaky integrators; default 0.01 to 0.1 seconds, or 1 to 10 steps.
    learn_tau : bool, default True
        Whether all time constants are learned.
    norm : {"batch", "layer", "none"}, default "batch"
        Normalisation of the input current of each layer.
    readout : {"rate", "leaky", "max", "last"}, default "rate"
        Readout over time; not used with ``task="steps"``.
    recurrent_scale : float, default 0.5
        Recurrent weights start uniform between ± recurrent_scale / sqrt(hidden).
    encoder : str or Encoder, default "direct"
        Name of an encoder or the object.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Surrogate gradient; by that name, with slope 5.
    drop_prob : float, default 0.1
        Dropout of each layer's spikes.
    recompute : int or "sqrt", optional
        Train in this many segments of time, each computed again in the backward pass, as `spikeneuro.nn.Recompute`
        does: memory grows with the square root of the number of steps. Needs ``norm`` "layer" or "none".

    Raises
    ------
    InputError
        If a size is not positive, an option is unknown, `sfreq` is missing where time constants are in seconds, or an
        input does not have the shape ``(batch, n_chans, times)``.

    References
    ----------
    Yin, Corradi and Bohte (2021), doi:10.1038/s42256-021-00397-w;
    Perez-Nieves et al. (2021), doi:10.1038/s41467-021-26022-3.

    Examples
    --------
    >>> import torch
    >>> model = RecurrentSNN(n_chans=4, n_times=60, n_outputs=6, sfreq=250.0, task="steps").eval()
    >>> x = torch.randn(2, 4, 60)
    >>> first = model.run(x[..., :20])
    >>> rest = model.run(x[..., 20:], first.state)
    >>> whole = model(x)
    >>> torch.allclose(torch.cat([first.output, rest.output], dim=-1), whole, atol=1e-5)
    True
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        task: str = "classification",
        hidden: int = 64,
        n_layers: int = 1,
        tau_unit: str = "seconds",
        tau: tuple[float, float] | None = None,
        tau_readout: tuple[float, float] | None = None,
        learn_tau: bool = True,
        norm: str = "batch",
        readout: str = "rate",
        recurrent_scale: float = 0.5,
        encoder: str | Encoder = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.1,
        recompute: int | str | None = None,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, hidden=hidden, n_layers=n_layers)
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
        in_seconds = tau_unit == "seconds"
        tau = tau or ((0.01, 0.5) if in_seconds else (1.0, 50.0))
        tau_readout = tau_readout or ((0.01, 0.1) if in_seconds else (1.0, 10.0))
        self.linears, self.norms, self.neurons = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = self.encoder.out_features(n_chans)
        for _ in range(n_layers):
            # RecurrentLIF has a bias; the normalisations have one of their own
            self.linears.append(EventLinear(width, hidden, bias=False))
            self.norms.append(_normalisation(norm, hidden))
            self.neurons.append(
                RecurrentLIF(
                    hidden,
                    bias=norm == "none",
                    tau_mem=LogSpaced(*tau),
                    dt=dt,
                    recurrent_scale=recurrent_scale,
                    surrogate=as_surrogate(surrogate),
                    learn=("tau_mem",) if learn_tau else (),
                )
            )
            width = hidden
        self.dropout = nn.Dropout(drop_prob)
        self.head = nn.Linear(hidden, n_outputs)
        self.readout_mode = "steps" if self.task == "steps" else check_choice(readout, READOUTS, "readout")
        self.readout = _readout(self.readout_mode, n_outputs, LogSpaced(*tau_readout), dt, learn_tau)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs), or (batch, n_outputs, times) for steps."""
        check_signal(x, self.n_chans, None)
        rate = self.readout_mode == "rate"
        stack = [part for layer in self._layers() for part in (*layer, self.dropout)]  # (steps, batch, hidden)
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

    def _layers(self) -> list[tuple[nn.Module, nn.Module, RecurrentLIF]]:
        neurons = cast("list[RecurrentLIF]", list(self.neurons))
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
