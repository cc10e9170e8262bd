"""Hodgkin-Huxley neurons against published behaviour, a scipy integration and finite differences."""

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from spikeneuro.errors import InputError
from spikeneuro.nn import AdaptiveLIF, HodgkinHuxley, HodgkinHuxleyState, Izhikevich, Recompute, SpikingLayer
from spikeneuro.ops import surrogates

F64 = torch.float64


def course(t, y, current):
    """The four equations once more, for scipy: written from the article, nothing shared with the layer."""
    v, m, h, n = y
    am = 0.1 * (v + 40) / (1 - math.exp(-(v + 40) / 10))
    bm = 4 * math.exp(-(v + 65) / 18)
    ah = 0.07 * math.exp(-(v + 65) / 20)
    bh = 1 / (1 + math.exp(-(v + 35) / 10))
    an = 0.01 * (v + 55) / (1 - math.exp(-(v + 55) / 10))
    bn = 0.125 * math.exp(-(v + 65) / 80)
    ionic = 120 * m**3 * h * (v - 50) + 36 * n**4 * (v + 77) + 0.3 * (v + 54.387)
    return [current(t) - ionic, am * (1 - m) - bm * m, ah * (1 - h) - bh * h, an * (1 - n) - bn * n]


def at_rest(layer):
    return layer.resting_state(torch.zeros(1, 1, dtype=F64))


def steps_of(currents, dt_ms, duration_ms):
    currents = torch.tensor(currents, dtype=F64).reshape(1, -1, 1)
    return currents.expand(round(duration_ms / dt_ms), -1, -1)


def rate(spikes, dt_ms):
    """Spikes per second of the last ten intervals, when the firing has settled."""
    times = spikes.flatten().nonzero().flatten().double() * dt_ms
    return 1000 / float(times.diff()[-10:].mean())


def test_rest():
    m, h, n = (float(part) for part in at_rest(HodgkinHuxley(1, dtype=F64))[1:])
    assert (n, m, h) == pytest.approx((0.317677, 0.052932, 0.596121), abs=5e-7)
    layer = HodgkinHuxley(1, dtype=F64)
    assert float(layer.currents(at_rest(layer))) == pytest.approx(-0.0042, abs=5e-5)


@pytest.mark.timeout(120)
def test_published_firing_of_runge_kutta():
    layer = HodgkinHuxley(1, dt=2e-5, method="rk4", dtype=F64)
    with torch.inference_mode():
        spikes = layer(steps_of([2, 3, 6, 6.2, 6.3, 7, 10, 20], 0.02, 500))
    assert spikes.sum(0).flatten().tolist() == [0, 1, 2, 3, 27, 30, 35, 44]
    first = int(spikes[:, 6].flatten().nonzero()[0])
    assert (first + 1) * 0.02 == pytest.approx(1.92)
    assert [rate(spikes[:, i], 0.02) for i in (5, 6, 7)] == pytest.approx([58.3, 68.3, 86.5], abs=0.1)


@pytest.mark.parametrize(
    ("dt_ms", "count", "hertz"),
    [pytest.param(0.01, 35, 68.3, marks=pytest.mark.slow), (0.05, 34, 68.0)],
)
def test_published_firing_of_exponential_euler(dt_ms, count, hertz):
    layer = HodgkinHuxley(1, dt=dt_ms * 1e-3, dtype=F64)
    with torch.inference_mode():
        spikes = layer(steps_of([10], dt_ms, 500))
    assert spikes.sum() == count
    assert rate(spikes, dt_ms) == pytest.approx(hertz, abs=0.25)


def test_float32_fires_as_often():
    with torch.inference_mode():
        spikes = HodgkinHuxley(1, dt=5e-5)(steps_of([2, 10, 20], 0.05, 200).float())
    reference = HodgkinHuxley(1, dt=5e-5, dtype=F64)(steps_of([2, 10, 20], 0.05, 200))
    assert torch.equal(spikes.sum(0).double(), reference.sum(0))


