"""What the figures share: the canvas, panels, the legend of kinds, and labels that do not cover each other."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from spikeneuro.report.style import KIND_LABELS, KINDS

#: Where a label may stand beside its point (points across, points up, alignments), best first.
_PLACES: tuple[tuple[float, float, str, str], ...] = (
    (6, 6, "left", "bottom"), (6, -6, "left", "top"), (-6, 6, "right", "bottom"), (-6, -6, "right", "top"),
    (0, 9, "center", "bottom"), (0, -9, "center", "top"), (6, 18, "left", "bottom"), (6, -18, "left", "top"),
    (-6, 18, "right", "bottom"), (-6, -18, "right", "top"), (9, 0, "left", "center"), (-9, 0, "right", "center"),
)  # fmt: skip


def canvas(figure: Figure | None, width: float, height: float) -> Figure:
    """`figure`, or a new one, of this size in inches, laid out without overlaps."""
    figure = Figure() if figure is None else figure
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained")
    return figure


def grid_of_panels(
    figure: Figure | None, count: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of `width` by `height` inches, at most `columns` beside each other."""
    columns = min(columns, max(count, 1))
    rows = -(-max(count, 1) // columns)
    figure = canvas(figure, width * columns, height * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def title_panel(axes: Axes, name: str) -> None:
    """Title of a small panel, in smaller letters where the name is long."""
    axes.set_title(name, fontsize=max(6.0, min(9.5, 9.5 * 19 / max(len(name), 1))))


def legend_of_kinds(axes: Axes, kinds: Iterable[str], **options: Any) -> None:
    """Legend of the kinds of candidates that occur."""
    present = set(kinds)
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=KIND_LABELS[kind])
        for kind, (color, marker) in KINDS.items()
        if kind in present
    ]
    axes.legend(handles=handles, **options)


def label_points(axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], **options: Any) -> None:
    """Write each label beside its point, where it covers neither a point nor another label, if there is room."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes are always part of a figure here
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in axes.transData.transform(list(points))]
    frame = axes.get_window_extent(renderer)
    for point, label in zip(points, labels, strict=True):
        best: tuple[float, Any, Bbox] | None = None
        for rank, (across, up, horizontal, vertical) in enumerate(_PLACES):
            text = axes.annotate(label, point, xytext=(across, up), textcoords="offset points", ha=horizontal,
                                 va=vertical, **options)  # fmt: skip
            box = text.get_window_extent(renderer)
            outside = box.x0 < frame.x0 or box.x1 > frame.x1 + 60 or box.y0 < frame.y0 or box.y1 > frame.y1 + 12
            badness = 100.0 * sum(box.overlaps(other) for other in taken) + 50.0 * outside + rank
            if best is None or badness < best[0]:
                if best is not None:
                    best[1].remove()
                best = (badness, text, box)
            else:
                text.remove()
        assert best is not None
        taken.append(best[2])
