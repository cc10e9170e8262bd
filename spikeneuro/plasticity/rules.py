"""What a rule of spike-timing-dependent plasticity is: traces, and products of spikes and traces.

A rule is written as data: which traces it keeps (`STDPRule.traces`), and which terms of the form amplitude times a
value of the neuron after times a value of the neuron before its change consists of (`STDPRule.terms`). Time, batch and
the arrangement of the synapses are dealt with once, here.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Connection, Constant, Dense
from spikeneuro.plasticity.engine import Engine, Term, average, reduced
from spikeneuro.plasticity.traces import Trace

PAIRINGS = ("all", "nearest")
COINCIDENCES = ("potentiate", "depress", "both", "neither")


class RuleState(NamedTuple):
    """What a rule carries from one step to the next.

    Parameters
    ----------
    traces : dict of str to Tensor
        Its traces after the last step, per neuron or per synapse.
    eligibility : Tensor, optional
        Eligibility of each synapse of each sample, (batch, *weights' shape).
    reward : Tensor, optional
        Concentration of the reward, (batch,).
    """

    traces: dict[str, Tensor]
    eligibility: Tensor | None = None
    reward: Tensor | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule(ABC):
    """Base of all rules of plasticity. A rule holds constants only; it may serve any number of connections.

    Parameters
    ----------
    dt : float, default 0.004
        Length of a step in seconds.
    """

    dt: float = 0.004

    def __post_init__(self) -> None:
        check_number(self.dt, "dt", low=0.0, closed="neither")

    @abstractmethod
    def prepare(self, connection: Connection) -> Engine:
        """Return what applies this rule's traces to a connection; constants are checked here."""

    @abstractmethod
    def delta(
        self,
        pre: Tensor,
        post: Tensor,
        connection: Connection | None = None,
        *,
        reward: Any = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the change of the weights by recorded spike trains, which leaves the weights as they are.

        The trains start from rest. Weights are held while they last, so that time needs no loop but that of the traces
        and the sum over time and batch is one product of matrices; the result is not held within bounds.

        Parameters
        ----------
        pre, post : Tensor
            Spikes before and after the synapses, 0 and 1, (time, batch, *features).
        connection : Connection, optional
            The synapses; by default `Dense`, without bounds, between as many neurons as the trains have.
        reward : float or Tensor, optional
            Reward of each step, for rules that need one: a number, (time,), (batch,) as (1, batch), or (time, batch).
        reduction : {"mean", "sum", "none"}, default "mean"
            What is made of the changes by the samples of the batch.

        Returns
        -------
        Tensor
            Change of the weights, of their shape; with "none" (batch, *weights' shape).

        Raises
        ------
        InputError
            For trains that are not spikes or do not fit the connection, and for a reward that is missing or not used.
        """

    @abstractmethod
    def step(
        self,
        connection: Connection,
        pre: Tensor,
        post: Tensor,
        state: RuleState | None = None,
        *,
        reward: Any = None,
        reduction: str = "mean",
        engine: Engine | None = None,
    ) -> tuple[Tensor, RuleState]:
        """Return the change of the weights by one step, and the state after it; the weights stay as they are.

        Parameters
        ----------
        connection : Connection
            The synapses.
        pre, post : Tensor
            Spikes of the step, (batch, *features).
        state : RuleState, optional
            State before it; at rest by default.
        reward : float or Tensor, optional
            Reward of the step, for rules that need one: a number or (batch,).
        reduction : {"mean", "sum", "none"}, default "mean"
            What is made of the changes by the samples of the batch.
        engine : Engine, optional
            What `prepare` gives for the connection, to save doing so at every step.

        Returns
        -------
        delta : Tensor
            Change of the weights.
        state : RuleState
            State after the step.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class STDPRule(Rule):
    r"""Base of rules whose change is a sum of terms, each a product of a value after and a value before the synapse.

    Who derives from it gives `traces` and `terms`. Terms that potentiate are multiplied by
    :math:`(w_{max} - w)^{\mu_+}`, those that depress by :math:`(w - w_{min})^{\mu_-}`, with the connection's bounds:
    exponents of 0 leave the rule additive, 1 makes it multiplicative (soft bounds).

    Parameters
    ----------
    mu_plus, mu_minus : float, default 0
        Exponents, at least 0.
    pairing : {"all", "nearest"}, default "all"
        Whether a spike pairs with all earlier spikes of the other side or with the last one only.
    coincident : {"potentiate", "depress", "both", "neither"}, default "potentiate"
        What a spike before and one after the synapse in the same step are. "both" is what rules do that update their
        traces before the weights (BindsNET, SpikingJelly), "neither" what those do that update them afterwards. In the
        layers of this package a spike arrives and acts within one step, so that it precedes the one it causes:
        "potentiate".
    dt : float, default 0.004
        Length of a step in seconds.
    """

    mu_plus: float = 0.0
    mu_minus: float = 0.0
    pairing: str = "all"
    coincident: str = "potentiate"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.mu_plus, "mu_plus", low=0.0)
        check_number(self.mu_minus, "mu_minus", low=0.0)
        check_choice(self.pairing, PAIRINGS, "pairing")
        check_choice(self.coincident, COINCIDENCES, "coincident")

    @abstractmethod
    def traces(self) -> dict[str, Trace]:
        """Return the traces the rule keeps, by name."""

    @abstractmethod
    def terms(self, pre: Tensor, post: Tensor, before: dict[str, Tensor], after: dict[str, Tensor]) -> list[Term]:
        """Return the terms of the change.

        Parameters
        ----------
        pre, post : Tensor
            Spikes before and after the synapses.
        before, after : dict of str to Tensor
            The traces before and after these spikes.

        Returns
        -------
        list of Term
            Products must be formed elementwise between values of the same side only.
        """

    def amplitudes(self) -> dict[str, Constant]:
        """Return the constants to be checked against the connection, by name."""
        return {}

    @property
    def per_synapse(self) -> bool:
        """Whether terms mix both sides, so that every synapse needs traces of its own."""
        return False

    @property
    def kind(self) -> str:
        """Kind of trace that the pairing asks for."""
        return "sum" if self.pairing == "all" else "nearest"

    def earlier(self, name: str, before: dict[str, Tensor], after: dict[str, Tensor], effect: str) -> Tensor:
        """Return the trace that an effect ("potentiate" or "depress") reads, by what coincident spikes are.

        Parameters
        ----------
        name : str
            The trace.
        before, after : dict of str to Tensor
            Traces before and after the spikes of the step.
        effect : {"potentiate", "depress"}
            What the trace is read for.

        Returns
        -------
        Tensor
            One of the two.
        """
        return (after if self.coincident in ("both", effect) else before)[name]

    def prepare(self, connection: Connection) -> Engine:
        return Engine(self, connection)

    def delta(
        self,
        pre: Tensor,
        post: Tensor,
        connection: Connection | None = None,
        *,
        reward: Any = None,
        reduction: str = "mean",
    ) -> Tensor:
        _no_reward(self, reward)
        connection, pre, post = recorded(pre, post, connection)
        keep = average(reduction, pre.shape[1])
        with torch.no_grad():
            return reduced(self.prepare(connection).whole(pre, post, keep_batch=keep is None), keep)

    def step(
        self,
        connection: Connection,
        pre: Tensor,
        post: Tensor,
        state: RuleState | None = None,
        *,
        reward: Any = None,
        reduction: str = "mean",
        engine: Engine | None = None,
    ) -> tuple[Tensor, RuleState]:
        _no_reward(self, reward)
        engine = engine or self.prepare(connection)
        keep = average(reduction, pre.shape[0])
        with torch.no_grad():
            traces = None if state is None else state.traces
            change, traces = engine.step(pre, post, traces, keep_batch=keep is None)
            return reduced(change, keep), RuleState(traces)


def _no_reward(rule: Rule, reward: Any) -> None:
    if reward is not None:
        raise InputError(f"{type(rule).__name__} takes no reward; wrap it: RewardSTDP(rule).")


def recorded(pre: Tensor, post: Tensor, connection: Connection | None) -> tuple[Connection, Tensor, Tensor]:
    """Return the connection (dense by default) and both trains as its weights' dtype, checked to be spikes."""
    check_tensor(pre, "pre")
    check_tensor(post, "post")
    if connection is None:
        if pre.dim() != 3 or post.dim() != 3:
            raise InputError(
                f"without a connection both trains must be (time, batch, neurons), got pre {tuple(pre.shape)} and "
                f"post {tuple(post.shape)}."
            )
        kind = next((t.dtype for t in (post, pre) if t.is_floating_point()), torch.get_default_dtype())
        connection = Dense(torch.zeros(post.shape[2], pre.shape[2], dtype=kind, device=post.device))
    if pre.shape[:1] == (0,):
        raise InputError("the spike trains hold no step.")
    connection.check(pre, post)
    return connection, spikes(pre, connection, "pre"), spikes(post, connection, "post")


def check_tensor(train: Any, name: str) -> Tensor:
    """Return a train if it is a tensor."""
    if not isinstance(train, Tensor):
        raise InputError(f"{name} must be a tensor, got {type(train).__name__}; torch.as_tensor makes one of an array.")
    return train


def spikes(train: Tensor, connection: Connection, name: str) -> Tensor:
    """Return a train as the dtype of the weights, if it holds nothing but 0 and 1."""
    train = train.detach().to(connection.weight)
    if bool((train * (train - 1.0)).any()):
        wrong = train[(train != 0) & (train != 1)]
        raise InputError(
            f"{name} must hold spikes, 0 and 1, but {wrong.numel()} values are others, {float(wrong[0]):g} the first; "
            "encode analog input into spikes first."
        )
    return train
