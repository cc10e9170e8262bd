"""Firing, step lengths, findings and mistakes of `training.health`, on networks whose answers are known."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn

from spikeneuro import NeuroClassifier, NeuroRegressor, models, training
from spikeneuro._random import scoped_seed
from spikeneuro.encoders import RateEncoder
from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, LastReadout, LIFResult, OverTime, RateReadout, RecurrentLIF, SpikingLayer
from spikeneuro.ops.surrogates import Rectangle


def driven(*trains: list[int]) -> torch.Tensor:
    """Input (time, 1, neurons) that makes memoryless neurons fire exactly these trains."""
    return 2.0 * torch.tensor(trains, dtype=torch.float32).T.unsqueeze(1)


class TestFiring:
    def test_counts_of_a_constructed_layer_are_exact(self):
        steps = 100
        every, none = [1] * steps, [0] * steps
        at_bound, above = [1] * 95 + [0] * 5, [0] * 4 + [1] * 96
        x = driven(every, none, none, at_bound, above, [1, 0] * 50, none, [0] * 99 + [1])
        layer = training.health(LIF(8, beta=0.0), x, batch_axis=1).layers[0]
        assert layer.rates.tolist() == [1, 0, 0, 0.95, 0.96, 0.5, 0, 0.01]
        assert (layer.neurons, layer.steps, layer.dead, layer.saturated) == (8, steps, 3 / 8, 2 / 8)
        assert layer.rate == pytest.approx((1 + 0.95 + 0.96 + 0.5 + 0.01) / 8)
        np.testing.assert_allclose(layer.rate_over_time[[0, 3, 4, 99]], np.array([3, 2, 4, 3]) / 8)
        assert layer.gradient_current is None
        assert layer.gradient_spikes is None

    def test_a_neuron_that_fires_for_one_sample_only_is_alive(self):
        x = torch.zeros(7, 5, 3)
        x[2, 4, 1] = 2.0
        layer = training.health(LIF(3, beta=0.0), x, batch_axis=1, batch_size=2).layers[0]
        np.testing.assert_allclose(layer.rates, [0, 1 / 35, 0])
        np.testing.assert_allclose(layer.rate_over_time, np.eye(7)[2] / 15)

    def test_feature_maps_have_a_neuron_per_place(self):
        network = nn.Sequential(OverTime(nn.Conv2d(1, 4, 3, padding=1)), LIF((4, 1, 1)))
        layer = training.health(network, torch.rand(5, 2, 1, 6, 7), batch_axis=1).layers[0]
        assert (layer.neurons, layer.steps) == (4 * 6 * 7, 5)

    def test_agrees_with_what_the_estimator_keeps(self):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(24, 3, 80)), np.tile([0, 1], 12)
        clf = NeuroClassifier("spiking-eegnet", sfreq=80.0, max_epochs=1, validation_fraction=None, random_state=0)
        clf.fit(X, y)
        table = training.health(clf, X).table().set_index("layer")
        for name, firing in clf.health_["firing"].items():
            for key in ("rate", "dead", "saturated", "neurons"):
                assert table.loc[name, key] == pytest.approx(firing[key], abs=1e-12)

    def test_a_layer_called_twice_has_two_entries_and_one_never_called_is_named(self):
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.neurons, self.idle = LIF(3, beta=0.0), LIF(3)

            def forward(self, x):
                return self.neurons(0.1 * self.neurons(x)).mean(0)

        report = training.health(Twice(), torch.full((4, 2, 3), 2.0), batch_axis=1)
        assert [(layer.name, layer.rate) for layer in report.layers] == [("neurons", 1.0), ("neurons (call 2)", 0.0)]
        assert report.not_run == ("idle",)
        assert "layer idle: no pass went through" in report.findings()[-1]


class TestStepLength:
    @pytest.mark.parametrize(
        ("model", "sfreq", "options", "expected"),
        [
            ("recurrent-snn", 100.0, {}, [0.01]),
            ("recurrent-snn", 0.5, {"tau_unit": "steps", "n_layers": 2}, [2.0, 2.0]),
            ("recurrent-snn", 100.0, {"encoder": RateEncoder(steps_per_sample=4, low=-3.0, high=3.0)}, [0.0025]),
            ("spiking-eegnet", 128.0, {}, [1 / 128, 4 / 128]),
        ],
    )
    def test_of_models_on_signals(self, model, sfreq, options, expected):
        n_times = 130  # which pooling by 4 does not divide
        network = models.create(model, n_chans=3, n_times=n_times, n_outputs=2, sfreq=sfreq, **options)
        x = torch.randn(4, 3, n_times)
        report = training.health(network, x, random_state=0)
        assert [layer.dt for layer in report.layers] == pytest.approx(expected)
        assert report.layers[0].rate_hz == pytest.approx(report.layers[0].rate / expected[0])

    def test_hertz_are_spikes_over_seconds(self):
        x = driven([1, 0] * 100)  # 100 spikes in 200 steps of 5 ms
        assert training.health(LIF(1, beta=0.0), x, batch_axis=1, sfreq=200.0).layers[0].rate_hz == pytest.approx(100)

    def test_images_and_features_have_none(self):
        network = models.create("spiking-cnn2d", in_chans=1, image_size=8, n_outputs=3)
        report = training.health(network, torch.rand(4, 1, 8, 8), sfreq=10.0)
        assert report.table()["rate_hz"].isna().all()
        assert [layer.rate_hz for layer in report.layers] == [None] * 3


class TestLeavesNothingBehind:
    def test_mode_buffers_gradients_hooks_and_generator(self):
        network = models.create("recurrent-snn", n_chans=3, n_times=40, n_outputs=2, sfreq=40.0)
        network.eval()
        network.norms.train()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        x, y = torch.randn(6, 3, 40), torch.tensor([0, 1] * 3)
        state = torch.random.get_rng_state()
        first = training.health(network, x, y, training=True, random_state=3)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())
        assert not network.training
        assert network.norms[0].training
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
        again = training.health(network, x, y, training=True, random_state=3)
        assert again.to_dict() == first.to_dict()

    def test_after_an_error_too(self):
        network = models.create("recurrent-snn", n_chans=3, n_times=40, n_outputs=2, sfreq=40.0)
        with pytest.raises(InputError, match="channels differ"):
            training.health(network, torch.randn(6, 4, 40))
        assert network.training
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class TestEstimators:
    def test_as_initialised_is_the_network_that_training_begins_with(self):
        X, y = np.random.default_rng(0).normal(size=(20, 3, 64)), np.tile(["a", "b"], 10)
        clf = NeuroClassifier("recurrent-snn", sfreq=64.0, max_epochs=0, random_state=5).fit(X, y)
        with scoped_seed(5):
            fresh = models.create("recurrent-snn", n_chans=3, n_times=64, n_outputs=2, sfreq=64.0)
        assert all(torch.equal(a, b) for a, b in zip(clf.net_.module_.parameters(), fresh.parameters(), strict=True))
        assert clf.history_ == []
        assert clf.health_["epochs"] == 0
        assert clf.predict(X).shape == (20,)

    @pytest.mark.parametrize(
        ("estimator", "shape"),
        [
            (NeuroClassifier("spiking-eegnet", sfreq=80.0), (12, 3, 80)),
            (NeuroClassifier("recurrent-snn", sfreq=80.0, module__encoder="delta", module__n_layers=2), (12, 3, 80)),
            (NeuroClassifier("spiking-cnn2d", class_weight="balanced"), (12, 1, 8, 8)),
            (NeuroClassifier("spiking-mlp", module__encoder="rate"), (12, 7)),
            (NeuroRegressor("spiking-mlp"), (12, 7)),
            (training.Windowed(NeuroClassifier("recurrent-snn", sfreq=80.0), length=30, step=25), (12, 3, 80)),
        ],
        ids=["eegnet", "recurrent", "cnn2d", "mlp", "regressor", "windowed"],
    )
    @pytest.mark.parametrize("as_in_training", [False, True])
    def test_every_kind_has_firing_and_gradients(self, estimator, shape, as_in_training):
        inner = estimator.estimator if isinstance(estimator, training.Windowed) else estimator
        inner.set_params(max_epochs=0 if as_in_training else 1, random_state=0)
        X = np.random.default_rng(0).normal(size=shape)
        y = X.reshape(12, -1)[:, 0] if isinstance(inner, NeuroRegressor) else np.tile(["left", "right"], 6)
        estimator.fit(X, y)
        report = training.health(estimator, X, y, training=as_in_training)
        assert report.samples == (12 * 3 if inner is not estimator else 12)
        assert len(report.layers) == len(training.watching.spiking_layers(estimator.net_.module_))
        for layer in report.layers:
            assert layer.reached
            assert layer.gradient_current.shape == layer.gradient_spikes.shape == (layer.steps,)
            assert np.isfinite(layer.gradient_current).all()
            assert layer.gradient_current.any()
        assert math.isfinite(report.loss)
        json.dumps(report.to_dict(), allow_nan=False)

    def test_labels_per_step_with_steps_that_do_not_count(self):
        X = np.random.default_rng(0).normal(size=(12, 3, 40))
        y = (X[:, 0] > 0).astype(int)
        y[:, :10] = -1
        clf = NeuroClassifier("recurrent-snn", sfreq=40.0, max_epochs=1, random_state=0).fit(X, y)
        report = training.health(clf, X, y)
        layer = report.layers[0]
        assert layer.gradient_spikes[20:].all()
        # without a label after it, a step has no gradient
        y[:, 25:] = -1
        assert not training.health(clf, X, y).layers[0].gradient_spikes[25:].any()


class TestFindings:
    def test_a_healthy_network_has_none(self):
        torch.manual_seed(0)
        network = models.create("spiking-eegnet", n_chans=4, n_times=128, n_outputs=2, sfreq=128.0)
        report = training.health(network, torch.randn(16, 4, 128), torch.tensor([0, 1] * 8), training=True)
        assert report.findings() == []

    def test_dead_and_saturated_neurons_are_counted_in_words(self):
        x = driven(*[[1] * 10] * 2, *[[0] * 10] * 5, *[[1, 0] * 5] * 3)
        found = training.health(LIF(10, beta=0.0), x, batch_axis=1).findings()
        assert len(found) == 2
        assert "layer LIF: 50 % of its 10 neurons never fired" in found[0]
        assert "layer LIF: 20 % of its 10 neurons fired in more than 95 % of their steps" in found[1]

    def test_a_silent_layer_and_a_busy_one(self):
        silent = training.health(LIF(4, beta=0.0), torch.zeros(10, 1, 4), batch_axis=1).findings()
        assert len(silent) == 1
        assert "none of its 4 neurons ever fired" in silent[0]
        busy = training.health(LIF(1, beta=0.0), driven([1, 1, 1, 0] * 5), batch_axis=1).findings()
        assert len(busy) == 1
        assert "fire in 75 % of their steps" in busy[0]

    def test_a_gradient_that_vanishes_backward_in_time(self):
        network = nn.Sequential(LIF(3, beta=0.5), LastReadout(beta=0.8))
        report = training.health(network, torch.randn(100, 8, 3), torch.randint(0, 3, (8,)), batch_axis=1)
        assert any("layer 0: the gradient at its input vanishes backward in time" in one for one in report.findings())

    def test_a_gradient_that_explodes_backward_in_time(self):
        """Neurons that excite each other, without leak or reset, behind a surrogate of slope one."""
        layer = RecurrentLIF(4, beta=0.0, reset="none", surrogate="straight_through")
        with torch.no_grad():
            layer.weight.copy_(2.0 * torch.eye(4))
        network = nn.Sequential(layer, LastReadout(beta=0.0))
        report = training.health(network, torch.rand(40, 4, 4), torch.tensor([0, 1, 2, 3]), batch_axis=1)
        assert any("explodes backward in time" in one for one in report.findings())

    def test_a_surrogate_out_of_reach_lets_nothing_through(self):
        network = nn.Sequential(LIF(3, beta=0.0, surrogate=Rectangle()), RateReadout())
        report = training.health(network, driven([1] * 4, [1] * 4, [1] * 4) + 50, torch.tensor([0]), batch_axis=1)
        assert any("layer 0: no gradient passes its neurons" in one for one in report.findings())

    def test_a_layer_that_the_loss_does_not_see(self):
        class Aside(nn.Module):
            def __init__(self):
                super().__init__()
                self.seen, self.aside = LIF(3), LIF(3)

            def forward(self, x):
                self.aside(x)
                return self.seen(x).mean(0)

        report = training.health(Aside(), torch.rand(4, 2, 3) * 3, torch.tensor([0, 1]), batch_axis=1)
        assert [(layer.name, layer.reached) for layer in report.layers] == [("aside", False), ("seen", True)]
        assert any("layer aside: the loss does not depend on its spikes" in one for one in report.findings())

    def test_gradients_that_are_nan_are_named_and_not_hidden(self):
        class Root(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.zeros(3))

            def forward(self, x):
                return x * torch.sqrt(self.weight) + torch.sqrt(0 * x)  # finite, its derivative at 0 is not

        network = nn.Sequential(nn.Linear(3, 3), LIF(3, beta=0.5), Root(), LIF(3, beta=0.5), RateReadout())
        report = training.health(network, torch.rand(5, 4, 3) * 2, torch.tensor([0, 1, 2, 0]), batch_axis=1)
        first, second = report.layers
        assert np.isnan(first.gradient_spikes).any()
        assert first.not_finite["gradient_spikes"] > 0
        assert np.isfinite(second.gradient_current).all()
        found = report.findings()
        assert any("layer 1: the gradient at its spikes holds" in one for one in found)
        assert any("module 0: the gradient of its parameters is nan" in one for one in found)
        assert not any("layer 3: the gradient" in one for one in found)
        plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert None in plain["layers"][0]["gradient_spikes_over_time"]
        assert plain["findings"] == found

    def test_a_current_that_is_nan_is_named(self):
        class Spoil(nn.Module):
            def forward(self, x):
                return torch.where(x == x.max(), torch.nan, x)

        report = training.health(nn.Sequential(Spoil(), LIF(3)), torch.rand(5, 4, 3), batch_axis=1)
        assert report.layers[0].not_finite == {"input": 1}
        assert "layer 1: its input current holds 1 value(s)" in report.findings()[0]


class TestMistakes:
    def test_models_that_are_none(self):
        with pytest.raises(InputError, match="no spiking layer"):
            training.health(nn.Linear(3, 2), torch.zeros(4, 3))
        with pytest.raises(InputError, match="got LinearDiscriminantAnalysis"):
            training.health(LinearDiscriminantAnalysis(), np.zeros((4, 3)))
        with pytest.raises(ValueError, match="not fitted"):
            training.health(NeuroClassifier("spiking-mlp"), np.zeros((4, 3)))

    def test_layers_that_are_only_run_with_run(self):
        class Hidden(nn.Module):
            def __init__(self):
                super().__init__()
                self.neurons = LIF(3)

            def forward(self, x):
                return self.neurons.run(x).spikes

        with pytest.raises(InputError, match=r"was run as layer\(x\)"):
            training.health(Hidden(), torch.zeros(4, 2, 3), batch_axis=1)

    @pytest.mark.parametrize(
        ("x", "y", "options", "message"),
        [
            (torch.zeros(5, 4, 3), torch.zeros(3, dtype=torch.long), {}, "X has 4 samples, but y has 3 labels"),
            (torch.zeros(5, 4, 3), torch.zeros(4, 2), {}, "give a loss"),
            (torch.zeros(5, 4, 3), torch.zeros(4, 2, dtype=torch.long), {}, "Give a loss that fits"),
            (torch.full((5, 4, 3), torch.inf), None, {}, "NaN or infinite"),
            (torch.zeros(5, 0, 3), None, {}, "no sample"),
            (torch.zeros(5), None, {}, "has no axis 1"),
            (torch.zeros(5, 4, 3), None, {"batch_size": 0}, "batch_size"),
            (torch.zeros(5, 4, 3), None, {"sfreq": -1.0}, "sfreq"),
            (torch.zeros(5, 4, 3), torch.zeros(4, dtype=torch.long), {"loss": lambda o, t: o.detach().sum()},
             "carries no gradient"),
        ],
    )  # fmt: skip
    def test_data_that_do_not_fit(self, x, y, options, message):
        network = nn.Sequential(LIF(3), RateReadout())
        with pytest.raises(InputError, match=message):
            training.health(network, x, y, batch_axis=1, **options)

    def test_labels_the_estimator_does_not_know(self):
        X, y = np.random.default_rng(0).normal(size=(8, 5)), np.tile(["a", "b"], 4)
        clf = NeuroClassifier("spiking-mlp", max_epochs=0, random_state=0).fit(X, y)
        with pytest.raises(InputError, match=r"y holds .*'c'.*not fitted on"):
            training.health(clf, X, np.where(y == "b", "c", y))
        with pytest.raises(InputError, match="8 samples, but y has 5"):
            training.health(clf, X, y[:5])
        with pytest.raises(InputError, match="batch_axis=1"):
            training.health(clf, X, y, batch_axis=1)


def test_a_layer_whose_spikes_carry_no_gradient_is_said_to_have_none():
    class Hard(SpikingLayer):
        def run(self, x, state=None, record=()):
            return LIFResult((x > 0).to(x.dtype), state, {})

    network = nn.Sequential(Hard(3), nn.Linear(3, 2), RateReadout())
    report = training.health(network, torch.randn(5, 4, 3), torch.tensor([0, 1, 0, 1]), batch_axis=1)
    assert not report.layers[0].reached
    assert "the loss does not depend on its spikes" in report.findings()[0]
