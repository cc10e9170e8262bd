"""The command line: exit statuses, one-line errors, and what each command prints."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spikeneuro import cli
from spikeneuro.bench.store import Store
from spikeneuro.errors import InputError

ADAPTER = '''
import numpy as np

from spikeneuro.data import Recordings, data_root


def blobs(shift=2.0):
    """Two blobs."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 24)
    X = rng.normal(size=(48, 4)) + shift * y[:, None]
    return Recordings(X, y, {"subject": np.repeat(np.arange(6), 8)}, None, modality="features", description="blobs")


def from_disk():
    """Files that are not there."""
    return data_root("eeg", "nothing")


def with_nan():
    """A value that is none."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(48, 4))
    X[3, 1] = np.nan
    return Recordings(X, np.tile([0, 1], 24), {"subject": np.repeat(np.arange(6), 8)}, None, modality="features")
'''

SUITE = """
name: blobs
title: Two blobs
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
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a suite, that is the current one."""
    (tmp_path / "data.py").write_text(ADAPTER)
    (tmp_path / "suite.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch, capsys, *arguments):
    """Run the command line in this process: exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["spikeneuro", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


def test_run_prints_cells_table_and_place_then_keeps_everything(here, monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys, "run", "suite.yaml")
    assert (code, err) == (0, "")
    assert "[1/6] across / logistic / " in out
    assert "6 of 6 cells are finished; results in runs/blobs" in out
    assert "accuracy over 6 subjects" in out
    code, out, _ = call(monkeypatch, capsys, "run", "suite.yaml", "--jobs", "1")
    assert code == 0
    assert "6 cells are finished already and kept" in out
    with Store("runs/blobs") as store:
        assert store.runs()[0]["command"] == "spikeneuro run suite.yaml"
        assert {row["command"] for row in store.rows()} == {"spikeneuro run suite.yaml"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unit: subject", "unit: subject\n    unitt: run", "unknown key; did you mean 'unit'?"),
        ("nearest-neighbour", "nearest-neighbor", "did you mean 'nearest-neighbour'?"),
        ("data.py:blobs", "data.py:from_disk", "SPIKENEURO_DATA"),
        ("data.py:blobs", "data.py:with_nan", "NaN"),
        ("unit: subject", "unit: subject\n    candidates: [logistik]", "unknown candidate 'logistik'; did you mean"),
        ("n_splits: 3", "n_splits: 30", "experiment 'across'"),
        ("name: blobs", "name: [", "not valid YAML"),
    ],
)
def test_mistakes_are_one_line_status_2_and_leave_nothing(here, monkeypatch, capsys, old, new, message):
    monkeypatch.delenv("SPIKENEURO_DATA", raising=False)
    assert old in SUITE
    (here / "suite.yaml").write_text(SUITE.replace(old, new))
    code, out, err = call(monkeypatch, capsys, "run", "suite.yaml", "--out", "o")
    assert code == 2
    assert all("loading" in line for line in out.splitlines())
    assert err.startswith("error: suite.yaml")
    assert err.count("\n") == 1
    assert message in err
    assert not (here / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "dmo"), "unknown suite 'dmo'; did you mean 'demo'?"),
        (("run", "absent.yaml"), "there is no suite file absent.yaml"),
        (("run", "suite.yaml", "--only", "nobody"), "no cell matches 'nobody'"),
        (("run", "suite.yaml", "--full"), "no variants"),
        (("run", "suite.yaml", "--full", "--variant", "x"), "name two variants"),
        (("report", "nowhere"), "no results at nowhere"),
        (("results", "nowhere"), "no results at nowhere"),
        (("results", "--csv-dir", "."), "there is no CSV file"),
    ],
)
def test_mistakes_in_arguments(here, monkeypatch, capsys, arguments, message):
    before = sorted(path.name for path in here.iterdir())
    code, out, err = call(monkeypatch, capsys, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert all("loading" in line for line in out.splitlines())
    assert message in err
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "Missing argument 'suite'"),
        (("run", "x", "--jobs", "0"), "greater than or equal to 1"),
        (("run", "x", "--thread", "2"), "No such option: --thread; did you mean '--threads'?"),
        (("run", "x", "y"), "unexpected extra argument"),
        (("list", "model"), "list='model' is unknown; did you mean 'models'?"),
        (("rn",), "No such command 'rn'. Did you mean 'run'?"),
    ],
)
def test_usage_mistakes_are_one_line_with_the_nearest_name(monkeypatch, capsys, arguments, message):
    code, out, err = call(monkeypatch, capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert message in err


def test_without_arguments_the_help_is_shown(monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys)
    assert (code, err) == (2, "")
    assert "Usage: spikeneuro" in out
    assert call(monkeypatch, capsys, "--version")[0] == 0


def test_the_end_of_a_file_is_no_abortion(here, monkeypatch, capsys):
    """A reader's EOFError is a defect like any other: its traceback is shown, and nothing says "Aborted"."""
    (here / "data.py").write_text(ADAPTER + "\n\ndef cut():\n    raise EOFError('ended early')\n")
    (here / "suite.yaml").write_text(SUITE.replace("data.py:blobs", "data.py:cut"))
    monkeypatch.setattr(sys, "argv", ["spikeneuro", "run", "suite.yaml"])
    with pytest.raises(EOFError, match="ended early"):
        cli.main()
    assert "Abort" not in capsys.readouterr().err


def test_interruption_while_planning(here, monkeypatch, capsys):
    (here / "data.py").write_text(ADAPTER + "\n\ndef stopped():\n    raise KeyboardInterrupt\n")
    (here / "suite.yaml").write_text(SUITE.replace("data.py:blobs", "data.py:stopped"))
    code, _, err = call(monkeypatch, capsys, "run", "suite.yaml")
    assert code == 130
    assert err.startswith("interrupted before the first cell")


@pytest.mark.parametrize("place", ["taken/deeper", "x" * 300, "held"])
def test_places_that_cannot_be_written_are_named(here, monkeypatch, capsys, place):
    (here / "taken").write_text("a file")
    (here / "held" / ".lock").mkdir(parents=True)
    code, _, err = call(monkeypatch, capsys, "run", "suite.yaml", "--out", place)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {place} cannot be written (")
    call(monkeypatch, capsys, "run", "suite.yaml", "--out", "good")
    code, _, err = call(monkeypatch, capsys, "results", "good", "--csv-dir", "taken", "--md", "page.md")
    assert (code, err.count("\n")) == (2, 1)
    assert "taken/blobs.csv cannot be written (" in err


def test_a_damaged_file_of_results_is_named(here, monkeypatch, capsys):
    (here / "results").mkdir()
    (here / "results" / "one.csv").write_bytes(bytes(range(256)))
    code, _, err = call(monkeypatch, capsys, "results", "--csv-dir", "results", "--md", "page.md")
    assert (code, err.count("\n")) == (2, 1)
    assert "results/one.csv" in err


def test_failed_cells_end_with_1_and_the_others_are_there(here, monkeypatch, capsys):
    bad = SUITE.replace("model: nearest-neighbour", "model: pca-svm, params: {n_components: 900}")
    (here / "suite.yaml").write_text(bad)
    code, out, err = call(monkeypatch, capsys, "run", "suite.yaml")
    assert code == 1
    assert "3 of 6 cells are finished" in out
    assert "failed: " in out
    assert "incomplete: 3 cells failed, 0 not computed" in out
    assert "3 cells failed" in err


def test_shuffled_labels_are_said(here, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "run", "suite.yaml", "--shuffle-labels")
    assert code == 0
    assert "labels are permuted" in out
    assert (here / "runs" / "blobs-shuffled" / "results.sqlite").is_file()


def test_interruption_in_this_process(here, monkeypatch, capsys):
    runner = sys.modules["spikeneuro.bench.runner"]
    original = runner.run_cell
    count = 0

    def interrupted(cell, threads):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return original(cell, threads)

    monkeypatch.setattr(runner, "run_cell", interrupted)
    code, _, err = call(monkeypatch, capsys, "run", "suite.yaml", "--out", "my runs")
    assert code == 130
    assert err == "interrupted: 2 of 6 cells are done; go on with: spikeneuro run suite.yaml --out 'my runs'\n"


def test_report_and_results(here, monkeypatch, capsys):
    call(monkeypatch, capsys, "run", "suite.yaml")
    code, out, _ = call(monkeypatch, capsys, "report", "runs/blobs")
    assert code == 0
    page = Path(out.strip())
    assert page == Path("runs/blobs/report.html")
    assert "Two blobs" in page.read_text()
    code, out, _ = call(monkeypatch, capsys, "results", "runs/blobs", "--csv-dir", "results", "--md", "RESULTS.md")
    assert (code, out.split()) == (0, ["results/blobs.csv", "RESULTS.md"])
    assert "| logistic | classical |" in Path("RESULTS.md").read_text()


def test_lists(here, monkeypatch, capsys):
    (here / "benchmarks" / "suites").mkdir(parents=True)
    (here / "benchmarks" / "suites" / "mine.yaml").write_text(SUITE)
    (here / "benchmarks" / "datasets").mkdir()
    (here / "benchmarks" / "datasets" / "mine.py").write_text(ADAPTER)
    for what, words in {
        "models": ("spiking-eegnet", "pipeline", "signal"),
        "encoders": ("DeltaEncoder",),
        "datasets": ("simulated-motor-imagery", "mine.py:blobs", "Two blobs"),
        "suites": ("demo", "mine", "Two blobs"),
    }.items():
        code, out, _ = call(monkeypatch, capsys, "list", what)
        assert code == 0
        assert all(word in out for word in words), what


def test_info_names_versions_optional_packages_and_data(here, monkeypatch, capsys):
    import torch

    monkeypatch.delenv("SPIKENEURO_DATA", raising=False)
    code, out, _ = call(monkeypatch, capsys, "info")
    assert code == 0
    assert torch.__version__.partition("+")[0] in out
    assert all(word in out for word in ("pyriemann", "cuda", "SPIKENEURO_DATA", "not set"))
    (here / "data" / "eeg" / "mine").mkdir(parents=True)
    (here / "data" / "eeg" / "mine" / "a.bin").write_bytes(b"x" * 1000)
    monkeypatch.setenv("SPIKENEURO_DATA", str(here / "data"))
    assert "eeg/mine" in call(monkeypatch, capsys, "info")[1]


def test_info_names_the_neuron_backends_and_what_auto_takes(monkeypatch, capsys):
    out = call(monkeypatch, capsys, "info")[1]
    assert "reference, numba, triton" in out
    assert "numba (the fused kernels of numba run on cpu)" in out


def test_info_says_why_an_optional_package_cannot_be_used(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyriemann", None)
    out = call(monkeypatch, capsys, "info")[1]
    assert "cannot be imported: ModuleNotFoundError" in out


def test_help_and_version_are_quick_and_import_nothing_heavy():
    code = (
        "import sys\n"
        "from spikeneuro import cli\n"
        "assert not {'torch', 'mne', 'sklearn', 'pandas', 'numba', 'matplotlib'} & set(sys.modules), 'heavy import'\n"
        "sys.argv = ['spikeneuro', '--help']\n"
        "cli.main()"
    )
    best = min(timed(code) for _ in range(2))
    assert best < 3  # a second on a quiet machine


def timed(code: str) -> float:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert "demo" in done.stdout
    return time.perf_counter() - begin


def test_version():
    from spikeneuro import __version__

    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.stdout.strip()) == (0, __version__)


def test_defects_keep_their_traceback(here, monkeypatch):
    (here / "data.py").write_text("def blobs():\n    return 1 / 0\n")
    monkeypatch.setattr(sys, "argv", ["spikeneuro", "run", "suite.yaml"])
    with pytest.raises(ZeroDivisionError):
        cli.main()
    assert issubclass(InputError, ValueError)


@pytest.mark.slow
def test_the_demo_runs_to_its_report(here, monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys, "demo", "--out", "demo")
    assert (code, err) == (0, "")
    assert Path(out.strip().splitlines()[-1].removeprefix("report: ")).is_file()
    with Store("demo") as store:
        assert store.counts()["failed"] == store.counts()["missing"] == 0
