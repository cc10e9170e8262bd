"""Layers whose synapses can learn: maps to spikes as any other, whose weights only a learner changes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from spikeneuro.errors import InputError
from spikeneuro.nn import Carry, LIFLayer, LIFResult, RecurrentLIF, RhythmState
from spikeneuro.ops import LIFState
from spikeneuro.plasticity.competition import WinnerTakeAll
from spikeneuro.plasticity.connections import Connection, Constant, Dense
from spikeneuro.plasticity.convolutional import Convolutional
from spikeneuro.plasticity.sparse import Sparse, SparseLinear

#: State of the neurons behind the synapses.
NeuronState = LIFState | RhythmState


def neurons_of(state: NeuronState | None) -> LIFState | None:
    """State of the neurons without that of their rhythm."""
    return state.neurons if isinstance(state, RhythmState) else state


def connect(module: nn.Module, low: Constant = -torch.inf, high: Constant = torch.inf) -> Connection:
    """Return the connection that a layer's weights are: a view, nothing is copied.

    Parameters
    ----------
    module : torch.nn.Module
        A `torch.nn.Linear`, `torch.nn.Conv1d`, `torch.nn.Conv2d`, `SparseLinear`, or `spikeneuro.nn.RecurrentLIF` (its
        recurrent weights).
    low, high : float or Tensor, default without bound
        Bounds of the weights.

    Returns
    -------
    Connection
        `Dense`, `Convolutional` or `Sparse`.

    Raises
    ------
    InputError
        For another module.

    Examples
    --------
    >>> type(connect(nn.Conv1d(4, 8, 3))).__name__
    'Convolutional'
    """
    if is_parametrized(module, "weight") or not isinstance(getattr(module, "weight", None), nn.Parameter | None):
        raise InputError(
            f"the weights of this {type(module).__name__} are computed from other parameters, so that a change of them "
            "would be lost; remove the parametrisation (torch.nn.utils.parametrize.remove_parametrizations) first."
        )
    if isinstance(module, RecurrentLIF):
        check_in_effect(module)
    if isinstance(module, (nn.Linear, RecurrentLIF)):
        return Dense(module.weight, low, high)
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return Convolutional(module, low, high)
    if isinstance(module, SparseLinear):
        return Sparse(module.weight, module.post, module.pre, module.sizes, low, high)
    raise InputError(
        f"{type(module).__name__} has no synapses that can learn; give a Linear, Conv1d, Conv2d, SparseLinear or "
        "RecurrentLIF."
    )


def check_in_effect(neurons: RecurrentLIF) -> None:
    """Raise if the recurrent weights that neurons run with are not those of their parameter, which would learn."""
    weight = neurons.recurrence().weight
    if weight is not None and not torch.equal(weight, neurons.weight):
        raise InputError(
            f"{type(neurons).__name__} runs with other weights than its parameter holds, so that changes would mean "
            "something else; write the weights in effect into it first (its method settle)."
        )


class Plastic(nn.Module, ABC):
    """Base of layers that a learner can train: synapses, and the neurons behind them.

    Attributes
    ----------
    neurons : LIFLayer
        The neurons behind them.
    """

    neurons: LIFLayer

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """The synapses that learn."""

    @abstractmethod
    def arriving(self, x: Tensor, state: NeuronState | None) -> Tensor:
        """Return the spikes that arrive at the synapses in a step, given its input and the state before it."""

    @abstractmethod
    def step(self, x: Tensor, state: NeuronState | None = None) -> tuple[Tensor, NeuronState]:
        """Return the spikes of one step (batch, *features), and the state after it; the weights stay as they are."""

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Return the spikes of a whole sequence, started from rest. Never changes a weight.

        Parameters
        ----------
        x : Tensor
            Input, (time, batch, *features).
        carry : Carry, optional
            Makes `x` a piece of a sequence: its state is taken from here and left here.

        Returns
        -------
        Tensor
            Spikes, (time, batch, *features of the neurons).
        """
        result = self.run(x, None if carry is None else carry.state)
        if carry is not None:
            carry.state = result.state
        return result.spikes

    @abstractmethod
    def run(self, x: Tensor, state: NeuronState | None = None, record: Sequence[str] = ()) -> LIFResult:
        """Run a piece of a sequence from a given state; see the layer."""


