"""Running: what is there is kept, what is missing is computed, failures are rows, workers change nothing."""

import json
import pkgutil
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest

from spikeneuro import bench
from spikeneuro.bench.progress import Silent
from spikeneuro.bench.store import FILE_NAME, Store, locked
from spikeneuro.errors import InputError

#: Columns that hold times, memory or the occasion.
OCCASION = {"started", "duration", "train_seconds", "inference_seconds_per_sample", "peak_memory_bytes", "command"}


class Listener(Silent):
    """Keeps what a run says."""

    def __init__(self):
        self.said, self.rows = [], []

    def say(self, text):
        self.said.append(text)

    def finished(self, row, scorer):
        self.rows.append((row["experiment"], row["candidate"], row["fold"], row["seed"]))


def contents(folder):
    """Everything in a store that must not depend on the occasion."""
    with Store(folder) as store:
        rows = [{name: value for name, value in row.items() if name not in OCCASION} for row in store.rows()]
        arrays = [{n: a.tolist() for n, a in store.predictions(row["key"]).items()} for row in rows]
    for row in rows:
        for epoch in row["history"] or []:
            epoch.pop("dur", None)
    return json.dumps([rows, arrays], sort_keys=True)


def run(path, out, **options):
    listener = Listener()
    return bench.run(path, out, progress=listener, **options), listener


def test_a_run_fills_the_folder_and_a_second_one_computes_nothing(make_suite, tmp_path):
    path, out = make_suite(), tmp_path / "out"
    result, listener = run(path, out)
    assert result.counts == {"planned": 12, "ok": 12, "failed": 0, "missing": 0, "stale": 0}
    assert (result.computed, result.kept, len(listener.rows)) == (12, 0, 12)
    assert (out / "suite.yaml").read_text() == path.read_text()
    assert (out / "suite.yaml").stat().st_mode == path.stat().st_mode  # readable by whom any new file is
    before = contents(out)
    again, listener = run(path, out)
    assert (again.computed, again.kept, listener.rows) == (0, 12, [])
    assert "12 cells are finished already and kept" in listener.said
    assert contents(out) == before
    pd.testing.assert_frame_equal(again.summary, result.summary)
    with Store(out) as store:
        assert [bool(r["ended"]) for r in store.runs()] == [True, True]


def test_rows_say_who_was_where_and_what_was_predicted(make_suite, tmp_path):
    run(make_suite(), tmp_path / "out")
    with Store(tmp_path / "out") as store:
        rows = store.rows()
        for row in rows:
            arrays = store.predictions(row["key"])
            assert set(arrays["unit"]) == set(row["test_groups"])
            assert not set(row["train_groups"]) & set(row["test_groups"])
            assert row["n_train"] + row["n_validation"] + row["n_test"] == 60
            right = float(np.mean(arrays["y_true"] == arrays["prediction"]))
            assert row["metrics"]["accuracy"] == pytest.approx(right)
            np.testing.assert_allclose(arrays["probability"].sum(axis=1), 1)
            assert "not counted" in row["notes"]["macs"]
            assert row["versions"]["spikeneuro"]
        (experiment,) = store.experiments()
        assert experiment["classes"] == {"0": 30, "1": 30}
        assert (experiment["n_units"], experiment["n_folds"], experiment["shape"]) == (6, 3, [5])
        assert "rows" in experiment["audit"]["checked"]


def test_only_selects_and_the_rest_is_reported_missing(make_suite, tmp_path):
    path, out = make_suite(), tmp_path / "out"
    result, _ = run(path, out, only="neigh*")
    assert result.counts["ok"] == result.counts["missing"] == 6
    frame = result.summary.set_index("candidate")
    assert frame.loc["logistic", "n_missing"] == 6
    assert np.isnan(frame.loc["logistic", "score"])
    result, listener = run(path, out, only="across/logistic")
    assert result.counts["ok"] == 12
    assert {candidate for _, candidate, _, _ in listener.rows} == {"logistic"}
    with pytest.raises(InputError, match="no cell matches 'nobody'; experiments: across; candidates: logistic, neigh"):
        run(path, out, only="nobody")


