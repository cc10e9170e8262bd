"""Units of independence: who each row of the table came from, as text."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._validation import suggestion
from spikeneuro.errors import InputError

IntArray = NDArray[np.int64]
Columns = str | Sequence[str]

SAMPLE = "sample"  # the unit when every row stands for itself
_NESTED = ("subject", "session", "run")


def as_columns(by: Columns) -> tuple[str, ...]:
    """Column names as a tuple, one name alone included."""
    return (by,) if isinstance(by, str) else tuple(by)


def unit_labels(metadata: pd.DataFrame, by: Columns) -> NDArray[np.object_]:
    """Text label of the unit of every row, for example ``S003`` or, for two columns, ``S003/session-1``.

    Parameters
    ----------
    metadata : pandas.DataFrame
        One row per sample.
    by : str or sequence of str
        Column, or columns whose combinations are the units. ``"sample"`` makes every row its own unit
        where the table has no such column.

    Returns
    -------
    ndarray of str, shape (n_samples,)
        Labels; values that print alike (1 and ``"1"``) are one unit, the side on which nothing leaks.

    Raises
    ------
    InputError
        A column is missing, or a row has no value in it.
    """
    columns = as_columns(by)
    if not columns:
        raise InputError("by names no column, give for example by='subject'.")
    parts = []
    for column in columns:
        if column == SAMPLE and SAMPLE not in metadata.columns:
            parts.append(np.arange(len(metadata)).astype(str).astype(object))
            continue
        if column not in metadata.columns:
            there = ", ".join(map(repr, metadata.columns)) or "none"
            raise InputError(f"the metadata table has no column {column!r}; its columns are: {there}.")
        values = metadata[column]
        missing = np.flatnonzero(values.isna().to_numpy())
        if missing.size:
            raise InputError(
                f"column {column!r} has no value in {missing.size} row(s), the first is row {missing[0]}; "
                "a sample of unknown origin cannot be kept out of training."
            )
        parts.append(values.astype(str).to_numpy(dtype=object))
    return parts[0] if len(parts) == 1 else np.array(["/".join(row) for row in zip(*parts, strict=True)], dtype=object)


def sorted_units(labels: NDArray[np.object_]) -> tuple[list[str], IntArray]:
    """Distinct labels with numbers inside them in numeric order (S2 before S10), and the code of every row."""
    names, codes = np.unique(labels, return_inverse=True)
    order = sorted(range(len(names)), key=lambda i: _natural_key(str(names[i])))
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return [str(names[i]) for i in order], rank[codes]


def _natural_key(text: str) -> list[Any]:
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"([0-9]+)", text)]


def nested_labels(metadata: pd.DataFrame, column: str) -> NDArray[Any]:
    """Label of each row's unit, a session or run named with what it lies in (``"S1/2"``)."""
    if column == SAMPLE:
        return np.array([str(i) for i in range(len(metadata))])
    if column not in metadata:
        options = [*metadata.columns, SAMPLE]
        raise InputError(f"metadata has no column {column!r}; {suggestion(column, options)}")
    outer = _NESTED[: _NESTED.index(column)] if column in _NESTED else ()
    columns = [*(c for c in outer if c in metadata), column]
    return np.array(["/".join(map(str, row)) for row in metadata[columns].itertuples(index=False)])
