"""From a candidate to an unfitted estimator that fits the recordings."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spikeneuro import models
from spikeneuro._random import scoped_seed
from spikeneuro._validation import suggestion
from spikeneuro.bench.pretraining import check_pretraining, pretraining_callbacks
from spikeneuro.bench.suite import Candidate
from spikeneuro.data import Recordings
from spikeneuro.errors import InputError
from spikeneuro.registry import ModelEntry

#: Arguments of the classifier that mean nothing for regression; a suite's defaults may hold them for its other part.
_CLASSIFIER_ONLY = ("class_weight", "label_smoothing")
_PREFIXES = ("optimizer__", "net__")
#: Set by the harness, so not a candidate's to choose.
_OURS = ("model", "sfreq", "random_state", "verbose", "callbacks")
#: Arguments of the net that the estimator itself gives.
_SET_BY_ESTIMATOR = (
    "module", "criterion", "optimizer", "lr", "max_epochs", "batch_size", "iterator_train", "iterator_valid",
    "train_split", "callbacks", "device", "verbose", "kwargs",
)  # fmt: skip


def build(candidate: Candidate, recordings: Recordings, task: str, seed: int) -> Any:
    """Unfitted estimator of `candidate` for these recordings.

    Networks become `NeuroClassifier` or `NeuroRegressor` with the candidate's hyperparameters as ``module__x``;
    pipelines are built by `spikeneuro.models.create`. Both get `seed` as random state.
    """
    entry = candidate.entry
    if entry.kind == "pipeline":
        ours = {
            **_sizes(recordings),
            "n_outputs": n_outputs(recordings),
            "sfreq": sfreq_of(recordings),
            "task": task,
            "random_state": seed,
            **_channels(candidate, recordings),
        }
        _refuse(candidate.params, ours)
        return models.create(candidate.model, **ours, **candidate.params)
    estimator = _estimator_class(task)(
        candidate.model,
        sfreq=sfreq_of(recordings),
        random_state=seed,
        callbacks=pretraining_callbacks(candidate.pretraining),
        **_training(candidate, task),
        **{f"module__{name}": value for name, value in _hyperparameters(candidate, task).items()},
    )
    windows = candidate.windows
    if windows is None:
        return estimator
    from spikeneuro.training import Windowed

    return Windowed(estimator, length=windows.length, step=windows.step, max_windows=windows.max_windows)


def check(candidate: Candidate, recordings: Recordings, task: str) -> None:
    """Raise if the candidate cannot be built for these recordings: wrong input, unknown argument, absent package."""
    try:
        _check(candidate, seen_by(candidate, recordings), task)
    except InputError as error:
        raise type(error)(f"candidate {candidate.name!r}: {error}") from error


def seen_by(candidate: Candidate, recordings: Recordings) -> Recordings:
    """Recordings as the candidate sees them: all of them, or one modality of several."""
    if candidate.modality is None:
        return recordings
    if not isinstance(recordings.X, dict):
        raise InputError(f"modality {candidate.modality!r} was asked for, but the recordings hold one modality only.")
    return recordings.part(candidate.modality)


def _check(candidate: Candidate, recordings: Recordings, task: str) -> None:
    entry = candidate.entry
    kind = input_kind(recordings)
    if kind not in entry.inputs and not (kind == "features" and "signal" in entry.inputs):
        raise _unfit(entry, recordings, kind)
    if entry.kind == "pipeline":
        if candidate.windows is not None:
            raise InputError("windows are cut for networks; a pipeline takes the whole recordings.")
        build(candidate, recordings, task, seed=0)
        return
    if recordings.ragged and candidate.windows is None:
        raise InputError("the recordings differ in length; say windows: {length: ..., step: ...}.")
    _check_training(candidate, task)
    sizes = _sizes(recordings)
    if candidate.windows is not None:
        if kind != "signal":
            raise InputError(f"windows are cut from signals, the recordings hold {kind}.")
        sizes["n_times"] = candidate.windows.length
    if kind not in ("image", "several"):
        sizes["sfreq"] = sfreq_of(recordings)
    sizes["n_outputs"] = n_outputs(recordings)
    _refuse(candidate.params, sizes)
    with scoped_seed(0):
        module = models.create(candidate.model, **sizes, **_hyperparameters(candidate, task))
    check_pretraining(candidate.pretraining, module)


def _refuse(params: Iterable[str], ours: Iterable[str]) -> None:
    """Refuse hyperparameters that the harness gives."""
    for name in params:
        if name in ours:
            raise InputError(f"params: {name!r} follows from the recordings and the suite; leave it out.")


def _unfit(entry: ModelEntry, recordings: Recordings, kind: str) -> InputError:
    """Error for a model that takes other input than the recordings hold."""
    if kind == "several":
        held = ", ".join(recordings.X)
        takes = f"model {entry.name!r} takes {' or '.join(entry.inputs)} input, the recordings hold {held}"
        return InputError(f"{takes}; give the candidate one of them, such as modality: {next(iter(recordings.X))}.")
    if "several" in entry.inputs:
        return InputError(f"model {entry.name!r} takes several modalities, the recordings hold one ({kind}).")
    return InputError(f"model {entry.name!r} takes {' or '.join(entry.inputs)} input, the recordings hold {kind}.")


def _check_training(candidate: Candidate, task: str) -> None:
    """Refuse training arguments that are unknown, or of which every fit would complain."""
    training = _training(candidate, task)
    known = [name for name in inspect.signature(_estimator_class("classification")).parameters if name not in _OURS]
    for name in training:
        if name not in known and not name.startswith(_PREFIXES):
            raise InputError(f"training has no argument {name!r}; {suggestion(name, known)}")
    _check_net_options([name.removeprefix("net__") for name in training if name.startswith("net__")])
    _estimator_class(task)(candidate.model, **training).check_parameters()


def _check_net_options(names: Iterable[str]) -> None:
    from skorch import NeuralNet

    known = [name for name in inspect.signature(NeuralNet).parameters if name not in _SET_BY_ESTIMATOR]
    for name in names:
        if name.partition("__")[0] not in known:
            raise InputError(f"net__{name} is no option of the net; {suggestion(name, known)}")


def input_kind(recordings: Recordings) -> str:
    """What the samples are for a model: signal, image, features, or several of these."""
    if isinstance(recordings.X, dict):
        return "several"
    if recordings.ragged:
        return "signal"
    return {2: "features", 3: "signal", 4: "image"}[recordings.X.ndim]


def n_outputs(recordings: Recordings) -> int:
    """Number of classes, or 1 for regression."""
    if recordings.task == "regression":
        return 1
    if recordings.label_names is not None:
        return len(recordings.label_names)
    return int(recordings.y.max()) + 1


def _sizes(recordings: Recordings) -> dict[str, Any]:
    """Sizes of one sample in the models' vocabulary."""
    kind = input_kind(recordings)
    if kind == "several":
        from spikeneuro.training.modalities import sizes_of

        return {"modalities": sizes_of({k: x.shape[1:] for k, x in recordings.X.items()}, sfreq_of(recordings))}
    if recordings.ragged:
        return {"n_chans": recordings.X[0].shape[0], "n_times": None}
    shape = recordings.X.shape[1:]
    if kind == "image":
        return {"in_chans": shape[0], "image_size": tuple(shape[1:])}
    if kind == "features":
        return {"n_chans": 1, "n_times": shape[0]}
    return {"n_chans": shape[0], "n_times": shape[1]}


