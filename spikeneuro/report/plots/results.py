"""Scores with their intervals, and scores against energy."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from spikeneuro.report.plots.drawing import canvas, label_points, legend_of_kinds
from spikeneuro.report.style import KINDS, figure_style, kind_of


def scores(
    table: pd.DataFrame,
    metric: str,
    unit: str,
    *,
    greater_is_better: bool = True,
    guess: tuple[float, str] | None = None,
    units: Mapping[str, Sequence[float]] | None = None,
    pooled: bool = False,
    figure: Figure | None = None,
) -> Figure:
    """Draw scores with their intervals, one line per candidate, best on top.

    Parameters
    ----------
    table : DataFrame
        Rows of the summary: ``candidate, spiking, kind, score, low, high``.
    metric : str
        Name of the metric, for the axis.
    unit : str
        Plural of the unit over which the intervals are made, for the axis.
    greater_is_better : bool
        Direction of the metric.
    guess : (float, str), optional
        Score of guessing, drawn as a line, and what to call it.
    units : mapping of str to sequence of float, optional
        Scores of the single units by candidate, drawn as small dots.
    pooled : bool
        Whether the score is that of all samples together instead of a mean over units.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        The figure.
    """
    table = table.dropna(subset=["score"]).sort_values("score", ascending=greater_is_better)
    with figure_style():
        figure = canvas(figure, 8.6, 1.0 + 0.4 * max(len(table), 1))
        axes = figure.add_subplot()
        kinds = [kind_of(*pair) for pair in zip(table["spiking"], table["kind"], strict=True)]
        for y, (row, kind) in enumerate(zip(table.to_dict("records"), kinds, strict=True)):
            color, marker = KINDS[kind]
            own = (units or {}).get(row["candidate"], ())
            axes.plot(own, np.full(len(own), y - 0.16), "o", color=color, markersize=3.6, alpha=0.45, markeredgewidth=0)
            if np.isfinite([row["low"], row["high"]]).all():
                axes.plot([row["low"], row["high"]], [y, y], color=color, linewidth=2.2, alpha=0.6)
            axes.plot(row["score"], y, marker=marker, color=color, markersize=7)
            axes.annotate(f"{row['score']:.3f}", (row["score"], y), xytext=(0, 5), textcoords="offset points",
                          ha="center", fontsize=8, color="#333333")  # fmt: skip
        axes.set_yticks(range(len(table)), table["candidate"])
        axes.set_ylim(-0.6, len(table) - 0.25)
        what = f"all samples, 95 % interval over {unit}" if pooled else f"mean over {unit}, 95 % interval"
        label = f"{metric} ({what}{'; dots: single ' + unit if units else ''})"
        if guess is not None:
            label = _mark_guess(axes, *guess, label)
        axes.set_xlabel(label)
        legend_of_kinds(axes, kinds, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8.5)
    return figure


def _mark_guess(axes: Axes, value: float, name: str, label: str) -> str:
    """Line at the score of guessing; where that would squeeze the scores together, words in the axis label instead."""
    low, high = axes.get_xlim()
    if high - low < 0.25 * (max(high, value) - min(low, value)):
        return f"{label}\n{name}: {value:.3f}, outside the axis"
    axes.axvline(value, color="#888888", linestyle=":", linewidth=1.3)
    axes.annotate(name, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                  color="#666666", fontsize=8, ha="center", va="bottom")  # fmt: skip
    return label


def accuracy_energy(table: pd.DataFrame, metric: str, *, figure: Figure | None = None) -> Figure:
    """Draw score against modelled energy per sample; a line joins effective and dense energy of each candidate.

    Parameters
    ----------
    table : DataFrame
        Rows of the summary: ``candidate, spiking, kind, score, low, high`` and ``energy_j, dense_energy_j`` in
        joules, zero inputs skipped or counted. Rows without energy are left out.
    metric : str
        Name of the metric, for the axis.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        The figure.
    """
    table = table.dropna(subset=["score", "energy_j"])
    table = table[table["energy_j"] > 0]
    with figure_style():
        figure = canvas(figure, 8.6, 4.3)
        axes = figure.add_subplot()
        kinds, points = [], []
        for row in table.to_dict("records"):
            kind = kind_of(row["spiking"], row["kind"])
            kinds.append(kind)
            color, marker = KINDS[kind]
            effective, dense = row["energy_j"] * 1e9, row["dense_energy_j"] * 1e9
            if np.isfinite([row["low"], row["high"]]).all():
                axes.plot([effective] * 2, [row["low"], row["high"]], color=color, alpha=0.3, linewidth=1.2)
            axes.plot([effective, dense], [row["score"]] * 2, color=color, alpha=0.45, linewidth=1.5)
            axes.plot(effective, row["score"], marker=marker, color=color, markersize=8)
            axes.plot(dense, row["score"], marker="|", color=color, markersize=9)
            points.append((effective, row["score"]))
        _energy_axis(axes, table)
        axes.margins(x=0.12, y=0.1)
        axes.set_xlabel(
            "modelled arithmetic energy per sample (nJ; 45 nm, 32-bit floating point; logarithmic)\n"
            "marker: zero inputs skipped; tick: every input counted; vertical line: 95 % interval of the score"
        )
        axes.set_ylabel(metric)
        legend_of_kinds(axes, kinds, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8.5)
        if points:
            label_points(axes, points, list(table["candidate"]), fontsize=8.5)
    return figure


def _energy_axis(axes: Axes, table: pd.DataFrame) -> None:
    """Logarithmic axis with plain numbers, more of them where the range is short."""
    axes.set_xscale("log")
    energies = np.concatenate([table["energy_j"], table["dense_energy_j"]])
    decades = np.ptp(np.log10(energies[energies > 0])) if (energies > 0).any() else 0.0
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
