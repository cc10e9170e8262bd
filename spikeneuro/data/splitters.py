"""Splitters over the metadata table of the recordings, in scikit-learn's shape.

`X` of every splitter is that table (one row per sample), because who a sample came from decides where it
may go. To use one with a scikit-learn function: ``cross_validate(model, X, y, cv=list(splitter.split(table, y)))``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import model_selection

from spikeneuro._validation import check_number
from spikeneuro.data.units import SAMPLE, Columns, IntArray, as_columns, sorted_units, unit_labels
from spikeneuro.errors import InputError

__all__ = [
    "RECORDING_COLUMNS", "SAMPLE", "Columns", "GivenSplit", "IntArray", "LeaveGroupsOut", "Part", "Spans", "Splitter",
    "WithinGroups", "as_columns", "check_part", "check_table", "class_labels", "sorted_units", "unit_labels",
]  # fmt: skip

RECORDING_COLUMNS = ("subject", "session", "run", "recording")


@dataclass(frozen=True, eq=False)
class Part:
    """One division of the rows.

    Parameters
    ----------
    name : str
        What is tested.
    train, test : ndarray of int
        Positions of the rows.
    """

    name: str
    train: IntArray
    test: IntArray


@dataclass(frozen=True, eq=False)
class Spans:
    """When each row is, for splits that keep training and test apart in time.

    Parameters
    ----------
    recording : ndarray of str
        Recording of each row; times of two recordings are not compared.
    start, end : ndarray of float
        Seconds, or positions where the table holds no times.
    gap : float
        Least distance between training and test, in the same unit.
    """

    recording: NDArray[np.object_]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    gap: float


def check_table(metadata: Any) -> pd.DataFrame:
    """Return `metadata` if it is a table with rows, else say what came instead."""
    if not isinstance(metadata, pd.DataFrame):
        kind = f"{type(metadata).__name__} of shape {np.shape(metadata)}" if np.ndim(metadata) else repr(metadata)
        raise InputError(
            f"a splitter takes the metadata table (pandas DataFrame, one row per sample), got {kind}; "
            "pass recordings.metadata."
        )
    if not len(metadata):
        raise InputError("the metadata table has no rows, so there is nothing to split.")
    return metadata


def class_labels(y: Any) -> NDArray[Any] | None:
    """Labels of `y` where it holds one class per sample; None for values to regress on or labels per step."""
    if y is None:
        return None
    labels = np.asarray(y)
    return labels if labels.ndim == 1 and labels.dtype.kind in "biuUSOT" else None


def check_part(part: Part, y: Any = None) -> Part:
    """Return `part` if both of its sides have samples and its training side at least two classes."""
    for side, rows in (("training", part.train), ("test", part.test)):
        if not len(rows):
            raise InputError(f"{part.name}: no sample is left in the {side} part.")
    labels = class_labels(y)
    if labels is not None:
        present = np.unique(labels[part.train])
        if len(present) < 2:
            raise InputError(
                f"{part.name}: the training part holds only class {present.tolist()[0]!r}; "
                "a classifier needs two or more, so split by another column or into fewer folds."
            )
    return part


class Splitter(ABC):
    """Base of the splitters: `parts` makes the divisions, the rest is scikit-learn's interface."""

    @property
    def leaky(self) -> bool:
        """Whether related samples may fall on both sides."""
        return False

    @property
    def unit_columns(self) -> tuple[str, ...]:
        """Columns whose values stay on one side."""
        return ()

    @property
    def in_time(self) -> bool:
        """Whether what the splitter guarantees is a distance in time, and not that units stay on one side."""
        return False

    def spans(self, metadata: pd.DataFrame) -> Spans:
        """When each row is, by the splitter's own columns; for splitters that are `in_time`."""
        del metadata
        raise InputError(f"{type(self).__name__} does not split in time.")

    def leaks_in(self, metadata: pd.DataFrame) -> bool:
        """Whether the splitter leaks, by its kind or on this table."""
        del metadata
        return self.leaky

    @abstractmethod
    def parts(self, metadata: pd.DataFrame, y: Any = None) -> list[Part]:
        """Divisions of the rows of `metadata`, unchecked."""

    def checked_parts(self, metadata: Any, y: Any = None) -> list[Part]:
        """Divisions of the rows, each with samples on both sides and two classes to learn from."""
        metadata = check_table(metadata)
        if y is not None and len(y) != len(metadata):
            raise InputError(f"y has {len(y)} entries but the metadata table has {len(metadata)} rows.")
        return [check_part(part, y) for part in self.parts(metadata, y)]

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the positions of training and test rows of every division.

        Parameters
        ----------
        X : pandas.DataFrame
            Metadata table, one row per sample.
        y : array-like or None
            Targets; with class labels, a training part of one class is refused.
        groups : None
            Ignored, part of scikit-learn's signature: the groups are columns of the table.
        """
        del groups
        for part in self.checked_parts(X, y):
            yield part.train, part.test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of divisions, which may need the table."""
        del groups
        fixed = getattr(self, "n_splits", None)
        if isinstance(fixed, int):
            return fixed
        return len(self.parts(check_table(X), y))


