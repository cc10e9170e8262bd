"""The summary against hand-made numbers, and the CSV and Markdown made from a run."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro import bench
from spikeneuro.bench import compact
from spikeneuro.bench.results import FIELDS, _anywhere, read_csv, summary_of, write_csv, write_results
from spikeneuro.bench.store import Store
from spikeneuro.errors import DataNotFoundError, InputError
from spikeneuro.evaluation import Predictions, summarise


def made_store(folder, outcomes, *, scorer="accuracy", unit="subject", labels=("no", "yes")):
    """Store with predictions of two candidates: {candidate: {(fold, seed): (units, y, predicted)}}."""
    models = {"snn": "spiking-eegnet", "ann": "cnn1d", "lda": "csp-lda", "none": "lstm"}
    definition = {
        "candidates": [{"name": name, "model": models[name]} for name in outcomes],
        "split": {"method": "leave-groups-out", "params": {"by": "subject"}},
        "within": None,
    }
    experiment = {"name": "e", "definition": definition, "task": "classification", "scorer": scorer, "unit": unit,
                  "labels": list(labels)}  # fmt: skip
    store = Store(folder, create=True)
    plan = []
    for candidate, cells in outcomes.items():
        for (fold, seed), outcome in cells.items():
            place = {"experiment": "e", "candidate": candidate, "fold": fold, "seed": seed}
            key = f"{candidate}{fold}{seed}"
            plan.append({"key": key, **place})
            if outcome is None:
                continue
            units, y, predicted = (np.array(values) for values in outcome)
            row = {**place, "key": key, "status": "ok", "model": models[candidate], "train_seconds": 1.0 + fold,
                   "machine": f"processor {seed}", "threads": 1 + seed, "versions": {"torch": f"2.{seed}"},
                   "cost_model": "prices sha256:0"}  # fmt: skip
            store.write(row, {"index": np.arange(len(y)), "unit": units, "y_true": y, "prediction": predicted})
    store.write_plan(plan, [experiment])
    store.start_run({"suite": "made", "title": "Made", "shuffled": 0, "suite_yaml": "", "command": "x"})
    return store


def test_scores_of_units_are_averaged_over_seeds_and_then_over_units(tmp_path):
    cells = {
        (0, 0): (["a", "a", "a", "b"], [0, 1, 1, 0], [0, 1, 0, 0]),  # a 2/3, b 1
        (0, 1): (["a", "a", "a", "b"], [0, 1, 1, 0], [0, 0, 0, 1]),  # a 1/3, b 0
        (1, 0): (["c", "c"], [0, 1], [0, 1]),  # c 1
        (1, 1): (["c", "c"], [0, 1], [1, 1]),  # c 1/2
    }
    perfect = {place: (units, y, y) for place, (units, y, _) in cells.items()}
    with made_store(tmp_path, {"snn": cells, "ann": perfect, "lda": cells}) as store:
        frame = bench.summary(store).set_index("candidate")
    # a 1/2, b 1/2, c 3/4
    assert frame.loc["snn", "score"] == pytest.approx((0.5 + 0.5 + 0.75) / 3)
    assert frame.loc["snn", "n_units"] == 3
    assert frame.loc["snn", "low"] <= frame.loc["snn", "score"] <= frame.loc["snn", "high"]
    assert list(frame["rival"]) == ["ann"] * 3
    assert np.isnan(frame.loc["ann", "p"])
    assert frame.loc["snn", "difference"] == pytest.approx(-5 / 12)
    assert frame.loc["snn", "p"] == pytest.approx(2 / 8)  # all three units differ alike: 2 of 8 sign patterns
    assert frame.loc["snn", "train_seconds"] == 1.5


def test_an_incomplete_candidate_is_said_to_be_so_and_is_no_rival(tmp_path):
    full = {(0, 0): (["a", "b"], [0, 1], [0, 0]), (1, 0): (["c", "d"], [0, 1], [0, 1])}
    lucky = {(0, 0): None, (1, 0): (["c", "d"], [0, 1], [0, 1])}
    with made_store(tmp_path, {"snn": full, "ann": lucky, "lda": full, "none": {(0, 0): None}}) as store:
        frame = bench.summary(store).set_index("candidate")
    assert frame.loc["ann", "score"] == 1
    assert set(frame["rival"]) == {"lda"}
    assert frame.loc["ann", "note"].split("; ") == [
        "all units are wholly right, so the interval is Wilson's",
        "compared over 2 unit(s) by sign flips over units, exact",
        "2 unit(s) tested for one of the two only are left out",
        "the difference is the same in all units, so it has no interval",
        "incomplete: 1 of 2 cells",
    ]
    assert frame.loc["ann", "n_common"] == 2
    assert frame.loc["none", "n_missing"] == 1
    assert np.isnan(frame.loc["none", "score"])


def test_a_metric_undefined_inside_units_is_computed_on_all_samples(tmp_path):
    units = [f"s{i}" for i in range(8)]
    y, predicted = [0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1, 0]
    cells = {(0, 0): (units, y, predicted)}
    with made_store(tmp_path, {"snn": cells, "lda": cells}, scorer="balanced_accuracy") as store:
        frame = bench.summary(store).set_index("candidate")
    assert frame.loc["snn", "score"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert "not defined inside" in frame.loc["snn", "note"]


def test_the_spread_between_seeds_is_shown_from_three_on(tmp_path):
    units, y = ["a", "a", "b", "b"], [0, 1, 0, 1]
    wrong = [[0, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]  # accuracy 1, 3/4, 1/2
    cells = {(0, seed): (units, y, predicted) for seed, predicted in enumerate(wrong)}
    two = {place: outcome for place, outcome in cells.items() if place[1] < 2}
    with made_store(tmp_path, {"snn": cells, "ann": two}) as store:
        frame = bench.summary(store).set_index("candidate")
    assert frame.loc["snn", "seed_sd"] == pytest.approx(np.std([1, 0.75, 0.5], ddof=1))
    assert frame["n_seeds"].tolist() == [3, 2]
    assert np.isnan(frame.loc["ann", "seed_sd"])


def test_a_fold_without_the_last_class_is_kept_and_scored_in_the_csv(tmp_path):
    units = ["a", "b"]
    cells = {(0, 0): (units, [0, 1], [0, 1]), (1, 0): (units, [2, 1], [1, 1])}
    outcomes = {"snn": cells, "lda": cells}
    with made_store(tmp_path, outcomes, scorer="balanced_accuracy", labels="xyz") as store:
        frame = bench.summary(store)
    # Classes in order: 1 of 1, 2 of 2, 0 of 1
    assert frame["score"].tolist() == pytest.approx([2 / 3] * 2)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc"])
def test_the_compact_form_keeps_classes_that_do_not_occur(metric):
    case = Predictions(list("aabb"), [0, 1, 0, 1], proba=np.full((4, 3), 1 / 3), y_pred=[0, 1, 1, 0], n_classes=3)
    back = compact.decode(json.loads(json.dumps(compact.encode(metric, "classification", case))), 0)
    other = Predictions(list("ab"), [2, 0], proba=np.full((2, 3), 1 / 3), y_pred=[2, 0], n_classes=3)
    want, got = summarise([case, other], metric), summarise([back, other], metric)
    assert got.value == pytest.approx(want.value)


def test_the_page_states_each_processor_each_set_of_versions_and_the_prices(tmp_path):
    """Rows of a run that was resumed elsewhere keep where they were made."""
    from spikeneuro.bench.markdown import page_text

    cells = {(0, seed): (["a", "b"], [0, 1], [0, seed % 2]) for seed in (0, 1, 2)}
    more = {(0, seed): (["a", "b"], [0, 1], [0, 1]) for seed in (0, 1, 2)}
    with made_store(tmp_path, {"snn": cells, "lda": more}) as store:
        experiment = store.experiments()[0]
        places = store.plan()
        store.write_plan(places, [{**experiment, "note": None, "n_folds": 1, "description": "d", "simulated": 0}])
    rows = read_csv(write_csv(tmp_path, tmp_path / "csv"))
    assert [(row["machine"], row["threads"]) for row in rows[:2]] == [("processor 0", 1), ("processor 1", 2)]
    text = page_text([("made.csv", rows)], "the overview")
    for seed in (0, 1, 2):
        threads = f"{1 + seed} thread{'s' if seed else ''}"
        assert f"torch 2.{seed} on processor {seed}, {threads} (2 cells)" in text
    assert "Energy by prices sha256:0." in text
    assert "| p | p (Holm) |" in text
    assert "selected by\nits score on the same test samples" in text


@st.composite
def predictions(draw):
    n = draw(st.integers(4, 20))
    k = draw(st.integers(2, 4))
    numbers = st.lists(st.integers(0, k - 1), min_size=n, max_size=n)
    y = np.array([*draw(numbers), *range(k)])
    predicted = np.array([*draw(numbers), *range(k)])
    names = draw(st.sampled_from([["a", "b,c", 'd"e', "f>g"], ["0", "1", "2", "3"]]))
    units = np.array([names[i % 4] for i in range(len(y))])
    if draw(st.booleans()):
        units = np.arange(len(y)).astype(str)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return Predictions(units, y, predicted, rng.dirichlet(np.ones(k), size=len(y)), run=3, n_classes=k)


@settings(max_examples=60, deadline=None)
@given(predictions(), st.sampled_from(["accuracy", "balanced_accuracy", "cohen_kappa", "roc_auc", "log_loss", "brier"]))
def test_the_compact_form_keeps_every_score(case, metric):
    text = json.dumps(compact.encode(metric, "classification", case))
    back = compact.decode(json.loads(text), 3)
    options = {"metric": metric, "n_resamples": 50}
    want, got = summarise([case], **options), summarise([back], **options)
    assert (got.n_units, got.method) == (want.n_units, want.method)
    for name in ("value", "low", "high"):
        expected = getattr(want, name)
        assert getattr(got, name) == (None if expected is None else pytest.approx(expected, rel=1e-7)), name


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=3, max_size=12))
def test_the_compact_form_of_regression(pairs):
    y, predicted = map(np.array, zip(*pairs, strict=True))
    case = Predictions(np.arange(len(y)) // 2, y, predicted)
    back = compact.decode(compact.encode("mae", "regression", case), 0)
    np.testing.assert_allclose(back.y_true, y, rtol=1e-8)
    np.testing.assert_allclose(back.y_pred, predicted, rtol=1e-8)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_ranges_of_numbers(numbers):
    ordered = sorted(numbers)
    assert compact._from_ranges(compact._as_ranges(ordered)).tolist() == ordered


def test_a_csv_gives_the_summary_of_the_store_and_repeats(make_suite, tmp_path):
    path = make_suite().read_text().replace("unit: subject", "unit: subject\n    note: a remark, with a comma")
    reference = "    reference: {candidate: neighbour, score: 0.1, tolerance: 0.01, source: nowhere}\n"
    suite = make_suite(path.replace("candidates:\n  - {name: log", reference + "candidates:\n  - {name: log"))
    result = bench.run(suite, tmp_path / "out", progress=False)
    csv = write_csv(tmp_path / "out", tmp_path / "results")
    assert csv.name == "blobs.csv"
    rows = read_csv(csv)
    assert len(rows) == 12
    assert all(row["machine"] and row["threads"] == 1 for row in rows)
    columns = [c for c in result.summary if c != "peak_memory_bytes"]
    pd.testing.assert_frame_equal(summary_of(rows)[columns], result.summary[columns])
    first = csv.read_bytes()
    assert write_csv(tmp_path / "out", tmp_path / "results").read_bytes() == first
    assert csv.stat().st_size < 60_000

    page = tmp_path / "RESULTS.md"
    write_results(tmp_path / "results", page)
    text = page.read_text()
    write_results(tmp_path / "results", page)
    assert page.read_text() == text
    assert "## Two blobs" in text
    assert "Note: a remark, with a comma." in text
    assert re.search(
        r"Check: neighbour: known figure 0\.100 \(nowhere\); here 0\.\d+, DOES NOT AGREE within 0\.01", text
    )
    score = result.summary.set_index("candidate").loc["logistic", "score"]
    assert f"| logistic | classical | {score:.3f} |" in text


def test_missing_and_failed_cells_are_in_the_csv(make_suite, tmp_path):
    text = make_suite().read_text().replace("logistic-regression}", "pca-svm, params: {n_components: 900}}")
    path = make_suite(text)
    bench.run(path, tmp_path / "out", only="logistic", progress=False)
    rows = read_csv(write_csv(tmp_path / "out", tmp_path / "results"))
    states = [row["status"] for row in rows]
    assert (states.count("failed"), states.count("missing")) == (6, 6)
    write_results(tmp_path / "results", tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "incomplete: 0 of 6 cells" in page
    assert "Failed: logistic: " in page


def test_earlier_rows_are_kept_for_cells_that_a_run_lacks(make_suite, tmp_path):
    path = make_suite()
    whole = summary_of(
        read_csv(write_csv(bench.run(path, tmp_path / "all", progress=False).folder, tmp_path / "whole"))
    )
    for name in ("logistic", "neighbour"):
        bench.run(path, tmp_path / name, only=name, progress=False)
    results = tmp_path / "results"
    write_csv(tmp_path / "logistic", results)
    first = [row for row in read_csv(results / "blobs.csv") if row["status"] == "ok"]
    merged = read_csv(write_csv(tmp_path / "neighbour", results, keep=True))
    assert [row["status"] for row in merged] == ["ok"] * 12
    assert [row for row in merged if row["candidate"] == "logistic"] == first
    steady = ["candidate", "score", "low", "high", "n_ok"]
    pd.testing.assert_frame_equal(summary_of(merged)[steady], whole[steady])

    other = make_suite(path.read_text().replace("unit: subject", "unit: subject\n    scorer: balanced_accuracy"))
    bench.run(other, tmp_path / "other", only="neighbour", progress=False)
    rows = read_csv(write_csv(tmp_path / "other", results, keep=True))
    assert [row["status"] for row in rows if row["candidate"] == "logistic"] == ["missing"] * 6


@pytest.mark.parametrize("params", ["{n_trials: 12}", "{n_subjects: 5}"])
def test_earlier_rows_of_other_data_are_not_kept(make_suite, tmp_path, params):
    path = make_suite()
    bench.run(path, tmp_path / "earlier", only="logistic", progress=False)
    write_csv(tmp_path / "earlier", tmp_path / "results")
    other = path.read_text().replace("data.py:blobs", f"data.py:blobs, params: {params}")
    bench.run(make_suite(other), tmp_path / "now", only="neighbour", progress=False)
    rows = read_csv(write_csv(tmp_path / "now", tmp_path / "results", keep=True))
    assert {row["candidate"]: row["status"] for row in rows} == {"logistic": "missing", "neighbour": "ok"}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("spikeneuro run x --out /home/me/x --only 'a b*' --jobs 2", "spikeneuro run x --only 'a b*' --jobs 2"),
        ("spikeneuro run x --jobs 2 --out=here", "spikeneuro run x --jobs 2"),
        ("spikeneuro run x --jobs 2", "spikeneuro run x --jobs 2"),
        (None, None),
    ],
)
def test_commands_are_written_without_the_folder_of_their_results(given, written):
    assert _anywhere(given) == written


def test_results_need_files_of_ours(tmp_path):
    with pytest.raises(DataNotFoundError, match="there is no CSV file"):
        write_results(tmp_path, tmp_path / "R.md")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="does not have the columns"):
        read_csv(tmp_path / "x.csv")
    assert len(set(FIELDS)) == len(FIELDS)


def test_the_compact_form_of_labels_per_step():
    counts = np.random.default_rng(0).integers(0, 9, size=(6, 3, 3))
    case = Predictions(np.array(list("aabbcc")), confusion=counts)
    for metric in ("accuracy", "balanced_accuracy"):
        back = compact.decode(json.loads(json.dumps(compact.encode(metric, "steps", case))), 0)
        assert summarise([back], metric, "steps").value == pytest.approx(summarise([case], metric, "steps").value)
