"""Each surrogate's gradient is the derivative of its primitive, and the compiled form equals it."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import integrate

from spikeneuro.errors import InputError
from spikeneuro.ops import spike, surrogates

OPTIONS = {
    "fast_sigmoid": {"slope": 7.0},
    "atan": {"alpha": 3.0},
    "sigmoid": {"slope": 6.0},
    "triangle": {"height": 0.3, "width": 0.7},
    "rectangle": {"width": 0.6, "height": 1.5},
    "multi_gaussian": {"gamma": 0.7, "h": 0.2, "s": 4.0, "sigma": 0.4},
}
CASES = [surrogates.resolve(name) for name in surrogates.names()]
CASES += [surrogates.resolve(name, **options) for name, options in OPTIONS.items()]


@pytest.mark.parametrize("surrogate", CASES, ids=repr)
def test_gradient_is_finite_difference_of_primitive(surrogate):
    # The grid avoids 0 and the ends of the supports, where one-sided slopes differ.
    x = torch.linspace(-2.0113, 2.0117, 801, dtype=torch.float64)
    h = 1e-6
    difference = (surrogate.primitive(x + h) - surrogate.primitive(x - h)) / (2 * h)
    torch.testing.assert_close(surrogate.gradient(x), difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("surrogate", CASES, ids=repr)
def test_primitive_is_integral_of_gradient_and_half_at_zero(surrogate):
    def gradient(x):
        return float(surrogate.gradient(torch.tensor(x, dtype=torch.float64)))

    for end in (-0.9, 0.31, 1.7):
        corners = [p for p in (0.3, -0.3, 0.5, -0.5, 0.7, -0.7, 1.0, -1.0) if abs(p) < abs(end)]
        area, _ = integrate.quad(gradient, 0.0, end, points=corners or None, limit=200)
        value = float(surrogate.primitive(torch.tensor(end, dtype=torch.float64)))
        assert value == pytest.approx(0.5 + area, abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("surrogate", CASES, ids=repr)
def test_compiled_gradient_equals_torch(surrogate, dtype):
    from spikeneuro.ops.numba_surrogates import surrogate_gradient

    u = torch.cat([torch.linspace(-30, 30, 601), torch.linspace(-1.5, 1.5, 301)]).to(dtype)
    th = torch.full_like(u, 0.25)
    out = np.empty_like(u.numpy())
    surrogate_gradient(surrogate.code, np.asarray(surrogate.parameters, out.dtype), u.numpy(), th.numpy(), out)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(torch.from_numpy(out), surrogate.gradient(u - th), rtol=10 * tolerance, atol=tolerance)


def test_codes_are_distinct_and_objects_frozen():
    assert len({cls.code for cls in surrogates.SURROGATES.values()}) == len(surrogates.SURROGATES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        surrogates.FastSigmoid().slope = 3.0


def test_known_values():
    x = torch.tensor([0.0, 0.04])
    torch.testing.assert_close(surrogates.FastSigmoid().gradient(x), torch.tensor([1.0, 0.25]))
    torch.testing.assert_close(surrogates.Atan().gradient(x[:1]), torch.tensor([1.0]))
    torch.testing.assert_close(surrogates.Sigmoid(slope=4.0).gradient(x[:1]), torch.tensor([1.0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: surrogates.resolve("fastsigmoid"), "did you mean 'fast_sigmoid'"),
        (lambda: surrogates.resolve("atan", slope=2.0), "alpha"),
        (lambda: surrogates.resolve("atan", alpha=-1.0), r"atan\.alpha must lie in"),
        (lambda: surrogates.resolve(surrogates.Atan(), alpha=1.0), "already built"),
        (lambda: surrogates.resolve(torch.sigmoid), "must be a name or an object"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("surrogate", CASES, ids=repr)
def test_spike_is_a_step_with_the_surrogates_gradient(surrogate):
    x = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    weight = torch.arange(41.0, dtype=torch.float64)
    s = spike(x, surrogate)
    assert torch.equal(s, torch.heaviside(x.detach(), torch.zeros((), dtype=torch.float64)))
    (weight * s).sum().backward()
    torch.testing.assert_close(x.grad, weight * surrogate.gradient(x.detach()))


def test_spike_takes_names_and_the_edge_and_refuses_what_has_no_gradient():
    edge = torch.zeros(1)
    assert (spike(edge, "atan").item(), spike(edge, "atan", inclusive=True).item()) == (0.0, 1.0)
    with pytest.raises(InputError, match="did you mean 'atan'"):
        spike(edge, "attan")
    with pytest.raises(InputError, match="x must be a floating tensor"):
        spike(torch.zeros(1, dtype=torch.int64))
