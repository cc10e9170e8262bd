"""Intervals and tests over units of independence (subjects, runs, sites, images)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spikeneuro._validation import check_choice, check_finite, check_number
from spikeneuro.errors import InputError

FloatArray = NDArray[np.float64]

EXACT_PERMUTATIONS = 2**16  # sign patterns that are enumerated rather than drawn
_CHUNK = 2**22  # random numbers drawn at a time: 32 MB


@dataclass(frozen=True)
class Interval:
    """Confidence interval.

    Parameters
    ----------
    low, high : float
        Limits.
    confidence : float
        Nominal coverage.
    method : str
        How it was made.
    """

    low: float
    high: float
    confidence: float
    method: str


@dataclass(frozen=True)
class PairedTest:
    """Outcome of a paired test over units.

    Parameters
    ----------
    difference : float
        Mean over the units of first minus second.
    p_value : float
        Probability of a difference at least as extreme where there is none.
    n_units : int
        Pairs.
    method : str
        ``exact`` enumeration, ``Monte Carlo`` with its number of draws, or the name of the test.
    """

    difference: float
    p_value: float
    n_units: int
    method: str


def _scores(values: Any, name: str, least: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        raise InputError(f"{name} needs one score per unit and at least {least} unit(s), got shape {array.shape}.")
    return check_finite(array, name)


def bootstrap_means(values: FloatArray, n_resamples: int, random_state: int) -> FloatArray:
    """Resample the units with replacement and take the mean of each resample.

    Parameters
    ----------
    values : ndarray, shape (n_units,)
        One score per unit.
    n_resamples : int
        Number of resamples.
    random_state : int
        Seed.

    Returns
    -------
    ndarray, shape (n_resamples,)
        Means.
    """
    rng = np.random.default_rng(random_state)
    n = len(values)
    chunk = max(1, _CHUNK // n)
    means = [
        values[rng.integers(0, n, size=(min(chunk, n_resamples - done), n))].mean(axis=1)
        for done in range(0, n_resamples, chunk)
    ]
    return np.concatenate(means)


def bootstrap_interval(
    scores: Any,
    *,
    confidence: float = 0.95,
    method: str = "percentile",
    n_resamples: int = 10_000,
    random_state: int = 0,
) -> Interval:
    """Bootstrap confidence interval of the mean score over units.

    Units are resampled with replacement, because samples of one unit are not independent. The percentile interval
    takes the α/2 and 1-α/2 quantiles of the resampled means. BCa moves them to Φ(z₀ + (z₀ + z) / (1 - a (z₀ + z)))
    with the bias z₀ = Φ⁻¹(share of means below the observed, ties half) and the acceleration
    a = Σ d³ / (6 (Σ d²)^{3/2}), d the jackknife deviations. Both cover less than nominal below about ten units.

    Parameters
    ----------
    scores : array-like, shape (n_units,)
        One score per unit, at least two.
    confidence : float
        Nominal coverage, in (0, 1).
    method : {"percentile", "bca"}
        Kind of interval.
    n_resamples : int
        Number of resamples.
    random_state : int
        Seed.

    Returns
    -------
    Interval
        Limits.

    Raises
    ------
    InputError
        If all scores are equal: resampling them says nothing about those of other units. For units that are right or
        wrong, `wilson_interval` still does.

    References
    ----------
    Efron and Tibshirani, 1993, doi:10.1201/9780429246593; Efron, 1987, doi:10.1080/01621459.1987.10478410.

    Examples
    --------
    >>> interval = bootstrap_interval([0.6, 0.7, 0.8, 0.9])
    >>> 0.6 < interval.low < 0.75 < interval.high < 0.9
    True
    """
    check_choice(method, ("percentile", "bca"), "method")
    check_number(confidence, "confidence", low=0.0, high=1.0, closed="neither")
    check_number(n_resamples, "n_resamples", low=1, integer=True)
    values = _scores(scores, "scores", 2)
    if np.ptp(values) == 0:
        raise InputError(f"all {len(values)} scores equal {values[0]:g}, so resampling them gives no interval.")
    means = bootstrap_means(values, n_resamples, random_state)
    limits = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        limits = _bca_limits(values, means, limits)
    low, high = np.quantile(means, limits)
    return Interval(float(low), float(high), confidence, f"{method} bootstrap")


def _bca_limits(values: FloatArray, means: FloatArray, limits: FloatArray) -> FloatArray:
    observed = values.mean()
    below = ((means < observed).mean() + (means <= observed).mean()) / 2
    bias = stats.norm.ppf(below)
    deviation = values - observed  # the jackknife deviations of a mean are these, over n - 1
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    z = bias + stats.norm.ppf(limits)
    return np.asarray(stats.norm.cdf(bias + z / (1 - acceleration * z)))


def paired_permutation_test(
    first: Any,
    second: Any,
    *,
    alternative: str = "two-sided",
    n_resamples: int = 9_999,
    random_state: int = 0,
) -> PairedTest:
    """Sign-flip test of the mean difference between two paired sets of unit scores.

    Under the null hypothesis the two scores of a unit may be exchanged, so each difference may change its sign. The
    p-value is the share of sign patterns with a mean at least as extreme. All patterns are counted when at most
    2**16 differ in effect, or when all non-zero differences are of one size (then their number is binomial:
    McNemar's exact test); otherwise patterns are drawn and p = (1 + hits) / (1 + draws), which is never zero.

    Parameters
    ----------
    first, second : array-like, shape (n_units,)
        Scores of the same units, in the same order.
    alternative : {"two-sided", "greater", "less"}
        Whether the mean of first minus second differs from, exceeds or falls below zero.
    n_resamples : int
        Sign patterns drawn where they cannot be enumerated.
    random_state : int
        Seed.

    Returns
    -------
    PairedTest
        Its p-value is never zero.

    References
    ----------
    Phipson and Smyth, 2010, doi:10.2202/1544-6115.1585; Good, 2005, doi:10.1007/b138696.

    Examples
    --------
    >>> paired_permutation_test([0.9, 0.8, 0.7], [0.5, 0.5, 0.5]).p_value  # 2 of 8 patterns
    0.25
    """
    check_choice(alternative, ("two-sided", "greater", "less"), "alternative")
    check_number(n_resamples, "n_resamples", low=1, integer=True)
    a, b = _scores(first, "first", 1), _scores(second, "second", 1)
    if a.shape != b.shape:
        raise InputError(f"first has {len(a)} units and second {len(b)}; a paired test needs the same units.")
    difference = a - b
    observed = difference.sum()
    slack = 1e-12 * np.abs(difference).sum()
    # A zero difference keeps its value under either sign. Those equal up to rounding are one size.
    moving = difference[np.abs(difference) > slack]
    signed = {"two-sided": np.abs, "greater": np.positive, "less": np.negative}[alternative]
    if len(moving) and np.ptp(np.abs(moving)) <= slack:
        p = _p_of_equal_sizes(moving, alternative)
        method = "exact"
    elif 2 ** len(moving) <= EXACT_PERMUTATIONS:
        sums = np.zeros(1)
        for value in moving:
            sums = np.concatenate([sums + value, sums - value])
        p = float((signed(sums) >= signed(observed) - slack).mean())
        method = "exact"
    else:
        sums = _random_signs(moving, n_resamples, random_state)
        p = float((1 + (signed(sums) >= signed(observed) - slack).sum()) / (1 + n_resamples))
        method = f"Monte Carlo, {n_resamples} draws"
    return PairedTest(float(difference.mean()), p, len(difference), method)


def _p_of_equal_sizes(moving: FloatArray, alternative: str) -> float:
    positive, n = int((moving > 0).sum()), len(moving)
    upper, lower = float(stats.binom.sf(positive - 1, n, 0.5)), float(stats.binom.cdf(positive, n, 0.5))
    return {"two-sided": min(1.0, 2 * min(upper, lower)), "greater": upper, "less": lower}[alternative]


def _random_signs(moving: FloatArray, n_resamples: int, random_state: int) -> FloatArray:
    rng = np.random.default_rng(random_state)
    chunk = max(1, _CHUNK // len(moving))
    sums = []
    for done in range(0, n_resamples, chunk):
        size = (min(chunk, n_resamples - done), len(moving))
        sums.append((2.0 * rng.integers(0, 2, size=size) - 1.0) @ moving)
    return np.concatenate(sums)


def wilson_interval(successes: int, total: int, confidence: float = 0.95) -> Interval:
    """Interval of a proportion from independent trials, after Wilson.

    (p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n), with z the normal quantile of (1 + confidence) / 2.

    Parameters
    ----------
    successes, total : int
        Trials that came true, and all.
    confidence : float
        Nominal coverage, in (0, 1).

    Returns
    -------
    Interval
        Within [0, 1].

    References
    ----------
    Wilson, 1927, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> interval = wilson_interval(8, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.49, 0.943)
    """
    check_number(total, "total", low=1, integer=True)
    check_number(successes, "successes", low=0, high=total, integer=True)
    check_number(confidence, "confidence", low=0.0, high=1.0, closed="neither")
    z = float(stats.norm.ppf((1 + confidence) / 2))
    share, spread = successes / total, z**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return Interval(float(max(0.0, centre - half)), float(min(1.0, centre + half)), confidence, "Wilson")


def mcnemar_exact(first_correct: Any, second_correct: Any) -> PairedTest:
    """Exact test of two classifiers on the same independent samples.

    Of the b + c samples that one of them alone has right, the number of the first is Binomial(b + c, ½) where both
    are equally good.

    Parameters
    ----------
    first_correct, second_correct : array-like of bool, shape (n,)
        Whether each was right.

    Returns
    -------
    PairedTest
        With the difference of the accuracies.

    References
    ----------
    McNemar, 1947, doi:10.1007/BF02295996.
    """
    a, b = np.asarray(first_correct), np.asarray(second_correct)
    if a.shape != b.shape or a.ndim != 1 or not a.size or not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise InputError(f"two rows of right or wrong of one length are needed, got shapes {a.shape} and {b.shape}.")
    a, b = a.astype(bool), b.astype(bool)
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    p = stats.binomtest(only_first, only_first + only_second).pvalue if only_first + only_second else 1.0
    return PairedTest((only_first - only_second) / len(a), float(p), len(a), "McNemar exact")


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number by Holm's step-down: max over smaller ones of (m - rank) p, at most 1.

    Parameters
    ----------
    p_values : sequence of float
        One per test, in [0, 1].

    Returns
    -------
    list of float
        Adjusted, in the order given.

    References
    ----------
    Holm, 1979, https://www.jstor.org/stable/4615733.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise InputError(f"p-values must lie in [0, 1], got {list(p_values)}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def corrected_resampled_t(first: Any, second: Any, n_train: float, n_test: float) -> PairedTest:
    """T-test over folds or repeats that share training samples, with their dependence allowed for.

    t = d̄ / √((1/J + n_test/n_train) s²) with J - 1 degrees of freedom: the variance of the mean over J resamplings
    is taken n_test/n_train · s² larger, because their training parts overlap.

    Parameters
    ----------
    first, second : array-like, shape (J,)
        Scores of two models on the same J resamplings, at least two.
    n_train, n_test : float
        Samples in a training and in a test part.

    Returns
    -------
    PairedTest
        Two-sided.

    References
    ----------
    Nadeau and Bengio, 2003, doi:10.1023/A:1024068626366.
    """
    a, b = _scores(first, "first", 2), _scores(second, "second", 2)
    if a.shape != b.shape:
        raise InputError(f"first has {len(a)} resamplings and second {len(b)}; they must be the same.")
    check_number(n_train, "n_train", low=0.0, closed="neither")
    check_number(n_test, "n_test", low=0.0, closed="neither")
    difference = a - b
    mean, variance = float(difference.mean()), float(difference.var(ddof=1))
    if np.ptp(difference) == 0:
        raise InputError(f"all {len(difference)} differences equal {mean:g}, so a t-test is undefined.")
    t = mean / np.sqrt((1 / len(difference) + n_test / n_train) * variance)
    p = 2 * float(stats.t.sf(abs(t), len(difference) - 1))
    return PairedTest(mean, p, len(difference), "corrected resampled t")
