"""Gradients by layer and time against finite differences, closed forms and per-sample autograd."""

import numpy as np
import pytest
import torch
from torch import nn

from spikeneuro import models, training
from spikeneuro.nn import LIF, LastReadout, LIFResult, RateReadout, SpikingLayer
from spikeneuro.ops.surrogates import FastSigmoid


class Smooth(SpikingLayer):
    """A neuron whose "spike" is a sigmoid, so that finite differences know its gradient."""

    def run(self, x, state=None, record=()):
        v = torch.zeros_like(x[0])
        spikes = []
        for current in x:
            v = 0.9 * v + current
            s = torch.sigmoid(3 * (v - 1))
            v = v - s
            spikes.append(s)
        return LIFResult(torch.stack(spikes), state, {})


@pytest.fixture
def smooth():
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), Smooth(4), nn.Linear(4, 5), Smooth(5), LastReadout(beta=0.8), nn.Linear(5, 3)]
    return nn.Sequential(*layers).double()


def nudged_losses(network, layer, x, y, place, index, by):
    """Loss of each sample with one number of a layer's input or output moved."""

    def shift(tensor):
        moved = tensor.clone()
        moved[index] += by
        return moved

    if place == "gradient_current":
        handle = layer.register_forward_pre_hook(lambda _layer, args: (shift(args[0]),))
    else:
        handle = layer.register_forward_hook(lambda _layer, _args, output: shift(output))
    with handle, torch.no_grad():
        return nn.functional.cross_entropy(network(x), y, reduction="none")


@pytest.mark.parametrize("place", ["gradient_current", "gradient_spikes"])
@pytest.mark.parametrize("name", ["1", "3"])
def test_norms_equal_finite_differences(smooth, name, place):
    steps, batch, h = 6, 3, 1e-5
    x, y = torch.randn(steps, batch, 3, dtype=torch.float64), torch.tensor([0, 2, 1])
    layer = smooth[int(name)]
    squares = np.zeros(steps)
    for t in range(steps):
        for b in range(batch):
            for n in range(layer.shape[0]):
                up, down = (nudged_losses(smooth, layer, x, y, place, (t, b, n), by) for by in (h, -h))
                squares[t] += float((up[b] - down[b]) / (2 * h)) ** 2
    report = training.health(smooth, x, y, batch_axis=1, batch_size=2)  # unequal batches
    found = {one.name: one for one in report.layers}[name]
    np.testing.assert_allclose(getattr(found, place), np.sqrt(squares / batch), rtol=1e-7)


def test_loss_and_parameter_gradients_are_those_of_the_whole(smooth):
    x, y = torch.randn(6, 7, 3, dtype=torch.float64), torch.randint(0, 3, (7,))
    report = training.health(smooth, x, y, batch_axis=1, batch_size=3)
    loss = nn.functional.cross_entropy(smooth(x), y)
    loss.backward()
    assert report.loss == pytest.approx(loss.item(), rel=1e-12)
    for name in ("0", "2", "5"):
        expected = torch.sqrt(smooth[int(name)].weight.grad.square().sum() + smooth[int(name)].bias.grad.square().sum())
        assert report.parameter_gradients[name] == pytest.approx(expected.item(), rel=1e-10)


def test_lif_gradient_by_time_equals_the_closed_form():
    """Without reset the potential is linear in the input, and the gradient a sum over the later steps."""
    steps, batch, beta, slope = 30, 5, 0.85, 10.0
    rng = np.random.default_rng(0)
    x, weights = rng.normal(0.3, 0.5, size=(steps, batch, 2)), rng.normal(size=steps)
    powers = np.tril(beta ** (np.arange(steps)[:, None] - np.arange(steps)[None]))
    u = np.einsum("tk,kbn->tbn", powers, x)
    surrogate = 1 / (1 + slope * np.abs(u - 1)) ** 2
    expected = np.einsum("tk,tbn->kbn", powers, weights[:, None, None] * surrogate)
    layer = LIF(2, beta=beta, reset="none", surrogate=FastSigmoid(slope=slope), dtype=torch.float64)

    def loss(spikes, _target):
        return (spikes * torch.from_numpy(weights)[:, None, None]).sum() / spikes.shape[1]

    report = training.health(layer, torch.from_numpy(x), torch.zeros(batch), loss=loss, batch_axis=1, batch_size=2)
    found = report.layers[0]
    np.testing.assert_allclose(found.rates, (u > 1).mean(axis=(0, 1)))
    np.testing.assert_allclose(found.gradient_current, np.sqrt((expected**2).sum(axis=2).mean(axis=1)), rtol=1e-10)
    np.testing.assert_allclose(found.gradient_spikes, np.abs(weights) * np.sqrt(2), rtol=1e-12)


