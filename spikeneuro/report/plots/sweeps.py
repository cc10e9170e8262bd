"""What a setting does that was varied while all others stayed: one panel for each thing measured."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from spikeneuro.errors import InputError
from spikeneuro.report.plots.drawing import grid_of_panels
from spikeneuro.report.style import KINDS, figure_style

Measures = Mapping[str, Sequence[float]]


def sweep(
    setting: str,
    values: Sequence[float],
    measures: Measures,
    *,
    intervals: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    lines: Mapping[str, Mapping[str, float]] | None = None,
    log: bool = False,
    figure: Figure | None = None,
) -> Figure:
    """Draw everything measured against one setting.

    Parameters
    ----------
    setting : str
        Name of the setting, with its unit.
    values : sequence of float
        Its values, in any order.
    measures : mapping of str to sequence of float
        What was measured at each value, by the label of its axis.
    intervals : mapping of str to sequence of (float, float), optional
        Lower and upper limits of some of the measures.
    lines : mapping of str to mapping of str to float, optional
        Values of other things to compare some of the measures with: dashed lines, by name.
    log : bool, default False
        Whether the axis of the setting is logarithmic.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        One panel per measure, at most three beside each other.

    Raises
    ------
    InputError
        If there is nothing to draw, a measure has another number of values than the setting, or an interval or line
        belongs to no measure.
    """
    for name, given in [*measures.items(), *(intervals or {}).items()]:
        if len(given) != len(values):
            raise InputError(f"{name!r} has {len(given)} values, but {setting!r} has {len(values)}.")
    if not measures or not len(values):
        raise InputError(f"there is nothing to draw against {setting!r}: give values, and measures of as many.")
    for name in [*(intervals or {}), *(lines or {})]:
        if name not in measures:
            raise InputError(f"{name!r} is none of the measures ({', '.join(measures)}).")
    order = np.argsort(np.asarray(values, dtype=float), kind="stable")
    x = np.asarray(values, dtype=float)[order]
    color, marker = KINDS["spiking"]
    with figure_style():
        figure, panels = grid_of_panels(figure, len(measures), 3, 3.2, 2.7)
        for axes, (name, given) in zip(panels, measures.items(), strict=True):
            axes.plot(x, np.asarray(given, dtype=float)[order], color=color, marker=marker, markersize=4)
            if intervals and name in intervals:
                limits = np.asarray(intervals[name], dtype=float)[order]
                axes.fill_between(x, limits[:, 0], limits[:, 1], color=color, alpha=0.2, linewidth=0)
            for number, (label, level) in enumerate((lines or {}).get(name, {}).items()):
                shade = (KINDS["network"][0], KINDS["pipeline"][0])[number % 2]
                axes.axhline(level, color=shade, linestyle=("--", ":")[number // 2 % 2], label=label)
            if (lines or {}).get(name):
                axes.legend(fontsize=7.5)
            if log:
                axes.set_xscale("log")
                axes.set_xticks(x, [f"{value:g}" for value in x])
                axes.minorticks_off()
            axes.set(xlabel=setting, ylabel=name)
    return figure
