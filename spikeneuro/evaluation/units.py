"""A metric inside every unit of independence (subject, run, site, image)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro.errors import InputError
from spikeneuro.evaluation.metrics import Metric, metric_named
from spikeneuro.evaluation.outcome import Array, Outcome, joined, make_outcome

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of one fitted model on its test part.

    Parameters
    ----------
    units : array-like, shape (n_samples,)
        Unit of independence of every sample.
    y_true : array-like or None
        Targets; see `outcome.make_outcome` for this and the next three.
    y_pred, proba, decision : array-like or None
        Predictions, probabilities, or decision values.
    run : int or str
        Seed: predictions of one run complete each other, those of different runs are averaged.
    confusion : array-like of int, shape (n_samples, k, k), or None
        Instead of all of these, for labels per step: counts of every true class (rows) predicted as every class.
    n_classes : int or None
        Number of classes of the data where `y_true` holds codes; None takes it from what occurs, which is too few for
        a test part without the last class.
    """

    units: Any
    y_true: Any = None
    y_pred: Any = None
    proba: Any = None
    decision: Any = None
    run: int | str = 0
    confusion: Any = None
    n_classes: int | None = None


@dataclass(frozen=True, eq=False)
class UnitScores:
    """A metric inside every unit.

    Parameters
    ----------
    units : tuple of str
        Units in which it is defined, sorted.
    scores : ndarray, shape (n_units,)
        Its values.
    sizes : ndarray of int, shape (n_units,)
        Test samples (steps) behind each.
    undefined : dict
        The other units, and why.
    """

    units: tuple[str, ...]
    scores: FloatArray
    sizes: NDArray[np.int64]
    undefined: dict[str, str]


@dataclass(frozen=True, eq=False)
class Case:
    """Predictions brought to one form.

    Parameters
    ----------
    outcome : Outcome
        Entries.
    units : ndarray of str, shape (n_entries,)
        Unit of each.
    run : str
        Seed.
    """

    outcome: Outcome
    units: Array
    run: str


def as_case(predictions: Predictions, task: str, labels: Sequence[Any] | None) -> Case:
    """Check predictions and bring them to one form."""
    p = predictions
    if p.confusion is not None:
        outcome, n_samples = _expand(np.asarray(p.confusion)), len(p.confusion)
    else:
        if labels is None and p.n_classes is not None and task != "regression":
            labels = range(p.n_classes)
        outcome = make_outcome(task, p.y_true, p.y_pred, p.proba, decision=p.decision, labels=labels)
        n_samples = len(np.asarray(p.y_true))
    units = np.asarray(p.units)
    if units.shape != (n_samples,):
        raise InputError(f"units must have one entry per sample ({n_samples}), got shape {units.shape}.")
    return Case(outcome, units.astype(str)[outcome.row], str(p.run))


def _expand(counts: Array) -> Outcome:
    """Entries with the given confusion counts of every sample: metrics of classes do not see their order."""
    if counts.ndim != 3 or counts.shape[1] != counts.shape[2] or counts.dtype.kind not in "iu" or counts.min() < 0:
        raise InputError(f"confusion must be counts of shape (n, k, k), got {counts.dtype} of shape {counts.shape}.")
    if not counts.sum():
        raise InputError("confusion counts nothing.")
    k = counts.shape[1]
    row, true, predicted = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    return Outcome(true, predicted, k, None, None, row, tuple(range(k)))


def unit_scores(
    predictions: Predictions,
    metric: str = "accuracy",
    task: str = "classification",
    labels: Sequence[Any] | None = None,
) -> UnitScores:
    """Compute a metric inside every unit of one test part.

    For units of one sample and ``accuracy`` that is 0 or 1.

    Parameters
    ----------
    predictions : Predictions
        Of one fitted model.
    metric : str
        Key of `metrics.METRICS`.
    task : {"classification", "regression", "steps"}
        What is predicted.
    labels : sequence or None
        Classes in the order of the columns of the probabilities; None means 0..k-1.

    Returns
    -------
    UnitScores
        With the units in which the metric is undefined named apart.

    Examples
    --------
    >>> found = unit_scores(Predictions(["a", "a", "b"], [0, 1, 1], [0, 0, 1]))
    >>> found.units, found.scores.tolist()
    (('a', 'b'), [0.5, 1.0])
    """
    return scores_of(as_case(predictions, task, labels), metric_named(metric, task))


