"""The page says what the store holds: numbers, words, escaping, completeness, the same bytes twice."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import spikeneuro as sn
from spikeneuro.bench.store import Store
from spikeneuro.bench.summaries import summary
from spikeneuro.errors import DataNotFoundError, InputError

EVIL = "<script>alert(1)</script>"

ADAPTERS = """
import numpy as np
import pandas as pd
import spikeneuro as sn

def people(kind, n_subjects=8):
    rng = np.random.default_rng(0)
    n = 6 * n_subjects
    X = rng.normal(size=(n, 3, 40))
    subject = [f"S{i // 6}" for i in range(n)]
    subject[:6] = ["<script>alert(1)</script>"] * 6
    meta = pd.DataFrame({"subject": subject, "trial": range(n)})
    if kind == "regression":
        y = rng.uniform(5, 40, n)
        X[:, 0] += y[:, None] / 20
        return sn.data.Recordings(X, y, meta, 40.0, list("abc"))
    if kind == "steps":
        y = (np.sin(np.arange(40) / 5 + np.arange(n)[:, None]) > 0).astype(int)
        y[:, :3] = -1
        X[:, 0] += y
    else:
        y = np.arange(n) % 2
        X[:, 0] += 0.4 * y[:, None]
    names = ["rest", "<script>alert(1)</script>"]
    return sn.data.Recordings(X, y, meta, 40.0, list("abc"), label_names=names, simulated=kind == "classification",
                              description="<script>alert(1)</script> & $x_1$")
"""

SUITE = """
name: small
title: "<script>alert(1)</script>"
training: {max_epochs: 1, batch_size: 32}
candidates:
  - {name: rsnn, model: recurrent-snn, params: {hidden: 8}}
  - {name: gru, model: gru}
  - {name: broken, model: cnn1d, training: {lr: 1.0e+30}}
  - {name: svm, model: linear-svm}
experiments:
  - {name: states, data: {source: "adapters.py:people", params: {kind: classification}}, unit: subject,
     candidates: [rsnn, gru, broken, svm], reference: {candidate: svm, score: 0.1, tolerance: 0.02, source: "nobody"},
     split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}}
  - {name: ages, data: {source: "adapters.py:people", params: {kind: regression}}, unit: subject, task: regression,
     scorer: mae, candidates: [rsnn, gru, svm],
     split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}}
  - {name: waves, data: {source: "adapters.py:people", params: {kind: steps, n_subjects: 4}}, unit: subject,
     task: steps, candidates: [rsnn, gru],
     split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}}
  - {name: alone, data: {source: "adapters.py:people", params: {kind: classification}}, unit: sample,
     candidates: [svm], note: "samples of one person may be on both sides",
     split: {method: leaky-stratified-k-fold, params: {n_splits: 2, random_state: 0}}}
"""


class Page(HTMLParser):
    """Text, tables (lists of rows of cells) and element names of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.elements: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._cell: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(" ".join(self._cell).strip())
            self._cell = None

    def handle_data(self, data):
        (self.words if self._cell is None else self._cell).append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def table(self, *headings: str) -> list[list[list[str]]]:
        """Bodies of the tables whose heading row holds all these."""
        return [t[1:] for t in self.tables if t and all(any(h in cell for cell in t[0]) for h in headings)]


