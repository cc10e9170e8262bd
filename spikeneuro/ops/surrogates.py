"""Surrogate derivatives of the spike: what replaces the Dirac pulse of the Heaviside step in the backward pass.

A surrogate is a small frozen dataclass. Its argument is always ``x = u - threshold``; the forward pass of a neuron
stays an exact step. `primitive` is the smooth step whose derivative `gradient` is: it makes the smooth relaxation of
a neuron (see `spikeneuro.ops.reference`), in which automatic differentiation is exact and can be checked.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError


@dataclass(frozen=True)
class Surrogate(ABC):
    """Base of all surrogates: a pair of a smooth step and its derivative.

    Attributes
    ----------
    name : str
        Name by which `resolve` finds the surrogate.
    code : int
        Number by which compiled kernels know the surrogate.
    """

    name: ClassVar[str]
    code: ClassVar[int]

    @abstractmethod
    def primitive(self, x: Tensor) -> Tensor:
        """Smooth step at ``x = u - threshold``, 1/2 at 0."""

    @abstractmethod
    def gradient(self, x: Tensor) -> Tensor:
        """Derivative of `primitive` at ``x = u - threshold``."""

    @property
    def parameters(self) -> tuple[float, ...]:
        """The fields in the order of their declaration, as compiled kernels take them."""
        return tuple(float(getattr(self, field.name)) for field in dataclasses.fields(self))

    def _check_positive(self, *names: str) -> None:
        for name in names:
            check_number(getattr(self, name), f"{self.name}.{name}", low=0.0, closed="neither")


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """Derivative of the fast sigmoid, ``1 / (1 + slope * |x|)**2``.

    Parameters
    ----------
    slope : float, default 25
        Steepness, above 0.

    References
    ----------
    Zenke and Ganguli (2018), SuperSpike, doi:10.1162/neco_a_01086.

    Examples
    --------
    >>> FastSigmoid(slope=1.0).gradient(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 0.2500])
    """

    name: ClassVar[str] = "fast_sigmoid"
    code: ClassVar[int] = 0
    slope: float = 25.0

    def __post_init__(self) -> None:
        self._check_positive("slope")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + x / (1 + slope * |x|)``."""
        return 0.5 + x / (1.0 + self.slope * x.abs())

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``1 / (1 + slope * |x|)**2``."""
        return 1.0 / (1.0 + self.slope * x.abs()).square()


@dataclass(frozen=True)
class Atan(Surrogate):
    """Derivative of the arctangent step, ``(alpha / 2) / (1 + (pi * alpha * x / 2)**2)``.

    Parameters
    ----------
    alpha : float, default 2
        Steepness, above 0; with 2 the value at 0 is 1. The convention of snnTorch and SpikingJelly.

    References
    ----------
    Fang et al. (2021), doi:10.1109/ICCV48922.2021.00266.
    """

    name: ClassVar[str] = "atan"
    code: ClassVar[int] = 1
    alpha: float = 2.0

    def __post_init__(self) -> None:
        self._check_positive("alpha")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + arctan(pi * alpha * x / 2) / pi``."""
        return 0.5 + torch.atan(math.pi / 2 * self.alpha * x) / math.pi

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``(alpha / 2) / (1 + (pi * alpha * x / 2)**2)``."""
        return self.alpha / 2 / (1.0 + (math.pi / 2 * self.alpha * x).square())


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """Derivative of the logistic step, ``slope * p * (1 - p)`` with ``p = 1 / (1 + exp(-slope * x))``.

    Parameters
    ----------
    slope : float, default 4
        Steepness, above 0. SpikingJelly's default is 4, snnTorch's 25.

    References
    ----------
    Neftci, Mostafa and Zenke (2019), doi:10.1109/MSP.2019.2931595.
    """

    name: ClassVar[str] = "sigmoid"
    code: ClassVar[int] = 2
    slope: float = 4.0

    def __post_init__(self) -> None:
        self._check_positive("slope")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1 / (1 + exp(-slope * x))``."""
        return torch.sigmoid(self.slope * x)

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``slope * p * (1 - p)``."""
        p = torch.sigmoid(self.slope * x)
        return self.slope * p * (1.0 - p)


@dataclass(frozen=True)
class Triangle(Surrogate):
    """Piecewise linear, ``height * max(0, 1 - |x| / width)``.

    Parameters
    ----------
    height : float, default 1
        Value at 0, above 0 (0.3 in Bellec et al. and in Norse).
    width : float, default 1
        Half of the support, above 0.

    References
    ----------
    Bellec et al. (2018), arXiv:1803.09574.
    """

    name: ClassVar[str] = "triangle"
    code: ClassVar[int] = 3
    height: float = 1.0
    width: float = 1.0

    def __post_init__(self) -> None:
        self._check_positive("height", "width")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + height * (z - z * |z| / (2 * width))`` with z = x limited to the support."""
        z = x.clamp(-self.width, self.width)
        return 0.5 + self.height * (z - z * z.abs() / (2.0 * self.width))

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``height * max(0, 1 - |x| / width)``."""
        return self.height * (1.0 - x.abs() / self.width).clamp(min=0.0)


@dataclass(frozen=True)
class Rectangle(Surrogate):
    """Constant near the threshold, ``height`` where ``|x| < width / 2``, else 0.

    Parameters
    ----------
    width : float, default 1
        Whole width of the support, above 0.
    height : float, default 1
        Value inside the support, above 0.

    References
    ----------
    Wu et al. (2018), STBP, doi:10.3389/fnins.2018.00331.
    """

    name: ClassVar[str] = "rectangle"
    code: ClassVar[int] = 4
    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        self._check_positive("width", "height")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + height * z`` with z = x limited to the support."""
        return 0.5 + self.height * x.clamp(-self.width / 2, self.width / 2)

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``height`` inside the support, 0 outside."""
        return self.height * (x.abs() < self.width / 2).to(x.dtype)


@dataclass(frozen=True)
class MultiGaussian(Surrogate):
    """Sum of three Gaussians with negative flanks.

    ``gamma * ((1 + h) * N(x; 0, sigma) - h * N(x; sigma, s * sigma) - h * N(x; -sigma, s * sigma))``,
    N(x; mean, deviation) being the normal density.

    Parameters
    ----------
    gamma : float, default 0.5
        Amplitude, above 0.
    h : float, default 0.15
        Weight of the flanks, at least 0.
    s : float, default 6
        Width of the flanks in units of sigma, above 0.
    sigma : float, default 0.5
        Width of the centre, above 0.

    References
    ----------
    Yin, Corradi and Bohté (2021), doi:10.1038/s42256-021-00397-w.
    """

    name: ClassVar[str] = "multi_gaussian"
    code: ClassVar[int] = 5
    gamma: float = 0.5
    h: float = 0.15
    s: float = 6.0
    sigma: float = 0.5

    def __post_init__(self) -> None:
        self._check_positive("gamma", "s", "sigma")
        check_number(self.h, "multi_gaussian.h", low=0.0)

    def primitive(self, x: Tensor) -> Tensor:
        """Return the integral of the three Gaussians, 1/2 at 0."""

        def half_erf(mean: float, deviation: float) -> Tensor:
            return 0.5 * torch.erf((x - mean) / (deviation * math.sqrt(2.0)))

        centre = (1.0 + self.h) * half_erf(0.0, self.sigma)
        flanks = half_erf(self.sigma, self.s * self.sigma) + half_erf(-self.sigma, self.s * self.sigma)
        return 0.5 + self.gamma * (centre - self.h * flanks)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the weighted sum of the three normal densities."""

        def normal(mean: float, deviation: float) -> Tensor:
            return torch.exp(-0.5 * ((x - mean) / deviation).square()) / (deviation * math.sqrt(2.0 * math.pi))

        centre = (1.0 + self.h) * normal(0.0, self.sigma)
        flanks = normal(self.sigma, self.s * self.sigma) + normal(-self.sigma, self.s * self.sigma)
        return self.gamma * (centre - self.h * flanks)


