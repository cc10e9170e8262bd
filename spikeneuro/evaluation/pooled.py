"""A metric of all samples together, with whole units resampled or exchanged.

For metrics that are undefined inside a unit, such as balanced accuracy where every subject has one class. A *choice*
says how often each unit counts: ones for the observed score, a multinomial draw for the bootstrap, zeros and ones for
the exchange of two models' predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from spikeneuro.evaluation.metrics import Metric
from spikeneuro.evaluation.outcome import Outcome, joined
from spikeneuro.evaluation.units import Case

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_RESAMPLES = 2_000  # each needs the metric of all samples again


@dataclass(frozen=True)
class Pooled:
    """Score or difference of scores, its interval, and for a difference the test."""

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    method: str
    note: str


@dataclass(frozen=True, eq=False)
class _Run:
    """All entries of one run, the unit code of each, and the confusion counts of each unit (where they suffice)."""

    outcome: Outcome
    codes: IntArray
    confusions: IntArray


def _runs(cases: Sequence[Case], metric: Metric, units: Sequence[str]) -> dict[str, _Run]:
    ordered = np.array(sorted(units))
    found = {}
    for run in sorted({case.run for case in cases}):
        pieces = []
        for case in cases:
            inside = np.isin(case.units, ordered)
            if case.run == run and inside.any():
                pieces.append((case.outcome.take(inside), np.searchsorted(ordered, case.units[inside])))
        if pieces:
            outcome = joined([piece for piece, _ in pieces])
            codes = np.concatenate([codes for _, codes in pieces])
            counts = _confusions(outcome, codes, len(ordered) if metric.from_confusion else 0)
            found[run] = _Run(outcome, codes, counts)
    return found


def _confusions(outcome: Outcome, codes: IntArray, n_units: int) -> IntArray:
    k = outcome.n_classes
    counts = np.zeros((n_units, k, k), dtype=np.int64)
    if n_units:
        np.add.at(counts, (codes, outcome.y_true, outcome.y_pred), 1)
    return counts


def _values(parts: Sequence[tuple[dict[str, _Run], IntArray]], metric: Metric, runs: Sequence[str]) -> FloatArray:
    """Metric of the entries that the choices (resamples, units) take from each part, averaged over runs.

    NaN where it is undefined in a run.
    """
    n_resamples = len(parts[0][1])
    total = np.zeros(n_resamples)
    for run in runs:
        pieces = [(part[run], choice) for part, choice in parts]
        if metric.from_confusion is not None:
            counts = np.sum([np.tensordot(choice, piece.confusions, axes=1) for piece, choice in pieces], axis=0)
            results = [metric.from_confusion(table)[0] for table in counts]
        else:
            outcome = joined([piece.outcome for piece, _ in pieces])
            entries = np.arange(len(outcome))
            results = []
            for r in range(n_resamples):
                times = np.concatenate([choice[r][piece.codes] for piece, choice in pieces])
                results.append(metric.function(outcome.take(np.repeat(entries, times)))[0])
        total += [np.nan if value is None else value for value in results]
    return total / len(runs)


def _limits(values: FloatArray, confidence: float) -> tuple[float | None, float | None, str]:
    defined = values[np.isfinite(values)]
    lost = len(values) - len(defined)
    if lost > len(values) // 2:
        return None, None, f"undefined in {lost} of {len(values)} resamples, so no interval"
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    if np.ptp(defined) == 0:
        return None, None, "equal in every resample, so no interval"
    return float(low), float(high), f"undefined in {lost} of {len(values)} resamples, left out" if lost else ""


def _resamples(n_units: int, n_resamples: int, random_state: int) -> IntArray:
    rng = np.random.default_rng(random_state)
    return rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=min(n_resamples, MOST_RESAMPLES))


def pooled_interval(
    cases: Sequence[Case], metric: Metric, units: Sequence[str], confidence: float, n_resamples: int, random_state: int
) -> Pooled:
    """Metric of all samples of each run, averaged over runs, with a percentile bootstrap over units."""
    runs = _runs(cases, metric, units)
    n_units = len(set(units))
    observed = _values([(runs, np.ones((1, n_units), dtype=np.int64))], metric, list(runs))[0]
    if not np.isfinite(observed):
        why = next(note for run in runs.values() if (note := metric.function(run.outcome)[1]))
        return Pooled(None, None, None, None, "", f"undefined for all samples together too: {why}")
    if n_units < 2:
        return Pooled(float(observed), None, None, None, "", "one unit only, so no interval")
    drawn = _values([(runs, _resamples(n_units, n_resamples, random_state))], metric, list(runs))
    low, high, note = _limits(drawn, confidence)
    return Pooled(float(observed), low, high, None, "", note)


def pooled_test(
    first: Sequence[Case],
    second: Sequence[Case],
    metric: Metric,
    units: Sequence[str],
    confidence: float,
    n_resamples: int,
    random_state: int,
) -> Pooled:
    """Difference of the metrics of all samples, tested by exchanging the predictions of whole units.

    Where both models are equally good, which of them made the predictions of a unit does not matter. All 2**n
    exchanges are made if there are at most as many as resamples, else p = (1 + hits) / (1 + draws).
    """
    a, b = _runs(first, metric, units), _runs(second, metric, units)
    runs = [run for run in a if run in b]
    if not runs:
        return Pooled(None, None, None, None, "none", "the two models share no run (seed)")
    unpaired = len(set(a) | set(b)) - len(runs)
    notes = [f"{unpaired} run(s) of one model only are left out"] if unpaired else []
    n_units = len(set(units))

    def difference(mine: IntArray, theirs: IntArray) -> FloatArray:
        """First minus second when `mine` units keep their model and `theirs` have it exchanged."""
        kept = _values([(a, mine), (b, theirs)], metric, runs)
        return kept - _values([(a, theirs), (b, mine)], metric, runs)

    whole, none = np.ones((1, n_units), dtype=np.int64), np.zeros((1, n_units), dtype=np.int64)
    observed = difference(whole, none)[0]
    if not np.isfinite(observed):
        return Pooled(None, None, None, None, "none", "; ".join([*notes, "undefined for all samples together too"]))
    if n_units < 2:
        notes.append("one unit only, so neither interval nor test")
        return Pooled(float(observed), None, None, None, "none", "; ".join(notes))
    draws = min(n_resamples, MOST_RESAMPLES)
    exact = 2**n_units <= draws
    if exact:
        stay = np.array(list(product([0, 1], repeat=n_units)), dtype=np.int64)
    else:
        stay = np.random.default_rng(random_state).integers(0, 2, size=(draws, n_units))
    permuted = difference(stay, 1 - stay)
    # An exchange that leaves the metric undefined counts as extreme, which can only make p larger.
    extreme = ~(np.abs(permuted) < abs(observed) - 1e-12)
    p = float(extreme.mean()) if exact else float((1 + extreme.sum()) / (1 + len(permuted)))
    chosen = _resamples(n_units, n_resamples, random_state)
    low, high, note = _limits(_values([(a, chosen)], metric, runs) - _values([(b, chosen)], metric, runs), confidence)
    method = f"exchange of whole units, {'exact' if exact else f'Monte Carlo, {len(permuted)} draws'}"
    return Pooled(float(observed), low, high, p, method, "; ".join(filter(None, [*notes, note])))
