"""The summary: one row per experiment and candidate, with an interval and a test over the units of independence."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spikeneuro.bench.scores import as_predictions
from spikeneuro.bench.store import Store
from spikeneuro.evaluation import METRICS, Comparison, Estimate, Predictions, compare, holm, summarise

#: Columns averaged over a candidate's finished cells.
AVERAGED = (
    "parameters", "bytes", "macs", "acs", "dense_macs", "dense_acs", "energy_j", "dense_energy_j", "spike_rate",
    "train_seconds", "inference_seconds_per_sample", "peak_memory_bytes",
)  # fmt: skip

#: Seeds from which on their spread is shown.
LEAST_SEEDS = 3

COLUMNS = (
    "experiment", "candidate", "model", "spiking", "kind", "metric", "score", "low", "high", "unit", "n_units",
    "rival", "difference", "difference_low", "difference_high", "p", "n_common", "n_seeds", "seed_sd", *AVERAGED,
    "n_ok", "n_failed", "n_missing", "n_stale", "note",
)  # fmt: skip


@dataclass(frozen=True)
class CandidateCells:
    """Cells of one candidate in one experiment.

    Attributes
    ----------
    rows : list of dict
        Rows, finished and failed.
    predictions : list of Predictions
        One per finished cell.
    task : str
    counts : dict
        Cells planned, ok, failed, missing and stale.
    """

    rows: Sequence[Mapping[str, Any]]
    predictions: Sequence[Predictions]
    task: str
    counts: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """Whether every planned cell is finished."""
        return self.counts["ok"] == self.counts["planned"] > 0


def summary(store: Store) -> pd.DataFrame:
    """Summary of a store.

    The score of a unit is the main metric over its test samples, averaged over folds and seeds; a candidate's score is
    the mean over units, with a percentile bootstrap interval over units. Candidates are compared with the best
    non-spiking one (among those complete, if there are any) by a paired permutation test over units. Where the metric
    is not defined inside every unit, it is computed on all samples together and units are resampled as wholes.

    Parameters
    ----------
    store : Store
        Results of a run.

    Returns
    -------
    DataFrame
        Columns: ``experiment, candidate, model, spiking, kind``; ``metric, score, low, high, unit, n_units``;
        ``rival`` (the candidate compared with), ``difference, difference_low, difference_high, p, n_common`` (units
        that both were tested on); ``n_seeds`` and, from three on, ``seed_sd``, the standard deviation of the score
        between seeds, which neither interval nor p-value contains; means over cells
        of parameters, bytes, operations and energy (J) per sample, spike rate (spikes per neuron and step), training
        and inference time (s), memory; ``n_ok, n_failed, n_missing, n_stale`` cells; ``note``. NaN where undefined.
    """
    lines: list[dict[str, Any]] = []
    for experiment in store.experiments():
        name, task = experiment["name"], experiment["task"]
        rows = store.rows(experiment=name)
        by_candidate: dict[str, CandidateCells] = {}
        for candidate in [entry["name"] for entry in experiment["definition"]["candidates"]]:
            own = [row for row in rows if row["candidate"] == candidate]
            finished = [row for row in own if row["status"] == "ok"]
            by_candidate[candidate] = CandidateCells(
                own,
                [as_predictions(store.predictions(row["key"]), row["seed"], experiment) for row in finished],
                task,
                store.counts(name, candidate),
            )
        models = {entry["name"]: entry["model"] for entry in experiment["definition"]["candidates"]}
        lines += summarise_experiment(name, experiment["scorer"], experiment["unit"], by_candidate, models)
    return as_frame(lines)


def as_frame(lines: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Lines as a table with the columns of a summary, numbers as floats with NaN for what is undefined."""
    frame = pd.DataFrame(list(lines), columns=list(COLUMNS))
    numeric = ["score", "low", "high", "difference", "difference_low", "difference_high", "p", "seed_sd", *AVERAGED]
    return frame.astype(dict.fromkeys(numeric, float))


