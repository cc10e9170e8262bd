"""The estimators against scikit-learn's own checks and the mistakes users make."""

from unittest import SkipTest

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import estimator_checks_generator

from spikeneuro import NeuroClassifier, NeuroRegressor
from spikeneuro.errors import InputError


@pytest.fixture
def bursts():
    """Forty signals of three channels; the second class is louder in the first channel."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3, 64))
    y = np.repeat(["rest", "task"], 20)
    X[y == "task", 0] *= 3
    return X * 1e-6, y, np.tile(np.arange(8), 5)


def quick(model="cnn1d", **options):
    return NeuroClassifier(model, **{"sfreq": 64.0, "max_epochs": 3, "random_state": 0, **options})


CHECKED = {
    "features": NeuroClassifier("mlp", max_epochs=15, lr=0.02, batch_size=32, random_state=0),
    "one channel": NeuroClassifier("cnn1d", max_epochs=20, lr=0.01, batch_size=32, random_state=0),
    "regressor": NeuroRegressor("mlp", max_epochs=15, lr=0.02, batch_size=32, random_state=0),
}
#: Checks of scikit-learn 1.9 that apply; a tag that silently drops some would lower the number.
FEWEST_CHECKS = {"features": 50, "one channel": 50, "regressor": 44}


@pytest.mark.parametrize("kind", ["features", "regressor", pytest.param("one channel", marks=pytest.mark.slow)])
def test_scikit_learn_checks(kind):
    """Every applicable check runs, and passes."""
    failed, names = {}, set()
    for estimator, check in estimator_checks_generator(CHECKED[kind], mark="skip"):
        name = getattr(check, "func", check).__name__
        names.add(name)
        try:
            check(estimator)
        except SkipTest as reason:  # array API checks, which a global setting of SciPy would have to switch on
            assert "SCIPY_ARRAY_API" in str(reason)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    assert not failed
    assert len(names) >= FEWEST_CHECKS[kind], sorted(names)


def test_learns_and_reports(bursts):
    X, y, groups = bursts
    clf = quick(max_epochs=15).fit(X, y, groups=groups)
    assert clf.score(X, y) > 0.9
    assert set(groups[clf.train_index_]).isdisjoint(groups[clf.validation_index_])
    assert {"train_loss", "valid_loss", "valid_accuracy", "gradient_norm"} <= set(clf.history_[0])
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1)


def test_scaler_sees_the_inner_training_part_only(bursts):
    X, y, groups = bursts
    clf = quick().fit(X, y, groups=groups)
    expected = X[clf.train_index_].mean(axis=(0, 2))
    np.testing.assert_allclose(clf.scaler_.center_, expected, rtol=1e-6)
    other = X.copy()
    other[clf.validation_index_] *= 7
    np.testing.assert_array_equal(quick().fit(other, y, groups=groups).scaler_.scale_, clf.scaler_.scale_)


def test_same_seed_same_net_and_global_generators_untouched(bursts):
    X, y, _ = bursts
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = quick().fit(X, y), quick().fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])
    third = quick(random_state=1).fit(X, y)
    assert not np.array_equal(first.predict_proba(X), third.predict_proba(X))


def test_clone_keeps_parameters_passed_on():
    clf = quick(module__filters=(4, 4), module__kernel_sizes=(5, 3), optimizer__betas=(0.8, 0.9))
    copy = clone(clf)
    assert copy.module__filters == (4, 4)
    assert copy.get_params()["optimizer__betas"] == (0.8, 0.9)
    copy.set_params(module__filters=(2, 2))
    assert clf.module__filters == (4, 4)


def test_cross_val_score_takes_groups(bursts):
    X, y, groups = bursts
    scores = cross_val_score(quick(), X, y, groups=groups, cv=GroupKFold(2))
    assert scores.shape == (2,)


def test_labels_per_step():
    rng = np.random.default_rng(1)
    X = (rng.random((24, 2, 50)) < 0.3).astype(float)
    y = (X[:, 0] > 0).astype(int)
    y[:, :5] = -1
    clf = NeuroClassifier("lstm", scale="none", max_epochs=30, lr=0.02, random_state=0)
    clf.fit(X, y)
    assert clf.predict(X).shape == (24, 50)
    assert clf.predict_proba(X).shape == (24, 2, 50)
    assert clf.score(X, y) > 0.9
    assert clf.classes_.tolist() == [0, 1]


def test_regressor_returns_the_target_in_its_own_units():
    X = np.random.default_rng(0).normal(size=(80, 6))
    y = 40 + 10 * X[:, 0]
    reg = NeuroRegressor("mlp", max_epochs=60, lr=0.01, random_state=0).fit(X, y)
    assert reg.score(X, y) > 0.8
    assert reg.target_mean_ == pytest.approx(y[reg.train_index_].mean())


def test_spiking_health_and_rate_penalty(bursts):
    X, y, _ = bursts
    clf = quick("recurrent-snn", max_epochs=2).fit(X, y)
    layers = clf.health_["firing"]
    assert layers
    assert all(0 <= layer["rate"] <= 1 for layer in layers.values())
    pushed = quick("recurrent-snn", max_epochs=25, rate_penalty=100.0, rate_band=(0.0, 0.001), lr=0.02, patience=None,
                   restore_best=False).fit(X, y)  # fmt: skip
    mean = lambda health: np.mean([layer["rate"] for layer in health["firing"].values()])  # noqa: E731
    assert mean(pushed.health_) < mean(clf.health_)


def test_early_stopping_restores_the_best_epoch(bursts):
    X, y, _ = bursts
    clf = quick(max_epochs=40, lr=0.05, patience=3).fit(X, y)
    losses = [epoch["valid_loss"] for epoch in clf.history_]
    assert len(losses) < 40
    assert len(losses) - 1 - int(np.argmin(losses)) == 3
    inputs, target = (
        clf.network_input(X[clf.validation_index_]),
        torch.from_numpy(np.searchsorted(clf.classes_, y[clf.validation_index_])),
    )
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(clf.net_.module_.eval()(inputs), target)
    assert float(loss) == pytest.approx(min(losses), rel=1e-4)


def test_interruption_is_not_taken_for_a_trained_net(bursts):
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    X, y, _ = bursts
    with pytest.raises(KeyboardInterrupt):
        quick(callbacks=[Interrupt()]).fit(X, y)


def test_class_weights_follow_scikit_learn(bursts):
    from sklearn.utils.class_weight import compute_class_weight

    X, y, _ = bursts
    keep = np.r_[0:20, 20:28]
    clf = quick(class_weight="balanced", validation_fraction=None).fit(X[keep], y[keep])
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y[keep])
    np.testing.assert_allclose(clf.net_.criterion_.weight.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (np.where(np.arange(64) == 5, np.nan, X), y), r"NaN or infinite, the first at index \(0, 0, 5\)"),
        (lambda X, y: (X, np.repeat("rest", 40)), "one class only"),
        (lambda X, y: (np.where(np.arange(3)[:, None] == 1, 4.0, X), y), r"channel\(s\) \[1\] of X are constant"),
        (lambda X, y: (X, y[:-1]), "40 samples, but y has 39"),
        (lambda X, y: (X[..., None, None], y), "expected \\(samples, features\\)"),
        (lambda X, y: (np.tile(X, (1, 40, 1))[..., :10], y), "120 channels of 10 times .* look swapped"),
        (lambda X, y: (X, np.tile([0, 1], (40, 32))), "label per time step, which 'cnn1d' cannot predict; use one of"),
    ],
)
def test_bad_data_is_refused_with_its_place(bursts, change, message):
    X, y, _ = bursts
    X, y = change(X, y)
    with pytest.raises(InputError, match=message):
        quick().fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "spiking-egnet"}, "did you mean 'spiking-eegnet'"),
        ({"model": "bandpower-lda"}, "pipeline, not a network"),
        ({"model": "cnn2d"}, "takes image input"),
        ({"optimizer": "adm"}, "did you mean 'adam"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"lr": -1}, "lr must lie in"),
        ({"moodule__filters": 3}, "unknown parameter"),
        ({"class_weight": {"wake": 2.0}}, "class_weight names"),
        ({"class_weight": {"rest": -2.0}}, "must not be negative"),
        ({"monitor": "valid_acuracy"}, "did you mean 'valid_accuracy'"),
        ({"module__filter": (3,)}, "did you mean 'filters'"),
        ({"optimizer__beta": 1}, "did you mean 'betas'"),
        ({"device": "cuda:93"}, "CUDA device"),
        ({"device": "gpuu"}, "not a torch device"),
        ({"rate_band": (0.5, 0.1)}, "rate_band"),
        ({"rate_penalty": 1.0}, "needs a spiking model"),
        ({"gradient_clip": -1}, "gradient_clip must lie"),
        ({"label_smoothing": 3}, "label_smoothing must lie"),
        ({"model": "recurrent-snn", "module__task": "steps"}, "does not fit y"),
        ({"lr": 1e12, "optimizer": "sgd", "gradient_clip": None, "schedule": "constant"}, "diverged"),
    ],
)
def test_bad_parameters_are_refused(bursts, options, message):
    X, y, _ = bursts
    with pytest.raises(InputError, match=message):
        quick(**options).fit(X, y)


def test_wrong_axes_at_prediction(bursts):
    X, y, _ = bursts
    clf = quick().fit(X, y)
    with pytest.raises(InputError, match="channels and times look swapped; use X.transpose"):
        clf.predict(X.transpose(0, 2, 1))
    with pytest.raises(InputError, match="was fitted on"):
        clf.predict(X[..., :32])


@pytest.mark.parametrize("scale", ["standard", "robust", "sample", "none"])
def test_constant_channels_are_refused_whatever_the_scaling(bursts, scale):
    X, y, _ = bursts
    X[:, 2] = 0.1
    with pytest.raises(InputError, match=r"channel\(s\) \[2\] of X are constant"):
        quick(scale=scale).fit(X, y)


def test_recordings_of_different_lengths_point_to_windowed(bursts):
    _, y, _ = bursts
    ragged = np.empty(40, dtype=object)
    ragged[:] = [np.zeros((3, 20 + i)) for i in range(40)]
    with pytest.raises(InputError, match="Windowed"):
        quick().fit(ragged, y)


def test_random_codes_predict_the_same_twice():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), np.tile([0, 1], 20)
    clf = NeuroClassifier("spiking-mlp", max_epochs=2, random_state=0, module__encoder="rate").fit(X, y)
    first = clf.predict_proba(X)
    torch.rand(3)
    np.testing.assert_array_equal(clf.predict_proba(X), first)
    again = NeuroClassifier("spiking-mlp", max_epochs=2, random_state=0, module__encoder="rate").fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), first)
    assert again.health_ == clf.health_


@pytest.mark.parametrize("model", ["spiking-mlp", "recurrent-snn"])
def test_random_codes_predict_a_sample_the_same_in_every_batch(model):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2, 32)), np.tile([0, 1], 20)
    X = X[:, 0, :6] if model == "spiking-mlp" else X
    clf = quick(model, max_epochs=2, batch_size=16, module__encoder="rate").fit(X, y)
    together = clf.predict_proba(X)
    assert np.ptp(together) > 0
    np.testing.assert_allclose(clf.predict_proba(X[::-1])[::-1], together, rtol=1e-5)
    np.testing.assert_allclose(
        np.concatenate([clf.predict_proba(X[i : i + 1]) for i in range(40)]), together, rtol=1e-5
    )
