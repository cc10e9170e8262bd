"""Checks of arguments and arrays, with messages that name the parameter and what was received."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro.errors import InputError


def suggestion(name: str, options: Iterable[str]) -> str:
    """Sentence that offers the nearest of `options` to a mistyped `name`, or lists them all."""
    options = sorted(options)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return "choose from: " + ", ".join(options) + "."


def check_choice(value: str, options: Iterable[str], name: str) -> str:
    """Return `value` if it is one of `options`, else raise with the nearest one."""
    options = tuple(options)
    if value not in options:
        raise InputError(f"{name}={value!r} is unknown; {suggestion(str(value), options)}")
    return value


def check_number(
    value: Any,
    name: str,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    closed: str = "both",
    integer: bool = False,
) -> float:
    """Return the scalar `value` if it lies in the interval from `low` to `high`.

    `closed` is one of ``both``, ``left``, ``right``, ``neither``: which ends belong to the interval.
    """
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise InputError(f"{name} must be {'an integer' if integer else 'a number'}, got {value!r}.")
    above = value >= low if closed in ("both", "left") else value > low
    below = value <= high if closed in ("both", "right") else value < high
    if not (above and below):
        left, right = (
            "[" if closed in ("both", "left") else "(",
            "]" if closed in ("both", "right") else ")",
        )
        raise InputError(f"{name} must lie in {left}{low:g}, {high:g}{right}, got {value!r}.")
    return value  # type: ignore[return-value]  # NumPy scalars pass through as they came


def check_finite(X: NDArray[Any], name: str = "X") -> NDArray[Any]:
    """Return `X` if all its values are finite, else raise with the place of the first that is not."""
    finite = np.isfinite(X)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        count = int(X.size - finite.sum())
        raise InputError(
            f"{name} holds {count} value(s) that are NaN or infinite, the first at index {place}; "
            "remove or interpolate them first."
        )
    return X


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn scikit-learn's complaints about input into one-line `InputError`."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from error
