"""Audit of a split: what belongs to the test part must not reach training."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro.data.blocked import TIME_TOLERANCE, intervals, recording_labels
from spikeneuro.data.splits import Fold
from spikeneuro.data.splitters import Columns, IntArray, Spans, as_columns, check_table, sorted_units, unit_labels
from spikeneuro.errors import InputError, LeakageError

_SHOWN = 3  # examples named in a message


@dataclass(frozen=True)
class AuditReport:
    """What an audit looked at and what it found.

    Parameters
    ----------
    checked : tuple of str
        What was compared between the two parts.
    unchecked : tuple of str
        What could not be compared, and why.
    findings : tuple of str
        Leaks that were found; not empty only where they were allowed.
    allowed : str or None
        The reason given for allowing them.
    """

    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    findings: tuple[str, ...]
    allowed: str | None

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def audit(
    metadata: pd.DataFrame,
    train: Fold | Any,
    test: Any = None,
    by: Columns | None = None,
    X: Any = None,
    *,
    hashes: NDArray[np.bytes_] | None = None,
    onset: str = "onset",
    duration: float | str | None = None,
    recording: Columns | None = None,
    allow_leak: str | None = None,
) -> AuditReport:
    """Refuse a split whose test part is related to its training part.

    Looked for, in this order: rows on both sides; units of `by` on both sides; identical samples on both sides;
    windows of one recording that overlap in time across the sides; and a splitter that leaks by name. Where a fold's
    splitter guarantees a distance in time (blocks of each recording), that is checked instead of units.

    Parameters
    ----------
    metadata : pandas.DataFrame
        One row per sample.
    train, test : Fold, or array-like of int
        A fold (then `test` is left out), or the positions of the rows of each part.
    by : str, sequence of str or None
        Columns whose combinations must stay on one side. None takes those of the fold, and none where its splitter
        guarantees a distance in time.
    X : ndarray, object array of arrays, dict of these, or None
        Samples, compared bit for bit after -0 is made 0.
    hashes : ndarray or None
        ``sample_hashes(X)``, where many folds of one `X` are audited.
    onset, duration : str; float, str or None
        Column with the start in seconds; length of a sample in seconds, or the column that holds it
        (None: the column ``duration`` if there is one).
    recording : str, sequence of str or None
        Column(s) that identify a recording; None takes those of subject, session, run, recording there are.
    allow_leak : str or None
        Reason for accepting a split that leaks, kept in the report. Without it every leak is an error.

    Returns
    -------
    AuditReport

    Raises
    ------
    LeakageError
        Something is on both sides and no reason was given. The message says what and how much.
    InputError
        A position or column does not exist, or a part is empty.

    Examples
    --------
    >>> table = pd.DataFrame({"subject": ["a", "a", "b"]})
    >>> audit(table, [0, 1], [2], by="subject").clean
    True
    >>> audit(table, [0], [1, 2], by="subject")
    Traceback (most recent call last):
    spikeneuro.errors.LeakageError: 1 unit of subject is in training and in test: a.
    """
    metadata = check_table(metadata)
    if allow_leak is not None and not str(allow_leak).strip():
        raise InputError("allow_leak needs the reason for accepting a leaking split, got an empty text.")
    fold = train if isinstance(train, Fold) else None
    if fold is not None:
        if test is not None:
            raise InputError("audit takes a fold, or training and test rows, not both.")
        train, test = fold.train, fold.test
    in_time = fold.in_time if fold is not None and by is None else None
    by = fold.by if fold is not None and by is None else by
    if by is None:
        raise InputError("audit needs by=..., the columns that must stay on one side.")
    sides = _rows(train, "train", len(metadata)), _rows(test, "test", len(metadata))
    checked, unchecked, findings = ["rows"], [], _shared_rows(*sides)
    if in_time is None and as_columns(by):
        checked.append(f"units of {', '.join(as_columns(by))}")
        findings += _shared_units(metadata, *sides, as_columns(by))
    elif in_time is None:
        unchecked.append("units: no column was named")
    if hashes is None and X is not None:
        hashes = sample_hashes(X)
    if hashes is None:
        unchecked.append("identical samples: X was not given")
    else:
        checked.append("identical samples")
        findings += _shared_samples(hashes, *sides, len(metadata))
    spans = _spans(metadata, onset, duration, recording) if in_time is None else in_time.spans(metadata)
    if isinstance(spans, str):
        unchecked.append(f"overlap in time: {spans}")
    else:
        checked.append("overlap in time" if in_time is None else "distance in time")
        findings += _overlaps(*sides, spans)
    if fold is not None and fold.leaky:
        findings.append(f"{fold.name}: the splitter ignores whose a sample is; to accept that, give allow_leak='why'.")
    if findings and allow_leak is None:
        more = f" ({len(findings) - 1} more finding(s))" if len(findings) > 1 else ""
        raise LeakageError(findings[0] + more)
    return AuditReport(tuple(checked), tuple(unchecked), tuple(findings), allow_leak)


def sample_hashes(X: Any) -> NDArray[np.bytes_]:
    """Digest of the shape and values of every sample, -0 counted as 0.

    Parameters
    ----------
    X : ndarray, object array of arrays, or dict of these
        Samples along the first axis; the modalities of a dict are hashed together.

    Returns
    -------
    ndarray of bytes, shape (n_samples,)
        Equal for samples that are equal.
    """
    if isinstance(X, Mapping):
        parts = [sample_hashes(X[key]) for key in sorted(X)]
        if len({len(part) for part in parts}) != 1:
            raise InputError(f"the modalities of X differ in length: {[len(part) for part in parts]}.")
        rows = [b"".join(digest.ljust(16, b"\0") for digest in row) for row in zip(*parts, strict=True)]
        return np.array([_digest(row) for row in rows], dtype="S32")
    return np.array([_hash_sample(np.asarray(sample)) for sample in X], dtype="S32")


def _hash_sample(sample: NDArray[Any]) -> bytes:
    if sample.dtype.kind == "f":
        sample = sample + 0.0  # -0.0 + 0.0 is +0.0
    return _digest(repr(sample.shape).encode() + np.ascontiguousarray(sample).tobytes())


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()  # hexadecimal: an S32 strips trailing zeros


def _rows(rows: Any, name: str, n_samples: int) -> IntArray:
    index = np.asarray(rows)
    if index.dtype == bool:
        raise InputError(f"{name} must be positions of rows, got a mask; use np.flatnonzero(mask).")
    if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu":
        raise InputError(f"{name} must be a list of row positions, not empty, got {rows!r}.")
    if index.min() < 0 or index.max() >= n_samples:
        raise InputError(f"{name} has position {index.min() if index.min() < 0 else index.max()} of {n_samples} rows.")
    return index.astype(np.int64)


def _named(items: list[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (", ..." if len(items) > _SHOWN else "")


def _shared_rows(train: IntArray, test: IntArray) -> list[str]:
    both = np.intersect1d(train, test)
    if not both.size:
        return []
    return [f"{both.size} row(s) are in training and in test: {_named([str(i) for i in both])}."]


def _shared_units(metadata: pd.DataFrame, train: IntArray, test: IntArray, by: tuple[str, ...]) -> list[str]:
    labels = unit_labels(metadata, by)
    both = np.intersect1d(labels[train].astype(str), labels[test].astype(str))
    if not both.size:
        return []
    names = sorted_units(both.astype(object))[0]
    verb = "unit of {} is" if len(names) == 1 else "units of {} are"
    return [f"{len(names)} {verb.format(', '.join(by))} in training and in test: {_named(names)}."]


def _shared_samples(hashes: NDArray[np.bytes_], train: IntArray, test: IntArray, n_samples: int) -> list[str]:
    if len(hashes) != n_samples:
        raise InputError(f"X has {len(hashes)} samples but the metadata table has {n_samples} rows.")
    first = {digest: row for row, digest in zip(train[::-1], hashes[train[::-1]], strict=True)}
    pairs = [
        (first[digest], row) for row, digest in zip(test, hashes[test], strict=True) if first.get(digest, row) != row
    ]
    if not pairs:
        return []
    examples = _named([f"row {a} = row {b}" for a, b in pairs])
    return [f"{len(pairs)} test sample(s) are identical to training samples: {examples}."]


def _spans(metadata: pd.DataFrame, onset: str, duration: Any, recording: Columns | None) -> Spans | str:
    """When each row is, or the reason why windows cannot be compared in time."""
    if onset not in metadata.columns:
        return f"no column {onset!r}"
    if duration is None and "duration" not in metadata.columns:
        return "the length of a sample is unknown (no column 'duration')"
    try:
        labels = recording_labels(metadata, recording)
    except InputError as error:
        if recording is not None:
            raise
        return str(error)
    start, end = intervals(metadata, onset, "duration" if duration is None else duration)
    return Spans(labels, start, end, gap=0.0)


def _overlaps(train: IntArray, test: IntArray, spans: Spans) -> list[str]:
    """Training rows that overlap a test row of their recording, or come closer to it than the gap."""
    start, end, labels = spans.start - spans.gap, spans.end + spans.gap, spans.recording
    tests = pd.Series(test).groupby(labels[test]).indices
    pairs: list[tuple[int, int]] = []
    for name, places in pd.Series(train).groupby(labels[train]).indices.items():
        if name not in tests:
            continue
        trains = train[places]
        others = test[tests[name]]
        others = others[np.argsort(spans.start[others], kind="stable")]
        # Of the test windows that start before a training window ends, the one that ends last decides.
        last = np.maximum.accumulate(spans.end[others])
        before = np.searchsorted(spans.start[others], end[trains] - TIME_TOLERANCE, side="left")
        hit = (before > 0) & (last[np.maximum(before, 1) - 1] > start[trains] + TIME_TOLERANCE)
        for row, count in zip(trains[hit], before[hit], strict=True):
            pairs.append((int(row), int(others[np.argmax(spans.end[others[:count]])])))
    if not pairs:
        return []
    examples = _named([f"row {a} and row {b} of recording {labels[b]}" for a, b in sorted(pairs)])
    what = f"are closer than {spans.gap:g} to test samples" if spans.gap else "overlap test samples"
    return [f"{len(pairs)} training sample(s) {what} in time: {examples}."]
