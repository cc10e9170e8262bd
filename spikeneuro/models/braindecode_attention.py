"""EEG networks with attention, taken from braindecode behind the shared vocabulary."""

from spikeneuro.models.braindecode_base import BraindecodeNetwork, scaled
from spikeneuro.models.inputs import check_dropout


class EEGConformer(BraindecodeNetwork):
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
        kernel = kernel_length or scaled(25, 250.0, self.sfreq)
        length = pool_length or scaled(75, 250.0, self.sfreq)
        self._require_times(kernel + length - 1)
        self.network = self._build(
            "EEGConformer",
            n_filters_time=n_filters,
            filter_time_length=kernel,
            pool_time_length=length,
            pool_time_stride=pool_stride or scaled(15, 250.0, self.sfreq),
            num_layers=n_layers,
            num_heads=n_heads,
            drop_prob=drop_prob,
            att_drop_prob=attention_drop_prob,
        )


class ATCNet(BraindecodeNetwork):
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
        pools = pool or (scaled(8, 250.0, self.sfreq), 7)
        field = (self.TCN_KERNEL - 1) * 2 ** (self.TCN_DEPTH - 1) + 1  # what one output of the last block sees
        self._require_times((n_windows + field - 1) * pools[0] * pools[1])
        self.network = self._build(
            "ATCNet",
            conv_block_n_filters=n_filters,
            conv_block_kernel_length_1=kernel_length or scaled(64, 250.0, self.sfreq),
            conv_block_pool_size_1=pools[0],
            conv_block_pool_size_2=pools[1],
            conv_block_dropout=drop_prob,
            n_windows=n_windows,
            att_drop_prob=attention_drop_prob,
            tcn_depth=self.TCN_DEPTH,
            tcn_kernel_size=self.TCN_KERNEL,
            tcn_drop_prob=temporal_drop_prob,
        )