@pytest.mark.parametrize("candidates", ["[cnn, csp-lda]", pytest.param("[snn, cnn]", marks=pytest.mark.slow)])
def test_workers_change_nothing(make_suite, tmp_path, candidates):
    path = make_suite(NETWORKS.replace("unit: subject", f"unit: subject\n    candidates: {candidates}"))
    run(path, tmp_path / "serial")
    run(path, tmp_path / "workers", jobs=2)
    assert contents(tmp_path / "serial") == contents(tmp_path / "workers")


NETWORKS = """
name: networks
experiments:
  - name: waves
    data: {source: data.py:waves}
    split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}
    unit: subject
training: {max_epochs: 2, batch_size: 8}
candidates:
  - {name: snn, model: recurrent-snn, params: {hidden: 8}}
  - {name: cnn, model: cnn1d, params: {filters: [4], kernel_sizes: [5]}}
  - {name: csp-lda, model: csp-lda}
"""


def test_what_is_measured_on_networks(make_suite, tmp_path):
    run(make_suite(NETWORKS), tmp_path / "out")
    with Store(tmp_path / "out") as store:
        rows = store.rows()
        assert [row["error"] for row in rows] == [None] * 6
        by_name = {row["candidate"]: row for row in rows if row["fold"] == 0}
        snn, cnn = by_name["snn"], by_name["cnn"]
        # One convolution of 4 filters over 2 channels with kernel 5, padded, and a linear readout of 2 classes.
        assert cnn["parameters"] == 4 * 2 * 5 + 2 * 4 + 4 * 2 + 2
        assert cnn["dense_macs"] == 48 * 4 * 2 * 5 + 4 * 2
        assert cnn["spike_rate"] is None
        assert cnn["notes"]["spike_rate"] == "no spiking layer"
        assert cnn["n_validation"] > 0
        assert set(cnn["validation_groups"]).isdisjoint(cnn["train_groups"] + cnn["test_groups"])
        for row in (snn, cnn):
            assert len(row["history"]) == 2
            assert row["energy_j"] > 0
            assert row["bytes"] >= 4 * row["parameters"]
            assert row["inference_seconds_per_sample"] > 0
        assert 0 <= snn["spike_rate"] <= 1
        assert snn["acs"] > 0
        raster = store.raster(snn["key"])
        assert raster.pop("__dt__") == pytest.approx(1 / 64)
        assert all(spikes.shape == (48, 8) for spikes in raster.values())
        assert store.raster(cnn["key"]) == {}
        assert sum(bool(store.raster(row["key"])) for row in rows) == 1


def test_other_tasks(make_suite, tmp_path):
    text = """
    name: tasks
    experiments:
      - name: age
        data: {source: data.py:ages}
        task: regression
        split: {method: leave-groups-out, params: {by: subject, n_splits: 4, random_state: 0}}
        unit: subject
        candidates: [ridge, mlp]
      - name: steps
        data: {source: data.py:steps}
        task: steps
        split: {method: leave-groups-out, params: {by: recording, n_splits: 2}}
        unit: recording
        candidates: [gru, traces]
      - name: ragged
        data: {source: data.py:ragged}
        split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}
        unit: subject
        candidates: [cnn, connectivity]
    training: {max_epochs: 6, lr: 0.01, class_weight: balanced}
    candidates:
      - {name: ridge, model: ridge, params: {alpha: 1.0}}
      - {name: mlp, model: mlp}
      - {name: gru, model: gru, params: {hidden: 8}}
      - {name: traces, model: trace-lr}
      - {name: cnn, model: cnn1d, params: {filters: [4], kernel_sizes: [5]}, windows: {length: 16, step: 4}}
      - {name: connectivity, model: connectivity-ridge}
    """
    result, _ = run(make_suite(text), tmp_path / "out")
    with Store(tmp_path / "out") as store:
        assert [row["error"] for row in store.rows()] == [None] * 16
        frame = result.summary.set_index("candidate")
        # The sum of the features is what ridge finds; R² of single people is undefined, so all are judged together.
        assert frame.loc["ridge", "score"] > 0.9
        assert (frame.loc["ridge", "metric"], frame.loc["ridge", "n_units"]) == ("r2", 40)
        assert frame.loc["traces", "score"] > 0.9
        steps = next(row for row in store.rows("steps") if row["candidate"] == "traces")
        confusion = store.predictions(steps["key"])["confusion"]
        assert confusion.sum() == 6 * 25  # six sequences of 30 steps, five of which do not count
        assert np.trace(confusion.sum(axis=0)) / confusion.sum() == pytest.approx(steps["metrics"]["accuracy"])
        cnn = next(row for row in store.rows("ragged") if row["candidate"] == "cnn")
        assert cnn["macs"] > 16 * 4 * 2 * 5  # several windows a recording


