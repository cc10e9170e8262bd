"""The audit refuses what leaks, names it, and passes what does not: against brute force."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro.data.auditing import audit, sample_hashes
from spikeneuro.data.splits import BlockedSplit, LeaveGroupsOut, RandomLeakySplit, StratifiedLeakyKFold, folds
from spikeneuro.errors import InputError, LeakageError


def table(n_subjects=4, n_windows=6, step=1.0, length=2.0):
    rows = [
        {"subject": f"S{s}", "run": k % 2, "onset": k * step, "duration": length}
        for s in range(n_subjects)
        for k in range(n_windows)
    ]
    return pd.DataFrame(rows)


def samples(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3, 8))


def test_a_clean_split_passes_and_says_what_was_checked():
    metadata = table()
    for fold in folds(metadata, None, LeaveGroupsOut()):
        report = audit(metadata, fold, X=samples(24))
        assert report.clean
        assert report.checked == ("rows", "units of subject", "identical samples", "overlap in time")
        assert report.unchecked == ()


def test_what_cannot_be_checked_is_listed():
    report = audit(pd.DataFrame({"subject": list("aab")}), [0, 1], [2], by="subject")
    assert report.checked == ("rows", "units of subject")
    assert report.unchecked == ("identical samples: X was not given", "overlap in time: no column 'onset'")


@pytest.mark.parametrize(
    ("train", "test", "by", "message"),
    [
        ([0, 1, 2], [2, 3], "subject", r"1 row\(s\) are in training and in test: 2\. \(2 more finding"),
        (range(12), range(11, 24), "subject", r"1 row\(s\).*: 11"),
        (range(11), range(11, 24), "subject", "1 unit of subject is in training and in test: S1"),
        (range(0, 24, 2), range(1, 24, 2), "subject", "4 units of subject are .*: S0, S1, S2, ..."),
    ],
)
def test_rows_and_units_on_both_sides(train, test, by, message):
    with pytest.raises(LeakageError, match=message):
        audit(table(), list(train), list(test), by)


def test_combined_columns_are_one_unit():
    metadata = table(step=5.0)
    runs = metadata["run"].to_numpy()
    train, test = np.flatnonzero(runs == 0), np.flatnonzero(runs == 1)
    assert audit(metadata, train, test, by=["subject", "run"]).clean
    with pytest.raises(LeakageError, match="4 units of subject"):
        audit(metadata, train, test, by="subject")


@pytest.mark.parametrize("kind", ["signals", "images", "features", "integers", "ragged", "two modalities"])
def test_identical_samples_are_found_in_every_kind_of_data(kind):
    rng = np.random.default_rng(0)
    X = {
        "signals": lambda: rng.normal(size=(8, 2, 5)),
        "images": lambda: rng.normal(size=(8, 1, 4, 4)).astype(np.float32),
        "features": lambda: rng.normal(size=(8, 4)),
        "integers": lambda: rng.integers(0, 255, size=(8, 1, 6, 6), dtype=np.uint8),
        "ragged": lambda: pd.Series([rng.normal(size=(2, 5 + i % 3)) for i in range(8)]).to_numpy(copy=True),
        "two modalities": lambda: {"eeg": rng.normal(size=(8, 2, 5)), "fmri": rng.normal(size=(8, 3))},
    }[kind]()
    metadata = pd.DataFrame({"subject": list("aaaabbbb")})
    assert audit(metadata, range(4), range(4, 8), "subject", X).clean
    for part in X.values() if isinstance(X, dict) else [X]:
        part[6:7] = part[1:2]
    with pytest.raises(LeakageError, match=r"1 test sample\(s\) are identical to training samples: row 1 = row 6\."):
        audit(metadata, range(4), range(4, 8), "subject", X)
    if isinstance(X, dict):
        X["eeg"][6] += 1.0  # the pair differs in one modality
        assert audit(metadata, range(4), range(4, 8), "subject", X).clean


@given(values=st.lists(st.integers(0, 6), min_size=4, max_size=30), cut=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_number_of_duplicates_against_comparing_all_pairs(values, cut):
    X = np.array(values, dtype=float)[:, None] * np.array([1.0, -2.0])
    metadata = pd.DataFrame({"subject": ["a"] * cut + ["b"] * (len(values) - cut)})
    train, test = np.arange(cut), np.arange(cut, len(values))
    expected = sum(any((X[i] == X[j]).all() for i in train) for j in test)
    report = audit(metadata, train, test, "subject", X, allow_leak="counting")
    assert report.clean == (expected == 0)
    if expected:
        assert report.findings[0].startswith(f"{expected} test sample(s)")


def test_negative_zero_is_zero_and_shape_matters():
    assert sample_hashes(np.array([[0.0, 1.0]])) == sample_hashes(np.array([[-0.0, 1.0]]))
    ragged = np.empty(2, dtype=object)
    ragged[0], ragged[1] = np.zeros((2, 3)), np.zeros((3, 2))
    assert len(set(sample_hashes(ragged))) == 2


def test_duplicates_inside_one_part_are_no_leak():
    X = samples(6)
    X[1], X[5] = X[0], X[4]
    assert audit(pd.DataFrame({"subject": list("aaabbb")}), range(3), range(3, 6), "subject", X).clean


windows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.sampled_from([0.5, 1.0, 3.0, 10.0]), st.booleans()),
    min_size=4,
    max_size=24,
)


@given(rows=windows)
@settings(max_examples=100, deadline=None)
def test_overlaps_in_time_against_comparing_all_pairs(rows):
    metadata = pd.DataFrame(rows, columns=["run", "onset", "duration", "test"])
    train, test = np.flatnonzero(~metadata["test"]), np.flatnonzero(metadata["test"])
    if not len(train) or not len(test):
        return

    def overlap(i, j):
        a, b = metadata.iloc[i], metadata.iloc[j]
        together = a.onset < b.onset + b.duration and b.onset < a.onset + a.duration
        return a.run == b.run and together

    expected = sum(any(overlap(i, j) for j in test) for i in train)
    report = audit(metadata, train, test, by="sample", allow_leak="counting")
    if expected:
        assert report.findings == (report.findings[0],)
        assert report.findings[0].startswith(f"{expected} training sample(s) overlap")
    else:
        assert report.clean


def test_overlapping_windows_split_at_random_are_refused():
    """The field's commonest mistake: half-overlapping windows of one recording on both sides."""
    metadata = pd.DataFrame({"subject": "S1", "run": "1", "onset": np.arange(40) * 0.5})
    shuffled = np.random.default_rng(0).permutation(40)
    with pytest.raises(
        LeakageError, match=r"training sample\(s\) overlap test samples in time: row .* of recording S1/1"
    ):
        audit(metadata, shuffled[:30], shuffled[30:], by="sample", duration=1.0)
    for fold in folds(metadata, None, BlockedSplit(n_splits=4, duration=1.0)):
        assert audit(metadata, fold, by="sample", duration=1.0).clean


