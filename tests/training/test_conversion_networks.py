"""Networks of the registry that train with QCFS and predict as spikes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from spikeneuro import NeuroClassifier, NeuroRegressor, energy, models, training
from spikeneuro.errors import InputError
from spikeneuro.training.conversion import convert

DIGITS = {"max_epochs": 10, "lr": 3e-3, "random_state": 0, "module__filters": (8, 16), "module__steps": 8}


@pytest.fixture(scope="module")
def fitted():
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 1, 8, 8)
    return NeuroClassifier("converted-cnn2d", **DIGITS).fit(X[:1200], y[:1200]), X[1200:], y[1200:]


def test_estimators_train_the_network_and_predict_with_spikes(fitted):
    clf, X, y = fitted
    model, x = clf.net_.module_, clf.network_input(X)
    assert clf.score(X, y) > 0.9
    quantised = model.network.eval()
    assert clf.score(X, y) > (quantised(x).argmax(1).numpy() == y).mean() - 0.02
    # what predicts is the conversion of what was trained
    snn = convert(quantised, x[:5], method="qcfs", steps=8, spiking_pooling=True)
    torch.testing.assert_close(model.eval()(x), snn(x), atol=1e-5, rtol=1e-5)
    assert {info.scale for info in snn.neurons.values()} == {info.scale for info in model.spiking.neurons.values()}
    assert set(clf.health_["firing"]) == {f"spiking.layers.features_{place}" for place in ("2", "6")}
    assert 0 < training.health(clf, X[:20], y[:20]).layers[0].rates.mean() < 1


def test_validation_is_by_the_spiking_network(fitted):
    clf, *_ = fitted
    assert all("firing" in epoch for epoch in clf.history_)
    assert clf.history_[-1]["firing"]["spiking.layers.features_2"]["rate"] > 0


def test_ledger_counts_the_spiking_network_only(fitted):
    clf, X, _ = fitted
    before = copy.deepcopy(clf.net_.module_.state_dict())
    ledger = energy.count(clf, X[:8])
    assert ledger.acs > 0
    charged = [row.name for row in ledger.layers if row.dense.macs or row.dense.acs]
    assert sum(row.dense.macs > 0 for row in ledger.layers) == 1  # the first layer gets real numbers, once
    assert all(name.startswith("spiking.") for name in charged)
    after = clf.net_.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_loaded_weights_reach_the_spikes():
    one, other = (models.create("converted-mlp", n_chans=2, n_times=6, n_outputs=3).eval() for _ in range(2))
    x = torch.randn(7, 12)
    assert not torch.equal(one(x), other(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x), other(x))
    assert not any("spiking" in name for name in one.state_dict())
    assert not any("spiking" in name for name, _ in one.named_parameters())
    assert torch.equal(one(x), one(x.reshape(7, 2, 6)))


def test_they_can_be_pickled():
    model = models.create("converted-cnn2d", in_chans=1, image_size=8, n_outputs=2, filters=(2, 3)).eval()
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))


def test_shapes_are_refused_in_the_words_of_the_network():
    model = models.create("converted-mlp", n_chans=2, n_times=6, n_outputs=3).eval()
    with pytest.raises(InputError, match="swapped"):
        model(torch.zeros(3, 6, 2))
    with pytest.raises(InputError, match="features=12"):
        model(torch.zeros(3, 5))
    for wrong in ({"steps": 0}, {"levels": 0}, {"theta": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            models.create("converted-mlp", n_chans=2, n_times=6, n_outputs=3, **wrong)


def test_they_fit_signals_and_features():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3, 64)), np.tile([0, 1], 30)
    X[y == 1] *= 3
    clf = NeuroClassifier("converted-cnn1d", sfreq=64.0, max_epochs=4, random_state=0, scale="none")
    assert clf.fit(X, y).predict(X).shape == (60,)
    features = rng.normal(size=(80, 6))
    reg = NeuroRegressor("converted-mlp", max_epochs=20, lr=1e-2, random_state=0, module__steps=16)
    reg.fit(features, features[:, 0])
    assert reg.score(features, features[:, 0]) > 0.5


def test_without_validation_and_without_training_they_predict_too():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), np.tile([0, 1], 20)
    for options in ({"validation_fraction": None, "max_epochs": 2}, {"max_epochs": 0}):
        clf = NeuroClassifier("converted-mlp", random_state=0, **options).fit(X, y)
        assert clf.predict_proba(X).shape == (40, 2)
        assert clf.health_["firing"]


def test_a_penalty_on_rates_needs_spikes_in_training():
    X, y = np.random.default_rng(0).normal(size=(40, 6)), np.tile([0, 1], 20)
    with pytest.raises(InputError, match="no spiking layer ran in training"):
        NeuroClassifier("converted-mlp", max_epochs=1, rate_penalty=0.1, random_state=0).fit(X, y)
