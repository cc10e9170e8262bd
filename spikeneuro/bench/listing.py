"""What there is: models, encoders, data sets, suites, and the state of this installation."""

import importlib
import importlib.metadata
import os
import platform
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spikeneuro import registry
from spikeneuro._version import __version__
from spikeneuro.bench.reading import read_yaml
from spikeneuro.bench.suite_files import known_suites
from spikeneuro.bench.variants import variant_names
from spikeneuro.errors import InputError

#: Packages of each extra, by the module that shows whether it can be used.
EXTRAS = {"eeg": ("moabb", "mne_bids", "braindecode", "pyriemann"), "dask": ("dask", "distributed")}
_CORE = ("torch", "numpy", "scipy", "scikit-learn", "skorch", "snntorch", "mne", "nibabel", "nilearn", "numba")


def show(what: str) -> None:
    """Print the table of models, encoders, datasets or suites."""
    table = {"models": _models, "encoders": _encoders, "datasets": _datasets, "suites": _suites}[what]()
    _console().print(table)


def show_info() -> None:
    """Print versions, backends, thread counts, optional packages and the data found."""
    console = _console()
    console.print(_table("versions", ("package", "version"), _versions()))
    console.print(_table("backends", ("backend", "state"), _backends()))
    console.print(_table("optional packages", ("extra", "package", "state"), _extras()))
    console.print(_table("data", ("folder", "content"), _data()))


def _models() -> Table:
    rows = (
        (row.name, "spiking" if row.spiking else row.kind, ", ".join(row.inputs), ", ".join(row.tasks), row.summary)
        for row in registry.MODELS
    )
    return _table("models", ("name", "kind", "input", "tasks", "summary"), rows)


def _encoders() -> Table:
    from spikeneuro import encoders

    rows = (
        (name, kind.__name__, (kind.__doc__ or "").strip().partition("\n")[0])
        for name, kind in encoders.ENCODERS.items()
    )
    return _table("encoders", ("name", "class", "code"), rows)


def _datasets() -> Table:
    from spikeneuro.bench.sources import adapters
    from spikeneuro.data import BUILTIN

    rows = [(name, "built in", (load.__doc__ or "").strip().partition("\n")[0]) for name, load in BUILTIN.items()]
    folder = Path("benchmarks") / "datasets"
    if folder.is_dir():
        rows += [(name, str(folder), summary) for name, summary in adapters(folder).items()]
    return _table("data sets", ("source", "from", "content"), rows)


def _suites() -> Table:
    rows = []
    for name, path in known_suites().items():
        try:
            document = read_yaml(path)
            title, variants = str(document.content.get("title", "")), ", ".join(variant_names(document))
        except InputError as error:
            title, variants = str(error), ""
        rows.append((name, title, variants, str(path.parent)))
    return _table("suites", ("name", "title", "variants", "folder"), rows)


def _versions() -> Iterable[tuple[str, str]]:
    yield "spikeneuro", __version__
    yield "python", platform.python_version()
    for name in _CORE:
        yield name, importlib.metadata.version(name)


def _backends() -> Iterable[tuple[str, str]]:
    import torch

    from spikeneuro import ops

    yield "neurons", ", ".join(name for name in ops.BACKENDS if name != "auto")
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        taken, reason = ops.choose_backend(torch.zeros(1, 1, 1, device=device))
        yield f"auto, {device}", f"{taken} ({reason})"
    yield "processors", f"{os.cpu_count()}"
    yield "torch threads", f"{torch.get_num_threads()}"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield "cuda", ", ".join(names) if names else f"no device (torch built for {torch.version.cuda or 'the CPU only'})"


def _extras() -> Iterable[tuple[str, str, str]]:
    for extra, modules in EXTRAS.items():
        for module in modules:
            try:
                with warnings.catch_warnings():  # of the packages to their developers
                    warnings.simplefilter("ignore")
                    importlib.import_module(module)
                state = importlib.metadata.version(module.replace("_", "-"))
            except Exception as error:  # noqa: BLE001 - an incompatible build fails with anything; the reason is shown
                state = f"cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
            yield extra, module, state


def _data() -> Iterable[tuple[str, str]]:
    value = os.environ.get("SPIKENEURO_DATA")
    if not value:
        yield "SPIKENEURO_DATA", "not set; it names the folder that holds the data sets"
        return
    root = Path(value).expanduser()
    if not root.is_dir():
        yield str(root), "SPIKENEURO_DATA names it, but it is not a folder"
        return
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir()) or [root]:
        files = [file for file in folder.rglob("*") if file.is_file()]
        yield str(folder.relative_to(root)), f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB"


def _table(title: str, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for position, heading in enumerate(headings):
        table.add_column(heading, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    return console if sys.stdout.isatty() else Console(highlight=False, markup=False, width=160)
