"""Readouts against loops and closed forms; the wrapper over time; heterogeneity's distributions."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from spikeneuro.errors import InputError
from spikeneuro.nn import (
    LastReadout,
    LeakyReadout,
    MaxMembraneReadout,
    OverTime,
    RateReadout,
    heterogeneity,
)

F64 = torch.float64


def integrator(x, beta):
    v, course = torch.zeros_like(x[0]), []
    for step in x:
        v = beta * v + (1 - beta) * step
        course.append(v)
    return torch.stack(course)


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("per_feature", [False, True])
def test_readouts_equal_a_loop_in_value_and_gradient(per_feature, learn):
    beta = torch.tensor([0.5, 0.9, 0.99], dtype=F64) if per_feature else torch.tensor(0.8, dtype=F64)
    x = torch.rand(25, 4, 3, dtype=F64, requires_grad=True)
    course = integrator(x, beta)
    for cls, options, expected in (
        (LeakyReadout, {}, course.mean(0)),
        (LeakyReadout, {"sequence": True}, course),
        (LastReadout, {}, course[-1]),
        (MaxMembraneReadout, {}, course.amax(0)),
    ):
        readout = cls(3, beta=beta, learn=learn, dtype=F64, **options)
        found = readout(x)
        torch.testing.assert_close(found, expected)
        weights = torch.rand(expected.shape, dtype=F64)
        for a, b in zip(
            torch.autograd.grad((found * weights).sum(), x),
            torch.autograd.grad((expected * weights).sum(), x, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("cls", "options"), [(LeakyReadout, {}), (LeakyReadout, {"sequence": True}), (LastReadout, {}),
                                              (MaxMembraneReadout, {})])  # fmt: skip
def test_gradcheck_of_input_and_time_constant(cls, options):
    readout = cls(2, tau_mem=torch.tensor([0.01, 0.05]), learn=True, dtype=F64, **options)
    x = torch.rand(6, 2, 2, dtype=F64, requires_grad=True)
    (parameter,) = readout.parameters()

    def run(x, log_tau):
        return torch.func.functional_call(readout, {"decay.log_tau": log_tau}, (x,))

    assert torch.autograd.gradcheck(run, (x, parameter))


def test_constant_input_settles_at_itself_and_rate_is_the_mean():
    x = torch.full((4000, 1, 2), 0.3, dtype=F64)
    torch.testing.assert_close(LastReadout(tau_mem=0.1, dt=0.004, dtype=F64)(x), x[0])
    spikes = (torch.rand(50, 3, 2) > 0.5).float()
    torch.testing.assert_close(RateReadout()(spikes), spikes.mean(0))


def test_over_time_equals_a_loop():
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2))
    x = torch.rand(5, 4, 2, 8, 8)
    torch.testing.assert_close(OverTime(module)(x), torch.stack([module(step) for step in x]))


def test_log_spaced_and_constant():
    np.testing.assert_allclose(heterogeneity.LogSpaced(0.01, 0.08)(4), [0.01, 0.02, 0.04, 0.08], rtol=1e-6)
    assert heterogeneity.LogSpaced(0.01, 0.04)(1).item() == pytest.approx(0.02)
    assert heterogeneity.Constant(0.02)((2, 3)).tolist() == torch.full((2, 3), 0.02).tolist()


def test_random_initialisers_have_their_distributions():
    generator = torch.Generator().manual_seed(0)
    uniform = heterogeneity.LogUniform(0.005, 0.05)(4000, generator=generator).double().log().numpy()
    low, high = np.log(0.005), np.log(0.05)
    assert stats.kstest(uniform, stats.uniform(low, high - low).cdf).pvalue > 0.01
    gamma = heterogeneity.Gamma(mean=0.02, concentration=3.0)(4000, generator=generator).double().numpy()
    assert stats.kstest(gamma, stats.gamma(3.0, scale=0.02 / 3.0).cdf).pvalue > 0.01
    assert heterogeneity.Gamma(0.02, low=0.004)(4000).min().item() >= 0.004 - 1e-9
    again = heterogeneity.Gamma(0.02)(5, generator=torch.Generator().manual_seed(7))
    assert torch.equal(again, heterogeneity.Gamma(0.02)(5, generator=torch.Generator().manual_seed(7)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RateReadout()(torch.rand(3, 4)), r"RateReadout expected \(time, batch, features\)"),
        (lambda: LeakyReadout()(torch.rand(3, 4, 2, 2)), "flatten feature maps first"),
        (lambda: LeakyReadout(5)(torch.rand(3, 4, 2)), r"expected \(time, batch, 5\)"),
        (lambda: LeakyReadout(tau_mem=0.0), "must be above 0"),
        (lambda: OverTime(nn.Flatten())(torch.rand(3, 4)), "OverTime expected"),
        (lambda: OverTime(nn.Flatten(0))(torch.rand(3, 4, 5)), "must keep the batch axis"),
        (lambda: heterogeneity.LogUniform(0.05, 0.01), "high must be at least low"),
        (lambda: heterogeneity.Gamma(0.0), "mean must lie in"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
