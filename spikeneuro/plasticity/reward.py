"""Reward-modulated plasticity: what a rule would change is remembered, and becomes a change when reward arrives."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Connection, Constant
from spikeneuro.plasticity.engine import Engine, average, reduced
from spikeneuro.plasticity.pair import PairSTDP
from spikeneuro.plasticity.rules import Rule, RuleState, STDPRule, recorded
from spikeneuro.plasticity.traces import scan


@dataclass(frozen=True, kw_only=True, eq=False)
class RewardSTDP(Rule):
    r"""Reward-modulated plasticity with an eligibility trace.

    With :math:`e_t` the change that `rule` would make of step t and :math:`r_t` the reward,

    .. math::

        c_t &= e^{-dt / \tau_c} \, c_{t-1} + e_t \\
        d_t &= e^{-dt / \tau_d} \, d_{t-1} + r_t \\
        \Delta w_t &= rate \cdot d_t \, c_{t-lag}

    Each sample of a batch has its own eligibility c and reward d. Settings of it are Izhikevich's dopamine-modulated
    rule, Florian's MSTDP and MSTDPET (as in BindsNET); see the class methods.

    Parameters
    ----------
    rule : STDPRule
        What makes synapses eligible.
    tau_eligibility : float, Tensor or None, default 1
        Time constant of the eligibility in seconds; with None it lasts its step only. A tensor broadcasts over the
        weights.
    tau_reward : float or None, default None
        Time constant of the reward's concentration in seconds; with None the reward acts in its step only.
    rate : float, default 1
        Factor of the change.
    lag : {0, 1}, default 0
        Whether the reward of a step meets the eligibility of that step, or of the one before (BindsNET's default).
    dt : float
        Taken from `rule`.

    Raises
    ------
    InputError
        For a number out of range, an unknown option, or a rule that cannot be modulated.

    References
    ----------
    Izhikevich (2007), doi:10.1093/cercor/bhl152; Florian (2007), doi:10.1162/neco.2007.19.6.1468.

    Examples
    --------
    >>> pre, post, reward = torch.zeros(100, 1, 1), torch.zeros(100, 1, 1), torch.zeros(100)
    >>> pre[2], post[4], reward[80] = 1.0, 1.0, 1.0  # the reward comes 300 ms later
    >>> RewardSTDP.izhikevich().delta(pre, post, reward=reward).item() > 0
    True
    """

    rule: STDPRule
    tau_eligibility: Constant | None = 1.0
    tau_reward: float | None = None
    rate: float = 1.0
    lag: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.rule, STDPRule):
            raise InputError(f"rule must be a rule such as PairSTDP, got {type(self.rule).__name__}.")
        object.__setattr__(self, "dt", self.rule.dt)
        if self.tau_reward is not None:
            check_number(self.tau_reward, "tau_reward", low=0.0, closed="neither")
        check_number(self.rate, "rate")
        check_number(self.lag, "lag", low=0, high=1, integer=True)

    @classmethod
    def izhikevich(
        cls, *, dt: float = 0.004, rate: float | None = None, coincident: str = "potentiate"
    ) -> "RewardSTDP":
        """Return the dopamine-modulated rule: pairs of ±20 ms, eligible for 1 s, dopamine that decays within 0.2 s.

        Parameters
        ----------
        dt : float, default 0.004
            Length of a step in seconds.
        rate : float, optional
            Factor of the change; by default `dt`, which integrates ``dw/dt = c d`` as in the paper.
        coincident : {"potentiate", "depress", "both", "neither"}
            As for `STDPRule`.

        Returns
        -------
        RewardSTDP
            With amplitudes 0.1 and -0.15.
        """
        pair = PairSTDP(a_plus=0.1, a_minus=0.15, tau_plus=0.02, tau_minus=0.02, dt=dt, coincident=coincident)
        return cls(rule=pair, tau_eligibility=1.0, tau_reward=0.2, rate=dt if rate is None else rate)

    @classmethod
    def mstdp(cls, *, rate: float, dt: float = 0.004, tau: float = 0.02) -> "RewardSTDP":
        """Return Florian's MSTDP, as BindsNET has it: the reward of a step meets the pairs of the step before.

        Parameters
        ----------
        rate : float
            Factor of the change, BindsNET's ``nu``.
        dt : float, default 0.004
            Length of a step in seconds.
        tau : float, default 0.02
            Time constant of both sides in seconds.

        Returns
        -------
        RewardSTDP
            With amplitudes 1 and -1.
        """
        pair = PairSTDP(a_plus=1.0, a_minus=1.0, tau_plus=tau, tau_minus=tau, dt=dt, coincident="both")
        return cls(rule=pair, tau_eligibility=None, rate=rate, lag=1)

    @classmethod
    def mstdpet(
        cls, *, rate: float, dt: float = 0.004, tau: float = 0.02, tau_eligibility: float = 0.025
    ) -> "RewardSTDP":
        """Return Florian's MSTDPET, as BindsNET has it: MSTDP with an eligibility trace.

        Parameters
        ----------
        rate : float
            Factor of the change, BindsNET's ``nu``; it is multiplied by dt / tau_eligibility, as there.
        dt : float, default 0.004
            Length of a step in seconds.
        tau, tau_eligibility : float, default 0.02 and 0.025
            Time constants of both sides and of the eligibility in seconds.

        Returns
        -------
        RewardSTDP
            With amplitudes 1 and -1.
        """
        pair = PairSTDP(a_plus=1.0, a_minus=1.0, tau_plus=tau, tau_minus=tau, dt=dt, coincident="both")
        return cls(rule=pair, tau_eligibility=tau_eligibility, rate=rate * dt / tau_eligibility, lag=1)

    def prepare(self, connection: Connection) -> Engine:
        tau = self.tau_eligibility
        if tau is not None:
            connection.constant(tau, "tau_eligibility", finite=False)
            if bool((torch.as_tensor(tau) <= 0).any()):
                raise InputError(f"tau_eligibility is a time constant and must be above 0, got {tau!r}.")
        return self.rule.prepare(connection)

    def delta(
        self,
        pre: Tensor,
        post: Tensor,
        connection: Connection | None = None,
        *,
        reward: Any = None,
        reduction: str = "mean",
    ) -> Tensor:
        connection, pre, post = recorded(pre, post, connection)
        factor = average(reduction, pre.shape[1])
        rewards = self._rewards(reward, pre)
        engine = self.prepare(connection)
        with torch.no_grad():
            if not isinstance(self.tau_eligibility, Tensor):
                change = engine.whole(pre, post, self._gain(rewards), keep_batch=factor is None)
                return reduced(change, factor)
            total, state = connection.weight.new_zeros(()), None
            for t in range(len(pre)):
                change, state = self.step(
                    connection, pre[t], post[t], state, reward=rewards[t], reduction=reduction, engine=engine
                )
                total = total + change
            return total

    def _gain(self, rewards: Tensor) -> Tensor:
        """What becomes of each step's eligibility: the rewards that follow, decayed; (time, batch)."""
        concentration = self._decayed(rewards, self.tau_reward)
        # Backwards in time, the eligibility's decay is that of a trace of the rewards to come.
        assert not isinstance(self.tau_eligibility, Tensor)
        ahead = self._decayed(concentration.flip(0), self.tau_eligibility).flip(0)
        if self.lag:
            ahead = torch.cat([ahead[1:], torch.zeros_like(ahead[:1])])
        return self.rate * ahead

    def _decayed(self, values: Tensor, tau: float | None) -> Tensor:
        return values if tau is None else scan("sum", values, values.new_tensor(math.exp(-self.dt / tau)))[1]

    def _rewards(self, reward: Any, pre: Tensor) -> Tensor:
        """Reward of each step and sample, (time, batch)."""
        if reward is None:
            raise InputError("RewardSTDP needs the reward of each step: reward=...")
        given = as_reward(reward).detach().to(pre)
        steps, batch = pre.shape[:2]
        shape = (len(given), 1) if given.dim() == 1 else tuple(given.shape)
        if len(shape) > 2 or any(a not in (1, b) for a, b in zip(reversed(shape), (batch, steps), strict=False)):
            raise InputError(
                f"reward must be a number, (time,), or (time, batch) = ({steps}, {batch}), got {tuple(given.shape)}."
            )
        if not bool(torch.isfinite(given).all()):
            raise InputError("reward holds values that are NaN or infinite.")
        return given.reshape(shape).expand(steps, batch)

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
        engine = engine or self.prepare(connection)
        factor = average(reduction, pre.shape[0])
        with torch.no_grad():
            rewards = self._rewards(as_reward(reward)[None] if reward is not None else None, pre[None])[0]
            made, traces = engine.step(pre, post, None if state is None else state.traces, keep_batch=True)
            last = torch.zeros_like(made) if state is None or state.eligibility is None else state.eligibility
            eligibility = made if self.tau_eligibility is None else last * self._eligibility_decay(connection) + made
            concentration = rewards
            if self.tau_reward is not None and state is not None and state.reward is not None:
                concentration = rewards + math.exp(-self.dt / self.tau_reward) * state.reward
            met = last if self.lag else eligibility
            change = self.rate * concentration.reshape(-1, *[1] * (met.dim() - 1)) * met
            change = change if factor is None else reduced(change.sum(0), factor)
            return change, RuleState(traces, eligibility, concentration)

    def _eligibility_decay(self, connection: Connection) -> Tensor | float:
        tau = self.tau_eligibility
        if isinstance(tau, Tensor):
            return torch.exp(-self.dt / connection.over_weights(tau).to(connection.weight))  # type: ignore[union-attr]
        assert tau is not None
        return math.exp(-self.dt / tau)


def as_reward(reward: Any) -> Tensor:
    """Rewards as a tensor."""
    try:
        return torch.as_tensor(reward)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"reward must be a number or a tensor of numbers, got {type(reward).__name__}.") from error
