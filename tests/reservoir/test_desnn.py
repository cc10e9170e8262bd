"""deSNN against the rule in a loop over time, the published test value, neighbours by hand, and users' mistakes."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from spikeneuro.errors import InputError
from spikeneuro.reservoir import DeSNN, DeSNNRegressor, first_spike_ranks
from spikeneuro.reservoir.ranks import FirstSpikes
from spikeneuro.reservoir.votes import VOTES, neighbour_votes

trains = hnp.arrays(bool, (3, 8, 5), elements=st.sampled_from([True, False, False, False]))


def plain_weights(sample, mod, up, down, alpha, first_rank):
    """Weights of one sample by the book: a loop over time, ties by the number that fired before."""
    weights, fired_before = [None] * sample.shape[1], 0
    for spikes in sample:
        new = 0
        for j, spike in enumerate(spikes):
            if weights[j] is None:
                if spike:
                    weights[j] = alpha * mod ** (fired_before + first_rank)
                    new += 1
            else:
                weights[j] += up if spike else -down
        fired_before += new
    return [0.0 if w is None else w for w in weights]


def plain_race(train_weights, sample, mod, thresholds):
    """Index of the output neuron that fires first, None if none does: one step of time after the other."""
    potential, seen, fired_before = np.zeros(len(train_weights)), set(), 0
    for spikes in sample:
        new = [j for j, spike in enumerate(spikes) if spike and j not in seen]
        for j in new:
            potential += mod**fired_before * train_weights[:, j]
        fired_before += len(new)
        seen.update(new)
        reached = [i for i in range(len(potential)) if thresholds[i] > 0 and potential[i] >= thresholds[i] * (1 - 1e-9)]
        if reached:
            return max(reached, key=lambda i: potential[i] / thresholds[i])
    return None


def planted(n, seed, noise=0.05, neurons=12, steps=30):
    """Two classes that differ in the order in which their neurons begin to fire."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    order = np.stack([np.arange(neurons), np.arange(neurons)[::-1]])
    X = np.zeros((n, steps, neurons), dtype=np.uint8)
    for sample, label in zip(X, y, strict=True):
        begin = np.clip(2 * order[label] + rng.integers(0, 3, neurons), 0, steps - 1)
        sample[begin, np.arange(neurons)] = 1
    X |= (rng.random(X.shape) < noise).astype(np.uint8)
    return X, np.array(["forward", "backward"])[y]


def test_published_value():
    """First spikes in the order 2, 0, 1 with m = 0.8: weights .8, .64, 1, largest potential 2.0496."""
    sample = np.zeros((2, 6, 3))
    sample[0, [1, 2, 3], [2, 0, 1]] = 1
    sample[1, 0, 0] = 1
    readout = DeSNN(drift_up=0, drift_down=0, mod=0.8, n_neighbors=1).fit(sample, [0, 1])
    assert readout.weights_[0].tolist() == pytest.approx([0.8, 0.64, 1.0], abs=1e-12)
    assert readout.psp_max_[0] == pytest.approx(2.0496, abs=1e-12)
    from_one = DeSNN(drift_up=0, drift_down=0, first_rank=1, n_neighbors=1).fit(sample, [0, 1])
    assert from_one.weights_[0].tolist() == pytest.approx([0.64, 0.512, 0.8], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(trains, st.floats(0.1, 0.9), st.floats(0, 0.1), st.floats(0, 0.1), st.sampled_from([0, 1]))
def test_weights_are_the_rule_in_a_loop(X, mod, up, down, first_rank):
    X[:, 0, 0] = True  # a readout refuses data without a spike
    readout = DeSNN(mod=mod, drift_up=up, drift_down=down, alpha=1.5, first_rank=first_rank, n_neighbors=1)
    readout.fit(X, [0, 1, 1])
    expected = [plain_weights(sample, mod, up, down, 1.5, first_rank) for sample in X]
    np.testing.assert_allclose(readout.weights_, expected, atol=1e-12)
    np.testing.assert_allclose(readout.transform(X), expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int64, (4, 7), elements=st.integers(0, 9)))
def test_ranks_are_scipys(first):
    names = {"min": "min", "dense": "dense", "average": "average", "index": "ordinal"}
    for ours, theirs in names.items():
        ranks = first_spike_ranks(first, 9, ours)
        for row, times in zip(ranks, first, strict=True):
            expected = rankdata(times, method=theirs) - 1  # silent neurons come last and change nothing before them
            assert row[times < 9].tolist() == expected[times < 9].tolist()
            assert np.isinf(row[times == 9]).all()


