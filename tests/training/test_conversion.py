"""Conversion: single neurons against closed forms, folding, scales, both forms, whole networks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeneuro import energy, models, training
from spikeneuro._random import scoped_seed
from spikeneuro.nn import Carry, OverTime
from spikeneuro.training.conversion import (
    QCFS,
    IntegrateAndFire,
    SpikingMaxPool,
    convert,
    fold_batchnorm,
    with_qcfs,
)
from spikeneuro.training.conversion.normalisation import Percentile


def run_constant(x, theta, steps, initial=0.5):
    neurons = IntegrateAndFire(theta, initial, dtype=x.dtype)
    return neurons(x.expand(steps, 1, *x.shape)).mean((0, 1)) * theta


# One layer, closed forms


def test_rate_equals_the_quantised_activation_for_t_equal_l_of_8():
    theta = 2.0
    x = torch.linspace(0, theta, 4097, dtype=torch.float64)  # a grid on which nothing is rounded
    activation = QCFS(levels=8, theta=theta).double()
    assert torch.equal(run_constant(x, theta, 8), activation(x).detach())


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 50])
def test_rate_of_one_layer_is_its_closed_form(steps):
    theta = 0.75
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 2, 2000))
    expected = np.clip(np.floor(x.numpy() * steps / theta + 0.5) / steps, 0, 1) * theta
    np.testing.assert_allclose(run_constant(x, theta, steps).numpy(), expected, atol=1e-12)


def test_without_initial_membrane_the_rate_is_rounded_down():
    x = torch.from_numpy(np.random.default_rng(1).uniform(0, 1, 500))
    expected = np.floor(x.numpy() * 10) / 10
    np.testing.assert_allclose(run_constant(x, 1.0, 10, initial=0.0).numpy(), expected, atol=1e-12)


def test_neurons_are_those_of_spikingjelly():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    x = torch.from_numpy(np.random.default_rng(5).normal(0.3, 1, (60, 4, 7)))
    theirs = neuron.IFNode(v_threshold=0.8, v_reset=None)
    theirs.v = torch.full((4, 7), 0.4, dtype=x.dtype)
    expected = torch.stack([theirs(step) for step in x])
    assert torch.equal(IntegrateAndFire(0.8, dtype=x.dtype)(x), expected)
    assert 0 < expected.mean() < 1


def test_qcfs_gradients_are_those_of_the_straight_through_floor():
    activation = QCFS(levels=4, theta=2.0)
    x = torch.tensor([-0.5, 0.3, 1.1, 2.6], requires_grad=True)
    h = activation(x)
    h.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
    # d/dtheta theta * round(x L / theta) / L, straight through: (h - x) / theta inside, 1 above, 0 below
    inside = ((h - x) / 2.0)[1:3].sum().item()
    assert activation.theta.grad.item() == pytest.approx(inside + 1.0, abs=1e-6)


def test_qcfs_equals_its_formula():
    x = torch.from_numpy(np.random.default_rng(2).normal(0, 5, 1000))
    expected = 3.0 * np.clip(np.floor(x.numpy() * 5 / 3.0 + 0.5) / 5, 0, 1)
    np.testing.assert_allclose(QCFS(5, 3.0).double()(x).detach().numpy(), expected, atol=1e-12)


def test_max_pooling_of_spikes_gives_the_maximum_of_rates_at_every_step():
    rng = np.random.default_rng(3)
    spikes = torch.from_numpy((rng.random((40, 3, 2, 6, 6)) < rng.random((1, 3, 2, 6, 6))).astype("float32"))
    pool = SpikingMaxPool(nn.MaxPool2d(2))
    pooled = pool(spikes)
    assert set(pooled.unique().tolist()) <= {0.0, 1.0}
    expected = np.maximum.accumulate(
        spikes.numpy().cumsum(0).reshape(40, 3, 2, 3, 2, 3, 2).max((4, 6)), axis=0
    )  # fmt: skip
    np.testing.assert_array_equal(pooled.numpy().cumsum(0), expected)
    carry = Carry()
    pieces = torch.cat([pool(spikes[:13], carry), pool(spikes[13:], carry)])
    assert torch.equal(pieces, pooled)


def test_max_pooling_of_spikes_passes_a_gradient_on():
    spikes = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]).reshape(3, 1, 1, 2).requires_grad_()
    SpikingMaxPool(nn.MaxPool1d(2))(spikes).sum().backward()
    assert spikes.grad[..., 0].flatten().tolist() == [1, 1, 1]


# Folding


def trained(model, *shape, seed=0):
    """A network whose normalisations have seen something and have gains and shifts of their own."""
    with scoped_seed(seed):
        for part in model.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
                nn.init.uniform_(part.weight, 0.5, 2)
                nn.init.normal_(part.bias)
        for _ in range(5):
            model.train()(torch.randn(*shape) * 2 + 1)
    return model.eval()


FOLDED = {
    "linear": (lambda: nn.Sequential(nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4)), (16, 5)),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, groups=1), nn.BatchNorm1d(4), nn.ReLU()), (8, 3, 20)),
    "conv2d": (lambda: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.BatchNorm2d(6)), (8, 4, 9, 9)),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 4, 2), nn.Dropout(0.5), nn.BatchNorm3d(4)), (4, 2, 5, 5, 5)),
    "nested": (lambda: nn.Sequential(nn.Sequential(nn.Linear(5, 4)), nn.Sequential(nn.BatchNorm1d(4))), (16, 5)),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded_networks_agree(name):
    build, shape = FOLDED[name]
    model = trained(build(), *shape)
    x = torch.randn(shape)
    folded = fold_batchnorm(model, x)
    torch.testing.assert_close(folded(x), model(x), atol=1e-6, rtol=1e-6)
    assert not any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in folded.modules())


def test_without_example_only_neighbours_in_a_sequential_are_folded():
    model = trained(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4)), 16, 5)
    folded = fold_batchnorm(model)
    assert [type(part).__name__ for part in folded] == ["Linear", "Identity", "ReLU", "BatchNorm1d"]
    x = torch.randn(7, 5)
    torch.testing.assert_close(folded(x), model(x), atol=1e-6, rtol=1e-6)
    assert model[1].training is False
    assert isinstance(model[1], nn.BatchNorm1d)


def test_normalisation_after_an_activation_is_kept_and_converted():
    model = trained(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), 16, 5)
    x = torch.randn(64, 5)
    for form in ("weights", "thresholds"):
        snn = convert(model, x, method="max", steps=2000, form=form)
        torch.testing.assert_close(snn(x), model(x), atol=0.02, rtol=0)


# Scales


def test_percentile_is_that_of_the_non_zero_values():
    rng = np.random.default_rng(4)
    values = np.maximum(rng.normal(size=(1000, 7)), 0)
    for percentile in (50, 90.0, 99.9, 100):
        found = Percentile(percentile, values.size)
        for part in np.array_split(values, 13):
            found.add(torch.from_numpy(part))
        assert found.value == pytest.approx(np.percentile(values[values != 0], percentile), rel=1e-12)


def test_scales_are_maximum_and_percentile_of_each_layer():
    model = random_mlp(0)
    x = torch.rand(200, 6, dtype=torch.float64)
    hidden = torch.relu(model[0](x))
    snn = convert(model, x, method="max")
    assert snn.neurons["1"].scale == pytest.approx(hidden.max().item(), rel=1e-12)
    snn = convert(model, x, method="percentile", percentile=95)
    active = hidden.detach().numpy()
    assert snn.neurons["1"].scale == pytest.approx(np.percentile(active[active != 0], 95), rel=1e-12)


# Whole networks


def random_mlp(seed, widths=(6, 12, 9, 4)):
    with scoped_seed(seed):
        layers = []
        for n, m in pairwise(widths):
            layers += [nn.Linear(n, m), nn.ReLU()]
        return nn.Sequential(*layers[:-1]).double()


def spikes_of(snn, x):
    with training.recorded_spikes(snn) as spikes:
        snn(x)
        return dict(spikes)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    steps=st.integers(1, 40),
    initial=st.sampled_from([0.0, 0.25, 0.5]),
)
def test_both_forms_emit_the_same_spikes(seed, widths, steps, initial):
    # Thresholds of no relation to the weights: what a membrane does exactly at its threshold is a matter of rounding.
    rng = np.random.default_rng(seed)
    model = with_qcfs(random_mlp(seed, (5, *widths, 3)))
    with torch.no_grad():
        for activation in model[1::2]:
            activation.theta.fill_(rng.uniform(0.2, 1.5))
    x = torch.from_numpy(rng.uniform(-1, 1, (20, 5)))
    both = [convert(model, x, steps=steps, form=form, initial=initial) for form in ("weights", "thresholds")]
    first, second = (spikes_of(snn, x) for snn in both)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.testing.assert_close(both[0](x), both[1](x))


def test_both_forms_emit_the_same_spikes_bit_for_bit_where_scales_are_powers_of_two():
    model = random_mlp(3).float()
    quantised = with_qcfs(model, levels=4, theta=0.5)
    with torch.no_grad():
        quantised[3].theta.fill_(0.25)
    x = torch.rand(50, 6)
    first, second = (spikes_of(convert(quantised, x, method="qcfs", form=f), x) for f in ("weights", "thresholds"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sum(layer.sum() for layer in first.values()) > 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), hidden=st.lists(st.integers(2, 16), min_size=1, max_size=3))
def test_output_approaches_that_of_the_network(seed, hidden):
    model = random_mlp(seed, (5, *hidden, 3))
    with torch.no_grad():
        for layer in model[::2]:
            layer.bias.add_(0.3)
    x = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, (30, 5)))
    snn = convert(model, x, method="max")
    outputs = snn.run(x, steps=2000).outputs
    expected = model(x).detach()
    assert (outputs[-1] - expected).abs().max() < 0.02 * max(1.0, float(expected.abs().max()))


def test_a_run_in_pieces_equals_the_whole():
    model = trained(models.create("cnn2d", in_chans=1, image_size=12, n_outputs=3, filters=(4, 6)), 16, 1, 12, 12)
    x = torch.rand(5, 1, 12, 12)
    snn = convert(model, x, steps=70)
    whole = snn.run(x)
    state, pieces = None, []
    for steps in (1, 33, 36):
        outputs, state = snn.run(x, state, steps)
        pieces.append(outputs)
    torch.testing.assert_close(torch.cat(pieces), whole.outputs, atol=1e-5, rtol=1e-5)
    assert state.step == 70
    torch.testing.assert_close(snn(x), whole.outputs[-1], atol=1e-5, rtol=1e-5)
    snn.steps = 9
    torch.testing.assert_close(snn(x), whole.outputs[8], atol=1e-5, rtol=1e-5)


def test_scales_do_not_depend_on_the_batches_they_are_found_in():
    model = random_mlp(1)
    x = torch.rand(100, 6, dtype=torch.float64)
    one, other = (convert(model, x, percentile=90, batch_size=size) for size in (7, 100))
    for name, info in one.neurons.items():
        assert info.scale == pytest.approx(other.neurons[name].scale, rel=1e-12)


class Residual(nn.Module):
    """A block with an identity and a block with a convolution beside it, and calls of functions."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.short = nn.Conv2d(4, 6, 1, stride=2)
        self.readout = nn.Linear(6 * 2 * 2, 3)
        self.act = nn.ReLU()

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = self.act(x + self.norm(self.first(x)))
        x = self.act(self.second(x) + self.short(x))
        x = nn.functional.avg_pool2d(x, 2)
        return self.readout(x.view(x.size(0), -1))


