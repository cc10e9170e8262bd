"""Spiking neural networks on neuroimaging signals, evaluated honestly.

Submodules are imported when first used, so that ``import spikeneuro`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from spikeneuro._version import __version__

if TYPE_CHECKING:
    from spikeneuro import (
        bench,
        data,
        encoders,
        energy,
        errors,
        evaluation,
        explain,
        models,
        nn,
        ops,
        plasticity,
        report,
        reservoir,
        training,
    )
    from spikeneuro.training import NeuroClassifier, NeuroRegressor

_SUBMODULES = (
    "bench",
    "data",
    "encoders",
    "energy",
    "errors",
    "evaluation",
    "explain",
    "models",
    "nn",
    "ops",
    "plasticity",
    "report",
    "reservoir",
    "training",
)
_FROM_TRAINING = ("NeuroClassifier", "NeuroRegressor")

__all__ = [
    "NeuroClassifier", "NeuroRegressor", "__version__", "bench", "data", "encoders", "energy", "errors",
    "evaluation", "explain", "models", "nn", "ops", "plasticity", "report", "reservoir", "training",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"spikeneuro.{name}")
    if name in _FROM_TRAINING:
        return getattr(importlib.import_module("spikeneuro.training"), name)
    raise AttributeError(f"module 'spikeneuro' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
