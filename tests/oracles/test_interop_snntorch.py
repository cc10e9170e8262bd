"""Converted neurons of snnTorch give its spikes and its gradients."""

import pytest
import torch

from spikeneuro.errors import InputError
from spikeneuro.nn import from_snntorch

snntorch = pytest.importorskip("snntorch")
surrogate = pytest.importorskip("snntorch.surrogate")

F64 = torch.float64
RESETS = [("subtract", True), ("subtract", False), ("zero", True), ("zero", False), ("none", True), ("none", False)]
N = 5
#: snnTorch's spikes, and with them the gradients that come back, are in single precision whatever the membrane is.
FLOOR = 1e-6


def per_neuron(low, high, n=N):
    return torch.linspace(low, high, n, dtype=F64)


def draw(steps=120, batch=8, n=N, high=1.0, seed=0):
    return high * torch.rand(steps, batch, n, generator=torch.Generator().manual_seed(seed), dtype=F64)


def looped(neuron):
    """The neuron over time, with its state handed from step to step."""

    def run(x):
        count = {"Synaptic": 2, "RLeaky": 2, "RSynaptic": 3}.get(type(neuron).__name__, 1)
        state = [torch.zeros_like(x[0]) for _ in range(count)]
        spikes = []
        for step in x:
            spike, *rest = neuron(step, *state)
            spike = spike.to(x.dtype)
            # The recurrent neurons take their last spikes as a state.
            state = [spike, *rest] if len(rest) < count else rest
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def learned(peer, mine):
    """Pairs of learned parameters: theirs, ours."""
    names = {"threshold": "threshold", "beta": "membrane_decay.decay", "alpha": "synaptic_decay.decay",
             "recurrent.weight": "weight", "recurrent.bias": "bias", "V": "own_weight"}  # fmt: skip
    pairs = [(value, mine.get_parameter(names[name])) for name, value in peer.named_parameters() if name in names]
    assert len(pairs) == len(list(mine.parameters()))
    return pairs


def check(comparison, peer, backend, x, *, silent=False):
    mine = from_snntorch(peer, backend=backend)
    comparison.spikes(looped(peer), mine, x)
    comparison.gradients(looped(peer), mine, x, learned(peer, mine), floor=FLOOR, silent=silent)
    return mine


@pytest.mark.parametrize(("mechanism", "delay"), RESETS)
def test_leaky(comparison, backend, mechanism, delay):
    peer = snntorch.Leaky(
        beta=per_neuron(0.5, 0.95), threshold=per_neuron(0.8, 1.2), learn_beta=True, learn_threshold=True,
        reset_mechanism=mechanism, reset_delay=delay,
    )  # fmt: skip
    check(comparison, peer, backend, draw(high=0.7))


@pytest.mark.parametrize(("mechanism", "delay"), RESETS)
def test_synaptic(comparison, backend, mechanism, delay):
    peer = snntorch.Synaptic(
        alpha=per_neuron(0.3, 0.8), beta=per_neuron(0.5, 0.9), threshold=torch.tensor(1.0, dtype=F64), learn_beta=True,
        learn_alpha=True, learn_threshold=True, reset_mechanism=mechanism, reset_delay=delay,
    )  # fmt: skip
    check(comparison, peer, backend, draw(high=0.2 if mechanism == "none" else 0.3))


@pytest.mark.parametrize("mechanism", ["subtract", "zero", "none"])
@pytest.mark.parametrize(
    "numbers", [{"beta": 0.9}, {"R": 2.0, "C": 5.0}, {"beta": 0.8, "R": 3.0}, {"C": 4.0, "beta": 0.7}]
)
def test_lapicque(comparison, backend, mechanism, numbers):
    peer = snntorch.Lapicque(**numbers, reset_mechanism=mechanism, learn_threshold=True, time_step=1.0).double()
    check(comparison, peer, backend, draw(high=4.0))


@pytest.mark.parametrize(("mechanism", "delay"), RESETS)
@pytest.mark.parametrize("dense", [True, False])
def test_rleaky(comparison, backend, mechanism, delay, dense):
    torch.manual_seed(1)
    connections = {"linear_features": N} if dense else {"all_to_all": False, "V": per_neuron(-0.3, 0.3)}
    peer = snntorch.RLeaky(
        beta=0.8, learn_beta=True, learn_threshold=True, reset_mechanism=mechanism, reset_delay=delay, **connections
    ).double()
    # A reset that discards the input discards what a neuron's own spike sends it: V then does nothing.
    check(comparison, peer, backend, draw(high=0.6), silent=not dense and mechanism == "zero" and delay)


@pytest.mark.parametrize("mechanism", ["subtract", "zero", "none"])
@pytest.mark.parametrize("dense", [True, False])
def test_rsynaptic(comparison, backend, mechanism, dense):
    torch.manual_seed(2)
    connections = {"linear_features": N} if dense else {"all_to_all": False, "V": per_neuron(-0.3, 0.3)}
    peer = snntorch.RSynaptic(
        alpha=0.5, beta=0.8, learn_alpha=True, learn_beta=True, learn_threshold=True, reset_mechanism=mechanism,
        **connections,
    ).double()  # fmt: skip
    check(comparison, peer, backend, draw(high=0.3))


