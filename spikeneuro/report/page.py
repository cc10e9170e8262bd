"""The page: everything the template shows, read from a store and put into words."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from spikeneuro.bench.store import Store
from spikeneuro.bench.summary import summary
from spikeneuro.evaluation import METRICS, top_label_curve
from spikeneuro.report import plots
from spikeneuro.report.style import KIND_LABELS, kind_of, to_svg

_BINS = 10


def experiment_context(store: Store, experiment: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """All the template needs to show one experiment."""
    rows = store.rows(experiment=experiment["name"])
    done = [row for row in rows if row["status"] == "ok"]
    kinds = {row["candidate"]: kind_of(bool(row["spiking"]), row["kind"]) for row in rows}
    context: dict[str, Any] = {
        "name": experiment["name"],
        "anchor": "experiment-" + experiment["name"],
        "simulated": experiment["simulated"],
        "note": experiment["note"],
        "description": experiment["description"],
        "facts": _facts(experiment),
        "scorer": experiment["scorer"],
        "unit": experiment["unit"],
        "fingerprint": experiment["data_fingerprint"],
        "folds": _folds(done),
        "failures": [_failure(row) for row in rows if row["status"] == "failed"],
        "remarks": _remarks(done),
        "reference": _reference(experiment, table),
        "rival": _rival(table),
        "verdict": _verdict(experiment, table),
        "table": _score_table(experiment, table),
        "scores_svg": to_svg(
            plots.scores(table, experiment["scorer"], experiment["unit"], _chance(experiment)),
            f"{experiment['scorer']} of each candidate with intervals",
        ),
        "calibration_bins": _BINS,
    }
    context |= _energy(experiment, table, done)
    context |= _predictions(store, experiment, done, kinds)
    context |= _training(store, done, kinds)
    return context


def _facts(experiment: Mapping[str, Any]) -> str:
    shape = experiment["shape"]
    size = (
        " x ".join("varying" if n is None else str(n) for n in shape) if isinstance(shape, list) else json.dumps(shape)
    )
    parts = [f"{experiment['n_samples']} samples of {size} ({experiment['modality']})"]
    if experiment["sfreq"]:
        parts.append(f"sampled at {experiment['sfreq']:g} Hz")
    if experiment["classes"]:
        parts.append("classes: " + ", ".join(f"{name} {count}" for name, count in experiment["classes"].items()))
    split = experiment["definition"]["split"]
    by = split["params"].get("by")
    inside = f" within each {experiment['definition']['within']}" if experiment["definition"].get("within") else ""
    parts.append(f"split: {split['method']}{f' by {by}' if by else ''}{inside}, {experiment['n_folds']} folds")
    parts.append(f"unit of independence: {experiment['unit']} ({experiment['n_units']})")
    return "; ".join(parts) + "."


def _chance(experiment: Mapping[str, Any]) -> float | None:
    """Score of guessing: the largest class for accuracy, one over the classes for balanced accuracy."""
    classes = experiment["classes"]
    if not classes:
        return None
    counts = list(classes.values())
    return {
        "accuracy": max(counts) / sum(counts),
        "balanced_accuracy": 1 / len(counts),
        "roc_auc": 0.5,
        "cohen_kappa": 0.0,
    }.get(experiment["scorer"])


def _order(experiment: Mapping[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    ascending = not METRICS[experiment["scorer"]].greater_is_better
    return table.sort_values("score", ascending=ascending, na_position="last")


def _rival(table: pd.DataFrame) -> str | None:
    names = table["rival"].dropna().unique()
    return str(names[0]) if len(names) else None


def _verdict(experiment: Mapping[str, Any], table: pd.DataFrame) -> str:
    """The comparison in a sentence that a reader who did not run it can use."""
    spiking = _order(experiment, table[table["spiking"].astype(bool)].dropna(subset=["score"]))
    rival = _rival(table)
    if spiking.empty or rival is None:
        return "There is no pair of a spiking and a non-spiking candidate to compare."
    best = spiking.iloc[0]
    other = table[table["candidate"] == rival].iloc[0]
    text = (
        f"Best spiking candidate: {best['candidate']} with {experiment['scorer']} {best['score']:.3f}; "
        f"best non-spiking candidate: {rival} with {other['score']:.3f}; difference {best['difference']:+.3f}"
    )
    if pd.isna(best["p"]):
        return text + " (too few units for a test)."
    sure = "significant at the 5 % level" if best["p"] < 0.05 else "not significant at the 5 % level"
    return (
        text + f" (paired permutation test over {best['n_units']} {experiment['unit']}s: p = {best['p']:.3f}, {sure})."
    )


def _reference(experiment: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any] | None:
    known = experiment["reference"]
    if not known:
        return None
    found = table.loc[table["candidate"] == known["candidate"], "score"]
    if found.empty or pd.isna(found.iloc[0]):
        return {"agrees": False, "text": f"Known figure for {known['candidate']}: not computed yet."}
    score = float(found.iloc[0])
    agrees = abs(score - known["score"]) <= known["tolerance"]
    return {
        "agrees": agrees,
        "text": f"Check of the harness: {known['candidate']} scores {score:.3f}; known figure {known['score']:.3f} "
        f"({known['source']}): {'agrees' if agrees else 'does NOT agree'} within {known['tolerance']:g}.",
    }


def _score_table(experiment: Mapping[str, Any], table: pd.DataFrame) -> list[dict[str, Any]]:
    ordered = _order(experiment, table)
    result = []
    for position, row in enumerate(ordered.to_dict("records")):
        kind = kind_of(bool(row["spiking"]), row["kind"])
        is_rival = row["candidate"] == row["rival"]
        result.append({
            "candidate": row["candidate"],
            "best": position == 0,
            "kind": KIND_LABELS[kind],
            "tag": kind,
            "score": number(row["score"], ".3f"),
            "interval": f"{number(row['low'], '.3f')} to {number(row['high'], '.3f')}",
            "difference": "-" if is_rival else number(row["difference"], "+.3f"),
            "p": "-" if is_rival else number(row["p"], ".3f"),
            "parameters": number(row["parameters"], ",.0f"),
            "rate": number(row["spike_rate"], ".3f"),
            "train": number(row["train_seconds"], ".1f"),
            "cells": f"{row['n_ok']}" + (f" ({row['n_failed']} failed)" if row["n_failed"] else ""),
        })  # fmt: skip
    return result


def number(value: Any, form: str) -> str:
    """Value in this format, or a dash where there is none."""
    return "-" if value is None or pd.isna(value) else format(value, form)


def _energy(experiment: Mapping[str, Any], table: pd.DataFrame, done: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counted = table.dropna(subset=["energy_j", "score"]).sort_values("energy_j")
    if counted.empty:
        return {"energy_svg": None}
    lines = []
    for row in counted.to_dict("records"):
        of = [cell for cell in done if cell["candidate"] == row["candidate"]]
        other = np.mean([sum((cell["other_ops"] or {}).values()) for cell in of])
        lines.append({
            "candidate": row["candidate"],
            "macs": number(row["macs"], ",.0f"),
            "acs": number(row["acs"], ",.0f"),
            "dense": f"{number(row['dense_macs'], ',.0f')} + {number(row['dense_acs'], ',.0f')}",
            "other": number(other, ",.0f"),
            "energy": number(row["energy_j"] * 1e9, ",.1f"),
            "dense_energy": number(row["dense_energy_j"] * 1e9, ",.1f"),
            "time": number(1e3 * np.mean([cell["inference_seconds_per_sample"] for cell in of]), ".3f"),
        })  # fmt: skip
    svg = to_svg(plots.accuracy_energy(counted, experiment["scorer"]), "score against modelled energy")
    return {
        "energy_svg": svg,
        "energy_table": lines,
        "energy_verdict": _energy_verdict(experiment, counted),
        "ledgers": _ledgers(done),
    }


def _energy_verdict(experiment: Mapping[str, Any], counted: pd.DataFrame) -> str:
    spiking, rest = counted[counted["spiking"].astype(bool)], counted[~counted["spiking"].astype(bool)]
    if spiking.empty or rest.empty:
        return ""
    best, other = _order(experiment, spiking).iloc[0], _order(experiment, rest).iloc[0]
    ratio = best["energy_j"] / other["energy_j"]
    relation = f"{1 / ratio:.1f} times less" if ratio < 1 else f"{ratio:.1f} times as much"
    return (
        f"The best spiking network ({best['candidate']}) needs {relation} modelled arithmetic energy "
        f"{'than' if ratio < 1 else 'as'} the best non-spiking network ({other['candidate']}), "
        "when both skip zero inputs."
    )


def _ledgers(done: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    result = []
    for candidate in dict.fromkeys(row["candidate"] for row in done):
        ledger = next((row["ledger"] for row in done if row["candidate"] == candidate and row["ledger"]), None)
        if ledger:
            columns = list(ledger[0])
            lines = [[_cell(line.get(column)) for column in columns] for line in ledger]
            result.append({"candidate": candidate, "columns": columns, "rows": lines})
    return result


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e3 else f"{value:,.0f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _predictions(
    store: Store, experiment: Mapping[str, Any], done: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]
) -> dict[str, Any]:
    """Confusion matrices and reliability curves from the predictions of all cells."""
    if experiment["task"] == "regression":
        return {"confusions": [], "calibration_svg": None}
    labels = experiment["labels"]
    confusions, curves = [], {}
    for candidate, cells in _by_candidate(done).items():
        counts = np.zeros((len(labels), len(labels)))
        probability, truth = [], []
        for cell in cells:
            arrays = store.predictions(cell["key"])
            if "confusion" in arrays:
                counts += arrays["confusion"].sum(axis=0)
            elif arrays:
                np.add.at(counts, (arrays["y_true"], arrays["prediction"]), 1)
            if "probability" in arrays:
                probability.append(arrays["probability"])
                truth.append(arrays["y_true"])
        if counts.any():
            confusions.append(to_svg(plots.confusion(counts, labels, candidate), f"confusion matrix of {candidate}"))
        if probability:
            curve = top_label_curve(np.concatenate(truth), np.concatenate(probability), n_bins=_BINS)
            curves[candidate] = (curve.confidence, curve.frequency, curve.error)
    svg = to_svg(plots.calibration(curves, kinds), "reliability curves") if curves else None
    return {"confusions": confusions, "calibration_svg": svg}


def _by_candidate(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["candidate"], []).append(row)
    return grouped


def _training(store: Store, done: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Learning curves, firing by layer and spike rasters."""
    grouped = _by_candidate(done)
    histories = {name: [cell["history"] for cell in cells if cell["history"]] for name, cells in grouped.items()}
    histories = {name: found for name, found in histories.items() if found}
    health = {name: _mean_firing(cells) for name, cells in grouped.items()}
    health = {name: layers for name, layers in health.items() if layers}
    rasters = []
    for row in done:
        arrays = store.raster(row["key"])
        if arrays:
            dt = float(arrays.pop("__dt__"))
            title = f"Spikes of {row['candidate']} in one test sample"
            rasters.append(to_svg(plots.raster(arrays, dt, title), title))
    return {
        "curves_svg": to_svg(plots.learning_curves(histories, kinds), "loss per epoch") if histories else None,
        "firing_svg": to_svg(plots.firing(health), "firing of each spiking layer") if health else None,
        "rasters": rasters,
    }


