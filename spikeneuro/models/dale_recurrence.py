"""Recurrent neurons on a grid that keep to Dale's law and to their connections while they are trained."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.nn import RecurrentLIF
from spikeneuro.nn.decay import Decay
from spikeneuro.nn.heterogeneity import Gamma, Heterogeneity, Mixture
from spikeneuro.nn.lif import Recurrence
from spikeneuro.reservoir.wiring import dale_weights, distance_connectivity, grid, neuron_kinds

#: Time constants: a mean, the (share, mean) of several kinds of neurons, or a distribution.
Times = float | Sequence[tuple[float, float]] | Heterogeneity

#: Share of the neurons whose time constants may be raised to a step without a word.
_RAISED_SILENTLY = 0.1


class DaleRecurrentLIF(RecurrentLIF):
    r"""Leaky integrate-and-fire neurons, excitatory and inhibitory, sparsely connected.

    As `spikeneuro.nn.RecurrentLIF`, with the recurrent weights

    .. math:: W_{ji} = c_{ji} \, z_i \, |V_{ji}|

    where V is the parameter that is trained (``weight``), :math:`z_i` is +1 for excitatory and -1 for inhibitory
    neurons and :math:`c_{ji}` is 1 where i is connected to j, otherwise 0. The sign of a neuron's connections and the
    places without one are thus the same before, during and after training, whatever changes V: no optimiser can break
    them. V of an absent connection is 0 and has no gradient; a connection whose V reaches 0 exactly is lost to
    gradients.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    signs : Tensor
        Above, c times z, (n_neurons, n_neurons): ``[j, i]`` is the sign of the connection from i to j, 0 without one.
    initial : Tensor
        Weights to start from, of these signs.
    **options
        Those of `spikeneuro.nn.RecurrentLIF`.

    Examples
    --------
    >>> signs = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    >>> layer = DaleRecurrentLIF(2, signs, 0.5 * signs)
    >>> with torch.no_grad():
    ...     layer.weight.sub_(2.0)  # what no training would do
    Parameter containing:
    tensor([[-2.0000, -2.5000],
            [-1.5000, -2.0000]], requires_grad=True)
    >>> layer.recurrence().weight
    tensor([[ 0.0000, -2.5000],
            [ 1.5000,  0.0000]], grad_fn=<MulBackward0>)
    """

    signs: Tensor

    def __init__(self, n_neurons: int, signs: Tensor, initial: Tensor, **options: Any) -> None:
        super().__init__(n_neurons, **options)
        self.register_buffer("signs", signs.to(self.weight))
        with torch.no_grad():
            self.weight.copy_(initial)

    def recurrence(self) -> Recurrence:
        """Return the weights in effect, bias and delay."""
        return Recurrence(self.signs * self.weight.abs(), self.bias, self.delay)

    @property
    def exists(self) -> Tensor:
        """True where there is a connection, (post, pre)."""
        return self.signs != 0

    @torch.no_grad()
    def settle(self) -> None:
        """Write the weights in effect into the parameter, so that both are the same; nothing else changes."""
        weight = self.recurrence().weight
        assert weight is not None
        self.weight.copy_(weight)

    @torch.no_grad()
    def equalise(self) -> None:
        """Give all neurons the mean of their membrane time constants; one that is learned stays a single one."""
        self.membrane_decay = Decay(
            self.tau_mem.double().mean(), None, dt=self.dt, names=("tau_mem", "beta"), shape=self.shape,
            learn="tau_mem" if "tau_mem" in self.learn else None, dtype=self.weight.dtype, device=self.weight.device,
        )  # fmt: skip


def wired(
    n: int,
    seed: int,
    *,
    shape: tuple[int, int, int] | None,
    inhibitory: float,
    probability: Any,
    length: float,
    strength: Any,
    spread: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw the wiring of a layer.

    Parameters
    ----------
    n : int
        Number of neurons.
    seed : int
        Draws everything.
    shape, inhibitory, probability, length, strength, spread
        As for `spikeneuro.reservoir.grid`, `neuron_kinds`, `distance_connectivity` and `dale_weights`.
    scale : float
        What the magnitudes that arrive at a neuron sum to, on average.

    Returns
    -------
    positions, kinds, signs, weights : Tensor
        (n, 3), (n,), (n, n) and (n, n).
    """
    generator = np.random.RandomState(seed % 2**32)
    positions = grid(n, None if shape is None else tuple(shape))  # type: ignore[arg-type]  # a list from a suite
    kinds = neuron_kinds(n, inhibitory, generator)
    connections = distance_connectivity(
        positions, kinds, probability=probability, length=length, random_state=generator
    )
    weights = dale_weights(connections, kinds, strength=strength, spread=spread, random_state=generator).toarray()
    total = float(np.abs(weights).sum() / n)
    signs = connections.toarray() * kinds[np.newaxis, :]
    kept = torch.as_tensor(weights * (scale / total if total > 0 else 0.0))
    return torch.as_tensor(positions), torch.as_tensor(kinds.astype(np.int64)), torch.as_tensor(signs), kept


def membrane_times(times: tuple[Times, Times], kinds: Tensor, concentration: float, dt: float) -> Tensor:
    """Draw the time constant of each neuron.

    Parameters
    ----------
    times : (Times, Times)
        What is asked for: of excitatory and of inhibitory neurons.
    kinds : Tensor
        +1 and -1, (n,).
    concentration : float
        Shape of gamma distributions given by their mean.
    dt : float
        Length of a step, the least time constant.

    Returns
    -------
    Tensor
        (n,), in the unit of `dt`.

    Warns
    -----
    UserWarning
        If more than one in ten neurons drew less than a step, and so lose their own time constant.
    """
    excitatory = _distribution(times[0], "tau", concentration)(len(kinds))
    inhibitory = _distribution(times[1], "tau_inhibitory", concentration)(len(kinds))
    drawn = torch.where(kinds > 0, excitatory, inhibitory).double()
    raised = int((drawn < dt).sum())
    if raised > _RAISED_SILENTLY * len(kinds):
        warnings.warn(
            f"{raised} of {len(kinds)} neurons drew a membrane time constant shorter than a step ({dt:g}) and all get "
            "that of a step; count time in steps (tau_unit='steps') or give a longer mean tau.",
            stacklevel=2,
        )
    return drawn.clamp(min=dt)


def _distribution(given: Times, name: str, concentration: float) -> Heterogeneity:
    if isinstance(given, Heterogeneity):
        return given
    if not isinstance(given, Sequence) or isinstance(given, str):
        return Gamma(check_number(given, name, low=0.0, closed="neither"), concentration)
    if any(not isinstance(part, Sequence) or len(part) != 2 for part in given):
        raise InputError(f"{name} must be a mean, pairs of (share, mean), or a distribution, got {given!r}.")
    return Mixture(tuple(Gamma(mean, concentration) for _, mean in given), tuple(share for share, _ in given))
