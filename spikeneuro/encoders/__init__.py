"""Signals to spikes, and back where that is possible.

`ENCODERS` is the table of all of them; a row is all it takes to add one.
"""

import inspect
from typing import Any

from spikeneuro._validation import check_choice, suggestion
from spikeneuro.encoders.base import Encoder, IntensityEncoder
from spikeneuro.encoders.bsa import BSAEncoder
from spikeneuro.encoders.burst import BurstEncoder
from spikeneuro.encoders.changes import ChangeEncoder
from spikeneuro.encoders.delta import DeltaEncoder
from spikeneuro.encoders.direct import DirectEncoder
from spikeneuro.encoders.latency import LatencyEncoder
from spikeneuro.encoders.moving_window import MovingWindowEncoder
from spikeneuro.encoders.phase import PhaseEncoder
from spikeneuro.encoders.population import PopulationEncoder
from spikeneuro.encoders.rate import RateEncoder
from spikeneuro.encoders.step_forward import StepForwardEncoder
from spikeneuro.errors import InputError

ENCODERS: dict[str, type[Encoder]] = {
    "direct": DirectEncoder,
    "rate": RateEncoder,
    "latency": LatencyEncoder,
    "delta": DeltaEncoder,
    "step-forward": StepForwardEncoder,
    "moving-window": MovingWindowEncoder,
    "bsa": BSAEncoder,
    "population": PopulationEncoder,
    "phase": PhaseEncoder,
    "burst": BurstEncoder,
}

__all__ = [
    "ENCODERS", "BSAEncoder", "BurstEncoder", "ChangeEncoder", "DeltaEncoder", "DirectEncoder", "Encoder",
    "IntensityEncoder", "LatencyEncoder", "MovingWindowEncoder", "PhaseEncoder", "PopulationEncoder", "RateEncoder",
    "StepForwardEncoder", "create", "names",
]  # fmt: skip


def names(images: bool | None = None) -> list[str]:
    """Names of the encoders, in the order of the table.

    Parameters
    ----------
    images : bool, optional
        Only those that take images (True) or only those that do not (False).

    Returns
    -------
    list of str
        Names that `create` and models take.

    Examples
    --------
    >>> from spikeneuro import encoders
    >>> encoders.names(images=False)
    ['delta', 'step-forward', 'moving-window', 'bsa']
    """
    return [name for name, kind in ENCODERS.items() if images is None or kind.takes_images == images]


def create(name: str, **params: Any) -> Encoder:
    """Build the encoder called `name`.

    Parameters
    ----------
    name : str
        One of `names`.
    **params
        Arguments of its class.

    Returns
    -------
    Encoder
        Not fitted.

    Raises
    ------
    InputError
        If the name or a parameter is unknown; the nearest known one is offered.

    Examples
    --------
    >>> from spikeneuro import encoders
    >>> encoders.create("delta", threshold=0.5)
    DeltaEncoder(steps_per_sample=1, features_per_channel=2, off=True, padding=True)
    """
    kind = ENCODERS[check_choice(name, ENCODERS, "encoder")]
    known = inspect.signature(kind).parameters
    for given in params:
        if given not in known:
            raise InputError(f"encoder {name!r} has no parameter {given!r}; {suggestion(given, known)}")
    return kind(**params)
