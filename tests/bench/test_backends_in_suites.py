"""A training step of a suite's spiking candidates is that of the reference, whatever backend took it."""

import copy
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from spikeneuro._random import scoped_seed
from spikeneuro.bench.estimators import build
from spikeneuro.bench.grouping import experiment_recordings
from spikeneuro.bench.plan import make_plan
from spikeneuro.bench.suite import load_suite
from spikeneuro.nn import LIFLayer
from spikeneuro.training.losses import IGNORED

SUITES = Path(__file__).parents[2] / "benchmarks" / "suites"


def compare_steps(path):
    """Compare a training step of every spiking network of a suite, on a batch of its own; return their number."""
    compared = set()
    for cell in make_plan(load_suite(path)).cells:
        entry, place = cell.candidate.entry, (cell.experiment.name, cell.candidate.name)
        if not entry.spiking or entry.kind != "network" or place in compared:
            continue
        recordings = experiment_recordings(cell.experiment, shuffled=False)
        rows = cell.fold.train[:: max(len(cell.fold.train) // 64, 1)]
        estimator = build(cell.candidate, recordings, cell.experiment.task, cell.seed).set_params(max_epochs=0)
        estimator.fit(recordings.X[rows], recordings.y[rows])
        X, y = estimator.network_input(recordings.X[rows[:32]]), recordings.y[rows[:32]]
        codes = torch.from_numpy(np.where(y == IGNORED, IGNORED, np.searchsorted(estimator.classes_, y)))
        (loss, ours), (expected, reference) = (step(estimator.net_, kind, X, codes) for kind in ("numba", "reference"))
        assert loss == pytest.approx(expected, rel=1e-5)
        for name, gradient in reference.items():
            error = (ours[name] - gradient).norm() / gradient.norm().clamp(min=1e-6)
            assert error < 1e-4, (place, name, float(error))
        compared.add(place)
    return len(compared)


def step(net, backend, X, y):
    """Loss and gradients of one training step from the same weights, with the same dropout."""
    net = copy.deepcopy(net)
    layers = [layer for layer in net.module_.modules() if isinstance(layer, LIFLayer)]
    assert layers
    assert {layer.backend for layer in layers} == {"auto"}
    for layer in layers:
        layer.backend = backend
    net.module_.train()
    with scoped_seed(0):
        loss = net.get_loss(net.infer(X), y, X=X, training=True)
    loss.backward()
    return float(loss), {name: p.grad for name, p in net.module_.named_parameters()}


def test_in_the_demonstration():
    assert compare_steps(files("spikeneuro.bench.suites") / "demo.yaml") == 4


@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize("name", ["eeg_mental_arithmetic", "ecg_waves", "image_digits"])
def test_in_a_suite_on_real_recordings(name):
    assert compare_steps(SUITES / f"{name}.yaml") >= 1
