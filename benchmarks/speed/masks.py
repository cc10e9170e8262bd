"""Rhythm masks: which neuron is ON at which step, (time, 1, neurons)."""

import math

import torch
from torch import Tensor


def covarying(
    steps: int,
    neurons: int,
    duty: float | tuple[float, float],
    *,
    cycles: tuple[int, int] = (10, 100),
    phase: float = 0.5,
) -> Tensor:
    """Rhythms as published: cycle length, duty (if it is a range) and phase all grow with the number of the neuron.

    A neuron is ON for the first ceil(duty * cycle) steps of each cycle, shifted by its phase where that is shorter
    than the cycle.

    References
    ----------
    Yan et al. (2025), Rhythm-SNN, Nature Communications 16:8651, and the code published with it.
    """
    lengths = torch.linspace(*cycles, neurons, dtype=torch.float64)
    duties = torch.linspace(*(duty if isinstance(duty, tuple) else (duty, duty)), neurons, dtype=torch.float64)
    phases = torch.linspace(0, int(phase * cycles[1]), neurons, dtype=torch.float64).round()
    mask = torch.zeros(steps, 1, neurons)
    for k, (length, own, shift) in enumerate(zip(lengths.tolist(), duties.tolist(), phases.tolist(), strict=True)):
        # Rounded first: linspace reaches its last value only to within rounding, which ceil would count as a step.
        cycle = math.ceil(round(length, 9))
        on = math.ceil(round(own * cycle, 9))
        begun = int(shift) if shift < cycle else 0
        mask[:, 0, k] = ((torch.arange(steps) - begun) % cycle < on).float()
    return mask


def synchronous(steps: int, neurons: int, duty: float, *, cycle: int = 50) -> Tensor:
    """One rhythm for all neurons: ON together for the first steps of each cycle."""
    on = math.ceil(round(duty * cycle, 9))
    return (torch.arange(steps) % cycle < on).float().reshape(-1, 1, 1).repeat(1, 1, neurons)
