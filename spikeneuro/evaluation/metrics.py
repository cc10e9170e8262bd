"""Metrics by name. One that is undefined for the data at hand is None with the reason, never a number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.evaluation.outcome import Array, Outcome, make_outcome

Value = tuple[float | None, str]  # the number, or None and why


@dataclass(frozen=True)
class Metric:
    """A metric: what it is called, which way is better, and how it is computed.

    Parameters
    ----------
    title : str
        Name for tables.
    task : {"classification", "regression"}
        What it judges; classification includes labels per step.
    function : callable
        From an `Outcome` to the value, or to None and the reason.
    greater_is_better : bool
        Direction.
    per_sample : callable or None
        Where the metric is a mean over entries: the entries.
    from_confusion : callable or None
        Where it is a function of the confusion counts: from ``(k, k)`` to the value.
    """

    title: str
    task: str
    function: Callable[[Outcome], Value]
    greater_is_better: bool = True
    per_sample: Callable[[Outcome], Array | None] | None = None
    from_confusion: Callable[[Array], Value] | None = None


def confusion(outcome: Outcome) -> NDArray[np.int64]:
    """Count how often every true class (rows) was predicted as every class (columns).

    Parameters
    ----------
    outcome : Outcome
        Classes and predictions.

    Returns
    -------
    ndarray of int, shape (k, k)
        Counts.
    """
    k = outcome.n_classes
    return np.bincount(outcome.y_true * k + outcome.y_pred, minlength=k * k).reshape(k, k)


def _mean(per_sample: Callable[[Outcome], Array | None]) -> Callable[[Outcome], Value]:
    def function(outcome: Outcome) -> Value:
        entries = per_sample(outcome)
        return (None, "needs probabilities") if entries is None else (float(np.mean(entries)), "")

    return function


def _of_confusion(from_confusion: Callable[[Array], Value]) -> Callable[[Outcome], Value]:
    return lambda outcome: from_confusion(confusion(outcome))


def _correct(outcome: Outcome) -> Array:
    return (outcome.y_true == outcome.y_pred).astype(np.float64)


def _surprise(outcome: Outcome) -> Array | None:
    """Minus log of the probability of the true class, floored at the smallest double step as scikit-learn does."""
    if outcome.proba is None:
        return None
    given = outcome.proba[np.arange(len(outcome)), outcome.y_true]
    return -np.log(np.maximum(given, np.finfo(np.float64).eps))


def _squared_distance(outcome: Outcome) -> Array | None:
    """Squared distance of the probabilities from the truth; of one class where there are two."""
    if outcome.proba is None:
        return None
    truth = np.eye(outcome.n_classes)[outcome.y_true]
    distance = ((outcome.proba - truth) ** 2).sum(axis=1)
    return distance / 2 if outcome.n_classes == 2 else distance


def _absolute_error(outcome: Outcome) -> Array:
    return np.abs(outcome.y_true - outcome.y_pred)


def _one_class(counts: Array) -> str:
    """Reason why class-wise metrics are undefined, empty if they are not."""
    return "" if (counts.sum(axis=1) > 0).sum() > 1 else "the true labels hold one class only"


def _accuracy(counts: Array) -> Value:
    return float(np.trace(counts) / counts.sum()), ""


def _balanced_accuracy(counts: Array) -> Value:
    if reason := _one_class(counts):
        return None, reason
    true = counts.sum(axis=1)
    return float((np.diag(counts)[true > 0] / true[true > 0]).mean()), ""


def _f1_macro(counts: Array) -> Value:
    if reason := _one_class(counts):
        return None, reason
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return float((2 * np.diag(counts)[both > 0] / both[both > 0]).mean()), ""


def _cohen_kappa(counts: Array) -> Value:
    if reason := _one_class(counts):
        return None, reason
    total = counts.sum()
    chance = float(counts.sum(axis=0) @ counts.sum(axis=1)) / float(total) ** 2
    return float((np.trace(counts) / total - chance) / (1 - chance)), ""


def _roc_auc(outcome: Outcome) -> Value:
    """Area under the ROC curve; for more than two classes the mean of each class against the rest."""
    if outcome.decision is None:
        return None, "needs probabilities or decision values"
    present = np.bincount(outcome.y_true, minlength=outcome.n_classes) > 0
    if present.sum() < 2:
        return None, "the true labels hold one class only"
    classes = [1] if outcome.n_classes == 2 else np.flatnonzero(present).tolist()
    areas = [_area(outcome.y_true == c, outcome.decision[:, c]) for c in classes]
    if outcome.n_classes == 2 or present.all():
        return float(np.mean(areas)), ""
    absent = ", ".join(str(outcome.labels[c]) for c in np.flatnonzero(~present))
    return float(np.mean(areas)), f"mean over the classes tested; no test sample of: {absent}"


def _area(positive: Array, score: Array) -> float:
    """Probability that a positive outranks a negative, ties counted half (Mann-Whitney)."""
    n, m = int(positive.sum()), int((~positive).sum())
    return float((stats.rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def _rmse(outcome: Outcome) -> Value:
    return float(np.sqrt(np.mean((outcome.y_true - outcome.y_pred) ** 2))), ""


def _r2(outcome: Outcome) -> Value:
    if len(outcome) < 2 or np.ptp(outcome.y_true) == 0:
        return None, "the true values do not vary"
    return float(sk.r2_score(outcome.y_true, outcome.y_pred)), ""


def _pearson_r(outcome: Outcome) -> Value:
    if len(outcome) < 3:
        return None, "needs three or more samples"
    for name, values in (("true", outcome.y_true), ("predicted", outcome.y_pred)):
        if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            return None, f"the {name} values do not vary"
    return float(np.corrcoef(outcome.y_true, outcome.y_pred)[0, 1]), ""


METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", "classification", _mean(_correct), True, _correct, _accuracy),
    "balanced_accuracy": Metric(
        "Balanced accuracy",
        "classification",
        _of_confusion(_balanced_accuracy),
        from_confusion=_balanced_accuracy,
    ),
    "roc_auc": Metric("AUC", "classification", _roc_auc),
    "f1_macro": Metric("F1 (macro)", "classification", _of_confusion(_f1_macro), from_confusion=_f1_macro),
    "cohen_kappa": Metric("Kappa", "classification", _of_confusion(_cohen_kappa), from_confusion=_cohen_kappa),
    "log_loss": Metric("Log loss", "classification", _mean(_surprise), False, _surprise),
    "brier": Metric("Brier score", "classification", _mean(_squared_distance), False, _squared_distance),
    "mae": Metric("Mean absolute error", "regression", _mean(_absolute_error), False, _absolute_error),
    "rmse": Metric("Root mean squared error", "regression", _rmse, False),
    "r2": Metric("R²", "regression", _r2),
    "pearson_r": Metric("Pearson r", "regression", _pearson_r),
}


def metric_named(name: str, task: str) -> Metric:
    """Find the metric called `name`, if it judges `task`.

    Parameters
    ----------
    name : str
        Key of `METRICS`.
    task : {"classification", "regression", "steps"}
        What is predicted.

    Returns
    -------
    Metric
        The entry of the table.
    """
    metric = METRICS[check_choice(name, METRICS, "metric")]
    if metric.task != ("regression" if task == "regression" else "classification"):
        fitting = ", ".join(names_for(task))
        raise InputError(f"metric {name!r} is for {metric.task}, the task is {task!r}; choose from: {fitting}.")
    return metric


def names_for(task: str) -> list[str]:
    """List the metrics that judge `task`.

    Parameters
    ----------
    task : {"classification", "regression", "steps"}
        What is predicted.

    Returns
    -------
    list of str
        Keys of `METRICS`.
    """
    kind = "regression" if task == "regression" else "classification"
    return [name for name, metric in METRICS.items() if metric.task == kind]


def compute(
    task: str,
    y_true: Any,
    y_pred: Any = None,
    proba: Any = None,
    *,
    decision: Any = None,
    labels: Sequence[Any] | None = None,
) -> tuple[dict[str, float | None], dict[str, str]]:
    """All metrics of a task.

    With y and ŷ the true and predicted classes, p the probabilities, N the confusion counts (rows true):
    accuracy = ``tr N / ΣN``; balanced accuracy = mean over true classes of ``N_cc / N_c·``; F1 = mean over classes of
    ``2 N_cc / (N_c· + N_·c)``; kappa = ``(accuracy - e) / (1 - e)``, ``e = Σ_c N_c· N_·c / (ΣN)²``; AUC = P(score of a
    positive > score of a negative) + ½ P(equal), for more than two classes the mean of one against the rest;
    log loss = -mean ln p_y (nats); Brier = mean Σ_c (p_c - [y = c])², halved for two classes. Steps are pooled over
    sequences, those labelled -1 left out.

    Parameters
    ----------
    task : {"classification", "regression", "steps"}
        What is predicted.
    y_true, y_pred, proba, decision : array-like
        Targets and predictions, see `make_outcome`.
    labels : sequence or None
        Classes in the order of the columns of `proba`; None means 0..k-1.

    Returns
    -------
    values : dict
        Metric name to value; None where it is undefined.
    notes : dict
        Metric name to the reason why it is None, or to what is special about the value.

    References
    ----------
    Brodersen et al., 2010, doi:10.1109/ICPR.2010.764 (balanced accuracy); Cohen, 1960,
    doi:10.1177/001316446002000104; Brier, 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> values, notes = compute("classification", [0, 0, 1], proba=[0.2, 0.4, 0.9])
    >>> values["accuracy"], values["roc_auc"]
    (1.0, 1.0)
    >>> compute("classification", [1, 1], [1, 0])[1]["balanced_accuracy"]
    'the true labels hold one class only'
    """
    outcome = make_outcome(task, y_true, y_pred, proba, decision=decision, labels=labels)
    values: dict[str, float | None] = {}
    notes: dict[str, str] = {}
    for name in names_for(task):
        values[name], note = METRICS[name].function(outcome)
        if note:
            notes[name] = note
    return values, notes


def step_counts(y_true: Any, y_pred: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Correct and counted steps of every sequence.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n, times)
        Labels per step; -1 in `y_true` does not count.

    Returns
    -------
    correct, total : ndarray of int, shape (n,)
        Numbers of steps.
    """
    outcome = make_outcome("steps", y_true, y_pred)
    n = len(np.asarray(y_true))
    correct = np.bincount(outcome.row, weights=_correct(outcome), minlength=n).astype(np.int64)
    return correct, np.bincount(outcome.row, minlength=n)
