"""Estimators on dicts of modalities: everything they do for one array, and the mistakes users make."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from skorch.helper import SliceDict

from spikeneuro import NeuroClassifier, NeuroRegressor, energy, training
from spikeneuro.errors import InputError
from spikeneuro.training.modalities import ModalityScaler
from spikeneuro.training.scaling import ChannelScaler

RATES = {"eeg": 64.0, "ecg": 128.0}


def data(n=40, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = {"eeg": rng.normal(size=(n, 3, 64)) * 1e-5, "ecg": rng.normal(size=(n, 1, 128)) * 1e-3}
    X["ecg"] *= 1 + 3 * y[:, None, None]
    return X, np.array(["rest", "task"])[y]


def classifier(model="cross-modal-cnn", **options):
    return NeuroClassifier(model, **{"sfreq": RATES, "max_epochs": 8, "lr": 0.01, "random_state": 0, **options})


@pytest.fixture(scope="module")
def fitted():
    X, y = data()
    return classifier(scale={"ecg": "robust"}).fit(X, y, groups=np.arange(40) // 4)


def test_fit_predict_score(fitted):
    X, y = data(seed=1)
    assert fitted.predict(X).tolist() == fitted.classes_[fitted.predict_proba(X).argmax(axis=1)].tolist()
    assert fitted.score(X, y) > 0.8
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)
    # whole groups validate
    assert not set(fitted.train_index_ // 4) & set(fitted.validation_index_ // 4)


def test_the_order_of_the_dict_and_lists_for_arrays_change_nothing(fitted):
    X, _ = data(seed=1)
    other = {"ecg": X["ecg"].tolist(), "eeg": X["eeg"]}
    np.testing.assert_array_equal(fitted.predict_proba(other), fitted.predict_proba(X))


def test_tensors_and_whole_numbers_are_arrays(fitted):
    X, _ = data(seed=1)
    tensors = {name: torch.tensor(part, requires_grad=True) for name, part in X.items()}
    np.testing.assert_array_equal(fitted.predict_proba(tensors), fitted.predict_proba(X))
    whole = {name: (part * 1e6).astype(np.int16) for name, part in X.items()}
    real = {name: part.astype(np.float32) for name, part in whole.items()}
    np.testing.assert_array_equal(fitted.predict_proba(whole), fitted.predict_proba(real))


def test_a_dict_that_can_be_sliced_is_cross_validated():
    """Each part holds the samples that scikit-learn chose, of every modality."""
    X, y = data()
    sliced, clf = SliceDict(**X), classifier(max_epochs=4, validation_fraction=None)
    order = np.random.default_rng(0).permutation(40)
    splits = [(order[:20], order[20:]), (order[20:], order[:20])]
    by_hand = np.empty_like(y)
    for train, test in splits:
        part = clone(clf).fit({name: x[train] for name, x in X.items()}, y[train])
        by_hand[test] = part.predict({name: x[test] for name, x in X.items()})
    np.testing.assert_array_equal(cross_val_predict(clf, sliced, y, cv=splits), by_hand)
    scores = cross_val_score(clf, sliced, y, cv=splits, error_score="raise")
    assert scores.tolist() == [(by_hand == y)[test].mean() for _, test in splits]
    search = GridSearchCV(clf, {"lr": [1e-6, 0.01]}, cv=splits, error_score="raise").fit(sliced, y)
    assert search.predict(X).shape == (40,)


def test_absent_modalities_at_prediction(fitted):
    X, _ = data(seed=1)
    gaps = {name: part.copy() for name, part in X.items()}
    gaps["eeg"][:10] = np.nan
    mixed, whole, alone = (fitted.predict_proba(x) for x in (gaps, X, {"ecg": X["ecg"]}))
    np.testing.assert_allclose(mixed[:10], alone[:10], rtol=1e-5)
    np.testing.assert_allclose(mixed[10:], whole[10:], rtol=1e-5)


def test_absent_samples_in_training():
    X, y = data()
    X["eeg"][::3] = np.nan
    clf = classifier("cross-modal-snn", max_epochs=1, rate_penalty=0.1, module__modality_dropout=0.3).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()
    assert np.isfinite([row["train_loss"] for row in clf.history_]).all()


def test_clone_and_parameters(fitted):
    copy = clone(fitted)
    assert copy.get_params()["sfreq"] == RATES
    assert copy.get_params()["scale"] == {"ecg": "robust"}
    X, y = data()
    again = copy.fit(X, y, groups=np.arange(40) // 4)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_each_modality_has_its_scaler(fitted):
    X, _ = data()
    train = {name: part[fitted.train_index_] for name, part in X.items()}
    for name, method in (("eeg", "standard"), ("ecg", "robust")):
        own = ChannelScaler(method).fit(train[name]).transform(X[name])
        np.testing.assert_array_equal(fitted.network_input(X)[name].numpy(), own)
    frames = np.random.default_rng(0).normal(size=(20, 5, 2, 4, 4)) * np.array([1.0, 9.0])[:, None, None]
    scaled = ModalityScaler().fit({"film": frames}).transform({"film": frames})["film"]
    np.testing.assert_allclose(scaled.std(axis=(0, 1, 3, 4)), 1, rtol=1e-5)


def test_scaling_ignores_absent_samples():
    X, _ = data()
    gaps = {"eeg": X["eeg"].copy(), "ecg": X["ecg"]}
    gaps["eeg"][5:] = np.nan
    scaler = ModalityScaler().fit(gaps)
    np.testing.assert_array_equal(scaler.scalers_["eeg"].scale_, ChannelScaler().fit(X["eeg"][:5]).scale_)
    assert np.isnan(scaler.transform(gaps)["eeg"][5:]).all()


def test_health_and_energy_of_an_estimator():
    X, y = data()
    clf = classifier("cross-modal-snn", max_epochs=1).fit(X, y)
    report = training.health(clf, X, y, batch_size=16)
    layers = {layer.name: layer for layer in report.layers}
    assert set(clf.health_["firing"]) == set(layers)
    assert layers["branches.eeg.first"].dt == pytest.approx(1 / 64)
    assert layers["branches.ecg.first"].dt == pytest.approx(1 / 128)
    assert report.loss > 0
    ledger = energy.count(clf, X)
    assert ledger.macs > 0
    assert energy.count(clf, X, batch_size=7).macs == pytest.approx(ledger.macs)


def test_regression():
    X, _ = data()
    age = 40 + 1e4 * X["ecg"].std(axis=(1, 2))
    reg = NeuroRegressor("cross-modal-cnn", sfreq=RATES, max_epochs=3, random_state=0).fit(X, age)
    assert reg.predict(X).shape == (40,)


def test_images_frames_and_features():
    rng = np.random.default_rng(0)
    shapes = {"image": (1, 8, 6), "film": (5, 2, 8, 6), "age": (3,), "eeg": (2, 32)}
    X = {name: rng.normal(size=(12, *shape)) for name, shape in shapes.items()}
    clf = NeuroClassifier("cross-modal-snn", sfreq={"film": 10.0, "eeg": 64.0}, max_epochs=1, random_state=0)
    module = clf.fit(X, np.arange(12) % 2).net_.module_
    found = {name: (m.kind, m.channels, m.n_times, m.image_size, m.sfreq) for name, m in module.modalities.items()}
    assert found == {
        "image": ("image", 1, 1, (8, 6), None),
        "film": ("frames", 2, 5, (8, 6), 10.0),
        "age": ("features", 3, 1, None, None),
        "eeg": ("signal", 2, 32, None, 64.0),
    }
    assert clf.predict({"age": X["age"]}).shape == (12,)


def without(X, name):
    return {key: part for key, part in X.items() if key != name}


def changed(X, name, part):
    return {**X, name: part}


def of_lengths(part):
    ragged = np.empty(len(part), dtype=object)
    ragged[:] = [sample[:, : 100 + i] for i, sample in enumerate(part)]
    return ragged


def nan_at(part, *place):
    part = part.copy()
    part[place] = np.nan
    return part


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: {}, "every modality is missing"),
        (lambda X: without(X, "ecg"), "sfreq: there is no modality 'ecg' in X"),
        (lambda X: changed(X, "ecg", X["ecg"][:-1]), r"number of samples: \{'eeg': 40, 'ecg': 39\}"),
        (lambda X: changed(X, "ecg", X["ecg"][:, :0]), r"X\['ecg'\] is empty"),
        (lambda X: changed(X, "ecg", X["ecg"][:, 0, 0]), r"X\['ecg'\] has shape \(40,\)"),
        (
            lambda X: changed(X, "ecg", nan_at(X["ecg"], 3, 0, 7)),
            r"X\['ecg'\] holds 1 value.*\(3, 0, 7\).*NaN throughout",
        ),
        (lambda X: changed(X, "ecg", np.full_like(X["ecg"], np.nan)), "no sample has this modality"),
        (lambda X: {"eeg": nan_at(X["eeg"], 4), "ecg": nan_at(X["ecg"], 4)}, "sample 4 has no modality"),
        (lambda X: changed(X, "eeg", np.zeros_like(X["eeg"])), "modality 'eeg': channel"),
        (lambda X: changed(X, "ecg", np.full((40, 1, 128), "a")), "real numbers"),
        (
            lambda X: changed(X, "ecg", [x[:, : 100 + i] for i, x in enumerate(X["ecg"])]),
            r"X\['ecg'\].*different shapes",
        ),
        (lambda X: changed(X, "ecg", of_lengths(X["ecg"])), r"X\['ecg'\].*different shapes"),
        (lambda X: changed(X, "ecg", X["ecg"][..., :5].repeat(9, axis=1)), r"X\['ecg'\] has 9 channels of 5 .*swapped"),
        (lambda X: X["eeg"], "by modality need X as a dict"),
    ],
)
def test_mistakes_when_fitting(change, message):
    X, y = data()
    with pytest.raises(InputError, match=message) as raised:
        classifier().fit(change(X), y)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: {}, "every modality is missing"),
        (lambda X: {"egg": X["eeg"]}, "'egg', which was not fitted; did you mean 'eeg'"),
        (lambda X: changed(X, "eeg", X["eeg"][:, :2]), r"samples of shape \(2, 64\), but was fitted on \(3, 64\)"),
        (lambda X: changed(X, "eeg", X["eeg"].transpose(0, 2, 1)), "look swapped"),
        (lambda X: X["eeg"], "fitted on the modalities eeg, ecg"),
    ],
)
def test_mistakes_when_predicting(fitted, change, message):
    with pytest.raises(InputError, match=message):
        fitted.predict(change(data()[0]))


def test_other_mistakes(fitted):
    X, y = data()
    with pytest.raises(InputError, match="names that are text, got 1"):
        classifier(sfreq=None).fit({1: X["eeg"], "ecg": X["ecg"]}, y)
    with pytest.raises(InputError, match=r"1 sample\(s\); at least 2"):
        classifier().fit({name: part[:1] for name, part in X.items()}, y[:1])
    gaps = {"eeg": X["eeg"], "ecg": X["ecg"].copy()}
    gaps["ecg"][fitted.train_index_] = np.nan
    with pytest.raises(InputError, match="inner training part has the modality 'ecg'"):
        classifier().fit(gaps, y, groups=np.arange(40) // 4)
    with pytest.raises(InputError, match="40 samples, but y has 39"):
        classifier().fit(X, y[:-1])
    with pytest.raises(InputError, match="'cnn1d' takes signal input"):
        classifier("cnn1d").fit(X, y)
    with pytest.raises(InputError, match="takes a dict of modalities"):
        classifier(sfreq=64.0).fit(X["eeg"], y)
    with pytest.raises(InputError, match=r"sfreq: there is no modality 'egg'"):
        classifier(sfreq={"egg": 64.0}).fit(X, y)
    with pytest.raises(InputError, match=r"scale: there is no modality 'egg'"):
        classifier(scale={"egg": "robust"}).fit(X, y)
    with pytest.raises(InputError, match=r"scale\['eeg'\]='rubust'"):
        classifier(scale={"eeg": "rubust"}).fit(X, y)
    with pytest.raises(InputError, match="label per time step"):
        classifier().fit(X, np.zeros((40, 64), dtype=int))
    with pytest.raises(InputError, match="dict of modalities"):
        training.Windowed(classifier(), length=32).fit(X, y)
    with pytest.raises(InputError, match="several modalities"):
        training.predict_memory(classifier(), X, y)
    array = NeuroClassifier("cnn1d", sfreq=64.0, max_epochs=1, random_state=0).fit(X["eeg"], y)
    with pytest.raises(InputError, match="fitted on one array"):
        array.predict(X)
