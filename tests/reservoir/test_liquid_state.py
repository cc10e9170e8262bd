"""The liquid state machine against a plain loop of its equations, and as an estimator."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import check_estimator

from spikeneuro import encoders, energy
from spikeneuro.errors import InputError
from spikeneuro.nn.heterogeneity import LogUniform
from spikeneuro.reservoir import MAASS_STRENGTH, LiquidStateMachine

SFREQ = 250.0


def two_levels(n=60, n_chans=2, n_times=150, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, n_chans, n_times)) * np.where(y == 1, 1.8, 1.0)[:, None, None], y


def liquid(n_neurons=60, **options):
    return LiquidStateMachine(n_neurons, **{"sfreq": SFREQ, "random_state": 0} | options)


def looped(network, X):
    """Spikes and traces of the equations in the docstring, one step after the other."""
    parts = network.reservoir_
    z = (X - network.scale_.mean) / network.scale_.deviation
    W_in, W = parts.input.weight.numpy(), parts.neurons.weight.numpy()
    beta, dt = np.exp(-1 / (SFREQ * 0.03)), 1 / SFREQ
    kappa = np.exp(-dt / 0.03)
    v, s, r = (np.zeros((len(X), len(W))) for _ in range(3))
    pending = [np.zeros_like(s)] * (network.reservoir_.neurons.delay + 1)
    spikes, traces = [], []
    for t in range(X.shape[-1]):
        u = beta * v + z[..., t] @ W_in.T + pending[0] @ W.T
        s = (u > 1).astype(float)
        v = u * (1 - s)
        pending = [*pending[1:], s]
        r = kappa * r + (1 - kappa) * s
        spikes.append(s)
        traces.append(r)
    return np.stack(spikes, axis=2), np.stack(traces, axis=2)


@pytest.mark.parametrize("delay", [0, 2 / SFREQ])
def test_states_equal_a_loop(delay):
    X, _ = two_levels(5)
    network = liquid(delay=delay, recurrent_scale=0.3).initialise(X)
    spikes, traces = looped(network, X)
    assert 0.005 < spikes.mean() < 0.3
    np.testing.assert_array_equal(network.spikes(X), spikes)
    np.testing.assert_allclose(network.states(X), traces, atol=1e-12)
    rates = liquid(delay=delay, recurrent_scale=0.3, tau_trace=0).initialise(X)
    np.testing.assert_allclose(rates.transform(X), spikes.mean(axis=2), atol=1e-12)


def test_spike_codes_of_several_steps_a_sample():
    X, _ = two_levels(4)
    network = liquid(encoder=encoders.create("rate", steps_per_sample=3)).initialise(X)
    assert network.spikes(X).shape == (4, 60, 450)
    states = network.states(X)
    assert states.shape == (4, 60, 150)
    kappa = np.exp(-1 / (3 * SFREQ * 0.03))
    powers = (1 - kappa) * kappa ** np.arange(450)
    full = np.stack([np.convolve(train, powers)[:450] for train in network.spikes(X).reshape(-1, 450).astype(float)])
    np.testing.assert_allclose(states.reshape(-1, 150), full[:, 2::3], atol=1e-12)
    np.testing.assert_array_equal(states, network.states(X))  # a random code repeats


def test_nothing_inside_is_trained():
    X, y = two_levels()
    network = liquid().initialise(X)
    before = {name: value.clone() for name, value in network.reservoir_.state_dict().items()}
    network.fit(X, y)
    network.predict(X)
    after = network.reservoir_.state_dict()
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    assert not any(parameter.requires_grad for parameter in network.reservoir_.parameters())


@given(st.integers(0, 500), st.floats(0.0, 0.5))
@settings(max_examples=8, deadline=None)
def test_dales_law(seed, inhibitory):
    X, _ = two_levels(2)
    network = liquid(40, inhibitory=inhibitory, input_signs="excitatory", random_state=seed).initialise(X)
    W = network.reservoir_.neurons.weight.numpy()
    assert (network.kinds_ < 0).sum() == round(40 * inhibitory)
    assert (W[:, network.kinds_ > 0] >= 0).all()
    assert (W[:, network.kinds_ < 0] <= 0).all()
    assert (network.reservoir_.input.weight.numpy() >= 0).all()


def test_strength_is_in_thresholds():
    X, _ = two_levels(2)
    network = liquid(600, recurrent_scale=0.5).initialise(X)
    W, kinds = network.reservoir_.neurons.weight.numpy(), network.kinds_
    excitatory = W[np.ix_(kinds > 0, kinds > 0)]
    assert excitatory[excitatory > 0].mean() == pytest.approx(0.5, rel=0.1)
    to_inhibitory = W[np.ix_(kinds < 0, kinds > 0)]
    assert to_inhibitory[to_inhibitory > 0].mean() == pytest.approx(0.5 * MAASS_STRENGTH["EI"], rel=0.15)


def test_one_setting_leaves_the_other_draws_alone():
    X, _ = two_levels(2)
    plain, other = liquid().initialise(X), liquid(input_scale=3.0, recurrent_scale=0.4).initialise(X)
    np.testing.assert_array_equal(plain.kinds_, other.kinds_)
    ratio = other.reservoir_.neurons.weight.numpy() / np.where(plain.reservoir_.neurons.weight == 0, np.nan, 1)
    assert np.nanmax(np.abs(ratio - 2 * plain.reservoir_.neurons.weight.numpy())) < 1e-12
    np.testing.assert_allclose(other.reservoir_.input.weight, plain.reservoir_.input.weight / 2, atol=1e-12)


def test_heterogeneous_membranes():
    X, y = two_levels()
    network = liquid(tau_mem=LogUniform(0.005, 0.2)).fit(X, y)
    taus = network.reservoir_.neurons.tau_mem.numpy()
    assert taus.shape == (60,)
    assert taus.max() / taus.min() > 5
    np.testing.assert_array_equal(clone(network).fit(X, y).reservoir_.neurons.tau_mem.numpy(), taus)


class TestEstimator:
    @pytest.mark.parametrize("encoder", ["direct", "delta", "step-forward"])
    def test_learns(self, encoder):
        X, y = two_levels()
        network = liquid(encoder=encoder, pooling="moments").fit(X[:40], y[:40])
        assert network.score(X[40:], y[40:]) > 0.8
        probability = network.predict_proba(X[40:])
        np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-9)
        np.testing.assert_array_equal(network.classes_[probability.argmax(axis=1)], network.predict(X[40:]))

    def test_any_readout(self):
        X, y = two_levels()
        labels = np.where(y == 1, "loud", "soft")
        network = liquid(readout=RandomForestClassifier(20, random_state=0)).fit(X[:40], labels[:40])
        assert network.score(X[40:], labels[40:]) > 0.7
        assert hasattr(network, "predict_proba")
        assert not hasattr(network, "decision_function")
        with pytest.raises(InputError, match="RandomForestClassifier is no linear model"):
            energy.count(network, X[:2])

    def test_readout_sees_the_traces(self):
        X, y = two_levels()
        network = liquid(readout=LogisticRegression(C=0.5)).fit(X[:40], y[:40])
        oracle = LogisticRegression(C=0.5).fit(network.states(X[:40]).mean(axis=2), y[:40])
        np.testing.assert_allclose(
            network.decision_function(X[40:]), oracle.decision_function(network.states(X[40:]).mean(axis=2)), atol=1e-6
        )

    def test_regression(self):
        X, _ = two_levels(90)
        X *= np.random.default_rng(0).uniform(0.5, 2, (90, 1, 1))
        power = X.std(axis=(1, 2))
        network = liquid(task="regression").fit(X[:60], power[:60])
        assert network.predict(X[60:]).shape == (30,)
        assert network.score(X[60:], power[60:]) > 0.6
        both = liquid(task="regression").fit(X[:60], np.stack([power, -power], axis=1)[:60])
        np.testing.assert_allclose(both.predict(X[60:])[:, 0], -both.predict(X[60:])[:, 1], atol=1e-8)

    def test_labels_of_every_step(self):
        rng = np.random.default_rng(0)
        level = np.repeat(rng.integers(0, 2, (16, 10)), 30, axis=1)
        X = rng.normal(size=(16, 2, 300)) * np.where(level, 2.5, 0.5)[:, np.newaxis]
        y = level.astype(int)
        y[:, ::7] = -1
        network = liquid(task="steps", washout=10, max_steps=2000).fit(X[:10], y[:10])
        assert network.predict(X[10:]).shape == (6, 300)
        assert network.predict_proba(X[10:]).shape == (6, 2, 300)
        assert network.score(X[10:], y[10:]) > 0.7
        np.testing.assert_array_equal(clone(network).fit(X[:10], y[:10]).predict(X[10:]), network.predict(X[10:]))
        all_steps = liquid(task="steps", washout=10).fit(X[:10], y[:10])
        rows = all_steps.states(X[:10]).transpose(0, 2, 1)[:, 10:][y[:10, 10:] != -1]
        oracle = clone(all_steps.readout_).fit(rows, y[:10, 10:][y[:10, 10:] != -1])
        np.testing.assert_allclose(all_steps.readout_[-1].coef_, oracle[-1].coef_, atol=1e-3)

    def test_series(self):
        X, _ = two_levels(6)
        network = liquid(task="series", readout=Ridge()).fit(X, X[:, 0])
        assert network.predict(X).shape == (6, 150)
        two = liquid(task="series", readout=Ridge()).fit(X, X)
        assert two.predict(X).shape == (6, 2, 150)
        np.testing.assert_allclose(two.predict(X)[:, 0], network.predict(X), atol=1e-8)

    @pytest.mark.parametrize("encoder", ["direct", "delta"])
    def test_lengths_may_differ(self, encoder):
        X, y = two_levels(30)
        ragged = np.empty(30, dtype=object)
        for i, x in enumerate(X):
            ragged[i] = x[:, : 100 + 25 * (i % 3)]
        network = liquid(encoder=encoder).fit(ragged, y)
        assert network.predict(ragged).shape == (30,)
        alone = np.concatenate([network.transform(ragged[i][np.newaxis]) for i in range(30)])
        np.testing.assert_allclose(network.transform(ragged), alone, atol=1e-12)

    def test_a_sample_does_not_see_its_batch(self):
        X, y = two_levels()
        network = liquid().fit(X, y)
        together = network.transform(X)
        alone = np.concatenate([network.transform(X[i : i + 1]) for i in range(10)])
        np.testing.assert_allclose(together[:10], alone, atol=1e-12)

    def test_the_seed_decides_everything(self):
        X, y = two_levels()
        a, b, c = (liquid(random_state=seed).fit(X, y).decision_function(X) for seed in (0, 0, 1))
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - c).max() > 1e-6

    @pytest.mark.parametrize("task", ["classification", "regression"])
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_scikit_learn_checks(self, task):
        network = liquid(20, task=task, tau_unit="steps", tau_mem=2.0, tau_trace=0, pooling="all", input_scale=10.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            results = check_estimator(network, on_fail=None, on_skip=None)
        # a table's columns taken for a time course, and their values for spikes: what is learned is little
        poor = {"check_classifiers_train", "check_regressors_train"}
        failed = {(r["check_name"], str(r["exception"])) for r in results if r["status"] == "failed"}
        assert {name for name, _ in failed} <= poor, failed
        assert sum(r["status"] == "passed" for r in results) >= 50

    def test_the_ledger_counts_it_as_spiking(self):
        X, y = two_levels(16)
        network = liquid(encoder="delta", recurrent_scale=0.3).fit(X, y)
        ledger = energy.count(network, X)
        fired = network.spikes(X)
        assert ledger.spike_rate == pytest.approx(fired.mean(), rel=1e-6)
        # the recurrent products: every spike but those of the last step reaches the neurons it is connected to
        reached = (network.reservoir_.neurons.weight != 0).sum(dim=0).numpy()
        rows = {row.name: row for row in ledger.layers}
        assert rows["reservoir.neurons"].effective.acs == (fired[..., :-1].sum(axis=(0, 2)) * reached).sum()
        assert rows["reservoir.neurons"].effective.macs == 0
        assert rows["reservoir.input"].effective.macs == 0
        assert rows["head"].dense.macs / 16 == 60
        outputs = network.net_.module_(network.network_input(X)).detach().numpy()
        np.testing.assert_allclose(outputs[:, 0], network.decision_function(X), atol=1e-9)


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"n_neurons": 0}, "n_neurons|n must lie"),
            ({"sfreq": None}, "sfreq is missing"),
            ({"sfreq": -1.0}, "sfreq"),
            ({"tau_unit": "ms"}, "tau_unit='ms' is unknown"),
            ({"encoder": "bsaa"}, "encoder='bsaa' is unknown"),
            ({"encoder": 3}, "encoder must be a name or an Encoder"),
            ({"inhibitory": 1.5}, "inhibitory"),
            ({"input_connectivity": 0.0}, "input_connectivity"),
            ({"input_signs": "both"}, "input_signs"),
            ({"pooling": "rate"}, "pooling"),
            ({"shape": (2, 2, 2)}, "holds 8 neurons"),
            ({"refractory": -1}, "refractory"),
            ({"max_steps": 1}, "max_steps"),
            ({"tau_mem": -0.1}, "tau_mem"),
            ({"task": "decoding"}, "task"),
            ({"readout": "ridge"}, "scikit-learn estimator, such as .*, got 'ridge'"),
            ({"readout": LogisticRegression}, "got LogisticRegression"),
        ],
    )
    def test_of_parameters(self, options, message):
        X, y = two_levels(6)
        with pytest.raises(InputError, match=message):
            LiquidStateMachine(**{"n_neurons": 30, "sfreq": SFREQ, "random_state": 0} | options).fit(X, y)

    def test_of_data(self):
        X, y = two_levels(6)
        with pytest.raises(InputError, match="NaN"):
            liquid().fit(np.where(X > 1, np.nan, X), y)
        with pytest.raises(InputError, match="only 1 class"):
            liquid().fit(X, np.zeros(6, int))
        with pytest.raises(InputError, match="fitted on 2 channels, but X has 150"):
            liquid().fit(X, y).predict(X.transpose(0, 2, 1))
        with pytest.raises(InputError, match="swapped|one integer per time step"):
            liquid(task="steps").fit(X, y)

    def test_silent_input_gives_silent_neurons(self):
        X, y = two_levels(6)
        network = liquid(scale="none").fit(X, y)
        assert not network.spikes(np.zeros((1, 2, 50))).any()
        assert network.predict(np.zeros((1, 2, 50))).shape == (1,)

    def test_a_silent_liquid_is_reported(self):
        X, y = two_levels(6)
        with pytest.warns(UserWarning, match="no neuron of the liquid spikes"):
            liquid(input_scale=0.01).fit(X, y)
        with pytest.raises(InputError, match="one value throughout"):
            liquid().fit(np.ones_like(X), y)

    def test_one_sample(self):
        X, _ = two_levels(1)
        with pytest.raises(InputError, match="1 class"):
            liquid().fit(X, [0])
