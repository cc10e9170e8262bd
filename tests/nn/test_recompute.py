"""Recomputing in segments: the plain stack is the oracle for values and gradients, counted bytes for memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeneuro import NeuroClassifier, models
from spikeneuro._random import scoped_seed
from spikeneuro.errors import InputError
from spikeneuro.nn import (
    LIF,
    LastReadout,
    LeakyReadout,
    LIFResult,
    MaxMembraneReadout,
    OverTime,
    RateReadout,
    Recompute,
    RecurrentLIF,
    SpikingLayer,
)
from spikeneuro.ops import spike

F64 = torch.float64


class QuadraticIF(SpikingLayer):
    """A neuron as a user writes it, with a state of its own: membrane and time."""

    def run(self, x, state=None, record=()):
        del record
        v, clock = (torch.zeros_like(x[0]), 0) if state is None else state
        spikes = []
        for current in x:
            u = 0.9 * v + 0.2 * v * v + current
            clock += 1
            s = spike(u - 1.0 + 0.001 * clock)
            v = u * (1.0 - s)
            spikes.append(s)
        return LIFResult(torch.stack(spikes), (v, clock), {})


class Watched:
    """Counts the bytes of distinct storages that autograd keeps, those of parameters left out."""

    def __init__(self, *known: torch.Tensor) -> None:
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.kept = {}

    def __enter__(self):
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.known:
            self.kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def __exit__(self, *error):
        self.hooks.__exit__(*error)

    @property
    def bytes(self):
        return sum(self.kept.values())


def stack(readout=None):
    layers = [
        nn.Linear(3, 12, dtype=F64),
        RecurrentLIF(12, dtype=F64, dt=1.0, tau_mem=4.0, learn="tau_mem", recurrent_scale=1.0, delay=2),
        nn.Sequential(nn.LayerNorm(12, dtype=F64), nn.Linear(12, 8, dtype=F64), nn.Tanh()),
        LIF(8, dtype=F64, beta=0.8, alpha=0.5, learn=("beta", "alpha", "threshold"), threshold=0.3),
        OverTime(nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 3, 3, padding=1, dtype=F64))),
        LIF((3, 1), dtype=F64, tau_adapt=0.02, kappa=0.4, refractory=1, reset_timing="next_step", threshold=0.2),
        nn.Flatten(2),
        QuadraticIF(12),
        nn.Linear(12, 5, dtype=F64),
    ]
    return nn.Sequential(*layers, *(() if readout is None else (readout,)))


READOUTS = {
    "every step": lambda: None,
    "rate": RateReadout,
    "leaky": lambda: LeakyReadout(5, beta=0.9, learn=True, dtype=F64),
    "course": lambda: LeakyReadout(5, beta=0.9, learn=True, sequence=True, dtype=F64),
    "last": lambda: LastReadout(5, beta=0.9, learn=True, dtype=F64),
    "max": lambda: MaxMembraneReadout(5, beta=0.9, learn=True, dtype=F64),
}


def value_and_gradients(module, x):
    x = x.detach().clone().requires_grad_()
    output = module(x)
    weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape)
    inputs = [x, *(parameter for parameter in module.parameters())]
    return output, torch.autograd.grad((output * weights).sum(), inputs)


@pytest.mark.parametrize("readout", READOUTS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(steps=st.integers(1, 40), segments=st.sampled_from(["sqrt", 1, 2, 3, 7, 100]), seed=st.integers(0, 99))
def test_equals_the_plain_stack(readout, steps, segments, seed):
    with scoped_seed(seed):
        plain = stack(READOUTS[readout]())
        x = 3 * torch.randn(steps, 4, 3, dtype=F64)
    expected, expected_gradients = value_and_gradients(plain, x)
    found, found_gradients = value_and_gradients(Recompute(plain, segments), x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(found_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_spikes_are_identical_and_gradients_agree_in_float32():
    with scoped_seed(0):
        plain = nn.Sequential(LIF(16, learn="tau_mem", tau_syn=0.01), RecurrentLIF(16), LIF(16))
        x = 2 * torch.rand(150, 3, 16)
    expected, expected_gradients = value_and_gradients(plain, x)
    found, found_gradients = value_and_gradients(Recompute(plain), x)
    assert expected.mean() > 0.02
    assert torch.equal(found, expected)
    for ours, theirs in zip(found_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_gradients_cross_the_cuts():
    """What the first segment adds to the last value decays through all others: 0.1 * 0.9 ** (steps to the end)."""
    x = torch.ones(50, 1, 1, dtype=F64, requires_grad=True)
    Recompute(LastReadout(beta=0.9, dtype=F64), 5)(x).backward()
    torch.testing.assert_close(x.grad.flatten(), 0.1 * 0.9 ** torch.arange(49, -1, -1, dtype=F64))


@pytest.mark.parametrize(("segments", "lengths"), [("sqrt", [4, 3, 3]), (4, [3, 3, 2, 2]), (1, [10]), (99, [1] * 10)])
def test_segments_are_as_equal_as_can_be(segments, lengths):
    seen = []
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    with torch.no_grad():
        Recompute(layer, segments)(torch.zeros(10, 1, 2))
    assert seen == lengths


def test_dropout_is_the_same_in_both_passes():
    """With identity weights each gradient is 0 or 1 / (1 - p), as the forward pass drew it."""
    x = torch.ones(60, 5, 7, requires_grad=True)
    with scoped_seed(0):
        output = Recompute(nn.Sequential(nn.Dropout(0.4), nn.Identity()))(x)
        output.sum().backward()
    assert torch.equal(output, x.grad)
    assert 0.3 < float((output == 0).float().mean()) < 0.5


def test_without_gradients_each_layer_runs_once():
    calls = []
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda _module, _inputs, output: calls.append(len(output)))
    with torch.no_grad():
        Recompute(layer, 3)(torch.zeros(9, 1, 2))
    assert calls == [3, 3, 3]
    Recompute(nn.Sequential(layer, nn.Tanh()), 3)(torch.zeros(9, 1, 2)).sum().backward()
    assert calls == [3] * 9


def test_keeps_one_segment_and_the_cuts():
    """Bytes that autograd keeps after the forward pass: linear in T for the plain stack, of the states only here."""
    kept = {}
    for steps in (100, 400):
        with scoped_seed(0):
            plain = nn.Sequential(nn.Linear(4, 64), LIF(64), nn.Linear(64, 64), LIF(64), RateReadout())
            x = torch.rand(steps, 8, 4)
        with Watched(x, *plain.parameters(), *plain.buffers()) as watched:
            y = plain(x)
        kept[steps] = watched.bytes
        assert y.grad_fn is not None
    assert kept[400] / kept[100] == pytest.approx(4, rel=0.02)
    with Watched(x, *plain.parameters(), *plain.buffers()) as watched:
        Recompute(plain)(x)
    assert watched.bytes < 0.02 * kept[400]


@pytest.mark.parametrize("options", [{}, {"tau_mem": 0.03}, {"reset": "zero"}, {"detach_reset": True}])
def test_plain_neurons_keep_one_value_per_neuron_and_step(options):
    layer = LIF(50, backend="numba", **options)
    x = torch.rand(40, 6, 50, requires_grad=True)
    with Watched(*layer.buffers()) as watched:
        layer(x).sum().backward()
    assert watched.bytes <= x.numel() * 4 + 64
    with Watched(*layer.buffers()) as watched:
        layer(x.detach())
    assert watched.bytes == 0  # nothing to learn, nothing to keep


def test_learnable_time_constants_cost_no_value_per_step():
    layer = LIF(50, backend="numba", learn=("tau_mem", "threshold"))
    x = torch.rand(40, 6, 50)
    with Watched(x, *layer.parameters(), *layer.buffers()) as watched:
        layer(x).sum().backward()
    assert watched.bytes <= x.numel() * 4 + 4096


def test_input_is_not_kept_by_the_neurons():
    layer, x = LIF(50, backend="numba"), torch.rand(40, 6, 50, requires_grad=True)
    with Watched() as watched:
        layer(x)
    assert x.data_ptr() not in watched.kept


@pytest.mark.parametrize("readout", ["rate", "leaky", "max", "last", "steps"])
def test_recurrent_snn_is_the_same_network(readout):
    choice = {"task": "steps"} if readout == "steps" else {"readout": readout}
    nets = []
    for recompute in (None, "sqrt", 7):
        with scoped_seed(0):
            nets.append(
                models.create(
                    "recurrent-snn", n_chans=3, n_times=60, n_outputs=2, sfreq=100.0, n_layers=2, hidden=10,
                    norm="layer", drop_prob=0.0, recompute=recompute, **choice,
                ).double()
            )  # fmt: skip
    with scoped_seed(1):
        x = 3 * torch.randn(4, 3, 60, dtype=F64)
    expected, expected_gradients = value_and_gradients(nets[0], x)
    for net in nets[1:]:
        assert list(net.state_dict()) == list(nets[0].state_dict())
        found, gradients = value_and_gradients(net, x)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        for ours, theirs in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)


def test_estimator_trains_the_same_net():
    with scoped_seed(0):
        X, y = torch.randn(24, 3, 50).numpy(), [0, 1] * 12
    options = {"sfreq": 100.0, "max_epochs": 2, "random_state": 0, "rate_penalty": 0.5, "module__hidden": 8,
               "module__norm": "layer", "module__drop_prob": 0.0}  # fmt: skip
    plain = NeuroClassifier("recurrent-snn", **options).fit(X, y)
    cut = NeuroClassifier("recurrent-snn", module__recompute="sqrt", **options).fit(X, y)
    assert cut.predict_proba(X) == pytest.approx(plain.predict_proba(X), abs=1e-4)
    assert cut.health_["firing"]["neurons.0"] == pytest.approx(plain.health_["firing"]["neurons.0"], abs=1e-3)


def test_batch_norm_in_evaluation_mode_is_fine():
    norm = OverTime(nn.BatchNorm1d(4))
    whole = nn.Sequential(norm, LIF(4)).eval()
    x = torch.rand(20, 3, 4)
    assert torch.equal(Recompute(whole)(x), whole(x))


MISTAKES = {
    "conv": (lambda: Recompute(nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 3))), r"Conv1d \(layer 1\).*OverTime"),
    "lstm": (lambda: Recompute(nn.LSTM(2, 2)), "cannot cut LSTM in time"),
    "bare norm": (lambda: Recompute(nn.BatchNorm1d(2)), "cannot cut BatchNorm1d"),
    "flatten": (lambda: Recompute(nn.Flatten(1)), "cannot cut Flatten"),
    "empty": (lambda: Recompute(nn.Sequential()), "at least one layer"),
    "readout inside": (lambda: Recompute(nn.Sequential(RateReadout(), LIF(2))), "must be the last"),
    "word": (lambda: Recompute(LIF(2), "cube"), "'sqrt', got 'cube'"),
    "zero": (lambda: Recompute(LIF(2), 0), "segments"),
    "half": (lambda: Recompute(LIF(2), 2.5), "segments"),
    "no time": (lambda: Recompute(LIF(2))(torch.zeros(3, 2)), r"got \(3, 2\)"),
    "no step": (lambda: Recompute(LIF(2))(torch.zeros(0, 1, 2)), "at least one step"),
    "batch norm": (lambda: Recompute(OverTime(nn.BatchNorm1d(2)))(torch.zeros(9, 3, 2)), "whole sequence"),
    "model": (
        lambda: models.create("recurrent-snn", n_chans=2, n_times=50, n_outputs=2, sfreq=100.0, recompute="sqrt"),
        "norm='layer' or norm='none'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message):
        call()
