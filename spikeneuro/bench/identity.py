"""What determines a result, as a hash: parameters in canonical form, and the code that runs."""

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from spikeneuro.errors import InputError
from spikeneuro.registry import ModelEntry

PACKAGE = Path(__file__).parents[1]

#: Code every cell runs, and what every network cell runs besides. The model's own file and what it imports inside
#: ``models`` come on top; data and outer splits count through the data's fingerprint and the fold's membership, the
#: choice of the validation part and of the groups it keeps together by their code.
ALWAYS = (
    "evaluation", "bench/cell.py", "bench/control.py", "bench/estimators.py", "bench/grouping.py", "bench/measure.py",
    "bench/scores.py", "data/units.py", "_random.py", "_several.py",
)  # fmt: skip
NETWORKS = ("ops", "encoders", "nn", "training", "energy", "data/inner.py")


def canonical(value: Any) -> str:
    """JSON with sorted keys and without spaces; equal content gives equal text.

    Raises
    ------
    InputError
        If something in it has no canonical form.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"a parameter cannot be written as JSON: {error}") from error


def digest(value: Any) -> str:
    """First 20 hexadecimal digits of the SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:20]


def code_fingerprint(entry: ModelEntry, besides: tuple[str, ...] = ()) -> str:
    """Hash of the code of this package that can change a result of the model, comments and docstrings aside.

    Code that a candidate uses `besides` that of its model, files or folders of the package, counts too.
    """
    return _code_fingerprint(entry.target, entry.kind, besides)


@functools.cache
def _code_fingerprint(target: str, kind: str, besides: tuple[str, ...]) -> str:
    names = (*ALWAYS, *(NETWORKS if kind == "network" else ()), *besides)
    module = PACKAGE.parent / (target.partition(":")[0].replace(".", "/") + ".py")
    files = {*_files(names), PACKAGE / "models" / "__init__.py"}
    files |= _imported(module, files)
    # Of the pipelines those that hold a reservoir are networks that the ledger counts.
    counted = kind == "network" or PACKAGE / "reservoir" / "__init__.py" in files
    files |= _files(("energy",)) if counted else set()
    texts = [(str(path.relative_to(PACKAGE)), source_text(path)) for path in sorted(files)]
    # Prices are data, and decide the modelled energy of a row.
    prices = sorted((PACKAGE / "energy" / "cost_models").glob("*.yaml")) if counted else []
    return digest([*texts, *((path.name, path.read_text(encoding="utf-8")) for path in prices)])


def source_text(path: Path) -> str:
    """Code of a Python file without comments, docstrings and layout, which cannot change a result."""
    return _source_text(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _source_text(path: Path, _modified: int) -> str:
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: not valid Python ({error.msg}).") from error
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _files(names: Iterable[str]) -> set[Path]:
    found: set[Path] = set()
    for name in names:
        path = PACKAGE / name
        found |= {path} if path.suffix == ".py" else set(path.rglob("*.py"))
    return {path for path in found if path.is_file()}


def _imported(module: Path, known: set[Path]) -> set[Path]:
    """Files of the package that `module` reaches by imports, itself included, beside those `known`."""
    found: set[Path] = set()
    pending = [module]
    while pending:
        path = pending.pop()
        if path in found or path in known or not path.is_file():
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            pending.extend(_targets(node))
    return found


def _targets(node: ast.AST) -> list[Path]:
    """Files that an import statement may mean."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    else:
        return []
    # The registry lists every model and would tie each to all others' rows; it counts through the model's own row.
    ours = [name for name in names if name.startswith("spikeneuro.") and name != "spikeneuro.registry"]
    bases = [PACKAGE.parent / name.replace(".", "/") for name in ours]
    return [path for base in bases for path in (base.with_suffix(".py"), base / "__init__.py")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "isoformat"):  # YAML dates
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} {value!r}")
