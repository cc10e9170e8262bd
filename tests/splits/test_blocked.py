"""Blocked splits: the distance between training and test windows, by brute force over pairs."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro.data.splits import BlockedSplit
from spikeneuro.errors import InputError


def windows(n_recordings, n_windows, length, step, seed=0):
    rows = [
        {"subject": f"S{r}", "run": 1, "onset": k * step, "duration": length}
        for r in range(n_recordings)
        for k in range(n_windows)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=seed).reset_index(drop=True)


def distance(a, b):
    return max(b.onset - (a.onset + a.duration), a.onset - (b.onset + b.duration))


@given(
    n_recordings=st.integers(1, 3),
    n_windows=st.integers(8, 20),
    length=st.sampled_from([1.0, 2.0, 4.0]),
    step=st.sampled_from([0.5, 1.0, 2.0]),
    gap=st.sampled_from([0.0, 0.5, 1.0]),
    n_splits=st.integers(2, 3),
)
@settings(max_examples=40, deadline=None)
def test_training_windows_keep_their_distance_and_no_more_are_dropped(
    n_recordings, n_windows, length, step, gap, n_splits
):
    metadata = windows(n_recordings, n_windows, length, step)
    splitter = BlockedSplit(n_splits=n_splits, gap=gap)
    rows = list(metadata.itertuples())
    tested = []
    for part in splitter.parts(metadata):
        tested += part.test.tolist()
        allowed = []
        for i, row in enumerate(rows):
            near = [rows[j] for j in part.test if rows[j].subject == row.subject]
            if i not in part.test and all(distance(row, other) >= gap for other in near):
                allowed.append(i)
        assert part.train.tolist() == allowed
    assert sorted(tested) == list(range(len(metadata)))


def test_blocks_are_contiguous_in_time():
    metadata = windows(2, 10, 1.0, 1.0)
    for _, test in BlockedSplit(n_splits=5).split(metadata):
        for _, block in metadata.iloc[test].groupby("subject"):
            assert np.diff(np.sort(block["onset"])).tolist() == [1.0]


def test_gap_in_rows_when_there_are_no_times():
    metadata = pd.DataFrame({"run": ["a"] * 6 + ["b"] * 6})
    train, test = list(BlockedSplit(n_splits=3, gap=1, onset=None).split(metadata))[1]
    assert test.tolist() == [2, 3, 8, 9]
    assert train.tolist() == [0, 5, 6, 11]
    with pytest.raises(InputError, match="gap must be an integer"):
        BlockedSplit(gap=0.5, onset=None)


def test_windows_cut_from_one_recording_are_recognised_without_a_run():
    metadata = pd.DataFrame({"recording": np.repeat([0, 1], 6), "onset": np.tile(np.arange(6.0), 2)})
    for train, test in BlockedSplit(n_splits=3, gap=1.0, duration=1.0).split(metadata):
        for i, j in itertools.product(train, test):
            same = metadata["recording"][i] == metadata["recording"][j]
            assert not same or abs(metadata["onset"][i] - metadata["onset"][j]) >= 2.0


def test_touching_windows_with_rounding_are_kept():
    metadata = pd.DataFrame({"run": "1", "onset": np.arange(30) * 0.1})
    sizes = [len(train) for train, _ in BlockedSplit(n_splits=3, duration=0.1).split(metadata)]
    assert sizes == [20, 20, 20]


@pytest.mark.parametrize(
    ("columns", "params", "message"),
    [
        ({"run": ["1"] * 6}, {}, "no column 'onset'"),
        ({"run": ["1"] * 6, "onset": range(6)}, {}, "no column 'duration'; give duration"),
        ({"onset": range(6)}, {"duration": 1.0}, "which rows share a recording is unknown"),
        ({"run": ["1"] * 6, "onset": [0, 1, np.nan, 3, 4, 5]}, {"duration": 1.0}, "no finite value .* row 2"),
        ({"run": ["1"] * 6, "onset": list("abcdef")}, {"duration": 1.0}, "must hold numbers"),
        ({"run": ["1"] * 6, "onset": range(6), "duration": [1, 1, -1, 1, 1, 1]}, {}, "negative in row 2"),
        ({"run": list("111222"), "onset": range(6)}, {"duration": 1.0}, "recording 1 has 3 row"),
        ({"run": ["1"] * 6, "onset": range(6)}, {"duration": 1.0, "gap": 9.0}, "no sample is left in the training"),
    ],
)
def test_what_cannot_be_blocked_is_said(columns, params, message):
    with pytest.raises(InputError, match=message):
        list(BlockedSplit(**params).split(pd.DataFrame(columns)))