def summarise_experiment(
    name: str, metric: str, unit: str, by_candidate: Mapping[str, CandidateCells], models: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Lines of one experiment's candidates, in their order."""
    from spikeneuro.registry import entry

    estimates = {
        candidate: summarise(cells.predictions, metric, cells.task)
        for candidate, cells in by_candidate.items()
        if cells.predictions
    }
    rival = _rival(metric, estimates, by_candidate, lambda candidate: entry(models[candidate]).spiking)
    lines = []
    for candidate, cells in by_candidate.items():
        row = entry(models[candidate])
        found = None
        if rival is not None and candidate != rival and candidate in estimates:
            found = compare(cells.predictions, by_candidate[rival].predictions, metric, cells.task)
        lines.append({
            "experiment": name,
            "candidate": candidate,
            "model": row.name,
            "spiking": row.spiking,
            "kind": row.kind,
            "metric": metric,
            "unit": unit,
            **_score(estimates.get(candidate)),
            **_difference(rival, found),
            **_seeds(cells, metric),
            **_means(cells.rows),
            **{f"n_{state}": cells.counts[state] for state in ("ok", "failed", "missing", "stale")},
            "note": _note(estimates.get(candidate), found, cells),
        })  # fmt: skip
    return lines


def adjusted(p_values: pd.Series) -> pd.Series:
    """P-values of one experiment after Holm's correction for their number."""
    given = p_values.dropna()
    return pd.Series(holm(given.tolist()) if len(given) else [], index=given.index, dtype=float).reindex(p_values.index)


def _rival(
    metric: str,
    estimates: Mapping[str, Estimate],
    by_candidate: Mapping[str, CandidateCells],
    spiking: Callable[[str], bool],
) -> str | None:
    """Best non-spiking candidate, among the complete ones if there are any."""
    scored = {name: e.value for name, e in estimates.items() if not spiking(name) and e.value is not None}
    complete = {name: value for name, value in scored.items() if by_candidate[name].complete}
    chosen = complete or scored
    if not chosen:
        return None
    better = max if METRICS[metric].greater_is_better else min
    return better(chosen, key=lambda name: chosen[name])


def _score(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"score": None, "low": None, "high": None, "n_units": 0}
    return {"score": estimate.value, "low": estimate.low, "high": estimate.high, "n_units": estimate.n_units}


def _difference(rival: str | None, found: Comparison | None) -> dict[str, Any]:
    """Comparison with the rival; the rival itself has none."""
    if found is None:
        return {
            "rival": rival,
            **dict.fromkeys(("difference", "difference_low", "difference_high", "p")),
            "n_common": 0,
        }
    return {
        "rival": rival,
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "p": found.p_value,
        "n_common": found.n_units,
    }


def _seeds(cells: CandidateCells, metric: str) -> dict[str, Any]:
    """Number of seeds and, from three on, the standard deviation of the score between them."""
    by_seed: dict[Any, list[Predictions]] = {}
    for one in cells.predictions:
        by_seed.setdefault(one.run, []).append(one)
    if len(by_seed) < LEAST_SEEDS:
        return {"n_seeds": len(by_seed), "seed_sd": None}
    scores = [summarise(own, metric, cells.task, n_resamples=1).value for own in by_seed.values()]
    defined = [score for score in scores if score is not None]
    return {"n_seeds": len(by_seed), "seed_sd": float(np.std(defined, ddof=1)) if len(defined) == len(scores) else None}


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Means over finished cells; None where no cell has a value."""
    means: dict[str, float | None] = {}
    for column in AVERAGED:
        values = [row[column] for row in rows if row["status"] == "ok" and row[column] is not None]
        means[column] = float(np.mean(values)) if values else None
    return means


def _note(estimate: Estimate | None, found: Comparison | None, cells: CandidateCells) -> str:
    """What is special about the score, how it was compared, and what is missing; each part once."""
    parts = [] if estimate is None else estimate.note.split("; ")
    if found is not None:
        if found.p_value is not None:
            parts.append(f"compared over {found.n_units} unit(s) by {found.method}")
        parts += found.note.split("; ")
    counts = cells.counts
    if counts["ok"] < counts["planned"]:
        parts.append(f"incomplete: {counts['ok']} of {counts['planned']} cells")
    return "; ".join(dict.fromkeys(filter(None, parts)))
