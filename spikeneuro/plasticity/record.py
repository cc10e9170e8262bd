"""What pre-training by plasticity did: how weights and rates went."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Pretraining:
    """What `pretrain` did.

    Attributes
    ----------
    change : list of float
        Mean absolute change of the weights by each batch.
    rate : list of float
        Spikes per neuron and step of the layer in each batch.
    low, high : list of float
        Smallest and largest weight after each batch.
    before, after : float
        Spikes per neuron and step over all batches with the weights held, before and after learning.
    largest : float
        Largest absolute change of a weight from beginning to end.
    lost : float
        Share of the weights that were not 0 before and are after. Gradients cannot bring them back where they train a
        magnitude, as in `hrsnn`.
    """

    change: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    before: float = 0.0
    after: float = 0.0
    largest: float = 0.0
    lost: float = 0.0

    def add(self, before: Tensor, after: Tensor, spikes: Tensor) -> None:
        """Note what a batch did.

        Parameters
        ----------
        before, after : Tensor
            Weights.
        spikes : Tensor
            Of the neurons.
        """
        self.change.append(float((after - before).abs().mean()) if after.numel() else 0.0)
        self.rate.append(float(spikes.float().mean()))
        self.low.append(float(after.min()) if after.numel() else 0.0)
        self.high.append(float(after.max()) if after.numel() else 0.0)

    def close(self, before: Tensor, after: Tensor) -> None:
        """Note what all batches did.

        Parameters
        ----------
        before, after : Tensor
            Weights at the beginning and at the end.
        """
        self.largest = float((after - before).abs().max()) if after.numel() else 0.0
        there = before != 0
        self.lost = float((after[there] == 0).double().mean()) if bool(there.any()) else 0.0


def mean_rate(trains: Iterable[Tensor]) -> float:
    """Return the spikes per neuron and step over several trains.

    Parameters
    ----------
    trains : iterable of Tensor
        Spikes, of any shape.

    Returns
    -------
    float
        Mean of all values; 0 without any.
    """
    total, count = 0.0, 0
    for spikes in trains:
        total += float(spikes.double().sum())
        count += spikes.numel()
    return total / count if count else 0.0


def record_in_history(net: Any, done: Pretraining, **what: str) -> None:
    """Add what pre-training did to the first epoch of a net's history, under "pretraining", one entry for each.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net, at the end of an epoch.
    done : Pretraining
        What was done before the first one.
    **what
        What else the entry says, the method for example.
    """
    if len(net.history) > 1:
        return
    numbers = {"largest_change": done.largest, "lost": done.lost, "rate_before": done.before, "rate_after": done.after}
    net.history.record("pretraining", [*net.history[-1].get("pretraining", []), what | numbers])