@pytest.mark.parametrize(("method", "order", "bound"), [("exponential_euler", 2, 0.05), ("rk4", 4, 1e-3)])
def test_membrane_converges_to_scipy_with_the_order_of_the_method(method, order, bound):
    duration = 2.4  # ms; in the middle of a spike at 12 µA/cm²
    exact = solve_ivp(
        course, (0, duration), [float(part) for part in at_rest(HodgkinHuxley(1, dtype=F64))],
        args=(lambda _: 12.0,), method="DOP853", rtol=1e-12, atol=1e-12,
    ).y[0, -1]  # fmt: skip
    errors = []
    for dt_ms in (0.02, 0.01, 0.005):
        layer = HodgkinHuxley(1, dt=dt_ms * 1e-3, method=method, dtype=F64)
        with torch.inference_mode():
            errors.append(abs(float(layer.run(steps_of([12.0], dt_ms, duration)).state.membrane) - exact))
    assert errors[1] < bound
    assert [math.log2(errors[i] / errors[i + 1]) for i in (0, 1)] == pytest.approx([order, order], abs=0.3)


@pytest.mark.parametrize("v", [-55.0, -40.0, -55.0 + 1e-9, -40.0 - 1e-7, -55.0 + 2e-3])
def test_rates_have_their_limits_where_they_are_0_over_0(v):
    """By the series, alpha = k (1 + z / 2 + z**2 / 12), and its derivative k (1 / 2 + z / 6) / 10."""
    layer = HodgkinHuxley(1, v_start=v, dtype=F64)
    _, m, _, n = (float(part) for part in at_rest(layer))
    beta_m, beta_n = 4 * math.exp(-(v + 65) / 18), 0.125 * math.exp(-(v + 65) / 80)
    if abs(v + 40) < 1:
        gate, beta, scale, z = m, beta_m, 1.0, (v + 40) / 10
    else:
        gate, beta, scale, z = n, beta_n, 0.1, (v + 55) / 10
    alpha = scale * (1 + z / 2 + z * z / 12)
    assert gate == pytest.approx(alpha / (alpha + beta), rel=1e-12)
    x = torch.zeros(2, 1, 1, dtype=F64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer.run(x, record="membrane").traces["membrane"][-1].sum(), x)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("method", ["exponential_euler", "rk4"])
