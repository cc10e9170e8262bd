"""The store keeps what it was given, and refuses what it cannot."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikeneuro.bench.store import FILE_NAME, Store, locked
from spikeneuro.errors import DataNotFoundError, InputError


def row(key: str, fold: int = 0, status: str = "ok", **more):
    return {"key": key, "experiment": "e", "candidate": "c", "fold": fold, "seed": 0, "status": status, **more}


def place(key: str, fold: int = 0):
    return {"key": key, "experiment": "e", "candidate": "c", "fold": fold, "seed": 0}


def test_round_trip_of_a_row_and_its_arrays(tmp_path):
    arrays = {"index": np.arange(3), "unit": np.array(["a", "b", "ü"]), "probability": np.full((3, 2), 0.5)}
    with Store(tmp_path, create=True) as store:
        metrics = {"accuracy": np.float32(0.5), "roc_auc": float("nan"), "f1": None}
        store.write(row("k", metrics=metrics, n_test=np.int64(3), test_groups=("a", "b")), arrays, {"s": np.eye(2)})
    with Store(tmp_path) as store:
        (found,) = store.rows()
        assert found["metrics"] == {"accuracy": 0.5, "roc_auc": None, "f1": None}
        assert (found["n_test"], found["test_groups"], found["macs"]) == (3, ["a", "b"], None)
        for name, array in store.predictions("k").items():
            np.testing.assert_array_equal(array, arrays[name])
        assert store.raster("k")["s"].tolist() == [[1, 0], [0, 1]]
        assert store.predictions("unknown") == {}


def test_object_arrays_and_unknown_columns_are_refused_and_nothing_is_written(tmp_path):
    with Store(tmp_path, create=True) as store:
        with pytest.raises(InputError, match="holds Python objects"):
            store.write(row("k"), {"bad": np.array([{}], dtype=object)})
        with pytest.raises(InputError, match="no column 'colour'"):
            store.write(row("k", colour="red"))
        assert store.rows() == []


def test_without_a_plan_the_newest_row_of_a_place_counts(tmp_path):
    with Store(tmp_path, create=True) as store:
        store.write(row("old"))
        store.write(row("new"))
        store.write(row("other", fold=1, status="failed"))
        assert [r["key"] for r in store.rows()] == ["new", "other"]
        assert [r["key"] for r in store.rows(status="failed")] == ["other"]
        assert store.rows(experiment="none") == []


def test_a_plan_decides_what_counts(tmp_path):
    with Store(tmp_path, create=True) as store:
        for key, fold in (("a", 0), ("b", 1), ("gone", 7)):
            store.write(row(key, fold))
        store.write_plan([place("b", 1), place("a2", 0), place("c", 2)], [{"name": "e"}])
        assert [r["key"] for r in store.rows()] == ["b"]
        assert store.counts() == {"planned": 3, "ok": 1, "failed": 0, "missing": 2, "stale": 1}
        assert store.counts("e", "nobody")["planned"] == 0
        # Going back to the earlier definition brings its row back.
        store.write_plan([place("a", 0)], [])
        assert [r["key"] for r in store.rows()] == ["a"]
        assert set(store.statuses()) == {"a", "b", "gone"}


def test_a_failed_cell_computed_anew_replaces_its_row(tmp_path):
    with Store(tmp_path, create=True) as store:
        store.write(row("k", status="failed", error="boom"))
        store.write(row("k"), {"index": np.arange(2)})
        (found,) = store.rows()
        assert (found["status"], found["error"]) == ("ok", None)


def test_runs_have_no_end_until_they_end(tmp_path):
    with Store(tmp_path, create=True) as store:
        number = store.start_run({"suite": "s", "started": "now", "versions": {"torch": "2"}})
        assert store.runs()[0]["ended"] is None
        store.end_run(number, "later")
        assert store.runs()[0]["ended"] == "later"
        assert store.runs()[0]["versions"] == {"torch": "2"}


def test_the_file_is_in_wal_mode_and_fully_synchronous(tmp_path):
    with Store(tmp_path, create=True) as store:
        assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store._connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_absent_foreign_damaged_and_other_layout(tmp_path):
    with pytest.raises(DataNotFoundError, match="no results at"):
        Store(tmp_path)
    path = tmp_path / FILE_NAME
    assert not path.exists()  # looking does not make one

    path.write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match="cannot be read as a store"):
        Store(tmp_path)
    path.unlink()

    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match="of another program"):
        Store(tmp_path)
    path.unlink()

    with Store(tmp_path, create=True) as store:
        store._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="has layout 99"):
        Store(tmp_path)


def test_a_store_cut_in_the_middle_is_refused(tmp_path):
    with Store(tmp_path, create=True) as store:
        for fold in range(50):
            store.write(row(f"k{fold}", fold, error="x" * 5000))
    path = tmp_path / FILE_NAME
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match="damaged|cannot be read"):
        Store(tmp_path)


def test_readers_may_look_while_a_writer_writes(tmp_path):
    with Store(tmp_path, create=True) as writer, Store(tmp_path) as reader:
        writer.write(row("k"))
        assert len(reader.rows()) == 1


def test_a_second_run_is_refused_and_a_dead_one_leaves_no_lock(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="another run is writing"), locked(tmp_path):
        pass
    code = (
        "import sys, os; from pathlib import Path; from spikeneuro.bench.store import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert died.returncode == -9
    with locked(Path(tmp_path)):
        pass
