"""A plain 2-D convolutional network for images, and the plan it shares with its spiking twin."""

from collections.abc import Sequence

from torch import Tensor, nn

from spikeneuro.models.inputs import as_image_size, check_dropout, check_image, check_odd, check_sizes

#: Pooling never brings the smaller side of an image below this many pixels.
FINAL_SIDE = 4


def pooling_plan(image_size: tuple[int, int], n_blocks: int) -> list[int]:
    """Pooling factor after each of `n_blocks` convolutions.

    Every factor is 2 while the smaller side stays at least `FINAL_SIDE`, else 1. Big images are pooled harder, first
    blocks first, where convolutions are dearest, until the smaller side is less than twice `FINAL_SIDE` plus 2.
    """
    side = min(image_size)
    factors = []
    for _ in range(n_blocks):
        factors.append(2 if side // 2 >= FINAL_SIDE else 1)
        side //= factors[-1]
    block = 0
    while side // 2 > FINAL_SIDE:
        factors[block % n_blocks] *= 2
        side //= 2
        block += 1
    return factors


def pooled_size(image_size: tuple[int, int], factors: Sequence[int]) -> tuple[int, int]:
    """Height and width after pooling by `factors` one after the other."""
    height, width = image_size
    for factor in factors:
        height, width = height // factor, width // factor
    return height, width


class CNN2d(nn.Module):
    """Convolution, batch normalisation, ReLU and max-pooling per block; linear readout of the last maps.

    Parameters
    ----------
    in_chans : int
        Number of image channels.
    image_size : int or (int, int)
        Height and width in pixels.
    n_outputs : int
        Number of classes, or of real outputs.
    filters : sequence of int, default (16, 32, 64)
        Feature maps of each block.
    kernel_size : int, default 3
        Odd side of the kernels.
    drop_prob : float, default 0.25
        Dropout before the readout.

    Raises
    ------
    InputError
        If a size is not positive, or an input does not have the shape ``(batch, in_chans, height, width)``.

    References
    ----------
    LeCun et al. (1998), doi:10.1109/5.726791.

    Examples
    --------
    >>> import torch
    >>> CNN2d(in_chans=1, image_size=28, n_outputs=10)(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self,
        in_chans: int,
        image_size: int | tuple[int, int],
        n_outputs: int,
        *,
        filters: Sequence[int] = (16, 32, 64),
        kernel_size: int = 3,
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__()
        check_sizes(in_chans=in_chans, n_outputs=n_outputs)
        check_odd(kernel_size, "kernel_size")
        check_dropout(drop_prob=drop_prob)
        self.in_chans, self.image_size, self.n_outputs = in_chans, as_image_size(image_size), n_outputs
        factors = pooling_plan(self.image_size, len(filters))
        layers: list[nn.Module] = []
        width = in_chans
        for maps, factor in zip(filters, factors, strict=True):
            layers.append(nn.Conv2d(width, maps, kernel_size, padding=kernel_size // 2, bias=False))
            layers += [nn.BatchNorm2d(maps), nn.ReLU()]
            if factor > 1:
                layers.append(nn.MaxPool2d(factor))
            width = maps
        height, breadth = pooled_size(self.image_size, factors)
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(drop_prob)
        self.readout = nn.Linear(width * height * breadth, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, n_outputs)."""
        check_image(x, self.in_chans, self.image_size)
        return self.readout(self.dropout(self.features(x).flatten(1)))