def test_a_leaky_splitter_must_be_declared():
    metadata = pd.DataFrame({"image": range(20)})
    y = np.tile([0, 1], 10)
    for splitter in (RandomLeakySplit(), StratifiedLeakyKFold()):
        for fold in folds(metadata, y, splitter):
            with pytest.raises(LeakageError, match="ignores whose a sample is"):
                audit(metadata, fold, by="image")
            report = audit(metadata, fold, by="image", allow_leak="the protocol of the paper compared with")
            assert report.allowed == "the protocol of the paper compared with"
            assert len(report.findings) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audit(table(), [0], [6], by="subjct"), "no column 'subjct'"),
        (lambda: audit(table(), [0], [6]), "needs by="),
        (lambda: audit(table(), [], [6], by="subject"), "train must be a list of row positions, not empty"),
        (lambda: audit(table(), [0], [24], by="subject"), "test has position 24 of 24 rows"),
        (lambda: audit(table(), [-1], [2], by="subject"), "train has position -1"),
        (lambda: audit(table(), np.arange(24) < 6, [6], by="subject"), "use np.flatnonzero"),
        (lambda: audit(table(), [0], [6], by="subject", X=samples(23)), "X has 23 samples but .* 24 rows"),
        (lambda: audit(table(), [0], [6], by="subject", allow_leak=" "), "allow_leak needs the reason"),
        (lambda: audit(table(), folds(table(), None, LeaveGroupsOut())[0], [1]), "not both"),
        (lambda: audit(table(), [0], [6], by="subject", recording="tape"), "no column 'tape'"),
        (lambda: sample_hashes({"a": samples(3), "b": samples(4)}), "differ in length"),
    ],
)
def test_misuse_is_said(call, message):
    with pytest.raises(InputError, match=message):
        call()


@given(seed=st.integers(0, 2**16), gap=st.sampled_from([0.0, 1.0, 2.5]))
@settings(max_examples=30, deadline=None)
def test_distance_in_time_against_comparing_all_pairs(seed, gap):
    """A blocked fold that was tampered with is refused exactly where a training row is too close to a test row."""
    metadata = table(n_subjects=2, n_windows=20)
    fold = folds(metadata, None, BlockedSplit(n_splits=4, gap=gap))[seed % 4]
    assert audit(metadata, fold).checked == ("rows", "distance in time")
    rest = np.setdiff1d(np.arange(len(metadata)), np.r_[fold.train, fold.test])
    added = np.random.default_rng(seed).choice(np.r_[rest, fold.train], size=3, replace=False)

    def close(i, j):
        a, b = metadata.iloc[i], metadata.iloc[j]
        same = (a.subject, a.run) == (b.subject, b.run)
        return same and a.onset < b.onset + b.duration + gap and b.onset < a.onset + a.duration + gap

    train = np.union1d(fold.train, added)
    expected = sum(any(close(i, j) for j in fold.test) for i in train)
    report = audit(metadata, replace(fold, train=train), allow_leak="counting")
    assert report.clean == (expected == 0)
    if expected:
        assert report.findings[0].startswith(f"{expected} training sample(s) ")


def test_blocks_without_times_are_audited_by_position_inside_each_subject():
    metadata = pd.DataFrame({"subject": np.repeat(["a", "b"], 12), "run": [0] * 24})
    splitter = BlockedSplit(n_splits=3, gap=1, onset=None, recording="run")
    for fold in folds(metadata, None, splitter, within="subject"):
        assert audit(metadata, fold).clean
        with pytest.raises(LeakageError, match="closer than 1 to test samples"):
            audit(metadata, replace(fold, train=np.setdiff1d(np.arange(24), fold.test)))
