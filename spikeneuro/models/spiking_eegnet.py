"""EEGNet's division of labour with spiking neurons: spatial filters, temporal filters, separable convolution."""

import math

from torch import Tensor, nn

from spikeneuro._validation import check_choice
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_dropout, check_sfreq, check_signal, check_sizes
from spikeneuro.models.spiking import as_encoder, as_surrogate, binned_rates, log_spaced
from spikeneuro.nn import LIF
from spikeneuro.ops.surrogates import Surrogate

#: Rate in hertz to which the first pooling brings the maps, as in EEGNet (128 Hz pooled by 4).
POOLED_RATE = 32.0
_POOLS = {"mean": nn.AvgPool1d, "max": nn.MaxPool1d}


class SpikingEEGNet(nn.Module):
    r"""Spiking counterpart of EEGNet, with time constants spread over the feature maps.

    .. code-block:: text

        encoder                       direct: the signal itself; event codes: sparse binary input
        spatial filters               n_filters * depth weighted sums of the channels, batch normalisation
        temporal filters              one convolution over half a second per map, batch normalisation
        LIF                           time constants log-spaced over the maps, 8 to 80 ms
        pooling to about 32 Hz        mean over steps (or "max": spikes stay binary), dropout
        separable convolution         half a second per map, then a mixture of the maps; batch normalisation
        LIF                           time constants 30 to 400 ms
        firing rates in n_bins bins   dropout, linear readout

    Both stages before the first spikes are linear, so their order does not change what can be computed: a spatial
    filter of a temporally filtered signal is a temporal filter of the spatially filtered one. Taking the spatial
    filters first (the default) filters ``n_filters * depth`` virtual channels in time instead of every channel
    ``n_filters`` times, which needs a fraction of EEGNet's multiplications. ``first="temporal"`` keeps EEGNet's
    order, in which the maps of one temporal filter share it.

    The convolutions see as much of the future as of the past, so there is no streaming `run`; see `RecurrentSNN`.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float
        Sampling frequency in hertz.
    n_filters : int, default 8
        Temporal filters of EEGNet (F1).
    depth : int, default 2
        Spatial filters for each of them (D); the first stage has ``n_filters * depth`` maps, the second as many.
    kernel_length : int, optional
        Steps of the temporal filters; default half a second, an odd number.
    separable_kernel_length : int, default 15
        Steps of the separable convolution, after pooling; odd.
    pool_size : int, optional
        Pooling between the stages in steps; default what brings the maps to about 32 Hz.
    pooling : {"mean", "max"}, default "mean"
        Mean rate, or whether there was any spike.
    tau_first, tau_second : (float, float)
        Shortest and longest membrane time constant of each stage in seconds, default (0.008, 0.08) and (0.03, 0.4).
    learn_tau : bool, default False
        Whether the time constants are learned.
    n_bins : int, default 4
        Bins of equal length in which spikes are counted for the readout; what does not fill a bin at the end is left.
    first : {"spatial", "temporal"}, default "spatial"
        Order of the two linear stages before the first spikes.
    encoder : str or Encoder, default "direct"
        Name of an encoder or the object; with an event code ("delta", "step-forward") the first layer's input is
        sparse.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Surrogate gradient; by that name, with slope 5.
    drop_prob : float, default 0.25
        Dropout after pooling and before the readout.

    Raises
    ------
    InputError
        If a size is not positive, the signal is too short or too slow for the architecture, or an input does not have
        the shape ``(batch, n_chans, n_times)``.

    References
    ----------
    Lawhern et al. (2018), doi:10.1088/1741-2552/aace8c (architecture);
    Perez-Nieves et al. (2021), doi:10.1038/s41467-021-26022-3 (heterogeneous time constants).

    Examples
    --------
    >>> import torch
    >>> SpikingEEGNet(n_chans=4, n_times=256, n_outputs=2, sfreq=128.0)(torch.zeros(3, 4, 256)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        n_filters: int = 8,
        depth: int = 2,
        kernel_length: int | None = None,
        separable_kernel_length: int = 15,
        pool_size: int | None = None,
        pooling: str = "mean",
        tau_first: tuple[float, float] = (0.008, 0.08),
        tau_second: tuple[float, float] = (0.03, 0.4),
        learn_tau: bool = False,
        n_bins: int = 4,
        first: str = "spatial",
        encoder: str | Encoder = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, n_filters=n_filters, depth=depth)
        check_sizes(n_bins=n_bins, separable_kernel_length=separable_kernel_length)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs = n_chans, n_times, n_outputs
        self.sfreq = check_sfreq(sfreq, "kernels and time constants are in seconds")
        self.encoder = as_encoder(encoder)
        rate = self.sfreq * self.encoder.steps_per_sample
        kernel = kernel_length or self._default_kernel(rate)
        pool = pool_size or max(1, round(rate / POOLED_RATE))
        bin_length = self.encoder.n_steps(n_times) // pool // n_bins
        if bin_length < 1:
            raise InputError(
                f"spiking-eegnet needs n_times of at least {math.ceil(pool * n_bins / self.encoder.steps_per_sample)} "
                f"at {self.sfreq:g} Hz for {n_bins} bins, got {n_times}; use longer windows or fewer bins."
            )
        maps = n_filters * depth
        channels = self.encoder.out_features(n_chans)
        gradient = as_surrogate(surrogate)
        learn = ("tau_mem",) if learn_tau else ()
        filters = (
            _spatial_first if check_choice(first, ("spatial", "temporal"), "first") == "spatial" else _temporal_first
        )
        self.filters = filters(channels, n_filters, depth, kernel)
        self.first = LIF(
            maps, tau_mem=log_spaced(tau_first, "tau_first"), dt=1.0 / rate, surrogate=gradient, learn=learn
        )
        self.pool = _POOLS[check_choice(pooling, _POOLS, "pooling")](pool)
        self.separable = nn.Sequential(
            nn.Conv1d(maps, maps, separable_kernel_length, padding="same", groups=maps, bias=False),
            nn.Conv1d(maps, maps, 1, bias=False),
            nn.BatchNorm1d(maps),
        )
        self.second = LIF(
            maps, tau_mem=log_spaced(tau_second, "tau_second"), dt=pool / rate, surrogate=gradient, learn=learn
        )
        self.n_bins = n_bins
        self.dropout = nn.Dropout(drop_prob)
        self.readout = nn.Linear(maps * n_bins, n_outputs)

    @staticmethod
    def _default_kernel(rate: float) -> int:
        half_second = round(rate / 2)
        if half_second < 4:
            raise InputError(
                f"half a second is {half_second} step(s) at {rate:g} Hz: the defaults of spiking-eegnet are for EEG; "
                "give kernel_length, pool_size, tau_first and tau_second, or use recurrent-snn with tau_unit='steps'."
            )
        return half_second // 2 * 2 + 1

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs)."""
        check_signal(x, self.n_chans, self.n_times)
        current = self.filters(self.encoder(x).permute(1, 2, 0))  # (batch, maps, steps)
        spikes = self.first(current.permute(2, 0, 1))  # (steps, batch, maps)
        pooled = self.dropout(self.pool(spikes.permute(1, 2, 0)))
        spikes = self.second(self.separable(pooled).permute(2, 0, 1))
        return self.readout(self.dropout(binned_rates(spikes, self.n_bins)))


def _spatial_first(channels: int, n_filters: int, depth: int, kernel: int) -> nn.Sequential:
    maps = n_filters * depth
    return nn.Sequential(
        nn.Conv1d(channels, maps, 1, bias=False),
        nn.BatchNorm1d(maps),
        nn.Conv1d(maps, maps, kernel, padding="same", groups=maps, bias=False),
        nn.BatchNorm1d(maps),
    )


def _temporal_first(channels: int, n_filters: int, depth: int, kernel: int) -> nn.Sequential:
    maps = n_filters * depth
    return nn.Sequential(
        nn.Unflatten(1, (1, channels)),
        nn.Conv2d(1, n_filters, (1, kernel), padding="same", bias=False),
        nn.BatchNorm2d(n_filters),
        nn.Conv2d(n_filters, maps, (channels, 1), groups=n_filters, bias=False),
        nn.BatchNorm2d(maps),
        nn.Flatten(2),
    )
