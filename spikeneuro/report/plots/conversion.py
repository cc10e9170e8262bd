"""What conversion to spikes loses: error by layer and cause, and error or accuracy over the number of steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeneuro.report.plots.drawing import canvas
from spikeneuro.report.style import KINDS, figure_style

_CAUSES = {"clipping": "#0072b2", "quantisation": "#e69f00", "unevenness": "#56b4e9", "total": "#000000"}


def conversion(
    report: Sequence[Mapping[str, Any]],
    curve: Mapping[str, Sequence[float]] | None = None,
    ann_accuracy: float | None = None,
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw the error of each layer by cause, and what the network does after every number of steps.

    Parameters
    ----------
    report : sequence of mapping
        Rows of `conversion_report`: ``frame.to_dict("records")``.
    curve : mapping of str to sequence, optional
        Columns of `accuracy_over_steps`: ``steps`` and ``accuracy``, or ``output_error`` where there were no labels.
    ann_accuracy : float, optional
        Accuracy of the original network, drawn as a line.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        Left, root mean square errors relative to the activations; right, the curve over steps on a logarithmic axis.
    """
    with figure_style():
        figure = canvas(figure, max(4.0, 0.9 * len(report) + 1.6) + (3.6 if curve else 0.0), 2.8)
        panels = figure.subplots(1, 2 if curve else 1, squeeze=False)[0]
        _errors(panels[0], report)
        if curve:
            _over_steps(panels[1], curve, ann_accuracy)
    return figure


def _errors(axes: Axes, report: Sequence[Mapping[str, Any]]) -> None:
    places = np.arange(len(report))
    width = 0.8 / len(_CAUSES)
    for number, (cause, color) in enumerate(_CAUSES.items()):
        heights = [row[f"{cause}_rms"] for row in report]
        axes.bar(places + (number - 1.5) * width, heights, width, color=color, label=cause)
    axes.set_xticks(places, [str(row["layer"]) for row in report], rotation=20 if len(report) > 4 else 0)
    axes.set(xlabel="layer", ylabel="error / activation (rms)")
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize=7.5, ncols=2, loc="upper left")


def _over_steps(axes: Axes, curve: Mapping[str, Sequence[float]], ann_accuracy: float | None) -> None:
    measure = "accuracy" if "accuracy" in curve else "output_error"
    axes.plot(curve["steps"], curve[measure], color=KINDS["spiking"][0], label="spiking")
    if ann_accuracy is not None and measure == "accuracy":
        axes.axhline(ann_accuracy, color=KINDS["network"][0], linestyle="--", label="original")
        axes.legend(fontsize=7.5, loc="lower right")
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(int(np.log2(max(curve["steps"]))) + 1)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set(xlabel="steps", ylabel=measure.replace("_", " "))
