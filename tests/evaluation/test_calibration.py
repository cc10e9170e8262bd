"""Calibration against scikit-learn's curve, a literal loop over bins, closed forms and logistic regression."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from spikeneuro.errors import InputError
from spikeneuro.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)


@given(seed=st.integers(0, 2**16), n=st.integers(2, 200), strategy=st.sampled_from(["uniform", "quantile"]))
@settings(max_examples=60, deadline=None)
def test_curve_against_scikit_learn(seed, n, strategy):
    # Samples on the edge of a bin only where edges are exact: rounding decides between quantiles, and with one sample
    # more than a multiple of five some quantiles are samples.
    assume(strategy == "uniform" or (n - 1) % 5)
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(n), 2) if strategy == "uniform" else rng.random(n)
    event = (rng.random(n) < p).astype(int)
    event[:2] = 0, 1
    curve = reliability_curve(event, p, n_bins=10, strategy=strategy)
    frequency, confidence = calibration_curve(event, p, n_bins=10, strategy=strategy)
    assert curve.frequency == pytest.approx(frequency)
    assert curve.confidence == pytest.approx(confidence)
    assert curve.count.sum() == n


def test_error_against_a_literal_loop_over_bins():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), size=300)
    y = rng.integers(0, 3, size=300)
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == y
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15 + 1e-15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(y, proba) == pytest.approx(expected)


def test_equal_mass_bins_hold_equally_many():
    rng = np.random.default_rng(0)
    p = rng.beta(8, 2, size=1000)
    assert set(reliability_curve(rng.random(1000) < p, p, 10, "quantile").count) == {100}


def test_perfect_and_worst_calibration():
    assert expected_calibration_error([0, 1, 2], np.eye(3)) == 0.0
    assert expected_calibration_error([1, 2, 0], np.eye(3)) == 1.0
    assert expected_calibration_error(np.array([[0, -1]]), np.eye(2)[None]) == 0.0


def test_error_of_a_calibrated_forecast_shrinks_with_the_sample():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    assert reliability_curve(rng.random(200_000) < p, p).error < 0.01


def test_brier_of_two_classes():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, size=50), rng.random(50)
    assert brier_score(y, np.stack([1 - p, p], axis=1)) == pytest.approx(brier_score_loss(y, p))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_is_recovered(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, size=(40_000, 3))
    chance = softmax(logits / temperature, axis=1).cumsum(axis=1)
    y = (rng.random((len(logits), 1)) > chance[:, :-1]).sum(axis=1)
    found = fit_temperature(logits, y)
    assert found.value == pytest.approx(temperature, rel=0.03)
    assert not found.on_bound


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_temperature_is_the_best_of_a_grid_and_never_changes_the_class(seed):
    rng = np.random.default_rng(seed)
    logits, y = rng.normal(0, 3, size=(60, 4)), rng.integers(0, 4, size=60)
    found = fit_temperature(logits, y)
    temperatures = np.geomspace(0.05, 20, 60)
    grid = log_softmax(logits / temperatures[:, None, None], axis=-1)[:, np.arange(60), y]
    best = log_softmax(logits / found.value, axis=1)[np.arange(60), y]
    assert best.mean() >= grid.mean(axis=1).max() - 1e-8
    assert np.array_equal(found.apply(logits).argmax(axis=1), logits.argmax(axis=1))


def test_an_undetermined_temperature_is_flagged():
    assert fit_temperature([[2.0, 0.0], [0.0, 2.0]], [0, 1]).on_bound
    assert fit_temperature([[2.0, 0.0], [0.0, 2.0]], [1, 0]).on_bound


def test_temperature_of_step_labels_ignores_the_mask():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(4, 3, 50)), rng.integers(0, 3, size=(4, 50))
    masked = np.where(rng.random(y.shape) < 0.3, -1, y)
    flat = np.moveaxis(logits, 1, -1)[masked != -1]
    assert fit_temperature(logits, masked).value == pytest.approx(fit_temperature(flat, y[masked != -1]).value)
    assert fit_temperature(logits, masked).apply(logits).sum(axis=1) == pytest.approx(np.ones((4, 50)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability_curve([1, 0], [0.5]), "of one length"),
        (lambda: reliability_curve([1, 0], [0.5, 1.5]), r"lie in \[0, 1\]"),
        (lambda: reliability_curve([1, 0], [0.5, np.nan]), "NaN"),
        (lambda: reliability_curve([1, 0], [0.5, 0.5], strategy="equal"), "strategy='equal' is unknown"),
        (lambda: reliability_curve([1, 0], [0.5, 0.5], n_bins=0), "n_bins must lie in"),
        (lambda: expected_calibration_error([0, 1], [[2.0, 1.0], [0.0, 3.0]]), "apply a softmax"),
        (lambda: fit_temperature([[1.0, np.inf]], [0]), "decision holds 1 value"),
        (lambda: fit_temperature([[1.0, 0.0]], [0], bounds=(2.0, 1.0)), r"bounds\[1\] must lie"),
    ],
)
def test_misuse_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call()
