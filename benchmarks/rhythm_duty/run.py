"""Accuracy, spikes and energy of rhythm-snn against the share of time that its neurons are ON.

    spikeneuro run sequential_digits
    python benchmarks/rhythm_duty/run.py runs/sequential_digits [--csv FILE] [--plot FILE] [--md FILE]

Reads the run folder of a suite: the sweep is every finished candidate of one experiment that is a rhythm-snn of cycles;
the pairs are those candidates and their twins without modulation, in every experiment, over the same test images.
"""

import argparse
import csv
import io
import math
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from spikeneuro._files import writable, write_atomic
from spikeneuro.bench import Store
from spikeneuro.bench.scores import as_predictions
from spikeneuro.evaluation import Predictions, compare, summarise
from spikeneuro.models import create
from spikeneuro.nn import RhythmWarning
from spikeneuro.report import plots

PIXELS = 784
MODEL = "rhythm-snn"
Row = dict[str, Any]

_HEAD = """# Rhythms on sequential digits

Written by `benchmarks/rhythm_duty/run.py` from a run of the suite `sequential_digits`; not edited by hand.

*ON*: share of neurons and steps that the rhythm leaves ON. *Spikes*, *accumulates* and *energy* per image, modelled at
45 nm, 32-bit floating point. Intervals over test images take the trained networks as they are.
"""
_PAIRS = "Networks that differ in their rhythm only, over the same test images:"


def share_on(params: Mapping[str, Any]) -> float:
    """Mean share of ON of all neurons over one image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RhythmWarning)
        model = create(MODEL, n_chans=1, n_times=PIXELS, n_outputs=10, sfreq=1.0, **params)
    masks = [layer.rhythm.mask(PIXELS)[:, 0].double() for layer in model.neurons]
    return sum(float(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def sweep(store: Store, experiment: Mapping[str, Any]) -> list[Row]:
    """One row per modulated candidate with a finished cell, the most ON first."""
    rows = []
    for name, params in modulated(experiment).items():
        cells = finished(store, experiment, name)
        if not cells:
            continue
        estimate = summarise(predictions(store, experiment, cells), experiment["scorer"], experiment["task"])
        rows.append({
            "experiment": experiment["name"],
            "candidate": name,
            "share_on": share_on(params),
            "accuracy": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "spikes": float(np.mean([spikes(cell) for cell in cells])),
            "acs": float(np.mean([cell["acs"] for cell in cells])),
            "energy_j": float(np.mean([cell["energy_j"] for cell in cells])),
            "seeds": len(cells),
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["share_on"])


def pairs(store: Store, experiment: Mapping[str, Any]) -> list[Row]:
    """Difference in accuracy of every modulated candidate and every unmodulated one, over the images."""
    cells = {name: finished(store, experiment, name) for name in (*modulated(experiment), *plain(experiment))}
    rows = []
    for first in modulated(experiment):
        for second in plain(experiment):
            if not cells[first] or not cells[second]:
                continue
            found = compare(
                predictions(store, experiment, cells[first]), predictions(store, experiment, cells[second]),
                experiment["scorer"], experiment["task"],
            )  # fmt: skip
            seeds = f"{len(cells[first])} and {len(cells[second])}"
            rows.append({
                "experiment": experiment["name"],
                "modulated": first,
                "unmodulated": second,
                "difference": found.difference,
                "low": found.low,
                "high": found.high,
                "seeds": seeds,
            })  # fmt: skip
    return rows


def modulated(experiment: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Parameters of the candidates whose neurons follow cycles, by name."""
    return {
        entry["name"]: entry["params"]
        for entry in experiment["definition"]["candidates"]
        if entry["model"] == MODEL and entry["params"].get("rhythm", "cycle") == "cycle"
    }


def plain(experiment: Mapping[str, Any]) -> list[str]:
    """Names of the candidates without modulation."""
    return [
        entry["name"]
        for entry in experiment["definition"]["candidates"]
        if entry["model"] == MODEL and entry["params"].get("rhythm") == "none"
    ]


