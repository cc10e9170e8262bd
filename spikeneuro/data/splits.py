"""Splits by name, folds that say who is where, and the inner validation split."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._random import derive_seed
from spikeneuro._validation import check_choice, check_number, suggestion
from spikeneuro.data.blocked import BlockedSplit
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
        Whether the splitter is one of those that leak by name.
    by : tuple of str
        Columns whose combinations `train_groups` and `test_groups` list.
    train_groups, test_groups : tuple of str
        Units on each side.
    within : str or None
        The unit inside which the split was made, for within-subject decoding.
    unseen_classes : tuple
        Classes of the test part that training does not have, which no model can predict.
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
    found = []
    for index, part in enumerate(_parts(metadata, y, splitter, labels)):
        found.append(
            Fold(
                index=index,
                name=part.name,
                train=part.train,
                test=part.test,
                leaky=bool(getattr(splitter, "leaky", False)),
                by=by,
                train_groups=_groups(labels, part.train),
                test_groups=_groups(labels, part.test),
                within=None if outer is None else str(outer[part.test[0]]),
                unseen_classes=_unseen(y, part),
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


def inner_split(
    groups: Sequence[Any] | NDArray[Any] | None,
    y: Any,
    fraction: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
    *,
    task: str | None = None,
) -> tuple[IntArray, IntArray]:
    """Divide training samples into an inner training part and a validation part.

    With `groups`, whole groups go to validation, chosen as the best of several random draws: the one whose
    share of every class (and of the samples) is nearest to `fraction`. Without, samples are drawn at random in
    proportion to their class. Every class keeps at least one sample (one group) in the inner training part.

    Parameters
    ----------
    groups : array-like, shape (n_samples,), or None
        Who each sample came from.
    y : array-like, shape (n_samples,) or (n_samples, n_times)
        Class labels, values to regress on (spread over both parts by quantile), or labels per step, -1 ignored.
    fraction : float
        Share of the samples meant for validation, in (0, 1).
    random_state : int, RandomState or None
        Seed of the draws; the same seed gives the same parts.
    task : {"classification", "regression", "steps"} or None
        What `y` is; None decides by its type: two axes are steps, floats are values, anything else classes.

    Returns
    -------
    train, validation : ndarray of int
        Sorted positions, disjoint, together all samples.

    Raises
    ------
    InputError
        There is one group only, or no division keeps every class in training.

    Examples
    --------
    >>> train, validation = inner_split(["a", "a", "b", "b", "c", "c"], [0, 1, 0, 1, 0, 1], 0.3, random_state=0)
    >>> len(train), len(validation)
    (4, 2)
    """
    check_number(fraction, "fraction", low=0.0, high=1.0, closed="neither")
    counts, hard = _class_counts(np.asarray(y), task)
    rng = np.random.default_rng(derive_seed(random_state))
    if groups is not None:
        codes = _group_codes(groups, len(counts))
        if codes.max() == 0:
            raise InputError("the validation part needs two or more groups, got one; pass groups=None.")
        by_group = np.zeros((codes.max() + 1, counts.shape[1]), dtype=np.int64)
        np.add.at(by_group, codes, counts)
        chosen = _choose_groups(by_group, np.bincount(codes), fraction, hard, rng)[codes]
    elif (counts.sum(axis=1) == 1).all():
        chosen = _choose_samples(np.argmax(counts, axis=1), fraction, rng)
    else:
        chosen = _choose_groups(counts, np.ones(len(counts), dtype=np.int64), fraction, hard, rng)
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _group_codes(groups: Any, n_samples: int) -> IntArray:
    groups = np.asarray(groups)
    if groups.shape != (n_samples,):
        raise InputError(f"groups must have one entry per sample ({n_samples}), got shape {groups.shape}.")
    missing = np.flatnonzero(pd.isna(groups))
    if missing.size:
        raise InputError(f"groups has no value at position {missing[0]}.")
    return sorted_units(groups.astype(str).astype(object))[1]


def _class_counts(y: NDArray[Any], task: str | None) -> tuple[IntArray, bool]:
    """Samples (or steps) of every class in each sample, and whether a class must stay in training."""
    if task is None:
        task = "steps" if y.ndim == 2 else "regression" if y.dtype.kind == "f" else "classification"
    check_choice(task, ("classification", "regression", "steps"), "task")
    if y.ndim != (2 if task == "steps" else 1):
        raise InputError(f"y of shape {y.shape} does not fit the task {task!r}.")
    if len(y) < 2:
        raise InputError(f"a validation part needs two or more samples, got {len(y)}.")
    if task == "steps":
        classes = np.unique(y[y != -1])
        return np.stack([(y == c).sum(axis=1) for c in classes], axis=1), True
    if task == "regression":
        rank = np.argsort(np.argsort(y, kind="stable"), kind="stable")
        strata = rank * min(5, max(1, len(y) // 4)) // len(y)
    else:
        strata = np.unique(y, return_inverse=True)[1]
    counts = np.zeros((len(y), strata.max() + 1), dtype=np.int64)
    counts[np.arange(len(y)), strata] = 1
    return counts, task == "classification"


def _choose_samples(strata: IntArray, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw samples in proportion to their class, by largest remainders, leaving one of each class."""
    sizes = np.bincount(strata)
    quota = fraction * sizes
    take = np.minimum(np.floor(quota).astype(np.int64), sizes - 1)
    wanted = min(max(1, round(fraction * len(strata))), int((sizes - 1).sum()))
    if wanted < 1:
        raise InputError(f"{len(strata)} sample(s) of {len(sizes)} class(es) leave none for validation.")
    while take.sum() < wanted:
        remainder = np.where(take < sizes - 1, quota - take, -np.inf)
        take[rng.choice(np.flatnonzero(remainder == remainder.max()))] += 1
    chosen = np.zeros(len(strata), dtype=bool)
    for stratum, count in enumerate(take):
        chosen[rng.permutation(np.flatnonzero(strata == stratum))[:count]] = True
    return chosen


def _choose_groups(
    counts: IntArray, sizes: IntArray, fraction: float, hard: bool, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw whole groups (rows of `counts`) so that every class and the samples are shared near `fraction`."""
    total = np.maximum(counts.sum(axis=0), 1)
    target = fraction * sizes.sum()
    best, best_cost = None, np.inf
    for _ in range(int(np.clip(20_000 // len(sizes), 8, 64))):
        left, taken, size = counts.sum(axis=0), np.zeros(len(sizes), dtype=bool), 0
        for group in rng.permutation(len(sizes)):
            nearer = abs(size + sizes[group] - target) < abs(size - target) or not taken.any()
            spare = not hard or (left > counts[group])[counts[group] > 0].all()
            if nearer and spare and taken.sum() < len(sizes) - 1:
                taken[group] = True
                left = left - counts[group]
                size += int(sizes[group])
        if not taken.any():
            continue
        cost = np.abs(1 - left / total - fraction).mean() + abs(size / sizes.sum() - fraction)
        if cost < best_cost:
            best, best_cost = taken, float(cost)
    if best is None:
        raise InputError(
            "no group can be spared for validation: each holds the last samples of a class; "
            "give fewer, larger training groups their own validation data, or pass groups=None."
        )
    return best
