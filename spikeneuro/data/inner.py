"""The inner division of training samples into training and validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._random import derive_seed
from spikeneuro._validation import check_choice, check_number
from spikeneuro.data.units import IntArray, sorted_units
from spikeneuro.errors import InputError


def inner_split(
    groups: Sequence[Any] | NDArray[Any] | None,
    y: Any,
    fraction: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
    *,
    task: str | None = None,
) -> tuple[IntArray, IntArray]:
    """Divide training samples into an inner training part and a validation part.

    With `groups`, whole groups go to validation, chosen as the best of several random draws: the one whose
    share of every class (and of the samples) is nearest to `fraction`. Without, samples are drawn at random in
    proportion to their class. Every class keeps at least one sample (one group) in the inner training part.

    Parameters
    ----------
    groups : array-like, shape (n_samples,), or None
        Who each sample came from.
    y : array-like, shape (n_samples,) or (n_samples, n_times)
        Class labels, values to regress on (spread over both parts by quantile), or labels per step, -1 ignored.
    fraction : float
        Share of the samples meant for validation, in (0, 1).
    random_state : int, RandomState or None
        Seed of the draws; the same seed gives the same parts.
    task : {"classification", "regression", "steps"} or None
        What `y` is; None decides by its type: two axes are steps, floats are values, anything else classes.

    Returns
    -------
    train, validation : ndarray of int
        Sorted positions, disjoint, together all samples.

    Raises
    ------
    InputError
        There is one group only, or no division keeps every class in training.

    Examples
    --------
    >>> train, validation = inner_split(["a", "a", "b", "b", "c", "c"], [0, 1, 0, 1, 0, 1], 0.3, random_state=0)
    >>> len(train), len(validation)
    (4, 2)
    """
    check_number(fraction, "fraction", low=0.0, high=1.0, closed="neither")
    counts, hard = _class_counts(np.asarray(y), task)
    rng = np.random.default_rng(derive_seed(random_state))
    if groups is not None:
        codes = _group_codes(groups, len(counts))
        if codes.max() == 0:
            raise InputError("the validation part needs two or more groups, got one; pass groups=None.")
        by_group = np.zeros((codes.max() + 1, counts.shape[1]), dtype=np.int64)
        np.add.at(by_group, codes, counts)
        chosen = _choose_groups(by_group, np.bincount(codes), fraction, hard, rng)[codes]
    elif (counts.sum(axis=1) == 1).all():
        chosen = _choose_samples(np.argmax(counts, axis=1), fraction, rng)
    else:
        chosen = _choose_groups(counts, np.ones(len(counts), dtype=np.int64), fraction, hard, rng)
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _group_codes(groups: Any, n_samples: int) -> IntArray:
    groups = np.asarray(groups)
    if groups.shape != (n_samples,):
        raise InputError(f"groups must have one entry per sample ({n_samples}), got shape {groups.shape}.")
    missing = np.flatnonzero(pd.isna(groups))
    if missing.size:
        raise InputError(f"groups has no value at position {missing[0]}.")
    return sorted_units(groups.astype(str).astype(object))[1]


def _class_counts(y: NDArray[Any], task: str | None) -> tuple[IntArray, bool]:
    """Samples (or steps) of every class in each sample, and whether a class must stay in training."""
    if task is None:
        task = "steps" if y.ndim == 2 else "regression" if y.dtype.kind == "f" else "classification"
    check_choice(task, ("classification", "regression", "steps"), "task")
    if y.ndim != (2 if task == "steps" else 1):
        raise InputError(f"y of shape {y.shape} does not fit the task {task!r}.")
    if len(y) < 2:
        raise InputError(f"a validation part needs two or more samples, got {len(y)}.")
    if task == "steps":
        classes = np.unique(y[y != -1])
        return np.stack([(y == c).sum(axis=1) for c in classes], axis=1), True
    if task == "regression":
        rank = np.argsort(np.argsort(y, kind="stable"), kind="stable")
        strata = rank * min(5, max(1, len(y) // 4)) // len(y)
    else:
        strata = np.unique(y, return_inverse=True)[1]
    counts = np.zeros((len(y), strata.max() + 1), dtype=np.int64)
    counts[np.arange(len(y)), strata] = 1
    return counts, task == "classification"


def _choose_samples(strata: IntArray, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw samples in proportion to their class, by largest remainders, leaving one of each class."""
    sizes = np.bincount(strata)
    quota = fraction * sizes
    take = np.minimum(np.floor(quota).astype(np.int64), sizes - 1)
    wanted = min(max(1, round(fraction * len(strata))), int((sizes - 1).sum()))
    if wanted < 1:
        raise InputError(f"{len(strata)} sample(s) of {len(sizes)} class(es) leave none for validation.")
    while take.sum() < wanted:
        remainder = np.where(take < sizes - 1, quota - take, -np.inf)
        take[rng.choice(np.flatnonzero(remainder == remainder.max()))] += 1
    chosen = np.zeros(len(strata), dtype=bool)
    for stratum, count in enumerate(take):
        chosen[rng.permutation(np.flatnonzero(strata == stratum))[:count]] = True
    return chosen


def _choose_groups(
    counts: IntArray, sizes: IntArray, fraction: float, hard: bool, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw whole groups (rows of `counts`) so that every class and the samples are shared near `fraction`."""
    total = np.maximum(counts.sum(axis=0), 1)
    target = fraction * sizes.sum()
    best, best_cost = None, np.inf
    for _ in range(int(np.clip(20_000 // len(sizes), 8, 64))):
        left, taken, size = counts.sum(axis=0), np.zeros(len(sizes), dtype=bool), 0
        for group in rng.permutation(len(sizes)):
            nearer = abs(size + sizes[group] - target) < abs(size - target) or not taken.any()
            spare = not hard or (left > counts[group])[counts[group] > 0].all()
            if nearer and spare and taken.sum() < len(sizes) - 1:
                taken[group] = True
                left = left - counts[group]
                size += int(sizes[group])
        if not taken.any():
            continue
        cost = np.abs(1 - left / total - fraction).mean() + abs(size / sizes.sum() - fraction)
        if cost < best_cost:
            best, best_cost = taken, float(cost)
    if best is None:
        raise InputError(
            "no group can be spared for validation: each holds the last samples of a class; "
            "give fewer, larger training groups their own validation data, or pass groups=None."
        )
    return best
