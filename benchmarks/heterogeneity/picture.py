"""The picture of a run: capacities of both networks, and their difference, against the scale of recurrent weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from table import Summary, summaries
from twins import READOUTS, WIRINGS, Row

from spikeneuro._files import writable
from spikeneuro.report.style import figure_style

#: Okabe and Ito (2008): told apart by colour-blind readers.
_OWN, _TWIN = "#d55e00", "#0072b2"
_SHOWN = READOUTS[:2]


def draw(rows: Sequence[Row], path: Path) -> None:
    """One row of panels for each wiring: capacities read from spikes and membranes, and their differences."""
    found = [one for one in summaries(rows) if one.row.part == "sweep" and one.row.way == "input"]
    with figure_style():
        figure = Figure(figsize=(10, 5.6), layout="constrained")
        axes = figure.subplots(len(WIRINGS), 2 * len(_SHOWN), squeeze=False)
        for line, wiring in zip(axes, WIRINGS, strict=True):
            for number, readout in enumerate(_SHOWN):
                chosen = [one for one in found if one.row.wiring == wiring and one.row.readout == readout]
                _capacities(line[2 * number], chosen, f"{readout}; {wiring}")
                _difference(line[2 * number + 1], chosen)
        for axis in axes[-1]:
            axis.set_xlabel("scale of recurrent weights")
        axes[0, 0].legend(["hrsnn", "homogeneous twin"], fontsize="small")
        with writable(path):
            figure.savefig(path, dpi=120)


def _capacities(axis: Axes, chosen: Sequence[Summary], title: str) -> None:
    scale = [one.row.recurrent_scale for one in chosen]
    axis.plot(scale, [one.own for one in chosen], "o-", color=_OWN)
    axis.plot(scale, [one.twin for one in chosen], "s--", color=_TWIN)
    axis.set_ylim(bottom=0)
    axis.set_title(title, fontsize="small")
    axis.set_ylabel("memory capacity")


def _difference(axis: Axes, chosen: Sequence[Summary]) -> None:
    middle = np.array([one.difference for one in chosen])
    limits = np.array([[one.low, one.high] for one in chosen], dtype=float)
    scale = [one.row.recurrent_scale for one in chosen]
    axis.axhline(0.0, color="0.6", linewidth=0.8)
    axis.errorbar(scale, middle, yerr=[middle - limits[:, 0], limits[:, 1] - middle], fmt="o", color=_OWN, capsize=3)
    axis.set_title("difference, 95 % interval", fontsize="small")
