"""The figures of an experiment, made from the rows and arrays of a store."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro.bench.store import Store
from spikeneuro.bench.wording import plural
from spikeneuro.evaluation import METRICS, Predictions, top_label_curve, unit_scores_over
from spikeneuro.report import plots
from spikeneuro.report.chance import guess, predictions_by_candidate
from spikeneuro.report.style import to_svg
from spikeneuro.report.tables import Row, by_candidate
from spikeneuro.report.words import metric_name, pooled

#: Bins of the reliability curves, of equal width.
BINS = 10
#: Single units are drawn where there are at most so many.
_MOST_UNITS = 60


def scores(store: Store, experiment: Row, table: pd.DataFrame, done: Sequence[Row]) -> str | None:
    """Scores with intervals and, where units are few enough to tell apart, the units."""
    if table["score"].isna().all():
        return None
    found = predictions_by_candidate(store, experiment, done)
    figure = plots.scores(
        table,
        metric_name(experiment["scorer"]),
        plural(experiment["unit"]),
        greater_is_better=METRICS[experiment["scorer"]].greater_is_better,
        guess=guess(experiment, found),
        units=None if pooled(table) else _units(experiment, found),
        pooled=pooled(table),
    )
    return to_svg(figure, f"{metric_name(experiment['scorer'])} of each candidate with 95 % intervals")


def _units(experiment: Row, found: Mapping[str, Sequence[Predictions]]) -> dict[str, list[float]] | None:
    """Scores of the single units; None where they are too many, only right or wrong, or not defined."""
    if not 2 <= experiment["n_units"] <= _MOST_UNITS:
        return None
    result = {}
    for candidate, parts in found.items():
        units = unit_scores_over(parts, experiment["scorer"], experiment["task"])
        if units.undefined or len(set(units.scores.tolist())) <= 2:
            return None
        result[candidate] = units.scores.tolist()
    return result or None


def energy(experiment: Row, counted: pd.DataFrame) -> str:
    """Score against energy."""
    return to_svg(
        plots.accuracy_energy(counted, metric_name(experiment["scorer"])), "score against modelled energy per sample"
    )


def predictions(
    store: Store, experiment: Row, done: Sequence[Row], kinds: Mapping[str, str], order: Sequence[str]
) -> dict[str, str | None]:
    """Confusion matrices and reliability curves, or predicted against true values, from all cells' predictions."""
    grouped = by_candidate(done)
    arrays = {name: [store.predictions(row["key"]) for row in grouped[name]] for name in order if name in grouped}
    if experiment["task"] == "regression":
        pairs = {name: (_joined(found, "y_true"), _joined(found, "prediction")) for name, found in arrays.items()}
        svg = to_svg(plots.predicted_against_true(pairs, kinds), "predicted against true values") if pairs else None
        return {"confusion_svg": None, "calibration_svg": None, "regression_svg": svg}
    labels = experiment["labels"]
    matrices = {name: np.sum([_counts(one, len(labels)) for one in found], axis=0) for name, found in arrays.items()}
    curves = {
        name: top_label_curve(_joined(found, "y_true"), _joined(found, "probability"), n_bins=BINS)
        for name, found in arrays.items()
        if all("probability" in one for one in found)
    }
    confusion = to_svg(plots.confusions(matrices, labels), "confusion matrix of each candidate") if matrices else None
    calibration = to_svg(plots.calibration(curves, kinds), "reliability of stated probabilities") if curves else None
    return {"confusion_svg": confusion, "calibration_svg": calibration, "regression_svg": None}


def _joined(found: Sequence[Mapping[str, NDArray[Any]]], name: str) -> NDArray[Any]:
    return np.concatenate([arrays[name] for arrays in found])


def _counts(arrays: Mapping[str, NDArray[Any]], k: int) -> NDArray[np.int64]:
    """Confusion counts of one cell, truth along the rows."""
    if "confusion" in arrays:
        return arrays["confusion"].sum(axis=0)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (arrays["y_true"], arrays["prediction"]), 1)
    return counts


def training(
    store: Store, experiment: Row, done: Sequence[Row], kinds: Mapping[str, str], order: Sequence[str]
) -> dict[str, Any]:
    """Learning curves, firing by layer and spike rasters."""
    grouped = by_candidate(done)
    cells = {name: grouped[name] for name in order if name in grouped}
    histories = {name: [row["history"] for row in rows if row["history"]] for name, rows in cells.items()}
    histories = {name: found for name, found in histories.items() if found}
    health = {name: _mean_firing(rows) for name, rows in cells.items()}
    health = {name: layers for name, layers in health.items() if layers}
    rasters = [svg for rows in cells.values() for row in rows if (svg := _raster(store, experiment, row))]
    return {
        "curves_svg": to_svg(plots.learning_curves(histories, kinds), "loss per epoch") if histories else None,
        "firing_svg": to_svg(plots.firing(health), "firing of each spiking layer") if health else None,
        "rasters": rasters,
    }


def _raster(store: Store, experiment: Row, row: Row) -> str | None:
    """Raster of a cell's first test sample, titled with whose it is and what was true."""
    layers = store.raster(row["key"])
    if not layers:
        return None
    dt = float(layers.pop("__dt__"))
    first = store.predictions(row["key"])
    unit = "" if experiment["unit"] == "sample" else f" ({experiment['unit']} {first['unit'][0]})"
    title = f"{row['candidate']}: sample {int(first['index'][0])}{unit}"
    if experiment["task"] == "classification":
        names = experiment["labels"]
        title += f", true {names[int(first['y_true'][0])]}, predicted {names[int(first['prediction'][0])]}"
    return to_svg(plots.raster(layers, dt, title), f"spikes of {title}")


def _mean_firing(cells: Sequence[Row]) -> dict[str, dict[str, float]]:
    found = [cell["health"]["firing"] for cell in cells if (cell["health"] or {}).get("firing")]
    if not found:
        return {}
    return {
        layer: {key: float(np.mean([one[layer][key] for one in found])) for key in ("rate", "dead", "saturated")}
        for layer in found[0]
    }