def test_membrane_is_differentiated_exactly(method):
    layer = HodgkinHuxley(2, dt=1e-4, method=method, dtype=F64)
    x = (10 * torch.rand(6, 1, 2, dtype=F64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: layer.run(x, record=("membrane", "m", "h", "n")).traces["membrane"], x, rtol=1e-6
    )


def test_gradient_of_the_spikes_is_the_surrogate_along_the_membrane():
    layer = HodgkinHuxley(1, dt=1e-4, dtype=F64, surrogate="triangle", surrogate_scale=40.0)
    x = torch.full((40, 1, 1), 15.0, dtype=F64, requires_grad=True)
    result = layer.run(x, record="membrane")
    assert result.spikes.sum() == 1
    (given,) = torch.autograd.grad(result.spikes.sum(), x, retain_graph=True)
    v = result.traces["membrane"]
    before = torch.cat([torch.full((1, 1, 1), -65.0, dtype=F64), v[:-1]])
    slope = surrogates.resolve("triangle").gradient(v / 40.0) / 40.0 * (before <= 0)
    (expected,) = torch.autograd.grad(v, x, slope.detach())
    torch.testing.assert_close(given, expected)
    assert given.abs().sum() > 0


def test_two_pieces_equal_the_whole_also_inside_recompute():
    layer = HodgkinHuxley((2, 3), dt=5e-5, substeps=2, dtype=F64)
    x = (20 * torch.rand(60, 2, 2, 3, dtype=F64, generator=torch.Generator().manual_seed(1))).requires_grad_()
    record = ("membrane", "m", "h", "n", "spikes")
    whole = layer.run(x, record=record)
    first = layer.run(x[:23], record=record)
    second = layer.run(x[23:], first.state, record=record)
    for name in record:
        assert torch.equal(torch.cat([first.traces[name], second.traces[name]]), whole.traces[name])
    assert all(torch.equal(a, b) for a, b in zip(second.state, whole.state, strict=True))
    plain = torch.autograd.grad(layer(x).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad(Recompute(layer, 5)(x).sum(), x)[0], plain)


def test_substeps_are_steps_with_the_input_held():
    x = 30 * torch.rand(40, 1, 1, dtype=F64, generator=torch.Generator().manual_seed(2))
    coarse = HodgkinHuxley(1, dt=5e-4, substeps=10, dtype=F64).run(x, record=("membrane", "spikes"))
    fine = HodgkinHuxley(1, dt=5e-5, dtype=F64).run(x.repeat_interleave(10, 0), record=("membrane", "spikes"))
    torch.testing.assert_close(coarse.traces["membrane"], fine.traces["membrane"][9::10])
    assert torch.equal(coarse.spikes, fine.spikes.reshape(40, 10, 1, 1).amax(1))
    assert coarse.spikes.sum() >= 2


def test_numbers_per_neuron_and_any_shape():
    layer = HodgkinHuxley(2, dt=5e-5, g_na=torch.tensor([120.0, 0.0]))
    spikes = layer(torch.full((400, 1, 2), 20.0))
    assert spikes[..., 0].sum() >= 1
    assert spikes[..., 1].sum() == 0
    assert isinstance(layer, SpikingLayer)
    assert "g_na" in layer.state_dict()
    assert HodgkinHuxley(())(torch.zeros(2, 3, 4, 5)).shape == (2, 3, 4, 5)


def test_state_is_a_named_tuple_of_the_users():
    layer = HodgkinHuxley(1, dt=5e-5, dtype=F64)
    rest = at_rest(layer)
    raised = HodgkinHuxleyState(rest.membrane + 15.0, rest.m, rest.h, rest.n)  # a short shock is enough for a spike
    assert layer.run(torch.zeros(200, 1, 1, dtype=F64), raised).spikes.sum() == 1


@pytest.mark.parametrize(
    "layer", [HodgkinHuxley(3), Izhikevich(3), AdaptiveLIF(3)], ids=lambda layer: type(layer).__name__
)
def test_no_step_one_step_and_an_empty_batch(layer):
    start = layer.run(torch.full((4, 2, 3), 20.0)).state
    nothing = layer.run(torch.zeros(0, 2, 3), start, record=("membrane", "spikes"))
    assert nothing.spikes.shape == nothing.traces["membrane"].shape == (0, 2, 3)
    assert all(torch.equal(a, b) for a, b in zip(nothing.state, start, strict=True))
    assert layer(torch.zeros(1, 2, 3)).shape == (1, 2, 3)
    assert layer(torch.zeros(5, 0, 3)).shape == (5, 0, 3)
    x = 20 * torch.rand(3, 2, 6).transpose(0, 2)
    assert torch.equal(layer(x), layer(x.contiguous()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HodgkinHuxley(1, dt=0.0), "dt must lie in"),
        (lambda: HodgkinHuxley(1, substeps=0), "substeps must lie in"),
        (lambda: HodgkinHuxley(1, method="euler"), "method='euler' is unknown"),
        (lambda: HodgkinHuxley(1, capacitance=0.0), "capacitance must be above 0"),
        (lambda: HodgkinHuxley(1, g_k=-1.0), "g_k must be at least 0, got -1.0"),
        (lambda: HodgkinHuxley(1, g_leak=0.0), "g_leak must be above 0"),
        (lambda: HodgkinHuxley(3, e_na=torch.zeros(2)), "does not broadcast to the layer's shape"),
        (lambda: HodgkinHuxley(1, surrogate="atanh"), "is unknown"),
        (lambda: HodgkinHuxley(1, surrogate_scale=0), "surrogate_scale must lie in"),
        (lambda: HodgkinHuxley(2)(torch.zeros(4, 2)), "signals go through an encoder first"),
        (lambda: HodgkinHuxley(2)(torch.zeros(4, 1, 2, dtype=F64)), "capacitance of HodgkinHuxley is torch.float32"),
        (lambda: HodgkinHuxley(2)(torch.zeros(4, 1, 2, dtype=torch.int64)), "use x.float()"),
        (lambda: HodgkinHuxley(2).run(torch.zeros(4, 1, 2), record="voltage"), "record='voltage' is unknown"),
        (
            lambda: HodgkinHuxley(2).run(torch.zeros(4, 1, 2), HodgkinHuxley(2).run(torch.zeros(4, 3, 2)).state),
            "the state's membrane must be torch.float32 of shape",
        ),
        (lambda: HodgkinHuxley(2).run(torch.zeros(4, 1, 2), torch.zeros(2)), "has the parts membrane, m, h, n"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
