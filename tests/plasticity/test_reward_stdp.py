"""Reward-modulated plasticity: its sums over time, its closed forms, and steps against the whole."""

import math

import pytest
import torch

from spikeneuro.plasticity import Dense, HyperbolicSTDP, PairSTDP, RewardSTDP, TripletSTDP, learning

F64 = torch.float64


def slow(rule, pre, post, reward):
    """Change of a connection, sum over the batch, from per-step changes of the inner rule and loops over time."""
    steps, batch = reward.shape
    connection = Dense(torch.zeros(post.shape[2], pre.shape[2], dtype=F64), -1.0, 1.0)
    state, made = None, []
    for t in range(steps):
        change, state = rule.rule.step(connection, pre[t], post[t], state, reduction="none")
        made.append(change)
    total = torch.zeros_like(made[0][0])
    for b in range(batch):
        for t in range(steps):
            concentration = sum(
                reward[s, b] * (math.exp(-(t - s) * rule.dt / rule.tau_reward) if rule.tau_reward else float(s == t))
                for s in range(t + 1)
            )
            eligibility = sum(
                made[s][b] * (math.exp(-(t - rule.lag - s) * rule.dt / rule.tau_eligibility)
                              if rule.tau_eligibility else float(s == t - rule.lag))
                for s in range(t + 1 - rule.lag)
            )  # fmt: skip
            total = total + rule.rate * concentration * eligibility
    return total


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(("tau_eligibility", "tau_reward"), [(0.1, 0.05), (0.1, None), (None, 0.05), (None, None)])
def test_change_is_the_sum_over_rewards_and_what_was_eligible(tau_eligibility, tau_reward, lag, train) -> None:
    pre, post = train(25, 2, 3, seed=1), train(25, 2, 4, seed=2)
    reward = torch.randn(25, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    rule = RewardSTDP(
        rule=PairSTDP(a_plus=0.1, a_minus=0.15),
        rate=0.3,
        lag=lag,
        tau_eligibility=tau_eligibility,
        tau_reward=tau_reward,
    )
    expected = slow(rule, pre, post, reward)
    torch.testing.assert_close(rule.delta(pre, post, reward=reward, reduction="sum"), expected, rtol=1e-9, atol=1e-12)
    assert expected.abs().max() > 0


@pytest.mark.parametrize("inner", [PairSTDP(), TripletSTDP.visual_cortex(), HyperbolicSTDP()])
@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_steps_sum_up_to_the_whole(inner, reduction, train) -> None:
    pre, post = train(30, 3, 3, seed=3), train(30, 3, 4, seed=4)
    reward = torch.randn(30, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    connection = Dense(torch.zeros(4, 3, dtype=F64))
    rule, state, total = RewardSTDP(rule=inner, tau_eligibility=0.2, tau_reward=0.1), None, 0.0
    for t in range(30):
        change, state = rule.step(connection, pre[t], post[t], state, reward=reward[t], reduction=reduction)
        total = total + change
    torch.testing.assert_close(total, rule.delta(pre, post, connection, reward=reward, reduction=reduction))


def test_eligibility_per_synapse_is_that_of_each_synapse_alone(train) -> None:
    pre, post = train(30, 2, 3, seed=3), train(30, 2, 2, seed=4)
    reward = torch.randn(30, generator=torch.Generator().manual_seed(1), dtype=F64)
    tau = torch.tensor([[0.05, 0.2, 1.0], [0.1, 0.5, 2.0]], dtype=F64)
    found = RewardSTDP(rule=PairSTDP(), tau_eligibility=tau).delta(pre, post, reward=reward)
    for j in range(2):
        for i in range(3):
            alone = RewardSTDP(rule=PairSTDP(), tau_eligibility=tau[j, i].item()).delta(pre, post, reward=reward)
            assert found[j, i].item() == pytest.approx(alone[j, i].item(), rel=1e-9)


def test_late_reward_has_the_closed_form_of_the_dopamine_rule() -> None:
    """One pair, one pulse of dopamine 0.5 s later: the integral of two exponentials, to the error of the step."""
    dt, wait = 0.0005, 0.5
    steps = round(8 / dt)
    pre, post, reward = (torch.zeros(steps, 1, 1, dtype=F64) for _ in range(3))
    pre[10], post[30], reward[30 + round(wait / dt)] = 1.0, 1.0, 1.0
    change = RewardSTDP.izhikevich(dt=dt).delta(pre, post, reward=reward[..., 0]).item()
    pair = 0.1 * math.exp(-20 * dt / 0.02)
    expected = pair * math.exp(-wait / 1.0) / (1 / 1.0 + 1 / 0.2)
    assert change == pytest.approx(expected, rel=5e-3)


def test_without_reward_nothing_changes_and_punishment_reverses_it(train) -> None:
    pre, post = train(30, 2, 3, seed=5), train(30, 2, 4, seed=6)
    rule = RewardSTDP.izhikevich()
    assert not rule.delta(pre, post, reward=0.0).any()
    torch.testing.assert_close(rule.delta(pre, post, reward=-1.0), -rule.delta(pre, post, reward=1.0))
    each = torch.tensor([[0.0, 1.0]], dtype=F64)  # (1, batch): the second sample alone is rewarded
    alone = rule.delta(pre[:, 1:], post[:, 1:], reward=1.0)
    torch.testing.assert_close(rule.delta(pre, post, reward=each, reduction="sum"), alone)


def test_one_row_of_rewards_holds_for_every_step(train) -> None:
    pre, post = train(20, 2, 3, seed=7), train(20, 2, 4, seed=8)
    each, weights = torch.tensor([[0.3, -1.0]], dtype=F64), []
    for reward in (each, each.expand(20, 2)):
        connection = Dense(torch.zeros(4, 3, dtype=F64))
        with learning(connection, RewardSTDP.izhikevich()) as learner:
            learner.replay(pre, post, reward=reward)
        weights.append(connection.weight)
    assert weights[0].any()
    assert torch.equal(*weights)


def test_learner_takes_rewards_step_by_step(train) -> None:
    pre, post = train(30, 2, 3, seed=7), train(30, 2, 4, seed=8)
    reward = torch.randn(30, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    rule = RewardSTDP.mstdpet(rate=0.01)
    one, other = Dense(torch.zeros(4, 3, dtype=F64)), Dense(torch.zeros(4, 3, dtype=F64))
    with learning(one, rule) as learner:
        learner.replay(pre, post, reward=reward)
    with learning(other, rule) as learner:
        state = None
        for t in range(30):
            state = learner.step(pre[t], post[t], state, reward=reward[t])
    torch.testing.assert_close(one.weight, rule.delta(pre, post, reward=reward))
    torch.testing.assert_close(other.weight, one.weight)
