"""Spiking neurons: the ledger against a scalar interpreter, and against other frameworks' neurons run by hand."""

from collections import Counter

import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeneuro import energy, ops
from spikeneuro._random import scoped_seed
from spikeneuro.models import create


class Neurons(nn.Module):
    """The neuron op with given numbers, as a module that takes (batch, time, neurons)."""

    def __init__(self, choices=None, **numbers):
        super().__init__()
        self.choices = choices or {}
        self.numbers = numbers

    def forward(self, x):
        output = ops.lif(
            x.transpose(0, 1), **self.numbers, settings=ops.LIFSettings(**self.choices), backend="reference"
        )
        return output.spikes


def interpret(x, choices, numbers):
    """One sample of (time, neurons), neuron by neuron, in plain Python: spikes, and what was done to get them."""
    get = {"gain": 1.0, "v_rest": 0.0, "v_reset": 0.0, "threshold": 1.0, "delay": 0, **numbers}.get
    steps, n = len(x), len(x[0])
    dense, effective = Counter(), Counter()

    def do(kind, needed=True):
        dense[kind] += 1
        effective[kind] += bool(needed)

    alpha, rho, weight, bias, mask = get("alpha"), get("rho"), get("weight"), get("bias"), get("mask")
    v, current, adaptation = [get("v_rest")] * n, [0.0] * n, [0.0] * n
    waiting, pending = [0] * n, [0] * n
    spikes = []
    for t in range(steps):
        row = []
        for j in range(n):
            on = mask is None or bool(mask[t][0][j])
            drive = float(x[t][j])
            if weight is not None and (on or alpha is not None):
                source = spikes[t - 1 - get("delay")] if t - 1 - get("delay") >= 0 else [0] * n
                total = 0.0
                for k in [k for k in range(n) if weight[j][k] != 0]:  # the others are no connections
                    do("acs", source[k])
                    total += float(weight[j][k]) if source[k] else 0.0
                drive += total
                do("additions")
                if bias is not None:
                    drive += float(bias[j])
                    do("additions")
            if alpha is not None:
                current[j] = alpha * current[j] + drive
                do("multiplications")
                do("additions")
            else:
                current[j] = drive
            if rho is not None:
                before = spikes[t - 1][j] if t else 0
                adaptation[j] = rho * adaptation[j] + (1 - rho) * before
                do("multiplications")
                do("additions", before)
            if choices.get("refractory"):
                do("comparisons")
                do("additions")
            if not on:
                row.append(0)
                waiting[j] = max(waiting[j] - 1, 0)
                if not choices.get("preserve_reset"):
                    pending[j] = 0
                continue
            row.append(fire(j, v, current, adaptation, waiting, pending, choices, get, do))
        spikes.append(row)
    return spikes, dense, effective


def fire(j, v, current, adaptation, waiting, pending, choices, get, do):
    """Membrane, threshold and reset of one neuron on an ON step; returns its spike."""
    do("state_updates")
    late = choices.get("reset_timing") == "next_step"
    reset = choices.get("reset", "subtract")
    threshold = get("threshold")
    if get("kappa") is not None:
        threshold += get("kappa") * adaptation[j]
        do("multiplications")
        do("additions")
    if late and pending[j] and reset == "zero":
        v[j] = get("v_reset")
    u = v[j] - get("v_rest")
    if get("v_rest") != 0:
        do("additions")
        do("additions")
    if get("beta") != 1:
        do("multiplications")
    if get("gain") != 1:
        do("multiplications")
    u = get("v_rest") + get("beta") * u + get("gain") * current[j]
    do("additions")
    if late and reset == "subtract":
        do("additions", pending[j])
        u -= threshold * pending[j]
    do("comparisons")
    spike = int(u > threshold and waiting[j] <= 0)
    waiting[j] = choices["refractory"] if spike and choices.get("refractory") else max(waiting[j] - 1, 0)
    pending[j] = spike
    if not late and reset == "subtract":
        do("additions", spike)
        u -= threshold * spike
    if not late and reset == "zero" and spike:
        u = get("v_reset")
    v[j] = u
    return spike


@st.composite
def neurons(draw):
    n, steps = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    seed = draw(st.integers(0, 999))
    generator = torch.Generator().manual_seed(seed)
    numbers = {"beta": draw(st.sampled_from([0.5, 0.8, 1.0]))}
    choices = {
        "reset": draw(st.sampled_from(["subtract", "zero", "none"])),
        "reset_timing": draw(st.sampled_from(["same_step", "next_step"])),
        "refractory": draw(st.sampled_from([0, 0, 2])),
        "preserve_reset": draw(st.booleans()),
    }
    for name, values in {"gain": [0.5], "v_rest": [0.25], "alpha": [0.5]}.items():
        if draw(st.booleans()):
            numbers[name] = values[0]
    if draw(st.booleans()):
        numbers |= {"rho": 0.75, "kappa": 0.5}
    if draw(st.booleans()):
        weight = torch.randn(n, n, generator=generator).double()
        if draw(st.booleans()):
            weight *= torch.rand(n, n, generator=generator) < 0.5
        numbers |= {"weight": weight, "delay": draw(st.integers(0, 2))}
        if draw(st.booleans()):
            numbers["bias"] = torch.rand(n, generator=generator).double()
    if draw(st.booleans()):
        numbers["mask"] = torch.rand(steps, 1, n, generator=generator).round().double()
    x = 2 * torch.rand(draw(st.integers(1, 3)), steps, n, generator=generator).double()
    return x, choices, numbers


