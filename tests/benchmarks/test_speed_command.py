"""The speed benchmark: its command at tiny sizes, its clock and verdicts on contenders of known times, its masks."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from spikeneuro.bench.markdown import page_text
from spikeneuro.bench.results import _pages_beside

FOLDER = Path(__file__).parents[2] / "benchmarks" / "speed"


@pytest.fixture(scope="module")
def speed():
    """Modules of the benchmark, found as its own command finds them, and taken out of the interpreter again."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        import collected
        import growth
        import masks
        import timing
        import training_step
        import written

        yield {
            "timing": timing, "masks": masks, "growth": growth, "written": written, "collected": collected,
            "training_step": training_step,
        }  # fmt: skip
    finally:
        sys.path.remove(str(FOLDER))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent == FOLDER:
                del sys.modules[name]


def test_the_command_measures_and_writes(tmp_path):
    outputs = {"--csv": tmp_path / "t.csv", "--plot": tmp_path / "p.png", "--md": tmp_path / "page" / "R.md"}
    command = [sys.executable, str(FOLDER / "run.py"), "--tiny", "--threads", "1", "--repeats", "2"]
    command += ["--only", "lif", "training", "recurrent", "growth", "--backend", "auto"]
    done = subprocess.run(
        [*command, *(str(part) for pair in outputs.items() for part in pair)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "times the floor" in done.stdout
    with outputs["--csv"].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    ours = next(row for row in rows if row["case"] == "LIF, forward + backward" and row["contender"] == "spikeneuro")
    # From the same input and, at this rate, far from any rounding: all libraries fire the same spikes.
    peers = [row for row in rows if row["case"] == ours["case"] and row["kind"] == "peer"]
    assert {row["spike_rate"] for row in peers} <= {ours["spike_rate"]}
    assert all(float(row["q1_ms"]) <= float(row["median_ms"]) <= float(row["q3_ms"]) for row in rows)
    assert len({row["contender"] for row in rows if row["family"] == "growth"}) == 21
    assert outputs["--plot"].read_bytes().startswith(b"\x89PNG")
    page = outputs["--md"].read_text()
    assert "](../p.png)" in page
    assert "`../t.csv`" in page
    assert page.count("| at least ") + page.count("| at most ") == 9


def test_an_unknown_case_is_refused():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "--only", "everything"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "invalid choice: 'everything'" in done.stderr


def test_what_a_backend_cannot_do_is_told_and_the_rest_is_measured(tmp_path):
    page = tmp_path / "R.md"
    command = [sys.executable, str(FOLDER / "run.py"), "--tiny", "--threads", "1", "--repeats", "1", "--md", str(page)]
    command += ["--only", "rhythm", "growth", "--backend", "abacus"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "growth: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "**Not measured to the end:** rhythm: backend='abacus' is unknown" in page.read_text()


def contender(speed, name, seconds, spikes=None, **options):
    def step():
        time.sleep(seconds)
        return spikes

    return speed["timing"].Contender(name, step, **options)


def test_ratios_of_known_times(speed):
    timing = speed["timing"]
    spikes = torch.eye(4)
    case = timing.Case(
        "f", "naps", "none",
        [
            contender(speed, "short", 0.01, spikes),
            contender(speed, "long", 0.04, spikes, kind="peer"),
            contender(speed, "longer", 0.08, spikes, kind="peer"),
        ],
        [
            timing.Bar("best of two", ("long", "longer"), ("short",), "at least", 3.0),
            timing.Bar("too much asked", ("longer",), ("short",), "at least", 12.0),
            timing.Bar("at most", ("short",), ("long",), "at most", 0.5),
            timing.Bar("absent", ("nobody",), ("short",), "at least", 1.0),
            timing.Bar("told", ("long",), ("short",), "at least", None),
        ],
    )  # fmt: skip
    timings, verdicts = timing.run_case(case, 3)
    assert [verdict.outcome for verdict in verdicts] == ["met", "NOT MET", "met", "not measured", "no bar"]
    assert verdicts[0].ratio == pytest.approx(4, rel=0.3)
    assert verdicts[0].between == "long / short"
    assert [row.repeats for row in timings] == [3, 3, 3]
    assert timings[0].spike_rate == 0.25
    assert timings[1].spikes_differing == 0


def test_contenders_that_compute_something_else_are_refused(speed):
    timing = speed["timing"]
    pair = [contender(speed, "ours", 0, torch.eye(4)), contender(speed, "other", 0, torch.zeros(4, 4), kind="peer")]
    with pytest.raises(timing.DisagreementError, match=r"other differs from ours in 25\.00% of the spikes"):
        timing.run_case(timing.Case("f", "c", "w", pair), 1)
    x = torch.ones(3, requires_grad=True)

    def graded(name, slope):
        def step():
            y = slope * x
            y.sum().backward()
            return torch.ones(3)

        return timing.Contender(name, step, leaves={"input": x})

    with pytest.raises(timing.DisagreementError, match=r"gradients of steep differ from ours by 1\.0e\+00"):
        timing.run_case(timing.Case("f", "c", "w", [graded("ours", 1.0), graded("steep", 2.0)]), 1)


def test_slow_contenders_sit_turns_out(speed, monkeypatch):
    monkeypatch.setattr(speed["timing"], "PATIENCE", 0.1)
    case = speed["timing"].Case("f", "c", "w", [contender(speed, "quick", 0.001), contender(speed, "slow", 0.04)])
    timings, _ = speed["timing"].run_case(case, 12)
    assert [row.repeats for row in timings] == [12, 3]


@pytest.mark.parametrize(
    ("steps", "neurons", "duty", "cycles", "phase", "expected"),
    [
        # Mean ON fraction of masks that the published code makes for sequential MNIST and SHD.
        (784, 64, (0.1, 0.5), (1, 50), 0.5, 0.3483),
        (784, 256, (0.1, 0.5), (1, 50), 0.5, 0.3384),
        (1000, 64, (0.15, 0.99), (10, 60), 0.3, 0.5866),
    ],
)
def test_masks_are_as_published(speed, steps, neurons, duty, cycles, phase, expected):
    mask = speed["masks"].covarying(steps, neurons, duty, cycles=cycles, phase=phase)
    assert mask.shape == (steps, 1, neurons)
    assert float(mask.mean()) == pytest.approx(expected, abs=6e-5)


def test_a_synchronous_mask_is_on_for_its_duty(speed):
    mask = speed["masks"].synchronous(100, 3, 0.1, cycle=20)
    assert mask[:, 0, 0].nonzero().flatten().tolist() == [start + k for start in range(0, 100, 20) for k in (0, 1)]
    assert torch.equal(mask[..., 0], mask[..., 2])


def test_slopes_of_known_growth(speed):
    sizes = [round(10 ** (1 + k / 3)) for k in range(7)]
    growth = speed["growth"].Growth("T", sizes, [0.5 * size**2 for size in sizes], "")
    assert growth.slope == pytest.approx(2)
    fixed = speed["growth"].Growth("T", sizes, [100 + size for size in sizes], "")
    assert fixed.slope < fixed.upper_slope < 1


def test_hidden_layers_fire_at_the_rate_asked_for(speed):
    step = speed["training_step"]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60, 8, 6, generator=generator)
    weights = step.firing_at(0.03, step.Size((6, 32, 32, 3), 60, 8), x, generator)
    net = step.build(weights, lambda: step.nn.LIF((), beta=step.peers.BETA))
    assert step.hidden_rates(net, x) == pytest.approx([0.03, 0.03], abs=0.003)


def test_the_page_of_results_links_to_the_page_of_speed(tmp_path):
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "RESULTS.md").write_text("# Speed of the neuron layers\n\nWritten by ...\n")
    text = page_text([], "the overview", _pages_beside(tmp_path / "RESULTS.md"))
    assert "Measured otherwise: [Speed of the neuron layers](speed/RESULTS.md)." in text


def test_a_missing_peer_is_named(speed, monkeypatch):
    import peers

    monkeypatch.setattr(peers, "installed", lambda: {"snnTorch": "1.0"})
    run = speed["collected"].Collected(1, "command")
    assert "not installed: SpikingJelly, Norse" in run.circumstances()
