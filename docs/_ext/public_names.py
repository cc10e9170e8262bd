"""The public names of the package, by module: what the reference lists and what the tests validate."""

import importlib
import inspect
import types
from collections.abc import Iterator

#: Public modules in the order of the reference, each with the title of its page.
MODULES = {
    "spikeneuro.encoders": "Encoders",
    "spikeneuro.nn": "Layers",
    "spikeneuro.nn.heterogeneity": "Heterogeneous parameters",
    "spikeneuro.nn.presets": "Published neurons",
    "spikeneuro.ops": "Operations",
    "spikeneuro.ops.surrogates": "Surrogate gradients",
    "spikeneuro.ops.counts": "Operation counts",
    "spikeneuro.plasticity": "Plasticity",
    "spikeneuro.reservoir": "Reservoirs",
    "spikeneuro.models": "Models",
    "spikeneuro.models.rhythm_presets": "Published settings of rhythm-snn",
    "spikeneuro.models.dale_recurrence": "Recurrent layer of hrsnn",
    "spikeneuro.models.recurrent_stdp": "Plasticity of hrsnn",
    "spikeneuro.models.reward_stdp": "Classifier that learns from reward",
    "spikeneuro.registry": "Table of models",
    "spikeneuro.training": "Training",
    "spikeneuro.training.search": "Search of distributions",
    "spikeneuro.data": "Data",
    "spikeneuro.evaluation": "Evaluation",
    "spikeneuro.energy": "Energy",
    "spikeneuro.explain": "Explanation",
    "spikeneuro.bench": "Benchmarks",
    "spikeneuro.report": "Reports",
    "spikeneuro.report.plots": "Figures",
    "spikeneuro.errors": "Errors",
}


def names_of(module_name: str) -> list[str]:
    """Public names of a module: its ``__all__``, or what it defines itself; modules inside it are left out."""
    module = importlib.import_module(module_name)
    listed = getattr(module, "__all__", None)
    if listed is None:
        listed = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module_name
        ]
    return [name for name in listed if not isinstance(getattr(module, name), types.ModuleType)]


def model_targets() -> dict[str, str]:
    """Full name of the class or builder behind each model of our own, by model."""
    from spikeneuro.registry import MODELS

    return {row.name: row.target.replace(":", ".") for row in MODELS}


def documented() -> Iterator[str]:
    """Full names of all public classes and functions, and of the public methods they define themselves."""
    found = [f"{module}.{name}" for module in MODULES for name in names_of(module)]
    seen: set[int] = set()
    for full in [*found, *model_targets().values()]:
        module, _, name = full.rpartition(".")
        value = getattr(importlib.import_module(module), name)
        if not (inspect.isclass(value) or inspect.isfunction(value)) or id(value) in seen:
            continue
        seen.add(id(value))
        yield full
        if inspect.isclass(value):
            yield from (f"{full}.{method}" for method in own_methods(value))


def own_methods(owner: type) -> list[str]:
    """Public methods and properties that a class defines itself and documents."""
    return [
        name
        for name, value in vars(owner).items()
        if not name.startswith(("_", "set_")) and (inspect.isfunction(value) or isinstance(value, property))
        and value.__doc__
    ]  # fmt: skip
