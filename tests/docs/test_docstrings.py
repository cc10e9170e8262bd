"""Public docstrings: the checks of the documentation build, parameters and results complete, examples that run."""

import contextlib
import dataclasses
import doctest
import enum
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("numpydoc", reason="the documentation's tools are in the extra docs")
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import spikeneuro

ROOT = Path(__file__).parents[2]
MODULES = sorted(m.name for m in pkgutil.walk_packages(spikeneuro.__path__, "spikeneuro."))
#: Documented elsewhere, where the docstring sends the reader.
SENT_ON = {
    "spikeneuro.nn.LIFLayer": "LIF",
    "spikeneuro.training.NeuroRegressor": "NeuroClassifier",
    "spikeneuro.reservoir.DeSNNRegressor": "DeSNN",
    "spikeneuro.energy.Call": "Attributes",
}


def _load(name: str):
    """Module of the documentation build, without leaving its folder on the path."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_ext" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


public_names = _load("public_names")
CHECKS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["numpydoc_validation"]["checks"]
NAMES = list(public_names.documented())


def _resolve(full: str):
    parts = full.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        with contextlib.suppress(ImportError):
            value = importlib.import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                value = getattr(value, part)
            return value
    raise AssertionError(full)


def test_public_names_are_many_and_all_there() -> None:
    assert len(NAMES) > 200
    assert {"spikeneuro.nn.LIF", "spikeneuro.training.NeuroClassifier", "spikeneuro.energy.count"} <= set(NAMES)


@pytest.mark.parametrize("module", public_names.MODULES)
def test_docstrings_pass_the_checks_of_the_build(module) -> None:
    assert CHECKS[0] == "all"
    problems = {}
    for full in NAMES:
        if not full.startswith(module + ".") or any(
            full.startswith(other + ".") for other in public_names.MODULES if other.startswith(module + ".")
        ):
            continue
        errors = [f"{code} {text}" for code, text in validate(full)["errors"] if code not in CHECKS]
        if errors:
            problems[full] = errors
    assert not problems


def _described(value) -> set[str]:
    doc = get_doc_object(value)
    entries = [*doc["Parameters"], *doc["Other Parameters"], *(doc["Attributes"] if inspect.isclass(value) else ())]
    return {name.strip(" *") for entry in entries for name in entry.name.split(",")}


def _parameters(value) -> set[str]:
    named = inspect.signature(value).parameters.values()
    return {p.name for p in named if p.name not in ("self", "cls")}


TOP = [name for name in NAMES if not inspect.isclass(_resolve(name.rpartition(".")[0]))]


def test_parameters_and_results_are_documented() -> None:
    """Every parameter, in Parameters or (dataclasses) Attributes; every result. One sentence is enough for a function
    whose docstring has no sections at all."""
    missing = {}
    for full in TOP:
        value = _resolve(full)
        one_sentence = "\n\n" not in inspect.getdoc(value) and not dataclasses.is_dataclass(value)
        is_enum = inspect.isclass(value) and issubclass(value, (enum.Enum, Exception))
        if one_sentence or is_enum or full in SENT_ON:
            continue
        absent = _parameters(value) - _described(value) - ({"args", "kwargs"} if inspect.isclass(value) else set())
        if absent:
            missing[full] = sorted(absent)
        result = inspect.signature(value).return_annotation
        if inspect.isfunction(value) and result not in (None, "None") and not get_doc_object(value)["Returns"]:
            missing.setdefault(full, []).append("Returns")
    assert not missing


def test_those_sent_on_say_where() -> None:
    for full, target in SENT_ON.items():
        assert target in inspect.getdoc(_resolve(full)), full


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = importlib.import_module(module)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(loaded, optionflags=options).failed == 0
