"""Recordings of a suite: from an adapter file beside it or a built-in source, kept in memory once per process."""

import hashlib
import importlib.util
import inspect
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikeneuro._validation import suggestion
from spikeneuro.bench.identity import canonical, source_text
from spikeneuro.bench.suite import DataSource
from spikeneuro.data import BUILTIN, Recordings, load_builtin
from spikeneuro.errors import DataNotFoundError, InputError

#: Data sets kept in memory; a suite rarely has more, and one evicted is only loaded again.
KEPT = 2
_kept: "OrderedDict[str, Recordings]" = OrderedDict()


def load_recordings(source: DataSource) -> Recordings:
    """Recordings of `source`; the same source with the same parameters is loaded once per process.

    Data under another root (``SPIKENEURO_DATA``) are other data.

    Raises
    ------
    InputError
        If there is no such file, function or built-in source, a parameter is unknown, or the data cannot be used.
    """
    name = canonical([_adapter_text(source), source.source, str(source.folder.resolve()), dict(source.params), _root()])
    if name in _kept:
        _kept.move_to_end(name)
        return _kept[name]
    while len(_kept) >= KEPT:
        _kept.popitem(last=False)
    recordings = _call(source)
    if not isinstance(recordings, Recordings):
        raise InputError(f"data source {source.source!r} returned {type(recordings).__name__}, not Recordings.")
    _kept[name] = recordings
    return recordings


def _root() -> str | None:
    """Where data sets lie now, whether or not the source reads any."""
    value = os.environ.get("SPIKENEURO_DATA")
    return str(Path(value).expanduser().resolve()) if value else None


def adapter_fingerprint(source: DataSource) -> str:
    """Hash of the adapter's code, comments and docstrings aside; empty for a built-in source."""
    text = _adapter_text(source)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def adapters(folder: Path) -> dict[str, str]:
    """First line of the docstring of each adapter function in the files of `folder`, by ``file.py:function``.

    The files are read, not run.
    """
    import ast

    found = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[f"{path.name}:{node.name}"] = (ast.get_docstring(node) or "").partition("\n")[0]
    return found


def _adapter_path(source: DataSource) -> Path | None:
    file, separator, _ = source.source.rpartition(":")
    return source.folder / file if separator else None


def _adapter_text(source: DataSource) -> str:
    path = _adapter_path(source)
    if path is None:
        return ""
    if not path.is_file():
        raise DataNotFoundError(f"data source {source.source!r}: there is no file {path}.")
    return source_text(path)


def _call(source: DataSource) -> Any:
    path = _adapter_path(source)
    if path is None:
        if source.source not in BUILTIN:
            raise InputError(
                f"data source {source.source!r} is neither built in nor file.py:function; "
                f"{suggestion(source.source, BUILTIN)}"
            )
        return load_builtin(source.source, **source.params)
    function = _adapter(source, path)
    _check_parameters(function, source)
    return function(**source.params)


def _adapter(source: DataSource, path: Path) -> Callable[..., Any]:
    name = source.source.rpartition(":")[2]
    module = _import_file(path)
    function = getattr(module, name, None)
    if not callable(function):
        public = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        raise InputError(f"data source {source.source!r}: {path} has no function {name!r}; {suggestion(name, public)}")
    return function


def _import_file(path: Path) -> Any:
    """Module of the file, run anew under a name of its own."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"spikeneuro_adapter_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _check_parameters(function: Callable[..., Any], source: DataSource) -> None:
    known = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in source.params:
        if name not in known:
            raise InputError(f"data source {source.source!r} has no parameter {name!r}; {suggestion(name, known)}")
    missing = [key for key, p in known.items() if p.default is p.empty and key not in source.params]
    if missing:
        raise InputError(
            f"data source {source.source!r} needs {', '.join(missing)}; given: {json.dumps(sorted(source.params))}."
        )
