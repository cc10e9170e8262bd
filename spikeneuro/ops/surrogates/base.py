"""What every surrogate offers."""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from spikeneuro._validation import check_number


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

    def _check(self, *names: str, low: float = 0.0, closed: str = "neither") -> None:
        """Raise InputError unless each field named is a finite number of the interval that starts at `low`."""
        for name in names:
            check_number(getattr(self, name), f"{self.name}.{name}", low=low, closed=closed)
