"""The converted network: layers over time, wired as the original is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.nn import Carry
from spikeneuro.training.conversion.layers import IntegrateAndFire, SpikingMaxPool

#: Steps that are held in memory at once.
PIECE = 32


@dataclass(frozen=True)
class Wire:
    """A layer of a converted network and what it reads.

    Attributes
    ----------
    name : str
        Name of the layer, and of what it gives.
    inputs : tuple of str
        What it reads; "input" is the network's input.
    static : bool
        Whether it depends on the input alone, which is the same at every step: then it is computed once.
    """

    name: str
    inputs: tuple[str, ...]
    static: bool


@dataclass(frozen=True)
class SpikingLayerInfo:
    """What a layer of neurons stands for.

    Attributes
    ----------
    source : str
        Node of the original network's graph whose values the rates approximate.
    where : str
        That layer's name in the original network.
    scale : float
        λ: activation for which a neuron fires at every step.
    """

    source: str
    where: str
    scale: float


class ConvertedState(NamedTuple):
    """State between two pieces of a run.

    Parameters
    ----------
    step : int
        Steps run.
    total : Tensor
        Sum of the outputs of these steps, (batch, ...).
    layers : dict of str to object
        State of each layer that has one.
    """

    step: int
    total: Tensor | None
    layers: Mapping[str, Any]


class ConvertedResult(NamedTuple):
    """What `ConvertedNetwork.run` gives.

    Parameters
    ----------
    outputs : Tensor
        Mean output of all steps up to each one, (steps, batch, ...).
    state : ConvertedState
        State after the last step.
    """

    outputs: Tensor
    state: ConvertedState


class ConvertedNetwork(nn.Module):
    r"""Spiking network made from a trained one by `convert`.

    The input is a constant current for T steps. Activations are integrate-and-fire neurons, whose rates stand for the
    original activations in units of λ; the last layer's output is averaged over the steps. What comes before the first
    neurons is the same at every step and computed once.

    Parameters
    ----------
    layers : mapping of str to nn.Module
        Layers on (time, batch, *features), by name.
    wiring : sequence of Wire
        Their order and connections.
    neurons : mapping of str to SpikingLayerInfo
        What each layer of neurons stands for, by name.
    steps : int
        Steps T of a call.

    Attributes
    ----------
    steps : int
        Steps T of a call; set it to run for another time.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        wiring: Sequence[Wire],
        neurons: Mapping[str, SpikingLayerInfo],
        steps: int,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.wiring = tuple(wiring)
        self.neurons = dict(neurons)
        self.steps = int(check_number(steps, "steps", low=1, integer=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output averaged over `steps` steps.

        Parameters
        ----------
        x : Tensor
            Input as the original network takes it, (batch, ...).

        Returns
        -------
        Tensor
            As the original network gives it, (batch, n_outputs).
        """
        return self.average(x)

    def average(self, x: Tensor, steps: int | None = None, counts: dict[str, Tensor] | None = None) -> Tensor:
        """Return the output averaged over a number of steps, as a call does for `steps` of the network.

        Parameters
        ----------
        x : Tensor
            Input, (batch, ...).
        steps : int, optional
            Steps to run, `self.steps` by default.
        counts : dict, optional
            Gets the spikes of every neuron, (batch, *features), by layer of neurons.

        Returns
        -------
        Tensor
            (batch, n_outputs).
        """
        steps = int(check_number(self.steps if steps is None else steps, "steps", low=1, integer=True))
        total: Tensor | None = None
        for piece, _ in self._pieces(x, None, steps, counts):
            summed = piece.sum(0)
            total = summed if total is None else total + summed
        assert total is not None
        return total / steps

    def run(self, x: Tensor, state: ConvertedState | None = None, steps: int | None = None) -> ConvertedResult:
        """Run some steps and return the mean output after each of them: the answer for every T at once.

        Parameters
        ----------
        x : Tensor
            Input, (batch, ...), the same in every piece of a run.
        state : ConvertedState, optional
            State after the steps before; by default the run begins.
        steps : int, optional
            Steps to run, `self.steps` by default.

        Returns
        -------
        ConvertedResult
            Mean outputs and state.

        Raises
        ------
        InputError
            If `steps` is not a positive integer.

        Examples
        --------
        >>> from spikeneuro.training import convert
        >>> ann = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.rand(10, 4)
        >>> snn = convert(ann, x, method="max")
        >>> outputs, state = snn.run(x, steps=16)
        >>> bool(torch.allclose(outputs[7], snn.run(x, steps=8).outputs[-1]))
        True
        """
        steps = self.steps if steps is None else steps
        check_number(steps, "steps", low=1, integer=True)
        before = ConvertedState(0, None, {}) if state is None else state
        carries: Mapping[str, Carry] = {}
        pieces = []
        for piece, carried in self._pieces(x, before.layers, int(steps)):
            pieces.append(piece)
            carries = carried
        sums = torch.cat(pieces).cumsum(0)
        if before.total is not None:
            sums = sums + before.total
        count = torch.arange(before.step + 1, before.step + steps + 1, dtype=sums.dtype, device=sums.device)
        means = sums / count.reshape(-1, *[1] * (sums.dim() - 1))
        held = {name: carry.state for name, carry in carries.items()}
        return ConvertedResult(means, ConvertedState(before.step + int(steps), sums[-1], held))

    def rates(self, x: Tensor, steps: int | None = None) -> dict[str, Tensor]:
        """Spikes per step of every neuron.

        Parameters
        ----------
        x : Tensor
            Input, (batch, ...).
        steps : int, optional
            Steps to run, `self.steps` by default.

        Returns
        -------
        dict of str to Tensor
            Rates in [0, 1], (batch, *features), by layer of neurons.
        """
        steps = self.steps if steps is None else steps
        counts: dict[str, Tensor] = {}
        self.average(x, steps, counts)
        return {name: count / steps for name, count in counts.items()}

    def _pieces(
        self, x: Tensor, state: Mapping[str, Any] | None, steps: int, counts: dict[str, Tensor] | None = None
    ) -> Iterator[tuple[Tensor, Mapping[str, Carry]]]:
        """Outputs of the steps, a limited number of them at a time; `counts` gets the spikes of each neuron."""
        if not isinstance(x, Tensor) or x.dim() < 2:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"a converted network takes (batch, ...) as the original does, got {got}.")
        constant = {"input": x.unsqueeze(0)}
        for wire in self.wiring:
            if wire.static:
                constant[wire.name] = self.layers[wire.name](*(constant[name] for name in wire.inputs))
        moving = [wire for wire in self.wiring if not wire.static]
        carries = {
            wire.name: Carry((state or {}).get(wire.name))
            for wire in moving
            if isinstance(self.layers[wire.name], (IntegrateAndFire, SpikingMaxPool))
        }
        for start in range(0, steps, PIECE):
            length = min(PIECE, steps - start)
            values = dict(constant)
            for wire in moving:
                inputs = [values[name] for name in wire.inputs]
                if wire.name in carries:
                    current = inputs[0] if len(inputs[0]) == length else inputs[0].expand(length, *inputs[0].shape[1:])
                    values[wire.name] = self.layers[wire.name](current, carries[wire.name])
                else:
                    values[wire.name] = self.layers[wire.name](*inputs)
                if counts is not None and wire.name in self.neurons:
                    spikes = values[wire.name].sum(0)
                    counts[wire.name] = counts.get(wire.name, 0) + spikes
            yield values[self.wiring[-1].name], carries

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"steps={self.steps}"
