"""Splitters: whole units on one side, everything tested once, and messages for what cannot be split."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, cross_val_score

from spikeneuro.data.splits import (
    SPLITTERS,
    GivenSplit,
    LeaveGroupsOut,
    RandomLeakySplit,
    StratifiedLeakyKFold,
    WithinGroups,
    folds,
    make_splitter,
)
from spikeneuro.data.splitters import unit_labels
from spikeneuro.errors import InputError


def table(n_subjects=6, n_runs=3, n_trials=4):
    rows = [
        {"subject": f"S{s}", "run": f"R{r}", "site": f"site{s % 2}", "trial": t}
        for s in range(n_subjects)
        for r in range(n_runs)
        for t in range(n_trials)
    ]
    return pd.DataFrame(rows)


LABELS = np.tile([0, 1], 36)

unit_lists = st.lists(st.integers(0, 11), min_size=12, max_size=60).filter(lambda g: len(set(g)) >= 4)


@given(groups=unit_lists, n_splits=st.integers(2, 4), seed=st.none() | st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_grouped_folds_share_no_unit_and_test_every_sample_once(groups, n_splits, seed):
    metadata = pd.DataFrame({"subject": groups})
    tested = []
    for train, test in LeaveGroupsOut(n_splits=n_splits, random_state=seed).split(metadata):
        assert not set(np.array(groups)[train]) & set(np.array(groups)[test])
        assert sorted([*train, *test]) == list(range(len(groups)))
        tested += test.tolist()
    assert sorted(tested) == list(range(len(groups)))


@given(groups=unit_lists, n_splits=st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_unshuffled_folds_are_as_balanced_as_those_of_scikit_learn(groups, n_splits):
    def spread(splits):
        return max(len(test) for _, test in splits)

    ours = spread(LeaveGroupsOut(n_splits=n_splits).split(pd.DataFrame({"subject": groups})))
    assert ours == spread(GroupKFold(n_splits).split(groups, groups=groups))


@given(groups=unit_lists)
@settings(max_examples=30, deadline=None)
def test_leave_one_out_equals_scikit_learn_as_a_set_of_folds(groups):
    metadata = pd.DataFrame({"subject": groups})
    ours = {(tuple(a), tuple(b)) for a, b in LeaveGroupsOut().split(metadata)}
    theirs = {(tuple(a), tuple(b)) for a, b in LeaveOneGroupOut().split(groups, groups=groups)}
    assert ours == theirs


@given(groups=unit_lists, order=st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_folds_do_not_depend_on_the_order_of_rows(groups, order):
    index = list(range(len(groups)))
    order.shuffle(index)
    sizes = np.bincount(groups)

    def as_units(values):
        splitter = LeaveGroupsOut(n_splits=3, random_state=1)
        return [frozenset(values[test]) for _, test in splitter.split(pd.DataFrame({"subject": values}))]

    assert sizes.sum() == len(groups)
    assert as_units(np.array(groups)) == as_units(np.array(groups)[index])


def test_random_state_changes_which_units_share_a_fold_and_repeats_itself():
    metadata = table(n_subjects=12)

    def first_fold(seed):
        _, test = next(LeaveGroupsOut(n_splits=3, random_state=seed).split(metadata))
        return frozenset(metadata["subject"].iloc[test])

    assert first_fold(0) == first_fold(0)
    assert len({first_fold(seed) for seed in range(8)}) > 1
    assert all(len(first_fold(seed)) == 4 for seed in range(8))


@pytest.mark.parametrize("stratify", [True, "diagnosis"])
def test_stratified_folds_share_out_the_classes(stratify):
    subjects = np.repeat(np.arange(40), 3)
    y = (subjects < 10).astype(int)  # 10 of 40 subjects have class 1
    metadata = pd.DataFrame({"subject": subjects, "diagnosis": np.where(y, "autism", "control")})
    splitter = LeaveGroupsOut(n_splits=5, stratify=stratify, random_state=0)
    for train, test in splitter.split(metadata, y):
        assert not set(subjects[train]) & set(subjects[test])
        assert y[test].mean() == pytest.approx(0.25, abs=0.01)


def test_units_of_two_columns_and_names_in_natural_order():
    metadata = pd.DataFrame({"subject": ["S10", "S2", "S2", "S10"], "session": [1, 1, 2, 2]})
    names = [part.name for part in LeaveGroupsOut(by=["subject", "session"]).parts(metadata)]
    assert names == [
        "subject=S2, session=1",
        "subject=S2, session=2",
        "subject=S10, session=1",
        "subject=S10, session=2",
    ]


def test_every_sample_can_be_its_own_unit():
    metadata = pd.DataFrame({"file": list("abcdef")})
    splitter = LeaveGroupsOut(by="sample", n_splits=3)
    assert sorted(np.concatenate([test for _, test in splitter.split(metadata)])) == list(range(6))


def test_values_that_print_alike_are_one_unit():
    metadata = pd.DataFrame({"subject": [1, "1", 2, "2"]}, dtype=object)
    assert unit_labels(metadata, "subject").tolist() == ["1", "1", "2", "2"]
    assert LeaveGroupsOut().get_n_splits(metadata) == 2


def test_within_subject_folds_never_leave_the_subject():
    metadata = table()
    splitter = WithinGroups(LeaveGroupsOut(by="run"), by="subject")
    parts = list(splitter.split(metadata, LABELS))
    assert len(parts) == splitter.get_n_splits(metadata) == 18
    for train, test in parts:
        rows = metadata.iloc[np.concatenate([train, test])]
        assert rows["subject"].nunique() == 1
        assert set(metadata["run"].iloc[train]).isdisjoint(metadata["run"].iloc[test])
        assert len(rows) == 12


def test_given_split_follows_the_column():
    metadata = pd.DataFrame({"split": ["train", "val", "test", "train", "dev"]})
    splitter = GivenSplit(train=["train", "val"], unused="dev")
    [(train, test)] = splitter.split(metadata)
    assert (train.tolist(), test.tolist()) == ([0, 1, 3], [2])
    with pytest.raises(InputError, match=r"holds 'val' \(row 1\)"):
        list(GivenSplit().split(metadata))
    with pytest.raises(InputError, match="named as training and as test"):
        GivenSplit(train="a", test="a")


def test_a_given_column_of_numbers():
    metadata = pd.DataFrame({"half": [1, 1, 2]})
    [(train, test)] = GivenSplit(column="half", train=1, test=2).split(metadata)
    assert (train.tolist(), test.tolist()) == ([0, 1], [2])


def test_leaky_splitters_say_so_and_do_leak():
    metadata = table()
    for splitter in (RandomLeakySplit(stratify=True, n_splits=2), StratifiedLeakyKFold(), RandomLeakySplit()):
        assert splitter.leaky
        assert "Leaky" in type(splitter).__name__
        for train, test in splitter.split(metadata, LABELS):
            assert set(metadata["subject"].iloc[train]) & set(metadata["subject"].iloc[test])
    assert all(make_splitter(name).leaky == ("leaky" in name) for name in SPLITTERS)


def test_folds_carry_who_is_where():
    metadata = table()
    made = folds(metadata, LABELS, LeaveGroupsOut(by="run"), within="subject")
    assert [fold.index for fold in made] == list(range(18))
    first = made[0]
    assert first.name == "subject=S0, run=R0"
    assert first.by == ("subject", "run")
    assert (first.train_groups, first.test_groups) == (("S0/R1", "S0/R2"), ("S0/R0",))
    assert first.within == "S0"
    by_site = folds(metadata, LABELS, LeaveGroupsOut(by="site"), unit="subject")
    assert by_site[0].test_groups == ("S0", "S2", "S4")
    assert not by_site[0].leaky
    assert folds(metadata, LABELS, StratifiedLeakyKFold())[0].leaky


def test_folds_of_a_scikit_learn_splitter():
    metadata = table()
    made = folds(metadata, LABELS, GroupKFold(3), unit="subject")
    assert [fold.name for fold in made] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    assert all(set(fold.train_groups).isdisjoint(fold.test_groups) for fold in made)


def test_unseen_classes_are_named():
    metadata = pd.DataFrame({"subject": list("aabbcc")})
    made = folds(metadata, np.array([0, 1, 0, 1, 2, 2]), LeaveGroupsOut())
    assert [fold.unseen_classes for fold in made] == [(), (), (2,)]


def test_splits_work_with_scikit_learn():
    metadata = table()
    X = np.random.default_rng(0).normal(size=(72, 2)) + LABELS[:, None]
    splits = list(LeaveGroupsOut(n_splits=3).split(metadata, LABELS))
    assert cross_val_score(LogisticRegression(), X, LABELS, cv=splits).shape == (3,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: list(LeaveGroupsOut(by="subjects").split(table())), "no column 'subjects'; its columns are: 'subj"),
        (lambda: list(LeaveGroupsOut(n_splits=7).split(table())), "7 folds were asked for but .* has 6 units"),
        (lambda: list(LeaveGroupsOut().split(table(n_subjects=1))), r"one unit only \(S0\)"),
        (lambda: list(LeaveGroupsOut().split(np.zeros((5, 3)))), r"got ndarray of shape \(5, 3\); pass recordings"),
        (lambda: list(LeaveGroupsOut().split(table().iloc[:0])), "no rows"),
        (lambda: list(LeaveGroupsOut().split(table(), [0, 1])), "y has 2 entries but .* 72 rows"),
        (lambda: list(LeaveGroupsOut().split(table(), np.zeros(72, int))), "subject=S0: .* only class 0"),
        (lambda: list(LeaveGroupsOut().split(table(2), np.repeat(["a", "b"], 12))), "subject=S0: .* only class 'b'"),
        (lambda: LeaveGroupsOut(n_splits=1), "n_splits must lie in"),
        (lambda: LeaveGroupsOut(stratify=True), "stratify needs n_splits"),
        (lambda: list(LeaveGroupsOut(n_splits=2, stratify=True).split(table(), np.ones(72))), "one class label per"),
        (lambda: list(GivenSplit().split(table())), "no column 'split'"),
        (lambda: list(GivenSplit("site", "site0", "x", "site1").split(table())), "no sample is left in the test"),
        (lambda: list(RandomLeakySplit(stratify=True).split(table(), [0] + [1] * 71)), "class 0 has 1 sample"),
        (lambda: list(StratifiedLeakyKFold().split(table())), "one class label per sample"),
        (lambda: RandomLeakySplit(test_size=1.0), "test_size must lie in"),
        (lambda: list(RandomLeakySplit().split(table().iloc[:2])), "leaves an empty part"),
        (lambda: make_splitter("leave-group-out"), "did you mean 'leave-groups-out'"),
        (lambda: make_splitter("leave-groups-out", n_split=5), "did you mean 'n_splits'"),
        (lambda: folds(table(), None, LeaveGroupsOut("run", 4), within="subject"), "within subject=S0: 4 folds"),
        (lambda: folds(table(), None, LeaveGroupsOut("runs"), within="subject"), "no column 'runs'"),
        (lambda: folds(table(), None, GroupKFold(2), within="subject"), "needs a splitter of this package"),
        (lambda: folds(table(), None, "grouped"), "got 'grouped'; make one by name"),
        (lambda: unit_labels(table(), ()), "names no column"),
    ],
)
def test_what_cannot_be_split_is_said(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_row_without_a_subject_is_refused():
    metadata = pd.DataFrame({"subject": ["a", None, "b"]})
    with pytest.raises(InputError, match=r"'subject' has no value in 1 row\(s\), the first is row 1"):
        list(LeaveGroupsOut().split(metadata))
