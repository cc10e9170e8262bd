"""Health of a spiking network, layer by layer: rates over time and over neurons, gradients over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from spikeneuro.report.plots.drawing import canvas
from spikeneuro.report.style import KINDS, figure_style
from spikeneuro.training.firing import SATURATED_ABOVE

_FIRING, _DEAD, _SATURATED = KINDS["spiking"][0], "#6b6b6b", "#000000"
_CURRENT, _SPIKES = "#0072b2", "#56b4e9"
#: Of the rates up to 1, so that the bound of saturation is an edge.
_BINS = 40
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def health(layers: Sequence[Mapping[str, Any]], title: str = "", *, figure: Figure | None = None) -> Figure:
    """Draw rate over time, rates of the neurons, and gradient norms over time, one row per spiking layer.

    Parameters
    ----------
    layers : sequence of mapping
        The entry ``layers`` of `HealthReport.to_dict`, or of the file ``health.json`` that the command writes.
    title : str
        What was examined.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        Time is in seconds and rates in hertz where the length of a step is known, else both are in steps. Gradients
        are drawn on a logarithmic axis, where a step with none has no place; what is zero or not finite is said. There
        is no third column if the report was made without labels.
    """
    with_gradients = any(layer["gradient_current_over_time"] is not None for layer in layers)
    columns = 3 if with_gradients else 2
    with figure_style():
        figure = canvas(figure, 3.6 * columns + 0.4, 0.5 + 2.2 * max(len(layers), 1))
        if title:
            figure.suptitle(title, fontsize=10.5, x=0.01, ha="left")
        panels = figure.subplots(len(layers), columns, squeeze=False)
        for row, layer in zip(panels, layers, strict=True):
            _rate_over_time(row[0], layer)
            _rates(row[1], layer)
            if with_gradients:
                _gradients(row[2], layer)
        figure.align_ylabels(panels)
    return figure


def _times(layer: Mapping[str, Any]) -> tuple[NDArray[np.float64], str]:
    """Middle of each step, and the label of the axis."""
    steps, dt = len(layer["rate_over_time"]), layer["dt"]
    index = np.arange(steps, dtype=float)
    return (index, "step") if dt is None else ((index + 0.5) * dt, "time (s)")


def _line(axes: Axes, x: NDArray[Any], y: NDArray[Any], **options: Any) -> None:
    """Line; with marks where steps are so few, or so alone, that a line would not show them."""
    alone = len(y) <= 40 or int(np.isfinite(y).sum()) <= len(y) // 4
    axes.plot(x, y, linewidth=1.3, marker="o" if alone else "", markersize=3, **options)


def _rate_over_time(axes: Axes, layer: Mapping[str, Any]) -> None:
    x, label = _times(layer)
    dt = layer["dt"]
    rate = np.asarray(layer["rate_over_time"]) / (dt or 1.0)
    _line(axes, x, rate, color=_FIRING)
    axes.set(xlabel=label, ylabel="rate (spikes per s)" if dt else "rate (spikes per step)")
    axes.set_ylim(0, max(1.15 * rate.max(), 0.01 / (dt or 1.0)))
    axes.margins(x=0.01)
    _whole_steps(axes, layer)
    axes.set_title(f"{layer['layer']}: {layer['neurons']} neurons", fontsize=9.5)


def _whole_steps(axes: Axes, layer: Mapping[str, Any]) -> None:
    if layer["dt"] is None:
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))


def _rates(axes: Axes, layer: Mapping[str, Any]) -> None:
    """Histogram of the neurons' rates; those that never fired have a bar of their own, left of zero."""
    rates = np.asarray(layer["rates"])
    saturated = rates > SATURATED_ABOVE
    top = 1.0 if saturated.any() else max(1.05 * float(rates.max()), 0.01)
    edges: list[float] = np.linspace(0, top, _BINS + 1).tolist()
    width = edges[1]
    firing = rates[(rates > 0) & ~saturated]
    axes.hist(firing, edges, color=_FIRING, alpha=0.85)
    axes.hist(rates[saturated], edges, color=_SATURATED)
    dead = int((rates == 0).sum())
    axes.bar(-1.5 * width, dead, width, color=_DEAD, hatch="///", edgecolor="white", linewidth=0)
    if top > SATURATED_ABOVE:
        axes.axvline(SATURATED_ABOVE, color=_SATURATED, linestyle=":", linewidth=1.1)
    axes.set_xlim(-2.6 * width, top + 0.02 * top)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "" if value < 0 else f"{value:g}"))
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set(xlabel="rate of a neuron (spikes per step)", ylabel="neurons")
    handles = [
        Patch(facecolor=_DEAD, hatch="///", edgecolor="white", linewidth=0, label=f"dead: {_counted(rates == 0)}"),
        Patch(facecolor=_SATURATED, label=f"saturated: {_counted(saturated)}"),
    ]
    # above the panel, where it covers no bar
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=7.5, borderaxespad=0.2,
                handlelength=1.4, columnspacing=1.2)  # fmt: skip


def _power(value: float) -> str:
    """Power of ten as text: the style draws no mathematics."""
    return "10" + f"{round(np.log10(value))}".translate(_RAISED)


def _counted(those: NDArray[np.bool_]) -> str:
    return f"{int(those.sum())} ({100 * those.mean():.3g} %)" if those.any() else "0"


def _gradients(axes: Axes, layer: Mapping[str, Any]) -> None:
    x, label = _times(layer)
    notes = []
    drawn = False
    for key, color, style, name in (
        ("gradient_current_over_time", _CURRENT, "-", "by its input current"),
        ("gradient_spikes_over_time", _SPIKES, "--", "by its spikes"),
    ):
        values = np.array([np.nan if value is None else value for value in layer[key]], dtype=float)
        unknown, zero = int((~np.isfinite(values)).sum()), int((values == 0).sum())
        notes += [f"{name}: NaN or infinite at {unknown} of {len(values)} steps"] * (unknown > 0)
        notes += [f"{name}: 0 at {zero} of {len(values)} steps"] * (zero > 0)
        shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        drawn |= bool(np.isfinite(shown).any())
        _line(axes, x, shown, color=color, linestyle=style, label=name)
    axes.set(xlabel=label, ylabel="gradient norm")
    axes.set_xlim(x[0] - 0.01 * (x[-1] - x[0]) - 1e-9, x[-1] + 0.01 * (x[-1] - x[0]) + 1e-9)
    _whole_steps(axes, layer)
    if drawn:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high / low < 10:  # at least a decade, so that a power of ten is among the labels
            middle = np.sqrt(low * high)
            low, high = middle / 10**0.5, middle * 10**0.5
        axes.set_ylim(low, high * (high / low) ** 0.3)  # room for the legend
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=7.5, loc="upper right", ncols=2, handlelength=1.8, columnspacing=1.0)
    else:
        axes.set_yticks([])
    if notes:
        axes.set_title("\n".join(notes), fontsize=7.5, fontweight="normal", color="#b00020")
