"""Scores over units, their intervals and comparisons, against literal loops."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from spikeneuro.errors import InputError
from spikeneuro.evaluation import (
    Predictions,
    average_units,
    compare,
    step_counts,
    summarise,
    unit_scores,
    unit_scores_over,
)
from spikeneuro.evaluation.statistics import bootstrap_interval, paired_permutation_test

SUBJECTS = np.repeat(["S1", "S2", "S3", "S4", "S5", "S6"], 10)


def trials(seed, skill=1.0, run=0, subjects=SUBJECTS):
    """Two classes in every subject; `skill` shifts the score of the right class."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], len(subjects) // 2)
    p = 1 / (1 + np.exp(-(skill * (2 * y - 1) + rng.normal(0, 1.5, size=len(y)))))
    return Predictions(subjects, y, proba=p, run=run)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_scores_inside_units_against_scikit_learn(seed):
    p = trials(seed)
    frame = pd.DataFrame({"unit": p.units, "y": p.y_true, "p": p.proba})
    functions = {
        "accuracy": lambda g: sk.accuracy_score(g.y, g.p > 0.5),
        "balanced_accuracy": lambda g: sk.balanced_accuracy_score(g.y, g.p > 0.5),
        "roc_auc": lambda g: sk.roc_auc_score(g.y, g.p),
        "brier": lambda g: sk.brier_score_loss(g.y, g.p),
    }
    for metric, function in functions.items():
        found = unit_scores(p, metric)
        expected = {unit: function(group) for unit, group in frame.groupby("unit")}
        assert dict(zip(found.units, found.scores, strict=True)) == pytest.approx(expected)
        assert set(found.sizes) == {10}


def test_a_sample_as_unit_is_right_or_wrong():
    found = unit_scores(Predictions(np.arange(4), [0, 1, 1, 0], [0, 1, 0, 0]))
    assert found.scores.tolist() == [1.0, 1.0, 0.0, 1.0]


def test_undefined_units_are_listed_and_not_counted():
    found = unit_scores(Predictions(list("aabb"), [0, 1, 1, 1], [0, 1, 1, 0]), "balanced_accuracy")
    assert found.units == ("a",)
    assert found.undefined == {"b": "the true labels hold one class only"}


def test_averaging_weighs_by_samples_so_that_folds_equal_the_whole():
    p = trials(0)
    cut = np.random.default_rng(1).integers(0, 3, size=60)
    folds = [unit_scores(Predictions(p.units[cut == k], p.y_true[cut == k], proba=p.proba[cut == k])) for k in range(3)]
    whole = unit_scores(p)
    joined = average_units(folds)
    assert joined.units == whole.units
    assert joined.scores == pytest.approx(whole.scores)


def test_estimate_is_the_mean_over_units_averaged_over_seeds():
    runs = [trials(seed, run=seed) for seed in range(3)]
    per_seed = np.array([[np.mean((p.proba > 0.5)[p.units == u] == p.y_true[p.units == u]) for u in np.unique(p.units)]
                         for p in runs])  # fmt: skip
    found = summarise(runs)
    interval = bootstrap_interval(per_seed.mean(axis=0))
    assert found.value == pytest.approx(per_seed.mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.n_units, found.method, found.note) == (6, "mean over units", "")


def test_more_seeds_do_not_make_more_units():
    """Ten copies of one result say no more about new subjects than one."""
    once, often = summarise([trials(0)]), summarise([trials(0, run=k) for k in range(10)])
    assert (once.value, once.low, once.high) == pytest.approx((often.value, often.low, often.high))


def test_comparison_is_the_paired_test_over_units():
    first, second = [trials(1, 1.5)], [trials(2, 0.3)]
    a, b = unit_scores(first[0]).scores, unit_scores(second[0]).scores
    expected = paired_permutation_test(a, b)
    found = compare(first, second)
    assert found.difference == pytest.approx((a - b).mean())
    assert found.p_value == pytest.approx(expected.p_value)
    assert found.method == "sign flips over units, exact"
    back = compare(second, first)
    assert (back.difference, back.p_value) == pytest.approx((-found.difference, found.p_value))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low), abs=0.01)


def test_units_tested_for_one_model_only_are_left_out_and_said():
    few = trials(1, subjects=SUBJECTS[:40])
    found = compare([few], [trials(2)])
    assert found.n_units == 4
    assert found.note == "2 unit(s) tested for one of the two only are left out"
    apart = Predictions(["X"] * 4, [0, 1, 0, 1], [0, 1, 0, 1])
    assert compare([apart], [few]).note == "the two models were tested on no common unit"


