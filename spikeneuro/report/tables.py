"""The tables of an experiment, as text ready to be shown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from spikeneuro import registry
from spikeneuro.bench.measure import COST_MODEL
from spikeneuro.bench.summaries import adjusted
from spikeneuro.bench.wording import DASH, limits, number, p_value, significant
from spikeneuro.energy import CostModel, cost_model
from spikeneuro.evaluation import METRICS
from spikeneuro.ops.counts import KINDS, OperationCounts
from spikeneuro.report.style import KIND_LABELS, kind_of
from spikeneuro.report.words import TIMES, named, ranked

Row = Mapping[str, Any]
#: Operations beside products that cost arithmetic; updates, reads and writes are not further operations.
_OTHERS = ("additions", "multiplications", "divisions", "comparisons", "nonlinearities")
_OP_NAMES = {"macs": "multiply-accumulates", "acs": "accumulates", "nonlinearities": "function evaluations"}


def by_candidate(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of each candidate."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["candidate"], []).append(row)
    return grouped


def score_table(experiment: Row, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Scores, intervals, differences and tests, best on top."""
    result = []
    for position, row in enumerate(_records(ranked(experiment, table.assign(holm=adjusted(table["p"]))))):
        result.append({
            **_named(row),
            "best": position == 0 and not pd.isna(row["score"]),
            "score": number(row["score"], ".3f"),
            "interval": limits(row["low"], row["high"], ".3f"),
            "units": number(row["n_units"], ",.0f"),
            "seed_sd": number(row["seed_sd"], ".3f"),
            "difference": number(row["difference"], "+.3f"),
            "difference_interval": limits(row["difference_low"], row["difference_high"], "+.3f"),
            "p": p_value(row["p"]),
            "holm": p_value(row["holm"]),
            "cells": _cells(row),
        })  # fmt: skip
    return result


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _named(row: Row) -> dict[str, str]:
    kind = kind_of(bool(row["spiking"]), row["kind"])
    return {"candidate": row["candidate"], "kind": KIND_LABELS[kind], "tag": kind}


def _cells(row: Row) -> str:
    parts = [f"{row['n_ok']:,.0f} done"]
    parts += [f"{row['n_' + state]:,.0f} {state}" for state in ("failed", "missing") if row["n_" + state]]
    return ", ".join(parts) if len(parts) > 1 else f"{row['n_ok']:,.0f}"


def metric_table(done: Sequence[Row], order: Sequence[str]) -> dict[str, Any]:
    """Every metric of each candidate, as mean and standard deviation over cells."""
    names = [name for name in METRICS if any(name in (row["metrics"] or {}) for row in done)]
    lines = []
    for candidate, cells in _in_order(by_candidate(done), order):
        values = [[(cell["metrics"] or {}).get(name) for cell in cells] for name in names]
        lines.append([candidate, *(_spread([v for v in column if v is not None]) for column in values)])
    return {"columns": [METRICS[name].title for name in names], "rows": lines}


def _spread(values: Sequence[float]) -> str:
    if not values:
        return DASH
    mean = number(np.mean(values), ".3f")
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def _in_order(grouped: Mapping[str, list[Row]], order: Sequence[str]) -> list[tuple[str, list[Row]]]:
    return [(name, grouped[name]) for name in order if name in grouped]


def size_table(experiment: Row, table: pd.DataFrame) -> list[dict[str, str]]:
    """Size, training and inference time, memory, spike rate."""
    return [
        {
            **_named(row),
            "parameters": number(row["parameters"], ",.0f"),
            "kilobytes": number(row["bytes"] / 1e3, ",.1f"),
            "rate": number(row["spike_rate"], ".3f"),
            "train": significant(row["train_seconds"], 2),
            "inference": significant(row["inference_seconds_per_sample"] * 1e3, 2),
            "memory": number(row["peak_memory_bytes"] / 1e6, ",.0f"),
        }
        for row in _records(ranked(experiment, table))
        if row["n_ok"]
    ]


