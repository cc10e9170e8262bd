"""Confusion matrices, reliability, and predicted against true values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spikeneuro.evaluation import ReliabilityCurve
from spikeneuro.report.plots.drawing import grid_of_panels, title_panel
from spikeneuro.report.style import KINDS, figure_style

#: Matrices of more classes carry colours only.
_MOST_NUMBERED = 16
#: Longer names of classes are cut.
_LONGEST = 16


def confusions(matrices: Mapping[str, NDArray[Any]], labels: Sequence[str], *, figure: Figure | None = None) -> Figure:
    """Draw confusion matrices: rows are the truth, colours the share of each row, numbers the counts.

    Parameters
    ----------
    matrices : mapping of str to ndarray, shape (k, k)
        Counts by candidate, truth along the rows.
    labels : sequence of str
        Names of the k classes.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        One panel per candidate.
    """
    labels = [label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…" for label in labels]
    size = 0.75 + 0.06 * max(map(len, labels), default=0) + max(0.34 * len(labels), 0.9)
    with figure_style():
        figure, panels = grid_of_panels(
            figure, len(matrices), max(1, int(10.5 // (size + 0.25))), size + 0.25, size + 0.1
        )
        for axes, (name, counts) in zip(panels, matrices.items(), strict=True):
            _confusion(axes, np.asarray(counts, dtype=float), labels)
            title_panel(axes, name)
    return figure


def _confusion(axes: Axes, counts: NDArray[Any], labels: Sequence[str]) -> None:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)
    axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    if len(labels) <= _MOST_NUMBERED:
        size = 8 if counts.max() < 1e4 and len(labels) <= 4 else 6.5
        for (i, j), value in np.ndenumerate(share):
            axes.text(j + 0.5, i + 0.5, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=size,
                      color="white" if value > 0.55 else "#222222")  # fmt: skip
    centres = np.arange(len(labels)) + 0.5
    turned = max(map(len, labels), default=0) > 4
    axes.set_xticks(centres, labels, rotation=40 if turned else 0, ha="right" if turned else "center", fontsize=8)
    axes.set_yticks(centres, labels, fontsize=8)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted", fontsize=8.5)
    axes.set_ylabel("true", fontsize=8.5)


def calibration(
    curves: Mapping[str, ReliabilityCurve], kinds: Mapping[str, str], *, figure: Figure | None = None
) -> Figure:
    """Draw reliability: how often the predicted class was right against how probable it was said to be.

    Parameters
    ----------
    curves : mapping of str to ReliabilityCurve
        Curve of each candidate, from `spikeneuro.evaluation.top_label_curve`.
    kinds : mapping of str to {"spiking", "network", "pipeline"}
        Kind of each candidate.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        One panel per candidate; the area of a point is proportional to the predictions behind it.
    """
    with figure_style():
        figure, panels = grid_of_panels(figure, len(curves), 5, 2.1, 2.25, sharex=True, sharey=True)
        for axes, (name, curve) in zip(panels, curves.items(), strict=True):
            color, _ = KINDS[kinds[name]]
            axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1.2)
            axes.plot(curve.confidence, curve.frequency, color=color, linewidth=1)
            share = curve.count / curve.count.sum()
            axes.scatter(curve.confidence, curve.frequency, s=6 + 110 * share, color=color, alpha=0.75, linewidths=0)
            axes.set(xlim=(0, 1), ylim=(-0.03, 1.03), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            title_panel(axes, name)
            axes.text(0.04, 0.97, f"error {curve.error:.3f}", fontsize=8, va="top")
        figure.supxlabel("mean probability of the predicted class", fontsize=9)
        figure.supylabel("share that was right", fontsize=9)
    return figure


def predicted_against_true(
    pairs: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    kinds: Mapping[str, str],
    quantity: str = "value",
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw predicted against true values of a regression, one panel per candidate.

    Parameters
    ----------
    pairs : mapping of str to (ndarray, ndarray)
        True and predicted values of each candidate's test samples.
    kinds : mapping of str to {"spiking", "network", "pipeline"}
        Kind of each candidate.
    quantity : str
        What is predicted, with its unit if it has one, for the axes.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        Points on the dotted line were predicted exactly.
    """
    with figure_style():
        figure, panels = grid_of_panels(figure, len(pairs), 4, 2.5, 2.5, sharex=True, sharey=True)
        for axes, (name, (truth, predicted)) in zip(panels, pairs.items(), strict=True):
            color, marker = KINDS[kinds[name]]
            ends = [float(np.min([truth.min(), predicted.min()])), float(np.max([truth.max(), predicted.max()]))]
            axes.plot(ends, ends, color="#999999", linestyle=":", linewidth=1.2)
            axes.plot(truth, predicted, marker, color=color, markersize=3.5, alpha=0.6, markeredgewidth=0)
            title_panel(axes, name)
        figure.supxlabel(f"true {quantity}", fontsize=9)
        figure.supylabel(f"predicted {quantity}", fontsize=9)
    return figure
