"""The predictor of memory against the profiler's record of allocations, resident memory and arithmetic."""

import copy
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from spikeneuro import NeuroClassifier, NeuroRegressor, models, training
from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, RateReadout, Recompute
from spikeneuro.training.memory import Step, follow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory" / "run.py"


def network(name, times, **options):
    return models.create(name, n_chans=8, n_times=times, n_outputs=3, sfreq=128.0, **options)


def profiled_peak(module, x, optimizer=torch.optim.AdamW):
    """Most bytes held in two training steps, from the allocator's own record, plus what is there before."""
    made = optimizer(module.parameters())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        for _ in range(2):
            made.zero_grad()
            module(x).mean().backward()
            made.step()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    before = sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers(), x])
    return before + int(np.cumsum(changes).max())


@pytest.mark.parametrize(("batch", "times"), [(8, 256), (32, 512)])
@pytest.mark.parametrize(("name", "options"), [("cnn1d", {}), ("lstm", {}), ("lstm", {"n_layers": 2, "hidden": 48})])
def test_prediction_meets_the_allocators_record(name, options, batch, times):
    module = network(name, times, **options)
    predicted = training.predict_memory(module, (batch, 8, times))
    assert predicted.peak == pytest.approx(profiled_peak(module, torch.randn(batch, 8, times)), rel=0.15)


@pytest.mark.parametrize("recompute", [False, True])
def test_reference_backends_inner_graph_is_part_of_it(recompute):
    """The reference runs again inside the backward pass and keeps every step's tensors there."""
    module = nn.Sequential(
        nn.Linear(4, 32), LIF(32, backend="reference", tau_syn=0.01, tau_adapt=0.1, kappa=0.3), RateReadout()
    )
    module = Recompute(module) if recompute else module
    predicted = training.predict_memory(module, (120, 16, 4))
    assert predicted.peak == pytest.approx(profiled_peak(module, torch.randn(120, 16, 4)), rel=0.15)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("recurrent-snn", {"norm": "layer"}), ("recurrent-snn", {"n_layers": 2, "hidden": 128}),
        ("recurrent-snn", {"norm": "layer", "recompute": "sqrt"}), ("spiking-eegnet", {}), ("cnn1d", {}), ("lstm", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("batch", "times"), [(4, 128), (24, 400)])
