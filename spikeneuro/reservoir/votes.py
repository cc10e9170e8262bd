"""How much each of the training samples nearest to a new one has to say."""

from typing import Any

import numpy as np
import torch

VOTES = ("distance", "gaussian", "relative", "uniform")
_ROUNDING = 1e-9  # relative difference that a sum of weights in another order may have


def neighbour_votes(distance: Any, k: int, vote: str, sigma: float) -> Any:
    """Votes of the k nearest training samples, and of those as near as the last of them.

    One text for arrays and tensors, as deSNN is an estimator and, for the energy ledger, a torch module.

    Parameters
    ----------
    distance : ndarray or Tensor, shape (samples, training samples)
        Distances, infinite for training samples that never vote.
    k : int
        Neighbours that vote; with "relative" there must be one more training sample.
    vote : {"distance", "gaussian", "relative", "uniform"}
        See `spikeneuro.reservoir.DeSNN`.
    sigma : float
        Width of "gaussian" and "relative".

    Returns
    -------
    ndarray or Tensor, shape (samples, training samples)
        Rows of sum 1.
    """
    xp: Any = torch if isinstance(distance, torch.Tensor) else np
    nearest = _nearest(distance, k + needs_one_more(vote))
    low, limit = nearest[:, :1], nearest[:, k - 1 : k]
    near = distance <= limit * (1 + _ROUNDING)
    inside = xp.where(near, distance, low)
    if vote == "gaussian":
        votes = xp.exp((xp.square(low) - xp.square(inside)) / (2 * sigma**2))
    elif vote == "relative":
        following = nearest[:, k:]
        scale = xp.where(following > 0, following, xp.ones_like(following))  # where it is 0, so is every distance
        votes = xp.exp((low - inside) / (2 * sigma**2 * scale))
    elif vote == "distance":
        votes = xp.amax(inside, axis=1, keepdims=True) - (inside - low)
        votes = xp.where(votes.any(axis=1)[:, None], votes, xp.ones_like(votes))  # all neighbours at distance zero
    else:
        votes = xp.ones_like(inside)
    votes = votes * near
    return votes / votes.sum(axis=1)[:, None]


def needs_one_more(vote: str) -> bool:
    """Whether the votes depend on the nearest neighbour that has none, too."""
    return vote == "relative"


def _nearest(distance: Any, k: int) -> Any:
    """The k smallest distances of each row, in order."""
    if isinstance(distance, torch.Tensor):
        return distance.topk(k, dim=1, largest=False).values
    return np.sort(np.partition(distance, k - 1, axis=1)[:, :k], axis=1)
