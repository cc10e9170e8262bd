"""Targets beside predictions, checked once and brought to one form for every metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from spikeneuro._validation import check_choice, check_finite
from spikeneuro.errors import InputError

Array = NDArray[Any]
Task = Literal["classification", "regression", "steps"]

TASKS = ("classification", "regression", "steps")
IGNORED = -1  # step label that does not count


@dataclass(frozen=True, eq=False)
class Outcome:
    """Targets and predictions with one entry per sample (per counted step for ``steps``).

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
        Class codes 0..k-1, or values for regression.
    n_classes : int
        Number of classes k; 0 for regression.
    proba : ndarray, shape (n, k), or None
        Probabilities of the classes.
    decision : ndarray, shape (n, k), or None
        Scores that order the samples for a class: the probabilities where there are any.
    row : ndarray of int, shape (n,)
        Sample that an entry belongs to.
    labels : tuple
        The classes, in the order of the codes.
    """

    y_true: Array
    y_pred: Array
    n_classes: int
    proba: Array | None
    decision: Array | None
    row: Array
    labels: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.y_true)

    def take(self, entries: Array) -> "Outcome":
        """Entries chosen by a mask or by positions (which may repeat)."""
        return Outcome(
            self.y_true[entries],
            self.y_pred[entries],
            self.n_classes,
            None if self.proba is None else self.proba[entries],
            None if self.decision is None else self.decision[entries],
            self.row[entries],
            self.labels,
        )


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome with the entries of all; probabilities and decision values only if all have them."""
    first = outcomes[0]
    if len({o.n_classes for o in outcomes}) > 1:
        raise InputError("test parts differ in their number of classes; give labels.")

    def stack(name: str) -> Any:
        values = [getattr(o, name) for o in outcomes]
        return None if any(v is None for v in values) else np.concatenate(values)

    columns = stack("y_true"), stack("y_pred"), stack("proba"), stack("decision"), stack("row")
    return Outcome(columns[0], columns[1], first.n_classes, *columns[2:], first.labels)


def make_outcome(
    task: str,
    y_true: Any,
    y_pred: Any = None,
    proba: Any = None,
    *,
    decision: Any = None,
    labels: Sequence[Any] | None = None,
) -> Outcome:
    """Check targets and predictions against each other and bring them to one form.

    Parameters
    ----------
    task : {"classification", "regression", "steps"}
        What is predicted.
    y_true : array-like
        Classes ``(n,)``, values ``(n,)``, or classes per step ``(n, times)`` with -1 for steps that do not count.
    y_pred : array-like or None
        Predictions of the same shape; None takes the most probable class.
    proba : array-like or None
        Probabilities ``(n, k)``, ``(n,)`` for the second of two classes, ``(n, k, times)`` for steps.
    decision : array-like or None
        Real-valued scores ``(n, k)``, or ``(n,)`` for two classes, where a model gives no probabilities.
    labels : sequence or None
        Classes in the order of the columns of `proba`; None means 0..k-1.

    Returns
    -------
    Outcome
        Classes as codes, only the entries that count.

    Raises
    ------
    InputError
        Shapes disagree, a label is unknown, or probabilities are not finite, in [0, 1] and of sum 1.
    """
    check_choice(task, TASKS, "task")
    truth = np.asarray(y_true)
    if truth.ndim != (2 if task == "steps" else 1) or not truth.size:
        raise InputError(f"y_true of shape {truth.shape} does not fit the task {task!r}.")
    if task == "regression":
        return _values(truth, y_pred)
    columns = _columns(proba, task, truth, "proba")
    scores = _columns(decision, task, truth, "decision")
    if y_pred is None and columns is None and scores is None:
        raise InputError("predictions are missing: give y_pred, proba or decision.")
    k = _number_of_classes(labels, columns if columns is not None else scores, truth, y_pred)
    names = tuple(range(k)) if labels is None else tuple(labels)
    keep = truth != IGNORED if task == "steps" else np.ones(truth.shape, dtype=bool)
    if not keep.any():
        raise InputError("y_true marks every step as one that does not count (-1).")
    codes = _codes(truth[keep], names, "y_true")
    if columns is not None:
        columns = _check_probabilities(_flat(columns, keep, k, "proba"))
    if scores is not None:
        scores = check_finite(_flat(scores, keep, k, "decision"), "decision")
    if y_pred is not None:
        predicted = _codes(_same_shape(y_pred, truth)[keep], names, "y_pred")
    else:
        predicted = np.argmax(cast(Array, columns if columns is not None else scores), axis=1)
    row = np.nonzero(keep)[0]
    return Outcome(codes, predicted, k, columns, columns if columns is not None else scores, row, names)


