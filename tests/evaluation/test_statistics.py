"""Intervals and tests against scipy, statsmodels, literal enumeration, and simulation of their promises."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from spikeneuro.errors import InputError
from spikeneuro.evaluation.statistics import (
    bootstrap_interval,
    bootstrap_means,
    corrected_resampled_t,
    holm,
    mcnemar_exact,
    paired_permutation_test,
    wilson_interval,
)

scores = st.lists(st.integers(-20, 20).map(lambda v: v / 10), min_size=1, max_size=8)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bootstrap_against_scipy(method, seed):
    values = np.random.default_rng(seed).gamma(2.0, size=25)
    ours = bootstrap_interval(values, method=method, n_resamples=40_000)
    theirs = stats.bootstrap(
        (values,), np.mean, method=method, n_resamples=40_000, rng=np.random.default_rng(9)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_bootstrap_of_three_units_against_all_27_resamples():
    values = np.array([0.2, 0.5, 0.9])
    every = np.sort([np.mean(choice) for choice in itertools.product(values, repeat=3)])
    means = bootstrap_means(values, 200_000, 0)
    for mean in np.unique(np.round(every, 9)):
        share = np.isclose(every, mean).mean()
        assert np.isclose(means, mean).mean() == pytest.approx(share, abs=0.005)


def test_bootstrap_repeats_itself_and_follows_its_seed():
    values = np.random.default_rng(0).normal(size=12)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, random_state=1)
    in_chunks = bootstrap_means(np.arange(5_000.0), 2_000, 0)
    assert in_chunks.shape == (2_000,)
    assert in_chunks.std() == pytest.approx(np.arange(5_000.0).std() / np.sqrt(5_000), rel=0.1)


def test_equal_scores_have_no_bootstrap_interval():
    with pytest.raises(InputError, match=r"all 3 scores equal 0\.7, so resampling them gives no interval"):
        bootstrap_interval([0.7, 0.7, 0.7], method="bca")


@given(shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_intervals_move_and_stretch_with_the_scores(shift, scale):
    values = np.random.default_rng(3).normal(size=15)
    for method in ("percentile", "bca"):
        plain = bootstrap_interval(values, method=method, n_resamples=500)
        moved = bootstrap_interval(values * scale + shift, method=method, n_resamples=500)
        assert [moved.low, moved.high] == pytest.approx([plain.low * scale + shift, plain.high * scale + shift])


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_covers_the_mean_about_as_often_as_it_says(method):
    rng = np.random.default_rng(0)
    samples = rng.beta(6, 3, size=(600, 25))  # accuracies of 25 subjects
    inside = 0
    for values in samples:
        interval = bootstrap_interval(values, method=method, n_resamples=600)
        inside += interval.low <= 6 / 9 <= interval.high
    # 600 trials: standard error 0.009; the bootstrap of 25 units is known to cover a little less than nominal.
    assert 0.90 <= inside / 600 <= 0.98


@given(a=scores, data=st.data(), alternative=st.sampled_from(["two-sided", "greater", "less"]))
@settings(max_examples=80, deadline=None)
def test_permutation_test_against_literal_enumeration(a, data, alternative):
    b = data.draw(st.lists(st.integers(-20, 20).map(lambda v: v / 10), min_size=len(a), max_size=len(a)))
    difference = np.round(np.subtract(a, b), 6)
    means = [np.mean(difference * signs) for signs in itertools.product([1, -1], repeat=len(a))]
    observed = np.mean(difference)
    extreme = {
        "two-sided": np.abs(means) >= abs(observed) - 1e-9,
        "greater": np.array(means) >= observed - 1e-9,
        "less": np.array(means) <= observed + 1e-9,
    }[alternative]
    found = paired_permutation_test(a, b, alternative=alternative)
    assert found.method == "exact"
    assert found.difference == pytest.approx(observed)
    assert found.p_value == pytest.approx(extreme.mean())


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_permutation_test_against_scipy(alternative):
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.3, 1, size=10), rng.normal(size=10)
    theirs = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", alternative=alternative, n_resamples=np.inf
    )
    assert paired_permutation_test(a, b, alternative=alternative).p_value == pytest.approx(theirs.pvalue)


def test_drawn_permutations_agree_with_scipy_and_are_never_zero():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.35, 1, size=40), rng.normal(size=40)
    theirs = stats.permutation_test(
        (a, b),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    )
    ours = paired_permutation_test(a, b, n_resamples=20_000)
    assert ours.method == "Monte Carlo, 20000 draws"
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.02)
    sure = paired_permutation_test(np.arange(40.0) + 1, np.zeros(40), n_resamples=99)
    assert sure.p_value == pytest.approx(1 / 100)


def test_equal_models_have_p_of_one_and_order_only_turns_the_sign():
    assert paired_permutation_test([0.5, 0.7], [0.5, 0.7]).p_value == 1.0
    a, b = np.random.default_rng(0).normal(size=(2, 9))
    forth, back = paired_permutation_test(a, b), paired_permutation_test(b, a)
    assert forth.p_value == back.p_value
    assert forth.difference == -back.difference


@given(units=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_right_or_wrong_units_give_mcnemars_exact_test(units):
    a, b = np.array(units).T
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    expected = mcnemar(table, exact=True).pvalue if (a != b).any() else 1.0
    assert mcnemar_exact(a, b).p_value == pytest.approx(expected)
    assert mcnemar_exact(a, b).difference == pytest.approx(a.mean() - b.mean())
    as_scores = paired_permutation_test(a.astype(float), b.astype(float))
    assert as_scores.method == "exact"
    assert as_scores.p_value == pytest.approx(expected)


@pytest.mark.parametrize("n_units", [8, 24])
def test_permutation_test_keeps_its_level(n_units):
    rng = np.random.default_rng(0)
    p = [
        paired_permutation_test(*rng.standard_t(3, size=(2, n_units)), n_resamples=299, random_state=k).p_value
        for k in range(800)
    ]
    for level in (0.05, 0.2):
        rejected = np.mean(np.array(p) <= level)
        assert rejected <= level + 3 * np.sqrt(level * (1 - level) / 800)
        assert rejected >= level / 2


@given(total=st.integers(1, 400), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_wilson_against_statsmodels(total, share, confidence):
    successes = round(share * total)
    low, high = proportion_confint(successes, total, alpha=1 - confidence, method="wilson")
    found = wilson_interval(successes, total, confidence)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=8, deadline=None)  # the reference takes 0.2 s a call
def test_holm_against_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_corrected_t_against_its_formula_and_the_plain_t_test():
    a = np.array([0.80, 0.75, 0.78, 0.82, 0.79])
    b = np.array([0.74, 0.76, 0.71, 0.79, 0.73])
    d = a - b
    t = d.mean() / np.sqrt((1 / 5 + 20 / 80) * d.var(ddof=1))
    found = corrected_resampled_t(a, b, n_train=80, n_test=20)
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    plain = stats.ttest_rel(a, b).pvalue
    assert found.p_value > plain
    assert corrected_resampled_t(a, b, n_train=1e12, n_test=1).p_value == pytest.approx(plain)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval([0.5]), "at least 2 unit"),
        (lambda: bootstrap_interval([[0.5, 0.6]]), r"one score per unit .* shape \(1, 2\)"),
        (lambda: bootstrap_interval([0.5, np.nan]), "NaN"),
        (lambda: bootstrap_interval([0.5, 0.6], confidence=95), "confidence must lie in"),
        (lambda: bootstrap_interval([0.5, 0.6], method="bc"), "did you mean 'bca'"),
        (lambda: paired_permutation_test([0.5, 0.6], [0.5]), "first has 2 units and second 1"),
        (lambda: paired_permutation_test([], []), "at least 1 unit"),
        (lambda: paired_permutation_test([1.0], [0.0], alternative="two_sided"), "did you mean 'two-sided'"),
        (lambda: wilson_interval(11, 10), "successes must lie in"),
        (lambda: wilson_interval(0, 0), "total must lie in"),
        (lambda: mcnemar_exact([1, 0], [1]), "of one length"),
        (lambda: mcnemar_exact([0.4, 0.6], [1, 0]), "right or wrong"),
        (lambda: holm([0.1, 1.2]), r"lie in \[0, 1\]"),
        (lambda: corrected_resampled_t([0.5, 0.6], [0.4, 0.5], 10, 2), "a t-test is undefined"),
        (lambda: corrected_resampled_t([0.5], [0.4], 10, 2), "at least 2"),
    ],
)
def test_misuse_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call()