def test_fake_and_real_tensors_live_equally_long(name, options, batch, times):
    module = network(name, times, **options)
    predicted = training.predict_memory(module, (batch, 8, times))
    counted = follow(Step(copy.deepcopy(module), (batch, 8, times), torch.Tensor.mean, torch.optim.AdamW))
    assert predicted.peak == pytest.approx(counted.peak, rel=0.02)
    assert predicted.saved == pytest.approx(counted.saved, rel=0.02)
    assert predicted.optimizer == counted.optimizer


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux's /proc")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(["recurrent-snn", {"norm": "layer"}, 256, 512], id="recurrent-snn"),
        pytest.param(["recurrent-snn", {"norm": "layer", "recompute": "sqrt"}, 512, 1000], id="recomputed"),
        pytest.param(["spiking-eegnet", {}, 512, 512], id="spiking-eegnet", marks=pytest.mark.slow),
        pytest.param(["cnn1d", {}, 256, 512], id="cnn1d", marks=pytest.mark.slow),
    ],
)
def test_prediction_meets_resident_memory(case):
    """How far a fresh process grows, with an allocator that returns what is free."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--resident", json.dumps(case)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}, capture_output=True, text=True, check=True, timeout=250,
    )  # fmt: skip
    name, options, batch, times = case
    predicted = training.predict_memory(network(name, times, **options), (batch, 8, times))
    assert predicted.peak - predicted.parameters - predicted.inputs == pytest.approx(
        int(done.stdout.split()[-1]), rel=0.15
    )


def test_grows_linearly_without_and_as_the_root_with_recomputation():
    steps = (100, 200, 400, 800, 1600)
    slopes = {}
    for recompute in (None, "sqrt"):
        found = [
            training.predict_memory(
                network("recurrent-snn", times, norm="layer", hidden=128, recompute=recompute), (16, 8, times)
            ).activations
            for times in steps
        ]
        slopes[recompute] = np.polyfit(np.log(steps), np.log(found), 1)[0]
    assert slopes[None] == pytest.approx(1.0, abs=0.05)
    assert 0.4 < slopes["sqrt"] < 0.65


def test_parts_are_what_arithmetic_says():
    module = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    estimate = training.predict_memory(module, (64, 10), optimizer="adam")
    weights = 4 * (10 * 20 + 20 + 20 * 5 + 5)
    assert (estimate.parameters, estimate.gradients, estimate.inputs) == (weights, weights, 4 * 64 * 10)
    assert estimate.optimizer == 2 * weights + 4 * 4  # two moments, and a count of steps for each of four tensors
    # Kept after the forward pass: the hidden values once (ReLU works out of place, its input is freed) and the mean.
    assert estimate.saved == 4 * 64 * 20 + 4
    assert estimate.peak >= estimate.parameters + estimate.optimizer + estimate.inputs + estimate.saved
    plain = training.predict_memory(module, torch.zeros(64, 10), optimizer=None)
    assert (plain.optimizer, plain.saved) == (0, estimate.saved)
    half = training.predict_memory(module.double(), (64, 10), optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    assert (half.parameters, half.optimizer) == (2 * weights, 0)


def test_neither_network_nor_memory_is_touched():
    """A batch of a hundred million neuron steps and the network that was given stay as they are."""
    module = network("recurrent-snn", 100_000, norm="layer", hidden=256)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    mode = module.training
    estimate = training.predict_memory(module, (512, 8, 100_000))
    assert estimate.peak > 100e9
    assert module.training == mode
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_estimators_bring_their_own_settings():
    X, y = np.zeros((40, 4, 100)), np.arange(40) % 3
    options = {"sfreq": 100.0, "batch_size": 8, "random_state": 0}
    adam = training.predict_memory(NeuroClassifier("recurrent-snn", **options), X, y)
    assert adam.inputs == 8 * 4 * 100 * 4  # 32 training samples in four batches
    assert adam.best == adam.parameters
    same = training.predict_memory(NeuroClassifier("recurrent-snn", **options), X.shape, n_outputs=3)
    assert same == adam
    sgd = training.predict_memory(NeuroClassifier("recurrent-snn", optimizer="sgd", **options), X, y)
    assert sgd.optimizer == 0
    less = training.predict_memory(
        NeuroClassifier("recurrent-snn", module__recompute="sqrt", module__norm="layer", **options), X, y
    )
    assert less.activations < adam.activations / 3
    punished = training.predict_memory(NeuroClassifier("recurrent-snn", rate_penalty=1.0, **options), X, y)
    assert punished.peak >= adam.peak
    steps = training.predict_memory(NeuroClassifier("lstm", **options), X, np.zeros((40, 100)) + y[:, None])
    assert steps.peak > 0
    assert training.predict_memory(NeuroRegressor("cnn1d", **options), X.shape).peak > 0
    assert training.predict_memory(NeuroClassifier("mlp", batch_size=8), (40, 30), n_outputs=2).inputs == 8 * 30 * 4


def test_estimate_can_be_read():
    estimate = training.predict_memory(nn.Linear(1024, 1024), (32, 1024))
    table = estimate.table()
    assert table.loc["peak", "MiB"] == estimate.peak / 2**20
    assert f"{estimate.peak / 2**20:.2f} MiB" in str(estimate)
    assert math.isclose(table.loc["parameters", "bytes"], 4 * (1024**2 + 1024))


class Chooses(nn.Module):
    """Decides by a value what it computes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else x


MISTAKES = {
    "no model": (lambda: training.predict_memory("lstm", (2, 3, 4)), "got str"),
    "no classes": (lambda: training.predict_memory(NeuroClassifier("cnn1d"), (9, 3, 64)), "y or n_outputs"),
    "one axis": (lambda: training.predict_memory(nn.Linear(3, 3), (5,)), "two or more axes"),
    "empty": (lambda: training.predict_memory(nn.Linear(3, 3), (0, 3)), "size"),
    "optimizer": (lambda: training.predict_memory(nn.Linear(3, 3), (2, 3), optimizer="adma"), "adam"),
    "values": (lambda: training.predict_memory(Chooses(), (2, 3)), "decides by values"),
    "shape": (lambda: training.predict_memory(network("cnn1d", 64), (2, 5, 64)), "channels"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.parametrize(("batch", "times"), [(64, 256), (256, 1000)])
@pytest.mark.parametrize(
    ("name", "options"),
    [("recurrent-snn", {"norm": "layer"}), ("recurrent-snn", {"norm": "layer", "recompute": "sqrt"}),
     ("spiking-eegnet", {}), ("cnn1d", {}), ("lstm", {})],
)  # fmt: skip
def test_prediction_meets_the_gpus_allocator(name, options, batch, times):
    module = network(name, times, **options).cuda()
    predicted = training.predict_memory(module, (batch, 8, times))
    there = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    follow_real(copy.deepcopy(module), torch.randn(batch, 8, times, device="cuda"))
    measured = torch.cuda.max_memory_allocated() - there
    assert predicted.peak == pytest.approx(measured, rel=0.15)


def follow_real(module, x):
    optimizer = torch.optim.AdamW(module.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        module(x).mean().backward()
        optimizer.step()
    module.eval()
    with torch.no_grad():
        module(x)
