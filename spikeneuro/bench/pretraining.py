"""Pre-training by plasticity that a candidate names: read from a suite, and made into callbacks of its estimator."""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spikeneuro._validation import suggestion
from spikeneuro.bench.reading import Reader
from spikeneuro.errors import InputError

#: What may pre-train a network before gradients do, and the callback that does it.
METHODS = {
    "stdp": "spikeneuro.plasticity:STDPPretraining",
    "recurrent-stdp": "spikeneuro.models.recurrent_stdp:RecurrentSTDPPretraining",
}
#: Code that decides what pre-training does, for the keys of the cells that have any.
CODE = ("bench/pretraining.py", "plasticity")


@dataclass(frozen=True)
class Pretraining:
    """Training of a network by plasticity before gradients train it: a name of `METHODS` and its options."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)


def read_pretraining(reader: Reader) -> tuple[Pretraining, ...]:
    """Read the list at ``pretraining`` of a candidate; names of options are checked where callbacks are made."""
    parts = []
    for part in reader.each("pretraining"):
        method = part.choice("method", METHODS)
        given = part.keys()
        parts.append(Pretraining(method, {key: part.value(key) for key in given if key != "method"}))
    return tuple(parts)


def pretraining_callbacks(parts: Iterable[Pretraining]) -> list[Any]:
    """Callbacks that do the pre-training, made anew, in its order.

    Raises
    ------
    InputError
        For an option that is unknown or missing.
    """
    return [_callback(part) for part in parts]


def check_pretraining(parts: Iterable[Pretraining], module: Any) -> None:
    """Raise if a network like `module` could not be pre-trained so."""
    for part in parts:
        callback = _callback(part)
        try:
            callback.check(module)
        except InputError as error:
            raise type(error)(f"pretraining {part.method!r}: {error}") from error


def _callback(part: Pretraining) -> Any:
    home, _, name = METHODS[part.method].partition(":")
    build = getattr(importlib.import_module(home), name)
    parameters = inspect.signature(build).parameters
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for option in part.options:
        if option not in parameters and not takes_more:
            raise InputError(f"pretraining {part.method!r} has no option {option!r}; {suggestion(option, parameters)}")
    for option, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if needed and option not in part.options:
            raise InputError(f"pretraining {part.method!r} needs the option {option!r}.")
    return build(**part.options)
