"""Competition between the neurons of a layer, so that they learn different things."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.nn import RecurrentLIF


@dataclass(frozen=True)
class WinnerTakeAll:
    """Competition within a step: of the neurons above threshold only those with the highest potential fire.

    The losers are reset, and refractory, as if they had fired. Ties go to the first.

    Parameters
    ----------
    k : int, default 1
        Number of winners.
    across : {"channels", "all"}, default "channels"
        For feature maps: winners at each position, or in the whole map.
    reset_others : bool, default False
        Whether a winner also returns all other neurons it competes with to rest.
    """

    k: int = 1
    across: str = "channels"
    reset_others: bool = False

    def __post_init__(self) -> None:
        check_number(self.k, "k", low=1, integer=True)
        check_choice(self.across, ("channels", "all"), "across")

    def __call__(self, spikes: Tensor, excess: Tensor) -> Tensor:
        """Return the spikes of the winners.

        Parameters
        ----------
        spikes : Tensor
            Of all neurons, (batch, *features).
        excess : Tensor
            Potential above threshold, same shape.

        Returns
        -------
        Tensor
            Same shape.
        """
        flat = spikes.flatten(1) if self.across == "all" else spikes
        height = excess.reshape(flat.shape).masked_fill(flat == 0, -torch.inf)
        order = height.sort(dim=1, descending=True, stable=True).indices
        first = torch.zeros_like(flat).scatter(1, order[:, : self.k], 1.0)
        return (flat * first).reshape(spikes.shape)

    def field(self, winners: Tensor) -> Tensor:
        """Return 1 where a neuron competed with a winner, (batch, *features)."""
        axes = tuple(range(1, winners.dim())) if self.across == "all" else (1,)
        return winners.amax(axes, keepdim=True).expand(winners.shape)


def lateral_inhibition(n_neurons: int, strength: float, **options: Any) -> RecurrentLIF:
    """Return neurons that inhibit one another: each spike lowers the current of all others one step later.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    strength : float
        Decrease of the current, at least 0.
    **options
        Those of `spikeneuro.nn.LIF`.

    Returns
    -------
    RecurrentLIF
        With weights -strength between different neurons, which are not trained.

    Examples
    --------
    >>> lateral_inhibition(2, 0.5).weight.tolist()
    [[0.0, -0.5], [-0.5, 0.0]]
    """
    check_number(strength, "strength", low=0.0)
    neurons = RecurrentLIF(n_neurons, bias=False, **options)
    with torch.no_grad():
        neurons.weight.copy_(strength * (torch.eye(n_neurons) - 1.0))
    neurons.weight.requires_grad_(False)
    return neurons