def shown(number: float, form: str) -> str:
    return format(number, form).replace("-", "\N{MINUS SIGN}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    (path / "adapters.py").write_text(ADAPTERS)
    (path / "suite.yaml").write_text(SUITE)
    sn.bench.run(path / "suite.yaml", path / "out", progress=False)
    return path / "out"


@pytest.fixture(scope="module")
def html(folder) -> str:
    return sn.report.write(folder).read_text()


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_scores_intervals_and_tests_are_those_of_the_summary(folder, page) -> None:
    with Store(folder) as store:
        table = summary(store)
    bodies = page.table("candidate", "95 % interval", "p (Holm)")
    assert len(bodies) == 4
    for body, name in zip(bodies, ("states", "ages", "waves", "alone"), strict=True):
        expected = table[table["experiment"] == name].set_index("candidate")
        assert {row[0] for row in body} == set(expected.index)
        for row in body:
            known = expected.loc[row[0]]
            if np.isnan(known["score"]):
                assert row[2] == "\N{EN DASH}"
                continue
            assert row[2] == f"{known['score']:.3f}"
            ends = f"{known['low']:.3f} to {known['high']:.3f}"
            assert row[3] == ("\N{EN DASH}" if np.isnan(known["low"]) else ends)
            assert row[4] == str(known["n_units"])
            assert row[5] == "\N{EN DASH}" if known["n_seeds"] < 3 else shown(known["seed_sd"], ".3f")
            if not np.isnan(known["p"]):
                assert row[6] == shown(known["difference"], "+.3f")
                assert row[8] == ("< 0.001" if known["p"] < 0.001 else f"{known['p']:.3f}")


def test_best_score_is_on_top_also_where_lower_is_better(page) -> None:
    states, ages, *_ = page.table("95 % interval", "p (Holm)")
    scores = [float(row[2]) for row in states if row[2] != "\N{EN DASH}"]
    errors = [float(row[2]) for row in ages]
    assert scores == sorted(scores, reverse=True)
    assert errors == sorted(errors)


def test_every_cell_is_listed_with_its_key_and_score(folder, page) -> None:
    with Store(folder) as store:
        rows = {row["key"]: row for row in store.rows()}
    listed = [line for body in page.table("candidate", "seed", "key") for line in body]
    assert {line[-1] for line in listed} == set(rows)
    for line in listed:
        row = rows[line[-1]]
        metric = "mae" if row["experiment"] == "ages" else "accuracy"
        assert line[3] == (f"{row['metrics'][metric]:.3f}" if row["status"] == "ok" else "failed")


def test_operations_and_energy_are_those_of_the_store(folder, page) -> None:
    with Store(folder) as store:
        rows = [row for row in store.rows("states", "ok") if row["candidate"] == "rsnn"]
    line = next(row for row in page.table("multiply-accumulates", "neuron")[0] if row[0] == "rsnn")
    assert line[2] == f"{np.mean([row['macs'] for row in rows]):,.0f}"
    assert line[4] == f"{np.mean([row['acs'] for row in rows]):,.0f}"
    arithmetic = ("additions", "multiplications", "divisions", "comparisons", "nonlinearities")
    assert line[6] == f"{np.mean([sum(row['other_ops'][kind] for kind in arithmetic) for row in rows]):,.0f}"
    assert float(line[8].replace(",", "")) == pytest.approx(1e9 * np.mean([row["energy_j"] for row in rows]), rel=6e-3)


def test_ledger_of_a_candidate_adds_up_to_its_cell(folder, page) -> None:
    with Store(folder) as store:
        cell = next(row for row in store.rows("states", "ok") if row["candidate"] == "rsnn")
    ledger = next(t for t in page.tables if t[0][0] == "layer" and any("RecurrentLIF" in row[1] for row in t))
    heading, total = ledger[0], ledger[-1]
    assert total[0] == "total"
    for column, value in (("MACs", cell["macs"]), ("ACs", cell["acs"])):
        assert total[heading.index(column)] == f"{value:,.0f}"
    assert float(total[heading.index("energy (nJ)")].replace(",", "")) == pytest.approx(
        cell["energy_j"] * 1e9, rel=6e-3
    )


def test_confusion_counts_are_those_of_the_predictions(folder, html) -> None:
    with Store(folder) as store:
        cells = [store.predictions(row["key"]) for row in store.rows("states", "ok") if row["candidate"] == "svm"]
    hits = sum(int(((c["y_true"] == 0) & (c["prediction"] == 0)).sum()) for c in cells)
    figure = re.search(r'aria-label="confusion matrix.*?</svg>', html, re.DOTALL)
    assert f">{hits}</text>" in figure[0]


def test_text_from_data_is_never_markup(html, page) -> None:
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4  # title, description, labels, people
    assert "script" not in page.elements
    assert "$x_1$" in page.text


def test_nothing_is_loaded_from_elsewhere(page) -> None:
    assert {"img", "link", "iframe", "object"}.isdisjoint(page.elements)
    assert all(link.startswith("#") for link in page.links)
    anchors = {link[1:] for link in page.links if link.startswith("#experiment")}
    assert len(anchors) == 4


def test_every_part_is_there(page) -> None:
    for heading in ("Findings", "Scores", "Accuracy against energy", "Mean absolute error against energy", "Confusion",
                    "Calibration", "Predicted against true", "Learning curves", "Training health", "Spike rasters",
                    "Failed cells", "Remarks", "How to read this page", "Provenance"):  # fmt: skip
        assert heading in page.text, heading
    assert "Simulated data." in page.text
    assert "samples of one person may be on both sides" in page.text


def test_findings_are_true(folder, page) -> None:
    with Store(folder) as store:
        table = summary(store)
    for name, higher_is_better in (("states", True), ("ages", False)):
        rows = table[table["experiment"] == name].set_index("candidate")
        spiking, rival = rows.loc["rsnn"], rows.loc[rows["rival"].iloc[0]]
        worse = (spiking["score"] < rival["score"]) == higher_is_better
        gap = abs(spiking["difference"])
        expected = "equal to three decimals" if gap < 5e-4 else f"{gap:.3f} {'worse' if worse else 'better'}"
        assert f"The spiking one is {expected}" in page.text
    waves = page.text[page.text.index("waves") :]
    assert "cannot give less than p = 0.125" in waves  # two of the 2^4 sign patterns of four subjects
    assert "There is no pair of a spiking and a non-spiking candidate" in page.text
    assert "does NOT agree within 0.02" in page.text


def test_failed_cells_are_told(page) -> None:
    assert "Incomplete:" in page.text
    assert "2 failed" in page.text
    assert "Traceback" in page.text


def test_page_says_where_cells_were_made_and_at_what_prices(folder, page) -> None:
    with Store(folder) as store:
        row = next(row for row in store.rows() if row["energy_j"])
    assert f"torch {row['versions']['torch']}" in page.text
    assert f"on {row['machine']}, 1 thread" in page.text
    assert row["cost_model"] == sn.energy.cost_model("horowitz45-fp32").identity
    assert f"Energy by {row['cost_model']}." in page.text


def test_same_store_same_bytes(folder, html) -> None:
    assert sn.report.write(folder).read_text() == html


def test_interrupted_control_run(folder, tmp_path) -> None:
    suite = folder.parent / "suite.yaml"
    sn.bench.run(suite, tmp_path / "out", only="states/svm", shuffle_labels=True, progress=False)
    page = Page(sn.report.write(tmp_path / "out").read_text())
    assert "Control run:" in page.text
    assert "2 of 20 cells are finished, 18 are missing" in page.text
    assert "Labels were shuffled; judged by Cohen's kappa" in page.text
    assert "No cell is finished yet." in page.text
    assert "against energy" not in page.text  # nothing was counted


def test_folder_without_results(tmp_path) -> None:
    with pytest.raises(DataNotFoundError, match="no results at"):
        sn.report.write(tmp_path)
    Store(tmp_path, create=True).close()
    with pytest.raises(InputError, match="records no run yet"):
        sn.report.write(tmp_path)