def test_a_failing_cell_is_a_row_and_is_tried_again(make_suite, tmp_path):
    text = """
    name: failing
    experiments:
      - name: across
        data: {source: data.py:blobs}
        split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}
        unit: subject
    candidates:
      - {name: bad, model: pca-svm, params: {n_components: 500}}
      - {name: good, model: logistic-regression}
    """
    result, _ = run(make_suite(text), tmp_path / "out")
    assert (result.counts["ok"], result.counts["failed"]) == (2, 2)
    with Store(tmp_path / "out") as store:
        for row in store.rows(status="failed"):
            assert row["candidate"] == "bad"
            assert "Traceback" in row["error"]
            assert "500" in row["error"]
            assert row["metrics"] is None
            assert store.predictions(row["key"]) == {}
    frame = result.summary.set_index("candidate")
    assert frame.loc["bad", "n_failed"] == 2
    assert frame.loc["good", "score"] > 0.5
    result, listener = run(make_suite(text), tmp_path / "out")
    assert (result.computed, result.kept) == (2, 2)
    assert any("failed before" in text for text in listener.said)


def test_stale_cells_are_said_kept_and_superseded(make_suite, tmp_path):
    path, out = make_suite(), tmp_path / "out"
    run(path, out)
    path.write_text(path.read_text().replace("nearest-neighbour}", "nearest-neighbour, params: {n_neighbors: 5}}"))
    result, listener = run(path, out, only="logistic")
    assert (result.computed, result.counts["stale"], result.counts["ok"]) == (0, 6, 6)
    assert any(text.startswith("6 cells are stale") for text in listener.said)
    result, _ = run(path, out)
    assert (result.computed, result.counts["stale"], result.counts["ok"]) == (6, 0, 12)
    with Store(out) as store:
        assert len(store.statuses()) == 18
    # Back to the first definition: its rows are there still.
    path.write_text(path.read_text().replace(", params: {n_neighbors: 5}", ""))
    result, _ = run(path, out)
    assert (result.computed, result.kept) == (0, 12)


def test_mistakes_leave_nothing_behind(make_suite, tmp_path):
    out = tmp_path / "out"
    good = make_suite().read_text()
    for old, new, message in [
        ("data.py:blobs", "data.py:blob", "has no function 'blob'; did you mean 'blobs'"),
        ("data.py:blobs", "dat.py:blobs", "there is no file"),
        ("data.py:blobs", "digitz", "did you mean 'digits'"),
        ("data.py:blobs}", "data.py:blobs, params: {shif: 1}}", "no parameter 'shif'; did you mean 'shift'"),
        ("by: subject", "by: subjekt", "no column 'subjekt'"),
        ("unit: subject", "unit: person", "no column 'person'"),
        ("n_splits: 3", "n_splits: 30", "across"),
        ("leave-groups-out", "leave-group-out", "did you mean 'leave-groups-out'"),
        ("unit: subject", "unit: subject\n    scorer: accurracy", "did you mean 'accuracy'"),
        ("unit: subject", "unit: subject\n    scorer: mae", "mae"),
        ("nearest-neighbour}", "nearest-neighbour, params: {k: 3}}", "no parameter 'k'"),
    ]:
        assert old in good
        path = make_suite(good.replace(old, new))
        with pytest.raises(InputError, match=message) as caught:
            run(path, out)
        assert "\n" not in str(caught.value)
        assert "experiment 'across'" in str(caught.value)
        assert not out.exists()


