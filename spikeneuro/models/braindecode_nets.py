"""EEG networks of braindecode in the vocabulary of this package, with lengths scaled to the sampling rate.

The published lengths are samples at one sampling rate; here they are kept in seconds, and every class refuses windows
that are too short, where braindecode would shrink the architecture with a warning.
"""

from spikeneuro.models.braindecode_base import BraindecodeNetwork, scaled
from spikeneuro.models.inputs import check_dropout


class EEGNet(BraindecodeNetwork):
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
        kernel = kernel_length or scaled(64, 128.0, self.sfreq)
        pools = pool or (scaled(4, 128.0, self.sfreq), 8)
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


class ShallowFBCSP(BraindecodeNetwork):
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
        kernel = kernel_length or scaled(25, 250.0, self.sfreq)
        length = pool_length or scaled(75, 250.0, self.sfreq)
        self._require_times(kernel + length - 1)
        self.network = self._build(
            "ShallowFBCSPNet",
            n_filters_time=n_filters,
            n_filters_spat=n_filters,
            filter_time_length=kernel,
            pool_time_length=length,
            pool_time_stride=pool_stride or scaled(15, 250.0, self.sfreq),
            drop_prob=drop_prob,
        )


class Deep4(BraindecodeNetwork):
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
        kernel = kernel_length or scaled(10, 250.0, self.sfreq, least=2)
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
