"""What a suite must say about its split: overlapping windows, blocks of time, single rows, units on both sides."""

import numpy as np
import pytest

from spikeneuro import bench
from spikeneuro.bench.leaks import timed_table
from spikeneuro.bench.plan import make_plan
from spikeneuro.bench.store import Store
from spikeneuro.bench.suite import load_suite
from spikeneuro.data import Recordings
from spikeneuro.errors import InputError, LeakageError

SIGNALS = """
import numpy as np

from spikeneuro.data import Recordings


def whole(seconds=20, rate=32):
    rng = np.random.default_rng(0)
    y = np.arange(8) % 2
    X = rng.normal(size=(8, 2, seconds * rate))
    X[np.arange(8), y] += 2 * np.sin(2 * np.pi * 8 * np.arange(seconds * rate) / rate)
    return Recordings(X, y, {"subject": np.arange(8) // 2, "run": np.arange(8) % 2}, float(rate), ["a", "b"])


def windows(length=2.0, step=1.0, duration=True):
    cut = whole().windows(length, step)
    if duration:
        return cut
    table = cut.metadata.drop(columns="duration")
    return Recordings(cut.X, cut.y, table, cut.sfreq, cut.names, label_names=cut.label_names)


def halves(length=2.0, step=1.0, duration=True):
    cut = windows(length, step, duration)
    # A division by time whose author forgot that the windows overlap.
    table = cut.metadata.assign(half=np.where(cut.metadata["onset"] < 10, "first", "second"))
    return Recordings(cut.X, cut.y, table, cut.sfreq, cut.names, label_names=cut.label_names)
"""

SUITE = """
name: windows
title: Windows of signals
experiments:
  - name: one
    data: {source: signals.py:SOURCE}
    split: {SPLIT}
    unit: subject
candidates:
  - {name: variance, model: csp-lda}
"""


@pytest.fixture
def suite(tmp_path):
    """Function that writes a suite on the signals and returns its path."""

    def write(source, split, more=""):
        (tmp_path / "signals.py").write_text(SIGNALS)
        text = SUITE.replace("SOURCE", source).replace("SPLIT", split)
        path = tmp_path / "suite.yaml"
        path.write_text(text.replace("unit: subject", "unit: subject" + more))
        return path

    return write


def audit_of(path):
    (row,) = make_plan(load_suite(path)).experiments
    return row["audit"]


@pytest.mark.parametrize("params", ["{}", "{duration: false}"])
def test_half_overlapping_windows_on_both_sides_are_refused(suite, tmp_path, params):
    path = suite(f"halves, params: {params}", "method: leave-groups-out, params: {by: half}")
    with pytest.raises(LeakageError, match="overlap test samples in time"):
        bench.run(path, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    apart = suite(
        f"halves, params: {params[:-1]}{', ' * (len(params) > 2)}step: 2.0}}",
        "method: leave-groups-out, params: {by: half}",
    )
    assert "overlap in time" in audit_of(apart)["checked"]


def test_windows_whose_length_cannot_be_known_are_said_to_be_unchecked():
    table = {"subject": [0, 0, 1, 1], "onset": [0.0, 1.0, 0.0, 1.0]}
    features = Recordings(np.random.default_rng(0).normal(size=(4, 3)), [0, 1, 0, 1], table, modality="features")
    assert "duration" not in timed_table(features)
    signals = [np.random.default_rng(i).normal(size=(2, 50 + 10 * i)) for i in range(4)]
    ragged = Recordings(signals, [0, 1, 0, 1], table, 10.0, ["a", "b"], modality="signal")
    assert timed_table(ragged)["duration"].tolist() == [5.0, 6.0, 7.0, 8.0]


@pytest.mark.parametrize("params", ["{}", "{duration: false}"])
def test_blocks_of_time_run_and_are_audited_in_time(suite, tmp_path, params):
    split = "method: blocked, params: {n_splits: 4, gap: 1.0}"
    path = suite(f"windows, params: {params}", split)
    result = bench.run(path, tmp_path / "out", progress=False)
    assert result.counts["ok"] == 4
    with Store(tmp_path / "out") as store:
        (row,) = store.experiments()
    audit = row["audit"]
    assert (audit["allowed"], audit["unchecked"]) == (None, [])
    assert "distance in time" in audit["checked"]
    assert not any("units" in text for text in audit["checked"])
    assert audit["findings"] == [
        "4 of 4 units of subject are in training and in test (0, 1, 2, ...): results hold for these, not for new ones."
    ]


def test_blocks_within_a_subject_are_the_design_and_no_finding(suite):
    path = suite("windows", "method: blocked, params: {n_splits: 4}", "\n    within: subject")
    assert audit_of(path)["findings"] == []


BY_SAMPLE = "method: leave-groups-out, params: {by: sample, n_splits: 5}"


@pytest.mark.parametrize("within", ["", "\n    within: subject"])
def test_folds_of_single_windows_leak_whatever_their_name(suite, tmp_path, within):
    step = "windows, params: {step: 2.0}"
    with pytest.raises(InputError, match="ignores whose a sample is"):
        bench.run(suite(step, BY_SAMPLE, within), tmp_path / "out", progress=False)
    audit = audit_of(suite(step, BY_SAMPLE, within + "\n    note: leaks on purpose"))
    assert audit["allowed"] == "leaks on purpose"
    assert any("ignores whose a sample is" in finding for finding in audit["findings"])
    assert bool(within) != any("4 of 4 units of subject" in finding for finding in audit["findings"])


def test_folds_of_single_rows_are_honest_where_every_row_is_a_person(make_suite):
    path = make_suite("""
    name: people
    title: People
    experiments:
      - name: one
        data: {source: data.py:ages}
        task: regression
        split: {method: leave-groups-out, params: {by: sample, n_splits: 5}}
        unit: subject
    candidates:
      - {name: ridge, model: ridge}
    """)
    assert audit_of(path)["findings"] == []


def test_a_session_left_out_of_known_subjects_is_a_finding(suite):
    path = suite("windows", "method: leave-groups-out, params: {by: [subject, run], n_splits: 4}")
    (finding,) = audit_of(path)["findings"]
    assert finding.startswith("4 of 4 units of subject are in training and in test (0, 1, 2, ...)")
    assert audit_of(suite("windows", "method: leave-groups-out, params: {by: subject}"))["findings"] == []
