"""Neuron equations and their backends: tensors in, tensors out."""

from spikeneuro.ops import surrogates
from spikeneuro.ops.functional import BACKENDS, choose_backend, lif, membrane, thresholds
from spikeneuro.ops.linear import event_linear
from spikeneuro.ops.reference import lif_reference, resting_state, spike
from spikeneuro.ops.state import LIFOutput, LIFParameters, LIFSettings, LIFState

__all__ = [
    "BACKENDS",
    "LIFOutput",
    "LIFParameters",
    "LIFSettings",
    "LIFState",
    "choose_backend",
    "event_linear",
    "lif",
    "lif_reference",
    "membrane",
    "resting_state",
    "spike",
    "surrogates",
    "thresholds",
]
