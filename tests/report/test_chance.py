"""The score of guessing, and the verdict on shuffled labels, on made-up predictions."""

import numpy as np
import pytest

from spikeneuro.evaluation import Predictions
from spikeneuro.report.chance import control, guess

EXPERIMENT = {"scorer": "accuracy", "task": "classification"}


def of_classes(share, *, better=0.0, seed=0, n_units=12, n=40, confusion=False):
    """Labels of which `share` are 1, predictions of the same share that know the label in `better` of the cases."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(n_units), n)
    y = (np.tile(np.arange(n), n_units) < share * n).astype(int)
    predicted = np.where(rng.random(len(y)) < better, y, rng.random(len(y)) < share)
    if confusion:
        counts = np.zeros((len(y), 2, 2), dtype=np.int64)
        counts[np.arange(len(y)), y, predicted] = 1
        return Predictions(units, confusion=counts)
    return Predictions(units, y, predicted, n_classes=2)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_control_of_unequal_classes_is_clean(seed):
    """Guessing by frequency is right in 0.68 of the cases, below the 0.8 of the largest class: no finding."""
    clean = of_classes(0.2, seed=seed)
    assert "none of 1 candidates is above chance" in control(EXPERIMENT, {"svm": [clean]})


@pytest.mark.parametrize("confusion", [False, True])
def test_a_leak_below_the_share_of_the_largest_class_is_found(confusion):
    """Right in 0.77 of the cases and yet far better than chance."""
    leaking = of_classes(0.2, better=0.3, confusion=confusion)
    task = "steps" if confusion else "classification"
    text = control({**EXPERIMENT, "task": task}, {"cnn": [leaking]})
    assert "1 of 1 candidates are above chance: cnn (0." in text


def test_regression_is_judged_by_correlation():
    rng = np.random.default_rng(0)
    y, noise = rng.normal(size=(2, 80))
    parts = {
        "mean": [Predictions(np.arange(80), y, noise)],
        "leak": [Predictions(np.arange(80), y, y + noise)],
    }
    text = control({"scorer": "mae", "task": "regression"}, parts)
    assert "1 of 2 candidates are above chance: leak (" in text


def test_without_an_interval_there_is_no_verdict():
    assert control(EXPERIMENT, {"svm": [of_classes(0.5, n_units=1)]}) is None


def test_guessing_is_averaged_as_the_scores_are():
    """Two units of one sample, one of ten: the mean over units, not the share of all samples."""
    part = Predictions(["a", "b", *["c"] * 10], [0, 0, *[1] * 10], [0] * 12, n_classes=2)
    assert guess(EXPERIMENT, {"svm": [part]}) == (pytest.approx(1 / 3), "always the largest class")


def test_guess_of_each_metric():
    part = {"svm": [of_classes(0.25)]}
    assert guess(EXPERIMENT, part) == (pytest.approx(0.75), "always the largest class")
    assert guess({**EXPERIMENT, "task": "steps"}, {"svm": [of_classes(0.25, confusion=True)]})[0] == pytest.approx(0.75)
    assert guess(EXPERIMENT, {"svm": [of_classes(0.5)]}) == (pytest.approx(0.5), "chance")
    assert guess({**EXPERIMENT, "scorer": "balanced_accuracy"}, part) == (0.5, "chance")
    assert guess({**EXPERIMENT, "scorer": "roc_auc"}, part) == (0.5, "chance")
    assert guess({**EXPERIMENT, "scorer": "log_loss"}, part) is None
    assert guess(EXPERIMENT, {}) is None


def test_guess_of_an_error_is_the_median_of_the_other_folds():
    folds = [Predictions(["a", "b"], [0.0, 1.0], [0, 0]), Predictions(["c", "d", "e"], [10.0, 20.0, 90.0], [0, 0, 0])]
    value, name = guess({"scorer": "mae", "task": "regression"}, {"svm": folds})
    assert value == pytest.approx(np.mean([20, 19, 9.5, 19.5, 89.5]))
    assert name == "median of the other folds"
    assert guess({"scorer": "mae", "task": "regression"}, {"svm": folds[:1]}) is None
