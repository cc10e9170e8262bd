"""What the spiking networks share: encoders by name, clocks, the slope of the surrogate."""

from typing import Any

from torch import nn

from spikeneuro import encoders
from spikeneuro._validation import check_choice
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_sfreq
from spikeneuro.nn import OverTime
from spikeneuro.ops.surrogates import FastSigmoid, Surrogate, resolve

#: Slope of the fast sigmoid. Shallower than the customary 25: a steep surrogate starves layers that fire little.
SLOPE = 5.0


def as_encoder(encoder: str | Encoder, **options: Any) -> Encoder:
    """Encoder by name (built with `options`), or the object itself."""
    if isinstance(encoder, Encoder):
        return encoder
    if isinstance(encoder, str):
        return encoders.create(encoder, **options)
    raise InputError(f"encoder must be a name or an Encoder, got {type(encoder).__name__}; names: {encoders.names()}.")


def as_surrogate(surrogate: str | Surrogate) -> Surrogate:
    """Surrogate object; the name "fast_sigmoid" gets the slope of these networks."""
    return FastSigmoid(slope=SLOPE) if surrogate == "fast_sigmoid" else resolve(surrogate)


def step_length(tau_unit: str, sfreq: float | None, encoder: Encoder) -> float:
    """Length of one step in the unit of the time constants: seconds, or 1 where they are counted in steps."""
    if check_choice(tau_unit, ("seconds", "steps"), "tau_unit") == "steps":
        return 1.0
    rate = check_sfreq(sfreq, "time constants are in seconds (or count them in steps with tau_unit='steps')")
    return 1.0 / (rate * encoder.steps_per_sample)


def unwrap(module: nn.Module) -> nn.Module:
    """Return what `OverTime` wraps, to apply it once to an input that is the same at every step."""
    assert isinstance(module, OverTime)
    return module.module
