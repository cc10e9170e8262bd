"""Weights change inside the context only, stay within their bounds, and layers learn what they are given."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, Carry, RecurrentLIF, Rhythm
from spikeneuro.plasticity import (
    Dense,
    HyperbolicSTDP,
    Normalisation,
    PairSTDP,
    PlasticLayer,
    PlasticRecurrence,
    RewardSTDP,
    Sparse,
    SparseLinear,
    SynapticScaling,
    ThresholdHomeostasis,
    TripletSTDP,
    WeightDecay,
    WinnerTakeAll,
    connect,
    lateral_inhibition,
    learning,
)

F64 = torch.float64


def layer(n_in=12, n_out=6, seed=0, *, neurons=None, **options):
    neurons = neurons or LIF(n_out, threshold=torch.ones(n_out))
    made = PlasticLayer(nn.Linear(n_in, n_out, bias=False), neurons, **options)
    made.connection.draw_(0.2, 0.6, torch.Generator().manual_seed(seed))
    return made


def held(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


SYNAPSES = {
    "dense": lambda: (nn.Linear(12, 6, bias=False), (12,), LIF(6)),
    "convolution": lambda: (nn.Conv2d(2, 4, 3, bias=False), (2, 6, 6), LIF((4, 1, 1))),
    "sparse": lambda: (SparseLinear(torch.arange(12) % 6, torch.arange(12), (6, 12)), (12,), LIF(6)),
    "inhibited": lambda: (nn.Linear(12, 6, bias=False), (12,), lateral_inhibition(6, 0.3)),
}


@pytest.mark.parametrize("winners", [None, WinnerTakeAll()])
@pytest.mark.parametrize("kind", SYNAPSES)
def test_inference_never_changes_a_weight(kind, winners, train) -> None:
    """Neither before, nor inside the context, nor after it; not in training mode either, nor by a gradient's pass."""
    synapses, features, neurons = SYNAPSES[kind]()
    if winners and isinstance(neurons, RecurrentLIF):
        with pytest.raises(InputError):
            PlasticLayer(synapses, neurons, winners=winners)
        return
    made = PlasticLayer(synapses, neurons, winners=winners)
    made.connection.draw_(0.1, 0.9, torch.Generator().manual_seed(0))
    x = train(20, 3, *features, dtype=torch.float32, rate=0.4)
    before = held(made)
    for mode in (True, False):
        made.train(mode)
        first = made(x)
        assert first.any()
        first.sum().backward()
        with learning(made, PairSTDP()) as learner:
            inside = made(x)
        assert torch.equal(inside, first)
        assert torch.equal(made(x), first)
        assert same(made, before)
    with learning(made, PairSTDP(a_plus=0.05)) as learner:
        learner(x)
    assert not same(made, before)
    after = held(made)
    for use in (
        lambda: learner(x), lambda: learner.run(x), lambda: learner.advance(x[0]), lambda: learner.finish(first),
        lambda: learner.update(x, first), lambda: learner.replay(x, first), lambda: learner.step(x[0], first[0]),
    ):  # fmt: skip
        with pytest.raises(InputError, match="inside the context only"):
            use()
    assert same(made, after)


def test_everything_a_learner_offers_needs_the_context() -> None:
    """A method added later must be listed in the test above."""
    with learning(layer(), PairSTDP()) as learner:
        public = {n for n, _ in inspect.getmembers(type(learner), inspect.isfunction) if not n.startswith("_")}
    assert public == {"run", "advance", "finish", "update", "replay", "step"}