class PlasticLayer(Plastic):
    """Synapses and the neurons behind them, as a layer whose synapses can learn.

    ``layer(x)`` maps spikes (time, batch, *pre) to spikes (time, batch, *post) and never changes a weight; learning is
    ``with learning(layer, rule) as learner: learner(x)``.

    Competition has two forms: soft inhibition of all by all one step later (`lateral_inhibition`, given as `neurons`),
    and hard competition within the step (`winners`).

    Parameters
    ----------
    synapses : torch.nn.Module
        `torch.nn.Linear`, `torch.nn.Conv1d`, `torch.nn.Conv2d` or `SparseLinear`, best without bias.
    neurons : LIFLayer
        `spikeneuro.nn.LIF`, or `lateral_inhibition`.
    low, high : float or Tensor, default 0 and 1
        Bounds of the weights while they learn.
    winners : WinnerTakeAll, optional
        Hard competition; the neurons are then run step by step.

    Raises
    ------
    InputError
        For synapses or neurons of another kind, and for `winners` with recurrent neurons.

    Examples
    --------
    >>> from spikeneuro.nn import LIF
    >>> layer = PlasticLayer(nn.Linear(20, 8, bias=False), LIF(8), winners=WinnerTakeAll())
    >>> layer.connection.draw_(0.0, 0.5, torch.Generator().manual_seed(0))
    >>> spikes = layer((torch.rand(50, 4, 20) < 0.2).float())
    >>> spikes.shape, int(spikes.sum(-1).max()) <= 1
    (torch.Size([50, 4, 8]), True)
    """

    def __init__(
        self,
        synapses: nn.Module,
        neurons: LIFLayer,
        *,
        low: Constant = 0.0,
        high: Constant = 1.0,
        winners: WinnerTakeAll | None = None,
    ) -> None:
        super().__init__()
        if isinstance(synapses, RecurrentLIF):
            raise InputError("synapses lead from an input to the neurons; for recurrent ones use PlasticRecurrence.")
        if not isinstance(neurons, LIFLayer):
            raise InputError(f"neurons must be a LIF layer, got {type(neurons).__name__}.")
        if winners is not None and isinstance(neurons, RecurrentLIF):
            raise InputError("winners need neurons that are not recurrent: a loser's spike would reach the others.")
        connect(synapses, low, high)  # refuses what cannot learn
        self.synapses, self.neurons, self.winners = synapses, neurons, winners
        self.low, self.high = low, high

    @property
    def connection(self) -> Connection:
        """The synapses as a connection, a view made anew: the module may have been moved."""
        return connect(self.synapses, self.low, self.high)

    def arriving(self, x: Tensor, state: NeuronState | None) -> Tensor:
        del state
        return x

    def step(self, x: Tensor, state: NeuronState | None = None) -> tuple[Tensor, NeuronState]:
        """Run one step, on weights that may change between steps.

        Parameters
        ----------
        x : Tensor
            Spikes of the step, (batch, *pre).
        state : LIFState or RhythmState, optional
            State before it; at rest by default.

        Returns
        -------
        spikes : Tensor
            (batch, *post).
        state : LIFState or RhythmState
            State after it.
        """
        current = self.synapses(x)
        return self.neurons.step(current, state) if self.winners is None else self._compete(current, state)

    def run(self, x: Tensor, state: NeuronState | None = None, record: Sequence[str] = ()) -> LIFResult:
        """Run a piece of a sequence and return its state and traces.

        Parameters
        ----------
        x : Tensor
            Spikes, (time, batch, *pre).
        state : LIFState or RhythmState, optional
            State before the first step, from an earlier `run`; at rest by default.
        record : sequence of str
            Traces to return, as for `spikeneuro.nn.LIF`; none with `winners`.

        Returns
        -------
        LIFResult
            Spikes, final state, traces.

        Raises
        ------
        InputError
            For an input of the wrong shape, and traces asked for with `winners`.
        """
        if x.dim() < 3:
            raise InputError(f"PlasticLayer expected (time, batch, *features), got {tuple(x.shape)}.")
        current = self.synapses(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        if self.winners is None:
            return self.neurons.run(current, state, record)
        if record:
            raise InputError("traces cannot be recorded with winners: the competition takes part in every step.")
        spikes = []
        for now in current.unbind(0):
            s, state = self._compete(now, state)
            spikes.append(s)
        assert state is not None
        return LIFResult(torch.stack(spikes), state, {})

    def _compete(self, current: Tensor, state: NeuronState | None) -> tuple[Tensor, NeuronState]:
        assert self.winners is not None
        result = self.neurons.run(current[None], state, record=("potential", "threshold"))
        excess = result.traces["potential"][0] - result.traces["threshold"][0]
        winners = self.winners(result.spikes[0], excess.detach())
        after: NeuronState = result.state
        if self.winners.reset_others:
            others = self.winners.field(winners) * (1.0 - winners)
            inner = neurons_of(after)
            assert inner is not None
            assert inner.v is not None
            inner = inner._replace(v=torch.where(others > 0, self.neurons.parameters_now().v_rest, inner.v))
            after = after._replace(neurons=inner) if isinstance(after, RhythmState) else inner
        return winners, after

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"winners={self.winners}" if self.winners else ""


class PlasticRecurrence(Plastic):
    """The recurrent synapses of `spikeneuro.nn.RecurrentLIF`, as something that can learn.

    A spike arrives at the synapses one step after it was fired, plus the layer's delay, and that is when it counts as a
    spike before the synapse.

    Parameters
    ----------
    neurons : RecurrentLIF
        The layer; its weights are not copied.
    low, high : float or Tensor, default -1 and 1
        Bounds of the weights; tensors (post, pre) give each synapse its own, to hold excitatory and inhibitory ones on
        their side of 0.
    exists : Tensor, optional
        True where there is a synapse, (post, pre); by default everywhere but from a neuron to itself.

    Raises
    ------
    InputError
        For another layer, and bounds that do not fit.

    Examples
    --------
    >>> recurrence = PlasticRecurrence(RecurrentLIF(10))
    >>> int(recurrence.connection.exists.sum())
    90
    """

    neurons: RecurrentLIF

    def __init__(
        self, neurons: RecurrentLIF, *, low: Constant = -1.0, high: Constant = 1.0, exists: Tensor | None = None
    ) -> None:
        super().__init__()
        if not isinstance(neurons, RecurrentLIF):
            raise InputError(f"PlasticRecurrence needs a RecurrentLIF, got {type(neurons).__name__}.")
        self.neurons = neurons
        n_neurons = neurons.shape[0]
        if exists is None:
            exists = ~torch.eye(n_neurons, dtype=torch.bool, device=neurons.weight.device)
        self.low, self.high, self.exists = low, high, exists
        _ = self.connection

    @property
    def connection(self) -> Dense:
        """The recurrent synapses as a connection."""
        check_in_effect(self.neurons)
        return Dense(self.neurons.weight, self.low, self.high, self.exists)

    def arriving(self, x: Tensor, state: NeuronState | None) -> Tensor:
        inner = neurons_of(state)
        return torch.zeros_like(x) if inner is None or inner.history is None else inner.history[0]

    def step(self, x: Tensor, state: NeuronState | None = None) -> tuple[Tensor, NeuronState]:
        """Run one step, as the layer does.

        Parameters
        ----------
        x : Tensor
            Input current of the step, (batch, neurons).
        state : LIFState or RhythmState, optional
            State before it; at rest by default.

        Returns
        -------
        spikes : Tensor
            (batch, neurons).
        state : LIFState or RhythmState
            State after it.
        """
        return self.neurons.step(x, state)

    def run(self, x: Tensor, state: NeuronState | None = None, record: Sequence[str] = ()) -> LIFResult:
        """Run a piece of a sequence, as the layer does.

        Parameters
        ----------
        x : Tensor
            Input current, (time, batch, neurons).
        state : LIFState or RhythmState, optional
            State before the first step; at rest by default.
        record : sequence of str
            Traces to return, as for `spikeneuro.nn.LIF`.

        Returns
        -------
        LIFResult
            Spikes, final state, traces.
        """
        return self.neurons.run(x, state, record)
