"""A rhythm laid out over the neurons of one layer: who is ON in which step, for how long a layer has run."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError

#: A step is divided this finely, so that cycles of any length are whole numbers: exact in every dtype of the layer,
#: and free of drift over long sequences.
TICKS = 2**20


class RhythmWarning(UserWarning):
    """A rhythm that does nothing, or that keeps neurons silent for ever."""


class RhythmState(NamedTuple):
    """State of a layer with a rhythm.

    Parameters
    ----------
    neurons : NamedTuple
        State of the neurons, as the layer has it without a rhythm.
    step : int
        Steps that have passed: where in its cycle every neuron is.
    """

    neurons: Any
    step: int

    def detach(self) -> "RhythmState":
        """Return the same state cut from the graph, for truncated back-propagation."""
        parts = (part.detach() if isinstance(part, Tensor) else part for part in self.neurons)
        return RhythmState(type(self.neurons)(*parts), self.step)


class RhythmPattern(nn.Module):
    r"""Mask of a layer, from the cycle, ON time and delay of every neuron.

    .. math:: m_t = 1 \text{ where } (t - delay) \bmod cycle < on

    `Rhythm` makes it; a layer has its own as ``layer.rhythm``. Nothing in it is trained; it is saved with the weights.

    Parameters
    ----------
    cycle, on, delay : Tensor
        Length of the cycle, of its ON part and of what passes before the first ON part, in steps, (neurons,). Whole
        or not; kept to a millionth of a step.
    shape : tuple of int
        Shape of the layer, with as many neurons.

    Examples
    --------
    >>> pattern = RhythmPattern(torch.tensor([4.0, 3.0]), torch.tensor([2.0, 1.0]), torch.tensor([0.0, 1.0]), (2,))
    >>> pattern.mask(8)[:, 0].int().T
    tensor([[1, 1, 0, 0, 1, 1, 0, 0],
            [0, 1, 0, 0, 1, 0, 0, 1]], dtype=torch.int32)
    """

    cycle_ticks: Tensor
    on_ticks: Tensor
    delay_ticks: Tensor

    def __init__(self, cycle: Tensor, on: Tensor, delay: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        for name, steps in (("cycle", cycle), ("on", on), ("delay", delay)):
            if tuple(steps.shape) != (math.prod(shape),):
                raise InputError(f"{name} needs one value for each of {math.prod(shape)} neurons, got {steps.shape}.")
            self.register_buffer(f"{name}_ticks", (steps.double() * TICKS).round().long())
        if bool((self.cycle_ticks < TICKS).any()):
            raise InputError(f"a cycle lasts at least one step, got {float(cycle.min()):g}.")

    @property
    def n_neurons(self) -> int:
        """Number of neurons with a pattern of their own."""
        return self.cycle_ticks.numel()

    @property
    def cycle(self) -> Tensor:
        """Length of the cycle in steps, (neurons,)."""
        return self.cycle_ticks / TICKS

    @property
    def on_lengths(self) -> Tensor:
        """Steps that a neuron is ON in a cycle, (neurons,); on average, where they are not whole."""
        return torch.minimum(self.on_ticks, self.cycle_ticks) / TICKS

    @property
    def delay(self) -> Tensor:
        """Steps before the first ON step of a whole ON part, (neurons,)."""
        return self.delay_ticks / TICKS

    @property
    def dead(self) -> Tensor:
        """Numbers of the neurons that are never ON."""
        return (self.on_ticks == 0).nonzero().flatten()

    @property
    def always_on(self) -> Tensor:
        """Numbers of the neurons that are ON at every step."""
        return (self.on_ticks >= self.cycle_ticks).nonzero().flatten()

    def on_fraction(self, n_steps: int | None = None) -> float:
        """Return the share of ON among all neurons and steps.

        Parameters
        ----------
        n_steps : int, optional
            Counted over this many steps from the start; by default over whole cycles.

        Returns
        -------
        float
            Between 0 and 1.
        """
        if n_steps is None:
            return float((self.on_lengths / self.cycle).mean())
        check_number(n_steps, "n_steps", low=1, integer=True)
        return float(self.mask(n_steps).double().mean())

    def mask(self, n_steps: int, start: int = 0, n_features: int | None = None) -> Tensor:
        """Return who is ON.

        Parameters
        ----------
        n_steps : int
            Number of steps.
        start : int, default 0
            Steps that have passed before the first.
        n_features : int, optional
            Number of feature axes, for the layer of shape ``()``; that of `shape` otherwise.

        Returns
        -------
        Tensor
            True where ON, (n_steps, 1, *shape).
        """
        t = torch.arange(start, start + n_steps, device=self.cycle_ticks.device).unsqueeze(1) * TICKS
        on = torch.remainder(t - self.delay_ticks, self.cycle_ticks) < self.on_ticks
        return on.reshape(n_steps, 1, *(self.shape or (1,) * (n_features or 1)))

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        cycle = self.cycle
        return f"{self.shape}, cycle {cycle.min():g} to {cycle.max():g} steps, {self.on_fraction():.3f} ON"


def begin(rhythm: nn.Module | None, state: Any) -> tuple[int, Any]:
    """Steps passed and state of the neurons, from the state that a layer was given.

    Raises
    ------
    InputError
        For a state that does not say how many steps have passed where there is a rhythm, or says so where there is
        none.
    """
    if state is None:
        return 0, None
    if rhythm is None:
        if isinstance(state, RhythmState):
            raise InputError("the state is that of a layer with a rhythm, this one has none; give state.neurons.")
        return 0, state
    if not isinstance(state, RhythmState):
        raise InputError(
            f"the state of a layer with a rhythm is a RhythmState(neurons, step), got {type(state).__name__}; "
            "say how many steps have passed."
        )
    return int(check_number(state.step, "the state's step", low=0, integer=True)), state.neurons


def end(rhythm: nn.Module | None, state: Any, step: int) -> Any:
    """State that a layer hands out after `step` steps."""
    return state if rhythm is None else RhythmState(state, step)


def mask_for(rhythm: nn.Module | None, x: Tensor, start: int, mask: Tensor | None) -> Tensor | None:
    """Mask of the steps of `x`, the given one or that of the rhythm.

    Raises
    ------
    InputError
        If there are both.
    """
    if rhythm is not None and mask is not None:
        raise InputError("give mask=, or build the layer with a rhythm, not both.")
    return rhythm.mask(len(x), start, x.dim() - 2) if isinstance(rhythm, RhythmPattern) else mask
