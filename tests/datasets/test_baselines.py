"""Scores of the plain baselines on real recordings, against figures computed apart from this package."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from spikeneuro.data import folds, make_splitter
from spikeneuro.models import create

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "benchmarks" / "datasets"
TOLERANCE = 0.03


def load(name, **params):
    spec = importlib.util.spec_from_file_location(f"baseline_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(**params)


def sizes(recordings):
    X, common = recordings.X, {"n_outputs": len(recordings.label_names)}
    if recordings.modality == "image":
        return common | {"in_chans": X.shape[1], "image_size": X.shape[2:]}
    if recordings.modality == "features":
        return common | {"n_chans": 1, "n_times": X.shape[1]}
    if recordings.ragged:
        return common | {"n_chans": len(X[0])}
    return common | {"n_chans": X.shape[1], "n_times": X.shape[2], "sfreq": recordings.sfreq}


def scores(recordings, model, split, hyper=None):
    """Score of each fold, with nothing but its training part seen by the model."""
    name, params = split
    result = []
    for fold in folds(recordings.metadata, recordings.y, make_splitter(name, **params)):
        pipeline = create(model, **sizes(recordings), **(hyper or {}))
        pipeline.fit(recordings.X[fold.train], recordings.y[fold.train])
        result.append(pipeline.score(recordings.X[fold.test], recordings.y[fold.test]))
    return np.array(result)


def leave_out(by, n_splits=None, **params):
    return "leave-groups-out", {"by": by} | (
        {} if n_splits is None else {"n_splits": n_splits, "random_state": 0} | params
    )


FREQUENCIES = {"frequencies": (13.0, 17.0, 21.0)}
CASES = [
    ("eegmat", {}, "bandpower-lda", {}, leave_out("subject"), 0.656),
    ("ssvep_exo", {}, "cca-ssvep", FREQUENCIES, leave_out("subject"), 0.838),
    ("ssvep_exo", {"resample": 128}, "cca-ssvep", FREQUENCIES, leave_out("subject"), 0.838),
    ("eegmmidb", {}, "csp-lda", {}, leave_out("subject"), 0.517),
    ("eegmmidb", {"transductive_alignment": True}, "csp-lda", {}, leave_out("subject"), 0.611),
    ("bonn", {}, "bandpower-forest", {"random_state": 0}, leave_out("segment", 10), 0.876),
    ("qtdb", {}, "trace-lr", {}, ("given", {"column": "split"}), 0.775),
    ("abide", {}, "connectivity-ridge", {}, leave_out("subject", 5), 0.671),
    ("abide", {}, "connectivity-ridge", {}, leave_out("site"), 0.66),
    ("haxby", {}, "linear-svm", {"random_state": 0}, leave_out("run"), 0.802),
    ("alzheimer", {}, "nearest-neighbour", {}, ("leaky-stratified-k-fold", {"n_splits": 4}), 0.985),
    ("alzheimer", {}, "nearest-neighbour", {}, leave_out("subject", 4), 0.487),
    ("mnist", {"n_train": 12000}, "logistic-regression", {"scaling": "none"}, ("given", {"column": "split"}), 0.910),
    ("stenosis", {}, "pca-svm", {"random_state": 0}, leave_out("dup_group", 5), 0.777),
]


@pytest.mark.parametrize(("name", "params", "model", "hyper", "split", "figure"), CASES)
def test_baseline(data_root, name, params, model, hyper, split, figure):
    score = scores(load(name, **params), model, split, hyper).mean()
    print(f"{name} {params} {model} {split[0]}: {score:.3f} (figure {figure})")
    assert score == pytest.approx(figure, abs=TOLERANCE)


def test_imagined_movement_within_each_person(data_root):
    recordings = load("eegmmidb")
    figure = [0.689, 0.911, 0.600, 0.600, 0.533, 0.489, 0.956, 0.556, 0.533, 0.622, 0.622, 0.600]
    found = []
    for subject in sorted(set(recordings.metadata["subject"])):
        own = recordings.select((recordings.metadata["subject"] == subject).to_numpy())
        found.append(scores(own, "csp-lda", leave_out("run")).mean())
    print("eegmmidb within", np.round(found, 3), np.mean(found))
    assert np.mean(found) == pytest.approx(0.643, abs=TOLERANCE)
    # One trial of 45 is 0.022.
    np.testing.assert_allclose(found, figure, atol=0.07)


def test_child_or_adult(data_root):
    recordings = load("ds000228")
    result = []
    for seed in range(4):
        predicted = np.empty_like(recordings.y)
        split = make_splitter("leave-groups-out", by="subject", n_splits=5, stratify=True, random_state=seed)
        for fold in folds(recordings.metadata, recordings.y, split):
            model = create("ridge", **sizes(recordings), scaling="none")
            model.fit(recordings.X[fold.train], recordings.y[fold.train])
            predicted[fold.test] = model.predict(recordings.X[fold.test])
        result.append(balanced_accuracy_score(recordings.y, predicted))
    print("ds000228", np.round(result, 3))
    assert np.mean(result) == pytest.approx(0.88, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "model", "by"), [("eegmat", "bandpower-lda", "subject"), ("haxby", "linear-svm", "run")]
)
def test_shuffled_labels_are_at_chance(data_root, name, model, by):
    from dataclasses import replace

    recordings = load(name)
    shuffled = replace(recordings, y=np.random.default_rng(0).permutation(recordings.y))
    result = scores(shuffled, model, leave_out(by))
    chance = 1 / len(recordings.label_names)
    assert abs(result.mean() - chance) < 3 * np.sqrt(chance * (1 - chance) / len(recordings.y)) + 0.02
