"""Sphinx extension that writes the pages of the reference from what the package offers, before they are read.

The lists cannot fall behind: they are made from each module's ``__all__``, from the table of models and from the
command line itself.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from public_names import MODULES, names_of


def _heading(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * len(text)}\n"


def _summary(module: str) -> str:
    """First paragraph of a module's docstring."""
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return text.split("\n\n", 1)[0]


def _autosummary(module: str, names: list[str]) -> str:
    listed = "\n".join(f"   {name}" for name in names)
    return f".. currentmodule:: {module}\n\n.. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{listed}\n"


def _grouped(module: str) -> list[str]:
    """Sections of classes, functions and tables, each where there are any."""
    loaded = importlib.import_module(module)
    groups: dict[str, list[str]] = {"Classes": [], "Functions": [], "Tables": []}
    for name in names_of(module):
        value = getattr(loaded, name)
        kind = "Classes" if inspect.isclass(value) else "Functions" if inspect.isroutine(value) else "Tables"
        groups[kind].append(name)
    return [_heading(title, "-") + "\n" + _autosummary(module, names) for title, names in groups.items() if names]


def module_page(module: str) -> str:
    """Page of one module: what it is for, and its public names."""
    # What stands below the first paragraph is for readers of the source, but for the tables of this module.
    text = inspect.getdoc(importlib.import_module(module)) if module == "spikeneuro.ops.surrogates" else None
    parts = [_heading(MODULES[module]), f"``{module}``", text or _summary(module)]
    if module == "spikeneuro.models":
        parts += ["Built with `spikeneuro.models.create`; the names are those of suites and estimators.", model_table()]
    return "\n\n".join([*parts, *_grouped(module)]) + "\n"


def model_table() -> str:
    """Table of the registry, and pages of the classes and builders behind it."""
    from spikeneuro.registry import MODELS

    rows = [".. list-table::\n   :header-rows: 1\n   :widths: 18 10 10 16 46\n",
            "   * - name\n     - kind\n     - input\n     - tasks\n     - what it is"]  # fmt: skip
    for row in MODELS:
        kind = "spiking" if row.spiking else row.kind
        target = row.target.replace(":", ".")
        extra = f" (needs the extra ``{row.extra}``)" if row.extra else ""
        rows.append(f"   * - :obj:`{row.name} <{target}>`\n     - {kind}\n     - {', '.join(row.inputs)}\n"
                    f"     - {', '.join(row.tasks)}\n     - {row.summary}{extra}. {row.reference}.")  # fmt: skip
    by_module: dict[str, list[str]] = {}
    for row in MODELS:
        module, _, name = row.target.partition(":")
        if name not in by_module.setdefault(module, []):
            by_module[module].append(name)
    pages = "\n".join(_autosummary(module, names) for module, names in by_module.items())
    return "\n".join(rows) + "\n\n" + _heading("Behind the table", "-") + "\n" + pages


def command_page() -> str:
    """The command line: each command with its arguments, options and their help."""
    import click
    import typer

    from spikeneuro.cli import app

    command = typer.main.get_command(app)
    parts = [_heading("Command line"), command.help or ""]
    with click.Context(command, info_name="spikeneuro") as context:
        parts += [_command(command.get_command(context, name), name) for name in command.list_commands(context)]
    return "\n\n".join(parts) + "\n"


def _command(command: Any, name: str) -> str:
    import click

    with click.Context(command, info_name=f"spikeneuro {name}") as context:
        usage = command.get_usage(context).removeprefix("Usage: ")
        lines = [_heading(f"spikeneuro {name}", "-"), command.help or "", f"::\n\n   {usage}\n"]
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record and "--help" not in record[0]:
                lines.append(f"``{record[0]}``\n   {record[1] or ' '}")
            elif isinstance(parameter, click.Argument):
                lines.append(f"``{parameter.make_metavar(context)}``\n   {getattr(parameter, 'help', '') or ' '}")
    return "\n\n".join(lines)


def write_pages(folder: Path) -> None:
    """Write the index and a page per module into `folder`, touching only what changed."""
    pages = {module.removeprefix("spikeneuro."): module_page(module) for module in MODULES}
    listed = "\n".join(f"   {name}" for name in [*pages, "command-line"])
    pages["command-line"] = command_page()
    pages["index"] = (
        _heading("Reference")
        + "\nEvery public name, with its equation, shapes, units and source. Signals are ``(batch, channels, times)``"
        + " in volts, spikes ``(time, batch, features)``, times in seconds.\n\n"
        + f".. toctree::\n   :maxdepth: 1\n\n{listed}\n"
    )
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _skip(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what other packages' classes bring along, and fields of named tuples (their docstring is a number)."""
    del app, what, name, skip, options
    if type(value).__name__ == "_tuplegetter":
        return True
    function = value.fget if isinstance(value, property) else inspect.unwrap(getattr(value, "__func__", value))
    return None if str(getattr(function, "__module__", "")).startswith("spikeneuro") else True


def _escape(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep the star of ``(time, batch, *features)`` from starting an emphasis."""
    del app, what, name, value, options
    lines[:] = [re.sub(r"(?<=, )\*(?=[a-z])", r"\\*", line) for line in lines]


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx: pages must be there before it looks for sources."""
    app.connect("config-inited", lambda app, _config: write_pages(Path(app.srcdir) / "reference"))
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _escape, priority=600)  # after numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
