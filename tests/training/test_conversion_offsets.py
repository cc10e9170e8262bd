"""Initial membranes corrected by channel, and what conversion must not do to the networks it is given."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from spikeneuro import energy, models
from spikeneuro._random import scoped_seed
from spikeneuro.errors import InputError
from spikeneuro.training.conversion import (
    QCFS,
    IntegrateAndFire,
    conversion_report,
    convert,
    correct_offsets,
    fold_batchnorm,
    with_qcfs,
)


def deep(seed=0):
    with scoped_seed(seed):
        layers = [nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5)]
        return nn.Sequential(*layers).double(), torch.randn(60, 1, 8, 8, dtype=torch.float64)


# Offsets


@pytest.mark.parametrize("form", ["weights", "thresholds"])
def test_the_first_layer_starts_where_the_formula_says(form):
    ann, x = deep()
    snn = convert(ann, x, percentile=98, steps=6, form=form)
    made = correct_offsets(ann, snn, x, steps=6, batch_size=7)
    a = ann[1](ann[0](x)).detach()
    scale = snn.neurons["1"].scale
    # by hand: a neuron of constant input fires floor(x T / scale + 1/2) times
    rates = (ann[0](x).detach() * 6 / scale + 0.5).floor().clamp(0, 6) / 6
    expected = 0.5 + 6 * (a / scale - rates).mean((0, 2, 3))
    torch.testing.assert_close(made.layers["1"].initial.flatten(), expected.clamp(-0.5, 0.999))
    assert made.layers["1"].initial.shape == (6, 1, 1)
    assert snn.layers["1"].initial.shape == ()  # what was given stays as it is


def test_offsets_bring_means_and_answers_closer_to_the_networks():
    errors = []
    for seed in range(4):
        ann, x = deep(seed)
        data, held_out = x[:40], x[40:]
        snn = convert(ann, data, steps=4)
        made = correct_offsets(ann, snn, data)
        before, after = (conversion_report(ann, network, data) for network in (snn, made))
        assert after["total"][1:3].abs().sum() < before["total"][1:3].abs().sum()
        expected = ann(held_out)
        errors.append([float((network(held_out) - expected).detach().norm()) for network in (snn, made)])
    plain, corrected = np.sum(errors, 0)  # no single random network is bound to gain
    assert corrected < plain


def test_corrected_networks_run_in_pieces_copy_and_count_as_others():
    ann, x = deep(2)
    snn = convert(ann, x, steps=8)
    made = correct_offsets(ann, snn, x, steps=4)
    assert (made.steps, snn.steps) == (4, 8)
    first, state = made.run(x[:3], steps=3)
    second, _ = made.run(x[:3], state, 5)
    whole = made.run(x[:3], steps=8).outputs
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(copy.deepcopy(made)(x), made(x))
    other = convert(ann, x, steps=4)
    for name in made.neurons:
        other.layers[name].initial = torch.zeros_like(made.layers[name].initial)
    other.load_state_dict(made.state_dict())
    assert torch.equal(other(x), made(x))
    assert energy.count(made, x[:2]).dense == energy.count(convert(ann, x, steps=4), x[:2]).dense


def test_errors_still_add_up_and_the_first_layer_is_even():
    ann, x = deep(3)
    made = correct_offsets(ann, convert(ann, x, steps=5), x)
    report = conversion_report(ann, made, x)
    torch.testing.assert_close(
        torch.tensor(report[["clipping", "quantisation", "unevenness"]].sum(axis=1).to_numpy()),
        torch.tensor(report["total"].to_numpy()),
    )
    assert report["unevenness_rms"][0] < 1e-9


def test_offsets_are_checked():
    ann, x = deep()
    snn = convert(ann, x)
    with pytest.raises(InputError, match="steps"):
        correct_offsets(ann, snn, x, steps=0)
    with pytest.raises(InputError, match="no conversion"):
        correct_offsets(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU()).double(), snn, x)
    with pytest.raises(InputError, match="below 1"):
        IntegrateAndFire(1.0, torch.tensor([0.5, 1.0]))
    with pytest.raises(InputError, match="below 1"):
        IntegrateAndFire(1.0, torch.tensor([float("nan")]))


# The given network stays whole


def test_parametrised_networks_stay_as_they_are():
    with scoped_seed(0):
        model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 2)).double()
        normed = nn.Sequential(
            parametrizations.spectral_norm(nn.Conv1d(2, 6, 3)), nn.BatchNorm1d(6), nn.ReLU()
        ).double()
    x, signals = torch.rand(50, 4, dtype=torch.float64), torch.rand(20, 2, 9, dtype=torch.float64)
    for network, data in ((model.eval(), x), (normed.eval(), signals)):
        expected = network(data)
        snn = convert(network, data, method="max", steps=2000)
        torch.testing.assert_close(network(data), expected)
        assert (snn(data) - expected).abs().max() < 0.01 * expected.abs().max()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_old_weight_norm_is_refused():
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(InputError, match="parametrizations"):
        convert(model, torch.rand(5, 4))


def test_data_stay_as_they_are():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    x = torch.randn(20, 3)
    before = x.clone()
    snn = convert(model, x, method="max")
    conversion_report(model, snn, x)
    assert torch.equal(x, before)


# Modules in two places


def test_a_module_in_two_places_of_a_sequential_is_replaced_in_both():
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(3, 4), act, nn.Linear(4, 4), act, nn.Linear(4, 2))
    quantised = with_qcfs(model, levels=4)
    assert [isinstance(part, QCFS) for part in quantised] == [False, True, False, True, False]
    assert model[3] is act


def test_an_activation_called_twice_starts_at_the_larger_scale():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.act = nn.Linear(3, 20), nn.Linear(20, 20), nn.ReLU()
            nn.init.normal_(self.two.weight, std=0.01)

        def forward(self, x):
            return self.two(self.act(self.two(self.act(self.one(x)))))

    with scoped_seed(0):
        model, x = Twice(), torch.randn(300, 3)
    scales = [info.scale for info in convert(model, x).neurons.values()]
    assert with_qcfs(model, calibration_data=x).act.theta.item() == pytest.approx(max(scales))
    assert max(scales) > 2 * min(scales)


def test_normalisation_behind_a_repeated_activation_is_not_folded_into_the_layer_before_it():
    act = nn.ReLU()
    model = nn.Sequential(act, nn.Linear(3, 3), act, nn.BatchNorm1d(3))
    for _ in range(5):
        model(torch.randn(30, 3) + 1)
    model.eval()
    x = torch.randn(9, 3)
    torch.testing.assert_close(fold_batchnorm(model)(x), model(x))


# What is not linear in its weights


class Standardised(nn.Conv2d):
    """A subclass that changes its weight inside the convolution."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight / weight.norm(), bias)


