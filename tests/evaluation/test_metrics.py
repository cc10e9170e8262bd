"""Metrics against scikit-learn and hand counts; undefined ones say why instead of giving a number."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from spikeneuro.errors import InputError
from spikeneuro.evaluation.metrics import METRICS, compute, confusion, metric_named, names_for, step_counts
from spikeneuro.evaluation.outcome import make_outcome


def random_probabilities(rng, n, k):
    proba = rng.dirichlet(np.ones(k), size=n)
    return np.round(proba, 2) / np.round(proba, 2).sum(axis=1, keepdims=True)  # rounded, so that there are ties


cases = st.tuples(st.integers(2, 5), st.integers(6, 60), st.integers(0, 2**16))


@given(case=cases)
@settings(max_examples=60, deadline=None)
def test_classification_against_scikit_learn(case):
    k, n, seed = case
    rng = np.random.default_rng(seed)
    y, proba = rng.integers(0, k, size=n), random_probabilities(rng, n, k)
    assume(len(np.unique(y)) == k)
    predicted = proba.argmax(axis=1)
    values, notes = compute("classification", y, proba=proba)
    assert notes == {}
    one_hot = np.eye(k)[y]
    auc = sk.roc_auc_score(y, proba[:, 1]) if k == 2 else sk.roc_auc_score(y, proba, multi_class="ovr")
    expected = {
        "accuracy": sk.accuracy_score(y, predicted),
        "f1_macro": sk.f1_score(y, predicted, average="macro"),
        "cohen_kappa": sk.cohen_kappa_score(y, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(y, predicted),
        "roc_auc": auc,
        "log_loss": sk.log_loss(y, proba, labels=range(k)),
        "brier": np.mean(((proba - one_hot) ** 2).sum(axis=1)) / (2 if k == 2 else 1),
    }
    assert values == pytest.approx(expected, abs=1e-9)
    assert set(expected) == set(names_for("classification")) == set(values)


def test_brier_against_scikit_learn():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, size=40), rng.random(40)
    assert compute("classification", y, proba=p)[0]["brier"] == pytest.approx(sk.brier_score_loss(y, p))


@given(seed=st.integers(0, 2**16), n=st.integers(3, 50))
@settings(max_examples=40, deadline=None)
def test_regression_against_scikit_learn_and_scipy(seed, n):
    rng = np.random.default_rng(seed)
    y = rng.normal(30, 10, size=n)
    predicted = y + rng.normal(0, 5, size=n)
    values, notes = compute("regression", y, predicted)
    assert notes == {}
    assert values == pytest.approx(
        {
            "mae": sk.mean_absolute_error(y, predicted),
            "rmse": sk.root_mean_squared_error(y, predicted),
            "r2": sk.r2_score(y, predicted),
            "pearson_r": stats.pearsonr(y, predicted).statistic,
        }
    )


def test_steps_are_the_counted_steps_pooled():
    rng = np.random.default_rng(1)
    y = rng.integers(-1, 3, size=(6, 20))
    proba = np.moveaxis(rng.dirichlet(np.ones(3), size=(6, 20)), -1, 1)
    keep = y != -1
    flat = np.moveaxis(proba, 1, -1)[keep]
    pooled = compute("classification", y[keep], proba=flat)[0]
    assert compute("steps", y, proba=proba)[0] == pytest.approx(pooled)
    assert compute("steps", y, proba.argmax(axis=1))[0]["accuracy"] == pytest.approx(pooled["accuracy"])
    correct, total = step_counts(y, proba.argmax(axis=1))
    assert total.tolist() == keep.sum(axis=1).tolist()
    assert correct.tolist() == ((proba.argmax(axis=1) == y) & keep).sum(axis=1).tolist()


@given(seed=st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_predictions_on_ignored_steps_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(-1, 3, size=(4, 12))
    predicted = rng.integers(0, 3, size=y.shape)
    other = np.where(y == -1, rng.integers(0, 3, size=y.shape), predicted)
    assert compute("steps", y, predicted, labels=range(3)) == compute("steps", y, other, labels=range(3))


@given(seed=st.integers(0, 2**16), k=st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_metrics_do_not_depend_on_the_order_of_samples_or_the_names_of_classes(seed, k):
    rng = np.random.default_rng(seed)
    y, proba = rng.integers(0, k, size=30), random_probabilities(rng, 30, k)
    order, names = rng.permutation(30), np.array(["rest", "left", "right", "feet"])[:k]
    values = compute("classification", y, proba=proba)[0]
    assert compute("classification", y[order], proba=proba[order])[0] == pytest.approx(values)
    assert compute("classification", names[y], proba=proba, labels=names.tolist())[0] == pytest.approx(values)


def test_decision_values_give_the_area_and_the_classes():
    y = np.array([0, 0, 1, 1, 1])
    decision = np.array([-1.0, 0.5, 0.5, 2.0, 3.0])
    values, notes = compute("classification", y, decision=decision)
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(y, decision))
    assert values["accuracy"] == pytest.approx(0.8)
    assert values["log_loss"] is None
    assert notes == {"log_loss": "needs probabilities", "brier": "needs probabilities"}


def test_one_class_in_the_truth_leaves_class_wise_metrics_undefined():
    values, notes = compute("classification", [1, 1, 1], proba=[0.9, 0.2, 0.6])
    assert values["accuracy"] == pytest.approx(2 / 3)
    for name in ("balanced_accuracy", "roc_auc", "f1_macro", "cohen_kappa"):
        assert values[name] is None
        assert notes[name] == "the true labels hold one class only"
    assert values["log_loss"] is not None


def test_a_class_that_was_not_tested_is_named_beside_the_area():
    y, proba = [0, 0, 1, 1], np.array([[0.6, 0.2, 0.2], [0.3, 0.5, 0.2], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2]])
    values, notes = compute("classification", y, proba=proba, labels=[0, 1, 2])
    by_hand = [sk.roc_auc_score(np.equal(y, c), proba[:, c]) for c in (0, 1)]
    assert values["roc_auc"] == pytest.approx(np.mean(by_hand))
    assert notes == {"roc_auc": "mean over the classes tested; no test sample of: 2"}


@pytest.mark.parametrize(
    ("y", "predicted", "undefined"),
    [
        ([5.0, 5.0, 5.0], [4.0, 5.0, 6.0], {"r2", "pearson_r"}),
        ([4.0, 5.0, 6.0], [5.0, 5.0, 5.0], {"pearson_r"}),
        ([4.0], [5.0], {"r2", "pearson_r"}),
    ],
)
def test_constant_values_leave_correlations_undefined(y, predicted, undefined):
    values, notes = compute("regression", y, predicted)
    assert {name for name, value in values.items() if value is None} == set(notes) == undefined
    assert np.isfinite([value for value in values.values() if value is not None]).all()


@given(case=cases)
@settings(max_examples=40, deadline=None)
def test_confusion_forms_equal_the_metric_itself(case):
    k, n, seed = case
    rng = np.random.default_rng(seed)
    y, predicted = rng.integers(0, k, size=n), rng.integers(0, k, size=n)
    outcome = make_outcome("classification", y, predicted, labels=range(k))
    assert np.array_equal(confusion(outcome), sk.confusion_matrix(y, predicted, labels=range(k)))
    for metric in METRICS.values():
        if metric.from_confusion:
            assert metric.from_confusion(confusion(outcome)) == pytest.approx(metric.function(outcome))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compute("clasification", [0], [0]), "did you mean 'classification'"),
        (lambda: compute("classification", [0, 1], [0, 1, 1]), r"y_pred has shape \(3,\) but y_true has \(2,\)"),
        (lambda: compute("classification", [0, 1]), "predictions are missing"),
        (lambda: compute("regression", [0.0, 1.0]), "regression needs y_pred"),
        (lambda: compute("regression", [0.0, 1.0], [np.nan, 1.0]), r"y_pred holds 1 value\(s\) that are NaN"),
        (lambda: compute("classification", [[0, 1]], [0]), "does not fit the task 'classification'"),
        (lambda: compute("steps", [0, 1], [0, 1]), "does not fit the task 'steps'"),
        (lambda: compute("classification", [], []), "does not fit"),
        (lambda: compute("classification", [0, 1], proba=[[2.0, -1.0], [0.5, 0.5]]), "proba at entry 0 .* softmax"),
        (lambda: compute("classification", [0, 1], proba=[[3.0, 1.0], [0.5, 0.5]]), "sum to one"),
        (lambda: compute("classification", [0, 1], proba=[[np.nan, 1.0], [0.5, 0.5]]), "NaN or infinite"),
        (lambda: compute("classification", [0, 2], proba=[[0.5, 0.5]] * 2), r"class 2, which is none of \[0, 1\]"),
        (lambda: compute("classification", ["a", "b"], ["a", "b"]), "labels is needed where y_true"),
        (lambda: compute("classification", [0, 1], proba=[[0.5, 0.5]] * 2, labels=[0, 1, 2]), "2 classes but labels"),
        (lambda: compute("classification", [0, 1], [0, 1], labels=[0, 0, 1]), "a class twice"),
        (lambda: compute("steps", [[-1, -1]], [[0, 1]]), "every step"),
        (lambda: compute("steps", [[0, 1]], proba=np.ones((1, 2))), r"must have shape \(1, classes, 2\)"),
        (lambda: metric_named("acuracy", "classification"), "did you mean 'accuracy'"),
        (lambda: metric_named("r2", "classification"), "metric 'r2' is for regression, the task is 'classification'"),
    ],
)
def test_misuse_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call()
