r"""Distributions of neuron parameters as points: what a search varies, and how far two of them are apart.

The distance of two distributions on the line is the 2-Wasserstein distance,

.. math:: W_2(p, q)^2 = \int_0^1 (F_p^{-1}(u) - F_q^{-1}(u))^2 \, du,

that of quantile functions in :math:`L_2`. The integral is a Gauss-Legendre sum, so that the vector of
:math:`\sqrt{w_k} \, F^{-1}(u_k)` stands for a distribution and the Euclidean distance of two such vectors for
:math:`W_2`: distances of points in a Euclidean space, on which Matérn kernels are positive semidefinite.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeneuro._validation import check_choice, check_finite, check_number
from spikeneuro.errors import InputError
from spikeneuro.nn import heterogeneity
from spikeneuro.nn.heterogeneity import Heterogeneity

Array = NDArray[Any]

#: Levels at which quantile functions are compared.
N_LEVELS = 200
#: The same for a search, which compares very many distributions.
N_EMBEDDED = 64
SCALES = ("linear", "log")


@lru_cache(maxsize=8)
def levels(n: int = N_LEVELS) -> tuple[Array, Array]:
    """Return nodes and weights of the Gauss-Legendre sum over [0, 1].

    Parameters
    ----------
    n : int, default 200
        Number of nodes.

    Returns
    -------
    nodes, weights : ndarray, shape (n,)
        The weights sum to 1.
    """
    nodes, weights = np.polynomial.legendre.leggauss(int(check_number(n, "n", low=1, integer=True)))
    return (nodes + 1) / 2, weights / 2


def quantiles(distribution: Any, at: ArrayLike) -> Array:
    """Return the quantile function of a distribution.

    Parameters
    ----------
    distribution : Heterogeneity, number, array of samples, or object with a method ``ppf``
        A distribution of `spikeneuro.nn.heterogeneity`, a single value, samples of equal weight, or a distribution of
        `scipy.stats` with its parameters.
    at : array_like
        Levels between 0 and 1.

    Returns
    -------
    ndarray
        Of the shape of `at`.

    Raises
    ------
    InputError
        For another object, or samples that are none.

    Examples
    --------
    >>> quantiles(heterogeneity.LogUniform(1.0, 100.0), [0.25, 0.5]).round(3).tolist()
    [3.162, 10.0]
    >>> quantiles([3.0, 1.0, 2.0], [0.1, 0.5, 0.9]).tolist()
    [1.0, 2.0, 3.0]
    """
    u = np.asarray(at, dtype=np.float64)
    if isinstance(distribution, Heterogeneity):
        return _quantiles_of(distribution, u)
    if hasattr(distribution, "ppf"):
        return np.asarray(distribution.ppf(u), dtype=np.float64)
    samples = _samples(distribution)
    return samples[np.clip(np.ceil(u * len(samples)).astype(np.intp) - 1, 0, len(samples) - 1)]


def wasserstein2(p: Any, q: Any, n: int = N_LEVELS) -> float:
    """Return the 2-Wasserstein distance of two distributions on the line.

    Between samples it is exact; otherwise the integral is a sum over `n` levels, which for Gaussian and gamma
    distributions is good to about four digits.

    Parameters
    ----------
    p, q : object
        Distributions, as `quantiles` takes them.
    n : int, default 200
        Number of levels.

    Returns
    -------
    float
        In the unit of the values.

    Examples
    --------
    >>> wasserstein2([0.0, 1.0], [5.0, 4.0])
    4.0
    >>> round(wasserstein2(0.02, heterogeneity.Constant(0.05)), 12)
    0.03
    """
    if not any(isinstance(part, Heterogeneity) or hasattr(part, "ppf") for part in (p, q)):
        a, b = _samples(p), _samples(q)
        # both quantile functions are constant between these levels
        ends = np.union1d(np.arange(1, len(a) + 1) / len(a), np.arange(1, len(b) + 1) / len(b))
        widths = np.diff(ends, prepend=0.0)
        middles = ends - widths / 2
        return float(np.sqrt(np.sum(widths * (quantiles(a, middles) - quantiles(b, middles)) ** 2)))
    nodes, weights = levels(n)
    return float(np.sqrt(np.sum(weights * (quantiles(p, nodes) - quantiles(q, nodes)) ** 2)))


def _samples(given: Any) -> Array:
    try:
        samples = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a distribution must be of nn.heterogeneity, a number, samples, or have a ppf, got {given!r}."
        ) from error
    if samples.ndim != 1 or not len(samples):
        raise InputError(f"samples must be a row of numbers, at least one, got shape {samples.shape}.")
    return np.sort(check_finite(samples, "samples"))


def _quantiles_of(distribution: Heterogeneity, u: Array) -> Array:
    from scipy import special  # not its stats: many small calls, which those make slow

    if isinstance(distribution, heterogeneity.Constant):
        return np.full_like(u, distribution.value)
    if isinstance(distribution, heterogeneity.Gamma):
        drawn = special.gammaincinv(distribution.concentration, u) * (distribution.mean / distribution.concentration)
        return np.maximum(drawn, distribution.low)
    if isinstance(distribution, heterogeneity.LogUniform | heterogeneity.LogSpaced):
        return np.exp(np.log(distribution.low) + u * np.log(distribution.high / distribution.low))
    if isinstance(distribution, heterogeneity.Mixture):
        return _mixture_quantiles(distribution, u)
    raise InputError(
        f"the quantiles of {type(distribution).__name__} are not known; give samples of it or an object with a ppf."
    )


def _mixture_quantiles(mixture: heterogeneity.Mixture, u: Array) -> Array:
    """Quantiles of a mixture: bisection on its distribution function, made of those of the parts."""
    parts = [part for part, share in zip(mixture.parts, mixture.shares, strict=True) if share > 0]
    shares = [share for share in mixture.shares if share > 0]
    ends = np.stack([_quantiles_of(part, u) for part in parts])
    low, high = ends.min(axis=0), ends.max(axis=0)  # the quantile of a mixture lies between those of its parts
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(share * _cdf(part, middle) for part, share in zip(parts, shares, strict=True))
        low, high = np.where(below < u, middle, low), np.where(below < u, high, middle)
    return high


def _cdf(distribution: Heterogeneity, x: Array) -> Array:
    from scipy import special  # not its stats: many small calls, which those make slow

    if isinstance(distribution, heterogeneity.Constant):
        return (x >= distribution.value).astype(np.float64)
    if isinstance(distribution, heterogeneity.Gamma):
        shape = distribution.concentration
        below = special.gammainc(shape, np.maximum(x, 0.0) * (shape / distribution.mean))
        return np.where(x < distribution.low, 0.0, below)
    if isinstance(distribution, heterogeneity.LogUniform | heterogeneity.LogSpaced):
        low, high = distribution.low, distribution.high
        if low == high:
            return (x >= low).astype(np.float64)
        with np.errstate(divide="ignore"):
            return np.clip(np.log(np.maximum(x, 0.0) / low) / np.log(high / low), 0.0, 1.0)
    assert isinstance(distribution, heterogeneity.Mixture)
    return sum(
        (share * _cdf(part, x) for part, share in zip(distribution.parts, distribution.shares, strict=True)),
        start=np.zeros_like(x),
    )


class Range(ABC):
    """One thing that a search varies: numbers between 0 and 1 name a distribution, or a value."""

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """How many numbers name one."""

    @abstractmethod
    def at(self, point: Array) -> Any:
        """Return what the numbers name.

        Parameters
        ----------
        point : ndarray, shape (dimensions,)
            Between 0 and 1.

        Returns
        -------
        Heterogeneity or float
            The distribution or value.
        """

    def embed(self, point: Array) -> Array:
        """Return the vector whose Euclidean distances are Wasserstein distances.

        Parameters
        ----------
        point : ndarray, shape (dimensions,)
            Between 0 and 1.

        Returns
        -------
        ndarray
            Weighted quantiles; of a value the value alone.
        """
        nodes, weights = levels(N_EMBEDDED)
        return np.sqrt(weights) * quantiles(self.at(point), nodes)


@dataclass(frozen=True)
class NumberRange(Range):
    """A single number between two ends, as a distribution without width: distances are differences.

    Parameters
    ----------
    low, high : float
        The ends.
    scale : {"linear", "log"}, default "linear"
        How the range is walked, and with "log" also measured.

    Examples
    --------
    >>> round(NumberRange(0.01, 1.0, "log").at(np.array([0.5])), 12)
    0.1
    """

    low: float
    high: float
    scale: str = "linear"

    def __post_init__(self) -> None:
        check_ends(self.low, self.high, "low and high", self.scale)

    @property
    def dimensions(self) -> int:
        """One."""
        return 1

    def at(self, point: Array) -> float:
        return between(self.low, self.high, float(point[0]), self.scale)

    def embed(self, point: Array) -> Array:
        value = self.at(point)
        return np.array([math.log(value) if self.scale == "log" else value])


@dataclass(frozen=True)
class GammaRange(Range):
    """Gamma distributions: of a mean and a shape in given ranges, both walked in their logarithm.

    Parameters
    ----------
    mean : (float, float)
        Least and largest mean, above 0.
    concentration : (float, float), default (1, 30)
        Least and largest shape, above 0; the larger, the more alike the neurons. Equal ends fix it.
    low : float, default 0
        Least value drawn, as for `spikeneuro.nn.heterogeneity.Gamma`.

    Examples
    --------
    >>> GammaRange((0.01, 1.0), (1.0, 100.0)).at(np.array([0.0, 1.0]))
    Gamma(mean=0.01, concentration=100.0, low=0.0)
    """

    mean: tuple[float, float]
    concentration: tuple[float, float] = (1.0, 30.0)
    low: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mean", "concentration"):
            check_pair(getattr(self, name), name, equal=name == "concentration")
        check_number(self.low, "low", low=0.0)

    @property
    def dimensions(self) -> int:
        """Mean, and shape unless it is fixed."""
        return 1 if self.concentration[0] == self.concentration[1] else 2

    def at(self, point: Array) -> heterogeneity.Gamma:
        concentration = self.concentration[0]
        if self.dimensions == 2:
            concentration = between(*self.concentration, float(point[1]), "log")
        return heterogeneity.Gamma(between(*self.mean, float(point[0]), "log"), concentration, self.low)


@dataclass(frozen=True)
class MixtureRange(Range):
    """Mixtures of distributions: each part in its range, and the shares of the parts.

    Parameters
    ----------
    parts : sequence of Range
        Ranges of distributions, two or more.
    shares : sequence of float, optional
        Fixed shares; by default they are searched as well, by breaking a stick uniformly.

    Examples
    --------
    >>> fast_slow = MixtureRange((GammaRange((0.005, 0.02)), GammaRange((0.1, 0.5))))
    >>> fast_slow.dimensions
    5
    """

    parts: Sequence[Range]
    shares: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if len(self.parts) < 2 or any(not isinstance(part, GammaRange | MixtureRange) for part in self.parts):
            raise InputError("parts must be two or more ranges of distributions, such as GammaRange((0.01, 0.1)).")
        if self.shares is not None:
            self.at(np.full(self.dimensions, 0.5))  # the mixture checks the shares

    @property
    def dimensions(self) -> int:
        """Those of the parts, and one less than their number for shares that are searched."""
        return sum(part.dimensions for part in self.parts) + (len(self.parts) - 1 if self.shares is None else 0)

    def at(self, point: Array) -> heterogeneity.Mixture:
        numbers = np.asarray(point, dtype=np.float64)
        found = []
        for part in self.parts:
            found.append(part.at(numbers[: part.dimensions]))
            numbers = numbers[part.dimensions :]
        return heterogeneity.Mixture(found, _broken_stick(numbers) if self.shares is None else self.shares)


def _broken_stick(cuts: Array) -> tuple[float, ...]:
    """Shares from n - 1 numbers; uniform numbers give shares uniform on the simplex."""
    left, shares = 1.0, []
    for index, cut in enumerate(cuts):
        share = left * (1.0 - float(1.0 - cut) ** (1.0 / (len(cuts) - index)))
        shares.append(share)
        left -= share
    return (*shares, max(left, 0.0))


def between(low: float, high: float, share: float, scale: str) -> float:
    """Return the number a share of the way from `low` to `high`, in the scale given."""
    if scale == "linear":
        return low + share * (high - low)
    return min(low * (high / low) ** share, high)


def check_ends(low: float, high: float, name: str, scale: str) -> None:
    """Raise unless `low` is below `high`, and both above 0 for a logarithmic range."""
    check_choice(scale, SCALES, "scale")
    for end in (low, high):
        if scale == "log":
            check_number(end, name, low=0.0, closed="neither")
        else:
            check_number(end, name)
    if not low < high:
        raise InputError(f"{name} must be a range from a smaller to a larger number, got {low!r} and {high!r}.")


def check_pair(pair: tuple[float, float], name: str, *, equal: bool) -> None:
    """Raise unless `pair` holds two ends above 0; they may be the same if `equal`."""
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise InputError(f"{name} must be a pair (least, largest), got {pair!r}.")
    if equal and pair[0] == pair[1]:
        check_number(pair[0], name, low=0.0, closed="neither")
        return
    check_ends(pair[0], pair[1], name, "log")
