"""The cube against a slow, dense program written from its equations, spike for spike and weight for weight."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from spikeneuro.plasticity import HyperbolicSTDP
from spikeneuro.reservoir import grid
from spikeneuro.reservoir.neucube_wiring import Dynamics, build, nearest_neurons, spacing_of

SINGLE = np.float32


def cube_of(n=27, inputs=(0, 13), seed=0, negative="mirror", dynamics=None, **options):
    settings_ = {"radius": 2.5, "inhibitory": 0.2, "max_weight": 0.1} | options
    return build(
        grid(n), np.array(inputs), negative=negative, dynamics=dynamics or Dynamics(), random_state=seed, **settings_
    )


def trains(cube, n=3, steps=60, density=0.4, seed=1):
    width = len(cube.inputs) + len(cube.negative_inputs)
    return np.random.default_rng(seed).random((n, steps, width)) < density


def slow(cube, samples, rate=None):  # noqa: C901 - one loop, as the rules are listed
    """Dense matrices, one neuron and one pair at a time. Returns spikes (n, steps, neurons) and weights."""
    n = cube.n_neurons
    constants = cube.dynamics
    W = np.zeros((n, n), dtype=SINGLE)  # [receiver, sender]
    exists = np.zeros((n, n), dtype=bool)
    W[cube.receiver, cube.sender] = cube.weight
    exists[cube.receiver, cube.sender] = True
    inputs = [*cube.inputs, *cube.negative_inputs]
    out = np.zeros((*samples.shape[:2], n), dtype=bool)
    for number, sample in enumerate(samples):
        psp = [SINGLE(0)] * n
        counter, last = [0] * n, [None] * n
        used = set()  # of each synapse, the spikes that have had their pair, for gain and for loss
        before = []
        for t, arriving in enumerate(sample):
            now = []
            for j in range(n):
                if j in inputs:
                    if arriving[inputs.index(j)]:
                        now.append(j)
                    continue
                if counter[j] > 0:  # deaf
                    counter[j] -= 1
                    continue
                total = SINGLE(0)
                for i in before:
                    if exists[j, i]:
                        total = SINGLE(total + W[j, i])
                level = SINGLE(psp[j] + total)
                if level >= SINGLE(constants.threshold):
                    now.append(j)
                    psp[j], counter[j] = SINGLE(0), constants.refractory
                else:
                    psp[j] = max(SINGLE(0), SINGLE(level - SINGLE(constants.leak)))
            out[number, t, now] = True
            if rate is not None:
                for j in now:
                    for i in range(n):
                        if exists[j, i] and last[i] is not None and (i, j, last[i], "+") not in used:
                            used.add((i, j, last[i], "+"))
                            step = SINGLE(SINGLE(rate) / SINGLE(t - last[i]))
                            W[j, i] = min(SINGLE(constants.limit), SINGLE(W[j, i] + step))
                for i in now:
                    if i in inputs and not constants.inputs_lose:
                        continue
                    for j in range(n):
                        if exists[j, i] and last[j] is not None and (i, j, last[j], "-") not in used:
                            used.add((i, j, last[j], "-"))
                            step = SINGLE(SINGLE(rate) / SINGLE(t - last[j]))
                            W[j, i] = max(-SINGLE(constants.limit), SINGLE(W[j, i] - step))
            for j in now:
                last[j] = t
            before = now
    return out, W[cube.receiver, cube.sender]


def run(cube, samples):
    return np.stack(list(cube.run(samples)))


@pytest.mark.parametrize("negative", ["zero", "mirror", "none"])
@pytest.mark.parametrize("rate", [0.001, 0.05])
def test_equals_the_slow_program_spike_for_spike_and_weight_for_weight(negative, rate):
    cube = cube_of(negative=negative)
    samples = trains(cube)
    silent_before, _ = slow(cube, samples)
    np.testing.assert_array_equal(run(cube, samples), silent_before)
    assert silent_before[..., ~cube.is_input].any()
    _, expected = slow(cube, samples, rate)
    cube.learn(samples, rate)
    np.testing.assert_array_equal(cube.weight, expected)
    assert (cube.weight != cube.initial).mean() > 0.1
    np.testing.assert_array_equal(run(cube, samples), slow(cube, samples)[0])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), leak=st.floats(0, 0.1), threshold=st.floats(0.05, 1), refractory=st.integers(0, 8),
    rate=st.floats(0, 1), limit=st.floats(0.2, 2), density=st.floats(0, 1), inputs_lose=st.booleans(),
)  # fmt: skip
def test_equals_the_slow_program_for_any_constants_and_keeps_its_bounds(
    seed, leak, threshold, refractory, rate, limit, density, inputs_lose
):
    dynamics = Dynamics(leak, threshold, refractory, limit, inputs_lose)
    cube = cube_of(12, (2, 7), seed, dynamics=dynamics)
    samples = trains(cube, 2, 20, density, seed)
    _, expected = slow(cube, samples, rate)
    cube.learn(samples, rate)
    np.testing.assert_array_equal(cube.weight, expected)
    spikes = run(cube, samples)
    np.testing.assert_array_equal(spikes, slow(cube, samples)[0])
    assert np.abs(cube.weight).max() <= SINGLE(limit)
    for train in spikes.transpose(0, 2, 1)[:, ~cube.is_input].reshape(-1, 20):
        assert (np.diff(np.flatnonzero(train)) > refractory).all()


def test_one_pair_by_hand():
    """Input 0 drives neuron 1 with weight 0.2: it fires on the third spike, and then learns."""
    cube = build(np.array([[0.0, 0, 0], [1, 0, 0]]), np.array([0]), negative="none", radius=1.0, inhibitory=0.0,
                 max_weight=0.1, dynamics=Dynamics(threshold=0.5), random_state=0)  # fmt: skip
    cube.weight[:] = 0.2
    sample = np.ones((1, 11, 1), dtype=bool)
    # potential 0.198, 0.396, then 0.596 >= 0.5 at step 3; deaf for 6 steps (4 to 9); then 0.198
    assert np.flatnonzero(run(cube, sample)[0, :, 1]).tolist() == [3]
    cube.learn(sample, 0.1)
    # gains rate / 1 at step 3, from the input one step before; the input itself takes nothing back
    assert cube.weight[0] == pytest.approx(0.2 + 0.1)
    cube.weight[:], cube.dynamics = 0.2, Dynamics(threshold=0.5, inputs_lose=True)
    cube.learn(sample, 0.1)
    # the next spike of the input, at step 4, pairs with that of step 3, and later ones find it used
    assert cube.weight[0] == pytest.approx(0.2 + 0.1 - 0.1)


@pytest.mark.parametrize("inputs_lose", [True, False])
def test_learning_equals_the_plasticity_rule_on_the_recorded_spikes(inputs_lose):
    """The rule of `spikeneuro.plasticity` on the spikes of a run whose weights are far from their bounds."""
    cube = cube_of(dynamics=Dynamics(inputs_lose=inputs_lose, limit=1000.0))
    sample = trains(cube, 1)
    rate = 1e-5  # too small to move a spike
    spikes = torch.from_numpy(run(cube, sample)[0]).double()[:, None]
    rule = HyperbolicSTDP(rate=rate, offset=0.0, coincident="neither")
    expected = rule.delta(spikes, spikes).numpy()[cube.receiver, cube.sender]
    if not inputs_lose:
        for place in np.flatnonzero(cube.is_input[cube.sender]):
            pre, post = spikes[..., [cube.sender[place]]], spikes[..., [cube.receiver[place]]]
            expected[place] += rate * losses(pre, post)
    before = cube.weight.astype(np.float64)
    cube.learn(sample, rate)
    np.testing.assert_allclose(cube.weight - before, expected, atol=2e-7)  # float32
    assert np.abs(expected).max() > 1e-5


def losses(pre, post):
    """What a synapse loses: each spike of `post` once, at the first spike of `pre` after it."""
    before, after = np.flatnonzero(post.numpy()), np.flatnonzero(pre.numpy())
    total = 0.0
    for place in after:
        earlier = before[before < place]
        if len(earlier) and not ((after > earlier[-1]) & (after < place)).any():
            total += 1 / (place - earlier[-1])
    return total


def test_wiring_keeps_the_rules_of_the_source():
    cube = cube_of(1000, tuple(range(0, 1000, 50)), negative="zero")
    matrix = cube.matrix(np.ones(len(cube.weight)))
    assert not (matrix.multiply(matrix.T)).nnz  # one direction of two
    assert not cube.is_input[cube.receiver].any()
    inputs = np.isin(cube.sender, cube.inputs)
    twins = np.isin(cube.sender, cube.negative_inputs)
    others = ~inputs & ~twins
    assert (cube.initial[inputs] > 0).all()
    assert not cube.initial[twins].any()
    assert abs((cube.initial[others] < 0).mean() - 0.2) < 0.02
    assert np.abs(cube.initial[others]).max() <= 0.1
    assert cube.initial[inputs].max() <= 0.2
    distance = np.linalg.norm(cube.positions[cube.sender] - cube.positions[cube.receiver], axis=1)
    assert distance.max() <= 2.5
    for plus, minus in zip(cube.inputs, cube.negative_inputs, strict=True):
        np.testing.assert_array_equal(cube.receiver[cube.sender == plus], cube.receiver[cube.sender == minus])
        np.testing.assert_array_equal(cube.positions[plus], cube.positions[minus])


def test_twins_of_weight_zero_act_only_once_they_have_learned():
    cube = cube_of(negative="zero")
    samples = trains(cube)
    only_negative = samples.copy()
    only_negative[..., : len(cube.inputs)] = False
    assert not run(cube, only_negative)[..., ~cube.is_input].any()
    cube.learn(samples, 0.05)
    assert cube.weight[np.isin(cube.sender, cube.negative_inputs)].any()


def test_silence_stays_silent_and_changes_nothing():
    cube = cube_of()
    nothing = np.zeros_like(trains(cube))
    cube.learn(nothing, 0.1)
    assert not run(cube, nothing).any()
    np.testing.assert_array_equal(cube.weight, cube.initial)


def test_samples_start_from_rest_and_running_changes_no_weight():
    cube = cube_of()
    samples = trains(cube, 6)
    cube.learn(samples[:2], 0.05)
    kept = cube.weight.copy()
    together = run(cube, samples)
    alone = np.concatenate([run(cube, samples[i : i + 1]) for i in range(6)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(run(cube, samples[::-1])[::-1], together)
    np.testing.assert_array_equal(cube.weight, kept)


def test_each_input_gets_the_nearest_free_neuron():
    neurons = grid(27)
    places = np.array([[0.1, 0, 0], [0.2, 0, 0], [2, 2, 2]])
    chosen, distance = nearest_neurons(places, neurons)
    assert chosen[0] == 0
    assert chosen[2] == 26
    assert len(set(chosen.tolist())) == 3
    np.testing.assert_allclose(distance, np.linalg.norm(neurons[chosen] - places, axis=1))
    everyone, _ = nearest_neurons(neurons + 0.3, neurons)
    assert sorted(everyone.tolist()) == list(range(27))
    assert spacing_of(10 * neurons) == 10