def test_wrong_input_and_training_arguments_are_found_before_anything_runs(make_suite, tmp_path):
    text = NETWORKS.replace("model: csp-lda", "model: cnn2d")
    with pytest.raises(
        InputError, match="candidate 'csp-lda': model 'cnn2d' takes image input, the recordings hold sig"
    ):
        run(make_suite(text), tmp_path / "out")
    text = NETWORKS.replace("data.py:waves", "data.py:blobs")
    with pytest.raises(InputError, match="candidate 'snn': sfreq is missing"):
        run(make_suite(text), tmp_path / "out")
    text = NETWORKS.replace("max_epochs: 2", "max_epoch: 2")
    with pytest.raises(InputError, match="candidate 'snn': training has no argument 'max_epoch'; did you mean 'max_ep"):
        run(make_suite(text), tmp_path / "out")
    text = NETWORKS.replace("{hidden: 8}", "{hiden: 8}")
    with pytest.raises(InputError, match="no parameter 'hiden'; did you mean 'hidden'"):
        run(make_suite(text), tmp_path / "out")
    text = NETWORKS.replace("data.py:waves", "data.py:ragged")
    with pytest.raises(InputError, match="differ in length; say windows"):
        run(make_suite(text), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("max_epochs: ten", "max_epochs must be an integer, got 'ten'"),
        ("max_epochs: 2, monitor: valid_acuracy", "did you mean 'valid_accuracy'"),
        ("max_epochs: 2, optimizer__foo: 1", "has no option 'foo'"),
        ("max_epochs: 2, net__usecaching: true", "net__usecaching is no option of the net; did you mean 'use_caching'"),
        ("max_epochs: 2, net__optimizer: x", "net__optimizer is no option of the net"),
        ("max_epochs: 2, device: gpu", "device='gpu'"),
        ("max_epochs: 2, rate_band: 0.5", "rate_band must be a pair"),
        ("max_epochs: 2, lr: -1", "lr must lie in"),
    ],
)
def test_training_arguments_that_every_fit_would_refuse_start_no_run(make_suite, tmp_path, training, message):
    assert "max_epochs: 2" in NETWORKS
    with pytest.raises(InputError, match="candidate 'snn': ") as caught:
        run(make_suite(NETWORKS.replace("max_epochs: 2", training)), tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_leaking_split_is_refused_unless_its_name_says_so(make_suite, tmp_path):
    good = make_suite().read_text()
    leaky = "method: leaky-stratified-k-fold, params: {n_splits: 3}"
    honest = "method: leave-groups-out, params: {by: subject, n_splits: 3, random_state: 0}"
    assert honest in good
    with pytest.raises(InputError, match="leaks, so a note that says so is required"):
        run(make_suite(good.replace(honest, leaky)), tmp_path / "out")
    noted = good.replace(honest, leaky).replace("unit: subject", "unit: subject\n    note: leaks on purpose")
    run(make_suite(noted), tmp_path / "out")
    with Store(tmp_path / "out") as store:
        (experiment,) = store.experiments()
    assert experiment["audit"]["allowed"] == "leaks on purpose"
    assert experiment["audit"]["findings"]


def test_a_folder_belongs_to_one_suite_and_one_writer(make_suite, tmp_path):
    path, out = make_suite(), tmp_path / "out"
    with locked(out), pytest.raises(InputError, match="another run is writing to"):
        run(path, out)
    run(path, out)
    other = make_suite(path.read_text().replace("name: blobs", "name: others"), "other.yaml")
    with pytest.raises(InputError, match="holds results of suite 'blobs'"):
        run(other, out)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run(path, tmp_path / "file")
    (out / FILE_NAME).write_bytes(b"x" * 2000)
    with pytest.raises(InputError, match="cannot be read as a store"):
        run(path, out)


@pytest.mark.parametrize("other_still_writes", [True, False])
def test_a_folder_that_appears_while_planning_is_claimed_too(make_suite, tmp_path, monkeypatch, other_still_writes):
    path, out = make_suite(), tmp_path / "out"
    runner = sys.modules[bench.run.__module__]
    original, claims = runner.make_plan, ExitStack()

    def while_another_starts(*arguments):
        with ExitStack() as stack:
            stack.enter_context(locked(out))
            if other_still_writes:
                claims.push(stack.pop_all())
        return original(*arguments)

    monkeypatch.setattr(runner, "make_plan", while_another_starts)
    with claims:
        if other_still_writes:
            with pytest.raises(InputError, match="another run is writing to"):
                run(path, out)
            assert not (out / FILE_NAME).exists()
            return
        held = []
        execute = runner._execute

        def locked_now(*arguments):
            with pytest.raises(InputError, match="another run is writing to"), locked(out):
                pass
            held.append(True)
            return execute(*arguments)

        monkeypatch.setattr(runner, "_execute", locked_now)
        run(path, out)
        assert held == [True]


def test_what_is_loaded_is_said_before_it_is_loaded(make_suite, tmp_path):
    _, listener = run(make_suite(), tmp_path / "out", only="neighbour")
    assert listener.said[0] == "across: loading data.py:blobs"


def test_bad_numbers_of_jobs_and_threads(make_suite):
    with pytest.raises(InputError, match="jobs must lie in"):
        bench.run(make_suite(), jobs=0)
    with pytest.raises(InputError, match="threads must be an integer"):
        bench.run(make_suite(), threads=1.5)


def test_the_default_folder_is_named_after_the_suite(make_suite, tmp_path, monkeypatch):
    path = make_suite()
    monkeypatch.chdir(tmp_path)
    result, _ = run(path, None, only="neighbour")
    assert result.folder.as_posix() == "runs/blobs"
    result, _ = run(path, None, only="neighbour", shuffle_labels=True)
    assert result.folder.as_posix() == "runs/blobs-shuffled"


def test_no_function_of_the_package_hides_one_of_its_modules():
    """``import spikeneuro.bench.x`` and ``spikeneuro.bench.x`` must mean one thing."""
    import spikeneuro

    for package, names in ((bench, set(bench.__all__)), (spikeneuro.data, {"audit", "folds", "inner_split"})):
        modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
        assert not names & modules


def test_errors_are_reached_from_the_package_alone():
    code = (
        "import spikeneuro as sn; assert issubclass(sn.errors.LeakageError, sn.errors.InputError); 'errors' in dir(sn)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pipeline_that_ends_in_a_network_is_counted_and_another_says_why_not(make_suite, tmp_path):
    suite = """
    name: reservoirs
    title: Reservoirs
    experiments:
      - name: within
        data: {source: data.py:waves}
        split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}
        unit: subject
    candidates:
      - {name: echo, model: echo-state, params: {n_units: 20}}
      - {name: liquid, model: liquid-state-machine, params: {n_neurons: 27}}
      - {name: logistic, model: logistic-regression}
    """
    run(make_suite(suite), tmp_path / "out")
    with Store(tmp_path / "out") as store:
        rows = {row["candidate"]: row for row in store.rows() if row["fold"] == 0}
    assert {row["status"] for row in rows.values()} == {"ok"}
    # 48 steps of 20 units: 2 inputs, a tenth of the connections or more, and the readout.
    assert rows["echo"]["macs"] > 48 * 20 * 2
    assert rows["liquid"]["acs"] > 0
    assert rows["liquid"]["spike_rate"] > 0
    assert rows["liquid"]["energy_j"] > 0
    assert rows["logistic"]["macs"] is None
    assert "not counted" in rows["logistic"]["notes"]["macs"]