SURROGATES: dict[str, type[Surrogate]] = {
    cls.name: cls for cls in (FastSigmoid, Atan, Sigmoid, Triangle, Rectangle, MultiGaussian)
}


def names() -> list[str]:
    """Names that `resolve` knows."""
    return sorted(SURROGATES)


def resolve(surrogate: "str | Surrogate", **options: float) -> Surrogate:
    """Surrogate from its name, or the object itself.

    Parameters
    ----------
    surrogate : str or Surrogate
        A name (see `names`) or an object, which is returned as it is.
    **options : float
        Fields of the surrogate's class, for a name only.

    Returns
    -------
    Surrogate
        The object.

    Raises
    ------
    InputError
        For an unknown name, an unknown option or an option out of range.

    Examples
    --------
    >>> resolve("fast_sigmoid", slope=10.0)
    FastSigmoid(slope=10.0)
    """
    if isinstance(surrogate, Surrogate):
        if options:
            raise InputError(f"surrogate {surrogate!r} is already built; give its options when building it.")
        return surrogate
    if not isinstance(surrogate, str):
        raise InputError(
            f"surrogate must be a name or an object of ops.surrogates, got {type(surrogate).__name__}; "
            f"names: {', '.join(names())}."
        )
    cls = SURROGATES[check_choice(surrogate, SURROGATES, "surrogate")]
    for option in options:
        check_choice(option, [field.name for field in dataclasses.fields(cls)], f"option of surrogate {surrogate!r}")
    return cls(**options)