@pytest.mark.parametrize("ties", ["min", "dense", "average"])
def test_ties_do_not_depend_on_the_numbering_of_neurons(ties):
    X, y = planted(20, 0, noise=0.2)
    order = np.random.default_rng(1).permutation(X.shape[2])
    one, other = DeSNN(ties=ties).fit(X, y), DeSNN(ties=ties).fit(X[:, :, order], y)
    np.testing.assert_array_equal(one.weights_[:, order], other.weights_)


def test_silent_neurons_have_weight_zero_not_the_best_rank():
    X = np.zeros((2, 5, 3))
    X[0, 4, 0] = X[1, 0, 1] = 1
    weights = DeSNN(n_neighbors=1).fit(X, [0, 1]).weights_
    assert weights[0, 1:].tolist() == [0, 0]
    assert weights[1, [0, 2]].tolist() == [0, 0]
    assert weights[0, 0] == 1.0


def test_static_form_is_nearest_neighbours_on_the_weights():
    """With equal votes scikit-learn's neighbours give the same shares; with one neighbour every vote does."""
    (X, y), (Z, _) = planted(40, 2, noise=0.1), planted(25, 3, noise=0.1)
    for k in (1, 3, 7):
        ours = DeSNN(vote="uniform", n_neighbors=k).fit(X, y)
        theirs = KNeighborsClassifier(k).fit(ours.weights_, y)
        np.testing.assert_allclose(ours.predict_proba(Z), theirs.predict_proba(ours.transform(Z)), atol=1e-12)
    target = np.arange(40.0)
    regressor = DeSNNRegressor(vote="uniform", n_neighbors=4).fit(X, target)
    theirs = KNeighborsRegressor(4).fit(regressor.weights_, target)
    np.testing.assert_allclose(regressor.predict(Z), theirs.predict(regressor.transform(Z)))


@pytest.mark.parametrize("vote", ["distance", "gaussian"])
def test_votes_by_distance_are_their_formulas(vote):
    (X, _), (Z, _) = planted(15, 4, noise=0.1), planted(6, 5, noise=0.1)
    target = np.random.default_rng(6).normal(size=15)
    readout = DeSNNRegressor(vote=vote, n_neighbors=4, sigma=0.7).fit(X, target)
    predicted = readout.predict(Z)
    for z, value in zip(readout.transform(Z), predicted, strict=True):
        d = np.sqrt(((readout.weights_ - z) ** 2).sum(axis=1))
        near = np.argsort(d)[:4]
        v = d[near].max() - (d[near] - d[near].min()) if vote == "distance" else np.exp(-(d[near] ** 2) / (2 * 0.7**2))
        assert value == pytest.approx((v * target[near]).sum() / v.sum())


def test_gaussian_votes_do_not_underflow():
    (X, y), (Z, _) = planted(15, 4), planted(6, 5)
    proba = DeSNN(vote="gaussian", sigma=1e-3).fit(X, y).predict_proba(Z)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@pytest.mark.parametrize("form", ["static", "membrane"])
def test_relative_votes_are_their_formula(form):
    """Votes exp(-d / (2 sigma^2 D)), with D the distance of the nearest neighbour that does not vote."""
    (X, _), (Z, _) = planted(15, 4, noise=0.1), planted(6, 5, noise=0.1)
    target = np.random.default_rng(6).normal(size=15)
    readout = DeSNNRegressor(form, vote="relative", n_neighbors=4, sigma=0.4, drift_down=0.001).fit(X, target)
    for distances, value in zip(readout._distances(Z), readout.predict(Z), strict=True):
        near = np.argsort(distances)[:4]
        votes = np.exp(-distances[near] / (2 * 0.4**2 * np.sort(distances)[4]))
        assert value == pytest.approx((votes * target[near]).sum() / votes.sum())


def test_relative_votes_by_hand_and_at_their_limits():
    distance = np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, np.inf]])
    found = neighbour_votes(distance, 3, "relative", 1.0)
    by_hand = np.exp([-1 / 8, -2 / 8, -3 / 8, -np.inf])
    np.testing.assert_allclose(found[0], by_hand / by_hand.sum())
    np.testing.assert_allclose(found[1], 0.25)  # copies of the sample: all as near as the last
    np.testing.assert_allclose(found[2], [1 / 3, 1 / 3, 1 / 3, 0])  # the fourth never fires
    assert np.isfinite(neighbour_votes(distance[:1], 3, "relative", 1e-3)).all()


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float64, (3, 6), elements=st.floats(0, 3)), st.sampled_from(VOTES), st.integers(1, 5))
def test_tensors_vote_as_arrays_do(distance, vote, k):
    as_tensor = neighbour_votes(torch.from_numpy(distance), k, vote, 0.7)
    np.testing.assert_allclose(as_tensor.numpy(), neighbour_votes(distance, k, vote, 0.7), atol=1e-12)


