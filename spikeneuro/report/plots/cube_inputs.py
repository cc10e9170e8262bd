"""A brain cube: who drives whom, and what the electrodes feed it over time.

Data come from `spikeneuro.reservoir.NeuCube`: ``input_traffic`` and ``input_activation``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from numpy.typing import ArrayLike, NDArray

from spikeneuro.errors import InputError
from spikeneuro.report.plots.cube_views import RATES, bin_labels
from spikeneuro.report.plots.drawing import canvas
from spikeneuro.report.style import figure_style

Array = NDArray[Any]


def cube_traffic(
    traffic: ArrayLike,
    names: Sequence[str],
    positions: ArrayLike | None = None,
    *,
    most: int = 20,
    label: str = "spikes times |weight| per sample (log. scale)",
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw the spike traffic between the clusters of the inputs, as a matrix and as a graph.

    Parameters
    ----------
    traffic : array_like, shape (inputs, inputs)
        ``[receiver, sender]``, as ``cube.input_traffic(X)`` gives it.
    names : sequence of str
        Names of the inputs.
    positions : array_like, shape (inputs, 3), optional
        Their places, ``cube.positions_``: draws the graph, too, seen from above.
    most : int, default 20
        Arrows of the graph: the largest traffic between different clusters.
    label : str
        What the colours mean; say so for traffic by spikes alone.
    title : str
        Title.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        On the left the matrix, its diagonal (traffic within a cluster) left out, on the right the graph: arrows from
        sender to receiver, wider for more traffic. Inputs that would cover each other are moved apart.

    Raises
    ------
    InputError
        If sizes do not fit, or there is no traffic between clusters.
    """
    matrix = np.asarray(traffic, dtype=np.float64)
    if matrix.shape != (len(names),) * 2:
        raise InputError(f"traffic of shape {matrix.shape} does not fit {len(names)} names.")
    if positions is not None and np.shape(positions) != (len(names), 3):
        raise InputError(f"positions must have the shape ({len(names)}, 3), got {np.shape(positions)}.")
    between = np.where(np.eye(len(names), dtype=bool), np.nan, matrix)
    if not np.nansum(between) > 0:
        raise InputError("there is no spike traffic between the clusters of different inputs.")
    smallest, largest = float(np.nanmin(np.where(between > 0, between, np.nan))), float(np.nanmax(between))
    norm = LogNorm(max(smallest, 1e-3 * largest), largest, clip=True)
    with figure_style():
        side = 1.5 + 0.13 * max(len(names), 16)
        figure = canvas(figure, side + 1.1 + (0 if positions is None else side), side + 0.5)
        panels = figure.subplots(1, 1 if positions is None else 2, squeeze=False)[0]
        _matrix(panels[0], between, names, norm)
        if positions is not None:
            places = _apart(np.asarray(positions, dtype=np.float64)[:, :2], 0.33 / side)
            _graph(panels[1], between, names, places, most, norm)
        figure.colorbar(
            ScalarMappable(norm, RATES),
            ax=list(panels),
            label=label,
            shrink=0.8,
            extend="min" if smallest < 1e-3 * largest else "neither",
        )
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=10.5, fontweight="bold")
    return figure


