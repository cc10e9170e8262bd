"""A brain cube: what learning changed, and the activity of its neurons over time.

Data come from `spikeneuro.reservoir.NeuCube`: ``connections()`` and ``activation``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.report.plots.cube_views import (
    CHANGES,
    INPUT,
    RATES,
    VIEWS,
    bin_labels,
    colour_bar,
    glass_brain,
    headline,
    mark_inputs,
    plain_views,
    wide,
)
from spikeneuro.report.style import figure_style

Array = NDArray[Any]


def cube_connections(
    connections: Mapping[str, ArrayLike],
    positions: ArrayLike,
    *,
    value: str = "change",
    most: int = 300,
    inputs: Mapping[str, int] | None = None,
    brain: bool = True,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw the connections that learning changed most, in a glass brain.

    Parameters
    ----------
    connections : DataFrame or mapping of str to array_like
        ``sender``, ``receiver`` and `value` of each connection, as ``cube.connections()`` gives them.
    positions : array_like, shape (neurons, 3)
        Places of the neurons, ``cube.cube_.positions``.
    value : str, default "change"
        Column to draw.
    most : int, default 300
        Connections drawn: those of the largest magnitude, the largest on top.
    inputs : mapping of str to int, optional
        Names and neurons of the inputs, to be marked.
    brain : bool, default True
        Whether places are MNI millimetres; otherwise three views without a brain, in the unit of `positions`.
    title : str
        Title.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        Views from the side, the front and above; red for more, blue for less.

    Raises
    ------
    InputError
        If no connection has changed, or the columns do not fit.
    """
    edges, values = _largest(connections, np.asarray(positions), value, most)
    places = np.asarray(positions, dtype=np.float64)
    limit = float(np.abs(values).max())
    norm = Normalize(-limit, limit)
    with figure_style():
        figure = wide(figure)
        panels = glass_brain(figure) if brain else plain_views(figure, places)
        for axes, (across, up) in zip(panels, VIEWS, strict=True):
            lines = LineCollection(
                list(places[edges][:, :, [across, up]]), cmap=CHANGES, norm=norm, linewidths=0.9, zorder=3, alpha=0.8
            )
            lines.set_array(values)
            axes.add_collection(lines)
            mark_inputs(axes, places[:, [across, up]], inputs, named=(across, up) == (0, 1))
        if inputs:
            figure.text(0.94, 0.04, "■ input", fontsize=8.5, ha="center", color=INPUT)
        colour_bar(figure, ScalarMappable(norm, CHANGES), f"{value} of weight")
        headline(figure, title or f"{len(edges)} largest of {len(np.asarray(connections['sender']))} connections")
    return figure


def cube_connections_html(
    connections: Mapping[str, ArrayLike],
    positions: ArrayLike,
    *,
    value: str = "change",
    most: int = 300,
    inputs: Mapping[str, int] | None = None,
    title: str = "",
) -> str:
    """Connections that learning changed most in a brain that can be turned, as a page of its own (nilearn).

    Parameters
    ----------
    connections, positions, value, most, inputs, title
        As for `cube_connections`; positions in MNI millimetres.

    Returns
    -------
    str
        HTML that needs no network connection.

    Raises
    ------
    InputError
        If no connection has changed, or the columns do not fit.
    """
    from nilearn.plotting import view_connectome

    edges, values = _largest(connections, np.asarray(positions), value, most)
    named = {neuron: name for name, neuron in (inputs or {}).items()}
    drawn = np.unique(np.concatenate([edges.ravel(), np.array(list(named), dtype=np.intp)]))
    place = {int(neuron): number for number, neuron in enumerate(drawn)}
    matrix = np.zeros((len(drawn), len(drawn)))
    for (sender, receiver), change in zip(edges, values, strict=True):
        row, column = place[int(sender)], place[int(receiver)]
        matrix[row, column] = matrix[column, row] = change
    colors = [INPUT if int(neuron) in named else "#bbbbbb" for neuron in drawn]
    view = view_connectome(
        matrix,
        np.asarray(positions, dtype=np.float64)[drawn],
        node_color=colors,
        node_size=4.0,
        node_labels=[named.get(int(neuron), "") for neuron in drawn],
        linewidth=3.0,
        colorbar_fontsize=14,
        title=title or f"{value} of weight, the {len(edges)} largest",
        title_fontsize=16,
    )
    return str(view.get_standalone())