def test_first_spikes_say_as_much_as_the_spikes():
    (X, y), (Z, _) = planted(20, 19), planted(10, 20)
    X[3] = 0
    brief = FirstSpikes.of(iter(X.astype(bool)))
    assert brief.shape == X.shape
    for form in ("static", "membrane"):
        full, short = DeSNN(form).fit(X, y), DeSNN(form).fit(brief, y)
        np.testing.assert_array_equal(short.weights_, full.weights_)
        np.testing.assert_array_equal(short.predict_proba(FirstSpikes.of(Z.astype(bool))), full.predict_proba(Z))
        with pytest.raises(InputError, match="fitted on 30 steps of 12 neurons"):
            short.predict(FirstSpikes.of(Z[:, :20].astype(bool)))


def test_all_neighbours_as_near_as_the_last_vote():
    X = np.zeros((4, 3, 2))
    X[0, 0, 0] = X[1, 0, 0] = X[2, 0, 0] = X[3, 0, 1] = 1
    proba = DeSNN(n_neighbors=1).fit(X, [0, 1, 1, 0]).predict_proba(X[:1])
    np.testing.assert_allclose(proba, [[1 / 3, 2 / 3]])


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(bool, (6, 8, 5), elements=st.sampled_from([True, False, False])), st.sampled_from([0.3, 0.6, 1.0]))
def test_membrane_form_is_the_race_in_a_loop(X, ratio):
    X[:, 0, 0] = True
    y = np.arange(4)
    readout = DeSNN("membrane", drift_up=0.0, drift_down=0.002, threshold_ratio=ratio).fit(X[:4], y)
    weights = np.array([plain_weights(sample, 0.8, 0.0, 0.002, 1.0, 0) for sample in X[:4]])
    np.testing.assert_allclose(readout.weights_, weights, atol=1e-12)
    proba = readout.predict_proba(X[4:])
    for sample, share in zip(X[4:], proba, strict=True):
        winner = plain_race(weights, sample, 0.8, ratio * readout.psp_max_)
        if winner is not None:
            assert share[winner] > 0
            assert share[winner] == share.max()


def test_membrane_form_recognises_what_it_learned():
    X, y = planted(20, 7)
    readout = DeSNN("membrane", drift_up=0, drift_down=0).fit(X, y)
    assert (readout.predict(X) == y).all()


def test_membrane_decides_by_the_largest_potential_where_none_fires():
    X = np.zeros((2, 6, 4))
    X[0, [0, 1], [0, 1]] = X[1, [0, 1], [2, 3]] = 1
    readout = DeSNN("membrane", drift_up=0, drift_down=0).fit(X, ["a", "b"])
    half = np.zeros((2, 6, 4))
    half[0, 3, 2] = half[1, 3, 1] = 1  # one spike of two: below the threshold of either
    assert readout.predict(half).tolist() == ["b", "a"]


def test_silent_sample_gets_the_votes_of_all_in_the_membrane_form():
    X, _ = planted(10, 8)
    y = np.array(["a"] * 7 + ["b"] * 3)
    silent = np.zeros((1, *X.shape[1:]))
    assert DeSNN("membrane", drift_down=0).fit(X, y).predict_proba(silent)[0].tolist() == pytest.approx([0.7, 0.3])
    assert DeSNN().fit(X, y).predict_proba(silent).sum() == pytest.approx(1)


@pytest.mark.parametrize("form", ["static", "membrane"])
def test_learns_order_where_counts_tell_nothing(form):
    (X, y), (Z, truth) = planted(60, 9, noise=0.0), planted(40, 10, noise=0.0)
    assert set(X.sum(axis=1).ravel()) == {1}
    assert DeSNN(form, threshold_ratio=0.7).fit(X, y).score(Z, truth) > 0.95
    assert LogisticRegression().fit(X.sum(axis=1), y).score(Z.sum(axis=1), truth) < 0.7


def test_regression_of_a_latency():
    rng = np.random.default_rng(11)
    when = rng.integers(2, 28, 80)
    X = np.zeros((80, 30, 16), dtype=bool)
    X[:, np.arange(2, 30, 2), np.arange(14)] = True  # a clock
    X[np.arange(80), when, 15] = True
    fitted = DeSNNRegressor(ties="dense", mod=0.95).fit(X[:60], when[:60])
    assert fitted.score(X[60:], when[60:]) > 0.9


