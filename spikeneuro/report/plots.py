"""Figures made from results: each function takes plain values and returns a matplotlib figure.

Figures are made without pyplot, so that nothing global is touched and nothing needs closing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from spikeneuro.report.style import KIND_LABELS, KINDS, figure_style, kind_of


def _legend(axes: Axes, kinds: Sequence[str], **options: Any) -> None:
    handles = [
        Line2D([], [], color=KINDS[kind][0], marker=KINDS[kind][1], linestyle="", label=KIND_LABELS[kind])
        for kind in KINDS
        if kind in kinds
    ]
    axes.legend(handles=handles, **options)


def scores(table: pd.DataFrame, metric: str, unit: str, chance: float | None = None) -> Figure:
    """Scores with their intervals, one line per candidate, best on top.

    Parameters
    ----------
    table : DataFrame
        Rows of the summary: ``candidate, spiking, kind, score, low, high``.
    metric : str
        Name of the metric, for the axis.
    unit : str
        Unit over which the intervals are made, for the axis.
    chance : float, optional
        Score of guessing, drawn as a line.
    """
    table = table.dropna(subset=["score"]).sort_values("score")
    with figure_style():
        figure = Figure(figsize=(7.2, 0.9 + 0.36 * max(len(table), 1)), layout="constrained")
        axes = figure.add_subplot()
        kinds = [kind_of(*pair) for pair in zip(table["spiking"], table["kind"], strict=True)]
        for y, (row, kind) in enumerate(zip(table.to_dict("records"), kinds, strict=True)):
            color, marker = KINDS[kind]
            if np.isfinite([row["low"], row["high"]]).all():
                axes.plot(
                    [row["low"], row["high"]], [y, y], color=color, linewidth=2.2, alpha=0.55, solid_capstyle="round"
                )
            axes.plot(row["score"], y, marker=marker, color=color, markersize=7)
            axes.annotate(
                f"{row['score']:.3f}",
                (row["score"], y),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color="#333333",
            )
        axes.set_yticks(range(len(table)), table["candidate"])
        axes.set_ylim(-0.6, len(table) - 0.2)
        axes.set_xlabel(f"{metric} (mean over {unit}s, 95 % interval)")
        if chance is not None:
            axes.axvline(chance, color="#999999", linestyle=":", linewidth=1.2)
            axes.annotate("chance", (chance, len(table) - 0.25), fontsize=8, color="#777777", ha="center", va="top")
        _legend(axes, kinds, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8.5)
    return figure


def accuracy_energy(table: pd.DataFrame, metric: str) -> Figure:
    """Score against modelled energy per sample; a line joins effective and dense energy of each candidate."""
    table = table.dropna(subset=["score", "energy_j"])
    with figure_style():
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.add_subplot()
        kinds = []
        for row in table.to_dict("records"):
            kind = kind_of(row["spiking"], row["kind"])
            kinds.append(kind)
            color, marker = KINDS[kind]
            effective, dense = row["energy_j"] * 1e9, row["dense_energy_j"] * 1e9
            axes.plot([effective, dense], [row["score"]] * 2, color=color, alpha=0.35, linewidth=1.5)
            axes.plot(effective, row["score"], marker=marker, color=color, markersize=8)
            axes.plot(dense, row["score"], marker="|", color=color, markersize=8)
            axes.annotate(
                row["candidate"], (effective, row["score"]), xytext=(5, 6), textcoords="offset points", fontsize=8.5
            )
        axes.set_xscale("log")
        axes.margins(x=0.15, y=0.15)
        axes.set_xlabel(
            "modelled arithmetic energy per sample (nJ, 45 nm, 32-bit float)\n"
            "marker: zero inputs skipped; tick: every input counted"
        )
        axes.set_ylabel(metric)
        _legend(axes, kinds, loc="best", fontsize=8.5)
    return figure


def confusion(counts: NDArray[Any], labels: Sequence[str], title: str) -> Figure:
    """Confusion matrix: rows are the truth, colours the share of each row, numbers the counts."""
    counts = np.asarray(counts, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.7 + 0.46 * len(labels)
    with figure_style():
        figure = Figure(figsize=(size + 0.8, size), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(share):
            axes.text(j, i, f"{counts[i, j]:g}", ha="center", va="center", fontsize=8,
                      color="white" if value > 0.55 else "#222222")  # fmt: skip
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=8)
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(title)
    return figure


def calibration(curves: Mapping[str, tuple[NDArray[Any], NDArray[Any], float]], kinds: Mapping[str, str]) -> Figure:
    """Reliability: how often the predicted class was right against how probable it was said to be.

    Parameters
    ----------
    curves : mapping of candidate to (confidence, accuracy, expected calibration error)
    kinds : mapping of candidate to key of `KINDS`
    """
    with figure_style():
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1.2)
        styles = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
        seen: dict[str, int] = {}
        for name, (confidence, accuracy, error) in curves.items():
            kind = kinds[name]
            style = styles[seen.get(kind, 0) % len(styles)]
            seen[kind] = seen.get(kind, 0) + 1
            color, marker = KINDS[kind]
            axes.plot(confidence, accuracy, color=color, marker=marker, markersize=4, linestyle=style,
                      label=f"{name} (error {error:.3f})")  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("mean probability of the predicted class")
        axes.set_ylabel("share of predictions that were right")
        axes.legend(fontsize=8, loc="upper left")
    return figure


def learning_curves(curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], kinds: Mapping[str, str]) -> Figure:
    """Training and validation loss per epoch, mean over cells, one panel per network.

    Parameters
    ----------
    curves : mapping of candidate to histories
        Each history is a list of epochs with ``train_loss`` and perhaps ``valid_loss``.
    """
    columns = min(3, max(len(curves), 1))
    rows = -(-max(len(curves), 1) // columns)
    with figure_style():
        figure = Figure(figsize=(2.6 * columns + 0.6, 2.1 * rows + 0.3), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, (name, histories) in zip(panels.flat, curves.items(), strict=False):
            color = KINDS[kinds[name]][0]
            for key, style, label in (("train_loss", "-", "training"), ("valid_loss", "--", "validation")):
                means = _mean_by_epoch(histories, key)
                if len(means):
                    axes.plot(np.arange(1, len(means) + 1), means, style, color=color, label=label)
            axes.set_title(name)
            axes.set_xlabel("epoch")
            axes.set_ylabel("loss")
            axes.legend(fontsize=7.5)
    return figure


def _mean_by_epoch(histories: Sequence[Sequence[Mapping[str, Any]]], key: str) -> NDArray[np.float64]:
    series = [[epoch[key] for epoch in history] for history in histories if history and key in history[0]]
    if not series:
        return np.empty(0)
    padded = np.full((len(series), max(map(len, series))), np.nan)
    for row, values in zip(padded, series, strict=True):
        row[: len(values)] = values
    return np.nanmean(padded, axis=0)


def raster(layers: Mapping[str, NDArray[Any]], dt: float, title: str, most: int = 60) -> Figure:
    """Spikes of each layer in one sample: time across, neurons up.

    Parameters
    ----------
    layers : mapping of layer name to array (steps, neurons)
    dt : float
        Length of a step of the first layer in seconds; NaN labels the axis in steps. A layer with fewer steps (after
        pooling over time) is stretched to the same duration.
    title : str
        Title.
    most : int
        Most neurons drawn of a layer, taken at equal distances.
    """
    with figure_style():
        heights = [min(layer.shape[1], most) for layer in layers.values()]
        figure = Figure(figsize=(7.2, 0.8 + 0.026 * sum(heights) + 0.45 * len(layers)), layout="constrained")
        panels = figure.subplots(len(layers), 1, sharex=True, squeeze=False, height_ratios=[max(h, 8) for h in heights])
        duration = len(next(iter(layers.values()))) * (dt if np.isfinite(dt) else 1.0)
        for axes, (name, layer) in zip(panels[:, 0], layers.items(), strict=True):
            chosen = np.linspace(0, layer.shape[1] - 1, min(layer.shape[1], most)).round().astype(int)
            step, neuron = np.nonzero(layer[:, chosen])
            axes.scatter(
                (step + 0.5) * duration / len(layer), neuron, s=3, marker="|", color=KINDS["spiking"][0], linewidths=0.8
            )
            axes.set_xlim(0, duration)
            axes.set_ylim(-1, len(chosen))
            axes.set_yticks([])
            axes.grid(visible=False)
            shown = "" if len(chosen) == layer.shape[1] else f", {len(chosen)} drawn"
            axes.set_ylabel(f"{name}\n{layer.shape[1]} neurons{shown}", fontsize=8, rotation=0, ha="right", va="center")
        panels[-1, 0].set_xlabel("time (s)" if np.isfinite(dt) else "step")
        panels[0, 0].set_title(title)
    return figure


def firing(health: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Mean rate, dead and saturated neurons of each spiking layer of each candidate."""
    rows = [(f"{name}\n{layer}", values) for name, layers in health.items() for layer, values in layers.items()]
    panels_of = (
        ("rate", "rate (spikes per step)"),
        ("dead", "dead neurons (share)"),
        ("saturated", "saturated (share)"),
    )
    with figure_style():
        figure = Figure(figsize=(7.2, 0.8 + 0.4 * max(len(rows), 1)), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for axes, (key, label) in zip(panels, panels_of, strict=True):
            values = [row[key] for _, row in rows]
            axes.barh(range(len(rows)), values, color=KINDS["spiking"][0], alpha=0.8)
            axes.set_xlabel(label)
            axes.set_xlim(0, max([*values, 0.05]) * 1.25)
            for y, value in enumerate(values):
                axes.annotate(f"{value:.3f}", (value, y), xytext=(3, 0), textcoords="offset points", va="center",
                              fontsize=7.5)  # fmt: skip
        panels[0].set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
        panels[0].invert_yaxis()
    return figure