def test_a_metric_undefined_in_a_fold_of_a_unit_is_that_of_all_its_folds():
    """One fold all right, another of one class all wrong: the second must not vanish."""
    folds = [
        Predictions(["a"] * 4 + ["b"] * 4, [0, 1, 0, 1] * 2, [0, 1, 0, 1] * 2),
        Predictions(["a"] * 4 + ["b"] * 4, [1, 1, 1, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 0, 0, 1]),
    ]
    found = unit_scores_over(folds, "balanced_accuracy")
    expected = [
        sk.balanced_accuracy_score([0, 1, 0, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 0, 0, 0]),
        sk.balanced_accuracy_score([0, 1] * 4, [0, 1, 0, 1, 1, 0, 0, 1]),
    ]
    assert found.scores == pytest.approx(expected)
    assert summarise(folds, "balanced_accuracy").value == pytest.approx(np.mean(expected))


def test_a_unit_undefined_in_one_run_is_not_judged_by_the_others():
    varied = Predictions(["a"] * 4 + ["b"] * 4, np.arange(8.0), np.arange(8.0) ** 2, run=0)
    constant = Predictions(["a"] * 4 + ["b"] * 4, np.arange(8.0), np.r_[np.ones(4), np.arange(4.0)], run=1)
    found = unit_scores_over([varied, constant], "pearson_r", "regression")
    assert (found.units, list(found.undefined)) == (("b",), ["a"])


def test_folds_without_the_last_class_know_it_all_the_same():
    folds = [
        Predictions(list("ab"), [0, 1], [0, 1], n_classes=3),
        Predictions(list("ab"), [2, 1], [1, 1], n_classes=3),
    ]
    found = summarise(folds, "balanced_accuracy")
    assert found.value == pytest.approx(sk.balanced_accuracy_score([0, 1, 2, 1], [0, 1, 1, 1]))


@pytest.mark.parametrize(("predicted", "value"), [(1, 1.0), (0, 0.0)])
def test_units_all_right_or_all_wrong_have_wilsons_interval(predicted, value):
    found = summarise([Predictions(np.arange(20), np.ones(20, int), np.full(20, predicted))])
    share = 1 / (1 + 20 / 3.8414588)  # z^2 / (n + z^2): the far limit where all trials agree
    assert (found.low, found.high) == pytest.approx((1 - share, 1.0) if value else (0.0, share))
    assert found.note.endswith("so the interval is Wilson's")


def test_no_interval_has_no_width():
    half = Predictions(SUBJECTS, np.tile([0, 1], 30), np.zeros(60, int))
    found = summarise([half])
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.note == "all units score the same, so no interval"
    same = compare([trials(0)], [trials(0)])
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, None, None, 1.0)
    assert same.note == "the difference is the same in all units, so it has no interval"
    right = one_class_units(0, 1.0)
    pooled = summarise([right], "balanced_accuracy")
    assert (pooled.value, pooled.low) == (1.0, None)
    assert "equal in every resample, so no interval" in pooled.note


# Units of one class: the metric of all samples together


def one_class_units(seed, skill, run=0, n_units=8):
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(n_units), 5)
    y = units % 2
    predicted = np.where(rng.random(len(y)) < skill, y, 1 - y)
    return Predictions(units, y, predicted, run=run)


def test_pooled_score_and_bootstrap_against_a_literal_loop():
    p = one_class_units(0, 0.7)
    found = summarise([p], "balanced_accuracy", n_resamples=2000)
    assert found.value == pytest.approx(sk.balanced_accuracy_score(p.y_true, p.y_pred))
    assert found.method == "all samples together"
    assert found.note.startswith("not defined inside 8 unit(s), e.g. 0: the true labels hold one class only")
    rng = np.random.default_rng(5)
    drawn = []
    while len(drawn) < 3000:
        rows = np.concatenate([np.flatnonzero(p.units == u) for u in rng.integers(0, 8, size=8)])
        right, ones = p.y_true[rows] == p.y_pred[rows], p.y_true[rows] == 1
        if 0 < ones.sum() < len(rows):
            drawn.append((right[ones].mean() + right[~ones].mean()) / 2)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.03)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc", "f1_macro"])
def test_pooled_test_against_all_exchanges(metric):
    a, b = one_class_units(1, 0.9), one_class_units(2, 0.6)
    first = Predictions(a.units, a.y_true, proba=np.where(a.y_pred == 1, 0.8, 0.3))
    second = Predictions(b.units, b.y_true, proba=np.where(b.y_pred == 1, 0.6, 0.1))
    score = {
        "balanced_accuracy": lambda q: sk.balanced_accuracy_score(a.y_true, q > 0.5),
        "roc_auc": lambda q: sk.roc_auc_score(a.y_true, q),
        "f1_macro": lambda q: sk.f1_score(a.y_true, q > 0.5, average="macro"),
    }[metric]
    differences = []
    for swap in itertools.product([False, True], repeat=8):
        exchanged = np.array(swap)[a.units]
        x = np.where(exchanged, second.proba, first.proba)
        y = np.where(exchanged, first.proba, second.proba)
        differences.append(score(x) - score(y))
    expected = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9)
    found = compare([first], [second], metric)
    assert found.difference == pytest.approx(differences[0])
    assert found.p_value == pytest.approx(expected)
    assert found.method == "exchange of whole units, exact"
    assert found.low < found.difference < found.high


