"""The page: everything the template shows, read from a store and put into words."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from spikeneuro.bench import wording
from spikeneuro.bench.origins import origins, price_lists
from spikeneuro.bench.store import Store
from spikeneuro.bench.summaries import summary
from spikeneuro.evaluation import METRICS
from spikeneuro.report import chance, figures, tables, words
from spikeneuro.report.style import kind_of


def page_context(store: Store) -> dict[str, Any]:
    """All the template needs."""
    runs = store.runs()
    table = summary(store)
    experiments = [
        experiment_context(store, experiment, table[table["experiment"] == experiment["name"]], runs[-1])
        for experiment in store.experiments()
    ]
    return {
        "run": runs[-1],
        "runs": runs,
        "counts": store.counts(),
        "experiments": experiments,
        "prices": tables.prices(),
        "origins": origins(store.rows()),
        "price_lists": price_lists(store.rows()),
        "store_name": store.path.name,
    }


def experiment_context(
    store: Store, experiment: Mapping[str, Any], table: pd.DataFrame, run: Mapping[str, Any]
) -> dict[str, Any]:
    """All the template needs to show one experiment."""
    rows = store.rows(experiment=experiment["name"])
    done = [row for row in rows if row["status"] == "ok"]
    kinds = {row["candidate"]: kind_of(bool(row["spiking"]), row["kind"]) for row in rows}
    order = words.ranked(experiment, table)["candidate"].tolist()
    return {
        "name": experiment["name"],
        "anchor": "experiment-" + experiment["name"],
        "simulated": experiment["simulated"],
        "note": experiment["note"],
        "description": experiment["description"],
        "pooled": words.pooled(table),
        "steps": experiment["task"] == "steps",
        "facts": words.facts(experiment),
        "audit": words.audited(experiment),
        "scorer": words.metric_name(experiment["scorer"]),
        "higher": METRICS[experiment["scorer"]].greater_is_better,
        "unit": experiment["unit"],
        "units": wording.plural(experiment["unit"]),
        "fingerprint": experiment["data_fingerprint"],
        "rival": words.rival(table),
        "verdict": words.verdict(experiment, table),
        "control": _control(store, experiment, done) if run["shuffled"] else None,
        "reference": words.reference(experiment, table),
        "scores_svg": figures.scores(store, experiment, table, done),
        "table": tables.score_table(experiment, table),
        "metrics": tables.metric_table(done, order),
        "sizes": tables.size_table(experiment, table),
        "folds": tables.fold_table(done),
        "cells": tables.cell_table(experiment, rows),
        "candidates": tables.candidate_table(experiment),
        "gradients": tables.gradient_table(done, order),
        "failures": tables.failures(rows),
        "remarks": tables.remarks(done, table),
        "calibration_bins": figures.BINS,
        **_energy(experiment, table, done, order),
        **figures.predictions(store, experiment, done, kinds, order),
        **figures.training(store, experiment, done, kinds, order),
    }


def _control(store: Store, experiment: Mapping[str, Any], done: list[dict[str, Any]]) -> str | None:
    return chance.control(experiment, chance.predictions_by_candidate(store, experiment, done))


def _energy(
    experiment: Mapping[str, Any], table: pd.DataFrame, done: list[dict[str, Any]], order: list[str]
) -> dict[str, Any]:
    counted = table.dropna(subset=["energy_j", "score"]).sort_values("energy_j")
    if counted.empty:
        return {"energy_svg": None, "energy_table": [], "energy_verdict": "", "ledgers": []}
    return {
        "energy_svg": figures.energy(experiment, counted),
        "energy_table": tables.energy_table(counted, done),
        "energy_verdict": words.energy_verdict(experiment, counted),
        "ledgers": tables.ledgers(experiment, done, order),
    }
