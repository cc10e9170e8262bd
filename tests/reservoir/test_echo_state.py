"""Echo-state networks against reservoirpy and scikit-learn, and what must hold for any of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from spikeneuro import energy
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.reservoir import DeepEchoStateNetwork, EchoStateNetwork, effective_spectral_radius
from spikeneuro.reservoir.ridge import RidgeReadout

reservoirpy_nodes = pytest.importorskip("reservoirpy.nodes")


def matrices(n_units=40, n_inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n_units, n_units)) / n_units**0.5 * 0.9
    return W, rng.normal(size=(n_units, n_inputs)), rng.normal(size=n_units) * 0.1


def sine_classes(n=60, n_chans=2, n_times=120, seed=0, n_classes=2):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    t = np.arange(n_times) / n_times
    phase = rng.uniform(0, 2 * np.pi, (n, n_chans, 1))
    X = np.sin(2 * np.pi * (4 + 5 * y)[:, None, None] * t + phase) + 0.3 * rng.normal(size=(n, n_chans, n_times))
    return X, y


class TestAgainstReservoirpy:
    @pytest.mark.parametrize("leak", [1.0, 0.3])
    def test_same_weights_same_states(self, leak):
        W, W_in, bias = matrices()
        X = np.random.default_rng(1).normal(size=(4, 3, 150))
        ours = EchoStateNetwork(W=W, W_in=W_in, bias=bias, leak=leak, scale="none").initialise(X)
        for sample, states in zip(X, ours.states(X), strict=True):
            node = reservoirpy_nodes.Reservoir(W=W, Win=W_in, bias=bias, lr=leak)
            np.testing.assert_allclose(states.T, node.run(sample.T), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("alpha", [1e-6, 1.0, 100.0])
    def test_same_readout(self, alpha):
        W, W_in, bias = matrices(n_inputs=1)
        u = np.random.default_rng(2).uniform(-1, 1, size=(3, 1, 300))
        y = np.stack([np.roll(u[:, 0], 2, axis=1), np.roll(u[:, 0], 5, axis=1) ** 2], axis=1)
        ours = EchoStateNetwork(
            W=W, W_in=W_in, bias=bias, leak=0.5, scale="none", task="series", washout=20, alpha=alpha
        ).fit(u, y)
        model = reservoirpy_nodes.Reservoir(W=W, Win=W_in, bias=bias, lr=0.5) >> reservoirpy_nodes.Ridge(ridge=alpha)
        model.fit([x.T for x in u], [target.T for target in y], warmup=20)
        theirs = model.nodes[-1]
        np.testing.assert_allclose(ours.readout_.coef_, theirs.Wout.T, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(ours.readout_.intercept_, theirs.bias.ravel(), rtol=1e-6, atol=1e-7)

    def test_deep_network_is_reservoirs_in_series(self):
        first, second = matrices(20, 2), matrices(30, 20, seed=5)
        X = np.random.default_rng(1).normal(size=(2, 2, 80))
        ours = DeepEchoStateNetwork(
            n_layers=2, W=[first[0], second[0]], W_in=[first[1], second[1]], bias=[first[2], second[2]],
            leak=[0.4, 0.9], scale="none",
        ).initialise(X)  # fmt: skip
        for sample, states in zip(X, ours.states(X), strict=True):
            below = reservoirpy_nodes.Reservoir(W=first[0], Win=first[1], bias=first[2], lr=0.4).run(sample.T)
            above = reservoirpy_nodes.Reservoir(W=second[0], Win=second[1], bias=second[2], lr=0.9).run(below)
            np.testing.assert_allclose(states.T, np.concatenate([below, above], axis=1), rtol=0, atol=1e-12)


class TestReadout:
    @pytest.mark.parametrize("shape", [(50, 8), (12, 40)])
    @pytest.mark.parametrize("alpha", [0.01, 3.0])
    def test_equals_ridge(self, shape, alpha):
        rng = np.random.default_rng(0)
        Z, Y = rng.normal(size=shape) + 2, rng.normal(size=(shape[0], 3)) - 1
        ours, theirs = RidgeReadout(alpha).fit(Z, Y), Ridge(alpha).fit(Z, Y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-10)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-10)

    @pytest.mark.parametrize("per_output", [False, True])
    @pytest.mark.parametrize("shape", [(50, 8), (12, 40)])
    def test_penalty_minimises_the_gcv_error_written_out(self, shape, per_output):
        rng = np.random.default_rng(0)
        Z = rng.normal(size=shape) + 2
        Y = np.stack([Z[:, 0] + 0.01 * rng.normal(size=shape[0]), rng.normal(size=shape[0])], axis=1)
        ours = RidgeReadout("gcv", per_output=per_output).fit(Z, Y)
        centred, n = Z - Z.mean(axis=0), len(Z)
        eigenvalues = np.linalg.svd(centred, compute_uv=False) ** 2

        def errors(alpha):
            hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(shape[1]), centred.T) + 1 / n
            return ((Y - hat @ Y) ** 2).sum(axis=0) / (n - np.trace(hat)) ** 2

        typical = eigenvalues[eigenvalues > 1e-9].mean()
        for factor in 10.0 ** np.arange(-3, 4):
            if per_output:
                for k in range(2):
                    assert errors(ours.alpha_[k])[k] <= errors(factor * typical)[k] * (1 + 1e-6)
            else:
                assert errors(ours.alpha_[0]).sum() <= errors(factor * typical).sum() * (1 + 1e-6)

    def test_gathering_in_pieces_changes_nothing(self):
        rng = np.random.default_rng(0)
        Z, Y = rng.normal(size=(60, 5)), rng.normal(size=(60, 2))
        whole, pieces = RidgeReadout(0.1).fit(Z, Y), RidgeReadout(0.1)
        for part in np.split(np.arange(60), [7, 40]):
            pieces.gather(Z[part], Y[part])
        np.testing.assert_allclose(pieces.solve().coef_, whole.coef_, atol=1e-12)

    def test_no_penalty_and_too_few_samples_is_named(self):
        with pytest.raises(InputError, match="alpha=0 is too small"):
            RidgeReadout(0.0).gather(np.ones((4, 3)), np.ones((4, 1))).solve()


class TestDynamics:
    @given(st.integers(0, 10_000), st.floats(0.1, 0.95), st.floats(0.05, 1.0), st.sampled_from(["tanh", "identity"]))
    @settings(max_examples=25, deadline=None)
    def test_echo_state_property(self, seed, gain, leak, activation):
        """Two initial states converge, at the rate that the norm of the update bounds (Jaeger 2001, proposition 3)."""
        rng = np.random.default_rng(seed)
        W = rng.normal(size=(15, 15))
        W *= gain / np.linalg.norm(W, 2)
        x = rng.normal(size=(1, 2, 60))
        network = EchoStateNetwork(
            W=W, W_in=rng.normal(size=(15, 2)), leak=leak, activation=activation, scale="none", random_state=seed
        ).initialise(x)
        layer = network.reservoir_.layers[0]
        u = torch.from_numpy(x).permute(2, 0, 1)
        a, b = (layer(u, torch.from_numpy(rng.normal(size=(1, 15)))) for _ in range(2))
        distance = (a - b).norm(dim=2)[:, 0].numpy()
        rate = 1 - leak + leak * gain
        assert (distance[1:] <= rate * distance[:-1] + 1e-12).all()

    @given(st.integers(0, 10_000), st.floats(0.2, 1.6), st.floats(0.05, 1.0))
    @settings(max_examples=25, deadline=None)
    def test_linear_units_are_stable_exactly_where_the_formula_says(self, seed, radius, leak):
        network = DeepEchoStateNetwork(
            12, 2, spectral_radius=radius, leak=leak, connectivity=0.8, activation="identity", bias_scaling=0.0,
            random_state=seed,
        ).initialise(np.random.default_rng(seed).normal(size=(2, 1, 30)))  # fmt: skip
        rho = network.effective_spectral_radius_
        layers = network.reservoir_.layers
        expected = max(
            np.abs(np.linalg.eigvals((1 - leak) * np.eye(12) + leak * layer.W.numpy())).max() for layer in layers
        )
        assert rho == pytest.approx(expected, rel=1e-9)
        own = effective_spectral_radius(layers[0].W.numpy(), leak)
        silence, start = torch.zeros(4000, 1, 1).double(), torch.ones(1, 12).double()
        last = layers[0](silence, start)[-1].abs().max()
        if own < 0.99:
            assert last < 1e-6
        if own > 1.01:
            assert not last < 1e3  # without bound: infinity minus infinity is NaN

    def test_tanh_network_forgets_below_one_and_oscillates_above(self):
        x = np.zeros((1, 1, 600))
        for radius, forgets in ((0.95, True), (1.5, False)):
            network = EchoStateNetwork(
                200, spectral_radius=radius, bias_scaling=0.0, scale="none", random_state=0
            ).initialise(x)
            start = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 200)))
            last = network.reservoir_.layers[0](torch.zeros(600, 1, 1, dtype=torch.float64), start)[-1]
            assert bool(last.abs().max() < 1e-6) is forgets

    def test_drawn_weights_are_what_is_documented(self):
        network = EchoStateNetwork(
            400, spectral_radius=0.7, connectivity=0.2, input_scaling=0.5, input_connectivity=0.25, bias_scaling=0.3,
            random_state=0,
        ).initialise(np.random.default_rng(0).normal(size=(3, 8, 20)))  # fmt: skip
        layer = network.reservoir_.layers[0]
        W, W_in, bias = layer.W.numpy(), layer.W_in.numpy(), layer.bias.numpy()
        assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(0.7, rel=1e-9)
        assert (W != 0).mean() == pytest.approx(0.2, abs=0.01)
        assert (W_in != 0).mean() == pytest.approx(0.25, abs=0.03)
        np.testing.assert_allclose(np.unique(np.abs(W_in[W_in != 0])), 0.5 / 2**0.5)  # two inputs a unit
        assert 0.29 < np.abs(bias).max() <= 0.3


class TestEstimator:
    @pytest.mark.parametrize("kind", [EchoStateNetwork, DeepEchoStateNetwork])
    @pytest.mark.parametrize("pooling", ["mean", "moments", "last", "sampled", "all"])
    def test_poolings_are_functions_of_the_states(self, kind, pooling):
        X, y = sine_classes(10)
        network = kind(20, connectivity=0.5, pooling=pooling, washout=30, random_state=0).fit(X, y)
        states = network.states(X)[..., 30:]
        expected = {
            "mean": states.mean(axis=2),
            "moments": np.concatenate([states.mean(axis=2), states.std(axis=2)], axis=1),
            "last": states[..., -1],
            "sampled": np.concatenate([states[..., t] for t in (22, 44, 67, 89)], axis=1),
            "all": states.transpose(0, 2, 1).reshape(10, -1),
        }[pooling]
        np.testing.assert_allclose(network.transform(X), expected, atol=1e-12)

    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_classification_equals_ridge_classifier_on_the_features(self, n_classes):
        X, y = sine_classes(150, n_classes=n_classes)
        labels = np.array(["rest", "left", "right"])[y]
        network = EchoStateNetwork(50, pooling="moments", alpha=0.1, random_state=0).fit(X[:120], labels[:120])
        oracle = RidgeClassifier(alpha=0.1).fit(network.transform(X[:120]), labels[:120])
        features = network.transform(X[120:])
        np.testing.assert_allclose(network.decision_function(X[120:]), oracle.decision_function(features), atol=1e-8)
        np.testing.assert_array_equal(network.predict(X[120:]), oracle.predict(features))
        assert network.score(X[120:], labels[120:]) > 0.8

    def test_regression_of_one_and_of_several_numbers(self):
        X, _ = sine_classes(80)
        X *= np.random.default_rng(1).uniform(0.5, 2, (80, 2, 1))
        y = np.stack([X.std(axis=(1, 2)), X[:, 0].std(axis=1)], axis=1)
        network = EchoStateNetwork(60, task="regression", pooling="moments", random_state=0).fit(X[:60], y[:60])
        assert network.predict(X[60:]).shape == (20, 2)
        single = clone(network).fit(X[:60], y[:60, 0])
        assert single.predict(X[60:]).shape == (20,)
        oracle = Ridge(single.readout_.alpha_[0]).fit(single.transform(X[:60]), y[:60, 0])
        np.testing.assert_allclose(single.predict(X[60:]), oracle.predict(single.transform(X[60:])), atol=1e-6)
        assert single.score(X[60:], y[60:, 0]) > 0.9

    def test_labels_of_every_step(self):
        rng = np.random.default_rng(0)
        X = (rng.random((20, 1, 100)) < 0.2).astype(float)
        y = ((X[:, 0] + np.roll(X[:, 0], 1, axis=1) + np.roll(X[:, 0], 2, axis=1)) > 0).astype(int)
        y[:, :3] = -1
        network = EchoStateNetwork(60, task="steps", washout=5, random_state=0).fit(X[:12], y[:12])
        assert network.predict(X[12:]).shape == (8, 100)
        assert network.decision_function(X[12:]).shape == (8, 2, 100)
        assert network.classes_.tolist() == [0, 1]
        assert network.score(X[12:], y[12:]) > 0.95
        changed = y.copy()
        changed[:, 3:5] = 1 - changed[:, 3:5]  # within the washout: no influence on training
        again = clone(network).fit(X[:12], changed[:12])
        np.testing.assert_array_equal(again.readout_.coef_, network.readout_.coef_)

    def test_series_score_leaves_the_washout_out(self):
        u = np.random.default_rng(0).uniform(-1, 1, (2, 1, 400))
        y = np.roll(u[:, 0], 4, axis=1)
        network = EchoStateNetwork(80, task="series", input_scaling=0.1, washout=50, random_state=0).fit(u, y)
        assert network.score(u, y) > 0.99
        spoilt = y.copy()
        spoilt[:, :50] = 1e3
        assert network.score(u, spoilt) == network.score(u, y)

    def test_lengths_may_differ_where_states_are_pooled(self):
        X, y = sine_classes(30)
        ragged = np.empty(30, dtype=object)
        for i, x in enumerate(X):
            ragged[i] = x[:, : 80 + 20 * (i % 3)]
        network = EchoStateNetwork(40, pooling="moments", random_state=0).fit(ragged, y)
        alone = np.concatenate([network.transform(ragged[i][np.newaxis]) for i in range(30)])
        np.testing.assert_allclose(network.transform(ragged), alone, atol=1e-12)
        np.testing.assert_array_equal(network.transform(list(ragged)), network.transform(ragged))
        pipeline = create("echo-state", n_chans=2, n_units=40, random_state=0).fit(list(ragged), y)
        np.testing.assert_array_equal(pipeline.predict(list(ragged)), network.predict(ragged))
        with pytest.raises(InputError, match=r"X\[1\] has 1 channels but X\[0\] has 2"):
            network.fit([X[0], X[1, :1]], y[:2])
        for refused in ({"pooling": "all"}, {"task": "steps"}):
            with pytest.raises(InputError, match="length"):
                EchoStateNetwork(40, random_state=0, **refused).fit(ragged, y)

    def test_scaling_learns_from_training_data_alone(self):
        X, y = sine_classes()
        network = EchoStateNetwork(30, random_state=0).fit(X[:40], y[:40])
        np.testing.assert_allclose(network.scale_.mean[:, 0], X[:40].mean(axis=(0, 2)), atol=1e-12)
        np.testing.assert_allclose(network.scale_.deviation[:, 0], X[:40].std(axis=(0, 2)), atol=1e-12)
        volts = clone(network).fit(1e-6 * X[:40], y[:40])
        np.testing.assert_allclose(volts.transform(1e-6 * X[40:]), network.transform(X[40:]), atol=1e-9)

    @pytest.mark.parametrize("kind", [EchoStateNetwork, DeepEchoStateNetwork])
    def test_the_seed_decides_everything(self, kind):
        X, y = sine_classes()
        outputs = [kind(30, connectivity=0.5, random_state=seed).fit(X, y).decision_function(X) for seed in (0, 0, 1)]
        np.testing.assert_array_equal(outputs[0], outputs[1])
        assert np.abs(outputs[0] - outputs[2]).max() > 1e-6

    def test_batches_do_not_change_states(self, monkeypatch):
        from spikeneuro.reservoir import signals

        X, y = sine_classes(12)
        network = EchoStateNetwork(30, random_state=0).fit(X, y)
        whole = network.states(X)
        monkeypatch.setattr(signals, "_NUMBERS_AT_ONCE", 5 * 60 * 120)
        np.testing.assert_allclose(network.states(X), whole, atol=1e-12)

    def test_works_with_the_tools_of_scikit_learn(self):
        X, y = sine_classes()
        network = EchoStateNetwork(30, pooling="moments", random_state=0)
        assert is_classifier(network)
        assert is_regressor(EchoStateNetwork(task="series"))
        assert cross_val_score(network, X, y, cv=3).mean() > 0.8
        search = GridSearchCV(network, {"leak": [0.3, 1.0]}, cv=2).fit(X, y)
        assert search.best_params_["leak"] in (0.3, 1.0)

    @pytest.mark.parametrize("task", ["classification", "regression"])
    @pytest.mark.parametrize("kind", [EchoStateNetwork, DeepEchoStateNetwork])
    @pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
    def test_scikit_learn_checks(self, kind, task):
        # a table's columns are no time course: only the states of all steps tell them apart
        network = kind(20, task=task, connectivity=0.5, pooling="all", random_state=0)
        results = check_estimator(network, on_fail=None, on_skip=None)
        assert [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"] == []
        assert sum(r["status"] == "passed" for r in results) >= 50

    def test_the_ledger_counts_it(self):
        X, y = sine_classes(12)
        for task, pooling in (("classification", "moments"), ("steps", "mean")):
            target = y if task == "classification" else np.repeat(y[:, np.newaxis], X.shape[-1], axis=1)
            network = EchoStateNetwork(25, task=task, pooling=pooling, random_state=0).fit(X, target)
            ledger = energy.count(network, X)
            head = 50 if task == "classification" else 25 * 120
            assert ledger.dense.macs == 120 * (25 * 25 + 2 * 25) + head
            outputs = network.net_.module_(network.network_input(X)).detach().numpy()
            expected = network.decision_function(X) if task == "classification" else network.decision_function(X)[:, 1]
            np.testing.assert_allclose(outputs[:, 0], expected, atol=1e-10)


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"n_units": 0}, "n_units"),
            ({"leak": 0.0}, "leak"),
            ({"leak": 1.2}, "leak"),
            ({"connectivity": 0.0}, "connectivity"),
            ({"n_units": 3, "connectivity": 0.01}, "no cycles"),
            ({"activation": "relu"}, "activation='relu' is unknown"),
            ({"pooling": "median"}, "pooling='median' is unknown"),
            ({"task": "labels"}, "task='labels' is unknown"),
            ({"scale": "volts"}, "scale='volts' is unknown"),
            ({"alpha": -1.0}, "alpha"),
            ({"washout": 120}, "washout=120 leaves nothing"),
            ({"W": np.eye(3), "W_in": np.ones((4, 2))}, "do not fit 3 units"),
            ({"W": np.ones(3)}, "W must have 2 axes"),
            ({"W": np.full((3, 3), np.inf)}, "NaN or infinite"),
        ],
    )
    def test_of_parameters(self, options, message):
        X, y = sine_classes(6)
        with pytest.raises(InputError, match=message):
            EchoStateNetwork(**{"random_state": 0} | options).fit(X, y)

    def test_of_layers(self):
        X, y = sine_classes(6)
        with pytest.raises(InputError, match="leak must hold one entry for each of the 3 layers, got 2"):
            DeepEchoStateNetwork(10, 3, connectivity=1.0, leak=[0.1, 0.2]).fit(X, y)
        with pytest.raises(InputError, match="n_layers"):
            DeepEchoStateNetwork(10, 0).fit(X, y)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda X, y: (np.where(X > 1, np.nan, X), y), "NaN"),
            (lambda X, y: (X[..., np.newaxis], y), r"\(n, channels, times\)"),
            (lambda X, y: (X[:, :0], y), "shape|minimum"),
            (lambda X, y: (X, np.zeros_like(y)), "only 1 class"),
            (lambda X, y: (X, y[:-1]), "5 targets for 6 samples|inconsistent"),
            (lambda X, y: (X, None), "requires y"),
            (lambda X, y: (X[0], y), "6 samples|targets"),
            (lambda X, y: (0 * X, y), "one value throughout"),
            (lambda X, y: ([X[0], X[1, 0]], y[:2]), "inhomogeneous"),
        ],
    )
    def test_of_data(self, change, message):
        with pytest.raises(InputError, match=message):
            EchoStateNetwork(20, random_state=0).fit(*change(*sine_classes(6)))

    def test_of_targets_that_are_no_numbers(self):
        X, y = sine_classes(6)
        for task, target in (("regression", y), ("series", np.repeat(y[:, np.newaxis], 120, axis=1))):
            with pytest.raises(InputError, match="could not convert string to float"):
                EchoStateNetwork(20, task=task, random_state=0).fit(X, np.array(["a", "b"])[target])
            with pytest.raises(InputError, match="y holds .* NaN"):
                EchoStateNetwork(20, task=task, random_state=0).fit(X, np.where(target == 1, np.nan, 0.0))

    def test_of_targets_per_step(self):
        X, y = sine_classes(6)
        network = EchoStateNetwork(20, task="steps", random_state=0)
        with pytest.raises(InputError, match=r"one integer per time step .* shape \(6, 120\)"):
            network.fit(X, y)
        with pytest.raises(InputError, match="labels no step"):
            network.fit(X, np.repeat(y[:, np.newaxis], 120, axis=1)).score(X, np.full((6, 120), -1))
        with pytest.raises(InputError, match="one number per time step, 120 of them"):
            EchoStateNetwork(20, task="series", random_state=0).fit(X, np.zeros((6, 119)))

    def test_of_swapped_axes_at_prediction(self):
        X, y = sine_classes(6)
        network = EchoStateNetwork(20, random_state=0).fit(X, y)
        with pytest.raises(InputError, match="fitted on 2 channels, but X has 120"):
            network.predict(X.transpose(0, 2, 1))
        with pytest.raises(InputError, match="not fitted"):
            energy.count(EchoStateNetwork(20), X)
