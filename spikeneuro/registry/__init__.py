"""The table of every model: explicit, below the modules it names, importing none until asked.

`models` builds from it, `training` resolves names through it, and a completeness test ties it to tests and docs.
A row is all it takes to add a model; nothing is registered by import side effect.
"""

from spikeneuro._validation import check_choice, suggestion
from spikeneuro.errors import InputError
from spikeneuro.registry.networks import NETWORKS
from spikeneuro.registry.pipelines import PIPELINES
from spikeneuro.registry.row import Inputs, ModelEntry

__all__ = ["INPUTS_OF_MODALITY", "MODELS", "ModelEntry", "entry", "names"]

#: What kind of input a recording of each modality is for a model.
INPUTS_OF_MODALITY: dict[str, Inputs] = {
    "eeg": "signal",
    "ecg": "signal",
    "fmri": "signal",
    "signal": "signal",
    "image": "image",
    "features": "features",
    "several": "several",
}

MODELS: tuple[ModelEntry, ...] = (*NETWORKS, *PIPELINES)


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
    modality : {"eeg", "ecg", "fmri", "signal", "image", "features", "several"}, optional
        Only models that take this modality's input, or several modalities together.
    spiking : bool, optional
        Only spiking (True) or only non-spiking (False) models.
    kind : {"network", "pipeline"}, optional
        Only torch networks or only scikit-learn pipelines.
    task : {"classification", "regression", "steps"}, optional
        Only models that can be trained for it.

    Returns
    -------
    list of str
        Names that suites, estimators and `models.create` take.
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
