"""Spiking layers, readouts and the wrapper for layers that know no time."""

from spikeneuro.nn import heterogeneity, presets
from spikeneuro.nn.adaptive_lif import AdaptiveLIF, AdaptiveLIFState
from spikeneuro.nn.base import Carry, LIFResult, SpikingLayer
from spikeneuro.nn.cross_modal_attention import CrossModalAttention
from spikeneuro.nn.delay import Delay
from spikeneuro.nn.event_linear import EventLinear
from spikeneuro.nn.hodgkin_huxley import HodgkinHuxley, HodgkinHuxleyState
from spikeneuro.nn.interop import from_norse, from_snntorch, from_spikingjelly
from spikeneuro.nn.izhikevich import Izhikevich, IzhikevichState
from spikeneuro.nn.lif import LIF, LIFLayer, RecurrentLIF
from spikeneuro.nn.over_time import OverTime
from spikeneuro.nn.readouts import (
    LastReadout,
    LeakyReadout,
    MaxMembraneReadout,
    RateReadout,
    Readout,
    ReadoutResult,
    ReadoutState,
)
from spikeneuro.nn.recompute import Recompute
from spikeneuro.nn.rhythm import MixRhythm, Modulation, Rhythm
from spikeneuro.nn.rhythm_pattern import RhythmPattern, RhythmState, RhythmWarning
from spikeneuro.nn.rhythm_threshold import ThresholdOscillation, ThresholdWave
from spikeneuro.nn.stepped import SteppedLayer

__all__ = [
    "AdaptiveLIF",
    "AdaptiveLIFState",
    "Carry",
    "CrossModalAttention",
    "Delay",
    "EventLinear",
    "HodgkinHuxley",
    "HodgkinHuxleyState",
    "Izhikevich",
    "IzhikevichState",
    "LIF",
    "LIFLayer",
    "LIFResult",
    "LastReadout",
    "LeakyReadout",
    "MaxMembraneReadout",
    "MixRhythm",
    "Modulation",
    "OverTime",
    "RateReadout",
    "Readout",
    "ReadoutResult",
    "ReadoutState",
    "Recompute",
    "RecurrentLIF",
    "Rhythm",
    "RhythmPattern",
    "RhythmState",
    "RhythmWarning",
    "SpikingLayer",
    "SteppedLayer",
    "ThresholdOscillation",
    "ThresholdWave",
    "from_norse",
    "from_snntorch",
    "from_spikingjelly",
    "heterogeneity",
    "presets",
]
