"""Learning curves, firing of layers, spike rasters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spikeneuro.report.plots.drawing import canvas, grid_of_panels, title_panel
from spikeneuro.report.style import KINDS, figure_style


def learning_curves(
    curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    kinds: Mapping[str, str],
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw training and validation loss per epoch, mean over cells, one panel per network.

    Parameters
    ----------
    curves : mapping of str to histories
        Histories of each candidate's cells; one is a list of epochs with ``train_loss`` and perhaps ``valid_loss``.
    kinds : mapping of str to {"spiking", "network"}
        Kind of each candidate.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        Means over cells; the range from the lowest to the highest validation loss is shaded where there are several.
    """
    with figure_style():
        figure, panels = grid_of_panels(figure, len(curves), 4, 2.55, 2.1)
        for axes, (name, histories) in zip(panels, curves.items(), strict=True):
            color = KINDS[kinds[name]][0]
            for key, style, label in (("train_loss", "-", "training"), ("valid_loss", "--", "validation")):
                series = _by_epoch(histories, key)
                if not len(series):
                    continue
                epochs = np.arange(1, series.shape[1] + 1)
                axes.plot(epochs, np.nanmean(series, axis=0), style, color=color, label=label)
                if key == "valid_loss" and len(series) > 1:
                    low, high = np.nanmin(series, axis=0), np.nanmax(series, axis=0)
                    axes.fill_between(epochs, low, high, color=color, alpha=0.12, linewidth=0)
            title_panel(axes, name)
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))
            axes.set_xlabel("epoch")
            axes.set_ylabel("loss")
            axes.legend(fontsize=7.5)
    return figure


def _by_epoch(histories: Sequence[Sequence[Mapping[str, Any]]], key: str) -> NDArray[np.float64]:
    """Values ``(cells, epochs)``, NaN after the end of shorter histories."""
    series = [[epoch[key] for epoch in history] for history in histories if history and key in history[0]]
    padded = np.full((len(series), max(map(len, series), default=0)), np.nan)
    for row, values in zip(padded, series, strict=True):
        row[: len(values)] = [np.nan if value is None else value for value in values]
    return padded[:, ~np.isnan(padded).all(axis=0)]


def raster(
    layers: Mapping[str, NDArray[Any]],
    dt: float,
    title: str,
    *,
    most: int = 60,
    rows: str = "neurons",
    figure: Figure | None = None,
) -> Figure:
    """Draw the spikes of each layer in one sample: time across, neurons up.

    Parameters
    ----------
    layers : mapping of str to ndarray, shape (steps, neurons)
        Spikes by layer, zero where there is none.
    dt : float
        Length of a step of the first layer in seconds; NaN labels the axis in steps. A layer with fewer steps (after
        pooling over time) is stretched to the same duration.
    title : str
        Title.
    most : int
        Most neurons drawn of a layer, taken at equal distances.
    rows : str
        What the rows are, for the labels.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        One panel per layer, over the same time axis.
    """
    with figure_style():
        heights = [max(min(layer.shape[1], most), 10) for layer in layers.values()]
        figure = canvas(figure, 8.6, 0.8 + 0.03 * sum(heights) + 0.3 * len(layers))
        panels = figure.subplots(len(layers), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        in_seconds = bool(np.isfinite(dt))
        duration = len(next(iter(layers.values()))) * (dt if in_seconds else 1.0)
        for axes, (name, layer) in zip(panels, layers.items(), strict=True):
            steps, neurons = layer.shape
            chosen = np.linspace(0, neurons - 1, min(neurons, most)).round().astype(int)
            step, row = np.nonzero(layer[:, chosen])
            times = (step + 0.5) * duration / steps
            gap = np.full(len(row), np.nan)  # one path with gaps is a tenth of the size of a marker per spike
            across = np.stack([times, times, gap], axis=1).ravel()
            up = np.stack([row - 0.4, row + 0.4, gap], axis=1).ravel()
            axes.plot(across, up, color=KINDS["spiking"][0], linewidth=0.9, solid_capstyle="butt")
            axes.set(xlim=(0, duration), ylim=(-1, len(chosen)), yticks=[])
            axes.grid(visible=False)
            drawn = "" if len(chosen) == neurons else f"\n({len(chosen)} drawn)"
            axes.set_ylabel(f"{name}\n{neurons} {rows}{drawn}", fontsize=8, rotation=0, ha="right", va="center")
        panels[-1].set_xlabel("time (s)" if in_seconds else "step")
        panels[0].set_title(title, fontsize=9.5)
    return figure


def firing(health: Mapping[str, Mapping[str, Mapping[str, float]]], *, figure: Figure | None = None) -> Figure:
    """Draw mean rate, dead and saturated neurons of each spiking layer of each candidate.

    Parameters
    ----------
    health : mapping of candidate to mapping of layer to {"rate", "dead", "saturated"}
        Spikes per neuron and step, and the two shares of neurons, as `NeuroClassifier.health_` has them.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        Three panels, one line per layer.
    """
    rows = [(f"{name}: {layer}", values) for name, layers in health.items() for layer, values in layers.items()]
    panels_of = (
        ("rate", "spikes per neuron and step", None),
        ("dead", "dead neurons (share)", 1.0),
        ("saturated", "saturated neurons (share)", 1.0),
    )
    with figure_style():
        figure = canvas(figure, 9.4, 0.75 + 0.3 * max(len(rows), 1))
        panels = figure.subplots(1, 3, sharey=True)
        for axes, (key, label, top) in zip(panels, panels_of, strict=True):
            values = [row[key] for _, row in rows]
            axes.barh(range(len(rows)), values, height=0.6, color=KINDS["spiking"][0], alpha=0.8)
            axes.set_xlabel(label)
            axes.set_xlim(0, 1.25 * (top or max([*values, 0.05])))
            if top:
                axes.set_xticks((0, 0.5, 1))
            for y, value in enumerate(values):
                axes.annotate(f"{value:.3f}", (value, y), xytext=(3, 0), textcoords="offset points", va="center",
                              fontsize=7.5)  # fmt: skip
        panels[0].set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
        panels[0].invert_yaxis()
    return figure