def cube_input_activity(
    activity: ArrayLike,
    names: Sequence[str],
    *,
    montage: str = "standard_1005",
    duration: float | None = None,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw what EEG electrodes feed the cube over time, as maps of the scalp (MNE).

    Parameters
    ----------
    activity : array_like, shape (bins, electrodes)
        Spikes a step, as ``cube.input_activation(X, bins)`` gives them.
    names : sequence of str
        Electrodes.
    montage : str, default "standard_1005"
        Built-in montage of MNE.
    duration : float, optional
        Length of a sample in seconds, for the titles.
    title : str
        Title.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        One map a bin, all with one scale of colours.

    Raises
    ------
    InputError
        If sizes do not fit, an electrode is unknown, or there are fewer than four.
    """
    import mne

    from spikeneuro.reservoir import electrode_positions

    rates = np.atleast_2d(np.asarray(activity, dtype=np.float64))
    if rates.shape[1] != len(names):
        raise InputError(f"activity of {rates.shape[1]} inputs does not fit {len(names)} names.")
    if len(names) < 4:
        raise InputError(f"a map of the scalp needs at least four electrodes, got {len(names)}.")
    electrode_positions(names, montage, project=False)  # refuses unknown ones
    info = mne.create_info(list(names), 1.0, "eeg")
    info.set_montage(montage, match_case=False, verbose="ERROR")
    low, high = float(rates.min()), float(rates.max())
    high = high if high > low else low + 1e-9
    columns = min(len(rates), 4)
    with figure_style():
        figure = canvas(figure, 1.75 * columns + 1.1, 2.0 * -(-len(rates) // columns) + 0.2)
        panels = list(figure.subplots(-(-len(rates) // columns), columns, squeeze=False).flat)
        for axes, values, label in zip(panels, rates, bin_labels(len(rates), duration), strict=False):
            mne.viz.plot_topomap(
                values, info, axes=axes, show=False, vlim=(low, high), cmap=RATES, contours=0, sensors="k."
            )
            axes.set_title(label, fontsize=9, loc="center")
        for axes in panels[len(rates) :]:
            axes.remove()
        scale = ScalarMappable(Normalize(low, high), RATES)
        figure.colorbar(scale, ax=panels[: len(rates)], label="input spikes a step", shrink=0.8)
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=10.5, fontweight="bold")
    return figure


def _matrix(axes: Axes, between: Array, names: Sequence[str], norm: LogNorm) -> None:
    axes.grid(visible=False)
    axes.set_facecolor("0.92")
    axes.pcolormesh(np.where(between > 0, between, np.nan), cmap=RATES, norm=norm)
    centres = np.arange(len(names)) + 0.5
    axes.set_xticks(centres, names, rotation=90, fontsize=6.5)
    axes.set_yticks(centres, names, fontsize=6.5)
    axes.tick_params(length=0)
    axes.set(xlabel="sending cluster", ylabel="receiving cluster", aspect="equal")
    axes.invert_yaxis()
    axes.set_title("grey: none; within a cluster left out", fontsize=8.5, fontweight="normal", loc="center")


def _apart(places: Array, share: float) -> Array:
    """Places in a plane, moved until no two are nearer than this share of their extent, or nearly so."""
    places = places.copy()
    wanted = share * float(np.ptp(places, axis=0).max())
    first, second = np.triu_indices(len(places), 1)
    for _ in range(100):
        between = places[second] - places[first]
        distance = np.linalg.norm(between, axis=1)
        near = (distance < 0.999 * wanted) & (distance > 0)
        if not near.any():
            break
        step = 0.25 * between[near] * (wanted / distance[near] - 1)[:, np.newaxis]
        np.add.at(places, second[near], step)
        np.add.at(places, first[near], -step)
    return places


def _graph(axes: Axes, between: Array, names: Sequence[str], places: Array, most: int, norm: LogNorm) -> None:
    axes.grid(visible=False)
    axes.set_axis_off()
    flat = np.nan_to_num(between).ravel()
    order = np.argsort(flat, kind="stable")[-most:]
    scale = ScalarMappable(norm, RATES)
    for edge in order[flat[order] > 0]:
        receiver, sender = divmod(int(edge), len(names))
        axes.add_patch(
            FancyArrowPatch(
                tuple(places[sender]), tuple(places[receiver]), arrowstyle="-|>", mutation_scale=9,
                shrinkA=10, shrinkB=10, connectionstyle="arc3,rad=0.15", color=scale.to_rgba(flat[edge]),
                linewidth=0.6 + 2.4 * float(flat[edge]) / float(flat.max()),
            )
        )  # fmt: skip
    axes.scatter(places[:, 0], places[:, 1], s=330, facecolor="white", edgecolor="0.5", linewidths=0.8, zorder=4)
    for name, (x, y) in zip(names, places, strict=True):
        axes.text(x, y, name, ha="center", va="center", fontsize=6.5, zorder=5)
    low, high = places.min(axis=0), places.max(axis=0)
    margin = 0.12 * max(float((high - low).max()), 1e-9)
    axes.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin), aspect="equal")
    axes.set_title(f"the {int((flat[order] > 0).sum())} largest, seen from above (front is up)", fontsize=8.5,
                   fontweight="normal", loc="center")  # fmt: skip
