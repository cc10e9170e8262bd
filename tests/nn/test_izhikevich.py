"""Izhikevich neurons against published spike times, plain Python, Norse and scipy."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from spikeneuro import energy
from spikeneuro.errors import InputError
from spikeneuro.nn import Izhikevich, IzhikevichState
from spikeneuro.nn.izhikevich import PRESETS
from spikeneuro.ops import surrogates

F64 = torch.float64
#: Number of spikes in 1000 ms at I = 10, and the times of the first ones in ms.
PUBLISHED = {
    "RS": (20, [4, 31, 79, 141, 195, 243]),
    "IB": (27, [4, 8, 46, 85]),
    "CH": (43, [4, 7, 10, 14, 62, 66]),
    "FS": (63, [4, 11, 22, 34]),
    "LTS": (44, [4, 10, 21, 49]),
}


def times(spikes):
    return spikes.flatten().nonzero().flatten().tolist()


def by_hand(preset, currents):
    """The paper's program for one neuron, in Python's numbers: spike times in ms."""
    a, b, c, d = PRESETS[preset]
    v, fired = -65.0, []
    u = b * v
    for ms, current in enumerate(currents):
        if v >= 30:
            fired.append(ms)
            v, u = c, u + d
        for _ in range(2):
            v += 0.5 * (0.04 * v * v + 5 * v + 140 - u + current)
        u += a * (b * v - u)
    return fired


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_spike_times(preset):
    count, first = PUBLISHED[preset]
    spikes = Izhikevich(1, preset=preset, dtype=F64)(torch.full((1000, 1, 1), 10.0, dtype=F64))
    assert spikes.sum() == count
    assert times(spikes)[: len(first)] == first


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_program_written_by_hand(preset, seed):
    """The map is chaotic in places, so that only 200 ms can be expected to agree to the spike."""
    currents = 20 * torch.rand(200, dtype=F64, generator=torch.Generator().manual_seed(seed))
    spikes = Izhikevich(1, preset=preset, dtype=F64)(currents.reshape(-1, 1, 1))
    assert times(spikes) == by_hand(preset, currents.tolist())
    assert spikes.sum() > 0


def test_euler_equals_norse():
    norse = pytest.importorskip("norse.torch.functional.izhikevich")
    layer = Izhikevich(3, preset="CH", dt=2.5e-4, scheme="euler", dtype=F64)
    x = 20 * torch.rand(1500, 2, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    result = layer.run(x, record=("membrane", "recovery"))
    parameters = norse.IzhikevichParameters(*PRESETS["CH"])  # its time factor is 250 * dt, in all 0.25 ms
    state = norse.IzhikevichState(torch.full((2, 3), -65.0, dtype=F64), torch.full((2, 3), 0.2 * -65.0, dtype=F64))
    for t, x_t in enumerate(x):
        spikes, state = norse.izhikevich_feed_forward_step(x_t, state, parameters)
        assert torch.equal(spikes, result.spikes[t])
        torch.testing.assert_close(state.v, result.traces["membrane"][t])
        torch.testing.assert_close(state.u, result.traces["recovery"][t])
    assert result.spikes.sum() > 20


def test_fine_euler_steps_approach_scipy():
    a, b, c, d = PRESETS["RS"]

    def slope(_, y):
        return [0.04 * y[0] ** 2 + 5 * y[0] + 140 - y[1] + 10.0, a * (b * y[0] - y[1])]

    def peak(_, y):
        return y[0] - 30.0

    peak.terminal, peak.direction = True, 1
    state, now, exact = [-65.0, b * -65.0], 0.0, []
    while len(exact) < 4:
        piece = solve_ivp(slope, (now, 400.0), state, events=peak, rtol=1e-10, atol=1e-10)
        now, state = piece.t[-1], [c, piece.y[1, -1] + d]
        exact.append(now)
    with torch.inference_mode():
        x = torch.full((round(exact[-1] / 0.02) + 200, 1, 1), 10.0, dtype=F64)
        spikes = Izhikevich(1, dt=2e-5, scheme="euler", dtype=F64)(x)
    assert np.array(times(spikes)) * 0.02 == pytest.approx(exact, abs=0.3)  # of 116 ms


@pytest.mark.parametrize("scheme", ["half_steps", "euler"])
def test_two_pieces_equal_the_whole(scheme):
    layer = Izhikevich((2, 3), preset="FS", scheme=scheme, dt=5e-4)
    x = 25 * torch.rand(80, 2, 2, 3, generator=torch.Generator().manual_seed(1))
    whole, first = layer.run(x, record=("membrane", "recovery")), layer.run(x[:31])
    second = layer.run(x[31:], first.state, record=("membrane", "recovery"))
    assert torch.equal(torch.cat([first.spikes, second.spikes]), whole.spikes)
    assert torch.equal(whole.traces["membrane"][31:], second.traces["membrane"])
    assert all(torch.equal(a, b) for a, b in zip(second.state, whole.state, strict=True))
    assert whole.spikes.sum() > 10


@pytest.mark.parametrize("scheme", ["half_steps", "euler"])
def test_membrane_is_differentiated_exactly_below_the_peak(scheme):
    """With a surrogate that is 0 there: the reset carries no gradient."""
    layer = Izhikevich(2, scheme=scheme, dt=2.5e-4, dtype=F64, surrogate="rectangle")
    x = (10 * torch.rand(8, 1, 2, dtype=F64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer.run(x, record="membrane").traces["membrane"], x)


@pytest.mark.parametrize("detach", [False, True])
def test_gradient_of_the_spike_is_the_surrogate(detach):
    """One step of Euler from a chosen state: ds/dx = g dt / scale, and dv/dx through the reset."""
    layer = Izhikevich(
        1, scheme="euler", surrogate=surrogates.Sigmoid(2.0), surrogate_scale=10.0, detach_reset=detach, dtype=F64
    )
    state = IzhikevichState(*(torch.full((1, 1), value, dtype=F64) for value in (20.0, 0.0)))
    x = torch.full((1, 1, 1), -230.0, dtype=F64, requires_grad=True)
    u = 20.0 + 0.04 * 400 + 100 + 140 - 230
    g = surrogates.Sigmoid(2.0).gradient(torch.tensor((u - 30) / 10.0, dtype=F64)).item() / 10.0
    result = layer.run(x, state)
    (spike,) = torch.autograd.grad(result.spikes.sum(), x, retain_graph=True)
    (membrane,) = torch.autograd.grad(result.state.membrane.sum(), x)
    s = float(u >= 30)
    assert spike.item() == pytest.approx(g)
    assert membrane.item() == pytest.approx((1 - s) + (0 if detach else g * (-65 - u)))


def test_numbers_in_place_of_the_presets_and_per_neuron():
    d = torch.tensor([8.0, 2.0])
    layer = Izhikevich(2, d=d, dtype=F64)
    spikes = layer(torch.full((500, 1, 2), 10.0, dtype=F64))
    alone = Izhikevich(1, d=2.0, dtype=F64)(torch.full((500, 1, 1), 10.0, dtype=F64))
    assert torch.equal(spikes[..., 1:], alone)
    assert spikes[..., 0].sum() < spikes[..., 1].sum()
    assert set(layer.state_dict()) == {"a", "b", "c", "d", "v_start"}


def test_energy_is_that_of_the_operations_of_the_step():
    """By hand, a step of Euler: 7 products (4 for v, 2 for u, 1 for the scale of the comparison) and 11 sums besides
    those that only a spike makes, one comparison."""
    layer, steps = Izhikevich(4, scheme="euler"), 30
    ledger = energy.count(layer, torch.full((steps, 2, 4), 10.0), batch_axis=1)
    neurons = 4 * steps
    spikes = layer(torch.full((steps, 1, 4), 10.0)).sum().item()
    assert spikes > 0
    assert ledger.effective.multiplications == 7 * neurons
    assert ledger.effective.comparisons == neurons
    assert 11 * neurons <= ledger.effective.additions <= 11 * neurons + 2 * spikes
    with_weights = torch.nn.Sequential(layer, torch.nn.Linear(4, 3))
    counted = energy.count(with_weights, torch.full((steps, 2, 4), 10.0), batch_axis=1)
    assert counted.macs == 0
    assert counted.acs == 3 * spikes  # products behind the layer are accumulates


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Izhikevich(1, preset="rs"), "preset='rs' is unknown"),
        (lambda: Izhikevich(1, scheme="rk4"), "scheme='rk4' is unknown"),
        (lambda: Izhikevich(1, dt=-1.0), "dt must lie in"),
        (lambda: Izhikevich(1, a=float("inf")), "a holds values that are NaN or infinite"),
        (lambda: Izhikevich(2)(torch.zeros(5, 2)), "signals go through an encoder first"),
        (lambda: Izhikevich(2)(torch.zeros(5, 1, 2, dtype=F64)), "a of Izhikevich is torch.float32"),
        (lambda: Izhikevich(2).run(torch.zeros(5, 1, 2), record="u"), "record='u' is unknown"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
