"""Predictions of a cell: made, judged, and brought back from the store in the form statistics take."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro._several import take
from spikeneuro.bench.estimators import n_outputs
from spikeneuro.data import Recordings
from spikeneuro.evaluation import Predictions, compute
from spikeneuro.evaluation.outcome import IGNORED


def predictions_of(
    estimator: Any, recordings: Recordings, test: NDArray[np.int64], units: NDArray[Any]
) -> tuple[dict[str, NDArray[Any]], dict[str, float | None], dict[str, str]]:
    """Predict the test part of a fold.

    Returns
    -------
    predictions : dict of ndarray
        As the store keeps them (see `spikeneuro.bench.schema`).
    metrics : dict
        Every metric of the task; None where it is undefined.
    notes : dict
        Why a metric is undefined.
    """
    X, y = take(recordings.X, test), recordings.y[test]
    k = n_outputs(recordings)
    common = {"index": test, "unit": units[test].astype(str)}
    if recordings.task == "regression":
        predicted = np.asarray(estimator.predict(X), dtype=np.float64)
        values, notes = compute("regression", y, predicted)
        return {**common, "y_true": y, "prediction": predicted}, values, notes
    columns = _columns(estimator, X, k)
    if "probability" in columns and hasattr(estimator, "net_"):
        predicted = columns["probability"].argmax(axis=1)
    else:
        predicted = np.asarray(estimator.predict(X), dtype=np.int64)
    values, notes = compute(
        recordings.task, y, predicted, columns.get("probability"), decision=columns.get("decision"), labels=range(k)
    )
    if recordings.task == "steps":
        return {**common, "confusion": _confusions(y, predicted, k)}, values, notes
    return {**common, "y_true": y, "prediction": predicted, **columns}, values, notes


def as_predictions(arrays: Mapping[str, NDArray[Any]], seed: int, experiment: Mapping[str, Any]) -> Predictions:
    """Stored predictions of one cell in the form that `spikeneuro.evaluation` judges.

    The number of classes is that of the experiment: a fold need not hold a sample of each.
    """
    if "confusion" in arrays:
        return Predictions(arrays["unit"], run=seed, confusion=arrays["confusion"])
    return Predictions(
        arrays["unit"],
        arrays["y_true"],
        arrays["prediction"],
        arrays.get("probability"),
        arrays.get("decision"),
        run=seed,
        n_classes=len(experiment["labels"]) if experiment["labels"] is not None else None,
    )


def _columns(estimator: Any, X: Any, k: int) -> dict[str, NDArray[Any]]:
    """Probabilities of all `k` classes, or decision values, or neither; a class not trained on has the least of all."""
    for name, method in (("probability", "predict_proba"), ("decision", "decision_function")):
        if not hasattr(estimator, method):
            continue
        values = np.asarray(getattr(estimator, method)(X), dtype=np.float64)
        if name == "decision" and values.ndim == 1:
            values = np.stack([-values, values], axis=1)
        lowest = 0.0 if name == "probability" else float(values.min()) - 1.0
        full = np.full((len(values), k, *values.shape[2:]), lowest)
        full[:, np.asarray(estimator.classes_, dtype=np.int64)] = values
        return {name: full}
    return {}


def _confusions(y: NDArray[Any], predicted: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Counts ``(n, k, k)`` of each sequence, truth along the rows."""
    counted = y != IGNORED
    row = np.nonzero(counted)[0]
    flat = (row * k + y[counted]) * k + predicted[counted]
    return np.bincount(flat, minlength=len(y) * k * k).reshape(len(y), k, k)
