"""Recordings from tables of region time series: ``.1D`` (AFNI, C-PAC), ``.tsv`` and ``.csv``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro._files import readable
from spikeneuro._validation import check_number
from spikeneuro.data._checks import encode_labels
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import InputError

Array = NDArray[Any]

_SEPARATORS = {".1d": None, ".tsv": "\t", ".csv": ",", ".txt": None}


def from_timeseries(
    paths: Sequence[str | Path],
    targets: Sequence[Any],
    *,
    tr: float | Sequence[float],
    metadata: Any = None,
    drop: Sequence[str] = (),
    label_names: Sequence[str] | None = None,
    modality: str = "fmri",
    description: str = "",
) -> Recordings:
    """One recording per file; rows are volumes, columns are regions.

    Parameters
    ----------
    paths : sequence of path
        Files with one row per volume. A first line of names, or of ``#code`` tokens, names the regions; without one
        they are ``"0", "1", ...``. The suffix says what separates columns: ``.tsv`` tabs, ``.csv`` commas, ``.1D`` and
        ``.txt`` white space.
    targets : sequence
        One per file: class names (text), classes (ints) or values (floats).
    tr : float or sequence of float
        Repetition time in seconds, one for all or one per file; these formats do not hold it.
    metadata : DataFrame or dict of columns, optional
        One row per file (``subject``, ``site``, ...); by default ``subject`` is the file's name without suffix.
    drop : sequence of str
        Columns to leave out (regions without coverage, nuisance signals).
    label_names : sequence of str, optional
        Order of the classes where `targets` is text.
    modality : str
        As in `Recordings`.
    description : str
        Origin of the data.

    Returns
    -------
    Recordings
        ``(files, regions, times)``, or ragged where the files differ in length. Where they differ in `tr`, ``sfreq`` is
        None and the table has the column ``tr``.

    Raises
    ------
    InputError
        If a file has lines of different lengths, a value that is not a number, or other regions than the first file.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise InputError("paths is empty; at least one file is needed.")
    for name, value in (("targets", targets), *([("tr", tr)] if isinstance(tr, Sequence) else [])):
        if len(value) != len(files):
            raise InputError(f"{name} holds {len(value)} entries for {len(files)} files.")
    series, names = [], None
    for file in files:
        data, columns = read_table(file)
        unknown = [name for name in drop if name not in columns]
        if unknown:
            raise InputError(f"{file}: no column {unknown[0]!r} to drop.")
        keep = [i for i, name in enumerate(columns) if name not in drop]
        columns = [columns[i] for i in keep]
        if names is not None and columns != names:
            odd = sorted(set(names) ^ set(columns)) or ["their order"]
            raise InputError(f"{file}: its regions differ from those of {files[0]} ({', '.join(odd[:5])}).")
        names = columns
        series.append(data[:, keep].T)
    times = [float(check_number(t, "tr", low=0, closed="neither")) for t in (tr if isinstance(tr, Sequence) else [tr])]
    table: Any = metadata if metadata is not None else {"subject": [file.stem for file in files]}
    if len(set(times)) > 1:
        table = {**{str(c): list(table[c]) for c in table}, "tr": times}
    y: Any = targets
    classes = label_names
    if {type(target) for target in targets} & {str, np.str_}:
        y, classes = encode_labels(targets, label_names)
    return Recordings(
        series,
        y,
        table,
        None if len(set(times)) > 1 else 1.0 / times[0],
        names,
        modality=modality,
        label_names=classes,
        description=description,
    )


def read_table(path: Path) -> tuple[Array, list[str]]:
    """Values ``(rows, columns)`` of one file, and the names of its columns."""
    suffix = path.suffix.lower()
    if suffix not in _SEPARATORS:
        raise InputError(f"{path}: suffix {path.suffix!r} is unknown; use one of {', '.join(_SEPARATORS)}.")
    with readable(path):
        text = path.read_text(encoding="utf-8-sig")
    lines = [line for line in enumerate(text.splitlines(), 1) if line[1].strip()]
    if not lines:
        raise InputError(f"{path}: the file is empty.")
    separator = _SEPARATORS[suffix]
    head = [token.strip().strip('"').lstrip("#") for token in lines[0][1].split(separator)]
    # Region codes are numbers too: a leading # or quotes say that they are names.
    named = any(mark in lines[0][1] for mark in '#"') or any(_number(token) is None for token in head)
    rows = []
    for number, line in lines[1:] if named else lines:
        tokens = line.split(separator)
        if len(tokens) != len(head):
            raise InputError(
                f"{path}, line {number}: {len(tokens)} values where the first line has {len(head)} columns."
            )
        values = [_number(token) for token in tokens]
        bad = next((i for i, value in enumerate(values) if value is None or not np.isfinite(value)), None)
        if bad is not None:
            raise InputError(
                f"{path}, line {number}, column {bad + 1}: {tokens[bad].strip()!r} is not a finite number."
            )
        rows.append(values)
    if not rows:
        raise InputError(f"{path}: there is a header but no row.")
    return np.array(rows, dtype=np.float32), head if named else [str(i) for i in range(len(head))]


def _number(token: str) -> float | None:
    try:
        return float(token)
    except ValueError:
        return None