@pytest.mark.parametrize("form", ["weights", "thresholds"])
@pytest.mark.parametrize("spiking_pooling", [False, True])
def test_residual_networks_convert(form, spiking_pooling):
    model = trained(Residual(), 32, 1, 8, 8).double()
    x = torch.randn(10, 1, 8, 8, dtype=torch.float64)
    snn = convert(model, x, method="max", form=form, steps=1000, spiking_pooling=spiking_pooling)
    expected = model(x)
    assert (snn(x) - expected).abs().max() < 0.02 * expected.abs().max()
    kinds = {type(part) for part in snn.modules()}
    assert OverTime in kinds
    assert IntegrateAndFire in kinds


def test_forms_agree_on_residual_networks():
    model = trained(Residual(), 32, 1, 8, 8).double()
    x = torch.randn(20, 1, 8, 8, dtype=torch.float64)
    first, second = (spikes_of(convert(model, x, form=form, steps=20), x) for form in ("weights", "thresholds"))
    assert all(torch.equal(first[name], second[name]) for name in first)


REGISTERED = {
    "mlp": ({"n_chans": 1, "n_times": 12, "hidden": (20, 10)}, (12,)),
    "cnn1d": ({"n_chans": 3, "n_times": 64, "filters": (6, 6, 6)}, (3, 64)),
    "cnn2d": ({"in_chans": 2, "image_size": 12, "filters": (4, 6)}, (2, 12, 12)),
}


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_networks_convert_and_the_ledger_knows_every_operation(name):
    sizes, shape = REGISTERED[name]
    with scoped_seed(0):
        model = models.create(name, n_outputs=3, **sizes)
    trained(model, 32, *shape)
    x = torch.randn(16, *shape)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    snn = convert(model, x, steps=500, method="max")
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    expected = model.eval()(x)
    assert (snn(x) - expected).norm() < 0.04 * expected.norm()
    snn.steps = 8
    ledger = energy.count(snn, x[:4])
    assert ledger.acs > 0
    # only the first layer gets real numbers, and it runs once
    first = energy.count(model, x[:4]).layers
    macs = next(row.effective.macs for row in first if row.effective.macs)
    products = [row for row in ledger.layers if row.effective.macs]
    assert products[0].effective.macs == macs
    assert len(products) == (2 if name == "cnn1d" else 1)  # its readout gets averages
    assert ledger.spike_rate > 0


def test_spiking_pooling_leaves_no_product_of_real_numbers_behind_the_first_layer():
    model = trained(models.create("cnn1d", n_chans=2, n_times=32, n_outputs=2, filters=(4, 4, 4)), 16, 2, 32)
    x = torch.randn(20, 2, 32)
    ledger = energy.count(convert(model, x, steps=4, spiking_pooling=True), x[:4])
    assert len([row for row in ledger.layers if row.effective.macs]) == 1
