"""The score of a model with its interval, and the comparison of two models, over units of independence.

Where the metric is defined inside every unit, the score is the mean over units, and intervals and tests are made over
the units' scores. Where it is not (a unit of one class has no balanced accuracy), the metric is computed on all
samples together, and the units are resampled, or exchanged between the models, as wholes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.evaluation.metrics import metric_named
from spikeneuro.evaluation.pooled import pooled_interval, pooled_test
from spikeneuro.evaluation.statistics import bootstrap_interval, paired_permutation_test, wilson_interval
from spikeneuro.evaluation.units import Case, FloatArray, Predictions, UnitScores, as_case, combined_scores


@dataclass(frozen=True)
class Estimate:
    """A score with its interval.

    Parameters
    ----------
    value, low, high : float or None
        Score and limits of its interval; None where undefined, see `note`.
    n_units : int
        Units behind it.
    method : str
        ``mean over units`` or ``all samples together``.
    note : str
        Why something is None, or what is special.
    """

    value: float | None
    low: float | None
    high: float | None
    n_units: int
    method: str
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Difference of two models on the same units.

    Parameters
    ----------
    difference, low, high : float or None
        First minus second, and limits of its bootstrap interval; None where undefined, see `note`.
    p_value : float or None
        Two-sided p-value of the paired permutation test over units.
    n_units : int
        Units that both were tested on.
    method : str
        What was permuted, and how.
    note : str
        Why something is None, or what is special.
    """

    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n_units: int
    method: str
    note: str = ""


def summarise(
    predictions: Sequence[Predictions],
    metric: str = "accuracy",
    task: str = "classification",
    labels: Sequence[Any] | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    random_state: int = 0,
) -> Estimate:
    """Score of a model over all its folds and seeds, with a bootstrap interval over units.

    Parameters
    ----------
    predictions : sequence of Predictions
        One per fitted model.
    metric : str
        Key of `metrics.METRICS`.
    task : {"classification", "regression", "steps"}
        What is predicted.
    labels : sequence or None
        Classes in the order of the columns of the probabilities; None means 0..k-1.
    confidence : float
        Nominal coverage of the percentile interval.
    n_resamples : int
        Resamples of the units (at most 2000 are made where each needs the metric of all samples again).
    random_state : int
        Seed.

    Returns
    -------
    Estimate
        Says in `method` and `note` how it was made.
    """
    check_number(confidence, "confidence", low=0.0, high=1.0, closed="neither")
    rule = metric_named(metric, task)
    cases = _cases(predictions, task, labels)
    scores = combined_scores(cases, rule)
    if scores.undefined:
        everyone = [*scores.units, *scores.undefined]
        pooled = pooled_interval(cases, rule, everyone, confidence, n_resamples, random_state)
        note = _sentence(_reason(scores), pooled.note)
        return Estimate(pooled.value, pooled.low, pooled.high, len(everyone), "all samples together", note)
    value, n = float(scores.scores.mean()), len(scores.units)
    if n < 2:
        return Estimate(value, None, None, n, "mean over units", "one unit only, so no interval")
    if _equal(scores.scores):
        low, high, note = _limits_of_equal(value, n, metric, confidence)
        return Estimate(value, low, high, n, "mean over units", note)
    interval = bootstrap_interval(
        scores.scores, confidence=confidence, n_resamples=n_resamples, random_state=random_state
    )
    return Estimate(value, interval.low, interval.high, n, "mean over units")


def _limits_of_equal(
    value: float, n_units: int, metric: str, confidence: float
) -> tuple[float | None, float | None, str]:
    """Limits where all units score alike: Wilson's for units all right or all wrong, otherwise none."""
    if metric == "accuracy" and round(value, 12) in (0.0, 1.0):
        right = round(value * n_units)
        wilson = wilson_interval(right, n_units, confidence=confidence)
        note = f"all units are wholly {'right' if right else 'wrong'}, so the interval is Wilson's"
        return wilson.low, wilson.high, note
    return None, None, "all units score the same, so no interval"


def compare(
    first: Sequence[Predictions],
    second: Sequence[Predictions],
    metric: str = "accuracy",
    task: str = "classification",
    labels: Sequence[Any] | None = None,
    *,
    confidence: float = 0.95,
    n_resamples: int = 9_999,
    random_state: int = 0,
) -> Comparison:
    """Difference of two models over the units that both were tested on, with a paired permutation test.

    Parameters
    ----------
    first, second : sequence of Predictions
        One per fitted model.
    metric : str
        Key of `metrics.METRICS`.
    task : {"classification", "regression", "steps"}
        What is predicted.
    labels : sequence or None
        Classes in the order of the columns of the probabilities; None means 0..k-1.
    confidence : float
        Nominal coverage of the percentile interval of the difference.
    n_resamples : int
        Draws of the interval and of the test (at most 2000 where each needs the metric of all samples again).
    random_state : int
        Seed.

    Returns
    -------
    Comparison
        Says in `method` and `note` how it was made.
    """
    check_number(confidence, "confidence", low=0.0, high=1.0, closed="neither")
    rule = metric_named(metric, task)
    a, b = _cases(first, task, labels), _cases(second, task, labels)
    scored = [combined_scores(cases, rule) for cases in (a, b)]
    everywhere = [set(s.units) | set(s.undefined) for s in scored]
    common = sorted(everywhere[0] & everywhere[1])
    left_out = len(everywhere[0] | everywhere[1]) - len(common)
    note = f"{left_out} unit(s) tested for one of the two only are left out" if left_out else ""
    if not common:
        return Comparison(None, None, None, None, 0, "none", "the two models were tested on no common unit")
    if any(s.undefined for s in scored):
        reason = _reason(next(s for s in scored if s.undefined))
        pooled = pooled_test(a, b, rule, common, confidence, n_resamples, random_state)
        note = _sentence(reason, note, pooled.note)
        return Comparison(pooled.value, pooled.low, pooled.high, pooled.p_value, len(common), pooled.method, note)
    x, y = (np.array([by_unit[unit] for unit in common]) for by_unit in map(_by_unit, scored))
    test = paired_permutation_test(x, y, n_resamples=n_resamples, random_state=random_state)
    method = f"sign flips over units, {test.method}"
    if len(common) < 2:
        note = _sentence(note, "one unit only, so neither interval nor test")
        return Comparison(test.difference, None, None, None, 1, "none", note)
    if _equal(x - y):
        note = _sentence(note, "the difference is the same in all units, so it has no interval")
        return Comparison(test.difference, None, None, test.p_value, len(common), method, note)
    interval = bootstrap_interval(x - y, confidence=confidence, n_resamples=n_resamples, random_state=random_state)
    return Comparison(test.difference, interval.low, interval.high, test.p_value, len(common), method, note)


def _equal(values: FloatArray) -> bool:
    """Whether all are one value, up to the rounding of the averages they are."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def _cases(predictions: Sequence[Predictions], task: str, labels: Sequence[Any] | None) -> list[Case]:
    if not predictions:
        raise InputError("there are no predictions to score.")
    return [as_case(p, task, labels) for p in predictions]


def _reason(scores: UnitScores) -> str:
    unit, why = next(iter(scores.undefined.items()))
    return f"not defined inside {len(scores.undefined)} unit(s), e.g. {unit}: {why}"


def _sentence(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _by_unit(scores: UnitScores) -> dict[str, float]:
    return dict(zip(scores.units, scores.scores.tolist(), strict=True))