def test_works_with_scikit_learn():
    X, y = planted(40, 12, noise=0.01)
    readout = DeSNN(n_neighbors=1, mod=0.7)
    assert clone(readout).get_params() == readout.get_params()
    assert cross_val_score(readout, X, y, cv=4).mean() > 0.9
    search = GridSearchCV(readout, {"mod": [0.5, 0.9], "form": ["static", "membrane"]}, cv=2, error_score="raise")
    assert search.fit(X, y).best_score_ > 0.9
    assert make_pipeline(DeSNN(), LogisticRegression(max_iter=500)).fit(X, y).score(X, y) > 0.9


def test_takes_tensors_and_any_number_type():
    X, y = planted(10, 13)
    expected = DeSNN().fit(X, y).weights_
    for other in (X.astype(bool), X.astype(np.float32), torch.as_tensor(X), torch.as_tensor(X).float(), X.tolist()):
        np.testing.assert_array_equal(DeSNN().fit(other, y).weights_, expected)


def test_long_data_are_summed_up_in_pieces(monkeypatch):
    X, y = planted(20, 14)
    expected = DeSNN().fit(X, y).weights_
    monkeypatch.setattr("spikeneuro.reservoir.desnn._CHUNK", 3 * X[0].size + 1)
    np.testing.assert_array_equal(DeSNN().fit(X, y).weights_, expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X[0], r"spikes \(samples, time, neurons\), got shape \(30, 12\)"),
        (lambda X: X[:0], "got shape"),
        (lambda X: X * 2, "must be 0 or 1, got 2"),
        (lambda X: X - 0.5, "must be 0 or 1"),
        (lambda X: np.where(X > 0, np.nan, 0.0), "NaN or infinite"),
        (lambda X: X.astype(str), "got dtype"),
        (lambda X: X * 0, "no spike at all"),
    ],
)
def test_bad_training_data_are_refused(spoil, message):
    X, y = planted(10, 15)
    with pytest.raises(InputError, match=message) as caught:
        DeSNN().fit(spoil(X.astype(float)), y)
    assert "\n" not in str(caught.value)


def test_other_sizes_and_swapped_axes_are_refused():
    X, y = planted(10, 16)
    readout = DeSNN().fit(X, y)
    for method in (readout.predict, readout.predict_proba, readout.transform):
        with pytest.raises(InputError, match="time and neurons look swapped"):
            method(X.swapaxes(1, 2))
        with pytest.raises(InputError, match="fitted on 30 steps of 12 neurons"):
            method(X[:, :20])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"form": "sttic"}, "did you mean 'static'"),
        ({"ties": "max"}, "ties='max' is unknown"),
        ({"vote": "loud"}, "vote='loud' is unknown"),
        ({"mod": 1.0}, "mod must lie in"),
        ({"drift_up": -0.1}, "drift_up must lie in"),
        ({"alpha": 0.0}, "alpha must lie in"),
        ({"first_rank": 2}, "first_rank must lie in"),
        ({"threshold_ratio": 1.5}, "threshold_ratio must lie in"),
        ({"n_neighbors": 0}, "n_neighbors must lie in"),
        ({"n_neighbors": 11}, "n_neighbors=11 needs at least as many"),
        ({"n_neighbors": 10, "vote": "relative"}, "n_neighbors=10 needs more than that with vote='relative'"),
        ({"sigma": 0.0}, "sigma must lie in"),
        ({"form": "membrane", "drift_down": 5.0}, "no output neuron can fire"),
    ],
)
def test_bad_parameters_are_refused(params, message):
    X, y = planted(10, 17)
    with pytest.raises(InputError, match=message):
        DeSNN(**params).fit(X, y)


def test_labels_that_do_not_fit_are_refused():
    X, y = planted(10, 18)
    with pytest.raises(InputError, match="one class only"):
        DeSNN().fit(X, ["a"] * 10)
    with pytest.raises(InputError, match=r"10 samples, but y has shape \(9,\)"):
        DeSNN().fit(X, y[:9])
    with pytest.raises(InputError, match="requires y"):
        DeSNN().fit(X, None)
    with pytest.raises(InputError, match="continuous"):
        DeSNN().fit(X, np.linspace(0, 1, 10))
    with pytest.raises(InputError, match="could not convert"):
        DeSNNRegressor().fit(X, y)
    with pytest.raises(InputError, match="NaN or infinite"):
        DeSNNRegressor().fit(X, [np.nan, *range(9)])
    for form, k in itertools.product(("static", "membrane"), (1, 3)):
        with pytest.raises(InputError, match="one class only|needs at least as many"):
            DeSNN(form, n_neighbors=k).fit(X[:1], y[:1])
