"""Connections by distance against the probabilities they are drawn from, pair by pair, and the small world's rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from spikeneuro.errors import InputError
from spikeneuro.reservoir import (
    MAASS_PROBABILITY,
    MAASS_STRENGTH,
    dale_weights,
    distance_connectivity,
    grid,
    neuron_kinds,
    small_world,
    wiring,
)


@given(st.integers(1, 300))
def test_grid_is_made_of_distinct_points_of_a_small_box(n):
    places = grid(n)
    assert places.shape == (n, 3)
    assert len(np.unique(places, axis=0)) == n
    sides = places.max(axis=0) + 1
    assert np.prod(sides) >= n
    assert sides.max() <= math.ceil(n ** (1 / 3) - 1e-9)


def test_grid_of_the_source():
    places = grid(135, (15, 3, 3))
    assert sorted(places.max(axis=0).tolist()) == [2, 2, 14]


@pytest.mark.parametrize(("n", "inhibitory", "count"), [(100, 0.2, 20), (7, 0.2, 1), (5, 0.0, 0), (5, 1.0, 5)])
def test_share_of_inhibitory_neurons_is_exact(n, inhibitory, count):
    kinds = neuron_kinds(n, inhibitory, random_state=3)
    assert (kinds < 0).sum() == count
    assert set(np.unique(kinds)) <= {-1, 1}


def test_probability_falls_with_distance_as_the_formula_says():
    # two neurons, one of each kind, at a fixed distance: the share of draws that connect them is the probability
    kinds, distance, length, draws = np.array([1, -1]), 1.3, 1.7, 4000
    places = np.array([[0.0, 0, 0], [0, distance, 0]])
    found = np.zeros((2, 2))
    for seed in range(draws):
        found += distance_connectivity(
            places, kinds, probability=MAASS_PROBABILITY, length=length, self_connections=True, random_state=seed
        ).toarray()
    falls = math.exp(-((distance / length) ** 2))
    # [receiver, sender]: an excitatory sender (0) and an inhibitory receiver (1) are "EI"
    expected = np.array(
        [[MAASS_PROBABILITY["EE"], MAASS_PROBABILITY["IE"] * falls], [MAASS_PROBABILITY["EI"] * falls, 0.1]]
    )
    spread = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(found / draws - expected) < 4 * spread).all()


def test_number_of_connections_of_a_large_network():
    # drawn in blocks of receivers: the sum over all pairs, written out
    n, length = 700, 2.5
    places, kinds = grid(n), neuron_kinds(n, random_state=0)
    found = distance_connectivity(places, kinds, length=length, random_state=1).toarray()
    distance = np.linalg.norm(places[:, np.newaxis] - places[np.newaxis], axis=2)
    for sender, letter in ((1, "E"), (-1, "I")):
        for receiver, other in ((1, "E"), (-1, "I")):
            pairs = (kinds[:, np.newaxis] == receiver) & (kinds[np.newaxis] == sender) & ~np.eye(n, dtype=bool)
            chance = (MAASS_PROBABILITY[letter + other] * np.exp(-((distance / length) ** 2)))[pairs]
            spread = math.sqrt((chance * (1 - chance)).sum())
            assert abs(found[pairs].sum() - chance.sum()) < 4.5 * spread, letter + other
    assert not found.diagonal().any()


def test_blocks_do_not_change_what_is_drawn(monkeypatch):
    places = grid(60)
    whole = distance_connectivity(places, probability=0.5, random_state=2).toarray()
    monkeypatch.setattr(wiring, "_PAIRS_AT_ONCE", 7 * 60)
    np.testing.assert_array_equal(whole, distance_connectivity(places, probability=0.5, random_state=2).toarray())


@given(st.integers(0, 1000), st.floats(0.0, 1.0))
@settings(max_examples=30)
def test_every_neuron_has_one_sign(seed, inhibitory):
    kinds = neuron_kinds(40, inhibitory, random_state=seed)
    connections = distance_connectivity(grid(40), kinds, random_state=seed)
    weights = dale_weights(connections, kinds, random_state=seed).toarray()
    assert ((weights != 0) <= connections.toarray()).all()
    assert (weights[:, kinds > 0] >= 0).all()
    assert (weights[:, kinds < 0] <= 0).all()


def test_strengths_have_the_mean_and_spread_asked_for():
    n = 400
    kinds = neuron_kinds(n, 0.5, random_state=0)
    full = csr_array(np.ones((n, n), dtype=bool))
    weights = dale_weights(full, kinds, spread=0.5, random_state=0).toarray()
    for sender, letter in ((1, "E"), (-1, "I")):
        for receiver, other in ((1, "E"), (-1, "I")):
            block = weights[np.ix_(kinds == receiver, kinds == sender)]
            mean = MAASS_STRENGTH[letter + other]
            assert np.mean(block) == pytest.approx(sender * mean, abs=4 * 0.5 * mean / math.sqrt(block.size))
            assert np.std(block) == pytest.approx(0.5 * mean, rel=0.03)


def test_small_world_keeps_its_rules():
    n, inputs = 125, np.array([0, 31, 62])
    places = grid(n)
    weights = small_world(places, radius=2.0, inputs=inputs, random_state=0).toarray()
    distance = np.linalg.norm(places[:, np.newaxis] - places[np.newaxis], axis=2)
    plain = np.setdiff1d(np.arange(n), inputs)
    near = (distance > 0) & (distance <= 2.0)
    linked = weights != 0
    assert not linked[inputs].any()
    assert not (linked & linked.T).any()
    # every pair of plain neurons within the radius is connected one way or the other, and no pair beyond it
    assert ((linked | linked.T) == near)[np.ix_(plain, plain)].all()
    assert (linked[np.ix_(plain, inputs)] == near[np.ix_(plain, inputs)]).all()
    assert (weights[:, inputs] >= 0).all()
    inside = weights[np.ix_(plain, plain)]
    bound = 0.1 / np.where(near, distance, np.inf)  # the least distance of the grid is 1
    assert (np.abs(inside) <= bound[np.ix_(plain, plain)] + 1e-12).all()
    assert (weights[:, inputs] <= 2 * bound[:, inputs] + 1e-12).all()
    signs = inside[inside != 0]
    assert abs((signs < 0).mean() - 0.2) < 4 * math.sqrt(0.16 / signs.size)
    assert np.abs(inside[inside != 0] / bound[np.ix_(plain, plain)][inside != 0]).mean() == pytest.approx(0.5, abs=0.04)


def test_small_world_by_dales_law():
    kinds = neuron_kinds(64, random_state=1)
    weights = small_world(grid(64), kinds=kinds, random_state=0).toarray()
    assert (weights[:, kinds > 0] >= 0).all()
    assert (weights[:, kinds < 0] <= 0).all()


def test_many_neurons_stay_sparse():
    weights = small_world(grid(20_000), random_state=0)
    assert weights.shape == (20_000, 20_000)
    assert 20 < weights.nnz / 20_000 < 45


def test_the_seed_decides_everything():
    places, kinds = grid(50), neuron_kinds(50, random_state=0)
    for draw in (
        lambda seed: neuron_kinds(50, random_state=seed),
        lambda seed: distance_connectivity(places, kinds, random_state=seed).toarray(),
        lambda seed: small_world(places, random_state=seed).toarray(),
        lambda seed: dale_weights(csr_array(np.ones((50, 50))), kinds, random_state=seed).toarray(),
    ):
        np.testing.assert_array_equal(draw(5), draw(5))
        assert (draw(5) != draw(6)).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid(30, (2, 3, 4)), r"holds 24 neurons, fewer than n=30"),
        (lambda: grid(0), "n must lie in"),
        (lambda: neuron_kinds(5, 1.2), "inhibitory"),
        (lambda: distance_connectivity(grid(4)), "kinds is missing"),
        (lambda: distance_connectivity(grid(4), [1, 1, -1]), "one sign for each of the 4 neurons"),
        (lambda: distance_connectivity(grid(4), [1, 1, -1, 0]), r"must be \+1"),
        (lambda: distance_connectivity(grid(4), [1] * 4, probability={"EE": 0.1}), "lacks EI, IE, II"),
        (lambda: distance_connectivity(grid(4), [1] * 4, probability={"EX": 0.1}), "'EX' is unknown"),
        (lambda: distance_connectivity(grid(4), probability=1.5), "probability must lie"),
        (lambda: distance_connectivity(np.zeros(4), probability=0.5), "table"),
        (lambda: distance_connectivity(np.full((3, 3), np.nan), probability=0.5), "NaN"),
        (lambda: distance_connectivity(grid(4), probability=0.5, length=0.0), "length"),
        (lambda: small_world(np.zeros((3, 3))), "same position"),
        (lambda: small_world(grid(4), inputs=[4]), "indices from 0 to 3"),
        (lambda: dale_weights(csr_array(np.ones((2, 3))), [1, 1]), "square"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