def _check_n_splits(n_splits: Any) -> None:
    check_number(n_splits, "n_splits", low=2, integer=True)


@dataclass(frozen=True)
class LeaveGroupsOut(Splitter):
    """Whole units are tested: one at a time, or in `n_splits` folds of about equal numbers of samples.

    Parameters
    ----------
    by : str or sequence of str
        Column (``"subject"``, ``"session"``, ``"run"``, ``"site"``, ``"segment"``, any other), or columns whose
        combinations are the units (``["subject", "session"]``). ``"sample"`` takes every row as a unit, which leaks
        where a subject, session, run or recording of the table has several rows.
    n_splits : int or None
        None leaves one unit out at a time, in natural order of the labels.
    stratify : bool or str
        Balance the classes of `y` (True), or the values of a column, over the folds; needs `n_splits`.
    random_state : int or None
        Shuffles which units share a fold; None takes the largest units first, in order.

    Raises
    ------
    InputError
        A column is missing, or there are fewer units than folds.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"subject": ["S1", "S1", "S2", "S10"]})
    >>> [test.tolist() for _, test in LeaveGroupsOut(by="subject").split(table)]
    [[0, 1], [2], [3]]
    """

    by: Columns = "subject"
    n_splits: int | None = None
    stratify: bool | str = False
    random_state: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", as_columns(self.by))
        if self.n_splits is not None:
            _check_n_splits(self.n_splits)
        elif self.stratify:
            raise InputError("stratify needs n_splits: leaving one unit out at a time leaves nothing to balance.")

    @property
    def unit_columns(self) -> tuple[str, ...]:
        """Columns whose values stay on one side."""
        return as_columns(self.by)

    def leaks_in(self, metadata: pd.DataFrame) -> bool:
        """Whether single rows are the units although rows are related."""
        if SAMPLE not in self.unit_columns or SAMPLE in metadata.columns:
            return False
        return any(metadata[column].duplicated().any() for column in RECORDING_COLUMNS if column in metadata.columns)

    def parts(self, metadata: pd.DataFrame, y: Any = None) -> list[Part]:
        """Divisions of the rows of `metadata`, unchecked."""
        columns = self.unit_columns
        names, codes = sorted_units(unit_labels(metadata, columns))
        what = f"column {columns[0]!r}" if len(columns) == 1 else f"columns {', '.join(map(repr, columns))}"
        if len(names) < 2:
            raise InputError(f"{what} holds one unit only ({names[0]}), so none can be left out.")
        if self.n_splits is None:
            titles = [", ".join(f"{c}={v}" for c, v in self._values(metadata, codes, i)) for i in range(len(names))]
            return [_part_of_test(title, codes == i) for i, title in enumerate(titles)]
        if len(names) < self.n_splits:
            raise InputError(
                f"{self.n_splits} folds were asked for but {what} has {len(names)} units ({_few(names)}); "
                f"set n_splits to at most {len(names)}."
            )
        fold_of_row = self._stratified(metadata, y, codes) if self.stratify else self._balanced(codes)
        return [_part_of_test(f"fold {k + 1} of {self.n_splits}", fold_of_row == k) for k in range(self.n_splits)]

    def _values(self, metadata: pd.DataFrame, codes: IntArray, unit: int) -> list[tuple[str, Any]]:
        row = int(np.flatnonzero(codes == unit)[0])
        return [(c, metadata[c].iloc[row] if c in metadata.columns else row) for c in self.unit_columns]

    def _balanced(self, codes: IntArray) -> IntArray:
        """Largest unit first into the fold with the fewest samples (ties: fewest units)."""
        assert self.n_splits is not None
        sizes = np.bincount(codes)
        order = np.arange(len(sizes))
        if self.random_state is not None:
            order = np.random.default_rng(self.random_state).permutation(order)
        load = np.zeros((self.n_splits, 2), dtype=np.int64)
        fold_of_unit = np.empty(len(sizes), dtype=np.int64)
        for unit in order[np.argsort(-sizes[order], kind="stable")]:
            lightest = int(np.lexsort((load[:, 1], load[:, 0]))[0])
            fold_of_unit[unit] = lightest
            load[lightest] += (sizes[unit], 1)
        return fold_of_unit[codes]

    def _stratified(self, metadata: pd.DataFrame, y: Any, codes: IntArray) -> IntArray:
        assert self.n_splits is not None
        strata = unit_labels(metadata, self.stratify) if isinstance(self.stratify, str) else class_labels(y)
        if strata is None:
            raise InputError("stratify=True needs y with one class label per sample; name a column to balance instead.")
        strata = np.unique(strata, return_inverse=True)[1]
        if np.bincount(strata).max() < self.n_splits:
            raise InputError(f"{self.n_splits} stratified folds need a class with at least {self.n_splits} samples.")
        shuffled = self.random_state is not None
        splitter = model_selection.StratifiedGroupKFold(
            self.n_splits, shuffle=shuffled, random_state=self.random_state if shuffled else None
        )
        fold_of_row = np.empty(len(codes), dtype=np.int64)
        for k, (_, test) in enumerate(splitter.split(codes, strata, codes)):
            fold_of_row[test] = k
        return fold_of_row


