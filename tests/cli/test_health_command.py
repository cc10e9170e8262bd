"""`spikeneuro health`: what it prints and writes, and the mistakes users make."""

import json
import sys

import pytest

from spikeneuro import cli

ADAPTER = '''
import numpy as np

from spikeneuro.data import Recordings


def bursts(loud=3.0, kind="class"):
    """Two loudnesses."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 12)
    X = rng.normal(size=(24, 3, 64)) * 1e-5
    X[y == 1, 0] *= loud
    target = y if kind == "class" else X[:, 0].std(axis=1) * 1e5
    return Recordings(X, target, {"subject": np.repeat(np.arange(6), 4)}, 64.0, ["a", "b", "c"])


def uneven():
    """Two lengths."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(3, 60 + 20 * (i % 2))) for i in range(8)]
    return Recordings(X, np.tile([0, 1], 4), {"subject": np.arange(8)}, 64.0, ["a", "b", "c"])
'''

SUITE = """
name: two
title: Two experiments
training: {max_epochs: 3, lr: 0.002, batch_size: 8, monitor: valid_accuracy}
candidates:
  - {name: small, model: recurrent-snn, params: {hidden: 9}}
  - {name: wide, model: recurrent-snn, params: {hidden: 17}}
  - {name: lstm, model: lstm}
  - {name: cut, model: recurrent-snn, params: {hidden: 5}, windows: {length: 32, step: 16}}
experiments:
  - {name: first, data: {source: "data.py:bursts"}, unit: subject, candidates: [small, wide, lstm],
     split: {method: leave-groups-out, params: {by: subject, n_splits: 3, random_state: 0}}}
  - {name: second, data: {source: "data.py:bursts", params: {loud: 2.0}}, unit: subject, candidates: [small],
     split: {method: leave-groups-out, params: {by: subject, n_splits: 3, random_state: 0}}}
  - {name: third, data: {source: "data.py:uneven"}, unit: subject, candidates: [cut],
     split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with data and a suite, that is the current one."""
    (tmp_path / "data.py").write_text(ADAPTER)
    (tmp_path / "two.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process: exit status, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["spikeneuro", "health", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


def content(folder):
    assert (folder / "health.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / "health.json").read_text())


def test_a_model_on_data_of_a_file(here, call):
    code, out, err = call("recurrent-snn", "--data", "data.py:bursts", "--option", "hidden=12", "--out", "o")
    assert (code, err) == (0, "")
    assert "recurrent-snn on data.py:bursts, as initialised, 24 samples" in out
    assert out.splitlines()[-2:] == ["o/health.json", "o/health.png"]
    found = content(here / "o")
    assert (found["about"]["params"], found["about"]["epochs"], found["training"]) == ({"hidden": 12}, 0, True)
    (layer,) = found["layers"]
    assert (layer["neurons"], layer["steps"], layer["dt"]) == (12, 64, 1 / 64)
    assert len(layer["rates"]) == 12
    assert all(value > 0 for value in layer["gradient_current_over_time"])
    assert f"{layer['rate']:.4f}" in out
    assert f"{layer['rate_hz']:.2f}" in out
    assert f"{found['parameter_gradients']['head']:.2e}" in out
    assert all(finding in out.replace("\n", " ") for finding in found["findings"])


def test_it_repeats_and_the_seed_and_epochs_count(here, call):
    for out, options in {"a": (), "b": (), "seed": ("--seed", 1), "epochs": ("--epochs", 1)}.items():
        assert call("recurrent-snn", "--data", "data.py:bursts", "--samples", 10, "--out", out, *options)[0] == 0
    a, b, seed, epochs = (content(here / name) for name in ("a", "b", "seed", "epochs"))
    assert a == b
    assert a["samples"] == 10
    assert (a["training"], epochs["training"]) == (True, False)
    assert len({one["loss"] for one in (a, seed, epochs)}) == 3


def test_a_dead_network_is_told_so(here, call):
    # input currents of a normalised layer whose gain is tiny never reach the threshold
    options = ("--training", "scale=none", "--option", "norm=none", "--option", "n_layers=2")
    code, out, _ = call("recurrent-snn", "--data", "data.py:bursts", *options)
    assert code == 0
    assert "layer neurons.0: none of its 64 neurons ever fired" in out
    assert content(here / "runs" / "health" / "recurrent-snn")["layers"][0]["dead"] == 1


def test_a_candidate_of_a_suite_has_its_parameters_and_data(here, call):
    assert call("small", "--suite", "two.yaml", "--experiment", "second", "--out", "o")[0] == 0
    found = content(here / "o")
    about = found["about"]
    assert (about["candidate"], about["model"], about["data_params"]) == ("small", "recurrent-snn", {"loud": 2.0})
    assert about["training"] == {"lr": 0.002, "batch_size": 8, "max_epochs": 0, "validation_fraction": None}
    assert found["layers"][0]["neurons"] == 9
    assert call("wide", "--suite", "two.yaml", "--option", "hidden=4", "--out", "o")[0] == 0  # in one experiment only
    assert content(here / "o")["layers"][0]["neurons"] == 4
    assert call("cut", "--suite", "two.yaml", "--out", "o")[0] == 0
    assert content(here / "o")["layers"][0]["steps"] == 32  # a window


def test_regression_and_images(here, call):
    assert call("spiking-eegnet", "--data", "data.py:bursts", "--data-option", "kind=number", "--out", "o")[0] == 0
    assert [layer["layer"] for layer in content(here / "o")["layers"]] == ["first", "second"]
    assert call("spiking-cnn2d", "--data", "digits", "--option", "filters=[4, 4]", "--out", "i")[0] == 0
    assert [layer["neurons"] for layer in content(here / "i")["layers"]] == [4 * 64, 4 * 16]
    assert content(here / "i")["layers"][0]["rate_hz"] is None


def test_adapters_are_found_where_the_list_finds_them(here, call):
    (here / "benchmarks" / "datasets").mkdir(parents=True)
    (here / "data.py").rename(here / "benchmarks" / "datasets" / "mine.py")
    assert call("recurrent-snn", "--data", "mine.py:bursts", "--out", "o")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recurrent-snn",), "either --data NAME or --suite NAME"),
        (("recurrent-snn", "--data", "digits", "--suite", "demo"), "either --data NAME or --suite NAME"),
        (("recurrent-snn", "--data", "digits", "--experiment", "x"), "--experiment belongs to --suite"),
        (("small", "--suite", "two.yaml", "--data-option", "a=1"), "--data-option belongs to --data"),
        (("recurent-snn", "--data", "data.py:bursts"), "did you mean 'recurrent-snn'?"),
        (("lstm", "--data", "data.py:bursts"), "model 'lstm' has no spiking layer"),
        (("csp-lda", "--data", "data.py:bursts"), "model 'csp-lda' has no spiking layer"),
        (("recurrent-snn", "--data", "digit"), "did you mean 'digits'?"),
        (("recurrent-snn", "--data", "absent.py:load"), "there is no file"),
        (("recurrent-snn", "--data", "data.py:burst"), "did you mean 'bursts'?"),
        (("recurrent-snn", "--data", "data.py:bursts", "--data-option", "lod=2"), "did you mean 'loud'?"),
        (("recurrent-snn", "--data", "data.py:uneven"), "differ in length"),
        (("recurrent-snn", "--data", "digits"), "takes signal input, the recordings hold image"),
        (("recurrent-snn", "--data", "data.py:bursts", "--option", "hiden=3"), "did you mean 'hidden'?"),
        (("recurrent-snn", "--data", "data.py:bursts", "--option", "hidden"), "--option 'hidden' is not of the form"),
        (("recurrent-snn", "--data", "data.py:bursts", "--option", "tau=[1"), "the value cannot be read"),
        (("recurrent-snn", "--data", "data.py:bursts", *("--option", "hidden=3") * 2), "gives 'hidden' twice"),
        (("recurrent-snn", "--data", "data.py:bursts", "--training", "lrr=1"), "did you mean 'lr'?"),
        (("recurrent-snn", "--data", "data.py:bursts", "--training", "lr=-1"), "lr must lie in"),
        (("recurrent-snn", "--data", "data.py:bursts", "--training", "max_epochs=3"), "give --epochs"),
        (("recurrent-snn", "--data", "data.py:bursts", "--epochs", "-1"), "'--epochs'"),
        (("recurrent-snn", "--data", "data.py:bursts", "--out", "data.py"), "cannot be written"),
        (("small", "--suite", "two.yaml"), "several experiments of suite 'two.yaml' have the candidate 'small'"),
        (("smal", "--suite", "two.yaml"), "did you mean 'small'?"),
        (("wide", "--suite", "two.yaml", "--experiment", "second"), "has no candidate 'wide'"),
        (("wide", "--suite", "two.yaml", "--experiment", "fist"), "did you mean 'first'?"),
        (("lstm", "--suite", "two.yaml"), "model 'lstm' has no spiking layer"),
    ],
)
def test_mistakes_are_one_line_and_status_2(here, call, arguments, message):
    before = sorted(path.name for path in here.iterdir())
    code, _, err = call(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    assert message in err
    assert sorted(path.name for path in here.iterdir() if path.name != "__pycache__") == before
