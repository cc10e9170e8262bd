"""Converted neurons of SpikingJelly give its spikes and its gradients."""

import pytest
import torch

from spikeneuro.nn import from_spikingjelly

neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
functional = pytest.importorskip("spikingjelly.activation_based.functional")

F64 = torch.float64
SURROGATES = [
    surrogate.Sigmoid(), surrogate.Sigmoid(alpha=2.5), surrogate.ATan(), surrogate.ATan(alpha=1.3),
    surrogate.SoftSign(), surrogate.SoftSign(alpha=3.0), surrogate.SuperSpike(), surrogate.SuperSpike(alpha=2.0),
    surrogate.PiecewiseQuadratic(), surrogate.PiecewiseQuadratic(alpha=2.0), surrogate.PiecewiseExp(alpha=1.5),
    surrogate.Erf(), surrogate.Rect(alpha=0.7), surrogate.QPseudoSpike(), surrogate.PiecewiseLeakyReLU(w=0.8, c=0.0),
    surrogate.LeakyKReLU(leak=0.5, k=0.5), surrogate.DeterministicPass(),
]  # fmt: skip


def draw(steps=120, batch=8, n=5, high=1.0, seed=0):
    return high * torch.rand(steps, batch, n, generator=torch.Generator().manual_seed(seed), dtype=F64)


def from_rest(node):
    """The node over time, in its step mode, from rest."""

    def run(x):
        functional.reset_net(node)
        return node(x) if node.step_mode == "m" else torch.stack([node(step) for step in x])

    return run


def check(comparison, node, backend, x, pairs=lambda node, mine: ()):
    mine = from_spikingjelly(node, backend=backend, dtype=F64)
    comparison.spikes(from_rest(node), mine, x)
    comparison.gradients(from_rest(node), mine, x, pairs(node, mine))
    return mine


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.2])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("detach", [True, False])
def test_lif(comparison, backend, v_reset, decay_input, detach):
    node = neuron.LIFNode(
        tau=2.7, decay_input=decay_input, v_reset=v_reset, detach_reset=detach, v_threshold=0.9, step_mode="m"
    )
    check(comparison, node, backend, draw(high=2.4 if decay_input else 0.9))


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.2])
@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("kind", ["IFNode", "SimpleIFNode"])
def test_integrate_and_fire(comparison, backend, v_reset, mode, kind):
    node = getattr(neuron, kind)(v_reset=v_reset, step_mode=mode)
    check(comparison, node, backend, draw(high=0.6) - 0.1)


def test_simple_lif(comparison, backend):
    check(comparison, neuron.SimpleLIFNode(tau=3.0, decay_input=False, step_mode="m"), backend, draw(high=0.8))


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.2])
@pytest.mark.parametrize("decay_input", [True, False])
def test_parametric_lif(comparison, backend, v_reset, decay_input):
    node = neuron.ParametricLIFNode(init_tau=3.1, decay_input=decay_input, v_reset=v_reset, step_mode="m").double()
    mine = from_spikingjelly(node, backend=backend)
    logit = mine.membrane_decay.logit
    assert torch.equal(logit, -node.w)
    x = draw(high=3.0 if decay_input else 0.9)
    comparison.spikes(from_rest(node), mine, x)
    # tau = 1 / sigmoid(w), beta = 1 - 1 / tau = sigmoid(-w): the same parameter up to its sign.
    weights = draw(seed=5)
    (theirs,) = torch.autograd.grad((from_rest(node)(x) * weights).sum(), node.w)
    (ours,) = torch.autograd.grad((mine(x) * weights).sum(), logit)
    assert theirs.item() != 0
    torch.testing.assert_close(-ours, theirs, rtol=1e-5, atol=0.0)
    comparison.gradients(from_rest(node), mine, x)


@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_current_based_lif(comparison, backend, v_reset):
    check(comparison, neuron.CUBALIFNode(c_decay=0.4, v_decay=0.7, v_reset=v_reset), backend, draw(high=0.4))


@pytest.mark.parametrize("function", SURROGATES, ids=str)
@pytest.mark.parametrize("v_reset", [None, 0.0])
def test_surrogates(comparison, backend, function, v_reset):
    node = neuron.LIFNode(tau=2.0, decay_input=False, v_reset=v_reset, surrogate_function=function, step_mode="m")
    check(comparison, node, backend, draw(steps=40))


def test_thousand_steps(comparison, backend):
    node = neuron.LIFNode(tau=4.0, v_reset=None, step_mode="m")
    check(comparison, node, backend, draw(steps=1000, batch=20, high=3.0))


def test_single_precision_up_to_rounding(backend):
    """Summed in another order, a membrane within rounding of the threshold may fall on either side of it."""
    x = draw(steps=1000, batch=200).float() * 2.4
    node = neuron.LIFNode(tau=2.7, step_mode="m")
    result = from_spikingjelly(node, backend=backend).run(x, record="potential")
    near = ((result.traces["potential"] - 1.0).abs() < 4e-7).any(0)
    differ = (result.spikes != from_rest(node)(x)).any(0)
    print(f"{int(near.sum())} of {near.numel()} neurons come within rounding of the threshold; "
          f"{int(differ.sum())} differ")  # fmt: skip
    assert not (differ & ~near).any()
    assert near.float().mean() < 0.01


@pytest.mark.parametrize("soft", [True, False])
def test_exact_numbers_are_equal_with_ties(backend, soft):
    # With tau = 2 and inputs in sixteenths nothing is rounded within 18 steps, and membranes meet the threshold.
    x = torch.randint(-4, 33, (18, 400, 3), generator=torch.Generator().manual_seed(1)) / 16
    node = neuron.LIFNode(tau=2.0, v_reset=None if soft else 0.0, step_mode="m")
    result = from_spikingjelly(node, backend=backend).run(x, record="potential")
    assert (result.traces["potential"] == 1.0).sum() > 50
    assert torch.equal(result.spikes, from_rest(node)(x))


def test_published_vectors():
    x = torch.full((12, 1, 1), 0.4)
    soft = from_spikingjelly(neuron.LIFNode(tau=5.0, decay_input=False, v_reset=None)).run(x, record="potential")
    expected = [0.4, 0.72, 0.976, 1.1808, 0.54464, 0.835712, 1.06857, 0.454856, 0.763885, 1.011108, 0.408886, 0.727109]
    assert soft.traces["potential"].flatten().tolist() == pytest.approx(expected, abs=1e-5)
    assert (soft.spikes.flatten().nonzero().flatten() + 1).tolist() == [4, 7, 10]
    hard = from_spikingjelly(neuron.LIFNode()).run(torch.full((12, 1, 1), 1.6), record="potential")
    assert hard.traces["potential"].flatten().tolist() == pytest.approx([0.8, 1.2] * 6)
    tie = from_spikingjelly(neuron.LIFNode(decay_input=False))(torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1))
    assert tie.flatten().tolist() == [1.0, 0.0, 0.0]