def _mean_firing(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    found = [cell["health"]["firing"] for cell in cells if cell["health"] and cell["health"].get("firing")]
    if not found:
        return {}
    return {
        layer: {key: float(np.mean([one[layer][key] for one in found])) for key in ("rate", "dead", "saturated")}
        for layer in found[0]
    }


def _folds(done: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One line per fold, from the first finished cell of each: networks also have a validation part."""
    lines: dict[int, dict[str, str]] = {}
    for row in sorted(done, key=lambda row: (row["fold"], -(row["n_validation"] or 0))):
        lines.setdefault(row["fold"], {
            "name": row["fold_name"],
            "test": _named(row["test_groups"]),
            "train": _named(row["train_groups"])
            + (f"; validation: {_named(row['validation_groups'])}" if row["validation_groups"] else ""),
            "sizes": f"{row['n_train']} / {row['n_validation'] or 0} / {row['n_test']}",
        })  # fmt: skip
    return list(lines.values())


def _named(groups: Sequence[Any] | None, most: int = 12) -> str:
    if not groups:
        return "-"
    names = [str(group) for group in groups[:most]]
    return ", ".join(names) + (f" and {len(groups) - most} more" if len(groups) > most else "")


def _failure(row: Mapping[str, Any]) -> dict[str, str]:
    error = row["error"] or ""
    last = error.strip().splitlines()[-1] if error.strip() else "no traceback"
    return {"label": f"{row['candidate']}, fold {row['fold']}, seed {row['seed']}", "last": last, "error": error}


def _remarks(done: Sequence[Mapping[str, Any]]) -> list[str]:
    """Notes of the cells, each once, with the candidates they belong to."""
    found: dict[str, set[str]] = {}
    for row in done:
        for topic, remark in (row["notes"] or {}).items():
            for line in remark if isinstance(remark, list) else [remark]:
                found.setdefault(f"{topic}: {line}", set()).add(row["candidate"])
    return [f"{', '.join(sorted(names))}: {text}" for text, names in found.items()]


def page_context(store: Store) -> dict[str, Any]:
    """All the template needs."""
    runs = store.runs()
    table = summary(store)
    experiments = [
        experiment_context(store, experiment, table[table["experiment"] == experiment["name"]])
        for experiment in store.experiments()
    ]
    return {
        "run": runs[-1],
        "runs": runs,
        "counts": store.counts(),
        "experiments": experiments,
        "versions": sorted((runs[-1]["versions"] or {}).items()),
        "store_name": store.path.name,
    }