@given(case=neurons())
@settings(max_examples=150, deadline=None)
def test_neuron_equals_scalar_interpreter(case):
    x, choices, numbers = case
    model = Neurons(choices, **numbers)
    spikes = model(x)
    dense, effective, emitted = Counter(), Counter(), 0
    for b, sample in enumerate(x):
        by_hand, every, needed = interpret(sample.tolist(), choices, numbers)
        assert by_hand == spikes[:, b].tolist()
        dense, effective = dense + every, effective + needed
        emitted += sum(map(sum, by_hand))
    ledger = energy.count(model, x)
    for kind in ("acs", "additions", "multiplications", "comparisons", "state_updates"):
        assert round(getattr(ledger.dense, kind) * len(x)) == dense[kind], kind
        assert round(getattr(ledger.effective, kind) * len(x)) == effective[kind], kind
    assert ledger.layers[0].spikes == emitted
    assert ledger.spike_rate == emitted / spikes.numel()


def test_sparse_recurrent_layers_are_charged_for_the_connections_they_have():
    with scoped_seed(0):
        model = create("hrsnn", n_chans=3, n_times=40, n_outputs=2, sfreq=100.0, hidden=30)
    x = 3 * torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(0))
    layer = model.recurrent
    exists = layer.exists.tolist()
    spikes = model.eval().states(x)[1].tolist()  # (steps, batch, neurons)
    accumulates = sum(
        exists[after][before]
        for earlier in spikes[:-1]
        for sample in earlier
        for before in range(30)
        if sample[before]
        for after in range(30)
    )
    row = next(row for row in energy.count(model, x).layers if row.name == "neurons.0")
    assert 0 < int(layer.exists.sum()) < 30 * 30
    assert row.dense.acs == 2 * 40 * int(layer.exists.sum())  # of both samples
    assert row.effective.acs == accumulates > 0


def test_integrator_without_threshold_is_no_spiking_neuron():
    model = Neurons({"reset": "none"}, beta=0.5, threshold=torch.tensor(float("inf")))
    ledger = energy.count(model, torch.rand(2, 5, 3))
    assert ledger.spike_rate is None
    assert ledger.dense.comparisons == 0
    assert ledger.dense.multiplications == 5 * 3


class SnnTorchNet(nn.Module):
    """Two layers, the second recurrent, unrolled over (batch, time, features)."""

    def __init__(self):
        super().__init__()
        self.front = nn.Linear(6, 10)
        self.first = snntorch.Leaky(0.9)
        self.middle = nn.Linear(10, 7, bias=False)
        self.second = snntorch.RLeaky(0.8, linear_features=7)
        self.out = nn.Linear(7, 3)

    def forward(self, x):
        membrane = self.first.init_leaky()
        spikes, recurrent_membrane = self.second.init_rleaky()
        self.heard = []
        out = 0
        for t in range(x.shape[1]):
            first, membrane = self.first(self.front(x[:, t]), membrane)
            before = spikes
            spikes, recurrent_membrane = self.second(self.middle(first), spikes, recurrent_membrane)
            self.heard.append((first, before, spikes))
            out = out + self.out(spikes)
        return out


@pytest.fixture
def snntorch_case():
    torch.manual_seed(1)
    return SnnTorchNet(), 3 * torch.randn(4, 12, 6)


def test_snntorch_network_counts_accumulates_from_its_spikes(snntorch_case):
    model, x = snntorch_case
    ledger = energy.count(model, x)
    with torch.no_grad():
        model(x)
    first, before, second = (sum(float(part.sum()) for part in parts) for parts in zip(*model.heard, strict=True))
    assert first > 0
    assert second > 0
    assert ledger.acs * 4 == first * 7 + before * 7 + second * 3
    assert ledger.dense.acs == 12 * (10 * 7 + 7 * 7 + 7 * 3)
    assert ledger.macs == ledger.dense.macs == 12 * 6 * 10
    rates = {row.name: row.spike_rate for row in ledger.layers if row.neuron_steps}
    assert rates == {"first": first / (4 * 12 * 10), "second": second / (4 * 12 * 7)}


def test_spikingjelly_network_counts_accumulates_from_its_spikes():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron", exc_type=Exception)
    model = nn.Sequential(nn.Linear(6, 10), neuron.LIFNode(step_mode="m"), nn.Linear(10, 3))
    x = 5 * torch.randn(12, 4, 6)
    ledger = energy.count(model, x, batch_axis=1)
    with torch.no_grad():
        spikes = float(model[:2](x).sum())
    assert spikes > 0
    assert ledger.acs * 4 == spikes * 3
    assert ledger.dense.macs == 12 * 6 * 10


def test_norse_network_counts_accumulates_from_its_spikes():
    norse = pytest.importorskip("norse.torch", exc_type=Exception)
    cell = norse.LIF()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = cell, nn.Linear(6, 3)

        def forward(self, x):
            return self.out(self.cell(x)[0])

    x = 9 * torch.rand(12, 4, 6)
    ledger = energy.count(Net(), x, batch_axis=1)
    spikes = float(cell(x)[0].detach().sum())
    assert spikes > 0
    assert ledger.acs * 4 == spikes * 3
    assert ledger.macs == 0