def test_a_last_readout_hands_back_powers_of_its_decay():
    steps, beta = 25, 0.75
    network = nn.Sequential(LIF(4, beta=0.5), LastReadout(beta=beta)).double()
    x = torch.rand(steps, 6, 4, dtype=torch.float64) * 3
    report = training.health(network, x, torch.randint(0, 4, (6,)), batch_axis=1)
    decays = report.layers[0].gradient_spikes / report.layers[0].gradient_spikes[-1]
    np.testing.assert_allclose(decays, beta ** np.arange(steps - 1, -1, -1.0), rtol=1e-9)


def test_other_paths_of_the_input_do_not_count():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.neurons = nn.Linear(3, 3), LIF(3, beta=0.5)

        def forward(self, x):
            current = self.first(x)
            return self.neurons(current).mean(0) + self.factor * current.mean(0)

    torch.manual_seed(0)
    network, x = Around(), torch.randn(9, 4, 3)

    def norms(factor):
        network.factor = factor
        report = training.health(network, x, torch.zeros(4), loss=lambda o, _: o.sum() / len(o), batch_axis=1)
        return report.layers[0].gradient_current, report.parameter_gradients["first"]

    alone, around = norms(0.0), norms(100.0)
    np.testing.assert_allclose(around[0], alone[0])
    assert around[1] > 10 * alone[1]


@pytest.mark.parametrize("model", ["recurrent-snn", "spiking-eegnet"])
def test_batches_and_order_of_samples_do_not_matter(model):
    torch.manual_seed(0)
    network = models.create(model, n_chans=3, n_times=64, n_outputs=2, sfreq=64.0)
    x, y = 3 * torch.randn(11, 3, 64), torch.tensor([0, 1] * 5 + [0])
    order = torch.randperm(11)
    whole, other = training.health(network, x, y), training.health(network, x[order], y[order], batch_size=4)
    for a, b in zip(whole.layers, other.layers, strict=True):
        np.testing.assert_allclose(a.rates, b.rates, atol=1e-12)
        np.testing.assert_allclose(a.gradient_current, b.gradient_current, rtol=1e-4)
        np.testing.assert_allclose(a.gradient_spikes, b.gradient_spikes, rtol=1e-4)
    assert whole.parameter_gradients == pytest.approx(other.parameter_gradients, rel=1e-4)


def test_a_network_in_segments_of_time_is_as_healthy_as_the_whole_one():
    torch.manual_seed(0)
    options = {"n_chans": 3, "n_times": 50, "n_outputs": 2, "sfreq": 50.0, "norm": "layer", "n_layers": 2}
    whole, cut = (models.create("recurrent-snn", recompute=pieces, **options) for pieces in (None, 7))
    cut.load_state_dict(whole.state_dict())
    x, y = 3 * torch.randn(6, 3, 50), torch.tensor([0, 1] * 3)
    a, b = training.health(whole, x, y), training.health(cut, x, y)
    assert [layer.name for layer in a.layers] == [layer.name for layer in b.layers] == ["neurons.0", "neurons.1"]
    for one, other in zip(a.layers, b.layers, strict=True):
        np.testing.assert_array_equal(one.rate_over_time, other.rate_over_time)
        np.testing.assert_allclose(one.gradient_current, other.gradient_current, rtol=1e-4)
        np.testing.assert_allclose(one.gradient_spikes, other.gradient_spikes, rtol=1e-4)
    assert a.parameter_gradients == pytest.approx(b.parameter_gradients, rel=1e-4)


def test_a_rate_readout_hands_back_the_same_to_every_step():
    """d(mean cross-entropy)/d(spike) = W^T (p - onehot) / T."""
    torch.manual_seed(0)
    head = nn.Linear(4, 3)
    network = nn.Sequential(LIF(4, beta=0.5), RateReadout(), head).double()
    x, y = 2 * torch.rand(20, 6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    error = torch.softmax(network(x), 1) - nn.functional.one_hot(y, 3)
    expected = ((error @ head.weight / 20).square().sum(1).mean()).sqrt().item()
    report = training.health(network, x, y, batch_axis=1, batch_size=4)
    np.testing.assert_allclose(report.layers[0].gradient_spikes, np.full(20, expected), rtol=1e-10)
