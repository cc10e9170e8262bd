"""Nothing a fitted estimator holds may depend on samples outside its inner training part."""

import numpy as np
import pytest
import torch

import spikeneuro as sn
from spikeneuro.data import folds, make_splitter

SEED = 0


@pytest.fixture(scope="module")
def recordings():
    return sn.data.simulate_motor_imagery(n_subjects=5, n_trials=16, random_state=SEED)


def fit(X, y, groups, **options):
    estimator = sn.NeuroClassifier(
        "recurrent-snn",
        sfreq=128.0,
        max_epochs=2,
        random_state=SEED,
        module__encoder="delta",
        module__hidden=8,
        **options,
    )
    return estimator.fit(X, y, groups=groups)


def state(estimator):
    return {name: value.clone() for name, value in estimator.net_.module_.state_dict().items()}


def test_validation_samples_set_neither_scaler_nor_thresholds(recordings):
    X, y, groups = recordings.X, recordings.y, recordings.units("subject")
    # one epoch's weights do not depend on validation data either, as long as no best epoch is chosen
    first = fit(X, y, groups, restore_best=False)
    changed = X.copy()
    changed[first.validation_index_] = 50 * np.random.default_rng(1).permutation(X[first.validation_index_], axis=0)
    second = fit(changed, y, groups, restore_best=False)
    np.testing.assert_array_equal(first.train_index_, second.train_index_)
    np.testing.assert_array_equal(first.scaler_.scale_, second.scaler_.scale_)
    kept, other = state(first), state(second)
    assert any("threshold_" in name for name in kept), (
        "the model must hold fitted thresholds for this test to mean anything"
    )
    for name, value in kept.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=0, msg=name)


def test_prediction_of_a_sample_does_not_depend_on_the_others(recordings):
    X, y = recordings.X, recordings.y
    estimator = fit(X, y, recordings.units("subject"))
    alone = np.concatenate([estimator.predict_proba(X[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(estimator.predict_proba(X[:40])[:6], alone, atol=1e-5)
    np.testing.assert_allclose(estimator.predict_proba(X[:6] * 1.0), alone, atol=1e-5)


def test_test_people_never_reach_training(recordings):
    splitter = make_splitter("leave-groups-out", by="subject", n_splits=3, random_state=SEED)
    subjects = recordings.units("subject")
    for fold in folds(recordings.metadata, recordings.y, splitter):
        sn.data.audit(recordings.metadata, fold)
        estimator = fit(recordings.X[fold.train], recordings.y[fold.train], subjects[fold.train])
        inner = set(subjects[fold.train][estimator.train_index_])
        validation = set(subjects[fold.train][estimator.validation_index_])
        assert not inner & validation
        assert not (inner | validation) & set(subjects[fold.test])


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["motor-imagery-eeg", "block-design-fmri", "digits"])
def test_shuffled_labels_leave_every_candidate_at_chance(experiment, tmp_path):
    """Three seeds of a permuted demo: chance lies inside every candidate's interval, widened for the many looks."""
    from spikeneuro.bench.store import Store
    from spikeneuro.evaluation import wilson_interval

    sn.bench.run("demo", tmp_path, only=f"{experiment}/*", shuffle_labels=True, progress=False)
    with Store(tmp_path) as store:
        chance = {}
        for row in store.experiments():
            counts = list(row["classes"].values())
            chance[row["name"]] = max(counts) / sum(counts), 1 / len(counts)
        rows = store.rows(experiment=experiment, status="ok")
        assert rows
        for candidate in {row["candidate"] for row in rows}:
            right = total = 0
            for row in rows:
                if row["candidate"] == candidate:
                    arrays = store.predictions(row["key"])
                    right += int((arrays["y_true"] == arrays["prediction"]).sum())
                    total += len(arrays["y_true"])
            # 99.9 % so that a dozen candidates are not failed by luck; leave-out lowers accuracy a little below chance
            interval = wilson_interval(right, total, confidence=0.999)
            highest, even = chance[experiment]
            assert interval.low <= highest, (candidate, right / total)
            assert interval.high >= even - 0.1, (candidate, right / total)
