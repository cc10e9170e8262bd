"""Views of a cube: glass brain or plain axes, marks of the inputs, colour bar and headline."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spikeneuro._validation import check_number
from spikeneuro.report.plots.drawing import canvas

Array = NDArray[Any]

#: Left, front and top view: axis across and axis up of each.
VIEWS = ((1, 2), (0, 2), (0, 1))
_AXES = ("x", "y", "z")
#: Colours of changes, red above zero, and of rates.
CHANGES = "RdBu_r"
RATES = "viridis"
INPUT = "#111111"


def wide(figure: Figure | None, rows: int = 1) -> Figure:
    """An empty figure for rows of three views, in which axes are placed by hand."""
    figure = canvas(figure, 9.6, 2.9 * rows + 0.35)
    figure.set_layout_engine("none")  # nilearn places its axes itself
    return figure


def _room(span: tuple[float, float], figure: Figure) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of a row of views, below the headline and beside the colour bar."""
    head = 1 - 0.35 / figure.get_size_inches()[1]
    return 0.0, span[0] * head, 0.88, span[1] * head


def glass_brain(figure: Figure, span: tuple[float, float] = (0.0, 1.0)) -> list[Axes]:
    """Outlines of the MNI152 brain from the left, the front and above."""
    from nilearn.plotting import plot_glass_brain

    display = plot_glass_brain(
        None, display_mode="ortho", figure=figure, axes=_room(span, figure), annotate=True, alpha=0.5, colorbar=False
    )
    return [display.axes[direction].ax for direction in "xyz"]


def plain_views(figure: Figure, places: Array, span: tuple[float, float] = (0.0, 1.0)) -> list[Axes]:
    """Three views without a brain, all neurons as grey points."""
    left, bottom, width, height = _room(span, figure)
    panels = []
    for number, (across, up) in enumerate(VIEWS):
        box = (left + width * (number / 3 + 0.07), bottom + 0.2 * height, width * 0.25, height * 0.72)
        axes = figure.add_axes(box)
        axes.scatter(places[:, across], places[:, up], s=1.5, color="0.8", linewidths=0)
        axes.set(xlabel=_AXES[across], ylabel=_AXES[up], aspect="equal")
        axes.margins(0.08)
        panels.append(axes)
    return panels


def mark_inputs(axes: Axes, places: Array, inputs: Mapping[str, int] | None, *, named: bool) -> None:
    """Squares where the inputs are, with their names or without."""
    if not inputs:
        return
    chosen = places[list(inputs.values())]
    axes.scatter(chosen[:, 0], chosen[:, 1], s=10, marker="s", color=INPUT, zorder=4, linewidths=0)
    if named:
        for name, (x, y) in zip(inputs, chosen, strict=True):
            axes.annotate(name, (x, y), xytext=(2, 2), textcoords="offset points", fontsize=6.5, zorder=5)


def colour_bar(figure: Figure, scale: ScalarMappable, label: str, **options: Any) -> None:
    """What the colours mean, to the right of the views."""
    height = min(0.7, 2.2 / figure.get_size_inches()[1])
    axes = figure.add_axes((0.9, 0.47 - height / 2, 0.014, height))
    figure.colorbar(scale, cax=axes, label=label, **options)


def headline(figure: Figure, title: str) -> None:
    """Title above the views."""
    if title:
        figure.text(0.005, 1 - 0.08 / figure.get_size_inches()[1], title, fontsize=10.5, fontweight="bold", va="top")


def bin_labels(bins: int, duration: float | None) -> list[str]:
    """Which part of the samples each bin is, in seconds where these are known."""
    if duration is None:
        return [f"part {number + 1} of {bins}" for number in range(bins)]
    check_number(duration, "duration", low=0.0, closed="neither")
    edges = np.linspace(0.0, duration, bins + 1)
    return [f"{a:.3g} to {b:.3g} s" for a, b in itertools.pairwise(edges)]