def scores_of(case: Case, metric: Metric) -> UnitScores:
    """Compute a metric inside every unit of a case."""
    names, codes, sizes = np.unique(case.units, return_inverse=True, return_counts=True)
    entries = metric.per_sample(case.outcome) if metric.per_sample else None
    if entries is not None:
        scores = np.bincount(codes, weights=entries) / sizes
        return UnitScores(tuple(names.tolist()), scores, sizes, {})
    order = np.argsort(codes, kind="stable")
    found, undefined = [], {}
    for code, rows in enumerate(np.split(order, np.cumsum(sizes)[:-1])):
        value, note = metric.function(case.outcome.take(rows))
        if value is None:
            undefined[str(names[code])] = note
        else:
            found.append((str(names[code]), value, int(sizes[code])))
    return UnitScores(
        tuple(name for name, _, _ in found),
        np.array([value for _, value, _ in found]),
        np.array([size for _, _, size in found], dtype=np.int64),
        undefined,
    )


def combined_scores(cases: Sequence[Case], metric: Metric) -> UnitScores:
    """A metric inside every unit over all test parts: of the samples of one run together, averaged over runs.

    A mean over samples (accuracy) may be taken part by part. Any other metric of a unit whose samples lie in several
    folds is a property of all of them: inside one fold it may be undefined, and a mean over the folds where it is
    defined would leave out samples without a word.
    """
    if metric.per_sample is not None:
        return average_units([scores_of(case, metric) for case in cases])
    runs = sorted({case.run for case in cases})
    parts = [[case for case in cases if case.run == run] for run in runs]
    return average_units([scores_of(_together(own), metric) for own in parts])


def unit_scores_over(
    predictions: Sequence[Predictions],
    metric: str = "accuracy",
    task: str = "classification",
    labels: Sequence[Any] | None = None,
) -> UnitScores:
    """Compute a metric inside every unit over all test parts of a model: those of one run together, runs averaged.

    Parameters
    ----------
    predictions : sequence of Predictions
        One per fitted model.
    metric, task, labels
        As for `unit_scores`.

    Returns
    -------
    UnitScores
        A unit in which the metric is undefined for any run is named apart.

    Examples
    --------
    >>> folds = [Predictions(["a", "a"], [0, 1], [0, 1]), Predictions(["a", "a"], [1, 1], [0, 0])]
    >>> unit_scores_over(folds, "balanced_accuracy").scores.round(3).tolist()  # not the 1.0 of the first fold
    [0.667]
    """
    return combined_scores([as_case(p, task, labels) for p in predictions], metric_named(metric, task))


def _together(cases: Sequence[Case]) -> Case:
    if len(cases) == 1:
        return cases[0]
    return Case(joined([case.outcome for case in cases]), np.concatenate([case.units for case in cases]), cases[0].run)


def average_units(parts: Sequence[UnitScores]) -> UnitScores:
    """Average the scores of every unit over runs, weighted by the test samples behind each.

    A unit is undefined if it is undefined in any part. For a metric that is no mean over samples, a part should hold
    all the samples of a unit that one run was tested on: `summarise` sees to that.

    Parameters
    ----------
    parts : sequence of UnitScores
        One per run.

    Returns
    -------
    UnitScores
        Over all units of the parts.
    """
    if not parts:
        raise InputError("there are no scores to average.")
    undefined = {name: reason for part in parts for name, reason in part.undefined.items()}
    total: dict[str, float] = {}
    weight: dict[str, int] = {}
    for part in parts:
        for name, score, size in zip(part.units, part.scores, part.sizes, strict=True):
            total[name] = total.get(name, 0.0) + float(score) * int(size)
            weight[name] = weight.get(name, 0) + int(size)
    names = sorted(set(total) - set(undefined))
    scores = np.array([total[name] / weight[name] for name in names])
    return UnitScores(tuple(names), scores, np.array([weight[name] for name in names], dtype=np.int64), undefined)
