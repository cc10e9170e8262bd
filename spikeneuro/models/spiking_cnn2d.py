"""A spiking convolutional network for images."""

from collections.abc import Sequence

from torch import Tensor, nn

from spikeneuro.encoders import DirectEncoder, Encoder
from spikeneuro.models.cnn2d import pooled_size, pooling_plan
from spikeneuro.models.inputs import as_image_size, check_dropout, check_image, check_odd, check_sizes
from spikeneuro.models.spiking import as_encoder, as_surrogate, log_spaced, unwrap
from spikeneuro.nn import LIF, OverTime, RateReadout
from spikeneuro.ops.surrogates import Surrogate


class SpikingCNN2d(nn.Module):
    r"""Convolution, batch normalisation, LIF and pooling per block over a few steps; readout of the last maps' rates.

    The image is shown for ``n_steps`` steps, as constant current ("direct") or as spikes ("rate", "latency", ...).
    With constant current the first convolution has the same result at every step, and is computed once. Pooling takes
    the maximum, so what travels between blocks is binary. Time constants are in steps and log-spaced over the maps of
    each block.

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
    n_steps : int, default 6
        Steps for which an image is shown; not used when `encoder` is an object.
    tau : (float, float), default (1.0, 4.0)
        Shortest and longest membrane time constant in steps.
    learn_tau : bool, default False
        Whether the time constants are learned.
    encoder : str or Encoder, default "direct"
        Name of an encoder that takes images, or the object.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Surrogate gradient; by that name, with slope 5.
    drop_prob : float, default 0.25
        Dropout of rates before the readout.

    Raises
    ------
    InputError
        If a size is not positive, or an input does not have the shape ``(batch, in_chans, height, width)``.

    References
    ----------
    Wu et al. (2019), doi:10.1609/aaai.v33i01.33011311 (first convolution as learned encoder).

    Examples
    --------
    >>> import torch
    >>> SpikingCNN2d(in_chans=1, image_size=28, n_outputs=10)(torch.zeros(3, 1, 28, 28)).shape
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
        n_steps: int = 6,
        tau: tuple[float, float] = (1.0, 4.0),
        learn_tau: bool = False,
        encoder: str | Encoder = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__()
        check_sizes(in_chans=in_chans, n_outputs=n_outputs, n_steps=n_steps)
        check_odd(kernel_size, "kernel_size")
        check_dropout(drop_prob=drop_prob)
        self.in_chans, self.image_size, self.n_outputs = in_chans, as_image_size(image_size), n_outputs
        self.encoder = as_encoder(encoder, n_steps)
        factors = pooling_plan(self.image_size, len(filters))
        learn = ("tau_mem",) if learn_tau else ()
        self.convolutions, self.neurons, self.pools = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width = self.encoder.out_features(in_chans)
        for maps, factor in zip(filters, factors, strict=True):
            convolution = nn.Conv2d(width, maps, kernel_size, padding=kernel_size // 2, bias=False)
            self.convolutions.append(OverTime(nn.Sequential(convolution, nn.BatchNorm2d(maps))))
            tau_mem = log_spaced(tau, "tau")((maps, 1, 1))
            self.neurons.append(
                LIF((maps, 1, 1), tau_mem=tau_mem, dt=1.0, surrogate=as_surrogate(surrogate), learn=learn)
            )
            self.pools.append(OverTime(nn.MaxPool2d(factor)) if factor > 1 else nn.Identity())
            width = maps
        height, breadth = pooled_size(self.image_size, factors)
        self.rate = RateReadout()
        self.dropout = nn.Dropout(drop_prob)
        self.readout = nn.Linear(width * height * breadth, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, n_outputs)."""
        check_image(x, self.in_chans, self.image_size)
        current = self._first_current(x)
        spikes = self.pools[0](self.neurons[0](current))
        for convolution, neurons, pool in zip(self.convolutions[1:], self.neurons[1:], self.pools[1:], strict=True):
            spikes = pool(neurons(convolution(spikes)))  # (steps, batch, maps, height, width)
        return self.readout(self.dropout(self.rate(spikes.flatten(2))))

    def _first_current(self, x: Tensor) -> Tensor:
        """Input current of the first neurons, (steps, batch, maps, height, width)."""
        if isinstance(self.encoder, DirectEncoder):
            # constant current: one convolution serves every step
            current = unwrap(self.convolutions[0])(x)
            return current.unsqueeze(0).expand(self.encoder.steps_per_sample, *current.shape)
        return self.convolutions[0](self.encoder(x))
