"""Suites over recordings of several modalities: one set of folds for networks on all of them and on one."""

import numpy as np
import pandas as pd
import pytest

from spikeneuro.bench import load_suite
from spikeneuro.bench.control import shuffle_labels
from spikeneuro.bench.leaks import audited_folds, timed_table
from spikeneuro.bench.plan import make_plan
from spikeneuro.bench.runner import run
from spikeneuro.bench.store import Store
from spikeneuro.data import Recordings, folds, make_splitter
from spikeneuro.errors import InputError, LeakageError

SUITE = """
name: two
title: Two modalities
training: {max_epochs: 1, validation_fraction: null}
seeds: [0]
candidates:
  - {name: cma, model: cross-modal-snn, params: {hidden: 4}}
  - {name: cnn, model: cross-modal-cnn, params: {fusion: late, hidden: 4}}
  - {name: when-alone, model: recurrent-snn, modality: when, params: {hidden: 4}}
  - {name: linear, model: logistic-regression, modality: where}
experiments:
  - name: people
    data: {source: simulated-where-when, params: {n_samples: 48, n_subjects: 4}}
    split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}
    unit: subject
"""


def suite(tmp_path, text=SUITE):
    path = tmp_path / "two.yaml"
    path.write_text(text)
    return load_suite(path)


def gapped(n=12, same=None):
    """Recordings of two modalities, one of them missing in two samples; `same`: a sample copied from another person."""
    rng = np.random.default_rng(0)
    X = {"eeg": rng.normal(size=(n, 2, 32)), "age": rng.integers(20, 22, size=(n, 1)).astype(float)}
    X["eeg"][[2, 7]] = np.nan
    if same is not None:
        X["eeg"][same] = X["eeg"][0]
    table = pd.DataFrame({"subject": np.repeat(["a", "b", "c"], n // 3)})
    kinds = {"eeg": "eeg", "age": "features"}
    return Recordings(X, np.arange(n) % 2, table, {"eeg": 64.0}, modality=kinds)


def audited(recordings, tmp_path):
    experiment = suite(tmp_path).experiments[0]
    table = timed_table(recordings)
    made = folds(table, recordings.y, make_splitter("leave-groups-out", by="subject"))
    return audited_folds(experiment, recordings, table, made)


def test_all_candidates_run_on_the_same_folds(tmp_path):
    run(suite(tmp_path), tmp_path / "out")
    with Store(tmp_path / "out") as store:
        rows = store.rows()
        experiments = store.experiments()
    rows = pd.DataFrame(rows)
    assert set(rows["status"]) == {"ok"}, rows["error"].tolist()
    assert rows.groupby("fold")["n_test"].nunique().eq(1).all()
    assert rows.groupby("candidate")["fold"].nunique().eq(2).all()
    networks = rows[rows["kind"] == "network"]
    assert (networks["energy_j"] > 0).all()
    assert pd.DataFrame(experiments)["modality"].tolist() == ["signal + signal"]


def test_recordings_with_gaps(tmp_path):
    recordings = gapped()
    assert recordings.absent("eeg").nonzero()[0].tolist() == [2, 7]
    again = Recordings.load(recordings.save(tmp_path / "gaps"))
    assert again.fingerprint == recordings.fingerprint
    assert again.absent("eeg").sum() == 2
    assert recordings.select(~recordings.absent("eeg")).part("eeg").X.shape == (10, 2, 32)
    with pytest.raises(InputError, match="2 of 12 samples lack the modality 'eeg', the first is 2"):
        recordings.part("eeg")
    everything = {name: np.full_like(x, np.nan) if name == "eeg" else x for name, x in recordings.X.items()}
    with pytest.raises(InputError, match="'eeg'.*no sample has this modality"):
        Recordings(everything, recordings.y, recordings.metadata, {"eeg": 64.0}, modality=recordings.modality)
    nobody = {name: x.copy() for name, x in recordings.X.items()}
    nobody["age"][2] = np.nan
    with pytest.raises(InputError, match="sample 2 .* has no modality"):
        Recordings(nobody, recordings.y, recordings.metadata, {"eeg": 64.0}, modality=recordings.modality)
    broken = {name: x.copy() for name, x in recordings.X.items()}
    broken["eeg"][4, 1, 3] = np.nan
    with pytest.raises(InputError, match=r"X\['eeg'\]\[4\].*NaN"):
        Recordings(broken, recordings.y, recordings.metadata, {"eeg": 64.0}, modality=recordings.modality)


def test_one_identical_modality_is_a_leak_but_ages_and_gaps_are_not(tmp_path):
    assert audited(gapped(), tmp_path)["findings"] == []
    with pytest.raises(LeakageError, match=r"modality 'eeg': .*row 9 = row 0"):
        audited(gapped(same=9), tmp_path)


def test_labels_are_shuffled_for_all_modalities_together():
    recordings = gapped(60)
    shuffled = shuffle_labels(recordings, np.arange(60).astype(str))
    assert (shuffled.y != recordings.y).any()
    for name, x in recordings.X.items():
        np.testing.assert_array_equal(shuffled.X[name], x)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("modality: where", "modality: were", "did you mean 'where'"),
        ("model: logistic-regression, modality: where", "model: logistic-regression", "such as modality: where"),
        ("model: cross-modal-cnn,", "model: cross-modal-cnn, modality: when,", "takes several modalities"),
        ("{hidden: 4}}\n  - {name: cnn", "{hiden: 4}}\n  - {name: cnn", "hidden"),
        ("modality: where", "modality: 3", "a text is needed"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tmp_path, old, new, message):
    assert old in SUITE
    with pytest.raises(InputError, match=message):
        make_plan(suite(tmp_path, SUITE.replace(old, new)))