def _few(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _part_of_test(name: str, is_test: NDArray[np.bool_]) -> Part:
    return Part(name, np.flatnonzero(~is_test), np.flatnonzero(is_test))


@dataclass(frozen=True)
class GivenSplit(Splitter):
    """The division that a column of the table states, for sets published with one.

    Parameters
    ----------
    column : str
        Column that says where a sample belongs.
    train, test, unused : str or sequence of str
        Values of that column which mean training, test, and neither. Any other value is refused.
    """

    column: str = "split"
    train: Columns = "train"
    test: Columns = "test"
    unused: Columns = ()

    def __post_init__(self) -> None:
        for name in ("train", "test", "unused"):
            value = getattr(self, name)
            listed = isinstance(value, Sequence) and not isinstance(value, str)
            object.__setattr__(self, name, tuple(map(str, value if listed else (value,))))
        both = set(self.train) & set(self.test)
        if both:
            raise InputError(f"value(s) {sorted(both)} of column {self.column!r} are named as training and as test.")

    def parts(self, metadata: pd.DataFrame, y: Any = None) -> list[Part]:
        """The one division that the column states, unchecked."""
        del y
        values = unit_labels(metadata, self.column)
        known = (*self.train, *self.test, *self.unused)
        strange = np.flatnonzero(~np.isin(values.astype(str), known))
        if strange.size:
            raise InputError(
                f"column {self.column!r} holds {values[strange[0]]!r} (row {strange[0]}), which is none of {known}; "
                "add it to train, test or unused."
            )
        sides = [np.flatnonzero(np.isin(values.astype(str), side)) for side in (self.train, self.test)]
        return [Part("given split", *sides)]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return 1."""
        del X, y, groups
        return 1


@dataclass(frozen=True)
class WithinGroups(Splitter):
    """The divisions of `splitter` made separately inside every value of `by`: decoders of one subject each.

    Parameters
    ----------
    splitter : Splitter
        Makes the divisions, for example ``LeaveGroupsOut(by="run")``.
    by : str or sequence of str
        Column, or columns, inside whose values the divisions are made.
    """

    splitter: Splitter
    by: Columns = "subject"

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", as_columns(self.by))

    @property
    def leaky(self) -> bool:
        """Whether the inner splitter leaks."""
        return self.splitter.leaky

    @property
    def unit_columns(self) -> tuple[str, ...]:
        """Columns whose combinations stay on one side."""
        inner = self.splitter.unit_columns
        return tuple(dict.fromkeys((*as_columns(self.by), *inner))) if inner else ()

    @property
    def in_time(self) -> bool:
        """Whether the inner splitter guarantees a distance in time."""
        return self.splitter.in_time

    def spans(self, metadata: pd.DataFrame) -> Spans:
        """When each row is; recordings of two values of `by` are two, whatever they are called."""
        names, codes = sorted_units(unit_labels(metadata, self.by))
        labels, times, gap = np.empty(len(codes), dtype=object), np.empty((2, len(codes))), 0.0
        for code, name in enumerate(names):
            rows = np.flatnonzero(codes == code)
            inner = self.splitter.spans(metadata.iloc[rows])
            labels[rows] = [f"{name}/{label}" for label in inner.recording]
            times[:, rows] = inner.start, inner.end
            gap = inner.gap
        return Spans(labels, times[0], times[1], gap)

    def leaks_in(self, metadata: pd.DataFrame) -> bool:
        """Whether the inner splitter leaks inside a value of `by`; the columns of `by` themselves are alike there."""
        return self.splitter.leaks_in(metadata.drop(columns=list(as_columns(self.by)), errors="ignore"))

    def parts(self, metadata: pd.DataFrame, y: Any = None) -> list[Part]:
        """Divisions inside each value of `by`, unchecked."""
        names, codes = sorted_units(unit_labels(metadata, self.by))
        found = []
        for code, name in enumerate(names):
            rows = np.flatnonzero(codes == code)
            title = f"{'/'.join(as_columns(self.by))}={name}"
            try:
                inner = self.splitter.parts(metadata.iloc[rows], None if y is None else np.asarray(y)[rows])
            except InputError as error:
                raise InputError(f"within {title}: {error}") from error
            found += [Part(f"{title}, {part.name}", rows[part.train], rows[part.test]) for part in inner]
        return found
