"""Encoder, recurrent spiking layers, readout: for signals, events and ROI series, whole or piece by piece."""

from spikeneuro.encoders import Encoder
from spikeneuro.models.inputs import check_sizes
from spikeneuro.models.layered_snn import LayeredSNN
from spikeneuro.models.spiking import as_surrogate, log_spaced
from spikeneuro.nn import RecurrentLIF
from spikeneuro.ops.surrogates import Surrogate


class RecurrentSNN(LayeredSNN):
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
        check_sizes(n_layers=n_layers)
        tau = tau or ((0.01, 0.5) if tau_unit == "seconds" else (1.0, 50.0))

        def neurons(index: int, size: int, dt: float) -> RecurrentLIF:  # noqa: ARG001
            return RecurrentLIF(
                size,
                bias=norm == "none",
                tau_mem=log_spaced(tau, "tau"),
                dt=dt,
                recurrent_scale=recurrent_scale,
                surrogate=as_surrogate(surrogate),
                learn=("tau_mem",) if learn_tau else (),
            )

        super().__init__(
            n_chans, n_times, n_outputs, sfreq, task=task, hidden=(hidden,) * n_layers, neurons=neurons,
            tau_unit=tau_unit, tau_readout=tau_readout, learn_tau=learn_tau, norm=norm, readout=readout,
            encoder=encoder, drop_prob=drop_prob, recompute=recompute,
        )  # fmt: skip
