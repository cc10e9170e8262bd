"""Rules and homeostasis by name and numbers, as a suite's file gives them."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from spikeneuro._validation import suggestion
from spikeneuro.errors import InputError
from spikeneuro.plasticity.homeostasis import (
    Homeostasis,
    Normalisation,
    SynapticScaling,
    ThresholdHomeostasis,
    WeightDecay,
)
from spikeneuro.plasticity.pair import HyperbolicSTDP, PairSTDP
from spikeneuro.plasticity.rules import Rule
from spikeneuro.plasticity.triplet import TripletSTDP

RULES: dict[str, Callable[..., Rule]] = {
    "pair": PairSTDP,
    "triplet": TripletSTDP,
    "triplet-visual-cortex": TripletSTDP.visual_cortex,
    "triplet-hippocampus": TripletSTDP.hippocampus,
    "hyperbolic": HyperbolicSTDP,
}
HOMEOSTASIS: dict[str, Callable[..., Homeostasis]] = {
    "normalisation": Normalisation,
    "synaptic-scaling": SynapticScaling,
    "threshold": ThresholdHomeostasis,
    "weight-decay": WeightDecay,
}

Given = str | Mapping[str, Any]


def as_rule(given: Rule | Given, dt: float) -> Rule:
    """Return a rule given as such, by its name, or as a mapping of its name and constants.

    Parameters
    ----------
    given : Rule, str or mapping
        A rule is returned as it is. Names are those of `RULES`; a mapping holds ``name`` and the rule's constants.
        Constants of a fitted rule ("triplet-visual-cortex") may be changed so, too.
    dt : float
        Length of a step, for a rule that is named; its time constants are in the same unit.

    Returns
    -------
    Rule
        The rule.

    Raises
    ------
    InputError
        For an unknown name or constant, with the nearest known one; for a number out of range; and for a named rule
        one of whose windows, `tau_plus` or `tau_minus`, is shorter than a step, so that it would hardly ever see the
        two spikes of a pair together.

    Examples
    --------
    >>> as_rule({"name": "pair", "tau_plus": 0.03}, dt=0.01).tau_plus
    0.03
    """
    if isinstance(given, Rule):
        return given
    name, constants = _named(given, RULES, "rule")
    build = RULES[name]
    own = inspect.signature(build).parameters
    plain = build(dt=dt)
    fields = inspect.signature(type(plain)).parameters
    _check_names(constants, {*own, *fields} - {"dt"}, f"rule {name!r}")
    for key, value in constants.items():
        if isinstance(value, str) and not isinstance(getattr(plain, key, ""), str):
            raise InputError(
                f"rule {name!r}: {key} must be a number, got {value!r} (in YAML 1e-3 is text, 1.0e-3 a number)."
            )
    made = build(dt=dt, **{key: value for key, value in constants.items() if key in own})
    rest = {key: value for key, value in constants.items() if key not in own}
    rule = dataclasses.replace(made, **rest) if rest else made
    for key in ("tau_plus", "tau_minus"):
        longest = float(torch.as_tensor(getattr(rule, key, torch.inf), dtype=torch.float64).max())
        if longest < dt:
            raise InputError(
                f"rule {name!r} has {key}={longest:g}, less than a step of the neurons ({dt:g}); "
                "give time constants in the unit of the network's."
            )
    return rule


def as_homeostasis(given: Homeostasis | Given | Sequence[Homeostasis | Given]) -> tuple[Homeostasis, ...]:
    """Return homeostasis given as such, by name, or as mappings of name and numbers.

    Parameters
    ----------
    given : Homeostasis, str or mapping, or sequence of them
        Names are those of `HOMEOSTASIS`; a mapping holds ``name`` and the numbers.

    Returns
    -------
    tuple of Homeostasis
        In the same order.

    Raises
    ------
    InputError
        For an unknown name or number, with the nearest known one.

    Examples
    --------
    >>> as_homeostasis([{"name": "normalisation", "total": 5.0}])
    (Normalisation(every='sequence', total=5.0),)
    """
    if isinstance(given, (Homeostasis, str, Mapping)):
        given = [given]
    parts: list[Homeostasis] = []
    for part in given:
        if isinstance(part, Homeostasis):
            parts.append(part)
            continue
        name, numbers = _named(part, HOMEOSTASIS, "homeostasis")
        build = HOMEOSTASIS[name]
        parameters = inspect.signature(build).parameters
        _check_names(numbers, parameters, f"homeostasis {name!r}")
        for key, parameter in parameters.items():
            if parameter.default is parameter.empty and key not in numbers:
                raise InputError(f"homeostasis {name!r} needs {key!r}.")
        parts.append(build(**numbers))
    return tuple(parts)


def _named(given: Any, known: Mapping[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    """Name, checked, and the numbers beside it."""
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise InputError(f"{what} must be an object, a name, or a mapping with the key 'name', got {given!r}.")
    if given["name"] not in known:
        raise InputError(f"unknown {what} {given['name']!r}; {suggestion(given['name'], known)}")
    return given["name"], {key: value for key, value in given.items() if key != "name"}


def _check_names(given: Iterable[str], known: Iterable[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise InputError(f"{what} has no {key!r}; {suggestion(key, known)}")
