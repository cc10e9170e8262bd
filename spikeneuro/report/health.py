"""What the health command leaves: a file for programs, a picture, and tables in the terminal."""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spikeneuro import __version__
from spikeneuro._files import write_atomic
from spikeneuro.bench.checkup import Checkup
from spikeneuro.bench.wording import DASH
from spikeneuro.report import plots
from spikeneuro.report.style import figure_style
from spikeneuro.training import HealthReport


def write_health(checkup: Checkup, folder: Path) -> list[Path]:
    """Write ``health.json`` (`HealthReport.to_dict`, and what was examined under ``about``) and ``health.png``.

    Parameters
    ----------
    checkup : Checkup
        Report and circumstances.
    folder : Path
        Where to; made if it is not there.

    Returns
    -------
    list of Path
        The two files.
    """
    content = {"spikeneuro": __version__, "about": checkup.about, **checkup.report.to_dict()}
    numbers, picture = folder / "health.json", folder / "health.png"
    write_atomic(numbers, json.dumps(content, allow_nan=False, default=str) + "\n")
    stream = io.BytesIO()
    with figure_style():
        plots.health(content["layers"], checkup.title).savefig(stream, format="png", dpi=130)
    write_atomic(picture, stream.getvalue())
    return [numbers, picture]


def show_health(checkup: Checkup) -> None:
    """Print the layers, the gradients of the parameters, and the findings."""
    report: HealthReport = checkup.report
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
    headings = ("layer", "neurons", "steps", "spikes/step", "Hz", "dead", "saturated", "grad input", "grad spikes")
    rows = (
        (
            row["layer"], f"{row['neurons']}", f"{row['steps']}", f"{row['rate']:.4f}",
            DASH if layer.rate_hz is None else f"{layer.rate_hz:.2f}", f"{100 * row['dead']:.1f} %",
            f"{100 * row['saturated']:.1f} %", f"{row['gradient_current']:.2e}", f"{row['gradient_spikes']:.2e}",
        )
        for layer, row in zip(report.layers, report.table().to_dict("records"), strict=True)
    )  # fmt: skip
    console.print(_table(checkup.title, headings, rows))
    parameters = ((name, f"{norm:.2e}") for name, norm in report.parameter_gradients.items())
    console.print(_table(f"gradients of the parameters (loss {report.loss:.4g})", ("module", "norm"), parameters))
    findings = report.findings()
    if not findings:
        console.print("nothing conspicuous: no dead or saturated layer, and gradients reach every layer and step")
    for finding in findings:
        console.print(f"- {finding}")


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for position, heading in enumerate(headings):
        table.add_column(heading, no_wrap=True, justify="left" if position == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
