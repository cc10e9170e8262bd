"""Reservoirs: recurrent networks that stay as they are drawn, with a readout that is trained."""

from spikeneuro.reservoir.coordinates import (
    box_grid,
    brain_grid,
    bundled_positions,
    electrode_positions,
    roi_positions,
)
from spikeneuro.reservoir.desnn import DeSNN, DeSNNRegressor
from spikeneuro.reservoir.echo_layers import effective_spectral_radius
from spikeneuro.reservoir.echo_state import DeepEchoStateNetwork, EchoStateNetwork
from spikeneuro.reservoir.liquid_state import LiquidStateMachine
from spikeneuro.reservoir.memory_capacity import MemoryCapacity, memory_capacity, memory_capacity_of
from spikeneuro.reservoir.neucube import NeuCube
from spikeneuro.reservoir.ranks import first_spike_ranks
from spikeneuro.reservoir.wiring import (
    MAASS_PROBABILITY,
    MAASS_STRENGTH,
    dale_weights,
    distance_connectivity,
    grid,
    neuron_kinds,
    small_world,
)

__all__ = [
    "DeSNN",
    "DeSNNRegressor",
    "DeepEchoStateNetwork",
    "EchoStateNetwork",
    "LiquidStateMachine",
    "MAASS_PROBABILITY",
    "MAASS_STRENGTH",
    "MemoryCapacity",
    "NeuCube",
    "box_grid",
    "brain_grid",
    "bundled_positions",
    "dale_weights",
    "distance_connectivity",
    "effective_spectral_radius",
    "electrode_positions",
    "first_spike_ranks",
    "grid",
    "memory_capacity",
    "memory_capacity_of",
    "neuron_kinds",
    "roi_positions",
    "small_world",
]
