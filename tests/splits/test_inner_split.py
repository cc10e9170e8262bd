"""The inner validation split: groups whole, classes kept, fraction met, and the same every time."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from spikeneuro.data.splits import inner_split
from spikeneuro.errors import InputError


@given(
    data=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=6, max_size=50),
    fraction=st.floats(0.05, 0.6),
    seed=st.integers(0, 3),
)
@settings(max_examples=80, deadline=None)
def test_groups_stay_whole_and_classes_stay_in_training(data, fraction, seed):
    groups, y = map(np.array, zip(*data, strict=True))
    spare = [g for g in np.unique(groups) if set(y[groups != g]) == set(y)]
    if len(np.unique(groups)) < 2 or not spare:
        with pytest.raises(InputError):
            inner_split(groups, y, fraction, seed)
        return
    train, validation = inner_split(groups, y, fraction, seed)
    assert sorted([*train, *validation]) == list(range(len(y)))
    assert len(validation) > 0
    assert not set(groups[train]) & set(groups[validation])
    assert set(y[train]) == set(y)
    again = inner_split(groups, y, fraction, seed)
    assert np.array_equal(train, again[0])
    assert np.array_equal(validation, again[1])


@given(y=st.lists(st.integers(0, 3), min_size=4, max_size=60), fraction=st.floats(0.1, 0.5))
@settings(max_examples=60, deadline=None)
def test_samples_are_drawn_in_proportion(y, fraction):
    y = np.array(y)
    counts = np.bincount(y)
    assume((counts > 1).any())
    train, validation = inner_split(None, y, fraction, 0)
    taken = np.bincount(y[validation], minlength=len(counts))
    assert set(y[train]) == set(y)
    assert sorted([*train, *validation]) == list(range(len(y)))
    assert len(validation) == min(max(1, round(fraction * len(y))), sum(c - 1 for c in counts if c))
    full = (counts > 1) & (taken < counts - 1)  # classes that were not held back to keep one in training
    if (full | (counts == 0)).all():
        assert np.all(np.abs(taken - fraction * counts)[full] <= 1.5)


def test_class_shares_are_those_of_scikit_learn():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    _, ours = inner_split(None, y, 0.2, 0)
    _, theirs = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(y, y))
    assert np.bincount(y[ours]).tolist() == np.bincount(y[theirs]).tolist() == [10, 6, 4]


def test_group_choice_is_near_the_best_of_all_choices():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(9), rng.integers(3, 12, size=9))
    y = (rng.random(len(groups)) < 0.3 + 0.4 * (groups % 2)).astype(int)

    def cost(chosen):
        inside = np.isin(groups, chosen)
        shares = [abs(inside[y == c].mean() - 0.25) for c in (0, 1)]
        return np.mean(shares) + abs(inside.mean() - 0.25)

    every = [c for size in range(1, 6) for c in itertools.combinations(range(9), size)]
    costs = sorted(cost(c) for c in every)
    _, validation = inner_split(groups, y, 0.25, 0)
    found = cost(np.unique(groups[validation]))
    assert found <= costs[len(costs) // 20]  # among the best 5 % of all 381 choices


def test_validation_has_every_class_where_it_can():
    groups = np.arange(40) // 2
    y = (np.arange(40) // 2) % 4  # a group has one class
    _, validation = inner_split(groups, y, 0.2, 3)
    assert set(y[validation]) == {0, 1, 2, 3}


def test_values_are_spread_over_both_parts():
    y = np.linspace(0.0, 80.0, 100)
    train, validation = inner_split(None, y, 0.2, 0)
    assert len(validation) == 20
    assert np.histogram(y[validation], bins=5, range=(0, 80))[0].tolist() == [4] * 5
    assert abs(y[train].mean() - y[validation].mean()) < 5


def test_whole_numbers_can_be_values():
    ages = np.array([5, 7, 9, 11, 20, 22, 30, 31])
    train, validation = inner_split(None, ages, 0.25, 0, task="regression")
    assert (len(train), len(validation)) == (6, 2)
    with pytest.raises(InputError, match="leave none for validation"):
        inner_split(None, ages, 0.25, 0)  # eight classes of one sample


def test_step_labels_ignore_the_mask_and_keep_every_class_in_training():
    y = np.zeros((10, 5), dtype=int)
    y[:, 0] = -1
    y[:, 1:3] = 1
    y[4, 4] = 2  # the only sequence with class 2
    for seed in range(10):
        train, validation = inner_split(None, y, 0.3, seed)
        assert 4 in train
        assert len(validation) == 3


def test_seeds_differ():
    y = np.tile([0, 1], 30)
    assert len({tuple(inner_split(None, y, 0.2, seed)[1]) for seed in range(5)}) == 5
    assert len({tuple(inner_split(np.arange(60) // 2, y, 0.2, seed)[1]) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("groups", "y", "fraction", "message"),
    [
        (["a"] * 6, [0, 1] * 3, 0.2, "two or more groups, got one"),
        (["a", "a", "b", "b"], [0, 0, 1, 1], 0.5, "no group can be spared"),
        (["a", "b"], [0, 1, 0, 1], 0.5, "one entry per sample"),
        (["a", None, "b", "b"], [0, 1, 0, 1], 0.5, "no value at position 1"),
        (None, [0, 1, 0, 1], 1.0, "fraction must lie in"),
        (None, [0], 0.5, "two or more samples"),
        (None, np.zeros((4, 2, 2)), 0.5, "does not fit the task"),
    ],
)
def test_what_cannot_be_divided_is_said(groups, y, fraction, message):
    with pytest.raises(InputError, match=message):
        inner_split(groups, y, fraction, 0)


def test_an_unknown_task_is_refused():
    with pytest.raises(InputError, match="did you mean 'regression'"):
        inner_split(None, [0, 1, 0, 1], 0.5, 0, task="regresion")
