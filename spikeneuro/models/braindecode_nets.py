"""EEG networks of braindecode in the vocabulary of this package, with lengths scaled to the sampling rate.

The published lengths are samples at one sampling rate; here they are kept in seconds, and every class refuses windows
that are too short, where braindecode would shrink the architecture with a warning.
"""

import warnings
from typing import Any

from torch import Tensor, nn

from spikeneuro._optional import require
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_dropout, check_sfreq, check_signal, check_sizes

_WHY_SFREQ = "kernel and pooling lengths are kept in seconds"


def _scaled(length: int, reference: float, sfreq: float, least: int = 1) -> int:
    """Samples at `sfreq` that last as long as `length` samples at `reference` hertz."""
    return max(least, round(length * sfreq / reference))


class _BraindecodeNetwork(nn.Module):
    """Holds one braindecode network; checks input shapes on the way in."""

    def __init__(self, n_chans: int, n_times: int, n_outputs: int, sfreq: float | None) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs)
        self.n_chans, self.n_times, self.n_outputs = n_chans, n_times, n_outputs
        self.sfreq = check_sfreq(sfreq, _WHY_SFREQ)
        self.network: nn.Module = nn.Identity()

    def _require_times(self, minimum: int) -> None:
        if self.n_times < minimum:
            raise InputError(
                f"{type(self).__name__} needs n_times of at least {minimum} at {self.sfreq:g} Hz with these "
                f"hyperparameters, got {self.n_times}; use longer windows, or shorter kernels and pooling."
            )

    def _require_channels(self) -> None:
        if self.n_chans < 2:
            raise InputError(
                f"{type(self).__name__} filters over channels and needs at least 2, got n_chans={self.n_chans}; "
                "for one channel use eegnet or cnn1d."
            )

    def _build(self, name: str, **hyperparameters: Any) -> nn.Module:
        with warnings.catch_warnings():
            # montage deprecations raised by mne while braindecode is imported; nothing here uses montages
            warnings.simplefilter("ignore", FutureWarning)
            models = require("braindecode.models", "eeg")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This model has only been tested on no more")
            return getattr(models, name)(
                n_chans=self.n_chans,
                n_times=self.n_times,
                n_outputs=self.n_outputs,
                sfreq=self.sfreq,
                **hyperparameters,
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs)."""
        check_signal(x, self.n_chans, self.n_times)
        return self.network(x)


class EEGNet(_BraindecodeNetwork):
    """EEGNet-8,2: temporal convolution, depthwise spatial convolution, separable convolution.

    Lengths published at 128 Hz are kept in seconds: with ``sfreq=128`` the kernels are 64 and 16 samples and the pools
    4 and 8, as published; at other rates the first kernel lasts half a second and pooling brings the maps to about
    32 Hz, then 4 Hz.

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
        Temporal filters (F1).
    depth : int, default 2
        Spatial filters per temporal filter (D).
    kernel_length : int, optional
        Samples of the temporal kernel; default half a second.
    separable_kernel_length : int, default 16
        Samples of the separable kernel after the first pooling (half a second at 32 Hz).
    pool : (int, int), optional
        Pooling factors; default ``(round(sfreq / 32), 8)``.
    drop_prob : float, default 0.25
        Dropout; the authors use 0.25 across subjects and 0.5 within.

    Raises
    ------
    InputError
        If the windows are too short (the message names the minimum), or an input has the wrong shape.
    MissingDependencyError
        If braindecode is not installed.

    References
    ----------
    Lawhern et al. (2018), doi:10.1088/1741-2552/aace8c.
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
        separable_kernel_length: int = 16,
        pool: tuple[int, int] | None = None,
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__(n_chans, n_times, n_outputs, sfreq)
        check_dropout(drop_prob=drop_prob)
        kernel = kernel_length or _scaled(64, 128.0, self.sfreq)
        pools = pool or (_scaled(4, 128.0, self.sfreq), 8)
        self._require_times(pools[0] * pools[1])
        self.network = self._build(
            "EEGNet",
            F1=n_filters,
            D=depth,
            kernel_length=kernel,
            depthwise_kernel_length=separable_kernel_length,
            pool1_kernel_size=pools[0],
            pool2_kernel_size=pools[1],
            drop_prob=drop_prob,
            final_layer_with_constraint=True,
        )