def test_an_error_inside_the_context_closes_it(train) -> None:
    made = layer()
    context = learning(made, PairSTDP())
    with pytest.raises(RuntimeError), context:
        raise RuntimeError
    with pytest.raises(InputError, match="inside the context only"):
        context(train(5, 1, 12, dtype=torch.float32))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20), a_plus=st.floats(-3, 3), a_minus=st.floats(-3, 3), mu=st.sampled_from([0.0, 0.3, 1.0]),
    low=st.floats(-2, 0.2), width=st.floats(0.05, 2), once=st.booleans(), reduction=st.sampled_from(["mean", "sum"]),
    kind=st.sampled_from(["pair", "nearest", "triplet", "hyperbolic", "reward"]), sparse=st.booleans(),
    dtype=st.sampled_from([torch.float32, F64]), decay=st.booleans(),
)  # fmt: skip
def test_bounds_always_hold(seed, a_plus, a_minus, mu, low, width, once, reduction, kind, sparse, dtype, decay) -> None:
    draw = torch.Generator().manual_seed(seed)
    high = low + width
    pre, post = ((torch.rand(15, 2, n, generator=draw) < 0.4).to(dtype) for n in (4, 3))
    weight = (low + width * torch.rand(3, 4, generator=draw, dtype=F64)).to(dtype).clamp(low, high)
    pair = PairSTDP(a_plus=a_plus, a_minus=a_minus, mu_plus=mu, mu_minus=mu)
    rule = {
        "pair": pair,
        "nearest": PairSTDP(a_plus=a_plus, a_minus=a_minus, pairing="nearest", coincident="both"),
        "triplet": TripletSTDP(a3_plus=a_plus, a2_minus=a_minus),
        "hyperbolic": HyperbolicSTDP(rate=a_plus, once=once),
        "reward": RewardSTDP(rule=pair, rate=2.0),
    }[kind]
    reward = torch.randn(15, 2, generator=draw) if kind == "reward" else None
    index = torch.cartesian_prod(torch.arange(3), torch.arange(4))[::2]
    connection = (
        Sparse(weight[index[:, 0], index[:, 1]], index[:, 0], index[:, 1], (3, 4), low, high)
        if sparse else Dense(weight, low, high)
    )  # fmt: skip
    keep = (Normalisation(total=3.0), SynapticScaling(target=200.0, beta=1.0), *([WeightDecay(tau=0.01)] * decay))
    bounds = torch.tensor([low, high], dtype=dtype)
    with learning(connection, rule, reduction=reduction, homeostasis=keep) as learner:
        learner.replay(pre, post, reward=reward)
        assert bool(((connection.weight >= bounds[0]) & (connection.weight <= bounds[1])).all())
        learner.update(pre, post, reward=reward)
    assert bool(((connection.weight >= bounds[0]) & (connection.weight <= bounds[1])).all())


def test_layer_learns_as_the_loop_over_its_steps_does(train) -> None:
    """`learner(x)` is: weigh, fire, change, step by step; `run` in pieces is the same."""
    x = train(30, 4, 12, dtype=torch.float32, rate=0.3)
    whole, pieces, by_hand = layer(), layer(), layer()
    rule = PairSTDP(a_plus=0.05, a_minus=0.02, mu_plus=1.0, mu_minus=1.0)
    with learning(whole, rule, reduction="sum") as learner:
        spikes = learner(x)
    with learning(pieces, rule, reduction="sum") as learner:
        first = learner.run(x[:11])
        rest = learner.run(x[11:], first.state)
    weight = by_hand.synapses.weight.detach()
    trace_pre, trace_post, state = torch.zeros(4, 12), torch.zeros(4, 6), None
    lam, made = torch.tensor(-0.004 / 0.02).exp(), []
    for now in x:
        fired, state = by_hand.neurons.step(now @ weight.T, state)
        trace_pre = lam * trace_pre + now
        up = torch.einsum("bo,bi->oi", fired, trace_pre)
        down = torch.einsum("bo,bi->oi", lam * trace_post, now)
        trace_post = lam * trace_post + fired
        weight = (weight + 0.05 * up * (1 - weight) - 0.02 * down * weight).clamp(0, 1)
        made.append(fired)
    assert torch.equal(spikes, torch.stack(made).detach())
    assert torch.equal(spikes, torch.cat([first.spikes, rest.spikes]))
    torch.testing.assert_close(whole.synapses.weight.detach(), weight)
    torch.testing.assert_close(pieces.synapses.weight, whole.synapses.weight)


def test_recurrent_synapses_learn_from_the_spikes_that_arrive(train) -> None:
    neurons = RecurrentLIF(8, delay=1, dtype=F64)
    x = 3.0 * train(40, 2, 8, rate=0.3)
    recurrence, old = PlasticRecurrence(neurons), neurons.weight.detach().clone()
    rule = PairSTDP(a_plus=1e-9, a_minus=2e-9)  # so small that the spikes stay those of the weights before
    quiet = recurrence(x)
    with learning(recurrence, rule, reduction="sum") as learner:
        spikes = learner(x)
    assert torch.equal(spikes, quiet)
    arriving = torch.cat([torch.zeros(2, 2, 8, dtype=F64), spikes[:-2]])
    expected = rule.delta(arriving, spikes, reduction="sum") * (1 - torch.eye(8))
    change = (neurons.weight.detach() - old) / 1e-9
    torch.testing.assert_close(change, expected / 1e-9, rtol=1e-4, atol=1e-4)
    assert not change.diagonal().any()