def cube_activity(
    activity: ArrayLike,
    positions: ArrayLike,
    *,
    duration: float | None = None,
    brain: bool = True,
    label: str = "spikes a step",
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw firing rates over time, each neuron at its place.

    Parameters
    ----------
    activity : array_like, shape (bins, neurons)
        Spikes a step, as ``cube.activation(X, bins)`` gives them, or differences of such maps. Take those of
        ``~cube.cube_.is_input``: inputs spike much more often than the others.
    positions : array_like, shape (neurons, 3)
        Places of the same neurons.
    duration : float, optional
        Length of a sample in seconds, for the titles.
    brain : bool, default True
        Whether places are MNI millimetres.
    label : str
        What the colours mean.
    title : str
        Title.
    figure : Figure, optional
        Empty figure to draw into.

    Returns
    -------
    Figure
        One row a bin with views from the side, the front and above. Of neurons behind each other the one of the largest
        magnitude is seen; those that never spike are left out. Differences are red above zero and blue below.

    Raises
    ------
    InputError
        If shapes do not fit, or nothing spikes.
    """
    rates, places = np.atleast_2d(np.asarray(activity, dtype=np.float64)), np.asarray(positions, dtype=np.float64)
    if rates.shape[1:] != places.shape[:1]:
        raise InputError(f"activity of {rates.shape[1]} neurons does not fit {len(places)} positions.")
    if not rates.any():
        raise InputError("no neuron spikes in these samples: there is no activity to draw.")
    highest = float(np.quantile(np.abs(rates[rates != 0]), 0.99))
    signed = bool((rates < 0).any())
    scale = ScalarMappable(Normalize(-highest if signed else 0.0, highest), CHANGES if signed else RATES)
    labels = bin_labels(len(rates), duration)
    with figure_style():
        figure = wide(figure, rows=len(rates))
        for row, (values, when) in enumerate(zip(rates, labels, strict=True)):
            span = (1 - (row + 1) / len(rates), 1 / len(rates))
            panels = glass_brain(figure, span) if brain else plain_views(figure, places, span)
            order = np.flatnonzero(values)
            order = order[np.argsort(np.abs(values[order]), kind="stable")]
            for axes, (across, up) in zip(panels, VIEWS, strict=True):
                axes.scatter(
                    places[order, across], places[order, up], c=scale.to_rgba(values[order]), s=24, marker="s",
                    zorder=3, linewidths=0,
                )  # fmt: skip
            figure.text(0.005, span[0] + 0.9 * span[1], when, fontsize=9, va="top", fontweight="bold")
        colour_bar(figure, scale, label, extend="both" if signed else "max")
        headline(figure, title)
    return figure


def _largest(connections: Any, positions: Array, value: str, most: int) -> tuple[Array, Array]:
    """Ends (connections, 2) and values of the largest connections, the largest last."""
    check_number(most, "most", low=1, integer=True)
    for column in ("sender", "receiver", value):
        if column not in connections:
            raise InputError(f"connections has no column {column!r}; use cube.connections().")
    sizes = {column: len(np.asarray(connections[column])) for column in ("sender", "receiver", value)}
    if len(set(sizes.values())) > 1:
        raise InputError(f"columns of connections differ in length: {sizes}; use cube.connections().")
    ends = np.stack([np.asarray(connections["sender"]), np.asarray(connections["receiver"])], axis=1)
    values = np.asarray(connections[value], dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or (len(ends) and int(ends.max()) >= len(positions)):
        raise InputError(f"positions of shape {positions.shape} do not fit the connections; use cube.cube_.positions.")
    if not values.any():
        raise InputError(f"{value} is zero for all connections: nothing was learned, so there is nothing to draw.")
    order = np.argsort(np.abs(values), kind="stable")[-most:]
    order = order[values[order] != 0]
    return ends[order], values[order]
