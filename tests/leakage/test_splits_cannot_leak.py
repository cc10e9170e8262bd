"""Who is trained on cannot depend on what is tested: splits look at the table, never at the samples."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro.data.auditing import audit
from spikeneuro.data.splits import BlockedSplit, LeaveGroupsOut, RandomLeakySplit, folds, inner_split

HONEST = {
    "leave one subject out": (LeaveGroupsOut("subject"), None),
    "subject folds": (LeaveGroupsOut("subject", n_splits=3, random_state=0), None),
    "session of a subject": (LeaveGroupsOut(["subject", "session"], n_splits=4), None),
    "site": (LeaveGroupsOut("site"), None),
    "run within subject": (LeaveGroupsOut("run"), "subject"),
    "blocks": (BlockedSplit(n_splits=3, gap=1.0, duration=2.0), None),
    "blocks within subject": (BlockedSplit(n_splits=3, duration=2.0), "subject"),
}


def table():
    rows = [
        {"subject": f"S{s}", "site": s % 2, "session": r // 2, "run": r, "onset": 0.5 * k}
        for s in range(6)
        for r in range(4)
        for k in range(20)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", HONEST)
def test_every_honest_split_passes_the_audit(name):
    splitter, within = HONEST[name]
    metadata = table()
    X = np.random.default_rng(0).normal(size=(len(metadata), 4))
    made = folds(metadata, None, splitter, within=within)
    assert made
    for fold in made:
        report = audit(metadata, fold, X=X, duration=2.0)
        assert report.clean
        assert report.unchecked == ()


@pytest.mark.parametrize("name", HONEST)
@given(seed=st.integers(0, 2**16))
@settings(max_examples=5, deadline=None)
def test_labels_of_test_samples_never_move_a_training_row(name, seed):
    splitter, within = HONEST[name]
    metadata = table()
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, size=len(metadata))
    for k, fold in enumerate(folds(metadata, y, splitter, within=within)[:4]):
        changed = y.copy()
        changed[fold.test] = rng.integers(0, 5, size=len(fold.test))
        again = folds(metadata, changed, splitter, within=within)[k]
        assert np.array_equal(fold.train, again.train)
        assert np.array_equal(fold.test, again.test)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_the_inner_split_depends_on_the_training_part_alone(seed):
    metadata = table()
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, size=len(metadata))
    fold = folds(metadata, y, LeaveGroupsOut("subject", n_splits=3))[seed % 3]
    groups = metadata["subject"].to_numpy()
    before = inner_split(groups[fold.train], y[fold.train], 0.25, random_state=seed)
    changed = np.where(np.isin(np.arange(len(y)), fold.test), 1 - y, y)
    after = inner_split(groups[fold.train], changed[fold.train], 0.25, random_state=seed)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    validation = set(groups[fold.train][before[1]])
    assert not validation & set(groups[fold.train][before[0]])
    assert not validation & set(groups[fold.test])


@given(shift=st.floats(-1e3, 1e3))
@settings(max_examples=10, deadline=None)
def test_blocks_do_not_depend_on_when_the_clock_was_started(shift):
    metadata = table()
    later = metadata.assign(onset=metadata["onset"] + round(shift, 1))
    splitter = BlockedSplit(n_splits=4, gap=1.5, duration=2.0)
    for (a, b), (c, d) in zip(splitter.split(metadata), splitter.split(later), strict=True):
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)


def test_drawing_a_split_leaves_the_global_generator_alone():
    before = np.random.get_state(legacy=False)["state"]
    list(LeaveGroupsOut("subject", n_splits=3, random_state=1).split(table()))
    list(RandomLeakySplit(n_splits=3).split(table()))
    inner_split(None, np.tile([0, 1], 20), 0.2, random_state=1)
    after = np.random.get_state(legacy=False)["state"]
    assert before["pos"] == after["pos"]
    assert np.array_equal(before["key"], after["key"])
