"""Spatial patterns, tangent vectors and alignment against the linear algebra that defines them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigh, logm, sqrtm

from spikeneuro.errors import InputError
from spikeneuro.models.classical import CommonSpatialPatterns, TangentVectors, transductive_euclidean_alignment


def two_classes(n=30, n_chans=4, n_times=300, unit=1e-5, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    sources = random.normal(size=(n, n_chans, n_times))
    sources[y == 0, 0] *= 2
    sources[y == 1, 1] *= 2
    return unit * (random.normal(size=(n_chans, n_chans)) @ sources), y


def test_filters_solve_the_generalised_eigenproblem():
    X, y = two_classes()
    model = CommonSpatialPatterns(2, reg="empirical").fit(X, y)
    # MNE subtracts the mean of each class before the covariance.
    covariances = [np.cov(np.concatenate(list(X[y == k]), axis=1)) for k in (0, 1)]
    values, vectors = eigh(covariances[0], covariances[0] + covariances[1])
    extreme = vectors[:, np.argsort(np.abs(values - 0.5))[::-1][:2]]
    for w, f in zip(extreme.T, model.csp_.filters_[:2], strict=True):
        assert abs(w @ f) / np.linalg.norm(w) / np.linalg.norm(f) == pytest.approx(1, abs=1e-4)
    features = model.transform(X)
    by_hand = np.log(np.mean((model.csp_.filters_[:2] @ X / model.scale_) ** 2, axis=-1))
    np.testing.assert_allclose(features, by_hand, rtol=1e-9)


@pytest.mark.parametrize("transformer", [CommonSpatialPatterns(), TangentVectors()], ids=repr)
def test_volts_and_microvolts_give_the_same(transformer):
    X, y = two_classes()
    volts, microvolts = transformer.fit_transform(X, y), transformer.fit_transform(1e6 * X, y)
    np.testing.assert_allclose(volts, microvolts, atol=1e-6)


def test_an_average_reference_is_no_obstacle():
    X, y = two_classes()
    referenced = X - X.mean(axis=1, keepdims=True)
    for transformer in (CommonSpatialPatterns(2), TangentVectors()):
        assert np.isfinite(transformer.fit_transform(referenced, y)).all()


def test_several_classes():
    X, _ = two_classes()
    assert CommonSpatialPatterns(3).fit_transform(X, np.arange(30) % 3).shape == (30, 3)


def test_tangent_vectors_equal_their_definition():
    pytest.importorskip("pyriemann")
    X, _ = two_classes(6, unit=1.0)
    model = TangentVectors("scm").fit(X)
    mean = model.tangent_.reference_
    root = np.linalg.inv(sqrtm(mean))
    rows, columns = np.triu_indices(4)
    weight = np.where(rows == columns, 1, np.sqrt(2))
    found = model.transform(X)
    for i, x in enumerate(X / model.scale_):
        x = x - x.mean(axis=1, keepdims=True)
        # pyRiemann's sample covariance centres the signals.
        logarithm = logm(root @ np.cov(x, bias=True) @ root).real
        np.testing.assert_allclose(found[i], weight * logarithm[rows, columns], atol=0.02)
    # The Riemannian mean is where tangent vectors sum to zero.
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)


def test_unusable_input_is_refused():
    X, y = two_classes()
    with pytest.raises(InputError, match="only 1 class"):
        CommonSpatialPatterns().fit(X, np.zeros(30, int))
    with pytest.raises(InputError, match=r"n_components must lie in \[1, 4\]"):
        CommonSpatialPatterns(5).fit(X, y)
    with pytest.raises(InputError, match="did you mean 'ledoit_wolf'"):
        CommonSpatialPatterns(reg="ledoit-wolf").fit(X, y)
    with pytest.raises(InputError, match="reg must lie"):
        CommonSpatialPatterns(reg=1.5).fit(X, y)
    with pytest.raises(InputError, match="30 samples but y has 29"):
        CommonSpatialPatterns().fit(X, y[1:])
    with pytest.raises(InputError, match="is singular"):
        TangentVectors("scm").fit(X[..., :3])
    with pytest.raises(InputError, match="3 channels, but fit saw 4"):
        TangentVectors().fit(X).transform(X[:, :3])
    X[4, 2] = 1.0
    for transformer in (CommonSpatialPatterns(), TangentVectors()):
        with pytest.raises(InputError, match=r"X\[4\], channel 2 is constant"):
            transformer.fit(X, y)


def mean_covariance(X):
    return np.einsum("nct,ndt->cd", X, X) / (len(X) * X.shape[-1])


def test_alignment_whitens_every_group_by_itself():
    X, _ = two_classes(12)
    groups = np.repeat(["a", "b", "c"], 4)
    aligned = transductive_euclidean_alignment(X, groups)
    for group in "abc":
        np.testing.assert_allclose(mean_covariance(aligned[groups == group]), np.eye(4), atol=1e-8)
    alone = transductive_euclidean_alignment(X[groups == "b"], groups[groups == "b"])
    np.testing.assert_allclose(aligned[groups == "b"], alone, atol=1e-10)


@given(st.integers(0, 10_000))
def test_alignment_removes_any_mixing_up_to_a_rotation(seed):
    X, _ = two_classes(4, unit=1.0)
    mixing = np.random.default_rng(seed).normal(size=(4, 4)) + 2 * np.eye(4)
    a, b = (transductive_euclidean_alignment(Z, np.zeros(4)) for Z in (X, mixing @ X))
    rotation = np.linalg.lstsq(a[0].T, b[0].T, rcond=None)[0].T
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(rotation @ a[1], b[1], atol=1e-5)


def test_alignment_of_dependent_channels_stays_in_their_space():
    X, _ = two_classes(6)
    referenced = X - X.mean(axis=1, keepdims=True)
    aligned = transductive_euclidean_alignment(referenced, np.zeros(6))
    projection = np.eye(4) - 0.25
    np.testing.assert_allclose(mean_covariance(aligned), projection, atol=1e-7)


def test_alignment_refuses_what_it_cannot_use():
    X, _ = two_classes(4)
    with pytest.raises(InputError, match="one entry for each of the 4"):
        transductive_euclidean_alignment(X, ["a"])
    X[1, 0] = 0
    with pytest.raises(InputError, match=r"X\[1\], channel 0 is constant"):
        transductive_euclidean_alignment(X, ["a"] * 4)