def test_pooled_runs_are_averaged_and_paired():
    first = [one_class_units(k, 0.8, run=k) for k in range(3)]
    second = [one_class_units(k + 9, 0.8, run=k) for k in range(2)]
    value = summarise(first, "balanced_accuracy").value
    assert value == pytest.approx(np.mean([sk.balanced_accuracy_score(p.y_true, p.y_pred) for p in first]))
    found = compare(first, second, "balanced_accuracy")
    assert "1 run(s) of one model only are left out" in found.note
    other = [one_class_units(3, 0.8, run="x")]
    assert "share no run" in compare(first, other, "balanced_accuracy").note


def test_pooled_test_keeps_its_level():
    p = [
        compare([one_class_units(2 * k, 0.7)], [one_class_units(2 * k + 1, 0.7)], "balanced_accuracy", n_resamples=256)
        .p_value
        for k in range(100)
    ]  # fmt: skip
    assert np.mean(np.array(p) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 100)


def test_regression_with_one_sample_per_unit_is_pooled():
    rng = np.random.default_rng(0)
    y = rng.normal(size=30)
    good, bad = (Predictions(np.arange(30), y, y + rng.normal(0, s, size=30)) for s in (0.3, 1.5))
    found = summarise([good], "r2", "regression")
    assert found.value == pytest.approx(sk.r2_score(y, good.y_pred))
    assert found.low < found.value < found.high
    difference = compare([good], [bad], "r2", "regression", n_resamples=199)
    assert difference.p_value < 0.05
    assert difference.method == "exchange of whole units, Monte Carlo, 199 draws"
    assert compare([good], [bad], "mae", "regression").method.startswith("sign flips over units")


def test_confusion_counts_stand_for_the_steps_they_count():
    rng = np.random.default_rng(0)
    y = rng.integers(-1, 3, size=(8, 25))
    predicted = np.where(rng.random(y.shape) < 0.6, np.maximum(y, 0), rng.integers(0, 3, size=y.shape))
    counts = np.stack(
        [sk.confusion_matrix(t[t >= 0], q[t >= 0], labels=range(3)) for t, q in zip(y, predicted, strict=True)]
    )
    units = list("aabbccdd")
    steps, counted = Predictions(units, y, predicted), Predictions(units, confusion=counts)
    for metric in ("accuracy", "balanced_accuracy", "cohen_kappa"):
        a, b = unit_scores(steps, metric, "steps"), unit_scores(counted, metric, "steps")
        assert a.units == b.units
        assert a.scores == pytest.approx(b.scores)
    correct, total = step_counts(y, predicted)
    expected = correct.reshape(4, 2).sum(axis=1) / total.reshape(4, 2).sum(axis=1)
    assert unit_scores(counted, "accuracy", "steps").scores == pytest.approx(expected)


def test_one_unit_gives_a_score_without_interval_or_test():
    p = Predictions(["S1"] * 4, [0, 1, 0, 1], [0, 1, 1, 1])
    found = summarise([p])
    assert (found.value, found.low, found.high) == (0.75, None, None)
    assert found.note == "one unit only, so no interval"
    both = compare([p], [p])
    assert (both.difference, both.p_value) == (0.0, None)
    one_class = Predictions(["S1"] * 2, [1, 1], [1, 0])
    assert summarise([one_class], "balanced_accuracy").value is None
    assert "undefined for all samples together too" in compare([one_class], [one_class], "balanced_accuracy").note


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: summarise([]), "no predictions"),
        (lambda: average_units([]), "no scores"),
        (lambda: unit_scores(Predictions(["a"], [0, 1], [0, 1])), r"units must have one entry per sample \(2\)"),
        (lambda: summarise([trials(0)], "auc"), "metric='auc' is unknown"),
        (lambda: summarise([trials(0)], confidence=1.0), "confidence must lie"),
        (lambda: unit_scores(Predictions(["a"], confusion=np.zeros((1, 2, 2), int))), "counts nothing"),
        (lambda: unit_scores(Predictions(["a"], confusion=np.zeros((1, 2, 3)))), r"shape \(n, k, k\)"),
        (
            lambda: summarise(
                [Predictions(["a", "a"], [0, 0], [0, 0]), Predictions(["a", "a"], [2, 2], [2, 2])], "balanced_accuracy"
            ),
            "differ in their number of classes; give labels",
        ),
    ],
)
def test_misuse_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call()