def energy_table(counted: pd.DataFrame, done: Sequence[Row]) -> list[dict[str, str]]:
    """Operations and modelled energy per sample, least energy first."""
    grouped = by_candidate(done)
    lines = []
    for row in _records(counted):
        others = [cell["other_ops"] for cell in grouped[row["candidate"]] if cell["other_ops"]]
        lines.append({
            **_named(row),
            "macs": number(row["macs"], ",.0f"),
            "acs": number(row["acs"], ",.0f"),
            "dense_macs": number(row["dense_macs"], ",.0f"),
            "dense_acs": number(row["dense_acs"], ",.0f"),
            "other": number(np.mean([sum(ops.get(kind, 0) for kind in _OTHERS) for ops in others]), ",.0f"),
            "updates": number(np.mean([ops.get("state_updates", 0) for ops in others]), ",.0f"),
            "energy": significant(row["energy_j"] * 1e9),
            "dense_energy": significant(row["dense_energy_j"] * 1e9),
        })  # fmt: skip
    return lines


def prices() -> dict[str, str]:
    """The cost model in words."""
    model = cost_model(COST_MODEL)
    listed = ", ".join(f"{price:g} pJ for {_OP_NAMES.get(kind, kind)}" for kind, price in model.picojoules.items())
    return {"name": model.name, "source": model.source, "prices": listed, "boundary": model.boundary,
            "assumptions": "; ".join(model.assumptions)}  # fmt: skip


_LEDGER_COLUMNS = {
    "module": "layer", "type": "type", "output_shape": "output shape", "energy": "energy (nJ)",
    "macs": "MACs", "dense_macs": "MACs, all inputs", "acs": "ACs", "dense_acs": "ACs, all inputs",
    "additions": "additions", "multiplications": "multiplications", "divisions": "divisions",
    "comparisons": "comparisons", "nonlinearities": "function evaluations", "state_updates": "neuron updates",
    "spikes": "spikes", "spike_rate": "spikes per neuron and step", "reads": "reads", "writes": "writes",
}  # fmt: skip
_KEPT = ("module", "type", "output_shape", "macs", "acs", "energy")


def ledgers(experiment: Row, done: Sequence[Row], order: Sequence[str]) -> list[dict[str, Any]]:
    """Operations of each layer, from the first finished cell of each candidate."""
    windowed = {c["name"] for c in experiment["definition"]["candidates"] if c.get("windows")}
    model = cost_model(COST_MODEL)
    result = []
    for candidate, cells in _in_order(by_candidate(done), order):
        cell = next((row for row in cells if row["ledger"]), None)
        if cell is None:
            continue
        layers = [{**line, "energy": _layer_energy(line, model)} for line in cell["ledger"]]
        layers = [line for line in layers if any(line.get(kind) for kind in (*KINDS, "dense_macs", "dense_acs"))]
        columns = [key for key in _LEDGER_COLUMNS if key in _KEPT or any(line.get(key) for line in layers)]
        total = ["total", *(_total(key, layers) for key in columns[1:])]
        result.append({
            "candidate": candidate,
            "from": f"{cell['fold_name']}, seed {cell['seed']}",
            "per": "window" if candidate in windowed else "sample",
            "columns": [_LEDGER_COLUMNS[key] for key in columns],
            "rows": [[_ledger_cell(key, line.get(key)) for key in columns] for line in layers],
            "total": total,
        })  # fmt: skip
    return result


def _layer_energy(line: Row, model: CostModel) -> float:
    return 1e9 * model.price(OperationCounts(**{kind: line.get(kind) or 0 for kind in KINDS}))


def _total(key: str, layers: Sequence[Row]) -> str:
    if key in ("type", "output_shape", "spike_rate"):
        return ""
    return _ledger_cell(key, sum(line.get(key) or 0 for line in layers))


def _ledger_cell(key: str, value: Any) -> str:
    if key == "output_shape":
        return TIMES.join(map(str, value)) if value else DASH
    if isinstance(value, str):
        return value
    return significant(value) if key == "energy" else number(value, ".3f" if key == "spike_rate" else ",.0f")


