"""Checks of the estimators' parameters: each message names the parameter and what was received."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from spikeneuro._validation import check_choice, check_number, suggestion
from spikeneuro.errors import InputError
from spikeneuro.training.scaling import SCALES
from spikeneuro.training.schedules import SCHEDULES

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def split_decay(
    optimizer: Callable[..., torch.optim.Optimizer], groups: Iterable[dict[str, Any]], **options: Any
) -> torch.optim.Optimizer:
    """Optimiser whose weight decay leaves biases, gains and neuron parameters alone.

    Decay pulls towards zero, which means less connection for a weight. For a logarithmic time constant it would mean a
    pull towards one second (or one step, whatever the unit), so it applies to parameters of two or more dimensions.
    """
    parted = []
    for group in groups:
        settings = {name: value for name, value in group.items() if name != "params"}
        tensors = list(group["params"])
        parted.append({**settings, "params": [tensor for tensor in tensors if tensor.ndim >= 2]})
        parted.append({**settings, "params": [tensor for tensor in tensors if tensor.ndim < 2], "weight_decay": 0.0})
    return optimizer([group for group in parted if group["params"]], **options)


def check_parameters(parameters: Mapping[str, Any], monitors: tuple[str, ...]) -> None:
    """Raise for the first parameter of an estimator that is not what it should be.

    Parameters
    ----------
    parameters : mapping
        Parameters by name, those passed on left out.
    monitors : tuple of str
        What the best epoch can be chosen by.
    """
    given = dict(parameters)
    for name, scale in _by_modality(given["scale"], "scale"):
        check_choice(scale, SCALES, name)
    check_choice(given["optimizer"], OPTIMIZERS, "optimizer")
    check_choice(given["schedule"], SCHEDULES, "schedule")
    check_choice(given["monitor"], monitors, "monitor")
    check_number(given["max_epochs"], "max_epochs", low=0, integer=True)
    check_number(given["batch_size"], "batch_size", low=1, integer=True)
    check_number(given["lr"], "lr", low=0, closed="right")
    check_number(given["weight_decay"], "weight_decay", low=0)
    check_number(given["rate_penalty"], "rate_penalty", low=0)
    for name, sfreq in _by_modality(given["sfreq"], "sfreq"):
        if sfreq is not None:
            check_number(sfreq, name, low=0, closed="right")
    if given["gradient_clip"] is not None:
        check_number(given["gradient_clip"], "gradient_clip", low=0, closed="right")
    if given["validation_fraction"] is not None:
        check_number(given["validation_fraction"], "validation_fraction", low=0, high=1, closed="neither")
    if given["patience"] is not None:
        check_number(given["patience"], "patience", low=1, integer=True)
    if "label_smoothing" in given:
        check_number(given["label_smoothing"], "label_smoothing", low=0, high=1, closed="left")
    _check_band(given["rate_band"])
    _check_device(given["device"])


def _by_modality(value: Any, name: str) -> list[tuple[str, Any]]:
    """One value, or that of each modality, each with what to call it."""
    if isinstance(value, Mapping):
        return [(f"{name}[{key!r}]", own) for key, own in value.items()]
    return [(name, value)]


def _check_band(band: Any) -> None:
    try:
        low, high = band
    except (TypeError, ValueError) as error:
        raise InputError(f"rate_band must be a pair (lowest, highest), got {band!r}.") from error
    check_number(low, "rate_band[0]", low=0, high=1)
    check_number(high, "rate_band[1]", low=low, high=1)


def _check_device(name: Any) -> None:
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device={name!r} is not a torch device; use 'cpu' or 'cuda'.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device={name!r}: torch sees {torch.cuda.device_count()} CUDA device(s); use 'cpu'.")


def check_passed_on(optimizer: str, options: Mapping[str, Any]) -> None:
    """Refuse options the optimiser does not have, with the nearest one."""
    known = set(inspect.signature(OPTIMIZERS[optimizer]).parameters) - {"params", "lr", "weight_decay"}
    for name in options:
        if name not in known:
            raise InputError(f"optimizer__{name}: {optimizer!r} has no option {name!r}; {suggestion(name, known)}")
