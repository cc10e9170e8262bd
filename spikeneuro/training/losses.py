"""Losses: cross-entropy over samples or labelled steps, and the firing-rate penalty."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from spikeneuro.errors import InputError

#: Label of a step that is not scored.
IGNORED = -1


class MaskedCrossEntropy(nn.Module):
    r"""Cross-entropy of logits, averaged over samples or over the labelled steps.

    Logits are ``(batch, classes)`` with targets ``(batch,)``, or ``(batch, classes, times)`` with targets
    ``(batch, times)`` in which -1 marks steps without a label. With class weights :math:`w` and smoothing
    :math:`\epsilon` the loss is PyTorch's: each element's term is weighted by the weight of its class and the sum is
    divided by the sum of weights. Without any labelled step the loss is 0.

    Parameters
    ----------
    weight : Tensor of shape (classes,), optional
        Weight of each class.
    label_smoothing : float
        Share of the target spread evenly over the classes, in [0, 1).
    """

    def __init__(self, weight: Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", weight)
        self.weight: Tensor | None

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if not bool((target != IGNORED).any()):
            return logits.sum() * 0.0
        return functional.cross_entropy(
            logits, target, weight=self.weight, ignore_index=IGNORED, label_smoothing=self.label_smoothing
        )


def rate_penalty(spikes: Iterable[Tensor], band: tuple[float, float]) -> Tensor:
    r"""Penalty on neurons whose mean rate leaves a band.

    :math:`L = \frac{1}{\mathrm{layers}} \sum_\ell \frac{1}{N_\ell} \sum_i
    \left[(r_{\min} - r_i)_+^2 + (r_i - r_{\max})_+^2\right]`, where :math:`r_i` is the share of steps and samples in
    which neuron i fired.

    Parameters
    ----------
    spikes : iterable of Tensor
        Spikes ``(time, batch, *features)`` of each layer.
    band : (float, float)
        Lowest and highest rate in spikes per step, within [0, 1], that costs nothing.

    Returns
    -------
    Tensor
        A number that can be added to a loss.

    Raises
    ------
    InputError
        Without layers: a network that trains without spikes has no rates.

    References
    ----------
    Bellec et al. (2018), "Long short-term memory and learning-to-learn in networks of spiking neurons", NeurIPS,
    use the same idea with a single target rate.
    """
    low, high = band
    terms = []
    for layer in spikes:
        rate = layer.mean(dim=(0, 1))
        terms.append(((low - rate).clamp(min=0) ** 2 + (rate - high).clamp(min=0) ** 2).mean())
    if not terms:
        raise InputError("rate_penalty needs spikes, and no spiking layer ran in training; set it to 0.")
    return torch.stack(terms).mean()
