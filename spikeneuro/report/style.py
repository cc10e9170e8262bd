"""One look for every figure: colours that colour-blind readers tell apart, sizes, and the SVG a page embeds."""

import html
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
    "text.parse_math": False,  # labels come from data: a dollar sign is a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched and copied, and is a tenth of the size
    "svg.hashsalt": "spikeneuro",
}
_DIGITS_TOO_MANY = re.compile(r"(\d+\.\d{2})\d+")


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw inside this scope in the look of the report."""
    with mpl.rc_context(_RC):
        yield


def kind_of(spiking: bool, kind: str) -> str:
    """Key of `KINDS` for a candidate's row."""
    return "spiking" if spiking else kind


def to_svg(figure: Figure, description: str) -> str:
    """Figure as inline SVG with a description for readers who cannot see it; the same figure gives the same text.

    Parameters
    ----------
    figure : Figure
        Made with `figure_style`, under which it is also drawn.
    description : str
        What it shows.

    Returns
    -------
    str
        The ``<svg>`` element, its coordinates rounded to a hundredth of a point.
    """
    stream = io.StringIO()
    with figure_style():
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:d|points|transform)="[^"]*"', lambda match: _DIGITS_TOO_MANY.sub(r"\1", match[0]), text)
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    text = re.sub(r'<g id="\w+_\d+"', "<g", text)  # counters that would repeat in the next figure of a page
    text = re.sub(r"\n\s*", "\n", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(description)}"', 1)
