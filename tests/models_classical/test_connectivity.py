"""Connectivity against NumPy and nilearn, and its guards."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.connectome import ConnectivityMeasure

from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.classical import Connectivity
from spikeneuro.models.classical.connectivity import correlation


def recordings(lengths=(78, 116, 316, 200), n_regions=5, seed=0):
    random = np.random.default_rng(seed)
    X = np.empty(len(lengths), dtype=object)
    for i, length in enumerate(lengths):
        X[i] = random.normal(size=(n_regions, n_regions)) @ random.normal(size=(n_regions, length))
    return X


def test_correlation_equals_numpy():
    x = recordings()[0]
    np.testing.assert_allclose(correlation(x), np.corrcoef(x), atol=1e-12)


def test_equals_nilearn_on_equal_and_different_lengths():
    X = recordings()
    measure = ConnectivityMeasure(kind="correlation", vectorize=True, discard_diagonal=True, standardize=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # nilearn shrinks its covariance by default; the sample covariance is what correlation means here.
        from sklearn.covariance import EmpiricalCovariance

        measure.set_params(cov_estimator=EmpiricalCovariance())
        lower = measure.fit_transform([x.T for x in X])
    rows, columns = np.tril_indices(5, k=-1)
    matrix = np.zeros((len(X), 5, 5))
    matrix[:, rows, columns] = lower
    upper = matrix.transpose(0, 2, 1)[:, *np.triu_indices(5, k=1)]
    np.testing.assert_allclose(Connectivity("correlation").fit_transform(X), upper, atol=1e-10)
    np.testing.assert_allclose(Connectivity().fit_transform(X), np.arctanh(upper), atol=1e-9)


def test_a_region_without_coverage_correlates_with_none():
    X = np.stack(list(recordings((50, 50))))
    X[1, 3] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = Connectivity().fit_transform(X)
    names = Connectivity().fit(X).get_feature_names_out(["a", "b", "c", "d", "e"])
    of_region = np.array(["d" in name for name in names])
    assert of_region.sum() == 4
    assert (features[1, of_region] == 0).all()
    assert (features[1, ~of_region] != 0).all()
    assert np.isfinite(features).all()


def test_equal_series_stay_finite():
    X = np.repeat(np.random.default_rng(0).normal(size=(2, 1, 30)), 3, axis=1)
    assert np.isfinite(Connectivity().fit_transform(X)).all()


@given(st.sampled_from([1e-12, 1e-6, 1.0, 1e6]), st.floats(-1e3, 1e3))
def test_unit_and_offset_do_not_matter(unit, offset):
    X = np.stack(list(recordings((40, 40))))
    np.testing.assert_allclose(
        Connectivity().fit_transform(unit * (X + offset)), Connectivity().fit_transform(X), atol=1e-7
    )


def test_length_never_reaches_the_features():
    X = recordings((60, 60))
    doubled = np.empty(2, dtype=object)
    for i in range(2):
        doubled[i] = np.concatenate([X[i], X[i]], axis=1)
    np.testing.assert_allclose(Connectivity().fit_transform(doubled), Connectivity().fit_transform(X), atol=1e-9)


def test_unusable_input_is_refused():
    X = recordings()
    model = Connectivity().fit(X)
    with pytest.raises(InputError, match=r"X\[0\] has 4 regions, but fit saw 5"):
        model.transform([x[:4] for x in X])
    with pytest.raises(InputError, match=r"X\[0\] has 2 time points"):
        model.transform([x[:, :2] for x in X])
    with pytest.raises(InputError, match="at least two regions"):
        Connectivity().fit([x[:1] for x in X])
    with pytest.raises(InputError, match=r"must have shape \(regions, times\)"):
        Connectivity().fit([x[0] for x in X])
    with pytest.raises(InputError, match="did you mean 'fisher-z'"):
        Connectivity("fisher").fit(X)
    X[2][1, 7] = np.inf
    with pytest.raises(InputError, match=r"X\[2\] holds 1 value"):
        model.transform(X)


@pytest.mark.parametrize("name", ["connectivity-ridge", "connectivity-svm"])
def test_pipelines_take_recordings_of_different_lengths(name):
    random = np.random.default_rng(3)
    y = np.arange(40) % 2
    X = np.empty(40, dtype=object)
    for i in range(40):
        X[i] = random.normal(size=(4, int(random.integers(78, 316))))
        X[i][1] += (2 * y[i] - 0.5) * X[i][0]
    model = create(name, n_chans=4, n_outputs=2).fit(X[:30], y[:30])
    assert model.score(X[30:], y[30:]) >= 0.9
    assert not hasattr(model, "predict_proba")
    assert model.decision_function(X[30:]).shape == (10,)
    ages = create(name, n_chans=4, task="regression").fit(X, y.astype(float))
    assert ages.predict(X).shape == (40,)
