"""The table of every model: explicit, below the modules it names, importing none until asked.

`models` builds from it, `training` resolves names through it, and a completeness test ties it to tests and docs.
A row is all it takes to add a model; nothing is registered by import side effect.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from spikeneuro._validation import check_choice, suggestion
from spikeneuro.errors import InputError

Inputs = Literal["signal", "image", "features"]

#: What kind of input a recording of each modality is for a model.
INPUTS_OF_MODALITY: dict[str, Inputs] = {
    "eeg": "signal",
    "ecg": "signal",
    "fmri": "signal",
    "signal": "signal",
    "image": "image",
    "features": "features",
}


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table.

    Attributes
    ----------
    name : str
        Public name, as users type it.
    target : str
        ``module:attribute`` of the class (network) or builder function (pipeline).
    inputs : tuple of {"signal", "image", "features"}
        Input kinds: ``(batch, channels, times)``, ``(batch, channels, height, width)``, ``(batch, features)``.
    kind : {"network", "pipeline"}
        A torch module trained by the estimators, or a scikit-learn estimator that trains itself.
    spiking : bool
        Whether spikes carry the signal inside.
    tasks : tuple of {"classification", "regression", "steps"}
        What it can be trained for; "steps" is one label per time step.
    reference : str
        Paper or book, with DOI where there is one.
    summary : str
        One line for listings.
    extra : str, optional
        The extra of this package that installs what it needs.
    """

    name: str
    target: str
    inputs: tuple[Inputs, ...]
    kind: Literal["network", "pipeline"]
    spiking: bool
    tasks: tuple[str, ...]
    reference: str
    summary: str
    extra: str | None = None

    def load(self) -> Any:
        """Import and return the class or builder."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


MODELS: tuple[ModelEntry, ...] = ()


def entry(name: str) -> ModelEntry:
    """Row of the model called `name`; an unknown name raises with the nearest known one."""
    for row in MODELS:
        if row.name == name:
            return row
    raise InputError(f"unknown model {name!r}; {suggestion(name, [row.name for row in MODELS])}")


def names(
    modality: str | None = None,
    spiking: bool | None = None,
    kind: str | None = None,
    task: str | None = None,
) -> list[str]:
    """Names of the models that fit, in the order of the table.

    Parameters
    ----------
    modality : {"eeg", "ecg", "fmri", "signal", "image", "features"}, optional
        Only models that take this modality's input.
    spiking : bool, optional
        Only spiking (True) or only non-spiking (False) models.
    kind : {"network", "pipeline"}, optional
        Only torch networks or only scikit-learn pipelines.
    task : {"classification", "regression", "steps"}, optional
        Only models that can be trained for it.
    """
    inputs = None if modality is None else INPUTS_OF_MODALITY[check_choice(modality, INPUTS_OF_MODALITY, "modality")]
    return [
        row.name
        for row in MODELS
        if (inputs is None or inputs in row.inputs)
        and (spiking is None or row.spiking == spiking)
        and (kind is None or row.kind == kind)
        and (task is None or task in row.tasks)
    ]
