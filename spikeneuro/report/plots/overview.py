"""All suites in one picture: scores of the best candidates, and what the networks cost."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from spikeneuro.report.plots.drawing import canvas, legend_of_kinds
from spikeneuro.report.style import KINDS, figure_style


def overview(table: pd.DataFrame, *, figure: Figure | None = None) -> Figure:
    """Draw the best candidate of each kind by experiment, and the networks' modelled energy beside it.

    Parameters
    ----------
    table : DataFrame
        Rows of `spikeneuro.bench.overview`; experiments whose metric is not a share between 0 and 1 are left out.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        The figure.
    """
    shares = table[table["greater_is_better"].astype(bool)].iloc[::-1]
    rows = shares.to_dict("records")
    with figure_style():
        figure = canvas(figure, 9.6, 1.3 + 0.36 * max(len(rows), 1))
        scores, energy = figure.subplots(1, 2, sharey=True, width_ratios=(1.6, 1))
        for y, row in enumerate(rows):
            values = [row["spiking_score"], row["network_score"]]
            scores.plot(values, [y, y], color="#b9bec6", linewidth=2, zorder=1)
            for kind, key in (
                ("pipeline", "classical_score"),
                ("network", "network_score"),
                ("spiking", "spiking_score"),
            ):
                if pd.notna(row[key]):
                    color, marker = KINDS[kind]
                    scores.plot(row[key], y, marker=marker, color=color, markersize=7, alpha=0.95)
            ratio = row["network_energy_j"] / row["spiking_energy_j"]
            energy.plot([1, ratio], [y, y], color="#b9bec6", linewidth=2, zorder=1)
            energy.plot(ratio, y, marker="o", color=KINDS["spiking"][0], markersize=7)
            # beyond the point, away from the line that comes from one
            outside = 7 if ratio >= 1 else -7
            energy.annotate(f"{ratio:.2g}", (ratio, y), xytext=(outside, 0), textcoords="offset points",
                            va="center", ha="left" if ratio >= 1 else "right", fontsize=8)  # fmt: skip
        scores.set_yticks(np.arange(len(rows)), [f"{row['suite']}\n{row['experiment']}" for row in rows], fontsize=7.5)
        scores.set_ylim(-0.6, len(rows) - 0.4)
        scores.set_xlabel("score of the best candidate (accuracy or balanced accuracy)")
        scores.set_xlim(right=1.0)
        energy.set_xscale("log")
        energy.margins(x=0.25)
        energy.axvline(1, color="#777777", linestyle=":", linewidth=1.2)
        energy.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        energy.set_xlabel(
            "energy of the best other network\nover that of the best spiking one\n(right of 1: spiking is cheaper)"
        )
        legend_of_kinds(scores, KINDS, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8.5)
    return figure