def _channels(candidate: Candidate, recordings: Recordings) -> dict[str, Any]:
    """Names, places and kind of the channels, for pipelines that ask for them and whose candidate does not say them."""
    told = {
        "channel_names": recordings.names,
        "channel_positions": recordings.positions,
        "modality": recordings.modality,
    }
    asked = inspect.signature(candidate.entry.load()).parameters
    return {name: value for name, value in told.items() if name in asked and name not in candidate.params}


def sfreq_of(recordings: Recordings) -> Any:
    """Sampling rate, by modality where there are several.

    Where recordings differ in it, their median, which only scales time constants in seconds.
    """
    if isinstance(recordings.sfreq, dict):
        return {name: None if rate is None else float(rate) for name, rate in recordings.sfreq.items()}
    if recordings.sfreq is None and "tr" in recordings.metadata:
        return float(1.0 / np.median(recordings.metadata["tr"].to_numpy(float)))
    return None if recordings.sfreq is None else float(recordings.sfreq)


def _estimator_class(task: str) -> Any:
    from spikeneuro import training

    return training.NeuroRegressor if task == "regression" else training.NeuroClassifier


def _training(candidate: Candidate, task: str) -> Mapping[str, Any]:
    dropped = _CLASSIFIER_ONLY if task == "regression" else ()
    return {name: value for name, value in candidate.training.items() if name not in dropped}


def _hyperparameters(candidate: Candidate, task: str) -> dict[str, Any]:
    """Hyperparameters of the module; models that can label steps are told so."""
    told = {"task": task} if task == "steps" else {}
    return {**told, **candidate.params}
