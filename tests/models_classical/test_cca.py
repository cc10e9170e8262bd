"""Canonical correlation against scikit-learn and SciPy's principal angles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from sklearn.cross_decomposition import CCA

from spikeneuro.errors import InputError
from spikeneuro.models.classical import CanonicalCorrelationClassifier
from spikeneuro.models.classical.cca import sine_reference

SFREQ, FREQUENCIES = 128.0, (13.0, 17.0, 21.0)


def flicker(n=9, n_chans=4, n_times=256, noise=1.0, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    t = np.arange(n_times) / SFREQ
    phase = random.uniform(0, 2 * np.pi, size=(n, n_chans, 1))
    wave = np.sin(2 * np.pi * np.array(FREQUENCIES)[y][:, None, None] * t + phase)
    return 1e-6 * (wave + noise * random.normal(size=(n, n_chans, n_times))), y


def centred(x):
    return (x - x.mean(axis=1, keepdims=True)).T


def test_equals_scikit_learn_and_principal_angles():
    X, y = flicker()
    found = CanonicalCorrelationClassifier(FREQUENCIES, SFREQ).fit(X, y).correlations(X)
    for i in range(len(X)):
        for k, frequency in enumerate(FREQUENCIES):
            reference = sine_reference(frequency, 2, X.shape[-1], SFREQ)
            angle = subspace_angles(centred(X[i]), centred(reference)).min()
            assert found[i, k] == pytest.approx(np.cos(angle), abs=1e-10)
            a, b = CCA(1, max_iter=5000, tol=1e-12).fit_transform(centred(X[i] * 1e6), reference.T)
            assert found[i, k] == pytest.approx(np.corrcoef(a[:, 0], b[:, 0])[0, 1], abs=1e-4)


def test_finds_the_flicker_in_noise():
    X, y = flicker(60, noise=2.0)
    model = CanonicalCorrelationClassifier(FREQUENCIES, SFREQ).fit(X)
    assert model.score(X, y) > 0.9
    np.testing.assert_array_equal(model.decision_function(X).argmax(axis=1), model.predict(X))
    assert not hasattr(model, "predict_proba")


@given(st.integers(0, 10_000))
def test_any_invertible_mixture_of_channels_gives_the_same(seed):
    X, _ = flicker(3)
    mixture = np.random.default_rng(seed).normal(size=(4, 4)) + 3 * np.eye(4)
    model = CanonicalCorrelationClassifier(FREQUENCIES, SFREQ).fit(X)
    np.testing.assert_allclose(model.correlations(mixture @ X), model.correlations(X), atol=1e-8)


def test_a_common_average_reference_adds_no_correlation():
    # Its channels are linearly dependent: a careless basis would hold a direction of rounding noise.
    X, _ = flicker(6)
    referenced = X - X.mean(axis=1, keepdims=True)
    model = CanonicalCorrelationClassifier(FREQUENCIES, SFREQ).fit(X)
    three = CanonicalCorrelationClassifier(FREQUENCIES, SFREQ).fit(referenced[:, :3])
    np.testing.assert_allclose(model.correlations(referenced), three.correlations(referenced[:, :3]), atol=1e-8)


def test_labels_follow_the_frequencies():
    X, y = flicker()
    names = np.array(["low", "middle", "high"])
    model = CanonicalCorrelationClassifier(FREQUENCIES, SFREQ, classes=names).fit(X, names[y])
    assert model.score(X, names[y]) == 1.0
    two = CanonicalCorrelationClassifier(FREQUENCIES[:2], SFREQ).fit(X[y < 2], y[y < 2])
    assert two.decision_function(X).shape == (9,)
    np.testing.assert_array_equal(two.decision_function(X) > 0, two.predict(X) == 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_harmonics": 4}, r"frequencies\[1\] must lie in \(0, 16\)"),
        ({"frequencies": (13.0,)}, "at least two different"),
        ({"frequencies": (13.0, 13.0)}, "at least two different"),
        ({"n_harmonics": 0}, "n_harmonics"),
        ({"sfreq": -1.0}, "sfreq"),
        ({"classes": (0, 1)}, "3 different labels"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    X, y = flicker()
    with pytest.raises(InputError, match=message):
        CanonicalCorrelationClassifier(**{"frequencies": FREQUENCIES, "sfreq": SFREQ} | options).fit(X, y)


def test_unusable_input_is_refused():
    X, y = flicker()
    model = CanonicalCorrelationClassifier(FREQUENCIES, SFREQ)
    with pytest.raises(InputError, match=r"y holds \[3\]"):
        model.fit(X, y + 1)
    with pytest.raises(InputError, match="any signal correlates perfectly"):
        model.fit(X[..., :8])
    with pytest.raises(InputError, match="any signal correlates perfectly"):
        model.fit(X.transpose(0, 2, 1))
    with pytest.raises(InputError, match="3 channels, but fit saw 4"):
        model.fit(X).predict(X[:, :3])
    X[1, 2] = 0
    with pytest.raises(InputError, match=r"X\[1\], channel 2 is constant"):
        model.predict(X)
