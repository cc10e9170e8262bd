"""The command that tells accuracy, spikes and energy against the share of ON, on a tiny run of its own."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from spikeneuro.bench import Store, load_suite, run

COMMAND = Path(__file__).parents[2] / "benchmarks" / "rhythm_duty" / "run.py"
ADAPTER = '''
"""Signals of one channel whose second half swings in one class."""

import numpy as np

from spikeneuro.data import Recordings


def load():
    """Forty signals."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = 0.3 * rng.random((40, 1, 784)) + y[:, None, None] * (np.arange(784) > 400)
    return Recordings(X.astype("float32"), y, {"part": ["train"] * 24 + ["test"] * 16}, 1.0, modality="signal")
'''
#: Feed-forward networks that differ in their rhythm.
NET = "hidden: [8, 6], recurrent: false, tau_unit: steps"
SUITE = f"""
name: tiny
seeds: [0]
training: {{max_epochs: 1, batch_size: 8, scale: none, validation_fraction: null}}
candidates:
  - {{name: duty-0.5, model: rhythm-snn, params: {{{NET}, cycle: [4, 40], duty: [0.5, 0.5]}}}}
  - {{name: duty-0.1, model: rhythm-snn, params: {{{NET}, cycle: [10, 40], duty: [0.1, 0.1]}}}}
  - {{name: unmodulated, model: rhythm-snn, params: {{{NET}, rhythm: none}}}}
  - {{name: gru, params: {{hidden: 4}}}}
experiments:
  - name: sweep
    data: {{source: "signals.py:load"}}
    split: {{method: given, params: {{column: part}}}}
    unit: sample
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("duty")
    (here / "signals.py").write_text(ADAPTER)
    (here / "tiny.yaml").write_text(SUITE)
    run(load_suite(here / "tiny.yaml"), here / "out")
    return here


def told(monkeypatch, folder, *options):
    monkeypatch.setattr(sys, "argv", [str(COMMAND), str(folder / "out"), *map(str, options)])
    runpy.run_path(str(COMMAND), run_name="__main__")


def test_the_sweep_and_the_pairs(folder, monkeypatch, capsys):
    told(monkeypatch, folder, "--experiment", "sweep", "--csv", folder / "duty.csv", "--plot", folder / "duty.png")
    rows = list(csv.DictReader((folder / "duty.csv").open()))
    assert [row["candidate"] for row in rows] == ["duty-0.5", "duty-0.1"]  # neither the twin nor the GRU
    np.testing.assert_allclose([float(row["share_on"]) for row in rows], [0.5, 0.1], atol=0.03)
    with Store(folder / "out") as store:
        cell = next(row for row in store.rows("sweep") if row["candidate"] == "duty-0.1")
    assert float(rows[1]["energy_j"]) == cell["energy_j"]
    assert float(rows[1]["accuracy"]) == pytest.approx(cell["metrics"]["accuracy"])
    # rate in spikes per neuron and step, of 14 neurons and 784 steps
    assert float(rows[1]["spikes"]) == pytest.approx(cell["spike_rate"] * 14 * 784)
    assert (folder / "duty.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "| sweep | duty-0.1 | unmodulated | " in said
    assert "Spikes fall with" in said or "Spikes do not fall with" in said


def test_an_unknown_experiment_is_named(folder, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        told(monkeypatch, folder)
    assert "the run has no experiment 'permuted-duty'; it has sweep" in capsys.readouterr().err