@pytest.mark.parametrize(
    "gradient",
    [
        None, surrogate.atan(alpha=3.0), surrogate.fast_sigmoid(slope=25), surrogate.fast_sigmoid(slope=4.5),
        surrogate.sigmoid(slope=6), surrogate.spike_rate_escape(beta=2, slope=1.5),
        surrogate.straight_through_estimator(), surrogate.heaviside(),
    ],
    ids=["default", "atan", "fast_sigmoid", "fast_sigmoid 4.5", "sigmoid", "escape", "straight through", "heaviside"],
)  # fmt: skip
@pytest.mark.parametrize("delay", [True, False])
def test_surrogates(comparison, backend, gradient, delay):
    peer = snntorch.Leaky(
        beta=torch.tensor(0.8, dtype=F64), threshold=torch.tensor(1.0, dtype=F64), spike_grad=gradient,
        learn_threshold=True, reset_delay=delay,
    )  # fmt: skip
    check(comparison, peer, backend, draw(steps=40))


def test_thousand_steps(comparison, backend):
    peer = snntorch.Leaky(beta=0.93, learn_beta=True, learn_threshold=True).double()
    check(comparison, peer, backend, draw(steps=1000, batch=20, high=0.5))


@pytest.mark.parametrize("mechanism", ["subtract", "zero"])
def test_single_precision_is_equal_bit_for_bit(mechanism):
    x = draw(steps=1000, batch=40).float()
    peer = snntorch.Leaky(beta=0.87, reset_mechanism=mechanism)
    mine = from_snntorch(peer, backend="reference")
    run = looped(peer)
    assert torch.equal(mine(x), run(x))


def test_decays_outside_of_their_range_are_limited_when_used(comparison, backend):
    peer = snntorch.Leaky(beta=torch.tensor([-0.2, 0.5, 1.3], dtype=F64), learn_beta=True)
    x = draw(n=3, high=0.4)
    mine = from_snntorch(peer, backend=backend)
    comparison.spikes(looped(peer), mine, x)
    comparison.gradients(looped(peer), mine, x, [(peer.beta, mine.membrane_decay.decay)], floor=FLOOR)
    assert torch.equal(mine.membrane_decay.decay, peer.beta)
    fixed = from_snntorch(snntorch.Leaky(beta=torch.tensor([-0.2, 0.5, 1.3], dtype=F64)), backend=backend)
    assert torch.equal(fixed(x), mine(x))


def test_a_second_reset_is_refused_at_run_time():
    peer = snntorch.Leaky(beta=0.9, reset_delay=False)
    mine = from_snntorch(peer)
    x = torch.tensor([1.9, 0.2, 0.0]).reshape(3, 1, 1)
    assert torch.equal(mine(x), looped(peer)(x))
    with pytest.raises(InputError, match="above the threshold after its reset.*resets it a second time"):
        mine(torch.tensor([2.6, 0.2, 0.0]).reshape(3, 1, 1))
    # In pieces the membrane left behind counts too; after the last step nothing follows.
    first = mine.run(torch.full((1, 1, 1), 2.6))
    with pytest.raises(InputError, match="second time"):
        mine.run(torch.zeros(2, 1, 1), first.state)
    result = mine.run(x, record=("potential", "spikes"))
    assert set(result.traces) == {"potential", "spikes"}


def test_published_vectors():
    x = torch.full((12, 1, 1), 0.4)
    default = from_snntorch(snntorch.Leaky(beta=0.8)).run(x, record="potential")
    expected = [0.4, 0.72, 0.976, 1.1808, 0.34464, 0.675712, 0.940570, 1.152456, 0.321965, 0.657572, 0.926057, 1.140846]
    assert default.traces["potential"].flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert (default.spikes.flatten().nonzero().flatten() + 1).tolist() == [4, 8, 12]
    synaptic = from_snntorch(snntorch.Synaptic(alpha=0.8, beta=0.9, reset_mechanism="zero"))
    membrane = synaptic.run(torch.full((8, 1, 1), 0.3), record="potential").traces["potential"]
    expected = [0.3, 0.81, 1.461, 0.0, 1.00848, 0.0, 1.185427, 0.0]
    assert membrane.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_training_goes_on_as_in_the_original():
    torch.manual_seed(0)
    peer = snntorch.Leaky(beta=0.7, learn_beta=True, learn_threshold=True).double()
    mine = from_snntorch(peer)
    x, target = draw(steps=50), (draw(steps=50, seed=3) > 0.8).to(F64)
    steps = []
    for run, parameters in (
        (looped(peer), [peer.beta, peer.threshold]),
        (mine, [mine.membrane_decay.decay, mine.threshold]),
    ):
        optimizer = torch.optim.Adam(parameters, lr=0.02, weight_decay=0.01)
        for _ in range(10):
            optimizer.zero_grad()
            (run(x) - target).square().sum().backward()
            optimizer.step()
        steps.append([p.item() for p in parameters])
    assert steps[0] == pytest.approx(steps[1], rel=1e-6)
    assert steps[0][0] != pytest.approx(0.7, abs=0.05)
