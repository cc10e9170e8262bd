"""Each surrogate's gradient is the derivative of its primitive, a rising step."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from spikeneuro.errors import InputError
from spikeneuro.ops import spike, surrogates

OPTIONS = {
    "fast_sigmoid": {"slope": 7.0, "height": 0.3},
    "atan": {"alpha": 3.0},
    "sigmoid": {"slope": 6.0, "amplitude": 0.7},
    "triangle": {"height": 0.3, "width": 0.7},
    "rectangle": {"width": 0.6, "height": 1.5},
    "multi_gaussian": {"gamma": 0.7, "h": 0.2, "s": 4.0, "sigma": 0.4},
    "exponential": {"height": 0.7, "slope": 3.0, "center": 0.4},
    "gaussian": {"sigma": 0.8, "amplitude": 2.0},
    "straight_through": {"below": 0.1, "above": 0.9},
}
#: Where the gradients above jump or have a kink.
CORNERS = (0.3, 0.4, 0.5, 0.7, 1.0)
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
        corners = [p for c in CORNERS for p in (-c, c) if c < abs(end)]
        area, _ = integrate.quad(gradient, 0.0, end, points=corners or None, limit=200)
        value = float(surrogate.primitive(torch.tensor(end, dtype=torch.float64)))
        assert value == pytest.approx(0.5 + area, abs=1e-7)


def mass(surrogate):
    """Total of the derivative in closed form."""
    match surrogate:
        case surrogates.FastSigmoid(slope, height) | surrogates.Exponential(height, slope):
            return 2 * height / slope
        case surrogates.Atan():
            return 1.0
        case surrogates.Triangle(height, width) | surrogates.Rectangle(width, height):
            return height * width
        case surrogates.MultiGaussian(gamma, h):
            return gamma * (1 - h)
        case surrogates.Sigmoid(_, amplitude) | surrogates.Gaussian(_, amplitude):
            return amplitude
        case surrogates.StraightThrough():
            return math.inf
    raise AssertionError(surrogate)


@pytest.mark.parametrize("surrogate", CASES, ids=repr)
def test_total_of_the_gradient(surrogate):
    def gradient(x):
        return float(surrogate.gradient(torch.tensor(x, dtype=torch.float64)))

    ends = torch.tensor([-1e12, 1e12], dtype=torch.float64)
    low, high = surrogate.primitive(ends).tolist()
    if mass(surrogate) == math.inf:
        assert high - low > 1e11
        return
    middle, _ = integrate.quad(gradient, -8, 8, points=[p for c in CORNERS for p in (-c, c)] + [0.0], limit=500)
    tails = sum(integrate.quad(gradient, *span)[0] for span in [(-math.inf, -8), (8, math.inf)])
    assert middle + tails == pytest.approx(mass(surrogate), rel=1e-6)
    assert high - low == pytest.approx(mass(surrogate), rel=1e-6)


@st.composite
def any_surrogate(draw):
    cls = surrogates.SURROGATES[draw(st.sampled_from(surrogates.names()))]
    return cls(**{field.name: draw(st.floats(0.05, 40.0)) for field in dataclasses.fields(cls)})


def symmetric(surrogate):
    match surrogate:
        case surrogates.Exponential():
            return surrogate.center == 0
        case surrogates.StraightThrough():
            return surrogate.below == surrogate.above
    return True


def at_kink(surrogate, x):
    """Where the gradient jumps at or near x, so that automatic differentiation may take the other side."""
    places = {"triangle": "width", "rectangle": "width", "exponential": "center"}
    place = getattr(surrogate, places.get(surrogate.name, ""), 0.0) / (2 if surrogate.name == "rectangle" else 1)
    return ((x.abs() - abs(place)).abs() < 1e-6) | (x.abs() < 1e-6)


@settings(max_examples=200, deadline=None)
@given(surrogate=any_surrogate(), points=st.lists(st.floats(-10, 10), min_size=2, max_size=30))
def test_gradient_is_the_derivative_for_any_parameters(surrogate, points):
    x = torch.tensor(sorted(points), dtype=torch.float64)
    x = torch.cat([x[~at_kink(surrogate, x)], x.new_tensor([0.3137])]).requires_grad_()
    (derivative,) = torch.autograd.grad(surrogate.primitive(x).sum(), x)
    peak = float(surrogate.gradient(torch.zeros(1, dtype=torch.float64)).abs()) + max(surrogate.parameters)
    torch.testing.assert_close(surrogate.gradient(x.detach()), derivative, rtol=1e-9, atol=1e-12 * peak)


@settings(max_examples=200, deadline=None)
@given(surrogate=any_surrogate(), points=st.lists(st.floats(-10, 10), min_size=2, max_size=30))
def test_primitive_is_a_step_that_rises_and_is_odd_about_one_half(surrogate, points):
    x = torch.tensor(sorted(points), dtype=torch.float64)
    step, size = surrogate.primitive(x), 1.0 + max(surrogate.parameters) ** 2
    assert surrogate.primitive(torch.zeros((), dtype=torch.float64)) == pytest.approx(0.5, abs=1e-13 * size)
    if not isinstance(surrogate, surrogates.MultiGaussian):  # its flanks are negative
        assert (surrogate.gradient(x) >= 0).all()
        assert (step.diff() >= -1e-14 * size).all()
    if symmetric(surrogate):
        torch.testing.assert_close(surrogate.gradient(-x), surrogate.gradient(x), rtol=0, atol=1e-14 * size)
        torch.testing.assert_close(surrogate.primitive(-x), 1 - step, rtol=1e-12, atol=1e-13 * size)


def test_sigmoid_far_from_the_threshold_neither_overflows_nor_cancels():
    x = torch.tensor([-1e4, -3.0, 3.0, 1e4])
    far = math.exp(-75.0) * 25.0
    found = surrogates.Sigmoid(slope=25.0).gradient(x)
    torch.testing.assert_close(found, torch.tensor([0.0, far, far, 0.0]), rtol=1e-5, atol=0.0)


def test_codes_count_up_and_objects_are_frozen():
    assert [cls.code for cls in surrogates.SURROGATES.values()] == list(range(len(surrogates.SURROGATES)))
    assert all(cls.name == name for name, cls in surrogates.SURROGATES.items())
    assert set(OPTIONS) == set(surrogates.names())
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
        (lambda: surrogates.resolve("triangle", amplitude=0.3), "option of surrogate 'triangle'"),
        (lambda: surrogates.FastSigmoid(height=0.0), r"fast_sigmoid\.height must lie in \(0, inf\)"),
        (lambda: surrogates.Sigmoid(slope=math.nan), r"sigmoid\.slope must lie in"),
        (lambda: surrogates.Gaussian(sigma=math.inf), r"gaussian\.sigma must lie in"),
        (lambda: surrogates.Gaussian(amplitude="1"), r"gaussian\.amplitude must be a number, got '1'"),
        (lambda: surrogates.Exponential(slope=-2.0), r"exponential\.slope must lie in"),
        (lambda: surrogates.Exponential(center=math.nan), r"exponential\.center must lie in"),
        (lambda: surrogates.MultiGaussian(h=-0.1), r"multi_gaussian\.h must lie in \[0, inf\)"),
        (lambda: surrogates.StraightThrough(below=-0.1), r"straight_through\.below must lie in"),
        (lambda: surrogates.StraightThrough(below=0, above=0), "both 0"),
        (lambda: surrogates.StraightThrough(above=True), r"straight_through\.above must be a number, got True"),
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
