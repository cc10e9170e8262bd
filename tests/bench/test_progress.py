"""The table a run ends with: what is undefined is a dash, and how many units a score rests on is never wrong."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from spikeneuro.bench.progress import Reporter
from spikeneuro.bench.wording import DASH, count, energy, limits, number


def shown(*rows):
    stream = io.StringIO()
    Reporter(Console(file=stream, width=200)).table(pd.DataFrame(rows))
    return stream.getvalue()


def row(candidate, score=np.nan, low=np.nan, high=np.nan, n_units=0, **more):
    return {
        "experiment": "across", "candidate": candidate, "spiking": False, "kind": "pipeline", "metric": "accuracy",
        "score": score, "low": low, "high": high, "unit": "subject", "n_units": n_units, "rival": None,
        "difference": np.nan, "p": np.nan, "spike_rate": np.nan, "macs": np.nan, "acs": np.nan, "energy_j": np.nan,
        "n_ok": int(n_units > 0), "n_failed": 0, "n_missing": int(n_units == 0), **more,
    }  # fmt: skip


def test_undefined_intervals_are_dashes_and_units_those_of_the_finished_candidates():
    text = shown(row("missing"), row("one", 0.75, n_units=1), row("done", 0.5, 0.4, 0.6, 6))
    assert "accuracy over 6 subjects" in text
    assert "0.400 to 0.600" in text
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│ ")}
    assert " to " not in lines["missing"] + lines["one"]
    assert DASH in lines["missing"]
    assert "MACs" not in text  # a column without any number is left out


def test_an_experiment_without_a_finished_cell_says_so():
    text = " ".join(shown(row("missing")).split())  # a title is folded to the width of its table
    assert "accuracy not computed" in text
    assert "over 0" not in text
    one = " ".join(shown(row("one", 0.5, n_units=1)).split())
    assert "over 1 subject" in one
    assert "subjects" not in one


@pytest.mark.parametrize("value", [None, np.nan, pd.NA])
def test_every_formatter_has_a_dash_for_what_is_undefined(value):
    assert number(value, ".3f") == limits(value, 0.5, ".3f") == count(value) == energy(value) == DASH


def test_units_of_counts_and_energies():
    assert [count(x) for x in (7, 1234, 5.6e6, 7.8e9)] == ["7", "1.2 k", "5.6 M", "7.8 G"]
    assert [energy(x) for x in (3.21e-9, 4.5e-6, 0.002)] == ["3.2 nJ", "4.50 µJ", "2.00 mJ"]
    assert number(-0.25, "+.2f") == "\N{MINUS SIGN}0.25"