class ShallowFBCSP(_BraindecodeNetwork):
    """Shallow network after filter-bank common spatial patterns: convolutions, square, mean pooling, logarithm.

    Lengths published at 250 Hz (kernel 25, pooling 75 with stride 15) are kept in seconds.

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
    n_filters : int, default 40
        Temporal and spatial filters.
    kernel_length : int, optional
        Samples of the temporal kernel; default 0.1 s.
    pool_length, pool_stride : int, optional
        Samples of the pooling; default 0.3 s and 0.06 s.
    drop_prob : float, default 0.5
        Dropout.

    Raises
    ------
    InputError
        If there is one channel only, the windows are too short (the message names the minimum), or an input has the
        wrong shape.
    MissingDependencyError
        If braindecode is not installed.

    References
    ----------
    Schirrmeister et al. (2017), doi:10.1002/hbm.23730.
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        n_filters: int = 40,
        kernel_length: int | None = None,
        pool_length: int | None = None,
        pool_stride: int | None = None,
        drop_prob: float = 0.5,
    ) -> None:
        super().__init__(n_chans, n_times, n_outputs, sfreq)
        check_dropout(drop_prob=drop_prob)
        self._require_channels()
        kernel = kernel_length or _scaled(25, 250.0, self.sfreq)
        length = pool_length or _scaled(75, 250.0, self.sfreq)
        self._require_times(kernel + length - 1)
        self.network = self._build(
            "ShallowFBCSPNet",
            n_filters_time=n_filters,
            n_filters_spat=n_filters,
            filter_time_length=kernel,
            pool_time_length=length,
            pool_time_stride=pool_stride or _scaled(15, 250.0, self.sfreq),
            drop_prob=drop_prob,
        )


class Deep4(_BraindecodeNetwork):
    """Four blocks of convolution, batch normalisation, ELU and max-pooling by 3.

    Kernels published as 10 samples at 250 Hz are kept in seconds (at least 2 samples); the pools stay at 3.

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
    kernel_length : int, optional
        Samples of every temporal kernel; default 40 ms.
    pool_length : int, default 3
        Max-pooling after each block.
    drop_prob : float, default 0.5
        Dropout.

    Raises
    ------
    InputError
        If there is one channel only, the windows are too short (the message names the minimum), or an input has the
        wrong shape.
    MissingDependencyError
        If braindecode is not installed.

    References
    ----------
    Schirrmeister et al. (2017), doi:10.1002/hbm.23730.
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        kernel_length: int | None = None,
        pool_length: int = 3,
        drop_prob: float = 0.5,
    ) -> None:
        super().__init__(n_chans, n_times, n_outputs, sfreq)
        check_dropout(drop_prob=drop_prob)
        self._require_channels()
        kernel = kernel_length or _scaled(10, 250.0, self.sfreq, least=2)
        minimum = 1
        for _ in range(4):  # back from one sample after the last pool to the input
            minimum = minimum * pool_length + kernel - 1
        self._require_times(minimum)
        self.network = self._build(
            "Deep4Net",
            filter_time_length=kernel,
            filter_length_2=kernel,
            filter_length_3=kernel,
            filter_length_4=kernel,
            pool_time_length=pool_length,
            pool_time_stride=pool_length,
            drop_prob=drop_prob,
        )


