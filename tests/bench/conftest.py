"""Small suites on data made on the spot, for the tests of the harness."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

ADAPTER = '''
"""Small data sets."""

import numpy as np

from spikeneuro.data import Recordings


def blobs(n_subjects=6, n_trials=10, shift=0.8, constant_subject=False, per_subject=False):
    """Features of two classes, apart by `shift`."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(n_subjects), n_trials)
    y = subject % 2 if per_subject else np.tile(np.arange(n_trials) % 2, n_subjects)
    X = rng.normal(size=(len(y), 5)) + shift * y[:, None]
    run = np.tile(np.arange(n_trials) // (n_trials // 2), n_subjects)
    metadata = {"subject": [f"S{k}" for k in subject], "run": run}
    return Recordings(X, y, metadata, None, modality="features", description="two blobs")


def waves(n_subjects=4, n_trials=12, n_times=48):
    """Signals with a sine of 8 Hz in one of two channels, 64 Hz."""
    rng = np.random.default_rng(1)
    subject = np.repeat(np.arange(n_subjects), n_trials)
    y = np.tile(np.arange(n_trials) % 2, n_subjects)
    X = rng.normal(size=(len(y), 2, n_times))
    X[np.arange(len(y)), y] += 2 * np.sin(2 * np.pi * 8 * np.arange(n_times) / 64)
    return Recordings(X, y, {"subject": subject}, 64.0, ["left", "right"], modality="eeg")


def ages(n=40):
    """Features that sum up to an age."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, 4))
    return Recordings(X, X.sum(axis=1) + 0.1 * rng.normal(size=n), {"subject": np.arange(n)}, None, modality="features")


def steps(n=12, n_times=30):
    """Events that label themselves, step by step; the first five steps do not count."""
    rng = np.random.default_rng(3)
    y = (rng.random((n, n_times)) < 0.5).astype(int)
    X = np.stack([y, 1 - y], axis=1) + 0.1 * rng.normal(size=(n, 2, n_times))
    y[:, :5] = -1
    metadata = {"recording": np.arange(n) // 2}
    return Recordings(X, y, metadata, 64.0, ["a", "b"], modality="signal")


def ragged(n=16):
    """Signals of different lengths, in which one class swings faster."""
    rng = np.random.default_rng(4)
    y = np.arange(n) % 2
    X = [np.sin((0.3 + label) * np.arange(24 + i)) + 0.1 * rng.normal(size=(2, 24 + i)) for i, label in enumerate(y)]
    return Recordings(X, y, {"subject": np.arange(n)}, 1.0, ["a", "b"], modality="fmri")
'''

SUITE = """
name: blobs
title: Two blobs
seeds: [0, 1]
experiments:
  - name: across
    data: {source: data.py:blobs}
    split: {method: leave-groups-out, params: {by: subject, n_splits: 3, random_state: 0}}
    unit: subject
candidates:
  - {name: logistic, model: logistic-regression}
  - {name: neighbour, model: nearest-neighbour}
"""


@pytest.fixture
def make_suite(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes a suite file (with the adapters beside it) and returns its path."""

    def write(text: str = SUITE, name: str = "suite.yaml") -> Path:
        (tmp_path / "data.py").write_text(ADAPTER)
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write