def test_mean_of_equal_samples_is_one_sample_and_sum_is_all(train) -> None:
    pre, post = train(20, 1, 4, seed=1), train(20, 1, 3, seed=2)
    found = {}
    for reduction in ("mean", "sum"):
        connection = Dense(torch.zeros(3, 4, dtype=F64))
        with learning(connection, PairSTDP(), reduction=reduction) as learner:
            learner.update(pre.expand(-1, 5, -1), post.expand(-1, 5, -1))
        found[reduction] = connection.weight
    torch.testing.assert_close(found["mean"], PairSTDP().delta(pre, post))
    torch.testing.assert_close(found["sum"], 5 * found["mean"])


def test_one_winner_fires_and_it_is_the_one_with_the_highest_potential() -> None:
    spikes = torch.tensor([[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    excess = torch.tensor([[0.2, 0.5, 9.0, 0.5], [1.0, 1.0, 1.0, 1.0]])
    assert WinnerTakeAll()(spikes, excess).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert WinnerTakeAll(k=2)(spikes, excess).tolist() == [[0, 1, 0, 1], [0, 0, 0, 0]]
    assert WinnerTakeAll(k=9)(spikes, excess).tolist() == spikes.tolist()
    maps = torch.ones(1, 2, 1, 2)
    height = torch.tensor([[[[0.1, 0.9]], [[0.5, 0.3]]]])
    assert WinnerTakeAll()(maps, height).tolist() == [[[[0, 1]], [[1, 0]]]]
    assert WinnerTakeAll(across="all")(maps, height).tolist() == [[[[0, 1]], [[0, 0]]]]


def test_winners_reset_the_others_if_asked() -> None:
    x = torch.ones(1, 1, 1)
    weight = torch.tensor([[2.0], [1.5], [0.5]])
    for reset_others, expected in ((False, [0.0, 0.0, 0.5]), (True, [0.0, 0.0, 0.0])):
        made = PlasticLayer(
            nn.Linear(1, 3, bias=False), LIF(3, reset="zero"), high=3.0,
            winners=WinnerTakeAll(reset_others=reset_others),
        )  # fmt: skip
        made.synapses.weight.data = weight
        result = made.run(x)
        assert result.spikes.tolist() == [[[1, 0, 0]]]
        assert result.state.v.tolist() == [expected]


def test_lateral_inhibition_is_one_step_late() -> None:
    made = PlasticLayer(nn.Linear(1, 2, bias=False), lateral_inhibition(2, 5.0, beta=0.0), high=3.0)
    made.synapses.weight.data = torch.tensor([[2.0], [2.0]])
    x = torch.ones(4, 1, 1)
    assert made(x)[:, 0].tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]
    carry = Carry()
    assert torch.equal(torch.cat([made(x[:1], carry), made(x[1:], carry)]), made(x))


def test_two_patterns_are_told_apart_by_competing_neurons() -> None:
    """Two groups of inputs fire by turns; each neuron comes to respond to one of them."""
    draw = torch.Generator().manual_seed(3)
    made = PlasticLayer(
        nn.Linear(20, 4, bias=False), LIF(4, threshold=torch.full((4,), 1.0), tau_mem=0.01, reset="zero"),
        winners=WinnerTakeAll(reset_others=True),
    )  # fmt: skip
    made.connection.draw_(0.2, 0.4, draw)
    which = torch.arange(60) % 2
    rates = torch.full((60, 20), 0.01)
    rates[which == 0, :10] = 0.3
    rates[which == 1, 10:] = 0.3
    x = (torch.rand(50, 60, 20, generator=draw) < rates).float()
    rule = PairSTDP(a_plus=0.01, a_minus=0.008, mu_plus=1.0, mu_minus=1.0)
    keep = (ThresholdHomeostasis(increment=0.02, target=10.0, low=0.3), Normalisation(total=4.0))
    with learning(made, rule, homeostasis=keep) as learner:
        for start in range(0, 60, 2):
            learner(x[:, start : start + 2])
    counts = made(x).sum(0)  # (samples, neurons)
    prefers = torch.stack([counts[which == k].sum(0) for k in (0, 1)])
    selectivity = prefers.max(0).values / prefers.sum(0).clamp(min=1)
    assert selectivity[prefers.sum(0) > 0].min() > 0.9
    assert set(prefers.argmax(0)[prefers.sum(0) > 0].tolist()) == {0, 1}


def test_a_rhythm_goes_on_while_the_layer_learns(train) -> None:
    made = layer(neurons=LIF(6, rhythm=Rhythm(cycle=4, duty=0.5)), winners=WinnerTakeAll(reset_others=True))
    x = train(20, 2, 12, dtype=torch.float32, rate=0.5)
    quiet = made(x)
    with learning(made, PairSTDP(a_plus=0.0, a_minus=0.0)) as learner:
        assert torch.equal(learner(x), quiet)


class Doubled(RecurrentLIF):
    """Neurons that run with twice the weights of their parameter."""

    def recurrence(self):
        return super().recurrence()._replace(weight=2 * self.weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: learning(nn.Linear(2, 2), PairSTDP()), "takes a connection or a layer that can learn, got Linear"),
        (lambda: learning(layer(), "stdp"), "rule must be a rule such as PairSTDP"),
        (lambda: learning(layer(), PairSTDP(), reduction="none"), "reduction='none' is unknown"),
        (lambda: learning(layer(), PairSTDP(dt=0.001)), "the rule's steps are of 0.001 s but those of the neurons"),
        (lambda: learning(layer(), PairSTDP(), homeostasis=("scaling",)), "homeostasis must be a sequence"),
        (lambda: learning(connect(nn.Linear(9, 9), 0.0, 1.0), PairSTDP()).__enter__(), "weights lie outside"),
        (lambda: learning(Dense(torch.tensor([[torch.nan]])), PairSTDP()).__enter__(), "1 weights are NaN"),
        (lambda: PlasticLayer(nn.ReLU(), LIF(3)), "ReLU has no synapses"),
        (lambda: PlasticLayer(RecurrentLIF(3), LIF(3)), "use PlasticRecurrence"),
        (lambda: PlasticLayer(nn.Linear(3, 3), nn.ReLU()), "neurons must be a LIF layer"),
        (lambda: PlasticLayer(nn.Linear(3, 3), RecurrentLIF(3), winners=WinnerTakeAll()), "not recurrent"),
        (lambda: PlasticRecurrence(LIF(3)), "needs a RecurrentLIF"),
        (lambda: PlasticRecurrence(Doubled(3)), r"Doubled runs with other weights .*settle"),
        (lambda: WinnerTakeAll(k=0), "k must lie in"),
        (lambda: WinnerTakeAll(across="rows"), "across='rows' is unknown"),
        (lambda: lateral_inhibition(3, -1.0), "strength must lie in"),
        (lambda: layer()(torch.zeros(5, 12)), "PlasticLayer expected"),
        (lambda: layer(winners=WinnerTakeAll()).run(torch.zeros(5, 1, 12), record=("membrane",)), "cannot be recorded"),
        (lambda: Normalisation(total=0.0), "total must lie in"),
        (lambda: Normalisation(total=torch.tensor([1.0, -1.0])), "finite sums"),
        (lambda: Normalisation(total=torch.ones(2, 2)), "finite sums"),
        (lambda: Normalisation(total=1.0, every="day"), "every='day' is unknown"),
        (lambda: ThresholdHomeostasis(tau=0.0), "tau must lie in"),
        (lambda: ThresholdHomeostasis(base="rest"), "base must be a number"),
    ],
)
def test_mistakes_are_named(make, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_mistakes_while_learning_are_named(train) -> None:
    made = layer()
    x = train(5, 2, 12, dtype=torch.float32)
    with learning(made, PairSTDP()) as learner:
        with pytest.raises(InputError, match="pre must hold spikes"):
            learner(0.5 * x)
        with pytest.raises(InputError, match="pre must hold spikes"):
            learner(x * torch.nan)
        with pytest.raises(InputError, match="at least one step"):
            learner(x[:0])
        with pytest.raises(InputError, match="takes no reward"):
            learner(x, reward=1.0)
        with pytest.raises(InputError, match="input must be a tensor, got ndarray"):
            learner(x.numpy())
        with pytest.raises(InputError, match="pre must be a tensor, got ndarray"):
            learner.step(x[0].numpy(), x[0, :, :6])
        state = learner.run(x).state
        with pytest.raises(InputError, match="start another batch from rest"):
            learner.step(x[0, :1], torch.zeros(1, 6), state.rule)
    with learning(made, RewardSTDP.izhikevich()) as learner:
        with pytest.raises(InputError, match="needs the reward"):
            learner(x)
        with pytest.raises(InputError, match="one row for each of the 5 steps"):
            learner(x, reward=torch.ones(4))
        with pytest.raises(InputError, match="reward must be a number or a tensor of numbers, got str"):
            learner(x, reward="much")
    plain = PlasticLayer(nn.Linear(12, 6, bias=False), LIF(6), low=-1.0)
    with (
        learning(plain, PairSTDP(), homeostasis=(ThresholdHomeostasis(),)) as learner,
        pytest.raises(InputError, match="needs a threshold for each of the neurons"),
    ):
        learner(x)


class TestHomeostasis:
    """Closed forms of each part, on weights whose rule changes nothing."""

    still = PairSTDP(a_plus=0.0, a_minus=0.0)

    def applied(self, made, x, *parts):
        with learning(made, self.still, homeostasis=parts) as learner:
            return learner(x)

    def test_normalisation_sets_sums(self, train) -> None:
        made = layer()
        self.applied(made, train(5, 1, 12, dtype=torch.float32), Normalisation(total=3.0))
        torch.testing.assert_close(made.synapses.weight.sum(1), torch.full((6,), 3.0))
        kernels = PlasticLayer(nn.Conv2d(2, 4, 3, bias=False), LIF((4, 1, 1)))
        kernels.connection.draw_(0.1, 0.5, torch.Generator().manual_seed(0))
        self.applied(kernels, train(5, 1, 2, 5, 5, dtype=torch.float32), Normalisation(total=2.0))
        torch.testing.assert_close(kernels.synapses.weight.flatten(1).sum(1), torch.full((4,), 2.0))

    def test_normalisation_sets_each_neurons_own_sum(self, train) -> None:
        made, own = layer(), torch.arange(1.0, 7.0)
        self.applied(made, train(5, 1, 12, dtype=torch.float32), Normalisation(total=own, every="step"))
        torch.testing.assert_close(made.synapses.weight.sum(1), own)
        with pytest.raises(InputError, match="total holds 2 sums, but there are 6 neurons"):
            self.applied(made, train(5, 1, 12, dtype=torch.float32), Normalisation(total=torch.ones(2)))

    def test_normalisation_leaves_silent_neurons_alone_and_bounds_hold(self) -> None:
        connection = Dense(torch.tensor([[0.0, 0.0], [0.5, 0.1]]), 0.0, 1.0)
        with learning(connection, self.still, homeostasis=(Normalisation(total=3.0),)) as learner:
            learner.update(torch.zeros(2, 1, 2), torch.zeros(2, 1, 2))
        assert connection.weight.tolist() == [[0.0, 0.0], [1.0, 0.5]]

    def test_scaling_moves_rates_towards_the_target(self) -> None:
        connection = Dense(torch.full((2, 3), 0.5, dtype=F64), 0.0, 1.0)
        post = torch.zeros(100, 2, 2, dtype=F64)
        post[::10, 0, 0], post[::20, 1, 0] = 1.0, 1.0  # 10 and 5 spikes of the first neuron in 0.4 s, none of the other
        with learning(connection, self.still, homeostasis=(SynapticScaling(target=10.0, beta=0.02),)) as learner:
            learner.update(torch.zeros(100, 2, 3, dtype=F64), post)
        expected = [0.5 * (1 + 0.02 * (4 - 7.5)), 0.5 * (1 + 0.02 * 4)]
        torch.testing.assert_close(connection.weight[:, 0], torch.tensor(expected, dtype=F64))

    def test_decay_is_exponential(self, train) -> None:
        made = layer()
        before = made.synapses.weight.detach().clone()
        self.applied(made, train(50, 1, 12, dtype=torch.float32), WeightDecay(tau=0.5))
        torch.testing.assert_close(made.synapses.weight.detach(), before * torch.tensor(-0.2 / 0.5).exp())

    def test_threshold_rises_by_spikes_and_relaxes(self, train) -> None:
        x = train(50, 2, 12, dtype=torch.float32, rate=0.4)
        made = layer()
        spikes = self.applied(made, x, ThresholdHomeostasis(increment=0.01, every="sequence"))
        torch.testing.assert_close(made.neurons.threshold, 1 + 0.01 * spikes.mean(1).sum(0))
        made = layer()
        spikes = self.applied(made, x, ThresholdHomeostasis(increment=0.01, tau=0.1, target=5.0))
        theta = torch.ones(6)
        for fired in spikes:
            kept = torch.tensor(-0.004 / 0.1).exp()
            theta = 1 + kept * (theta - 1) + 0.01 * (fired.mean(0) - 5.0 * 0.004)
        torch.testing.assert_close(made.neurons.threshold, theta)

    def test_thresholds_of_feature_maps_count_all_positions(self, train) -> None:
        made = PlasticLayer(nn.Conv2d(2, 4, 3, bias=False), LIF((4, 1, 1), threshold=torch.ones(4, 1, 1)))
        made.connection.draw_(0.1, 0.5, torch.Generator().manual_seed(0))
        x = train(10, 2, 2, 6, 6, dtype=torch.float32)
        spikes = self.applied(made, x, ThresholdHomeostasis(increment=0.1, every="sequence"))
        torch.testing.assert_close(made.neurons.threshold.flatten(), 1 + 0.1 * spikes.mean((1, 3, 4)).sum(0))
