"""Predictions of a cell in a few characters: as much as the main metric needs, by unit, as JSON.

Three forms, whichever is smallest and sufficient:

- accuracy: ``{"correct": {unit: [correct, counted]}}``; where every sample is a unit,
  ``{"samples": "0-4,7", "bits": "fd"}`` (bit i, counted from the left, says whether sample i of the list is right);
- other metrics made of confusion counts: ``{"confusion": {unit: {"truth>prediction": count}}, "k": classes}``;
- all others: ``{"unit": [...], "truth": [...], "prediction": [...], "k": classes}``, and ``"probability"`` or
  ``"decision"`` where there are any; ``"k"`` is left out for regression.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro.errors import InputError
from spikeneuro.evaluation import METRICS, Predictions

#: Significant digits of real numbers; more than single precision has.
_DIGITS = 9


def encode(metric: str, task: str, predictions: Predictions) -> dict[str, Any]:
    """Predictions as plain Python objects, enough to compute `metric` inside any choice of units."""
    units = np.asarray(predictions.units).astype(str)
    if task == "regression":
        return _raw(units, predictions.y_true, predictions.y_pred, {})
    if metric != "accuracy" and METRICS[metric].from_confusion is None:
        columns = {
            name: _rounded(values)
            for name, values in (("probability", predictions.proba), ("decision", predictions.decision))
            if values is not None
        }
        columns["k"] = _number_of_classes(predictions)
        return _raw(units, predictions.y_true, predictions.y_pred, columns)
    k = _number_of_classes(predictions)
    names, counts = _counts(units, predictions, k)
    if metric != "accuracy":
        return {"confusion": {name: _sparse(table) for name, table in zip(names, counts, strict=True)}, "k": k}
    correct, counted = np.trace(counts, axis1=1, axis2=2), counts.sum(axis=(1, 2))
    if counted.max() == 1 and all(name.isdecimal() for name in names):
        order = np.argsort([int(name) for name in names])
        samples = [int(names[place]) for place in order]
        return {"samples": _as_ranges(samples), "bits": np.packbits(correct[order].astype(bool)).tobytes().hex()}
    return {"correct": {name: [int(c), int(n)] for name, c, n in zip(names, correct, counted, strict=True)}}


def decode(value: Mapping[str, Any], seed: int) -> Predictions:
    """Predictions that give the same scores as those encoded."""
    if "bits" in value:
        samples = _from_ranges(value["samples"])
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(value["bits"]), dtype=np.uint8), count=len(samples))
        return _of_right_and_wrong(samples, bits, 1 - bits, seed)
    if "correct" in value:
        pairs = np.array(list(value["correct"].values()))
        return _of_right_and_wrong(np.array(list(value["correct"])), pairs[:, 0], pairs[:, 1] - pairs[:, 0], seed)
    if "confusion" in value:
        entries = [
            (unit, *map(int, pair.split(">")), count)
            for unit, (_, cells) in enumerate(value["confusion"].items())
            for pair, count in cells.items()
        ]
        unit, truth, predicted, count = np.array(entries).T
        counts = np.zeros((len(value["confusion"]), value["k"], value["k"]), dtype=np.int64)
        counts[unit, truth, predicted] = count
        return Predictions(np.array(list(value["confusion"])), run=seed, confusion=counts)
    columns = {name: np.array(value[name]) for name in ("probability", "decision") if name in value}
    return Predictions(
        np.array(value["unit"]),
        np.array(value["truth"]),
        np.array(value["prediction"]),
        columns.get("probability"),
        columns.get("decision"),
        run=seed,
        n_classes=value.get("k"),
    )


def _number_of_classes(predictions: Predictions) -> int:
    """Classes of the experiment; those that occur are too few where a fold lacks the last one."""
    if predictions.confusion is not None:
        return int(np.shape(predictions.confusion)[-1])
    if predictions.n_classes is None:
        raise InputError("predictions of classes need their number of classes to be kept.")
    return predictions.n_classes


def _counts(units: NDArray[Any], predictions: Predictions, k: int) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the units and their confusion counts ``(units, k, k)``."""
    names, codes = np.unique(units, return_inverse=True)
    if predictions.confusion is not None:
        counts = np.zeros((len(names), *predictions.confusion.shape[1:]), dtype=np.int64)
        np.add.at(counts, codes, predictions.confusion)
    else:
        truth, predicted = np.asarray(predictions.y_true), np.asarray(predictions.y_pred)
        counts = np.zeros((len(names), k, k), dtype=np.int64)
        np.add.at(counts, (codes, truth, predicted), 1)
    return names.tolist(), counts


def _sparse(table: NDArray[np.int64]) -> dict[str, int]:
    return {f"{truth}>{predicted}": int(table[truth, predicted]) for truth, predicted in np.argwhere(table)}


def _of_right_and_wrong(units: NDArray[Any], right: NDArray[Any], wrong: NDArray[Any], seed: int) -> Predictions:
    """Predictions with these numbers of right and wrong entries, as a class that was met or missed."""
    counts = np.zeros((len(units), 2, 2), dtype=np.int64)
    counts[:, 1, 1], counts[:, 1, 0] = right, wrong
    return Predictions(units, run=seed, confusion=counts)


def _raw(units: NDArray[Any], truth: Any, predicted: Any, columns: dict[str, Any]) -> dict[str, Any]:
    return {"unit": units.tolist(), "truth": _rounded(truth), "prediction": _rounded(predicted), **columns}


def _rounded(values: Any) -> Any:
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return array.tolist()
    return [float(f"{v:.{_DIGITS}g}") for v in array] if array.ndim == 1 else [_rounded(row) for row in array]


def _as_ranges(numbers: list[int]) -> str:
    """Sorted numbers as ``0-4,7``."""
    runs = []
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        runs.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(runs)


def _from_ranges(text: str) -> NDArray[np.int64]:
    numbers: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        numbers += range(int(low), int(high or low) + 1)
    return np.array(numbers, dtype=np.int64)
