"""When neurons fire first, how often they fire, and the order of the first spikes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeneuro._validation import check_choice

TIES = ("min", "dense", "average", "index")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FirstSpikes:
    """First spikes and numbers of spikes: all of a sample that the weights of `spikeneuro.reservoir.DeSNN` depend on.

    Attributes
    ----------
    first : ndarray of int32, shape (samples, neurons)
        Step of the first spike; `n_times` for a neuron that never fires.
    counts : ndarray of int32, shape (samples, neurons)
        Spikes.
    n_times : int
        Steps of a sample.
    """

    first: NDArray[np.int32]
    counts: NDArray[np.int32]
    n_times: int

    @classmethod
    def of(cls, samples: Iterable[NDArray[np.bool_]]) -> Self:
        """Those of spikes (steps, neurons), one sample after the other, so that never more than one is held."""
        first, counts = [], []
        steps = 0
        for fired in samples:
            steps = len(fired)
            first.append(first_of(fired))
            counts.append(fired.sum(axis=0, dtype=np.int32))
        return cls(np.stack(first), np.stack(counts), steps)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape that the spikes had, (samples, steps, neurons)."""
        return len(self.first), self.n_times, self.first.shape[1]


def first_of(fired: NDArray[np.bool_]) -> NDArray[Any]:
    """Step of the first spike of (..., steps, neurons); the number of steps where there is none."""
    return np.where(fired.any(axis=-2), fired.argmax(axis=-2), fired.shape[-2]).astype(np.int32)


def first_spike_ranks(first: ArrayLike, n_times: int, ties: str = "min") -> Floats:
    """Rank of each neuron by the time of its first spike, from 0; infinite for a silent neuron.

    Parameters
    ----------
    first : array-like of int, shape (samples, neurons)
        Step of the first spike; `n_times` for a neuron that never fires.
    n_times : int
        Steps of a sample.
    ties : {"min", "dense", "average", "index"}
        Rank of neurons that fire first in the same step: how many neurons fired before (``min``), in how many earlier
        steps a neuron fired first (``dense``), the mean of the ranks they would take one after the other (``average``),
        or those ranks in the order of the neurons (``index``). Only the last depends on how neurons are numbered.

    Returns
    -------
    ndarray, shape (samples, neurons)
        Ranks.

    Examples
    --------
    >>> first_spike_ranks([[4, 7, 1, 4, 9]], n_times=9)
    array([[ 1.,  3.,  0.,  1., inf]])
    >>> first_spike_ranks([[4, 7, 1, 4, 9]], n_times=9, ties="dense")
    array([[ 1.,  2.,  0.,  1., inf]])
    """
    check_choice(ties, TIES, "ties")
    first = np.asarray(first)
    n, neurons = first.shape
    fires = first < n_times
    if ties == "index":
        order = np.argsort(first, axis=1, kind="stable")
        ranks = np.empty((n, neurons))
        np.put_along_axis(ranks, order, np.broadcast_to(np.arange(neurons, dtype=np.float64), (n, neurons)), axis=1)
        return np.where(fires, ranks, np.inf)
    width = n_times + 1
    at_step = np.bincount((first + width * np.arange(n)[:, None]).ravel(), minlength=n * width).reshape(n, width)
    counted = np.minimum(at_step, 1) if ties == "dense" else at_step
    before = np.cumsum(counted, axis=1) - counted
    found = np.take_along_axis(before, first, axis=1).astype(np.float64)
    if ties == "average":
        found += (np.take_along_axis(at_step, first, axis=1) - 1) / 2
    return np.where(fires, found, np.inf)
