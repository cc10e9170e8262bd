"""Conversion refuses what it cannot do, and says what and where."""

import numpy as np
import pytest
import torch
from torch import nn

from spikeneuro import NeuroClassifier, models
from spikeneuro.errors import InputError
from spikeneuro.nn import LIF
from spikeneuro.training.conversion import (
    QCFS,
    IntegrateAndFire,
    accuracy_over_steps,
    conversion_report,
    convert,
    convert_estimator,
    fold_batchnorm,
    with_qcfs,
)

X = torch.rand(20, 4)


def network(*middle):
    return nn.Sequential(nn.Linear(4, 6), *(middle or (nn.ReLU(),)), nn.Linear(6, 2))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "calibration_data is missing"),
        (torch.zeros(0, 4), "at least one sample"),
        (torch.full((3, 4), float("nan")), r"NaN or infinite.*\(0, 0\)"),
        ([[1.0]], "got list"),
        (torch.rand(4), r"got shape \(4,\)"),
        (torch.rand(5, 3), "cannot be followed: .*shapes"),
    ],
)
def test_calibration_data_must_be_usable(data, said):
    with pytest.raises(InputError, match=said):
        convert(network(), data)


def test_one_sample_is_enough_to_convert():
    torch.manual_seed(0)
    ann = network()
    snn = convert(ann, X[:1], method="max", steps=500)
    torch.testing.assert_close(snn(X[:1]), ann(X[:1]), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "layer", [nn.ELU(), nn.Sigmoid(), nn.LayerNorm(6), nn.Softmax(dim=1), nn.GELU(), nn.LeakyReLU(), nn.ReLU6()]
)
def test_layers_without_a_spiking_form_are_named(layer):
    with pytest.raises(InputError, match=rf"module '1' \({type(layer).__name__}\) has no spiking form"):
        convert(network(layer), X)
    with pytest.raises(InputError, match=r"'block.0'"):
        convert(Block(layer), X)


class Block(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.block = nn.Sequential(layer)

    def forward(self, x):
        return self.block(x)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.function, self.act = nn.Linear(4, 4), function, nn.ReLU()
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.function(self.act(self.linear(x)), self)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x, _: torch.tanh(x), "'tanh'"),
        (lambda x, _: x * 2, "'mul'"),
        (lambda x, _: x * x, "'mul'"),
        (lambda x, m: x * m.gain, "parameter 'gain' outside a layer"),
        (lambda x, _: x + 1, "no layer's output"),
        (lambda x, _: x if x.sum() > 0 else -x, "cannot be followed"),
        (lambda x, _: x.transpose(0, 1), "axis 0 must be theirs|batch"),
        (lambda x, _: (x, x), "not one tensor"),
        (lambda x, _: x.exp(), "'exp'"),
    ],
)
def test_functions_without_a_spiking_form_are_named(function, said):
    with pytest.raises(InputError, match=said):
        convert(Function(function), X)


def test_recurrent_and_spiking_networks_are_refused():
    with pytest.raises(InputError, match="LSTM"):
        convert(models.create("lstm", n_chans=2, n_times=20, n_outputs=2), torch.rand(5, 2, 20))
    with pytest.raises(InputError, match=r"module '1' \(LIF\) already spikes"):
        convert(nn.Sequential(nn.Linear(4, 3), LIF(3)), X)


def test_subclasses_that_compute_something_else_are_refused():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(InputError, match="outside a layer"):
        convert(nn.Sequential(Scaled(4, 3), nn.ReLU()), X)


def test_networks_without_activation_are_refused():
    with pytest.raises(InputError, match="no ReLU or QCFS"):
        convert(nn.Sequential(nn.Linear(4, 2)), X)


def test_dead_layers_are_named():
    dead = network()
    with torch.no_grad():
        dead[0].bias.fill_(-100)
    with pytest.raises(InputError, match="'1' is zero for all 20 calibration samples"):
        convert(dead, X)


def test_max_pooling_before_the_activation_asks_for_the_other_order():
    model = nn.Sequential(
        nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Conv1d(2, 2, 3), nn.MaxPool1d(2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)
    )
    with pytest.raises(InputError, match=r"max pooling '3' .*put the activation before it"):
        convert(model, torch.rand(10, 1, 8))


