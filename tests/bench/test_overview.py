"""The overview of all suites: which candidates it names, and what it writes where."""

import pandas as pd
import pytest

from spikeneuro.bench import run
from spikeneuro.bench.overview import as_markdown, overview
from spikeneuro.bench.results import read_csv, summary_of, write_csv, write_results
from spikeneuro.errors import InputError
from spikeneuro.report.plots import overview as picture

SUITE = """
name: tiny
title: Tiny
training: {max_epochs: 1}
candidates:
  - {name: spiking-cnn2d, model: spiking-cnn2d, params: {filters: [2], n_steps: 2}}
  - {name: cnn2d, model: cnn2d, params: {filters: [2]}}
  - {name: cnn2d-two, model: cnn2d, params: {filters: [3]}}
  - {name: pca-svm, model: pca-svm}
experiments:
  - name: digits
    data: {source: digits}
    task: classification
    split: {method: leaky-random, params: {test_size: 0.2, random_state: 0}}
    note: writers unknown
    unit: sample
    scorer: accuracy
"""


@pytest.fixture(scope="module")
def csv_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overview")
    (folder / "tiny.yaml").write_text(SUITE)
    run(folder / "tiny.yaml", folder / "out", progress=False)
    write_csv(folder / "out", folder / "results")
    return folder / "results"


def test_the_best_of_each_kind_is_named(csv_dir):
    rows = read_csv(csv_dir / "tiny.csv")
    table = overview([("tiny.csv", rows)])
    frame = summary_of(rows).set_index("candidate")
    line = table.iloc[0]
    assert line["network"] == frame.loc[["cnn2d", "cnn2d-two"], "score"].idxmax()
    assert line["spiking_score"] == frame.loc["spiking-cnn2d", "score"]
    assert line["classical"] == "pca-svm"
    assert line["network_energy_j"] == frame.loc[line["network"], "energy_j"]
    written = "\n".join(as_markdown(table))
    assert f"**{line['spiking_score']:.3f}**" in written
    assert f"{line['spiking_score'] - line['network_score']:+.3f}" in written


def test_readme_block_and_picture(csv_dir, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    table = write_results(csv_dir, tmp_path / "RESULTS.md", readme)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "tiny: digits" in text
    assert "tiny: digits" in (tmp_path / "RESULTS.md").read_text()
    picture(table).savefig(tmp_path / "overview.png")
    assert (tmp_path / "overview.png").stat().st_size > 5000
    with pytest.raises(InputError, match="has no place between"):
        write_results(csv_dir, tmp_path / "RESULTS.md", tmp_path / "RESULTS.md")


def test_control_runs_are_left_out(csv_dir):
    rows = [{**row, "shuffled": True} for row in read_csv(csv_dir / "tiny.csv")]
    assert isinstance(overview([("tiny.csv", rows)]), pd.DataFrame)
    assert overview([("tiny.csv", rows)]).empty
