"""The only place where weights change: the context in which a rule is applied to a connection or a layer."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, overload

import torch
from torch import Tensor

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Connection
from spikeneuro.plasticity.engine import REDUCTIONS, Engine
from spikeneuro.plasticity.homeostasis import Homeostasis
from spikeneuro.plasticity.layers import NeuronState, Plastic
from spikeneuro.plasticity.reward import as_reward
from spikeneuro.plasticity.rules import Rule, RuleState, check_tensor, recorded, spikes


class LayerState(NamedTuple):
    """What `LayerLearner` carries from one step to the next.

    Parameters
    ----------
    neurons : LIFState or RhythmState
        State of the neurons.
    rule : RuleState
        State of the rule.
    """

    neurons: NeuronState
    rule: RuleState


class LearningResult(NamedTuple):
    """What `LayerLearner.run` gives.

    Parameters
    ----------
    spikes : Tensor
        Of the layer, (time, batch, *features).
    state : LayerState
        State after the last step.
    """

    spikes: Tensor
    state: LayerState


class Learner:
    """Changes the weights of a connection, inside its ``with`` block only. Made by `learning`.

    Parameters
    ----------
    connection : Connection
        The synapses.
    rule : Rule
        The rule.
    reduction : {"mean", "sum"}
        What is made of the changes by the samples of a batch.
    homeostasis : sequence of Homeostasis
        What is applied besides the rule.
    """

    def __init__(
        self, connection: Connection, rule: Rule, *, reduction: str = "mean", homeostasis: Sequence[Homeostasis] = ()
    ) -> None:
        if not isinstance(rule, Rule):
            raise InputError(f"rule must be a rule such as PairSTDP(), got {type(rule).__name__}.")
        check_choice(reduction, REDUCTIONS[:2], "reduction")
        self.connection, self.rule, self.reduction = connection, rule, reduction
        self.homeostasis = (homeostasis,) if isinstance(homeostasis, Homeostasis) else tuple(homeostasis)
        if any(not isinstance(part, Homeostasis) for part in self.homeostasis):
            raise InputError("homeostasis must be a sequence of objects such as Normalisation(total=1.0).")
        self.neurons: Any = None
        self._engine: Engine | None = None

    def __enter__(self) -> Self:
        self.connection.check_weights()
        self._engine = self.rule.prepare(self.connection)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._engine = None

    def _open(self) -> Engine:
        if self._engine is None:
            raise InputError("weights change inside the context only: with learning(...) as learner: learner(...).")
        return self._engine

    def update(self, pre: Tensor, post: Tensor, *, reward: Any = None) -> Tensor:
        """Change the weights once, by whole recorded trains; the fast way.

        Parameters
        ----------
        pre, post : Tensor
            Spikes before and after the synapses, (time, batch, *features).
        reward : float or Tensor, optional
            Reward of each step, as for `Rule.delta`.

        Returns
        -------
        Tensor
            What the rule asked for, before the bounds and homeostasis; of the weights' shape.

        Raises
        ------
        InputError
            Outside the context, and for trains that are not spikes or do not fit.
        """
        self._open()
        change = self.rule.delta(pre, post, self.connection, reward=reward, reduction=self.reduction)
        self.connection._write(self.connection.weight.detach() + change)
        self._regulate(post, ("step", "sequence"))
        return change

    def replay(self, pre: Tensor, post: Tensor, *, reward: Any = None) -> None:
        """Change the weights step by step, by recorded trains; bounds and weight dependence act at every step.

        Parameters
        ----------
        pre, post : Tensor
            Spikes before and after the synapses, (time, batch, *features).
        reward : float or Tensor, optional
            Reward of each step: a number, (time,), (1, batch) or (time, batch).

        Raises
        ------
        InputError
            Outside the context, and for trains that are not spikes or do not fit.
        """
        self._open()
        _, pre, post = recorded(pre, post, self.connection)
        state: RuleState | None = None
        for t in range(len(pre)):
            state = self._apply(pre[t], post[t], state, reward_at(reward, t, len(pre)))
        self._regulate(post, ("sequence",))

    def step(self, pre: Tensor, post: Tensor, state: RuleState | None = None, *, reward: Any = None) -> RuleState:
        """Change the weights by one step, in a loop of the caller's.

        Homeostasis of each step is applied, that of each sequence is not: see `finish`.

        Parameters
        ----------
        pre, post : Tensor
            Spikes of the step, (batch, *features).
        state : RuleState, optional
            What the call before returned; at rest by default.
        reward : float or Tensor, optional
            Reward of the step, a number or (batch,).

        Returns
        -------
        RuleState
            State after the step.

        Raises
        ------
        InputError
            Outside the context, and for spikes that are none or do not fit.
        """
        self._open()
        self.connection.check(check_tensor(pre, "pre")[None], check_tensor(post, "post")[None])
        return self._apply(spikes(pre, self.connection, "pre"), spikes(post, self.connection, "post"), state, reward)

    def finish(self, post: Tensor) -> None:
        """Apply the homeostasis of each sequence, after a loop of the caller's.

        Parameters
        ----------
        post : Tensor
            Spikes after the synapses in the sequence, (time, batch, *features).

        Raises
        ------
        InputError
            Outside the context.
        """
        self._open()
        self._regulate(post.detach().to(self.connection.weight), ("sequence",))

    def _apply(self, pre: Tensor, post: Tensor, state: RuleState | None, reward: Any) -> RuleState:
        change, state = self.rule.step(
            self.connection, pre, post, state, reward=reward, reduction=self.reduction, engine=self._open()
        )
        self.connection._write(self.connection.weight.detach() + change)
        self._regulate(post[None], ("step",))
        return state

    @torch.no_grad()
    def _regulate(self, post: Tensor, occasions: tuple[str, ...]) -> None:
        for part in self.homeostasis:
            if part.every in occasions:
                part.apply(self.connection, self.neurons, post.to(self.connection.weight), self.rule.dt)


class LayerLearner(Learner):
    """Runs a layer and changes its weights at every step, inside its ``with`` block only. Made by `learning`.

    In a step the spikes that arrive are weighted, the neurons fire, and then the weights change: the spikes of a step
    are those of the weights before it.

    Parameters
    ----------
    layer : Plastic
        The layer.
    rule : Rule
        The rule; its `dt` must be that of the neurons.
    **options
        As for `Learner`.
    """

    def __init__(self, layer: Plastic, rule: Rule, **options: Any) -> None:
        super().__init__(layer.connection, rule, **options)
        check_steps(rule, layer.neurons.dt)
        self.layer, self.neurons = layer, layer.neurons

    def __call__(self, x: Tensor, *, reward: Any = None) -> Tensor:
        """Run a whole sequence from rest, and learn from it.

        Parameters
        ----------
        x : Tensor
            Input of the layer, (time, batch, *features).
        reward : float or Tensor, optional
            Reward of each step: a number, (time,), (1, batch) or (time, batch).

        Returns
        -------
        Tensor
            Spikes of the layer, (time, batch, *features).
        """
        return self.run(x, reward=reward).spikes

    def run(self, x: Tensor, state: LayerState | None = None, *, reward: Any = None) -> LearningResult:
        """Run a piece of a sequence, and learn from it.

        Parameters
        ----------
        x : Tensor
            Input of the layer, (time, batch, *features).
        state : LayerState, optional
            State before the first step, from an earlier `run`; at rest by default.
        reward : float or Tensor, optional
            Reward of each step: a number, (time,), (1, batch) or (time, batch).

        Returns
        -------
        LearningResult
            Spikes and final state.

        Raises
        ------
        InputError
            Outside the context, for an empty sequence, and for input that is no spikes where it feeds the synapses.
        """
        if check_tensor(x, "a learner's input").dim() < 3 or not len(x):
            raise InputError(f"a learner needs (time, batch, *features) with at least one step, got {tuple(x.shape)}.")
        made = []
        for t, now in enumerate(x.unbind(0)):
            fired, state = self.advance(now, state, reward=reward_at(reward, t, len(x)))
            made.append(fired)
        assert state is not None
        self._regulate(torch.stack(made), ("sequence",))
        return LearningResult(torch.stack(made), state)

    def advance(self, x: Tensor, state: LayerState | None = None, *, reward: Any = None) -> tuple[Tensor, LayerState]:
        """Run one step and learn from it, for loops in which the reward depends on what the layer did.

        Parameters
        ----------
        x : Tensor
            Input of the step, (batch, *features).
        state : LayerState, optional
            State before it; at rest by default.
        reward : float or Tensor, optional
            Reward of the step, a number or (batch,).

        Returns
        -------
        spikes : Tensor
            Of the layer, (batch, *features).
        state : LayerState
            State after the step.

        Raises
        ------
        InputError
            Outside the context, and for input that is no spikes where it feeds the synapses.
        """
        self._open()
        with torch.no_grad():
            before = None if state is None else state.neurons
            arriving = self.layer.arriving(x, before)
            fired, neurons = self.layer.step(x, before)
            rule = self.step(arriving, fired, None if state is None else state.rule, reward=reward)
        return fired, LayerState(neurons, rule)


@overload
def learning(
    target: Plastic, rule: Rule, *, reduction: str = "mean", homeostasis: Sequence[Homeostasis] = ()
) -> LayerLearner: ...
@overload
def learning(
    target: Connection, rule: Rule, *, reduction: str = "mean", homeostasis: Sequence[Homeostasis] = ()
) -> Learner: ...
def learning(
    target: Plastic | Connection, rule: Rule, *, reduction: str = "mean", homeostasis: Sequence[Homeostasis] = ()
) -> Learner:
    """Return the context in which a connection or a layer learns by a rule.

    Nothing else changes weights: layers called inside the block or outside it, in training mode or not, leave them
    alone. What is learned is no part of a graph; gradients neither flow into it nor are they needed.

    Parameters
    ----------
    target : Connection or Plastic
        A connection, for recorded trains and loops of one's own, or a layer (`PlasticLayer`, `PlasticRecurrence`),
        which the learner also runs.
    rule : Rule
        `PairSTDP`, `TripletSTDP`, `HyperbolicSTDP`, `RewardSTDP` or one of your own.
    reduction : {"mean", "sum"}, default "mean"
        What is made of the changes by the samples of a batch: with "mean" a batch of equal samples changes the weights
        as one of them does, with "sum" as one after the other would (BindsNET's default).
    homeostasis : sequence of Homeostasis
        What is applied after the rule, in this order.

    Returns
    -------
    Learner or LayerLearner
        To be used in a ``with`` statement, any number of times.

    Raises
    ------
    InputError
        For targets and rules of another kind, steps of different length; on entry, for weights outside their bounds.

    Examples
    --------
    >>> from spikeneuro.nn import LIF
    >>> from spikeneuro.plasticity import PairSTDP, PlasticLayer
    >>> layer = PlasticLayer(torch.nn.Linear(20, 8, bias=False), LIF(8))
    >>> layer.connection.draw_(0.2, 0.6, torch.Generator().manual_seed(0))
    >>> x = (torch.rand(50, 4, 20, generator=torch.Generator().manual_seed(1)) < 0.2).float()
    >>> before = layer.synapses.weight.clone()
    >>> with learning(layer, PairSTDP()) as learner:
    ...     spikes = learner(x)
    >>> bool((layer.synapses.weight != before).any())
    True
    """
    if isinstance(target, Plastic):
        return LayerLearner(target, rule, reduction=reduction, homeostasis=homeostasis)
    if isinstance(target, Connection):
        return Learner(target, rule, reduction=reduction, homeostasis=homeostasis)
    raise InputError(
        f"learning takes a connection or a layer that can learn, got {type(target).__name__}; "
        "see PlasticLayer and connect."
    )


def check_steps(rule: Rule, dt: float) -> None:
    """Raise unless the rule's steps are as long as those of the neurons."""
    if abs(rule.dt - dt) > 1e-9 * rule.dt:
        raise InputError(
            f"the rule's steps are of {rule.dt:g} s but those of the neurons of {dt:g} s; give both the same dt."
        )


def reward_at(reward: Any, t: int, steps: int) -> Any:
    """Reward of step t: from a number the number, from a tensor its row, or its only row."""
    if reward is None or isinstance(reward, (int, float)):
        return reward
    given = as_reward(reward)
    if given.dim() == 0:
        return given
    if given.dim() == 2 and len(given) == 1:
        return given[0]
    if len(given) != steps:
        raise InputError(f"reward must hold one row for each of the {steps} steps, got {tuple(given.shape)}.")
    return given[t]