def test_max_pooling_of_constant_currents_is_exact():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.MaxPool1d(2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 2))
    x = torch.rand(10, 1, 8)
    torch.testing.assert_close(convert(model, x, method="max", steps=1000)(x), model(x), atol=0.01, rtol=0)


def test_normalisation_without_statistics_is_refused():
    with pytest.raises(InputError, match=r"module '1' .*no running statistics"):
        fold_batchnorm(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "maximum"}, "did you mean 'max'"),
        ({"form": "both"}, "form='both'"),
        ({"steps": 0}, "steps"),
        ({"steps": "calibrate"}, "did you mean 'calibrated'"),
        ({"steps": 2.5}, "integer"),
        ({"percentile": 0}, "percentile"),
        ({"percentile": 101}, "percentile"),
        ({"initial": 1.0}, "initial"),
        ({"batch_size": 0}, "batch_size"),
        ({"method": "qcfs"}, "'1' is ReLU; train with_qcfs"),
        ({"labels": np.zeros(20, int)}, "steps='calibrated'"),
        ({"steps": "calibrated", "labels": np.zeros(19, int)}, "20 integers"),
        ({"steps": "calibrated", "labels": np.zeros(20)}, "20 integers"),
        ({"steps": "calibrated", "tolerance": -1}, "tolerance"),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(InputError, match=said):
        convert(network(), X, **options)


def test_thresholds_that_left_the_positive_numbers_are_refused():
    model = network(QCFS())
    with torch.no_grad():
        model[1].theta.fill_(-0.1)
    with pytest.raises(InputError, match="theta of '1' is -0.1"):
        convert(model, X, method="qcfs")


def test_with_qcfs_says_what_it_misses():
    with pytest.raises(InputError, match="no torch.nn.ReLU"):
        with_qcfs(nn.Linear(2, 2))
    with pytest.raises(InputError, match="not both"):
        with_qcfs(network(), theta=1.0, calibration_data=X)
    with pytest.raises(InputError, match="dilation"):
        with_qcfs(nn.Sequential(nn.ReLU(), nn.MaxPool1d(2, dilation=2)), average_pooling=True)
    for bad in (0, 1.5):
        with pytest.raises(InputError, match="levels"):
            with_qcfs(network(), levels=bad)


def test_neurons_check_their_numbers():
    with pytest.raises(InputError, match="threshold"):
        IntegrateAndFire(0.0)
    with pytest.raises(InputError, match="initial"):
        IntegrateAndFire(1.0, initial=-0.1)


def test_runs_check_their_input():
    snn = convert(network(), X)
    with pytest.raises(InputError, match=r"got \(4,\)"):
        snn(X[0])
    with pytest.raises(InputError, match="steps"):
        snn.run(X, steps=0)
    with pytest.raises(InputError, match="data holds"):
        accuracy_over_steps(network(), snn, X * float("inf"))


def test_reports_are_of_a_network_and_its_conversion():
    snn = convert(network(), X)
    with pytest.raises(InputError, match="no conversion of it"):
        conversion_report(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6), nn.ReLU()), snn, X)
    with pytest.raises(InputError, match="what convert returns"):
        conversion_report(network(), network(), X)


def test_estimators_must_be_fitted_and_classes_known():
    with pytest.raises(InputError, match="got Sequential"):
        convert_estimator(network(), X)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4)), np.tile(["a", "b"], 10)
    fitted = NeuroClassifier("mlp", max_epochs=1, random_state=0).fit(x, y)
    with pytest.raises(InputError, match="'c'"):
        convert_estimator(fitted, x, np.full(20, "c"), steps="calibrated")


def test_silent_input_gives_the_answer_of_the_biases():
    torch.manual_seed(1)
    ann = network()
    snn = convert(ann, X, method="max", steps=2000)
    torch.testing.assert_close(snn(torch.zeros(3, 4)), ann(torch.zeros(3, 4)), atol=0.01, rtol=0)
