"""What the spiking networks share: encoders by name, clocks, the slope of the surrogate."""

from typing import Any

from torch import Tensor, nn

from spikeneuro import encoders
from spikeneuro._validation import check_choice
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import as_span, check_sfreq
from spikeneuro.nn import OverTime
from spikeneuro.nn.heterogeneity import LogSpaced
from spikeneuro.ops.surrogates import FastSigmoid, Surrogate, resolve

#: Slope of the fast sigmoid. Shallower than the customary 25: a steep surrogate starves layers that fire little.
SLOPE = 5.0


def as_encoder(encoder: str | Encoder, n_steps: int | None = None) -> Encoder:
    """Encoder by name, or the object itself.

    With `n_steps`, an encoder built by name holds each sample for that many steps; for "phase" that is its period.
    """
    if isinstance(encoder, Encoder):
        return encoder
    if not isinstance(encoder, str):
        raise InputError(
            f"encoder must be a name or an Encoder, got {type(encoder).__name__}; names: {', '.join(encoders.names())}."
        )
    length = "period" if encoder == "phase" else "steps_per_sample"
    return encoders.create(encoder, **({} if n_steps is None else {length: n_steps}))


def as_surrogate(surrogate: str | Surrogate) -> Surrogate:
    """Surrogate object; the name "fast_sigmoid" gets the slope of these networks."""
    return FastSigmoid(slope=SLOPE) if surrogate == "fast_sigmoid" else resolve(surrogate)


def log_spaced(span: Any, name: str) -> LogSpaced:
    """Time constants spread over a range given as a pair, the parameter `name`."""
    return LogSpaced(*as_span(span, name))


def step_length(tau_unit: str, sfreq: float | None, encoder: Encoder) -> float:
    """Length of one step in the unit of the time constants: seconds, or 1 where they are counted in steps."""
    if check_choice(tau_unit, ("seconds", "steps"), "tau_unit") == "steps":
        return 1.0
    rate = check_sfreq(sfreq, "time constants are in seconds (or count them in steps with tau_unit='steps')")
    return 1.0 / (rate * encoder.steps_per_sample)


def binned_rates(spikes: Tensor, n_bins: int) -> Tensor:
    """Mean of (steps, batch, *features) per feature and bin, (batch, features * n_bins).

    Bins are of equal length; steps that do not fill one at the end are left out.
    """
    length = len(spikes) // n_bins
    bins = spikes[: n_bins * length].flatten(2).unflatten(0, (n_bins, length)).mean(dim=1)  # (n_bins, batch, features)
    return bins.permute(1, 2, 0).flatten(1)


def unwrap(module: nn.Module) -> nn.Module:
    """Return what `OverTime` wraps, to apply it once to an input that is the same at every step."""
    assert isinstance(module, OverTime)
    return module.module
