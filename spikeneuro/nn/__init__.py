"""Spiking layers, readouts and the wrapper for layers that know no time."""

from spikeneuro.nn import heterogeneity
from spikeneuro.nn.base import LIFResult, SpikingLayer
from spikeneuro.nn.lif import LIF, LIFLayer, RecurrentLIF
from spikeneuro.nn.over_time import OverTime
from spikeneuro.nn.readouts import LastReadout, LeakyReadout, MaxMembraneReadout, RateReadout

__all__ = [
    "LIF",
    "LIFLayer",
    "LIFResult",
    "LastReadout",
    "LeakyReadout",
    "MaxMembraneReadout",
    "OverTime",
    "RateReadout",
    "RecurrentLIF",
    "SpikingLayer",
    "heterogeneity",
]
