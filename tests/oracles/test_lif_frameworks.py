"""Spikes and gradients of the LIF layer equal those of snnTorch, SpikingJelly and Norse.

Published test vectors are in steps counted from 1, with the state at 0 before the first.
"""

import pytest
import torch

from spikeneuro import ops
from spikeneuro.nn import LIF, RecurrentLIF

snntorch = pytest.importorskip("snntorch")
sj_neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
sj_surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
norse = pytest.importorskip("norse.torch")

F64 = torch.float64
BACKENDS = ("reference", "numba")


def sequences(seed=0, n=200, steps=60, low=0.0, high=1.0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(steps, n, 1, generator=generator, dtype=F64)


def run_snntorch(neuron, x):
    zero = torch.zeros_like(x[0])
    state = [zero, zero] if isinstance(neuron, (snntorch.RLeaky, snntorch.Synaptic)) else [zero]
    spikes, membranes = [], []
    for step in x:
        spike, *state = neuron(step, *state)
        if isinstance(neuron, snntorch.RLeaky):
            state = [spike.to(x.dtype), *state]
        spikes.append(spike)
        membranes.append(state[-1])
    return torch.stack(spikes), torch.stack(membranes)


def run_spikingjelly(x, **options):
    neuron = sj_neuron.LIFNode(step_mode="m", store_v_seq=True, **options)
    return neuron(x), neuron.v_seq


def fired(spikes):
    return (spikes.flatten().nonzero().flatten() + 1).tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_published_vectors_of_constant_input(backend):
    x = torch.full((12, 1, 1), 0.4)
    late = LIF(1, beta=0.8, reset_timing="next_step", backend=backend).run(x, record="membrane")
    same = LIF(1, beta=0.8, backend=backend).run(x, record="potential")
    assert fired(late.spikes) == [4, 8, 12]
    expected = [0.4, 0.72, 0.976, 1.1808, 0.34464, 0.675712, 0.940570, 1.152456, 0.321965, 0.657572, 0.926057, 1.140846]
    assert late.traces["membrane"].flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert fired(same.spikes) == [4, 7, 10]
    expected = [0.4, 0.72, 0.976, 1.1808, 0.54464, 0.835712, 1.06857, 0.454856, 0.763885, 1.011108, 0.408886, 0.727109]
    assert same.traces["potential"].flatten().tolist() == pytest.approx(expected, abs=1e-5)
    assert fired(LIF(1, beta=0.8, reset="zero", backend=backend)(x)) == [4, 8, 12]


@pytest.mark.parametrize("backend", BACKENDS)
def test_published_vector_of_hard_reset_with_scaled_input(backend):
    x = torch.full((12, 1, 1), 1.6)
    layer = LIF(1, beta=0.5, gain=0.5, reset="zero", comparison=">=", backend=backend)
    result = layer.run(x, record="potential")
    assert fired(result.spikes) == [2, 4, 6, 8, 10, 12]
    assert result.traces["potential"].flatten().tolist() == pytest.approx([0.8, 1.2] * 6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_published_vector_of_norse(backend):
    layer = LIF(1, alpha=0.8, beta=0.9, gain=0.1, reset="zero", backend=backend)
    result = layer.run(torch.full((7, 1, 1), 3.0), record="membrane")
    assert result.spikes.flatten().tolist() == [0, 0, 1, 0, 1, 1, 1]
    assert result.traces["membrane"].flatten()[:5].tolist() == pytest.approx([0.3, 0.81, 0.0, 0.8856, 0.0])


def test_published_vector_of_a_synapse_whose_reset_discards_input():
    layer = LIF(1, alpha=0.8, beta=0.9, reset="zero", reset_timing="next_step", zero_discards_input=True)
    membrane = layer.run(torch.full((8, 1, 1), 0.3), record="membrane").traces["membrane"]
    expected = [0.3, 0.81, 1.461, 0.0, 1.00848, 0.0, 1.185427, 0.0]
    assert membrane.flatten().tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tie_fires_only_where_asked(backend):
    x = torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    assert fired(LIF(1, beta=0.5, backend=backend)(x)) == []
    assert fired(LIF(1, beta=0.5, comparison=">=", backend=backend)(x)) == [1]
    assert fired(run_snntorch(snntorch.Leaky(beta=0.5), x)[0]) == []
    assert fired(run_spikingjelly(x, tau=2.0, decay_input=False)[0]) == [1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("mechanism", "delayed"),
    [("subtract", True), ("subtract", False), ("zero", True), ("zero", False), ("none", True)],
)
def test_snntorch_leaky(mechanism, delayed, backend):
    x = sequences(1)
    peer = snntorch.Leaky(beta=0.83, reset_mechanism=mechanism, reset_delay=delayed).double()
    spikes, membranes = run_snntorch(peer, x)
    layer = LIF(
        1, beta=float(peer.beta), reset=mechanism, reset_timing="next_step" if delayed else "same_step", dtype=F64,
        backend=backend,
    )  # fmt: skip
    result = layer.run(x, record="membrane")
    assert spikes.sum() > 0
    assert torch.equal(result.spikes, spikes)
    torch.testing.assert_close(result.traces["membrane"], membranes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mechanism", ["subtract", "zero"])
def test_snntorch_synaptic(mechanism):
    x = sequences(2, high=0.4)
    peer = snntorch.Synaptic(alpha=0.8, beta=0.9, reset_mechanism=mechanism).double()
    spikes, membranes = run_snntorch(peer, x)
    layer = LIF(
        1, alpha=float(peer.alpha), beta=float(peer.beta), reset=mechanism, reset_timing="next_step",
        zero_discards_input=mechanism == "zero", dtype=F64,
    )  # fmt: skip
    result = layer.run(x, record="membrane")
    assert spikes.sum() > 0
    assert torch.equal(result.spikes, spikes)
    torch.testing.assert_close(result.traces["membrane"], membranes, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_snntorch_rleaky(backend):
    torch.manual_seed(0)
    n = 6
    peer = snntorch.RLeaky(beta=0.85, linear_features=n, all_to_all=True).double()
    x = sequences(3, n=20 * n).reshape(60, 20, n)
    spikes, membranes = run_snntorch(peer, x)
    layer = RecurrentLIF(n, beta=float(peer.beta), reset_timing="next_step", dtype=F64, backend=backend)
    layer.load_state_dict(
        {"weight": peer.recurrent.weight.detach(), "bias": peer.recurrent.bias.detach()}, strict=False
    )
    result = layer.run(x, record="membrane")
    assert torch.equal(result.spikes, spikes)
    torch.testing.assert_close(result.traces["membrane"], membranes, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.2])
def test_spikingjelly_lif(v_reset, decay_input, backend):
    tau = 2.5
    x = sequences(4, high=2.0 if decay_input else 1.0)
    spikes, membranes = run_spikingjelly(x, tau=tau, decay_input=decay_input, v_reset=v_reset)
    rest = v_reset or 0.0
    layer = LIF(
        1, beta=1 - 1 / tau, gain=1 / tau if decay_input else 1.0, reset="subtract" if v_reset is None else "zero",
        v_rest=rest, v_reset=rest, comparison=">=", dtype=F64, backend=backend,
    )  # fmt: skip
    start = ops.LIFState(v=torch.full((200, 1), rest, dtype=F64))
    result = layer.run(x, start, record="membrane")
    assert spikes.sum() > 0
    assert torch.equal(result.spikes, spikes)
    torch.testing.assert_close(result.traces["membrane"], membranes, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_norse_lif_and_box(backend):
    x = sequences(5, n=200, high=4.0)
    feedforward = norse.LIFCell(dt=0.001)
    box = norse.LIFBoxCell(dt=0.001)
    for cell, options in ((feedforward, {"alpha": 0.8}), (box, {})):
        state, spikes = None, []
        for step in x:
            spike, state = cell(step, state)
            spikes.append(spike)
        layer = LIF(1, beta=0.9, gain=0.1, reset="zero", dtype=F64, backend=backend, **options)
        assert torch.stack(spikes).sum() > 0
        assert torch.equal(layer(x), torch.stack(spikes).to(F64))


def test_known_equivalences_between_the_frameworks():
    """Those between peers, in our settings: hard resets agree, snnTorch's default never equals a soft reset."""
    x = sequences(6, steps=100)
    late = LIF(1, beta=0.8, reset="zero", reset_timing="next_step", dtype=F64)(x)
    same = LIF(1, beta=0.8, reset="zero", dtype=F64)(x)
    assert torch.equal(late, same)
    soft_late = LIF(1, beta=0.8, reset_timing="next_step", dtype=F64)(x)
    soft_same = LIF(1, beta=0.8, dtype=F64)(x)
    assert bool((soft_late != soft_same).any(0).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("surrogate", ["atan", "fast_sigmoid", "sigmoid"])
def test_gradients_of_snntorch(surrogate, backend):
    # snnTorch's reset carries no gradient, and its default surrogate is atan(alpha=2).
    peer_grad = {
        "atan": None,
        "fast_sigmoid": snntorch.surrogate.fast_sigmoid(slope=25),
        "sigmoid": snntorch.surrogate.sigmoid(slope=25),
    }[surrogate]
    mine = ops.surrogates.resolve(surrogate, **({"slope": 25.0} if surrogate != "atan" else {}))
    x = sequences(7, n=20).requires_grad_()
    weights = torch.rand(60, 20, 1, dtype=F64, generator=torch.Generator().manual_seed(1))
    peer = snntorch.Leaky(beta=0.83, spike_grad=peer_grad, learn_threshold=True).double()
    spikes, _ = run_snntorch(peer, x)
    expected = torch.autograd.grad((spikes * weights).sum(), (x, peer.threshold))
    layer = LIF(
        1, beta=float(peer.beta), reset_timing="next_step", detach_reset=True, surrogate=mine, learn="threshold",
        dtype=F64, backend=backend,
    )  # fmt: skip
    found = torch.autograd.grad((layer(x) * weights).sum(), (x, layer.threshold))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("v_reset", [None, 0.0])
@pytest.mark.parametrize("surrogate", ["sigmoid", "atan", "triangle", "rectangle"])
def test_gradients_of_spikingjelly(surrogate, v_reset, detach, backend):
    peers = {
        "sigmoid": (sj_surrogate.Sigmoid(alpha=4.0), ops.surrogates.Sigmoid(slope=4.0)),
        "atan": (sj_surrogate.ATan(alpha=2.0), ops.surrogates.Atan(alpha=2.0)),
        "triangle": (sj_surrogate.PiecewiseQuadratic(alpha=2.0), ops.surrogates.Triangle(height=2.0, width=0.5)),
        "rectangle": (sj_surrogate.Rect(alpha=2.0), ops.surrogates.Rectangle(width=0.5, height=2.0)),
    }
    peer_surrogate, mine = peers[surrogate]
    x = sequences(8, n=20).requires_grad_()
    weights = torch.rand(60, 20, 1, dtype=F64, generator=torch.Generator().manual_seed(2))
    spikes, _ = run_spikingjelly(
        x, tau=5.0, decay_input=False, v_reset=v_reset, detach_reset=detach, surrogate_function=peer_surrogate
    )
    (expected,) = torch.autograd.grad((spikes * weights).sum(), x)
    layer = LIF(
        1, beta=1 - 1 / 5.0, reset="subtract" if v_reset is None else "zero", comparison=">=", detach_reset=detach,
        surrogate=mine, dtype=F64, backend=backend,
    )  # fmt: skip
    (found,) = torch.autograd.grad((layer(x) * weights).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_gradient_of_norse():
    # Norse 1.1.0's "super" surrogate is the fast sigmoid of slope 1: its parameter alpha is taken but not used.
    # Its feed-forward reset carries gradient.
    x = sequences(9, n=20, high=4.0).requires_grad_()
    cell = norse.LIFBoxCell(dt=0.001)
    state, spikes = None, []
    for step in x:
        spike, state = cell(step, state)
        spikes.append(spike)
    (expected,) = torch.autograd.grad(torch.stack(spikes).sum(), x)
    layer = LIF(
        1, beta=0.9, gain=0.1, reset="zero", surrogate=ops.surrogates.FastSigmoid(slope=1.0), dtype=F64
    )  # fmt: skip
    (found,) = torch.autograd.grad(layer(x).sum(), x)
    torch.testing.assert_close(found, expected.to(F64), rtol=1e-5, atol=1e-5)
