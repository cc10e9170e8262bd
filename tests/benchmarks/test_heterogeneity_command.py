"""The comparison of heterogeneous networks with their twins: its command at tiny sizes, and what it holds equal."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "heterogeneity"


@pytest.fixture(scope="module")
def twins():
    """The module of the benchmark, found as its own command finds it, and taken out of the interpreter again."""
    sys.path.insert(0, str(FOLDER))
    try:
        import twins

        yield twins
    finally:
        sys.path.remove(str(FOLDER))
        del sys.modules["twins"]


def test_the_command_measures_and_writes(tmp_path):
    table, picture, page = tmp_path / "t.csv", tmp_path / "p.png", tmp_path / "page" / "R.md"
    command = [sys.executable, str(FOLDER / "run.py")]
    outputs = ["--plot", str(picture), "--md", str(page)]
    done = subprocess.run(
        [*command, "--tiny", "--csv", str(table), *outputs], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["network"] for row in rows} == {"hrsnn", "twin", "twin, own rate"}
    assert {row["part"] for row in rows} == {"sweep", "best for hrsnn", "best for twin"}
    assert all(0 < float(row["rate"]) < 1 for row in rows)
    assert picture.read_bytes().startswith(b"\x89PNG")
    written = page.read_text()
    assert "](../p.png)" in written
    assert "## After equal tuning" in written
    again = subprocess.run(
        [*command, "--tiny", "--read", str(table), "--md", str(tmp_path / "again.md")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert _tables(tmp_path / "again.md") == _tables(page)


def _tables(page):
    return [line for line in page.read_text().splitlines() if line.startswith("|")]


@pytest.mark.parametrize("way", ["input", "threshold"])
def test_a_pair_has_one_rate_and_one_mean_time_constant(twins, way):
    setting, size = twins.Setting(recurrent_scale=0.5), twins.Size(hidden=32, steps=2000)
    own = twins._network(setting, size, 3)
    twin = own.homogeneous_twin()
    assert twin.recurrent.tau_mem.mean().item() == pytest.approx(own.recurrent.tau_mem.mean().item(), rel=1e-5)
    wanted = twins._rate(own, setting, size, 7)
    assert abs(twins._rate(twin, setting, size, 7) - wanted) > 0.05 * wanted
    recurrent = twin.recurrent.weight.detach().clone()
    gain = twins._match(twin, wanted, way, setting, size, 7)
    assert twins._rate(twin, setting, size, 7) == pytest.approx(wanted, rel=0.02)
    assert gain != 1
    factor = (twin.recurrent.weight.detach() / recurrent)[recurrent != 0]
    assert factor.mean().item() == pytest.approx(gain if way == "threshold" else 1.0, rel=1e-5)
