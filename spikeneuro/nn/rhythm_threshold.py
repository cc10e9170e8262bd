"""A threshold that rises and falls smoothly, to study what the hard rhythm of a mask does."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeneuro import ops
from spikeneuro._validation import check_choice, check_number
from spikeneuro.nn.rhythm import ARRANGEMENTS, Modulation, Range, check_step, check_values, spread

#: A turn is divided this finely: phases are whole numbers, exact in every dtype of the layer and at every step.
TURN = 2**40


@dataclass(frozen=True, eq=False)
class ThresholdOscillation(Modulation):
    r"""Thresholds that oscillate.

    .. math:: \theta(t) = \theta_0 (1 + depth \cdot \sin(2 \pi f t + phase)), \quad t = 0, dt, 2 dt, \ldots

    Given to a layer in place of a rhythm: ``LIF(64, rhythm=ThresholdOscillation(0.5, 6.0, dt=0.004))``. Neurons
    integrate all the time and are merely less or more excitable; adaptation adds to the threshold as before, and a
    subtracting reset takes off the threshold of the spike's step.

    The compiled kernels know one threshold for all steps, and no input replaces one that moves, because the reset would
    need another input after a spike than without. Layers therefore run step by step, each step on the layer's backend:
    exact, and slower by about the length of the sequence than a mask.

    Parameters
    ----------
    depth : float
        Relative amplitude, in [0, 1).
    frequency : float, (float, float) or Tensor
        In hertz, at most half a cycle a step: for all neurons, a range over the neurons, or a value per neuron.
    phase : float, (float, float) or Tensor, default 0
        In radians, likewise; a quarter turn makes neurons start at their highest threshold.
    dt : float
        Length of a step in seconds, the same as the layer's.
    across : {"ramp", "drawn"}, default "ramp"
        Whether ranges are spread in the order of the neurons or drawn uniformly.
    generator : torch.Generator, optional
        Where values are drawn from when a layer is built; torch's global one by default.

    Raises
    ------
    InputError
        For values out of range.

    Examples
    --------
    >>> from spikeneuro.nn import LIF
    >>> layer = LIF(1, beta=1.0, dt=0.25, rhythm=ThresholdOscillation(0.5, 1.0, dt=0.25))
    >>> layer.run(torch.zeros(5, 1, 1), record="threshold").traces["threshold"].flatten()
    tensor([1.0000, 1.5000, 1.0000, 0.5000, 1.0000])
    """

    depth: float
    frequency: Range
    phase: Range = 0.0
    dt: float = 0.004
    across: str = "ramp"
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        check_number(self.depth, "depth", low=0.0, high=1.0, closed="left")
        check_number(self.dt, "dt", low=0.0, closed="neither")
        check_choice(self.across, ARRANGEMENTS, "across")
        check_values(self.frequency, "frequency", 0.0, 0.5 / self.dt)
        check_values(self.phase, "phase", -np.inf, np.inf)

    def bind(self, shape: tuple[int, ...], dt: float | None = None) -> "ThresholdWave":
        """Return the thresholds' course for a layer of this shape.

        Parameters
        ----------
        shape : tuple of int
            Shape of the layer.
        dt : float, optional
            Length of the layer's step in seconds.

        Returns
        -------
        ThresholdWave
            Factors of the threshold.

        Raises
        ------
        InputError
            If values per neuron do not fit the shape, or the layer's step is of another length.
        """
        check_step(self.dt, dt)
        n = math.prod(shape)
        turns = spread(self.frequency, "frequency", n, self.across, self.generator) * self.dt
        phase = spread(self.phase, "phase", n, self.across, self.generator) / (2 * math.pi)
        return ThresholdWave(self.depth, torch.from_numpy(turns), torch.from_numpy(phase), shape)


class ThresholdWave(nn.Module):
    """Factors of a layer's thresholds over time; `ThresholdOscillation` makes it.

    Parameters
    ----------
    depth : float
        Relative amplitude.
    turns : Tensor
        Turns a step, (neurons,).
    phase : Tensor
        Turns at the start, (neurons,).
    shape : tuple of int
        Shape of the layer.
    """

    per_step: Tensor
    at_start: Tensor

    def __init__(self, depth: float, turns: Tensor, phase: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.depth, self.shape = depth, shape
        self.register_buffer("per_step", (turns * TURN).round().long())
        self.register_buffer("at_start", (torch.remainder(phase, 1.0) * TURN).round().long())

    def factors(self, n_steps: int, start: int = 0) -> Tensor:
        """Return ``1 + depth * sin(...)`` in double precision, (n_steps, *shape).

        Parameters
        ----------
        n_steps : int
            Number of steps.
        start : int, default 0
            Steps that have passed before the first.

        Returns
        -------
        Tensor
            Factors of the threshold.
        """
        t = torch.arange(start, start + n_steps, device=self.per_step.device).unsqueeze(1)
        turns = torch.remainder(t * self.per_step + self.at_start, TURN).double() / TURN
        return (1.0 + self.depth * torch.sin(2 * math.pi * turns)).reshape(n_steps, *self.shape)

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"{self.shape}, depth {self.depth:g}"


def lif_with_wave(
    x: Tensor, parameters: ops.LIFParameters, wave: ThresholdWave, start: int, *, state: ops.LIFState | None,
    **options: Any,
) -> tuple[ops.LIFOutput, ops.LIFParameters]:  # fmt: skip
    """Run neurons whose threshold moves, one step at a time.

    Parameters
    ----------
    x : Tensor
        Input current, (time, batch, *features).
    parameters : LIFParameters
        Numbers of the recurrence; the threshold is the one around which it moves.
    wave : ThresholdWave
        How it moves.
    start : int
        Steps passed before.
    state : LIFState, optional
        State before the first step.
    **options
        Those of `spikeneuro.ops.lif`.

    Returns
    -------
    output : LIFOutput
        As `spikeneuro.ops.lif` gives it.
    parameters : LIFParameters
        With the threshold of every step, (time, 1, *features).
    """
    if len(x) == 0:
        return ops.lif(x, **parameters._asdict(), state=state, **options), parameters
    factors = wave.factors(len(x), start).reshape(len(x), 1, *(wave.shape or (1,) * (x.dim() - 2)))
    thresholds = factors.to(x.dtype) * parameters.threshold
    outputs: list[ops.LIFOutput] = []
    for x_t, threshold in zip(x.split(1), thresholds.unbind(0), strict=True):
        now = parameters._replace(threshold=threshold[0])
        outputs.append(ops.lif(x_t, **now._asdict(), state=state, **options))
        state = outputs[-1].state
    assert state is not None
    joined = ops.LIFOutput(
        torch.cat([output.spikes for output in outputs]), _joined([output.potential for output in outputs]), state,
        _joined([output.current for output in outputs]), _joined([output.adaptation for output in outputs]),
    )  # fmt: skip
    return joined, parameters._replace(threshold=thresholds)


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    kept = [part for part in parts if part is not None]
    return torch.cat(kept) if kept else None
