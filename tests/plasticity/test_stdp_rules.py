"""Rules equal the sums over pairs and triplets of spikes that define them, and the closed forms of single pairs."""

import itertools
import math

import numpy as np
import pytest
import torch

from spikeneuro.errors import InputError
from spikeneuro.plasticity import Dense, HyperbolicSTDP, PairSTDP, RewardSTDP, TripletSTDP

F64 = torch.float64
COINCIDENT = ("potentiate", "depress", "both", "neither")


def one_pair(lag, steps=60, dtype=F64):
    """A spike before the synapse at step 30, one after it `lag` steps later."""
    pre, post = torch.zeros(steps, 1, 1, dtype=dtype), torch.zeros(steps, 1, 1, dtype=dtype)
    pre[30], post[30 + lag] = 1.0, 1.0
    return pre, post


@pytest.mark.parametrize(("pairing", "coincident"), list(itertools.product(("all", "nearest"), COINCIDENT)))
def test_pair_rule_is_the_double_sum_over_pairs(pairing, coincident, brute_force, train) -> None:
    pre, post = train(80, 3, 4, seed=1), train(80, 3, 5, seed=2, rate=0.3)
    rule = PairSTDP(
        a_plus=0.3, a_minus=0.2, tau_plus=0.02, tau_minus=0.035, dt=0.003, pairing=pairing, coincident=coincident
    )
    expected = brute_force.matrix(pre, post, lambda a, b: brute_force.pair(a, b, rule))
    torch.testing.assert_close(rule.delta(pre, post, reduction="none"), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(rule.delta(pre, post, reduction="sum"), expected.sum(0), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(rule.delta(pre, post), expected.mean(0), rtol=1e-10, atol=1e-12)
    single = rule.delta(pre.float(), post.float(), reduction="sum")
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected.sum(0), rtol=1e-6, atol=1e-6 * float(expected.abs().max()) * 9)


@pytest.mark.parametrize(("pairing", "coincident"), list(itertools.product(("all", "nearest"), COINCIDENT)))
def test_triplet_rule_is_the_triple_sum(pairing, coincident, brute_force, train) -> None:
    pre, post = train(80, 2, 4, seed=3), train(80, 2, 3, seed=4, rate=0.3)
    rule = TripletSTDP(
        a2_plus=0.01, a3_plus=0.02, a2_minus=0.015, a3_minus=0.005, tau_plus=0.0168, tau_minus=0.0337, tau_x=0.101,
        tau_y=0.125, dt=0.002, pairing=pairing, coincident=coincident,
    )  # fmt: skip
    expected = brute_force.matrix(pre, post, lambda a, b: brute_force.triplet(a, b, rule))
    torch.testing.assert_close(rule.delta(pre, post, reduction="none"), expected, rtol=1e-10, atol=1e-12)
    single = rule.delta(pre.float(), post.float(), reduction="none").double()
    torch.testing.assert_close(single, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lag", [1, 3, 10, 25])
@pytest.mark.parametrize("pairing", ["all", "nearest"])
def test_one_pair_has_its_closed_form(lag, pairing) -> None:
    rule = PairSTDP(a_plus=0.7, a_minus=0.3, tau_plus=0.02, tau_minus=0.02, dt=0.001, pairing=pairing)
    change = rule.delta(*one_pair(lag)).item()
    assert change == pytest.approx(0.7 * math.exp(-lag / 20), rel=1e-12)
    change = rule.delta(*one_pair(-lag)).item()
    assert change == pytest.approx(-0.3 * math.exp(-lag / 20), rel=1e-12)


def test_coincident_spikes_do_what_is_asked_for() -> None:
    found = {c: PairSTDP(a_plus=0.7, a_minus=0.3, coincident=c).delta(*one_pair(0)).item() for c in COINCIDENT}
    assert found == pytest.approx({"potentiate": 0.7, "depress": -0.3, "both": 0.4, "neither": 0.0})


def test_triplet_without_triplet_terms_is_the_pair_rule(train) -> None:
    pre, post = train(60, 2, 4, seed=5), train(60, 2, 3, seed=6)
    pair = PairSTDP(a_plus=0.01, a_minus=0.02, tau_plus=0.0168, tau_minus=0.0337)
    triplet = TripletSTDP(a2_plus=0.01, a2_minus=0.02)
    torch.testing.assert_close(triplet.delta(pre, post), pair.delta(pre, post))


def test_triplet_rule_potentiates_more_at_higher_frequencies_in_visual_cortex() -> None:
    """Pairs of 10 ms, 60 of them: at low frequency no potentiation, at high frequency much, and depression turns."""
    dt = 0.0025

    def change(rule, rate, lag):
        period = round(1 / rate / dt)
        pre, post = torch.zeros(60 * period + 40, 1, 1, dtype=F64), torch.zeros(60 * period + 40, 1, 1, dtype=F64)
        pre[20 + period * torch.arange(60)] = 1.0
        post[20 + round(lag / dt) + period * torch.arange(60)] = 1.0
        return rule.delta(pre, post).item()

    for minimal in (False, True):
        rule = TripletSTDP.visual_cortex(minimal=minimal, dt=dt)
        up = [change(rule, rate, 0.01) for rate in (2, 10, 20, 40, 50)]
        assert abs(up[0]) < 0.05
        assert up == sorted(up)
        assert 0.4 < up[-1] < 1.0
        assert change(rule, 2, -0.01) < -0.2
        assert change(rule, 50, -0.01) > 0
    pair = PairSTDP(a_plus=0.005, a_minus=0.007, tau_plus=0.0168, tau_minus=0.0337, dt=dt)
    assert change(pair, 50, 0.01) < change(pair, 10, 0.01)  # what the pair rule cannot explain


def test_presets_are_the_published_constants() -> None:
    full = TripletSTDP.visual_cortex()
    assert (full.tau_plus, full.tau_minus, full.tau_x, full.tau_y) == (0.0168, 0.0337, 0.101, 0.125)
    assert (full.a2_plus, full.a3_plus, full.a2_minus, full.a3_minus) == (5e-10, 6.2e-3, 7e-3, 2.3e-4)
    minimal = TripletSTDP.visual_cortex(minimal=True)
    assert (minimal.a2_plus, minimal.a3_plus, minimal.a2_minus, minimal.a3_minus) == (0, 6.5e-3, 7.1e-3, 0)
    assert minimal.tau_y == 0.114
    hippocampus = TripletSTDP.hippocampus()
    assert (hippocampus.a3_plus, hippocampus.tau_x, hippocampus.tau_y) == (6.7e-3, 0.946, 0.027)
    with pytest.raises(InputError, match="no constants of hippocampus"):
        TripletSTDP.hippocampus(pairing="nearest")
    reward = RewardSTDP.izhikevich(dt=0.001)
    assert (reward.tau_eligibility, reward.tau_reward, reward.rule.a_plus, reward.rule.a_minus) == (1.0, 0.2, 0.1, 0.15)


RULES = {
    "pair": PairSTDP(a_plus=0.02, a_minus=0.03),
    "nearest": PairSTDP(a_plus=0.02, a_minus=0.03, pairing="nearest", coincident="both"),
    "soft": PairSTDP(a_plus=0.02, a_minus=0.03, mu_plus=1.0, mu_minus=0.5),
    "triplet": TripletSTDP.hippocampus(),
    "hyperbolic": HyperbolicSTDP(rate=0.01, once=False),
    "once": HyperbolicSTDP(rate=0.01),
}


@pytest.mark.parametrize("name", RULES)
def test_steps_sum_up_to_the_whole(name, train) -> None:
    pre, post = train(40, 3, 4, seed=7), train(40, 3, 5, seed=8)
    connection = Dense(torch.rand(5, 4, dtype=F64, generator=torch.Generator().manual_seed(0)), 0.0, 1.0)
    rule, state, total = RULES[name], None, 0.0
    for t in range(40):
        change, state = rule.step(connection, pre[t], post[t], state, reduction="sum")
        total = total + change
    torch.testing.assert_close(total, rule.delta(pre, post, connection, reduction="sum"))
    assert total.abs().max() > 0


def test_weight_dependence_multiplies_by_the_distance_from_the_bound() -> None:
    connection = Dense(torch.tensor([[0.2]], dtype=F64), low=-1.0, high=2.0)
    rule = PairSTDP(a_plus=0.5, a_minus=0.25, mu_plus=1.0, mu_minus=0.5, dt=0.02)
    up = rule.delta(*one_pair(1), connection).item()
    down = rule.delta(*one_pair(-1), connection).item()
    assert up == pytest.approx(0.5 * 1.8 * math.exp(-1))
    assert down == pytest.approx(-0.25 * 1.2**0.5 * math.exp(-1))
    assert connection.weight.item() == 0.2
    with pytest.raises(InputError, match="mu_plus=1.0 makes changes depend on the bound 'high'"):
        rule.delta(*one_pair(1), Dense(torch.zeros(1, 1, dtype=F64)))


def test_constants_per_synapse_and_per_neuron_are_those_of_each_synapse_alone(brute_force, train) -> None:
    pre, post = train(60, 2, 4, seed=9), train(60, 2, 3, seed=10)
    draw = torch.Generator().manual_seed(3)
    each = {
        "a_plus": 0.1 * torch.rand(3, 4, generator=draw, dtype=F64),
        "a_minus": 0.1 * torch.rand(3, 4, generator=draw, dtype=F64),
        "tau_plus": 0.01 + 0.05 * torch.rand(3, 4, generator=draw, dtype=F64),
        "tau_minus": 0.01 + 0.05 * torch.rand(3, 4, generator=draw, dtype=F64),
    }
    shared = {"a_plus": each["a_plus"][:1], "a_minus": each["a_minus"][:, :1], "tau_plus": each["tau_plus"][:1],
              "tau_minus": each["tau_minus"][:, :1]}  # fmt: skip
    crossed = {**shared, "tau_plus": each["tau_plus"][:, :1]}  # a trace of each synapse, by the neuron after it
    for constants in (each, shared, crossed):
        found = PairSTDP(**constants).delta(pre, post, reduction="sum")
        for j, i in itertools.product(range(3), range(4)):
            own = {name: value.expand(3, 4)[j, i].item() for name, value in constants.items()}
            alone = PairSTDP(**own)
            expected = sum(
                brute_force.pair(*(torch.nonzero(x[:, b, k])[:, 0].tolist() for x, k in ((pre, i), (post, j))), alone)
                for b in range(2)
            )
            assert found[j, i].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def neucube(pre, post, rate):
    """NeuCube's rule as a loop over steps, for two neurons whose firing is given: a synapse from `pre` to `post`.

    Its steps: spikes fired in the step before arrive and are noted as last spikes; then the neurons that fire now
    change their synapses by rate / (steps since the other's note + 1), each note once per synapse.
    """
    weight, used = 0.0, None
    noted = {"pre": None, "post": None}
    for t in range(len(pre)):
        for name, train in (("pre", pre), ("post", post)):
            if t > 0 and train[t - 1]:
                noted[name] = t
        if pre[t] and noted["post"] is not None and used != noted["post"]:
            used = noted["post"]
            weight -= rate / (t - noted["post"] + 1)
        if post[t] and noted["pre"] is not None and used != noted["pre"]:
            used = noted["pre"]
            weight += rate / (t - noted["pre"] + 1)
    return weight


def test_hyperbolic_rule_is_that_of_neucube(train) -> None:
    """On trains in which the two neurons never fire in the same step (there its one note per synapse is ambiguous)."""
    pre, post = train(200, 6, 1, seed=11, rate=0.15), train(200, 6, 1, seed=12, rate=0.15)
    post = post * (1 - pre)
    rule = HyperbolicSTDP(rate=0.01, offset=0.0, coincident="neither")
    found = rule.delta(pre, post, reduction="none").flatten()
    expected = [neucube(pre[:, b, 0].tolist(), post[:, b, 0].tolist(), 0.01) for b in range(6)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("once", [True, False])
def test_hyperbolic_rule_counts_steps(once) -> None:
    pre, post = torch.zeros(20, 1, 1, dtype=F64), torch.zeros(20, 1, 1, dtype=F64)
    pre[2], pre[12], post[5], post[7] = 1.0, 1.0, 1.0, 1.0
    expected = 1 / 4 - 1 / 6 if once else 1 / 4 + 1 / 6 - 1 / 6
    assert HyperbolicSTDP(rate=1.0, once=once).delta(pre, post).item() == pytest.approx(expected)
    assert HyperbolicSTDP(rate=1.0, once=once).delta(*one_pair(0)).item() == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairSTDP(dt=0.0), "dt must lie in"),
        (lambda: PairSTDP(pairing="last"), "pairing='last' is unknown"),
        (lambda: PairSTDP(coincident="after"), "coincident='after' is unknown"),
        (lambda: PairSTDP(mu_plus=-1.0), "mu_plus must lie in"),
        (lambda: HyperbolicSTDP(offset=0.0), "offset=0 makes"),
        (lambda: HyperbolicSTDP(pairing="all"), "last spike only"),
        (lambda: RewardSTDP(rule=RewardSTDP.izhikevich()), "rule must be a rule such as PairSTDP"),
        (lambda: RewardSTDP(rule=PairSTDP(), lag=2), "lag must lie in"),
        (lambda: PairSTDP(tau_plus=0.0).delta(*one_pair(1)), "tau of pre is a time constant"),
        (lambda: PairSTDP(tau_plus=torch.tensor([[-1.0]])).delta(*one_pair(1)), "tau of pre is a time constant"),
        (lambda: PairSTDP(a_plus=float("nan")).delta(*one_pair(1)), "a_plus holds values that are NaN"),
        (lambda: PairSTDP(a_plus=np.ones((3, 4))).delta(*one_pair(1)), "a_plus must be .*, got ndarray; draw"),
        (lambda: PairSTDP().delta(one_pair(1)[0].numpy(), one_pair(1)[1]), "pre must be a tensor, got ndarray"),
        (lambda: RewardSTDP.izhikevich().delta(*one_pair(1), reward="x"), "reward must be a number or a tensor"),
        (lambda: PairSTDP(a_plus="big").delta(*one_pair(1)), "a_plus must be a number or a tensor"),
        (lambda: PairSTDP(a_plus=torch.ones(1)).delta(*one_pair(1)), "does not broadcast over weights"),
        (lambda: PairSTDP(a_plus=torch.ones(2, 1)).delta(*one_pair(1)), "does not broadcast over weights"),
        (lambda: PairSTDP().delta(*one_pair(1), reduction="max"), "reduction='max' is unknown"),
        (lambda: PairSTDP().delta(*one_pair(1), reward=1.0), "takes no reward"),
        (lambda: PairSTDP().delta(0.5 * one_pair(1)[0], one_pair(1)[1]), "pre must hold spikes, 0 and 1"),
        (lambda: PairSTDP().delta(one_pair(1)[0], one_pair(1)[1] * math.nan), "post must hold spikes, 0 and 1"),
        (lambda: PairSTDP().delta(torch.zeros(5, 3), torch.zeros(5, 3)), "without a connection both trains"),
        (lambda: PairSTDP().delta(torch.zeros(5, 2, 3), torch.zeros(4, 2, 3)), "share time and batch"),
        (lambda: PairSTDP().delta(torch.zeros(0, 2, 3), torch.zeros(0, 2, 3)), "hold no step"),
        (lambda: PairSTDP().delta(torch.zeros(5, 2, 3), torch.zeros(5, 2, 2), Dense(torch.zeros(3, 2))), "pre must be"),
        (lambda: RewardSTDP.izhikevich().delta(*one_pair(1)), "needs the reward"),
        (lambda: RewardSTDP.izhikevich().delta(*one_pair(1), reward=torch.ones(7)), "reward must be a number"),
        (lambda: RewardSTDP.izhikevich().delta(*one_pair(1), reward=math.inf), "reward holds values"),
    ],
)  # fmt: skip
def test_mistakes_are_named_in_one_line(make, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_silent_trains_change_nothing(train) -> None:
    silent = torch.zeros(30, 2, 4, dtype=F64)
    for rule in RULES.values():
        connection = Dense(torch.full((4, 4), 0.5, dtype=F64), 0.0, 1.0)
        assert not rule.delta(silent, silent, connection).any()
        assert not rule.delta(train(30, 2, 4), silent, connection).any()
