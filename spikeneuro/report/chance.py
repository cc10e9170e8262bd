"""What guessing scores, and whether candidates trained on shuffled labels do better than that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro.bench.scores import as_predictions
from spikeneuro.bench.store import Store
from spikeneuro.bench.wording import limits
from spikeneuro.evaluation import Predictions, summarise

#: Metrics whose value for guessing is fixed, and what to call it.
_FIXED = {
    "roc_auc": (0.5, "chance"),
    "cohen_kappa": (0.0, "chance"),
    "pearson_r": (0.0, "no relation"),
    "r2": (0.0, "mean of the tested"),
}
#: Errors, and the constant that makes them least.
_ERRORS: dict[str, tuple[Callable[[NDArray[np.float64]], Any], str]] = {
    "mae": (np.median, "median of the other folds"),
    "rmse": (np.mean, "mean of the other folds"),
}


def predictions_by_candidate(
    store: Store, experiment: Mapping[str, Any], done: Sequence[Mapping[str, Any]]
) -> dict[str, list[Predictions]]:
    """Predictions of the finished cells of each candidate."""
    found: dict[str, list[Predictions]] = {}
    for row in done:
        found.setdefault(row["candidate"], []).append(
            as_predictions(store.predictions(row["key"]), row["seed"], experiment)
        )
    return found


def guess(experiment: Mapping[str, Any], by_candidate: Mapping[str, Sequence[Predictions]]) -> tuple[float, str] | None:
    """Score of a guesser that knows the classes or values but no sample, and what to call it.

    It is scored on the test samples, by the same averages over units, folds and seeds as the candidates. None for
    metrics without such a score, or where nothing is finished.
    """
    scorer = experiment["scorer"]
    if scorer in _FIXED:
        return _FIXED[scorer]
    parts = max(by_candidate.values(), key=len, default=())
    if not parts:
        return None
    if scorer == "balanced_accuracy":
        return 1 / int((_class_counts(parts) > 0).sum()), "chance"
    if scorer == "accuracy":
        counts = _class_counts(parts)
        present = counts[counts > 0]
        name = "chance" if present.max() == present.min() else "always the largest class"
        return _scored([_constant(part, int(counts.argmax())) for part in parts], experiment, name)
    if scorer in _ERRORS:
        best, name = _ERRORS[scorer]
        others = [[p.y_true for p in parts if p.run == part.run and p is not part] for part in parts]
        if all(others):
            guesses = zip(parts, others, strict=True)
            return _scored([_constant(part, best(np.concatenate(rest))) for part, rest in guesses], experiment, name)
    return None


def control(experiment: Mapping[str, Any], by_candidate: Mapping[str, Sequence[Predictions]]) -> str | None:
    """Of a run with shuffled labels: which candidates are above chance.

    Judged by a metric whose value for guessing is 0 whatever the sizes of the classes: Cohen's kappa, or for regression
    the correlation of true and predicted values.
    """
    metric, name = (
        ("pearson_r", "Pearson r") if experiment["task"] == "regression" else ("cohen_kappa", "Cohen's kappa")
    )
    found = {candidate: summarise(parts, metric, experiment["task"]) for candidate, parts in by_candidate.items()}
    known = {candidate: (e.low, e.high) for candidate, e in found.items() if e.low is not None and e.high is not None}
    if not known:
        return None
    above = {candidate: ends for candidate, ends in known.items() if ends[0] > 0}
    below = {candidate: ends for candidate, ends in known.items() if ends[1] < 0}
    judged = f"Labels were shuffled; judged by {name}, which is 0 for guessing whatever the sizes of the classes, "
    if metric == "pearson_r":
        judged = f"Targets were shuffled; judged by {name}, which is 0 or less for guessing, "
    if above:
        text = judged + (
            f"{len(above)} of {len(known)} candidates are above chance: {_listed(above)}. One interval in 40 "
            "lies there by luck; more than that points to a leak."
        )
    else:
        text = judged + f"none of {len(known)} candidates is above chance, as it should be."
    if below:
        text += (
            f" Below it: {_listed(below)}; a class that is rare in the test part is common in the training part, "
            "which puts a guesser off."
        )
    missing = [candidate for candidate in found if candidate not in known]
    return text + (f" Without interval, so not judged: {', '.join(missing)}." if missing else "")


def _listed(ends: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{candidate} ({limits(low, high, '.3f')})" for candidate, (low, high) in ends.items())


def _scored(parts: Sequence[Predictions], experiment: Mapping[str, Any], name: str) -> tuple[float, str] | None:
    value = summarise(parts, experiment["scorer"], experiment["task"], n_resamples=1).value
    return None if value is None else (value, name)


def _constant(part: Predictions, value: Any) -> Predictions:
    """The same test samples, all predicted as `value`."""
    if part.confusion is not None:
        counts = np.zeros_like(part.confusion)
        counts[:, :, value] = np.sum(part.confusion, axis=2)
        return replace(part, confusion=counts)
    return replace(part, y_pred=np.full(len(part.y_true), value), proba=None, decision=None)


def _class_counts(parts: Sequence[Predictions]) -> NDArray[np.int64]:
    """Test samples of each class."""
    if parts[0].confusion is not None:
        return np.asarray(np.sum([np.sum(part.confusion, axis=(0, 2)) for part in parts], axis=0))
    return np.bincount(np.concatenate([part.y_true for part in parts]))
