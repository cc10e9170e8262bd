"""Write the report of a run folder."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from spikeneuro import __version__
from spikeneuro._files import write_atomic
from spikeneuro.bench.store import Store
from spikeneuro.errors import InputError
from spikeneuro.report.page import page_context

FILE_NAME = "report.html"


def write(folder: str | Path) -> Path:
    """Make the HTML report of a run.

    Parameters
    ----------
    folder : path-like
        The run folder, which holds ``results.sqlite``.

    Returns
    -------
    Path
        ``report.html`` in the folder: one file with figures inside, nothing loaded from elsewhere. Text that comes
        from data or suites is escaped.

    Raises
    ------
    DataNotFoundError
        If the folder holds no results.
    InputError
        If no run has been recorded in it.
    """
    with Store(folder) as store:
        if not store.runs():
            raise InputError(f"{store.path} records no run yet; `spikeneuro run SUITE --out DIR` makes one.")
        context = page_context(store)
        path = store.path.parent / FILE_NAME
    environment = Environment(
        loader=PackageLoader("spikeneuro.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    write_atomic(path, environment.get_template("template.html.j2").render(**context, version=__version__))
    return path
