"""Spiking layers, readouts and the wrapper for layers that know no time."""

from spikeneuro.nn import heterogeneity
from spikeneuro.nn.base import Carry, LIFResult, SpikingLayer
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

__all__ = [
    "Carry",
    "LIF",
    "LIFLayer",
    "LIFResult",
    "LastReadout",
    "LeakyReadout",
    "MaxMembraneReadout",
    "OverTime",
    "RateReadout",
    "Readout",
    "ReadoutResult",
    "ReadoutState",
    "Recompute",
    "RecurrentLIF",
    "SpikingLayer",
    "heterogeneity",
]
