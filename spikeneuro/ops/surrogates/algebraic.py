"""Surrogates made of sums, products and quotients."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spikeneuro.errors import InputError
from spikeneuro.ops.surrogates.base import Surrogate


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """Derivative of the fast sigmoid, ``height / (1 + slope * |x|)**2``; also called SuperSpike or soft sign.

    Parameters
    ----------
    slope : float, default 25
        Steepness, above 0.
    height : float, default 1
        Value at 0, above 0. It is what the frameworks differ in: 1 in snnTorch and Norse, half the slope in
        SpikingJelly's SoftSign, where it makes the total 1.

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
    height: float = 1.0

    def __post_init__(self) -> None:
        self._check("slope", "height")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + height * x / (1 + slope * |x|)``."""
        return 0.5 + self.height * x / (1.0 + self.slope * x.abs())

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``height / (1 + slope * |x|)**2``."""
        return self.height / (1.0 + self.slope * x.abs()).square()


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
        self._check("alpha")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + arctan(pi * alpha * x / 2) / pi``."""
        return 0.5 + torch.atan(math.pi / 2 * self.alpha * x) / math.pi

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``(alpha / 2) / (1 + (pi * alpha * x / 2)**2)``."""
        return self.alpha / 2 / (1.0 + (math.pi / 2 * self.alpha * x).square())


@dataclass(frozen=True)
class Triangle(Surrogate):
    """Piecewise linear, ``height * max(0, 1 - |x| / width)``.

    Parameters
    ----------
    height : float, default 1
        Value at 0, above 0. The dampening factor 0.3 of Bellec et al.
    width : float, default 1
        Half of the support, above 0.

    Notes
    -----
    Bellec et al. take the triangle of the scaled membrane ``(u - threshold) / threshold``. By the chain rule its
    derivative with respect to ``x = u - threshold`` is ``Triangle(height=0.3 / threshold, width=threshold)``. Where the
    threshold adapts, their support widens with it, while here it stays as it is set.

    References
    ----------
    Esser et al. (2016), doi:10.1073/pnas.1604850113; Bellec et al. (2018), LSNN, arXiv:1803.09574;
    Bellec et al. (2020), e-prop, doi:10.1038/s41467-020-17236-y.
    """

    name: ClassVar[str] = "triangle"
    code: ClassVar[int] = 3
    height: float = 1.0
    width: float = 1.0

    def __post_init__(self) -> None:
        self._check("height", "width")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + height * (z - z * |z| / (2 * width))`` with z = x limited to the support."""
        z = x.clamp(-self.width, self.width)
        return 0.5 + self.height * (z - z * z.abs() / (2.0 * self.width))

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``height * max(0, 1 - |x| / width)``."""
        return self.height * (1.0 - x.abs() / self.width).clamp(min=0.0)


@dataclass(frozen=True)
class Rectangle(Surrogate):
    """Constant near the threshold, ``height`` where ``|x| < width / 2``, else 0; also called boxcar.

    Parameters
    ----------
    width : float, default 1
        Whole width of the support, above 0.
    height : float, default 1
        Value inside the support, above 0; 1 / width makes the total 1, as Wu et al. have it.

    References
    ----------
    Wu et al. (2018), STBP, doi:10.3389/fnins.2018.00331; Bittar and Garner (2022), doi:10.3389/fnins.2022.865897.
    """

    name: ClassVar[str] = "rectangle"
    code: ClassVar[int] = 4
    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        self._check("width", "height")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + height * z`` with z = x limited to the support."""
        return 0.5 + self.height * x.clamp(-self.width / 2, self.width / 2)

    def gradient(self, x: Tensor) -> Tensor:
        """Return ``height`` inside the support, 0 outside."""
        return self.height * (x.abs() < self.width / 2).to(x.dtype)


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """Constant on either side of the threshold, ``above`` where ``x > 0``, else ``below``.

    With both 1 the gradient passes as if there were no step. It reaches neurons however far from their threshold, so
    that none can fall silent for good, at the price of a gradient that knows nothing of where the threshold is.

    Parameters
    ----------
    below : float, default 1
        Value where there is no spike, at least 0.
    above : float, default 1
        Value where there is a spike, at least 0; the two are not both 0.

    References
    ----------
    Bengio, Léonard and Courville (2013), arXiv:1308.3432.

    Examples
    --------
    >>> StraightThrough(below=0.1).gradient(torch.tensor([-3.0, 3.0]))
    tensor([0.1000, 1.0000])
    """

    name: ClassVar[str] = "straight_through"
    code: ClassVar[int] = 8
    below: float = 1.0
    above: float = 1.0

    def __post_init__(self) -> None:
        self._check("below", "above", closed="left")
        if self.below == self.above == 0:
            raise InputError("straight_through.below and .above are both 0: no gradient would pass; raise one of them.")

    def primitive(self, x: Tensor) -> Tensor:
        """Return ``1/2 + above * x`` where x > 0, ``1/2 + below * x`` elsewhere: a leaky rectifier."""
        return 0.5 + self.above * x.clamp(min=0.0) + self.below * x.clamp(max=0.0)

    def gradient(self, x: Tensor) -> Tensor:
        """Return `above` where x > 0, `below` elsewhere."""
        fired = (x > 0).to(x.dtype)
        return self.above * fired + self.below * (1.0 - fired)