def _values(truth: Array, y_pred: Any) -> Outcome:
    if y_pred is None:
        raise InputError("predictions are missing: regression needs y_pred.")
    predicted = np.asarray(y_pred, dtype=np.float64)
    if predicted.shape == (len(truth), 1):
        predicted = predicted[:, 0]
    predicted = check_finite(_same_shape(predicted, truth), "y_pred")
    truth = check_finite(truth.astype(np.float64), "y_true")
    return Outcome(truth, predicted, 0, None, None, np.arange(len(truth)), ())


def _same_shape(values: Any, truth: Array) -> Array:
    values = np.asarray(values)
    if values.shape != truth.shape:
        raise InputError(f"y_pred has shape {values.shape} but y_true has {truth.shape}.")
    return values


def _columns(values: Any, task: str, truth: Array, name: str) -> Array | None:
    if values is None:
        return None
    values = np.asarray(values, dtype=np.float64)
    if values.shape == truth.shape and task == "classification":
        values = np.stack([1 - values if name == "proba" else -values, values], axis=1)
    steps = truth.shape[1:]
    if values.ndim != 2 + len(steps) or len(values) != len(truth) or values.shape[2:] != steps:
        wanted = f"({len(truth)}, classes{''.join(f', {s}' for s in steps)})"
        raise InputError(f"{name} must have shape {wanted}, got {values.shape}.")
    return values


def _number_of_classes(labels: Sequence[Any] | None, columns: Array | None, truth: Array, y_pred: Any) -> int:
    if labels is not None:
        if len(set(labels)) != len(labels):
            raise InputError(f"labels holds a class twice: {list(labels)}.")
        return len(labels)
    for name, values in (("y_true", truth), ("y_pred", y_pred)):
        if values is not None and np.asarray(values).dtype.kind not in "biu":
            raise InputError(f"labels is needed where {name} does not hold class numbers 0..k-1.")
    if columns is not None:
        return columns.shape[1]
    return int(max(truth.max(), np.max(y_pred), 1)) + 1


def _codes(values: Array, names: tuple[Any, ...], name: str) -> Array:
    position = {label: code for code, label in enumerate(names)}
    found, inverse = np.unique(values, return_inverse=True)
    unknown = [label for label in found.tolist() if label not in position]
    if unknown:
        raise InputError(f"{name} holds the class {unknown[0]!r}, which is none of {list(names)}.")
    return np.array([position[label] for label in found.tolist()], dtype=np.int64)[inverse]


def _flat(columns: Array, keep: Array, k: int, name: str) -> Array:
    if columns.shape[1] != k:
        raise InputError(f"{name} has {columns.shape[1]} classes but labels has {k}.")
    return np.moveaxis(columns, 1, -1)[keep]


def _check_probabilities(proba: Array) -> Array:
    check_finite(proba, "proba")
    wrong = (proba < -1e-6).any(axis=1) | (np.abs(proba.sum(axis=1) - 1) > 1e-3)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise InputError(
            f"proba at entry {place} is {np.round(proba[place], 4).tolist()}: probabilities are not negative and sum "
            "to one; apply a softmax to logits first."
        )
    return np.clip(proba, 0.0, 1.0)
