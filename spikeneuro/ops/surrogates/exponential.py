"""Surrogates made of exponentials."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spikeneuro.ops.surrogates.base import Surrogate


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """Derivative of the logistic step, ``amplitude * slope * p * (1 - p)`` with ``p = 1 / (1 + exp(-slope * x))``.

    Parameters
    ----------
    slope : float, default 4
        Steepness, above 0. SpikingJelly's default is 4, snnTorch's 25.
    amplitude : float, default 1
        Total of the derivative, above 0; the value at 0 is ``amplitude * slope / 4``.

    References
    ----------
    Neftci, Mostafa and Zenke (2019), doi:10.1109/MSP.2019.2931595.
    """

    name: ClassVar[str] = "sigmoid"
    code: ClassVar[int] = 2
    slope: float = 4.0
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        self._check("slope", "amplitude")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + amplitude * (p - 1/2)``."""
        return 0.5 + self.amplitude * (torch.sigmoid(self.slope * x) - 0.5)

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``amplitude * slope * p * (1 - p)``, from ``exp(-slope * |x|)``: no overflow, no cancellation."""
        e = torch.exp(-self.slope * x.abs())
        return self.amplitude * self.slope * e / (1.0 + e).square()


@dataclass(frozen=True)
class Exponential(Surrogate):
    """Two-sided exponential, ``height * exp(-slope * |x - center|)``.

    Parameters
    ----------
    height : float, default 1
        Value at the peak, above 0.
    slope : float, default 2
        Rate of the fall to either side, above 0. The total is ``2 * height / slope``.
    center : float, default 0
        Place of the peak. snnTorch's spike-rate escape has it one unit above the threshold.

    References
    ----------
    Shrestha and Orchard (2018), SLAYER, arXiv:1810.08646; Gerstner and Kistler (2002), Spiking Neuron Models
    (escape rate), doi:10.1017/CBO9780511815706.

    Examples
    --------
    >>> Exponential(height=0.5, slope=1.0).gradient(torch.tensor([0.0, math.log(2.0)]))
    tensor([0.5000, 0.2500])
    """

    name: ClassVar[str] = "exponential"
    code: ClassVar[int] = 6
    height: float = 1.0
    slope: float = 2.0
    center: float = 0.0

    def __post_init__(self) -> None:
        self._check("height", "slope")
        self._check("center", low=-math.inf)

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + F(x - center) - F(-center)``, F(z) = ``sign(z) * (1 - exp(-slope*|z|)) * height / slope``."""
        offset = math.copysign(math.expm1(-self.slope * abs(self.center)), -self.center)
        z = x - self.center
        rise = -torch.sign(z) * torch.expm1(-self.slope * z.abs())
        return 0.5 + self.height / self.slope * (rise - offset)

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``height * exp(-slope * |x - center|)``."""
        return self.height * torch.exp(-self.slope * (x - self.center).abs())


@dataclass(frozen=True)
class Gaussian(Surrogate):
    """Normal density, ``amplitude * exp(-(x / sigma)**2 / 2) / (sigma * sqrt(2 * pi))``: derivative of the erf step.

    Parameters
    ----------
    sigma : float, default 0.5
        Width, above 0.
    amplitude : float, default 1
        Total of the derivative, above 0.

    Notes
    -----
    It is `MultiGaussian` without flanks (h = 0, gamma = amplitude), at a third of its cost.

    References
    ----------
    Yin, Corradi and Bohté (2021), doi:10.1038/s42256-021-00397-w.
    """

    name: ClassVar[str] = "gaussian"
    code: ClassVar[int] = 7
    sigma: float = 0.5
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        self._check("sigma", "amplitude")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + amplitude / 2 * erf(x / (sigma * sqrt(2)))``."""
        return 0.5 + self.amplitude * _half_erf(x, 0.0, self.sigma)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the normal density times the amplitude."""
        return self.amplitude * _normal(x, 0.0, self.sigma)


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
        self._check("gamma", "s", "sigma")
        self._check("h", closed="left")

    def primitive(self, x: Tensor) -> Tensor:
        """Return the integral of the three Gaussians, 1/2 at 0."""
        wide = self.s * self.sigma
        flanks = _half_erf(x, self.sigma, wide) + _half_erf(x, -self.sigma, wide)
        return 0.5 + self.gamma * ((1.0 + self.h) * _half_erf(x, 0.0, self.sigma) - self.h * flanks)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the weighted sum of the three normal densities."""
        wide = self.s * self.sigma
        flanks = _normal(x, self.sigma, wide) + _normal(x, -self.sigma, wide)
        return self.gamma * ((1.0 + self.h) * _normal(x, 0.0, self.sigma) - self.h * flanks)


def _half_erf(x: Tensor, mean: float, deviation: float) -> Tensor:
    """Normal distribution function less 1/2."""
    return 0.5 * torch.erf((x - mean) / (deviation * math.sqrt(2.0)))


def _normal(x: Tensor, mean: float, deviation: float) -> Tensor:
    """Normal density."""
    return torch.exp(-0.5 * ((x - mean) / deviation).square()) / (deviation * math.sqrt(2.0 * math.pi))
