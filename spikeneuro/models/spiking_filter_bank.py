"""Band power as spikes: spatial filters, a bank of wavelets, squares, and neurons that integrate them."""

import math

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import as_span, check_dropout, check_sfreq, check_signal, check_sizes
from spikeneuro.models.spiking import as_encoder, as_surrogate, binned_rates, log_spaced
from spikeneuro.nn import LIF, EventLinear
from spikeneuro.ops.surrogates import Surrogate

#: Rate in hertz of the first spiking layer; power changes more slowly than the signal.
POWER_RATE = 32.0
#: Highest frequency of a filter as a share of the sampling frequency.
_HIGHEST = 0.4
_CURRENT = 0.5


class SpikingFilterBank(nn.Module):
    r"""Spiking network of band powers, for rhythms that are not locked to the onset of the sample.

    .. code-block:: text

        encoder                       direct: the signal itself; event codes: sparse binary input
        spatial filters               n_filters weighted sums of the channels, batch normalisation
        filter bank                   one filter in time per sum, every stride-th step; batch normalisation
        square                        current = gain * square + offset, learned per filter
        LIF                           n_filters neurons, time constants 20 to 200 ms: spikes of power
        linear, batch normalisation   only spikes are added up
        LIF                           hidden neurons, time constants 50 to 500 ms
        firing rates in n_bins bins   dropout, linear readout

    The filters in time start as wavelets of frequencies :math:`f_k` spaced evenly on a logarithmic scale,

    .. math:: w_k(t) = \exp(-t^2 / 2 \sigma^2) \cos(2 \pi f_k t + \varphi_k), \qquad \sigma = \mathrm{length} / 5,

    and are learned from there; phases are drawn. Their square holds the power in the band, which shallow ConvNets
    average [1]_ and which here drives neurons. Only the first two stages see the signal; all others see spikes, so most
    of the energy is that of the filters, and taking every `stride`-th step divides it.

    The filters see as much of the future as of the past, so there is no streaming `run`; see `RecurrentSNN`.

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
    n_filters : int, default 16
        Spatial filters, each with a filter in time.
    band : (float, float), default (4.0, 40.0)
        Lowest and highest frequency in hertz at which the filters start; none starts above 0.4 times `sfreq`.
    kernel_duration : float, default 1.0
        Length of the filters in seconds; their bandwidth goes with its inverse.
    stride : int, optional
        Steps between two values of a filter; default what makes about 32 of them a second.
    hidden : int, default 32
        Neurons of the second layer.
    tau_first, tau_second : (float, float)
        Shortest and longest membrane time constant of each layer in seconds, default (0.02, 0.2) and (0.05, 0.5).
    learn_tau : bool, default False
        Whether the time constants are learned.
    n_bins : int, default 1
        Bins of equal length in which spikes are counted for the readout; what does not fill a bin at the end is left.
        One is for a rhythm that lasts as long as the sample; more tell its course, and give the readout more weights.
    encoder : str or Encoder, default "direct"
        Name of an encoder or the object; `stride` counts its steps.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Surrogate gradient; by that name, with slope 5.
    drop_prob : float, default 0.25
        Dropout before the readout.

    Raises
    ------
    InputError
        If a size is not positive, the band does not fit the sampling frequency, the signal is shorter than a filter or
        than the bins, or an input does not have the shape ``(batch, n_chans, n_times)``.

    References
    ----------
    .. [1] Schirrmeister et al. (2017), doi:10.1002/hbm.23730 (squares of filtered signals as power).

    Perez-Nieves et al. (2021), doi:10.1038/s41467-021-26022-3 (heterogeneous time constants).

    Examples
    --------
    >>> import torch
    >>> SpikingFilterBank(n_chans=4, n_times=256, n_outputs=2, sfreq=128.0)(torch.zeros(3, 4, 256)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        n_filters: int = 16,
        band: tuple[float, float] = (4.0, 40.0),
        kernel_duration: float = 1.0,
        stride: int | None = None,
        hidden: int = 32,
        tau_first: tuple[float, float] = (0.02, 0.2),
        tau_second: tuple[float, float] = (0.05, 0.5),
        learn_tau: bool = False,
        n_bins: int = 1,
        encoder: str | Encoder = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, n_filters=n_filters, hidden=hidden)
        check_sizes(n_bins=n_bins)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs = n_chans, n_times, n_outputs
        self.sfreq = check_sfreq(sfreq, "the filters have frequencies in hertz")
        self.encoder = as_encoder(encoder)
        self.rate = self.sfreq * self.encoder.steps_per_sample
        if stride is None:
            stride = max(1, round(self.rate / POWER_RATE))
        check_sizes(stride=stride)
        kernel = self._kernel_length(check_number(kernel_duration, "kernel_duration", low=0.0, closed="neither"))
        n_steps, channels = self.encoder.n_steps(n_times), self.encoder.out_features(n_chans)
        bin_length = math.ceil(n_steps / stride) // n_bins
        if n_steps < kernel or bin_length < 1:
            needed = max(kernel, stride * (n_bins - 1) + 1)
            raise InputError(
                f"spiking-filter-bank needs n_times of at least {math.ceil(needed / self.encoder.steps_per_sample)} at "
                f"{self.sfreq:g} Hz for filters of {kernel_duration:g} s and {n_bins} bins, got {n_times}; use longer "
                "windows, a shorter kernel_duration or fewer bins."
            )
        self.spatial = nn.Sequential(nn.Conv1d(channels, n_filters, 1, bias=False), nn.BatchNorm1d(n_filters))
        bank = nn.Conv1d(n_filters, n_filters, kernel, stride, padding=kernel // 2, groups=n_filters, bias=False)
        self._start_as_wavelets(bank.weight, self._frequencies(band, n_filters))
        self.bank = nn.Sequential(bank, nn.BatchNorm1d(n_filters))
        self.gain = nn.Parameter(torch.full((n_filters,), _CURRENT))
        self.offset = nn.Parameter(torch.zeros(n_filters))
        dt, gradient = stride / self.rate, as_surrogate(surrogate)
        learn = ("tau_mem",) if learn_tau else ()
        self.first = LIF(n_filters, tau_mem=log_spaced(tau_first, "tau_first"), dt=dt, surrogate=gradient, learn=learn)
        self.mixture = EventLinear(n_filters, hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)
        self.second = LIF(hidden, tau_mem=log_spaced(tau_second, "tau_second"), dt=dt, surrogate=gradient, learn=learn)
        self.n_bins = n_bins
        self.dropout = nn.Dropout(drop_prob)
        self.readout = nn.Linear(hidden * n_bins, n_outputs)

    def _kernel_length(self, duration: float) -> int:
        steps = round(duration * self.rate)
        if steps < 4:
            raise InputError(
                f"kernel_duration={duration:g} s is {steps} step(s) at {self.sfreq:g} Hz: the filters need 4 at least; "
                "spiking-filter-bank is for EEG, use recurrent-snn with tau_unit='steps' for slow signals."
            )
        return (steps - 1) // 2 * 2 + 1

    def _frequencies(self, band: tuple[float, float], n_filters: int) -> Tensor:
        low, high = as_span(band, "band")
        check_number(low, "band[0]", low=0.0, closed="neither")
        check_number(high, "band[1]", low=low)
        high = min(high, _HIGHEST * self.sfreq)  # an encoder's steps within a sample add nothing
        if high < low:
            raise InputError(
                f"band={(low, band[1])} begins above {_HIGHEST:g} times the sampling frequency of {self.sfreq:g} Hz; "
                "lower it."
            )
        return torch.logspace(math.log10(low), math.log10(high), n_filters)

    def _start_as_wavelets(self, weight: Tensor, frequencies: Tensor) -> None:
        kernel = weight.shape[-1]
        seconds = (torch.arange(kernel) - kernel // 2) / self.rate
        phases = 2 * math.pi * torch.rand(len(frequencies), 1)
        envelope = torch.exp(-0.5 * (seconds / (kernel / self.rate / 5)) ** 2)
        with torch.no_grad():
            weight[:, 0] = envelope * torch.cos(2 * math.pi * frequencies[:, None] * seconds + phases)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs)."""
        check_signal(x, self.n_chans, self.n_times)
        current = self.spatial(self.encoder(x).permute(1, 2, 0))  # (batch, filters, steps)
        power = self.bank(current).square().permute(2, 0, 1)  # (steps, batch, filters)
        spikes = self.first(self.gain * power + self.offset)
        current = self.mixture(spikes)
        spikes = self.second(self.norm(current.flatten(0, 1)).view_as(current))
        return self.readout(self.dropout(binned_rates(spikes, self.n_bins)))
