"""Branches of networks on several modalities: from the encoded input of one to features on the common steps."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from spikeneuro.models.cnn2d import pooled_size, pooling_plan
from spikeneuro.models.cross_modal_inputs import aligned
from spikeneuro.nn import EventLinear, OverTime

#: Makes a layer's nonlinearity: shape of its features, and the length of a step (seconds, or 1 for steps).
MakeNeurons = Callable[[tuple[int, ...], float], nn.Module]


class SignalBranch(nn.Module):
    """Encoded signals to features of `hidden` neurons, (n_steps, batch, hidden), as `SpikingEEGNet` does it.

    Spatial filters, temporal filters, neurons at the signal's own rate, pooling to the common steps, a separable
    convolution, neurons.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        n_steps: int,
        *,
        kernel: int,
        separable_kernel: int,
        pooling: str,
        drop_prob: float,
        first: nn.Module,
        second: nn.Module,
    ) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = (hidden,)
        self.n_steps, self.pooling = n_steps, pooling
        self.filters = nn.Sequential(
            nn.Conv1d(channels, hidden, 1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.Conv1d(hidden, hidden, kernel, padding="same", groups=hidden, bias=False),
            nn.BatchNorm1d(hidden),
        )
        self.separable = nn.Sequential(
            nn.Conv1d(hidden, hidden, separable_kernel, padding="same", groups=hidden, bias=False),
            nn.Conv1d(hidden, hidden, 1, bias=False),
            nn.BatchNorm1d(hidden),
        )
        self.first, self.second = first, second
        self.dropout = nn.Dropout(drop_prob)

    def forward(self, x: Tensor) -> Tensor:
        """(steps, batch, channels) -> (n_steps, batch, hidden)."""
        spikes = self.first(self.filters(x.permute(1, 2, 0)).permute(2, 0, 1))
        pooled = self.dropout(aligned(spikes, self.n_steps, self.pooling))
        return self.second(self.separable(pooled.permute(1, 2, 0)).permute(2, 0, 1))


class VectorBranch(nn.Module):
    """Held features to neurons, (n_steps, batch, hidden)."""

    def __init__(self, channels: int, hidden: int, n_steps: int, *, constant: bool, neurons: nn.Module) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = (hidden,)
        self.n_steps, self.constant = n_steps, constant
        self.linear = nn.Sequential(nn.Linear(channels, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.neurons = neurons

    def forward(self, x: Tensor) -> Tensor:
        """(steps, batch, features) -> (n_steps, batch, hidden)."""
        return self.neurons(_over_time(self.linear, aligned(x, self.n_steps, "mean"), self.constant))


class MapBranch(nn.Module):
    """Images or frames to maps (n_steps, batch, maps, height, width), or to `hidden` neurons.

    Convolution, batch normalisation, neurons and maximum pooling per block; frames are brought to the common steps
    before the first. What is the same at every step is convolved once.
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        n_steps: int,
        *,
        filters: Sequence[int],
        kernel_size: int,
        hidden: int | None,
        constant: bool,
        neurons: Callable[[tuple[int, ...]], nn.Module],
    ) -> None:
        super().__init__()
        self.n_steps, self.constant = n_steps, constant
        factors = pooling_plan(image_size, len(filters))
        self.convolutions, self.neurons, self.pools = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = channels
        for maps, factor in zip(filters, factors, strict=True):
            convolution = nn.Conv2d(width, maps, kernel_size, padding=kernel_size // 2, bias=False)
            self.convolutions.append(nn.Sequential(convolution, nn.BatchNorm2d(maps)))
            self.neurons.append(neurons((maps, 1, 1)))
            self.pools.append(OverTime(nn.MaxPool2d(factor)) if factor > 1 else nn.Identity())
            width = maps
        height, breadth = pooled_size(image_size, factors)
        self.shape: tuple[int, ...] = (width, height, breadth)
        self.linear: nn.Module | None = None
        if hidden is not None:
            self.shape = (hidden,)
            self.linear = EventLinear(width * height * breadth, hidden, bias=False)
            self.norm = OverTime(nn.BatchNorm1d(hidden))
            self.last = neurons((hidden,))

    def forward(self, x: Tensor) -> Tensor:
        """(steps, batch, channels, height, width) -> (n_steps, batch, *shape)."""
        spikes, constant = aligned(x, self.n_steps, "mean"), self.constant
        for convolution, neurons, pool in zip(self.convolutions, self.neurons, self.pools, strict=True):
            spikes = pool(neurons(_over_time(convolution, spikes, constant)))
            constant = False
        if self.linear is None:
            return spikes
        return self.last(self.norm(self.linear(spikes.flatten(2))))


def _over_time(module: nn.Module, x: Tensor, constant: bool) -> Tensor:
    """`module` at every step; once where every step is the same."""
    if constant:
        y: Tensor = module(x[0])
        return y.unsqueeze(0).expand(x.shape[0], *y.shape)
    return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])
