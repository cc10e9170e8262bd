"""Splits by name, and folds that say who is where."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._validation import check_choice, suggestion
from spikeneuro.data.blocked import BlockedSplit
from spikeneuro.data.inner import inner_split
from spikeneuro.data.leaky import RandomLeakySplit, StratifiedLeakyKFold
from spikeneuro.data.splitters import (
    Columns,
    GivenSplit,
    IntArray,
    LeaveGroupsOut,
    Part,
    Splitter,
    WithinGroups,
    as_columns,
    check_part,
    check_table,
    class_labels,
    sorted_units,
    unit_labels,
)
from spikeneuro.errors import InputError

__all__ = [
    "SPLITTERS", "BlockedSplit", "Fold", "GivenSplit", "LeaveGroupsOut", "RandomLeakySplit", "Splitter",
    "StratifiedLeakyKFold", "WithinGroups", "folds", "inner_split", "make_splitter", "unit_labels",
]  # fmt: skip

SPLITTERS: dict[str, type[Splitter]] = {
    "leave-groups-out": LeaveGroupsOut,
    "given": GivenSplit,
    "blocked": BlockedSplit,
    "leaky-random": RandomLeakySplit,
    "leaky-stratified-k-fold": StratifiedLeakyKFold,
}

_USUAL_UNITS = ("subject", "session", "run", "site", "segment")


def make_splitter(name: str, **params: Any) -> Splitter:
    """Make the splitter called `name` in `SPLITTERS`.

    Parameters
    ----------
    name : str
        Key of `SPLITTERS`.
    **params
        Parameters of that splitter.

    Returns
    -------
    Splitter
        Ready to split a metadata table.

    Raises
    ------
    InputError
        The name or a parameter is unknown; the message offers the nearest.

    Examples
    --------
    >>> make_splitter("leave-groups-out", by="run").unit_columns
    ('run',)
    """
    kind = SPLITTERS[check_choice(name, SPLITTERS, "split")]
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # every splitter is a dataclass
    for param in params:
        if param not in known:
            raise InputError(f"split {name!r} has no parameter {param!r}; {suggestion(param, known)}")
    return kind(**params)


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and test division, and who is in each.

    Parameters
    ----------
    index : int
        Position among the folds, from 0.
    name : str
        For example ``subject=S003`` or ``fold 2 of 5``.
    train, test : ndarray of int
        Positions of the rows.
    leaky : bool
        Whether the splitter is one of those that leak by name, or takes related rows as units.
    by : tuple of str
        Columns whose combinations `train_groups` and `test_groups` list.
    train_groups, test_groups : tuple of str
        Units on each side.
    within : str or None
        The unit inside which the split was made, for within-subject decoding.
    unseen_classes : tuple
        Classes of the test part that training does not have, which no model can predict.
    in_time : Splitter or None
        The splitter, where what it guarantees is a distance in time and not that units stay on one side.
    """

    index: int
    name: str
    train: IntArray
    test: IntArray
    leaky: bool = False
    by: tuple[str, ...] = ()
    train_groups: tuple[str, ...] = ()
    test_groups: tuple[str, ...] = ()
    within: str | None = None
    unseen_classes: tuple[Any, ...] = ()
    in_time: Splitter | None = None


def folds(
    metadata: pd.DataFrame,
    y: Any,
    splitter: Any,
    within: Columns | None = None,
    unit: Columns | None = None,
) -> list[Fold]:
    """All folds of `splitter` over the table, checked, with the units on each side.

    Parameters
    ----------
    metadata : pandas.DataFrame
        One row per sample.
    y : array-like or None
        Targets, one per row (one class label, one value, or a row of step labels).
    splitter : Splitter or any scikit-learn splitter
        A scikit-learn splitter gets the table as `X` and the labels of `unit` as `groups`.
    within : str, sequence of str or None
        Make the split separately inside every value of these columns.
    unit : str, sequence of str or None
        Columns that the folds' groups are listed by; None takes the splitter's own, else the first of
        subject, session, run, site and segment that the table has.

    Returns
    -------
    list of Fold
        In the order of the splitter.

    Raises
    ------
    InputError
        A part is empty, a training part has one class, a column is missing, or there are too few units.
    """
    metadata = check_table(metadata)
    if within is not None:
        if not isinstance(splitter, Splitter):
            raise InputError(f"within={within!r} needs a splitter of this package, got {type(splitter).__name__}.")
        splitter = WithinGroups(splitter, within)
    by = as_columns(unit) if unit is not None else _columns_of(splitter, metadata)
    labels = unit_labels(metadata, by) if by else None
    outer = unit_labels(metadata, splitter.by) if isinstance(splitter, WithinGroups) else None
    ours = splitter if isinstance(splitter, Splitter) else None
    leaky = bool(getattr(splitter, "leaky", False)) if ours is None else ours.leaks_in(metadata)
    found = []
    for index, part in enumerate(_parts(metadata, y, splitter, labels)):
        found.append(
            Fold(
                index=index,
                name=part.name,
                train=part.train,
                test=part.test,
                leaky=leaky,
                by=by,
                train_groups=_groups(labels, part.train),
                test_groups=_groups(labels, part.test),
                within=None if outer is None else str(outer[part.test[0]]),
                unseen_classes=_unseen(y, part),
                in_time=ours if ours is not None and ours.in_time else None,
            )
        )
    return found


def _columns_of(splitter: Any, metadata: pd.DataFrame) -> tuple[str, ...]:
    own = getattr(splitter, "unit_columns", ())
    return tuple(own) or tuple(c for c in _USUAL_UNITS if c in metadata.columns)[:1]


def _parts(metadata: pd.DataFrame, y: Any, splitter: Any, labels: NDArray[np.object_] | None) -> list[Part]:
    if isinstance(splitter, Splitter):
        return splitter.checked_parts(metadata, y)
    if not hasattr(splitter, "get_n_splits"):
        raise InputError(f"a splitter is needed, got {splitter!r}; make one by name with make_splitter(name, ...).")
    pairs = list(splitter.split(metadata, y, labels))
    return [
        check_part(Part(f"fold {k + 1} of {len(pairs)}", np.asarray(train), np.asarray(test)), y)
        for k, (train, test) in enumerate(pairs)
    ]


def _groups(labels: NDArray[np.object_] | None, rows: IntArray) -> tuple[str, ...]:
    return () if labels is None else tuple(sorted_units(labels[rows])[0])


def _unseen(y: Any, part: Part) -> tuple[Any, ...]:
    labels = class_labels(y)
    if labels is None:
        return ()
    return tuple(np.setdiff1d(labels[part.test], labels[part.train]).tolist())
