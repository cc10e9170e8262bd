"""Leaky traces against a plain loop, and the step classifier against its parts put together by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.classical import LeakyTraces, TraceClassifier

TAUS = (0.02, 0.1)


def events(n=12, n_chans=3, n_times=80, seed=0):
    random = np.random.default_rng(seed)
    X = (random.random((n, n_chans, n_times)) < 0.15).astype(np.float32)
    memory = np.cumsum(X[:, 0], axis=1) % 3
    y = memory.astype(int)
    y[random.random(y.shape) < 0.1] = -1
    return X, y


def test_traces_equal_a_loop():
    X, _ = events(2)
    traces = LeakyTraces(100.0, TAUS).fit_transform(X.astype(float))
    for k, tau in enumerate(TAUS):
        state = np.zeros((2, 3))
        for t in range(X.shape[-1]):
            state = np.exp(-0.01 / tau) * state + X[:, :, t]
            np.testing.assert_allclose(traces[:, 3 * k : 3 * k + 3, t], state, atol=1e-12)


@given(st.integers(1, 79))
def test_the_future_does_not_reach_the_past(cut):
    X, _ = events(4)
    changed = X.copy()
    changed[..., cut:] = 1 - changed[..., cut:]
    traces = LeakyTraces(100.0, TAUS).fit(X)
    np.testing.assert_array_equal(traces.transform(X)[..., :cut], traces.transform(changed)[..., :cut])


def test_classifier_equals_its_parts():
    X, y = events()
    model = TraceClassifier(100.0, TAUS).fit(X, y)
    steps = LeakyTraces(100.0, TAUS).fit_transform(X.astype(float)).transpose(0, 2, 1).reshape(-1, 6)
    labelled = y.ravel() >= 0
    scaler = StandardScaler().fit(steps[labelled])
    oracle = LogisticRegression(max_iter=500).fit(scaler.transform(steps[labelled]), y.ravel()[labelled])
    expected = oracle.predict_proba(scaler.transform(steps)).reshape(12, 80, 3).transpose(0, 2, 1)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-3)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, atol=1e-6)
    right = (model.predict(X) == y)[y >= 0]
    assert model.score(X, y) == pytest.approx(right.mean())


def test_unlabelled_steps_do_not_count():
    X, y = events()
    other = X.copy()
    # The last steps have no future: when they have no label, their events change nothing.
    y[:, -5:] = -1
    other[..., -5:] = 1 - other[..., -5:]
    a, b = TraceClassifier(100.0, TAUS).fit(X, y), TraceClassifier(100.0, TAUS).fit(other, y)
    np.testing.assert_array_equal(a.model_.coef_, b.model_.coef_)


def test_drawn_steps_depend_on_the_seed_alone():
    X, y = events()
    one, same, other = (
        TraceClassifier(100.0, TAUS, max_steps=200, random_state=seed).fit(X, y).model_.coef_ for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-6


def test_learns_what_the_memory_holds():
    random = np.random.default_rng(0)
    X = (random.random((20, 1, 200)) < 0.05).astype(float)
    recent = LeakyTraces(100.0, (0.05,)).fit_transform(X)[:, 0] > 0.5
    model = create("trace-lr", n_chans=1, n_times=200, n_outputs=2, sfreq=100.0, time_constants=(0.05, 0.5))
    assert clone(model).fit(X[:10], recent[:10].astype(int)).score(X[10:], recent[10:].astype(int)) > 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y[:, :-1]), r"one integer per time step .* shape \(12, 80\)"),
        (lambda X, y: (X, y[:, 0]), "one integer per time step"),
        (lambda X, y: (X, y.astype(float)), "one integer per time step"),
        (lambda X, y: (X, np.where(y > 0, -1, y)), r"hold only \[0\]"),
        (lambda X, y: (X, np.full_like(y, -1)), r"hold only \[\]"),
        (lambda X, y: (np.where(X > 0, np.nan, X), y), "NaN"),
    ],
)
def test_unusable_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        TraceClassifier(100.0, TAUS).fit(*change(*events()))


def test_impossible_settings_are_refused():
    X, y = events()
    for options in ({"time_constants": ()}, {"time_constants": (0.1, 0.0)}, {"sfreq": 0.0}):
        with pytest.raises(InputError, match="time_constants|sfreq"):
            TraceClassifier(**{"sfreq": 100.0} | options).fit(X, y)
    with pytest.raises(InputError, match="3 channels|2 channels, but fit saw 3"):
        TraceClassifier(100.0).fit(X, y).predict(X[:, :2])
    with pytest.raises(InputError, match="labels no step"):
        TraceClassifier(100.0).fit(X, y).score(X, np.full_like(y, -1))
    with pytest.raises(InputError, match="task"):
        create("trace-lr", task="classification")