def cell_table(experiment: Row, rows: Sequence[Row]) -> list[list[str]]:
    """Where each cell's row is, and what it came to: candidate, fold, seed, score, sizes, duration, key."""
    return [
        [
            row["candidate"],
            row["fold_name"] or f"fold {row['fold']}",
            str(row["seed"]),
            row["status"] if row["status"] != "ok" else number((row["metrics"] or {}).get(experiment["scorer"]), ".3f"),
            f"{row['n_train'] or 0} / {row['n_validation'] or 0} / {row['n_test'] or 0}",
            significant(row["duration"] if row["duration"] is not None else np.nan, 2),
            row["key"],
        ]
        for row in rows
    ]


def candidate_table(experiment: Row) -> list[list[str]]:
    """What each candidate is: model, parameters, training, where the model comes from."""
    lines = []
    for candidate in experiment["definition"]["candidates"]:
        entry = registry.entry(candidate["model"])
        windows = {"windows": candidate["windows"]} if candidate.get("windows") else {}
        lines.append([
            candidate["name"],
            f"{entry.name}: {entry.summary}",
            _settings({**candidate["params"], **windows}) or "defaults",
            _settings(candidate["training"]) or DASH,
            entry.reference,
        ])  # fmt: skip
    return lines


def _settings(values: Row) -> str:
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items())


def fold_table(done: Sequence[Row]) -> list[dict[str, str]]:
    """Who was trained, validated and tested on, from the first finished network (else pipeline) of each fold."""
    lines: dict[int, dict[str, str]] = {}
    for row in sorted(done, key=lambda row: (row["fold"], -(row["n_validation"] or 0))):
        lines.setdefault(row["fold"], {
            "name": row["fold_name"] or str(row["fold"]),
            "test": named(row["test_groups"], 40),
            "train": named(row["train_groups"], 40),
            "validation": named(row["validation_groups"], 40),
            "sizes": f"{row['n_train']:,} / {row['n_validation'] or 0:,} / {row['n_test']:,}",
        })  # fmt: skip
    return list(lines.values())


def gradient_table(done: Sequence[Row], order: Sequence[str]) -> list[list[str]]:
    """Gradient norm of each layer in the last epoch, mean over cells."""
    lines = []
    for candidate, cells in _in_order(by_candidate(done), order):
        found = [cell["health"]["gradient_norm"] for cell in cells if (cell["health"] or {}).get("gradient_norm")]
        for layer in found[0] if found else ():
            values = [norms[layer] for norms in found if norms.get(layer) is not None]
            lines.append([candidate, layer, f"{np.mean(values):.2e}" if values else DASH])
    return lines


def failures(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Cells that failed, with the last line of the traceback and all of it."""
    result = []
    for row in rows:
        if row["status"] == "failed":
            error = (row["error"] or "").strip()
            last = error.splitlines()[-1] if error else "no traceback"
            label = f"{row['candidate']}, {row['fold_name'] or row['fold']}, seed {row['seed']}"
            result.append({"label": label, "last": last, "error": error})
    return result


def remarks(done: Sequence[Row], table: pd.DataFrame) -> list[str]:
    """Notes of the summary and of the cells, each once, with the candidates and topics they belong to."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in done:
        for topic, line in _flat(row["notes"] or {}):
            names, topics = found.setdefault(line, ({}, {}))
            names[row["candidate"]] = topics[topic] = None
    noted = table[table["note"].fillna("") != ""].groupby("note", sort=False)["candidate"]
    return [
        *(f"{', '.join(names)}: {note}." for note, names in noted),
        *(f"{', '.join(names)} ({', '.join(topics)}): {line}." for line, (names, topics) in found.items()),
    ]


def _flat(notes: Row) -> list[tuple[str, str]]:
    pairs = []
    for topic, remark in notes.items():
        if isinstance(remark, Mapping):
            pairs += [(str(key), str(line)) for key, line in remark.items()]
        else:
            pairs += [(topic, str(line)) for line in (remark if isinstance(remark, list) else [remark])]
    return [(topic, line.rstrip(".")) for topic, line in pairs]
