"""A run that dies or is interrupted loses at most the cells it was computing."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spikeneuro import bench
from spikeneuro.bench.store import FILE_NAME, Store, locked

# Cells that take a noticeable time without any network.
SUITE = """
name: forests
experiments:
  - name: waves
    data: {source: data.py:waves, params: {n_subjects: 8}}
    split: {method: leave-groups-out, params: {by: subject}}
    unit: subject
candidates:
  - {name: forest, model: bandpower-forest, params: {n_trees: 200, segment: 0.5, bands: [[4, 12], [12, 30]]}}
  - {name: lda, model: bandpower-lda, params: {segment: 0.5, bands: [[4, 12], [12, 30]]}}
"""
N_CELLS = 16


def start(path: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "spikeneuro.cli", "run", str(path), "--out", str(out), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_rows(process: subprocess.Popen[str], out: Path, count: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{out / FILE_NAME}?mode=ro", uri=True)) as db,
        ):
            if db.execute("SELECT count(*) FROM cells").fetchone()[0] >= count:
                return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no {count} rows: {process.communicate()}")


def table(out: Path) -> str:
    """What the run computed, times and memory aside."""
    with Store(out) as store:
        rows = [
            (
                row["key"],
                row["status"],
                row["metrics"],
                {k: v.tolist() for k, v in store.predictions(row["key"]).items()},
            )
            for row in store.rows()
        ]
        frame = bench.summary(store)
    times = [column for column in frame if "seconds" in column or "memory" in column]
    return json.dumps(rows) + frame.drop(columns=times).to_csv()


def test_kill_in_the_middle_then_resume(make_suite, tmp_path):
    path = make_suite(SUITE)
    process = start(path, tmp_path / "killed")
    wait_for_rows(process, tmp_path / "killed", 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with Store(tmp_path / "killed") as store:
        done = {row["key"]: row["started"] + str(row["duration"]) for row in store.rows()}
        assert 3 <= len(done) < N_CELLS
        assert store.runs()[0]["ended"] is None
        assert store.counts()["missing"] == N_CELLS - len(done)

    result = bench.run(path, tmp_path / "killed", progress=False)
    assert (result.kept, result.computed) == (len(done), N_CELLS - len(done))
    with Store(tmp_path / "killed") as store:
        after = {row["key"]: row["started"] + str(row["duration"]) for row in store.rows()}
    assert done.items() <= after.items()  # no finished cell was computed again

    bench.run(path, tmp_path / "whole", progress=False)
    assert table(tmp_path / "killed") == table(tmp_path / "whole")


@pytest.mark.slow
def test_a_worker_that_dies_is_said(make_suite, tmp_path):
    path = make_suite(SUITE.replace("data.py:waves, params: {n_subjects: 8}", "dying.py:load"))
    (path.parent / "dying.py").write_text(
        "import multiprocessing, os, sys\n\n\n"
        "def load():\n"
        "    if multiprocessing.current_process().name != 'MainProcess':\n"
        "        os._exit(9)\n"
        "    sys.path.insert(0, os.path.dirname(__file__))\n"
        "    import data\n"
        "    return data.waves(8)\n"
    )
    process = start(path, tmp_path / "out", "--jobs", "2")
    _, complained = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "error: a worker process died" in complained
    with Store(tmp_path / "out") as store:
        assert store.counts()["missing"] == N_CELLS


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_interruption_says_how_to_go_on(make_suite, tmp_path, jobs):
    path, out = make_suite(SUITE), tmp_path / "out"
    process = start(path, out, "--jobs", jobs)
    wait_for_rows(process, out, 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130, complained
    with Store(out) as store:
        counts = store.counts()
        assert 2 <= counts["ok"] < N_CELLS
        assert counts["failed"] == 0
    assert f"interrupted: {counts['ok']} of {N_CELLS} cells are done; go on with: " in complained
    assert f"run {path} --out {out} --jobs {jobs}" in complained
    assert "Traceback" not in complained + said
    with locked(out):
        pass
    assert bench.run(path, out, progress=False).kept == counts["ok"]
