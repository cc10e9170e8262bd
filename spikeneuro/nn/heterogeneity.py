"""Heterogeneous neurons: objects that give one value per neuron, for time constants, thresholds and the like.

Each is called with a feature shape and a generator and returns a tensor of that shape. A layer takes such an object in
place of a number and calls it with its own shape; to share values between the positions of a feature map, give the
tensor itself, of shape (channels, 1, 1).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError


class Heterogeneity(ABC):
    """Base of all initialisers of values per neuron."""

    @abstractmethod
    def __call__(self, shape: int | Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """Return a tensor of `shape`; random ones draw from `generator`, or from torch's global one."""


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


@dataclass(frozen=True)
class Constant(Heterogeneity):
    """The same value for every neuron, but each its own: the start of learnable values per neuron.

    Parameters
    ----------
    value : float
        The value.
    """

    value: float

    def __call__(self, shape: int | Sequence[int], generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Return the value in `shape`."""
        return torch.full(_sizes(shape), float(self.value))


@dataclass(frozen=True)
class LogSpaced(Heterogeneity):
    """Values evenly spaced in their logarithm from `low` to `high`, in the order of the neurons; not random.

    Parameters
    ----------
    low, high : float
        Ends of the range, above 0; a single neuron gets their geometric mean.

    Examples
    --------
    >>> LogSpaced(0.01, 0.04)(3)
    tensor([0.0100, 0.0200, 0.0400])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)

    def __call__(self, shape: int | Sequence[int], generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Return the values in `shape`."""
        n = math.prod(_sizes(shape))
        low, high = math.log(self.low), math.log(self.high)
        logs = torch.linspace(low, high, n) if n > 1 else torch.full((n,), (low + high) / 2)
        return logs.exp().reshape(_sizes(shape))


@dataclass(frozen=True)
class LogUniform(Heterogeneity):
    """Values whose logarithm is uniform between those of `low` and `high`.

    Parameters
    ----------
    low, high : float
        Ends of the range, above 0.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)

    def __call__(self, shape: int | Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """Return random values in `shape`."""
        low, high = math.log(self.low), math.log(self.high)
        drawn = torch.rand(_sizes(shape), generator=generator)
        return (low + (high - low) * drawn).exp().clamp(self.low, self.high)


@dataclass(frozen=True)
class Gamma(Heterogeneity):
    """Gamma-distributed values, the distribution found for membrane time constants.

    Parameters
    ----------
    mean : float
        Mean, above 0.
    concentration : float, default 3
        Shape of the distribution, above 0; the coefficient of variation is its inverse square root.
    low : float, default 0
        Values below are set to this one, so that time constants stay away from 0.

    References
    ----------
    Perez-Nieves et al. (2021), doi:10.1038/s41467-021-26022-3.
    """

    mean: float
    concentration: float = 3.0
    low: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.mean, "mean", low=0.0, closed="neither")
        check_number(self.concentration, "concentration", low=0.0, closed="neither")
        check_number(self.low, "low", low=0.0)

    def __call__(self, shape: int | Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """Return random values in `shape`."""
        concentration = torch.full(_sizes(shape), float(self.concentration))
        drawn = torch._standard_gamma(concentration, generator=generator)
        return (drawn * (self.mean / self.concentration)).clamp(min=self.low)


@dataclass(frozen=True)
class Mixture(Heterogeneity):
    """Values of several distributions, each neuron's drawn from one of them: fast, medium and slow neurons.

    Parameters
    ----------
    parts : sequence of Heterogeneity
        The distributions.
    shares : sequence of float
        Probability of each, not negative, 1 in all.

    Examples
    --------
    >>> tau = Mixture((Gamma(0.01), Gamma(0.05), Gamma(0.2)), (0.1, 0.6, 0.3))
    >>> tau(5).shape
    torch.Size([5])
    """

    parts: Sequence[Heterogeneity]
    shares: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "shares", tuple(self.shares))
        if not self.parts or any(not isinstance(part, Heterogeneity) for part in self.parts):
            raise InputError("parts must be distributions such as Gamma(0.05), one or more.")
        if len(self.parts) != len(self.shares):
            raise InputError(f"parts and shares must be of equal number, got {len(self.parts)} and {len(self.shares)}.")
        for index, share in enumerate(self.shares):
            check_number(share, f"shares[{index}]", low=0.0, high=1.0)
        if abs(math.fsum(self.shares) - 1.0) > 1e-6:
            raise InputError(f"shares must sum to 1, got {math.fsum(self.shares):g}.")

    def __call__(self, shape: int | Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """Return random values in `shape`."""
        sizes = _sizes(shape)
        shares = torch.tensor(self.shares, dtype=torch.float64)
        drawn = torch.stack([part(sizes, generator) for part in self.parts])
        chosen = torch.multinomial(shares, max(math.prod(sizes), 1), replacement=True, generator=generator)
        return drawn.gather(0, chosen[: math.prod(sizes)].reshape(1, *sizes))[0]


def _check_range(low: float, high: float) -> None:
    check_number(low, "low", low=0.0, closed="neither")
    check_number(high, "high", low=0.0, closed="neither")
    if high < low:
        raise InputError(f"high must be at least low, got low={low!r} and high={high!r}.")