class EEGConformer(_BraindecodeNetwork):
    """Convolutional stem, transformer encoder over its patches, multilayer readout.

    Lengths published at 250 Hz (kernel 25, pooling 75 with stride 15) are kept in seconds.

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
    n_filters : int, default 40
        Filters of the stem, and width of the transformer.
    n_layers : int, default 6
        Transformer layers.
    n_heads : int, default 10
        Attention heads; divides `n_filters`.
    kernel_length, pool_length, pool_stride : int, optional
        Samples; default 0.1 s, 0.3 s and 0.06 s.
    drop_prob, attention_drop_prob : float, default 0.5
        Dropout in the stem and in the transformer.

    Raises
    ------
    InputError
        If the windows are too short (the message names the minimum), or an input has the wrong shape.
    MissingDependencyError
        If braindecode is not installed.

    References
    ----------
    Song et al. (2023), doi:10.1109/TNSRE.2022.3230250.
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        n_filters: int = 40,
        n_layers: int = 6,
        n_heads: int = 10,
        kernel_length: int | None = None,
        pool_length: int | None = None,
        pool_stride: int | None = None,
        drop_prob: float = 0.5,
        attention_drop_prob: float = 0.5,
    ) -> None:
        super().__init__(n_chans, n_times, n_outputs, sfreq)
        check_dropout(drop_prob=drop_prob, attention_drop_prob=attention_drop_prob)
        kernel = kernel_length or _scaled(25, 250.0, self.sfreq)
        length = pool_length or _scaled(75, 250.0, self.sfreq)
        self._require_times(kernel + length - 1)
        self.network = self._build(
            "EEGConformer",
            n_filters_time=n_filters,
            filter_time_length=kernel,
            pool_time_length=length,
            pool_time_stride=pool_stride or _scaled(15, 250.0, self.sfreq),
            num_layers=n_layers,
            num_heads=n_heads,
            drop_prob=drop_prob,
            att_drop_prob=attention_drop_prob,
        )


class ATCNet(_BraindecodeNetwork):
    """Convolutional block, then attention and temporal convolutions over sliding windows of its maps.

    Lengths published at 250 Hz (kernel 64, first pool 8) are kept in seconds; the second kernel and pool (16 and 7) act
    on maps of the same rate and stay.

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
        Temporal filters; the maps are twice as many.
    n_windows : int, default 5
        Sliding windows, one attention and temporal-convolution branch each.
    kernel_length : int, optional
        Samples of the temporal kernel; default 0.256 s.
    pool : (int, int), optional
        Pooling factors; default ``(round(sfreq / 31.25), 7)``.
    drop_prob, attention_drop_prob, temporal_drop_prob : float, default 0.3, 0.5, 0.3
        Dropout in the convolutional block, the attention and the temporal convolutions.

    Raises
    ------
    InputError
        If the windows are too short (the message names the minimum), or an input has the wrong shape.
    MissingDependencyError
        If braindecode is not installed.

    References
    ----------
    Altaheri, Muhammad and Alsulaiman (2023), doi:10.1109/TII.2022.3197419.
    """

    #: Temporal convolutions: kernel and depth of the published network.
    TCN_KERNEL, TCN_DEPTH = 4, 2

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        n_filters: int = 16,
        n_windows: int = 5,
        kernel_length: int | None = None,
        pool: tuple[int, int] | None = None,
        drop_prob: float = 0.3,
        attention_drop_prob: float = 0.5,
        temporal_drop_prob: float = 0.3,
    ) -> None:
        super().__init__(n_chans, n_times, n_outputs, sfreq)
        check_dropout(
            drop_prob=drop_prob, attention_drop_prob=attention_drop_prob, temporal_drop_prob=temporal_drop_prob
        )
        pools = pool or (_scaled(8, 250.0, self.sfreq), 7)
        field = (self.TCN_KERNEL - 1) * 2 ** (self.TCN_DEPTH - 1) + 1  # what one output of the last block sees
        self._require_times((n_windows + field - 1) * pools[0] * pools[1])
        self.network = self._build(
            "ATCNet",
            conv_block_n_filters=n_filters,
            conv_block_kernel_length_1=kernel_length or _scaled(64, 250.0, self.sfreq),
            conv_block_pool_size_1=pools[0],
            conv_block_pool_size_2=pools[1],
            conv_block_dropout=drop_prob,
            n_windows=n_windows,
            att_drop_prob=attention_drop_prob,
            tcn_depth=self.TCN_DEPTH,
            tcn_kernel_size=self.TCN_KERNEL,
            tcn_drop_prob=temporal_drop_prob,
        )
