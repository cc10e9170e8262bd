"""The picture of a run: median times by case on a logarithmic axis, and growth of cost."""

from pathlib import Path

import numpy as np
from collected import Collected
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter
from timing import Timing

from spikeneuro._files import writable
from spikeneuro.report.style import figure_style

#: Okabe and Ito (2008): told apart by colour-blind readers.
_COLOURS = {"ours": "#d55e00", "peer": "#0072b2", "floor": "#6b6b6b"}
_LABELS = {"ours": "spikeneuro", "peer": "another library", "floor": "copies in memory"}
_LINES = ("#d55e00", "#0072b2", "#009e73")
_PLOTTED = ("lif", "heterogeneous", "training", "recurrent", "rhythm")
#: Lines of the bar charts that the growth panel and the head of a case take as much height as.
_GROWTH_ROWS, _HEAD_ROWS = 17.0, 1.6
Groups = dict[str, list[Timing]]


def draw(collected: Collected, path: Path) -> None:
    """Two columns: the cases one below the other, and the growth above the right-hand ones."""
    groups: Groups = {}
    for timing in collected.timings:
        if timing.family in _PLOTTED:
            groups.setdefault(timing.case, []).append(timing)
    growth = _GROWTH_ROWS if collected.growths else 0.0
    left, right = _columns(groups, growth)
    height = max(_rows(left), _rows(right) + growth, _GROWTH_ROWS)
    with figure_style():
        figure = Figure(figsize=(15, 0.23 * height + 0.9), layout="constrained")
        halves = figure.subfigures(1, 2)
        if left:
            _bars(halves[0].subplots(), left, groups)
        panels = [rows for rows in (growth, _rows(right)) if rows]
        spare = height - sum(panels)
        if panels:
            ratios = [*panels, spare] if spare > 1 else panels
            axes = halves[1].subplots(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
            for empty in axes[len(panels) :]:
                empty.set_axis_off()
            if growth:
                _growth(axes[0], collected)
            if right:
                _bars(axes[len(panels) - 1], right, groups)
        figure.legend(
            handles=[Patch(color=colour, label=_LABELS[kind]) for kind, colour in _COLOURS.items()],
            loc="outside upper left", ncols=3,
        )  # fmt: skip
        with writable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=120)


def _columns(groups: Groups, growth: float) -> tuple[Groups, Groups]:
    """The cases of the left and of the right column, about equally high together with the growth panel."""
    left: Groups = {}
    for case, group in groups.items():
        if left and _rows(left) + len(group) / 2 > (_rows(groups) + growth) / 2:
            break
        left[case] = group
    return left, {case: group for case, group in groups.items() if case not in left}


def _rows(groups: Groups) -> float:
    return sum(len(group) + _HEAD_ROWS for group in groups.values())


def _bars(axes: Axes, shown: Groups, groups: Groups) -> None:
    y, places, labels = 0.0, [], []
    everything = [timing.median_ms for group in groups.values() for timing in group]
    start = min(everything) / 2
    for case, group in shown.items():
        axes.text(1.06 * start, y, f"{case} ({group[0].work})", fontweight="bold", va="center", fontsize=8)
        base = next(timing for timing in group if timing.kind == "ours").median_ms
        for timing in group:
            y += 1
            axes.barh(y, timing.median_ms - start, left=start, color=_COLOURS[timing.kind], height=0.75)
            axes.plot([timing.q1_ms, timing.q3_ms], [y, y], color="black", linewidth=1)
            ratio = "" if timing.median_ms == base else f" ({timing.median_ms / base:.3g} x)"
            end = max(timing.median_ms, timing.q3_ms)
            took = f"{timing.median_ms:,.0f}" if timing.median_ms >= 100 else f"{timing.median_ms:.3g}"
            axes.text(1.06 * end, y, f"{took} ms{ratio}", va="center", fontsize=7.5)
            places.append(y)
            labels.append(timing.contender)
        y += _HEAD_ROWS
    axes.set_yticks(places, labels, fontsize=7.5)
    axes.set_ylim(y - 0.6, -0.9)
    _logarithmic(axes, "x")
    axes.set_xlim(start, 8 * max(everything))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("median (ms); black: quartiles; x: relative to the first of ours")


def _growth(axes: Axes, collected: Collected) -> None:
    for growth, colour, marker in zip(collected.growths, _LINES, "os^", strict=True):
        sizes, times = np.array(growth.sizes), np.array(growth.milliseconds)
        label = f"{growth.axis} ({growth.others}): slope {growth.slope:.2f}"
        axes.plot(sizes, times, color=colour, marker=marker, label=label, linewidth=1.2, markersize=4)
        middle = len(sizes) // 2
        axes.plot(sizes, times[middle] * sizes / sizes[middle], color=colour, linestyle=":", linewidth=0.9)
    _logarithmic(axes, "x")
    _logarithmic(axes, "y")
    axes.set_title("Growth of cost: LIF, forward + backward")
    axes.set_xlabel("T, N or B; dotted: proportional")
    axes.set_ylabel("median (ms)")
    axes.legend(loc="upper left", fontsize=7.5)


def _logarithmic(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with plain numbers: powers would need the mathematics that the style leaves unread."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
