"""A plain 1-D convolutional network for signals."""

from collections.abc import Sequence

from torch import Tensor, nn

from spikeneuro.models.inputs import check_dropout, check_odd, check_signal, check_sizes


class CNN1d(nn.Module):
    """Convolutions over time that mix all channels, global average pooling, linear readout.

    Each block computes ``pool(relu(batchnorm(conv(x))))``; the last block's maps are averaged over time, so the number
    of parameters does not depend on the length of the signal.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Sampling frequency in hertz. Part of the common vocabulary; this model does not use it.
    filters : sequence of int, default (32, 64, 64)
        Feature maps of each block.
    kernel_sizes : sequence of int, default (15, 9, 5)
        Odd kernel lengths in samples, one per block.
    pool : int, default 2
        Max-pooling after every block but the last, as long as at least two samples are left.
    drop_prob : float, default 0.25
        Dropout before the readout.

    Raises
    ------
    InputError
        If a size is not positive, or an input does not have the shape ``(batch, n_chans, n_times)``.

    References
    ----------
    Wang, Yan and Oates (2017), doi:10.1109/IJCNN.2017.7966039.

    Examples
    --------
    >>> import torch
    >>> CNN1d(n_chans=4, n_times=100, n_outputs=2)(torch.zeros(3, 4, 100)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        filters: Sequence[int] = (32, 64, 64),
        kernel_sizes: Sequence[int] = (15, 9, 5),
        pool: int = 2,
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, pool=pool)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs, self.sfreq = n_chans, n_times, n_outputs, sfreq
        for kernel in kernel_sizes:
            check_odd(kernel, "kernel_sizes")
        layers: list[nn.Module] = []
        width, left = n_chans, n_times
        for block, (maps, kernel) in enumerate(zip(filters, kernel_sizes, strict=True)):
            # no bias: the batch normalisation that follows has one
            layers += [nn.Conv1d(width, maps, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(maps), nn.ReLU()]
            if block < len(filters) - 1 and left >= 2 * pool:
                layers.append(nn.MaxPool1d(pool))
                left //= pool
            width = maps
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(drop_prob)
        self.readout = nn.Linear(width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs)."""
        check_signal(x, self.n_chans, self.n_times)
        return self.readout(self.dropout(self.features(x).mean(dim=-1)))
