"""One cell: fit a candidate on the training part of a fold, predict the test part, measure everything."""

import contextlib
import datetime
import importlib.metadata
import platform
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from spikeneuro._random import scoped_seed
from spikeneuro._several import take
from spikeneuro._version import __version__
from spikeneuro.bench import estimators, measure
from spikeneuro.bench.grouping import experiment_recordings, group_labels, units_of
from spikeneuro.bench.plan import Cell
from spikeneuro.bench.scores import predictions_of
from spikeneuro.data import Recordings
from spikeneuro.errors import InputError

#: Packages whose versions a row states.
_VERSIONED = ("torch", "numpy", "scipy", "scikit-learn", "skorch", "mne", "braindecode", "pyriemann", "numba")
_MOST_WARNINGS = 10

#: Torch's seeds, thread counts and the list of warnings belong to the process, so one process computes one cell at a
#: time, even if a backend gives it several threads.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What a cell came to: its row, and arrays kept beside it."""

    row: dict[str, Any]
    predictions: dict[str, NDArray[Any]] | None = None
    raster: dict[str, NDArray[Any]] | None = None


@dataclass
class _Measured:
    """Columns collected on the way, so that a failure keeps what was known before it."""

    columns: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    predictions: dict[str, NDArray[Any]] | None = None
    raster: dict[str, NDArray[Any]] | None = None


def run_cell(cell: Cell, threads: int = 1) -> Outcome:
    """Compute one cell in this process.

    An exception becomes a row with status ``failed`` and the traceback; only an interruption passes through.

    Parameters
    ----------
    cell : Cell
    threads : int
        Threads that numerical libraries may use; part of what makes rounding repeat.
    """
    with _ONE_AT_A_TIME:
        return _run(cell, threads)


def _run(cell: Cell, threads: int) -> Outcome:
    measured = _Measured()
    started, begin = _now(), time.perf_counter()
    status, error = "ok", None
    memory = measure.PeakMemory()
    with _warnings_noted(measured.notes), measure.limited_threads(threads):
        try:
            _compute(cell, measured)
        except Exception:  # noqa: BLE001 - whatever a candidate raises is its result, and the others go on
            status, error = "failed", traceback.format_exc()
    measured.columns["peak_memory_bytes"] = memory.value
    if memory.value is None:
        measured.notes["peak_memory_bytes"] = "not measured: this system has no high-water mark that can be reset"
    row = {
        **_who(cell),
        **measured.columns,
        "status": status,
        "error": error,
        "started": started,
        "duration": time.perf_counter() - begin,
        "notes": measured.notes or None,
        "versions": versions(),
        "machine": measure.processor(),
        "threads": threads,
    }
    if status == "failed":
        return Outcome(row)
    return Outcome(row, measured.predictions, measured.raster)


def _compute(cell: Cell, measured: _Measured) -> None:
    experiment, columns = cell.experiment, measured.columns
    recordings = estimators.seen_by(cell.candidate, experiment_recordings(experiment, cell.shuffled))
    X: Any = recordings.X
    train, test = cell.fold.train, cell.fold.test
    groups = group_labels(experiment, recordings, train)
    estimator = estimators.build(cell.candidate, recordings, experiment.task, cell.seed)

    begin = time.perf_counter()
    if cell.candidate.entry.kind == "network":
        estimator.fit(take(X, train), recordings.y[train], groups=groups)
    else:
        with scoped_seed(cell.seed):  # a pipeline whose parts draw from the global generator repeats all the same
            estimator.fit(take(X, train), recordings.y[train])
    columns["train_seconds"] = time.perf_counter() - begin
    columns.update(_inner_parts(estimator, recordings, experiment.group or experiment.unit, train))

    units = units_of(recordings, experiment.unit)
    measured.predictions, columns["metrics"], undefined = predictions_of(estimator, recordings, test, units)
    if undefined:
        measured.notes["metrics"] = undefined
    columns["inference_seconds_per_sample"] = measure.inference_seconds(estimator, take(X, test))
    if cell.candidate.entry.kind == "network":
        with scoped_seed(cell.seed):  # random codes draw while they are counted
            _measure_network(cell, estimator, take(X, test), recordings, measured)
    else:
        _measure_pipeline(estimator, take(X, test), measured)


def _measure_pipeline(estimator: Any, X: Any, measured: _Measured) -> None:
    """Count a pipeline that ends in a network, such as a reservoir; note why another one is not counted."""
    *before, (_, last) = estimator.steps if isinstance(estimator, Pipeline) else [("", estimator)]
    reason = "not counted: a scikit-learn pipeline has no ledger"
    if hasattr(last, "network_input"):
        try:
            columns = measure.size(last) | measure.operations(last, Pipeline(before).transform(X) if before else X)
        except InputError as error:
            reason = f"not counted: {error}"
        else:
            measured.columns.update(columns)
            return
    measured.notes.update(dict.fromkeys(("parameters", "macs", "acs", "energy_j"), reason))


def _measure_network(cell: Cell, estimator: Any, X: Any, recordings: Recordings, measured: _Measured) -> None:
    columns = measured.columns
    columns.update(measure.size(estimator))
    columns.update(measure.operations(estimator, X))
    columns["history"] = estimator.history_
    columns["health"] = estimator.health_
    if not cell.candidate.entry.spiking:
        measured.notes["spike_rate"] = "no spiking layer"
    elif cell.raster:
        measured.raster = measure.raster(estimator, X, estimators.sfreq_of(recordings))


def _inner_parts(
    estimator: Any, recordings: Recordings, columns: tuple[str, ...], train: NDArray[np.int64]
) -> dict[str, Any]:
    """Sizes and groups of the parts that trained and validated."""
    validation = train[getattr(estimator, "validation_index_", np.arange(0))]
    inner = np.setdiff1d(train, validation)
    units = units_of(recordings, columns)
    return {
        "n_train": len(inner),
        "n_validation": len(validation),
        "train_groups": _names(units[inner], columns),
        "validation_groups": _names(units[validation], columns),
    }


def _names(units: NDArray[Any], columns: tuple[str, ...]) -> list[str] | None:
    """Distinct units, unless every sample is one."""
    return None if columns == ("sample",) else np.unique(units.astype(str)).tolist()


def _who(cell: Cell) -> dict[str, Any]:
    entry = cell.candidate.entry
    return {
        **cell.place,
        "suite": cell.suite,
        "model": cell.candidate.model,
        "spiking": int(entry.spiking),
        "kind": entry.kind,
        "fold_name": cell.fold.name,
        "shuffled": int(cell.shuffled),
        "n_test": len(cell.fold.test),
        "test_groups": list(cell.fold.test_groups) if cell.fold.by != ("sample",) else None,
    }


@contextlib.contextmanager
def _warnings_noted(notes: dict[str, Any]) -> Iterator[None]:
    """Collect warnings as one line each, every one once, instead of printing them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield
    lines = dict.fromkeys(f"{w.category.__name__}: {' '.join(str(w.message).split())[:300]}" for w in caught)
    if lines:
        notes["warnings"] = list(lines)[:_MOST_WARNINGS]


def versions() -> dict[str, str]:
    """Versions of this package, Python, and the packages that compute."""
    found = {"spikeneuro": __version__, "python": platform.python_version()}
    for name in _VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
