"""Predictions of a cell in a few characters: as much as the main metric needs, by unit, as JSON.

Three forms, whichever is smallest and sufficient:

- accuracy: ``{"correct": {unit: [correct, counted]}}``; where every sample is a unit,
  ``{"samples": "0-4,7", "bits": "fd"}`` (bit i, counted from the left, says whether sample i of the list is right);
- other metrics made of confusion counts: ``{"confusion": {unit: {"truth>prediction": count}}}``;
- all others: ``{"unit": [...], "truth": [...], "prediction": [...], "columns": [...]}``, the last with probabilities or
  decision values where there are any.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro.evaluation import METRICS, Predictions, make_outcome

#: Significant digits of real numbers; more than single precision has.
_DIGITS = 9


def encode(metric: str, task: str, predictions: Predictions) -> dict[str, Any]:
    """Predictions as plain Python objects, enough to compute `metric` inside any choice of units."""
    units = np.asarray(predictions.units).astype(str)
    if task == "regression":
        return _raw(units, predictions.y_true, predictions.y_pred, {})
    outcome = make_outcome(
        task, predictions.y_true, predictions.y_pred, predictions.proba, decision=predictions.decision
    )
    if metric == "accuracy":
        return _correct(units, outcome.y_true == outcome.y_pred)
    if METRICS[metric].from_confusion is not None:
        counts: dict[str, dict[str, int]] = {}
        for unit, truth, predicted in zip(units, outcome.y_true, outcome.y_pred, strict=True):
            cell = counts.setdefault(str(unit), {})
            cell[f"{truth}>{predicted}"] = cell.get(f"{truth}>{predicted}", 0) + 1
        return {"confusion": counts}
    columns = {
        name: _rounded(values)
        for name, values in (("probability", predictions.proba), ("decision", predictions.decision))
        if values is not None
    }
    return _raw(units, outcome.y_true, outcome.y_pred, columns)


def decode(value: Mapping[str, Any], seed: int) -> Predictions:
    """Predictions that give the same scores as those encoded."""
    if "bits" in value:
        samples = _from_ranges(value["samples"])
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(value["bits"]), dtype=np.uint8), count=len(samples))
        return Predictions(samples, np.ones(len(samples), dtype=np.int64), bits.astype(np.int64), run=seed)
    if "correct" in value:
        units, right = [], []
        for unit, (correct, counted) in value["correct"].items():
            units += [unit] * counted
            right += [1] * correct + [0] * (counted - correct)
        return Predictions(np.array(units), np.ones(len(units), dtype=np.int64), np.array(right), run=seed)
    if "confusion" in value:
        rows = [
            (unit, *map(int, pair.split(">")))
            for unit, cells in value["confusion"].items()
            for pair, count in cells.items()
            for _ in range(count)
        ]
        names, truth, predicted = zip(*rows, strict=True)
        return Predictions(np.array(names), np.array(truth), np.array(predicted), run=seed)
    return Predictions(
        np.array(value["unit"]),
        np.array(value["truth"]),
        np.array(value["prediction"]),
        np.array(value["probability"]) if "probability" in value else None,
        np.array(value["decision"]) if "decision" in value else None,
        run=seed,
    )


def _correct(units: NDArray[Any], right: NDArray[np.bool_]) -> dict[str, Any]:
    names, codes, counts = np.unique(units, return_inverse=True, return_counts=True)
    if counts.max() == 1 and all(name.isdecimal() for name in names):
        samples = units.astype(np.int64)
        order = np.argsort(samples)
        return {"samples": _as_ranges(samples[order].tolist()), "bits": np.packbits(right[order]).tobytes().hex()}
    correct = np.bincount(codes, weights=right)
    return {"correct": {str(name): [int(c), int(n)] for name, c, n in zip(names, correct, counts, strict=True)}}


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
