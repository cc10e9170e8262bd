"""The type in which operations are counted."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from spikeneuro._validation import check_choice

Number = int | float


@dataclass(frozen=True, slots=True)
class OperationCounts:
    """How many operations of each kind; adds to others and scales by numbers.

    Attributes
    ----------
    macs : number
        Multiply-accumulates: products inside matrix products and convolutions whose two operands are real numbers.
    acs : number
        Accumulates: the same products where one operand is a spike, so that nothing is multiplied.
    additions : number
        Additions and subtractions outside products: bias, state updates, sums, normalisation.
    multiplications : number
        Multiplications outside products: gates, decays, scaling.
    divisions : number
        Divisions by a number that is not a constant.
    comparisons : number
        Comparisons, maxima, rectifications, clipping, rounding.
    nonlinearities : number
        Evaluations of a transcendental function (exponential, tanh, sigmoid, square root, ...), random draws included.
    state_updates : number
        Neuron-steps updated. Their arithmetic is in the other kinds already; this one says how many there were.
    reads, writes : number
        Elements of weights, activations and states read and written, when every operation reads its operands once
        per sample and writes its result once.
    read_bytes, write_bytes : number
        The same in bytes, at the precision of the run.

    Examples
    --------
    >>> from spikeneuro.ops.counts import OperationCounts
    >>> 2 * OperationCounts(macs=10) + OperationCounts(macs=1, acs=5)
    OperationCounts(macs=21, acs=5)
    """

    macs: Number = 0
    acs: Number = 0
    additions: Number = 0
    multiplications: Number = 0
    divisions: Number = 0
    comparisons: Number = 0
    nonlinearities: Number = 0
    state_updates: Number = 0
    reads: Number = 0
    writes: Number = 0
    read_bytes: Number = 0
    write_bytes: Number = 0

    def __add__(self, other: OperationCounts | int) -> OperationCounts:
        if isinstance(other, OperationCounts):
            return OperationCounts(*map(operator.add, _numbers(self), _numbers(other)))
        if other == 0:  # the start value of the built-in sum
            return self
        return NotImplemented

    __radd__ = __add__

    def __mul__(self, factor: Number) -> OperationCounts:
        return OperationCounts(*(getattr(self, kind) * factor for kind in KINDS))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Number) -> OperationCounts:
        return OperationCounts(*(getattr(self, kind) / divisor for kind in KINDS))

    def __bool__(self) -> bool:
        return any(_numbers(self))

    def __repr__(self) -> str:
        inside = ", ".join(f"{kind}={getattr(self, kind)}" for kind in KINDS if getattr(self, kind))
        return f"OperationCounts({inside})"

    def as_dict(self) -> dict[str, Number]:
        """Every kind with its number, in the order of the attributes."""
        return {kind: getattr(self, kind) for kind in KINDS}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> OperationCounts:
        """Inverse of `as_dict`; kinds left out are zero.

        Raises
        ------
        InputError
            If a kind is unknown.
        """
        for kind in numbers:
            check_choice(kind, KINDS, "kind of operation")
        return cls(**numbers)


#: Names of the kinds of operation, in the order in which they are listed.
KINDS: tuple[str, ...] = tuple(field.name for field in fields(OperationCounts))
_numbers = operator.attrgetter(*KINDS)