class InPlace(nn.Module):
    """The sum reads what the activation has overwritten."""

    def __init__(self):
        super().__init__()
        self.one, self.act, self.out = nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x):
        current = self.one(x)
        return self.out(self.act(current) + current)


def test_networks_that_would_convert_to_something_else_are_refused():
    model = nn.Sequential(Standardised(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(InputError, match="layer '1'"):
        convert(model, torch.randn(5, 1, 6, 6))
    convert(model, torch.randn(5, 1, 6, 6), form="thresholds")  # nothing is scaled there
    with pytest.raises(InputError, match="in place"):
        convert(InPlace(), torch.randn(5, 3))


# Oracles for whole networks


class Branches(nn.Module):
    """Grouped, circular, strided and padded layers, a normalisation that stays, max and average pooling, a sum."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1, padding_mode="circular")
        self.grouped = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4)
        self.norm = nn.BatchNorm2d(8)
        self.pool, self.mean = nn.MaxPool2d(2), nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(8 * 16, 4)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = torch.relu(self.norm(self.mean(torch.relu(self.grouped(x)))) + self.pool(x))
        return self.out(self.drop(y).flatten(1))


@pytest.mark.parametrize("form", ["weights", "thresholds"])
@pytest.mark.parametrize("spiking_pooling", [False, True])
def test_error_falls_with_the_number_of_steps_as_its_bound(form, spiking_pooling):
    with scoped_seed(0):
        model = Branches().double()
        for _ in range(4):
            model(torch.randn(20, 2, 8, 8, dtype=torch.float64))
        model.eval()
        x = torch.randn(6, 2, 8, 8, dtype=torch.float64)
    snn = convert(model, x, method="max", form=form, spiking_pooling=spiking_pooling)
    outputs = snn.run(x, steps=4096).outputs
    errors = [(outputs[steps - 1] - model(x)).abs().max().item() for steps in (256, 1024, 4096)]
    # nothing is clipped and the input is constant, so that what is left of all charge is bounded: error ~ 1 / T
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[0] / 6
    assert errors[2] < 0.01


def test_answers_depend_on_nothing_but_the_sample():
    with scoped_seed(1):
        model = models.create("cnn2d", in_chans=1, image_size=12, n_outputs=3, filters=(4, 6)).double().eval()
        x = torch.randn(11, 1, 12, 12, dtype=torch.float64)
    snn = convert(model, x, steps=9)
    whole = snn(x)
    assert torch.equal(snn(x), whole)  # nothing is left of the call before
    torch.testing.assert_close(torch.cat([snn(part) for part in x.split(4)]), whole)
    order = torch.randperm(11)
    torch.testing.assert_close(snn(x[order]), whole[order])
