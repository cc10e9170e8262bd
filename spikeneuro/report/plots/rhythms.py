"""When the neurons of a layer are ON."""

from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spikeneuro.errors import InputError
from spikeneuro.report.plots.drawing import canvas
from spikeneuro.report.style import KINDS, figure_style


def rhythm(
    mask: NDArray[Any],
    dt: float = float("nan"),
    title: str = "",
    *,
    spikes: NDArray[Any] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the ON times of every neuron of a layer, its spikes upon them, and the share of ON of each neuron.

    Parameters
    ----------
    mask : ndarray, shape (steps, neurons)
        Nonzero where ON, as ``layer.rhythm.mask(steps)[:, 0]`` is.
    dt : float
        Length of a step in seconds; NaN labels the axis in steps.
    title : str
        Title.
    spikes : ndarray, shape (steps, neurons), optional
        Spikes of one sample.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        Time across and neurons up on the left, shares on the right.

    Raises
    ------
    InputError
        If `mask` has not two axes, or `spikes` another shape.
    """
    on = np.asarray(mask) != 0
    if on.ndim != 2 or not on.size:
        raise InputError(f"mask must be (steps, neurons), got shape {on.shape}; take layer.rhythm.mask(steps)[:, 0].")
    if spikes is not None and np.shape(spikes) != on.shape:
        raise InputError(f"spikes of shape {np.shape(spikes)} do not fit a mask of shape {on.shape}.")
    steps, neurons = on.shape
    in_seconds = bool(np.isfinite(dt))
    step = dt if in_seconds else 1.0
    color = KINDS["spiking"][0]
    with figure_style():
        figure = canvas(figure, 8.6, 1.2 + min(0.05 * max(neurons, 16), 4.0))
        axes, shares = figure.subplots(1, 2, sharey=True, width_ratios=[5, 1])
        span = (0.0, steps * step, -0.5, neurons - 0.5)
        shades = ListedColormap(["white", "0.82"])
        axes.imshow(on.T, origin="lower", aspect="auto", extent=span, cmap=shades, vmin=0, vmax=1, interpolation="none")
        if spikes is not None:
            when, who = np.nonzero(spikes)
            axes.plot((when + 0.5) * step, who, ".", color=color, markersize=2.5)
        axes.set(xlabel="time (s)" if in_seconds else "step", ylabel="neuron")
        axes.set_title(title, fontsize=9.5)
        axes.grid(visible=False)
        shares.plot(on.mean(axis=0), np.arange(neurons), color=color)
        shares.set(xlim=(-0.02, 1.02), xlabel="share ON")
    return figure
