"""Direct current: the values themselves, as input current."""

from torch import Tensor

from spikeneuro.encoders.base import Encoder


class DirectEncoder(Encoder):
    """Direct current: hands the values on as they are, held for K steps.

    ``out[t K + j] = x[t]`` for j = 0 ... K-1. The output is *graded, not spikes*: the first layer multiplies real
    numbers, and an energy ledger must count its products as multiply-accumulates. It is the only encoder through
    which gradients flow. Output shape: ``(times K, batch, channels)``, images ``(K, batch, channels, height, width)``.

    Parameters
    ----------
    steps_per_sample : int, default=1
        K. Images need more than one for a spiking network to have time to answer.

    References
    ----------
    Rueckauer et al. (2017), doi:10.3389/fnins.2017.00682 (analogue input as constant current).

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import DirectEncoder
    >>> DirectEncoder(steps_per_sample=2)(torch.tensor([[[0.5, -1.0]]])).flatten().tolist()
    [0.5, 0.5, -1.0, -1.0]
    """

    graded = True

    def __init__(self, steps_per_sample: int = 1) -> None:
        super().__init__(steps_per_sample)

    def _encode(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1).expand(-1, self.steps_per_sample, *(-1 for _ in x.shape[1:]))

    def _decode(self, codes: Tensor) -> Tensor:
        return codes[:, 0].squeeze(3)
