"""Time-ordered blocks of each recording, with a gap between training and test."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._validation import check_number
from spikeneuro.data.splitters import (
    RECORDING_COLUMNS,
    Columns,
    IntArray,
    Part,
    Spans,
    Splitter,
    as_columns,
    sorted_units,
    unit_labels,
)
from spikeneuro.errors import InputError

FloatArray = NDArray[np.float64]

TIME_TOLERANCE = 1e-9  # seconds: onsets are sums of floats, and windows that touch do not overlap


def recording_labels(metadata: pd.DataFrame, recording: Columns | None = None) -> NDArray[np.object_]:
    """Label of the recording of every row, from `recording` or else from the usual columns that there are."""
    if recording is None:
        recording = tuple(c for c in RECORDING_COLUMNS if c in metadata.columns)
        if not recording:
            raise InputError(
                "which rows share a recording is unknown: the metadata table has none of the columns "
                f"{', '.join(RECORDING_COLUMNS)}; name the column with recording=..."
            )
    return unit_labels(metadata, recording)


def numeric_column(metadata: pd.DataFrame, column: str) -> FloatArray:
    """Values of a numeric column, finite in every row."""
    if column not in metadata.columns:
        there = ", ".join(map(repr, metadata.columns))
        raise InputError(f"the metadata table has no column {column!r}; its columns are: {there}.")
    try:
        values = metadata[column].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {column!r} must hold numbers ({error}).") from error
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(f"column {column!r} has no finite value in {bad.size} row(s), the first is row {bad[0]}.")
    return values


def intervals(metadata: pd.DataFrame, onset: str, duration: float | str) -> tuple[FloatArray, FloatArray]:
    """Start and end in seconds of every row; `duration` is a number of seconds or the name of a column."""
    start = numeric_column(metadata, onset)
    if isinstance(duration, str):
        if duration not in metadata.columns:
            raise InputError(f"the metadata table has no column {duration!r}; give duration=... in seconds.")
        length = numeric_column(metadata, duration)
    else:
        length = np.full(len(metadata), check_number(duration, "duration", low=0.0))
    if (length < 0).any():
        raise InputError(f"column {duration!r} is negative in row {int(np.argmax(length < 0))}.")
    return start, start + length


@dataclass(frozen=True)
class BlockedSplit(Splitter):
    """Every recording is cut into `n_splits` blocks in time order; fold k tests the k-th block of each.

    Neighbouring windows of a signal are alike, so training rows of the same recording that overlap the test
    block, or come closer to it than `gap`, are dropped. Every row is tested once.

    Parameters
    ----------
    n_splits : int
        Blocks per recording, of equal numbers of rows (to within one).
    gap : float
        Least distance between training and test: seconds, or rows where ``onset=None``.
    recording : str, sequence of str or None
        Column(s) that identify a recording; None takes those of subject, session, run and
        ``recording`` (what windows were cut from) that there are.
    onset : str or None
        Column with the start of a row in seconds. With None the rows of a recording are in time order
        already and do not overlap, and `gap` counts rows.
    duration : float or str
        Length of a row in seconds, or the column that holds it.

    Raises
    ------
    InputError
        A column is missing, a recording has fewer rows than blocks, or the gap leaves no training row.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"run": ["1"] * 6, "onset": range(6)})
    >>> train, test = next(BlockedSplit(n_splits=3, gap=1.0, duration=1.0).split(table))
    >>> test.tolist(), train.tolist()
    ([0, 1], [3, 4, 5])
    """

    n_splits: int = 5
    gap: float = 0.0
    recording: Columns | None = None
    onset: str | None = "onset"
    duration: float | str = "duration"

    def __post_init__(self) -> None:
        check_number(self.n_splits, "n_splits", low=2, integer=True)
        check_number(self.gap, "gap", low=0.0, integer=self.onset is None)
        if self.recording is not None:
            object.__setattr__(self, "recording", as_columns(self.recording))

    @property
    def in_time(self) -> bool:
        """Return True: units are on both sides, at a distance in time."""
        return True

    def spans(self, metadata: pd.DataFrame) -> Spans:
        """When each row is, and the gap."""
        labels = recording_labels(metadata, self.recording)
        start, end = self._times(metadata, sorted_units(labels)[1])
        return Spans(labels, start, end, float(self.gap))

    def parts(self, metadata: pd.DataFrame, y: Any = None) -> list[Part]:
        """Divisions of the rows of `metadata`, unchecked."""
        del y
        names, codes = sorted_units(recording_labels(metadata, self.recording))
        start, end = self._times(metadata, codes)
        test: list[list[IntArray]] = [[] for _ in range(self.n_splits)]
        train: list[list[IntArray]] = [[] for _ in range(self.n_splits)]
        for code, name in enumerate(names):
            rows = np.flatnonzero(codes == code)
            if len(rows) < self.n_splits:
                raise InputError(f"recording {name} has {len(rows)} row(s), too few for {self.n_splits} blocks.")
            rows = rows[np.argsort(start[rows], kind="stable")]
            for k, block in enumerate(np.array_split(rows, self.n_splits)):
                test[k].append(block)
                train[k].append(self._far_from(block, rows, start, end))
        return [
            Part(
                f"block {k + 1} of {self.n_splits}", np.sort(np.concatenate(train[k])), np.sort(np.concatenate(test[k]))
            )
            for k in range(self.n_splits)
        ]

    def _times(self, metadata: pd.DataFrame, codes: IntArray) -> tuple[FloatArray, FloatArray]:
        if self.onset is not None:
            return intervals(metadata, self.onset, self.duration)
        position = np.empty(len(codes))
        for code in np.unique(codes):
            rows = np.flatnonzero(codes == code)
            position[rows] = np.arange(len(rows))
        return position, position + 1.0

    def _far_from(self, block: IntArray, rows: IntArray, start: FloatArray, end: FloatArray) -> IntArray:
        others = np.setdiff1d(rows, block)
        before = end[others] <= start[block].min() - self.gap + TIME_TOLERANCE
        after = start[others] >= end[block].max() + self.gap - TIME_TOLERANCE
        return others[before | after]
