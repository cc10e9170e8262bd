"""Multilayer perceptrons for feature vectors, such as functional connectivity: spiking and not."""

from collections.abc import Sequence

from torch import Tensor, nn

from spikeneuro.encoders import DirectEncoder, Encoder
from spikeneuro.models.inputs import check_dropout, check_sizes, flatten_features
from spikeneuro.models.spiking import as_encoder, as_surrogate, log_spaced, unwrap
from spikeneuro.nn import LIF, EventLinear, OverTime, RateReadout
from spikeneuro.ops.surrogates import Surrogate


class MLP(nn.Module):
    """Linear, batch normalisation, ReLU and dropout per layer; linear readout.

    Parameters
    ----------
    n_chans, n_times : int
        Their product is the number of features; for feature vectors ``n_chans=1, n_times=n_features``. The input is
        ``(batch, features)``, or ``(batch, n_chans, n_times)``, which is flattened.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Part of the common vocabulary; this model does not use it.
    hidden : sequence of int, default (64,)
        Units of each hidden layer.
    drop_prob : float, default 0.5
        Dropout after each hidden layer.

    Raises
    ------
    InputError
        If a size is not positive, or an input has another number of features.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), doi:10.1038/323533a0.

    Examples
    --------
    >>> import torch
    >>> MLP(n_chans=1, n_times=30, n_outputs=2)(torch.zeros(3, 30)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        hidden: Sequence[int] = (64,),
        drop_prob: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs, self.sfreq = n_chans, n_times, n_outputs, sfreq
        layers: list[nn.Module] = []
        width = n_chans * n_times
        for units in hidden:
            layers += [nn.Linear(width, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(), nn.Dropout(drop_prob)]
            width = units
        self.layers = nn.Sequential(*layers)
        self.readout = nn.Linear(width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features) or (batch, channels, times) -> logits (batch, n_outputs)."""
        return self.readout(self.layers(flatten_features(x, self.n_chans, self.n_times)))


class SpikingMLP(nn.Module):
    r"""Linear, batch normalisation and LIF per layer over a few steps; linear readout of the last layer's rates.

    The feature vector is shown for ``n_steps`` steps. As constant current ("direct") its first product is the same at
    every step and is computed once. Time constants are in steps and log-spaced over the neurons of each layer.

    Parameters
    ----------
    n_chans, n_times : int
        Their product is the number of features; for feature vectors ``n_chans=1, n_times=n_features``. The input is
        ``(batch, features)``, or ``(batch, n_chans, n_times)``, which is flattened.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Part of the common vocabulary; this model does not use it.
    hidden : sequence of int, default (64,)
        Neurons of each layer.
    n_steps : int, default 10
        Steps for which the features are shown; not used when `encoder` is an object.
    tau : (float, float), default (1.0, 8.0)
        Shortest and longest membrane time constant in steps.
    learn_tau : bool, default False
        Whether the time constants are learned.
    encoder : str or Encoder, default "direct"
        Name of an encoder or the object; it sees each feature as a channel of one sample.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Surrogate gradient; by that name, with slope 5.
    drop_prob : float, default 0.5
        Dropout of the rates before the readout.

    Raises
    ------
    InputError
        If a size is not positive, or an input has another number of features.

    References
    ----------
    Neftci, Mostafa and Zenke (2019), doi:10.1109/MSP.2019.2931595.

    Examples
    --------
    >>> import torch
    >>> SpikingMLP(n_chans=1, n_times=30, n_outputs=2)(torch.zeros(3, 30)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        hidden: Sequence[int] = (64,),
        n_steps: int = 10,
        tau: tuple[float, float] = (1.0, 8.0),
        learn_tau: bool = False,
        encoder: str | Encoder = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, n_steps=n_steps)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs, self.sfreq = n_chans, n_times, n_outputs, sfreq
        self.encoder = _FeatureEncoder(as_encoder(encoder, n_steps))
        learn = ("tau_mem",) if learn_tau else ()
        self.linears, self.neurons = nn.ModuleList(), nn.ModuleList()
        width = self.encoder.code.out_features(n_chans * n_times)
        for units in hidden:
            self.linears.append(OverTime(nn.Sequential(EventLinear(width, units, bias=False), nn.BatchNorm1d(units))))
            self.neurons.append(
                LIF(
                    units,
                    tau_mem=log_spaced(tau, "tau"),
                    dt=1.0,
                    surrogate=as_surrogate(surrogate),
                    learn=learn,
                )
            )
            width = units
        self.rate = RateReadout()
        self.dropout = nn.Dropout(drop_prob)
        self.readout = nn.Linear(width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features) or (batch, channels, times) -> logits (batch, n_outputs)."""
        features = flatten_features(x, self.n_chans, self.n_times)
        code = self.encoder.code
        if isinstance(code, DirectEncoder):
            # constant current: one product serves every step
            current = unwrap(self.linears[0])(features)
            current = current.unsqueeze(0).expand(code.steps_per_sample, *current.shape)
        else:
            current = self.linears[0](self.encoder(features))
        spikes = self.neurons[0](current)
        for linear, neurons in zip(self.linears[1:], self.neurons[1:], strict=True):
            spikes = neurons(linear(spikes))  # (steps, batch, units)
        return self.readout(self.dropout(self.rate(spikes)))


class _FeatureEncoder(nn.Module):
    """An encoder that takes feature vectors, each feature as a channel of one sample."""

    def __init__(self, code: Encoder) -> None:
        super().__init__()
        self.code = code

    def fit(self, X: Tensor) -> "_FeatureEncoder":
        """Fit on features (n, features) or signals (n, channels, times) of the training part."""
        self.code.fit(X.flatten(1).unsqueeze(-1))
        return self

    def forward(self, features: Tensor) -> Tensor:
        """(batch, features) -> (steps, batch, features)."""
        return self.code(features.unsqueeze(-1))
