"""Memory capacity against theory (Jaeger 2002): n for a delay line, at most n for n linear units, 0 without memory."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from spikeneuro.errors import InputError
from spikeneuro.reservoir import (
    EchoStateNetwork,
    LiquidStateMachine,
    MemoryCapacity,
    memory_capacity,
    memory_capacity_of,
)


def delay_line(n, rotation=None):
    """Linear units that hand the input on; turned by an orthogonal matrix, they all take part in all delays."""
    turn = np.eye(n) if rotation is None else rotation
    W, W_in = turn @ np.diag(np.ones(n - 1), -1) @ turn.T, turn[:, :1]
    return EchoStateNetwork(W=W, W_in=W_in, bias=np.zeros(n), activation="identity", scale="none")


def shift_register(u, n):
    states = np.zeros((len(u), n))
    for d in range(n):
        states[d:, d] = u[: len(u) - d]
    return states


@pytest.mark.parametrize("n", [1, 7, 25])
def test_a_shift_register_remembers_exactly_its_length(n):
    u = np.random.default_rng(n).uniform(-1, 1, 4000)
    found = memory_capacity(shift_register(u, n), u, 2 * n + 5, alpha=1e-9)
    np.testing.assert_allclose(found.by_delay[:n], 1.0, atol=1e-9)
    assert np.abs(found.by_delay[n:]).max() < 0.01
    assert found.total == pytest.approx(n, abs=0.05)
    assert memory_capacity(shift_register(u, n), u, n - 1, alpha=1e-9).total == pytest.approx(n, abs=1e-7)


@pytest.mark.parametrize("rotated", [False, True])
def test_a_linear_network_of_n_units_remembers_n_values(rotated):
    n = 20
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0] if rotated else None
    found = memory_capacity_of(delay_line(n, rotation), 60, random_state=1)
    assert found.total == pytest.approx(n, abs=0.1)
    np.testing.assert_allclose(found.by_delay[:n], 1.0, atol=1e-6)


@given(st.integers(0, 10_000), st.floats(0.3, 0.99), st.floats(0.2, 1.0))
@settings(max_examples=15, deadline=None)
def test_linear_units_remember_at_most_their_number(seed, radius, leak):
    network = EchoStateNetwork(
        12, spectral_radius=radius, leak=leak, connectivity=1.0, activation="identity", bias_scaling=0.0,
        scale="none", random_state=seed,
    )  # fmt: skip
    found = memory_capacity_of(network, 100, n_steps=3000, random_state=seed)
    assert 0 < found.total < 12 + 0.5  # chance moves the sum of 101 delays a little
    assert found.by_delay.max() <= 1


def test_unrelated_states_have_no_capacity_on_average():
    # squared correlations alone would give 1 / (m - 1) for every delay: here 51 / 99, half a unit of memory
    rng = np.random.default_rng(0)
    totals = [
        memory_capacity(rng.normal(size=(350, 3)), rng.normal(size=350), 50, washout=50, alpha=1.0).total
        for _ in range(150)
    ]
    m = 125
    assert 51 / (m - 1) > 0.4
    assert abs(np.mean(totals)) < 4 * np.std(totals) / math.sqrt(len(totals))


def test_equals_plain_regression_and_correlation():
    rng = np.random.default_rng(1)
    u = rng.uniform(-1, 1, 1500)
    states = np.stack([np.convolve(u, kernel)[:1500] for kernel in rng.normal(size=(4, 6))], axis=1)
    found = memory_capacity(states, u, 8, washout=20, test_size=0.4, alpha=0.0)
    start, gap = 20, 8
    n_test = round((1500 - start - gap) * 0.4)
    train, test = np.arange(start, 1500 - gap - n_test), np.arange(1500 - n_test, 1500)
    assert (found.n_train, found.n_test) == (len(train), len(test))
    for d in range(9):
        model = LinearRegression().fit(states[train], u[train - d])
        r = np.corrcoef(model.predict(states[test]), u[test - d])[0, 1]
        m = len(test)
        assert found.by_delay[d] == pytest.approx(1 - (1 - r**2) * (m - 1) / (m - 2), abs=1e-9)


def test_test_targets_were_never_training_targets():
    # the last value of u that is a target in training comes before the first that is one in the test
    u = np.random.default_rng(2).uniform(-1, 1, 1000)
    states = shift_register(u, 5)
    found = memory_capacity(states, u, 30, washout=40)
    last_of_training, first_of_test = 40 + found.n_train - 1, (1000 - found.n_test) - 30
    assert last_of_training < first_of_test


def test_first_delay_leaves_out_the_present():
    u = np.random.default_rng(3).uniform(-1, 1, 2000)
    found = memory_capacity(shift_register(u, 6), u, 5, first_delay=1, alpha=1e-9)
    assert found.delays.tolist() == [1, 2, 3, 4, 5]
    assert found.total == pytest.approx(5, abs=1e-6)


def test_effective_memory_counts_spikes():
    u = np.random.default_rng(4).uniform(-1, 1, 2000)
    spikes = np.zeros((2000, 10))
    spikes[::2, :3] = 1
    found = memory_capacity(shift_register(u, 5), u, 4, alpha=1e-9, spikes=spikes)
    assert found.spikes_per_step == pytest.approx(1.5)
    assert found.effective == pytest.approx(0.3, abs=1e-6)
    assert memory_capacity(shift_register(u, 5), u, 4).effective is None
    assert MemoryCapacity(0.0, np.arange(1), np.zeros(1), 10, 10, 2.0).effective == math.inf


def test_a_silent_network_remembers_nothing():
    u = np.random.default_rng(5).uniform(-1, 1, 500)
    found = memory_capacity(np.zeros((500, 8)), u, 10, spikes=np.zeros(500))
    assert found.total == 0
    assert found.effective == math.inf
    quiet = LiquidStateMachine(20, tau_unit="steps", input_scale=0.0, scale="none", random_state=0)
    assert memory_capacity_of(quiet, 10, n_steps=500, random_state=0).total == 0


def test_a_liquid_remembers_more_with_its_recurrence():
    options = {"tau_unit": "steps", "scale": "none", "input_scale": 12.0, "random_state": 0}
    with_, without = (
        memory_capacity_of(LiquidStateMachine(100, recurrent_scale=scale, **options), 30, n_steps=3000, random_state=0)
        for scale in (0.3, 0.0)
    )
    assert with_.total > without.total > 0
    assert with_.effective > 0


def test_functions_and_initialised_networks_are_taken_as_they_are():
    def line(signal):
        states = shift_register(signal[0, 0], 4)
        return states, np.ones(len(states))

    found = memory_capacity_of(line, 3, n_steps=1000, alpha=1e-9, random_state=0)
    assert found.total == pytest.approx(4, abs=1e-6)
    assert found.spikes_per_step == 1.0
    network = EchoStateNetwork(30, input_scaling=0.1, random_state=0)
    fresh = memory_capacity_of(network, 20, random_state=0)
    assert not hasattr(network, "reservoir_")
    network.initialise(np.random.default_rng(0).uniform(-1, 1, (1, 1, 4000)))
    assert memory_capacity_of(network, 20, random_state=0).total == pytest.approx(fresh.total, abs=0.2)
    normal = memory_capacity_of(network, 20, input_distribution="normal", random_state=0)
    assert normal.total > 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": np.zeros((5, 400))}, "states must be"),
        ({"states": np.full((400, 5), np.nan)}, "states holds 2000"),
        ({"u": np.ones(400)}, "constant"),
        ({"u": np.ones((400, 1))}, "u \\(steps,\\)"),
        ({"max_delay": 195}, "leave 5 for training and 5 for the test"),
        ({"max_delay": -1}, "max_delay"),
        ({"first_delay": 6}, "first_delay"),
        ({"test_size": 1.0}, "test_size"),
        ({"alpha": "best"}, "alpha"),
        ({"spikes": np.zeros(30)}, "spikes must be"),
    ],
)
def test_mistakes_are_named(change, message):
    rng = np.random.default_rng(0)
    arguments = {"states": rng.normal(size=(400, 5)), "u": rng.normal(size=400), "max_delay": 5} | change
    with pytest.raises(InputError, match=message):
        memory_capacity(**arguments)


def test_what_cannot_be_driven_is_refused():
    with pytest.raises(InputError, match="estimator of spikeneuro.reservoir or a function"):
        memory_capacity_of(object())
    two = EchoStateNetwork(10, connectivity=1.0, random_state=0).initialise(
        np.random.default_rng(0).normal(size=(2, 2, 50))
    )
    with pytest.raises(InputError, match="fitted on 2 channels, but X has 1"):
        memory_capacity_of(two, 5)
