"""One look for every figure: colours that colour-blind readers tell apart, sizes, and the SVG a page embeds."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

#: Kinds of candidates, each with colour (Okabe and Ito, 2008) and marker, so that neither alone carries the meaning.
KINDS = {
    "spiking": ("#d55e00", "o"),
    "network": ("#0072b2", "s"),
    "pipeline": ("#6b6b6b", "^"),
}
KIND_LABELS = {"spiking": "spiking network", "network": "non-spiking network", "pipeline": "classical pipeline"}

_RC: dict[Any, Any] = {
    "figure.dpi": 100,
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "spikeneuro",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw inside this scope in the look of the report."""
    with mpl.rc_context(_RC):
        yield


def kind_of(spiking: bool, kind: str) -> str:
    """Key of `KINDS` for a candidate's row."""
    return "spiking" if spiking else kind


def to_svg(figure: Figure, description: str) -> str:
    """Figure as inline SVG with a title for readers who cannot see it; the same figure gives the same text."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    escaped = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{escaped}"', 1)
