"""The command that measures conversion: its tables for a small network, intervals by hand, and what it chooses."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from spikeneuro import models
from spikeneuro._random import scoped_seed

COMMAND = Path(__file__).parents[2] / "benchmarks" / "conversion" / "run.py"
METHODS = ("percentile 99.9, offsets", "max")
STEPS = (2, 8, 32)


@pytest.fixture(scope="module")
def command():
    before = sys.path.copy()
    yield runpy.run_path(str(COMMAND))
    sys.path[:] = before


@pytest.fixture(scope="module")
def measured(command, tmp_path_factory):
    """A small network on images one half of which is brighter."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(160) % 2
    x = torch.rand(160, 1, 12, 12, generator=generator)
    x[:, :, :6] += y[:, None, None, None]
    parts = [(x[rows], y[rows]) for rows in (slice(0, 96), slice(96, 128), slice(128, 160))]
    with scoped_seed(0):
        network = models.create("cnn2d", in_chans=1, image_size=12, n_outputs=2)
        case = command["Case"]("digits", 0, 0, network, *parts, np.arange(32) // 2, lambda batch: batch)
        command["fit"](network, case, 2, 4e-3, 16)
    cache = tmp_path_factory.mktemp("cache")
    rows, layers = command["measure"](case, cache, STEPS, METHODS)
    return case, cache, rows, layers


def test_tables_hold_what_was_measured(command, measured):
    case, cache, rows, layers = measured
    table = command["summarised"](rows)
    assert table[["method", "steps"]].to_numpy().tolist() == [[method, step] for method in METHODS for step in STEPS]
    with torch.no_grad():
        ann = float((case.ann.eval()(case.test[0]).argmax(1) == case.test[1]).float().mean())
    assert set(table["ann_accuracy"]) == {ann}
    last = table[table["steps"] == 32]
    np.testing.assert_allclose(last["accuracy"], ann, atol=0.07)
    np.testing.assert_allclose(table["difference"], table["accuracy"] - ann)
    for _, group in table.groupby("method"):
        assert group["energy_uj"].is_monotonic_increasing
        assert group["spikes"].is_monotonic_increasing
    assert set(layers["method"]) == set(METHODS)
    again, _ = command["measure"](case, cache, STEPS, METHODS[:1])  # answers that were kept
    for row, other in zip(again["right"], rows["right"], strict=False):
        np.testing.assert_array_equal(row, other)


def test_the_page_names_the_method_that_validation_data_chose(command, measured, tmp_path):
    *_, rows, layers = measured
    table = command["summarised"](rows).assign(command="python it")
    for method, accuracy in zip(METHODS, (0.25, 0.75), strict=True):
        table.loc[table["method"] == method, "validation_accuracy"] = accuracy
    assert command["chosen"](table) == "max"
    table.to_csv(tmp_path / "digits.csv", index=False)
    layers.to_csv(tmp_path / "digits-layers.csv", index=False)
    page = command["page"](tmp_path)
    assert "Chosen on validation data at T = 8: max." in page
    assert "Made by `python it`." in page
    assert "## Dementia" not in page
    command["draw"](table, layers, tmp_path / "digits.png")
    assert (tmp_path / "digits.png").stat().st_size > 1000


def test_intervals_are_over_units(command):
    assert command["interval"](np.full(6, 0.5), np.arange(6)) == (0.5, 0.5)
    difference, units = np.array([1.0, 1, 1, 0, 0, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert command["interval"](difference, units) == (0.0, 1.0)  # two people: either may be drawn twice
    table = pd.DataFrame({"steps": [8, 8], "method": ["a", "b"], "validation_accuracy": [0.9, 0.9]})
    assert command["chosen"](table) == "a"  # of equals the first


def test_too_few_steps_to_choose_by_are_refused(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "digits", "--cache", str(tmp_path), "--max-steps", "4"])
    with pytest.raises(SystemExit):
        command["main"]()
    assert "--max-steps must be at least 8" in capsys.readouterr().err