def finished(store: Store, experiment: Mapping[str, Any], candidate: str) -> list[Row]:
    """Finished cells of a candidate."""
    return [row for row in store.rows(experiment["name"], "ok") if row["candidate"] == candidate]


def predictions(store: Store, experiment: Mapping[str, Any], cells: list[Row]) -> list[Predictions]:
    """What the cells predicted."""
    return [as_predictions(store.predictions(cell["key"]), cell["seed"], experiment) for cell in cells]


def spikes(cell: Row) -> float:
    """Spikes of all layers for one image."""
    counts = [layer["spikes"] for layer in cell["ledger"]]
    return sum(count for count in counts if count is not None and not math.isnan(count))


def picture(rows: list[Row], path: Path) -> None:
    """Draw the sweep."""
    intervals = [(row["low"], row["high"]) for row in rows]
    figure = plots.sweep(
        "share of time ON",
        [round(row["share_on"], 3) for row in rows],
        {
            "accuracy": [row["accuracy"] for row in rows],
            "spikes an image": [row["spikes"] for row in rows],
            "modelled energy (µJ an image)": [1e6 * row["energy_j"] for row in rows],
        },
        intervals={"accuracy": intervals} if all(low is not None for low, _ in intervals) else None,
        log=True,
    )
    with writable(path):
        figure.savefig(path, dpi=150)


def page(rows: list[Row], differences: list[Row]) -> str:
    """The sweep and the pairs as Markdown."""
    lines = [_HEAD, "| candidate | ON | accuracy | 95 % interval | spikes | accumulates | energy (µJ) | seeds |",
             "|---|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for row in rows:
        values = f"{row['spikes']:,.0f} | {row['acs']:,.0f} | {1e6 * row['energy_j']:.2f} | {row['seeds']}"
        lines.append(
            f"| {row['candidate']} | {row['share_on']:.3f} | {row['accuracy']:.3f} | {_span(row, '')} | {values} |"
        )
    if len(rows) > 1:
        falling = all(after["spikes"] < before["spikes"] for before, after in pairwise(rows))
        lines += ["", f"Spikes {'fall' if falling else 'do not fall'} with every step down in the share of ON."]
    lines += ["", _PAIRS, "", "| experiment | modulated | unmodulated | difference | 95 % interval | seeds |",
              "|---|---|---|--:|--:|---|"]  # fmt: skip
    lines += [
        f"| {row['experiment']} | {row['modulated']} | {row['unmodulated']} | {row['difference']:+.3f} | "
        f"{_span(row, '+')} | {row['seeds']} |"
        for row in differences
    ]
    return "\n".join([*lines, ""])


def _span(row: Row, sign: str) -> str:
    return "" if row["low"] is None else f"{row['low']:{sign}.3f} to {row['high']:{sign}.3f}"


def main() -> None:
    """Print the sweep and the pairs; write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of the suite")
    parser.add_argument("--experiment", default="permuted-duty", help="experiment that is the sweep")
    parser.add_argument("--csv", type=Path, help="file for the table of the sweep")
    parser.add_argument("--plot", type=Path, help="file for its picture")
    parser.add_argument("--md", type=Path, help="file for the page")
    options = parser.parse_args()
    with Store(options.run) as store:
        experiments = {experiment["name"]: experiment for experiment in store.experiments()}
        if options.experiment not in experiments:
            parser.error(f"the run has no experiment {options.experiment!r}; it has {', '.join(experiments)}.")
        rows = sweep(store, experiments[options.experiment])
        differences = [row for experiment in experiments.values() for row in pairs(store, experiment)]
    if not rows:
        parser.error(f"no candidate of {options.experiment!r} is finished yet.")
    text = page(rows, differences)
    print(text)
    if options.md:
        write_atomic(options.md, text)
    if options.csv:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(options.csv, stream.getvalue())
    if options.plot:
        picture(rows, options.plot)


if __name__ == "__main__":
    main()
