"""From the states of every step to the features of a sample."""

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_choice, check_number

POOLINGS = ("mean", "moments", "last", "sampled", "all")


class Pooling(nn.Module):
    """States (times, batch, units) to features (batch, features).

    Parameters
    ----------
    how : {"mean", "moments", "last", "sampled", "all"}
        Mean over time; mean and standard deviation over time; last state; states at `n_points` times, evenly spaced up
        to the last; the states of all steps, one after another.
    washout : int, default 0
        First steps left out.
    n_points : int, default 4
        For "sampled".
    """

    def __init__(self, how: str, washout: int = 0, n_points: int = 4) -> None:
        super().__init__()
        self.how = check_choice(how, POOLINGS, "pooling")
        self.n_points = int(check_number(n_points, "n_points", low=1, integer=True))
        self.washout = int(check_number(washout, "washout", low=0, integer=True))

    def forward(self, states: Tensor) -> Tensor:
        """(times, batch, units) -> (batch, features)."""
        if self.how == "last":
            return states[-1]
        kept = states[self.washout :]
        if self.how == "sampled":
            ends = [-(-len(kept) * (k + 1) // self.n_points) - 1 for k in range(self.n_points)]
            return kept[ends].transpose(0, 1).flatten(1)
        if self.how == "all":
            return kept.transpose(0, 1).flatten(1)
        mean = kept.mean(0)
        if self.how == "mean":
            return mean
        return torch.cat([mean, ((kept - mean) ** 2).mean(0).sqrt()], dim=1)
