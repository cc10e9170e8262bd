"""Adaptive neurons of LSNN and SRNN and delays, against the published recurrences written out in NumPy."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, AdaptiveLIF, Delay, RecurrentLIF, SpikingLayer, presets

F64 = torch.float64


def drive(steps, neurons, scale, seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.rand(steps, batch, neurons, dtype=F64, generator=generator)


def array(tensor):
    return tensor.detach().numpy()


def srnn_by_hand(x, weight, bias, tau_m, tau_adp, b_j0=0.01, beta=1.8):
    """The authors' update of one layer, in units of steps."""
    alpha, ro = np.exp(-1 / tau_m), np.exp(-1 / tau_adp)
    mem, spike, b = np.zeros(x.shape[1:]), np.zeros(x.shape[1:]), np.full(x.shape[1:], b_j0)
    out = []
    for x_t in x:
        current = x_t + spike @ weight.T + bias
        b = ro * b + (1 - ro) * spike
        level = b_j0 + beta * b
        mem = mem * alpha + (1 - alpha) * current - level * spike
        spike = (mem - level > 0).astype(float)
        out.append(spike)
    return np.stack(out)


def lsnn_by_hand(x, weight, *, tau, tau_a, thr0, beta, n_ref, delay, compares_old):
    """The released cell: a buffer of future currents, a buffer of past spikes, no connection to itself."""
    steps, batch, n = x.shape
    decay, decay_b = math.exp(-1 / tau), math.exp(-1 / tau_a)
    weight = weight * (1 - np.eye(n))
    v, z, b = np.zeros((batch, n)), np.zeros((batch, n)), np.zeros((batch, n))
    future, past = np.zeros((steps + delay + 1, batch, n)), []
    out = []
    for t in range(steps):
        future[t] += x[t]
        future[t + delay] += z @ weight.T  # spikes of the step before
        b = decay_b * b + (1 - decay_b) * z
        thr = thr0 + beta * b
        new_v = decay * v + (1 - decay) * future[t] - z * thr
        z = ((v if compares_old else new_v) > thr).astype(float)
        if n_ref:
            z[np.max([np.zeros((batch, n)), *past[-n_ref:]], axis=0) > 0] = 0.0
        v = new_v
        past.append(z)
        out.append(z)
    return np.stack(out)


@pytest.mark.parametrize("seed", range(5))
def test_srnn_is_the_published_recurrence(seed):
    torch.manual_seed(seed)
    layer = presets.srnn(12, dt=0.004, dtype=F64)
    torch.nn.init.normal_(layer.bias, std=0.05)
    x = drive(250, 12, 0.3, seed)
    expected = srnn_by_hand(
        array(x), array(layer.weight), array(layer.bias),
        array(layer.membrane_decay.tau) / 0.004, array(layer.adaptation_decay.tau) / 0.004,
    )  # fmt: skip
    for layer.backend in ("auto", "reference"):
        spikes = layer(x)
        assert np.array_equal(array(spikes), expected)
        assert 0.02 < spikes.mean() < 0.98


@pytest.mark.parametrize("compares_old", [False, True])
@pytest.mark.parametrize(("n_ref", "delay"), [(0, 0), (5, 0), (3, 4)])
def test_lsnn_is_the_published_recurrence(compares_old, n_ref, delay):
    torch.manual_seed(n_ref)
    layer = presets.lsnn(
        15, n_adaptive=6, dt=0.001, tau_adapt=0.7, kappa=1.8, refractory=n_ref, delay=delay, dtype=F64,
        spike_timing="next_step" if compares_old else "same_step",
    )  # fmt: skip
    with torch.no_grad():
        layer.weight.mul_(0.05)
    x = drive(300, 15, 0.15, seed=n_ref)
    kappa = np.where(np.arange(15) < 9, 0.0, 1.8)
    expected = lsnn_by_hand(
        array(x), array(layer.weight), tau=20, tau_a=700, thr0=0.01, beta=kappa, n_ref=n_ref, delay=delay,
        compares_old=compares_old,
    )  # fmt: skip
    spikes = layer(x)
    assert np.array_equal(array(spikes), expected)
    assert 0.01 < spikes.mean() < 0.9


def test_surrogate_of_lsnn_is_scaled_by_the_threshold_in_effect():
    """For one step: dz/dx = (1 - alpha) 0.3 max(0, 1 - |v_s|) / thr with v_s = (v - thr) / thr."""
    layer = presets.lsnn(1, dt=0.001, recurrent=False, self_connections=True, dtype=F64)
    x = torch.tensor([[[0.12]]], dtype=F64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    alpha, thr = math.exp(-0.001 / 0.02), 0.01
    v = (1 - alpha) * 0.12
    assert gradient.item() == pytest.approx((1 - alpha) * 0.3 * (1 - abs(v - thr) / thr) / thr)


OPTIONS = {
    "tau_mem": torch.linspace(0.005, 0.05, 9), "tau_adapt": torch.linspace(0.05, 0.4, 9), "kappa": 1.8, "dt": 0.001,
    "surrogate": "multi_gaussian", "dtype": F64, "learn": ("tau_mem", "tau_adapt"),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize(("recurrent", "delay"), [(False, 0), (True, 0), (True, 4)])
@pytest.mark.parametrize("refractory", [0, 3])
@pytest.mark.parametrize("start", [0.0, 0.01])
def test_it_is_lif_with_a_reset_in_the_next_step(backend, recurrent, delay, refractory, start):
    """Two implementations of one neuron: spikes, traces, gradients of input, weights and time constants."""
    torch.manual_seed(delay)
    x = drive(200, 9, 0.6).requires_grad_()
    options = OPTIONS | {"threshold": 0.01, "refractory": refractory, "adaptation_start": start}
    family_options = options | {"gain": "1-beta", "reset_timing": "next_step", "backend": backend}
    if recurrent:
        step = AdaptiveLIF(9, recurrent=True, bias=True, delay=delay, **options)
        family = RecurrentLIF(9, delay=delay, **family_options)
    else:
        step, family = AdaptiveLIF(9, **options), LIF(9, **family_options)
    family.load_state_dict(step.state_dict(), strict=False)
    ours, theirs = (layer.run(x, record=("membrane", "threshold")) for layer in (step, family))
    assert torch.equal(ours.spikes, theirs.spikes)
    assert 0.05 < ours.spikes.mean() < 0.95
    for name in ("membrane", "threshold"):
        torch.testing.assert_close(ours.traces[name], theirs.traces[name])
    weights = torch.linspace(-1, 1, x.numel(), dtype=F64).reshape(x.shape)
    names, gradients = dict(step.named_parameters()), []
    assert set(names) == set(dict(family.named_parameters()))
    for layer, run in ((step, ours), (family, theirs)):
        loss = (run.spikes * weights).sum() + run.traces["membrane"].sum()
        wanted = [x, *(layer.get_parameter(name) for name in names)]
        gradients.append(torch.autograd.grad(loss, wanted))
    for name, *both in zip(("x", *names), *gradients, strict=True):
        assert both[0].abs().sum() > 0, name
        torch.testing.assert_close(*both)


def test_the_reset_takes_the_adapted_threshold():
    """What the documentation says: theta of the spike's step, decayed, or in the next step that of the next, whole."""
    beta, rho, theta, kappa = math.exp(-1 / 20), math.exp(-1 / 200), 0.1, 1.8
    options = {"threshold": theta, "kappa": kappa, "tau_adapt": 0.2, "dt": 0.001, "tau_mem": 0.02, "dtype": F64}
    x = torch.full((40, 1, 1), 1.0, dtype=F64)
    late, at_once = (
        LIF(1, gain="1-beta", reset_timing=timing, **options).run(x, record="potential")
        for timing in ("next_step", "same_step")
    )
    first = int(late.spikes.flatten().nonzero()[0])
    assert int(at_once.spikes.flatten().nonzero()[0]) == first
    u = (1 - beta ** (first + 1)) * 1.0
    after = beta * u + (1 - beta)
    assert late.traces["potential"][first + 1].item() == pytest.approx(after - (theta + kappa * (1 - rho)))
    assert at_once.traces["potential"][first + 1].item() == pytest.approx(after - beta * theta)


def test_adaptation_starts_where_it_is_told_to():
    layer = LIF(3, kappa=0.5, rho=0.9, adaptation_start=0.4)
    x = torch.zeros(6, 2, 3)
    result = layer.run(x, record="adaptation")
    expected = 0.4 * 0.9 ** torch.arange(1, 7)
    torch.testing.assert_close(result.traces["adaptation"], expected.reshape(6, 1, 1).expand(6, 2, 3))
    more = layer.run(x, result.state, record="adaptation").traces["adaptation"]
    torch.testing.assert_close(more, 0.9**6 * result.traces["adaptation"])


def test_adaptation_of_constant_firing_settles_at_the_rate():
    """Averaged over a period, a = rate: the mean of a_t is that of s_{t-1}."""
    layer = AdaptiveLIF(1, threshold=0.05, kappa=0.5, tau_adapt=0.1, dtype=F64)
    result = layer.run(torch.full((4000, 1, 1), 0.6, dtype=F64), record=("adaptation", "threshold"))
    late = slice(2000, 4000)
    rate = result.spikes[late].mean().item()
    assert result.traces["adaptation"][late].mean().item() == pytest.approx(rate, abs=1e-3)
    torch.testing.assert_close(result.traces["threshold"], 0.05 + 0.5 * result.traces["adaptation"])
    gaps = result.spikes.flatten().nonzero().flatten().diff()
    assert gaps[0] < gaps[-1]


@pytest.mark.parametrize("recurrent", [False, True])
def test_two_pieces_equal_the_whole(recurrent):
    torch.manual_seed(2)
    layer = AdaptiveLIF(7, refractory=2, dtype=F64, recurrent=recurrent, **({"delay": 3} if recurrent else {}))
    x, record = drive(90, 7, 0.4), ("membrane", "adaptation", "threshold", "spikes")
    whole, first = layer.run(x, record=record), layer.run(x[:37], record=record)
    second = layer.run(x[37:], first.state, record=record)
    for name in record:
        torch.testing.assert_close(torch.cat([first.traces[name], second.traces[name]]), whole.traces[name])
    for a, b in zip(second.state, whole.state, strict=True):
        torch.testing.assert_close(a, b)
    assert isinstance(layer, SpikingLayer)


def test_srnn_learns_its_time_constants():
    torch.manual_seed(3)
    layer = presets.srnn(20, dt=0.004)
    x = drive(60, 20, 0.3).float()
    layer(x).mean(0).square().sum().backward()
    learned = dict(layer.named_parameters())
    assert set(learned) == {"weight", "bias", "membrane_decay.log_tau", "adaptation_decay.log_tau"}
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in learned.values())
    tau = layer.membrane_decay.tau / 0.004
    assert 10 < tau.mean() < 30
    assert tau.unique().numel() == 20


def test_srnn_draws_from_the_generator_it_is_given():
    taus = [presets.srnn(5, generator=torch.Generator().manual_seed(1)).membrane_decay.tau for _ in range(2)]
    assert torch.equal(*taus)


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_recurrent_delay_of_lif(delay):
    torch.manual_seed(delay)
    layer = RecurrentLIF(6, beta=0.9, delay=delay, recurrent_scale=2.0, dtype=F64)
    x = drive(80, 6, 0.5)
    weight, bias, spikes = array(layer.weight), array(layer.bias), []
    v = np.zeros((2, 6))
    for t, x_t in enumerate(array(x)):
        arriving = spikes[t - 1 - delay] if t - 1 - delay >= 0 else np.zeros((2, 6))
        u = 0.9 * v + x_t + arriving @ weight.T + bias
        spikes.append((u > 1).astype(float))
        v = u - spikes[-1]
    assert np.array_equal(array(layer(x)), np.stack(spikes))
    assert np.stack(spikes).sum() > 50


def test_delay_shifts_every_feature_by_its_own_steps():
    steps = torch.tensor([[0, 3], [1, 7]])
    x = torch.rand(12, 3, 2, 2, requires_grad=True)
    delayed = Delay(steps)(x)
    for i in range(2):
        for j in range(2):
            d = int(steps[i, j])
            expected = functional.pad(x[:, :, i, j], (0, 0, d, 0))[:12]
            assert torch.equal(delayed[:, :, i, j], expected)
    (gradient,) = torch.autograd.grad(delayed.sum(), x)
    assert torch.equal(gradient.sum((0, 1)), 3.0 * (12 - steps))
    assert torch.equal(Delay(4)(x), Delay(torch.tensor([4, 4]))(x))
    assert torch.equal(Delay(0)(x), x)
    assert torch.equal(Delay(20)(x), torch.zeros_like(x))


@pytest.mark.parametrize("steps", [0, 3, torch.tensor([0, 2, 9])])
@pytest.mark.parametrize("cut", [1, 5, 11])
def test_delay_in_pieces(steps, cut):
    x = torch.rand(12, 2, 3)
    layer = Delay(steps)
    first, state = layer.run(x[:cut])
    second, _ = layer.run(x[cut:], state)
    assert torch.equal(torch.cat([first, second]), layer(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AdaptiveLIF(3, tau_mem=0.0), "tau_mem is a time constant and must be above 0"),
        (lambda: AdaptiveLIF(3, learn="kappa"), "learn='kappa' is unknown"),
        (lambda: AdaptiveLIF(3, delay=2), "belong to recurrent=True"),
        (lambda: AdaptiveLIF(3, self_connections=False), "belong to recurrent=True"),
        (lambda: AdaptiveLIF((3, 3), recurrent=True), "takes the number of neurons as shape"),
        (lambda: LIF(3, adaptation_start=0.1), "adaptation_start belongs to adaptation"),
        (lambda: AdaptiveLIF(3, spike_timing="late"), "spike_timing='late' is unknown"),
        (lambda: AdaptiveLIF(3, threshold=0.0, relative_surrogate=True), "needs threshold above 0"),
        (lambda: AdaptiveLIF(3)(torch.zeros(4, 1, 3, dtype=F64)), "of AdaptiveLIF is torch.float32"),
        (lambda: AdaptiveLIF(3).run(torch.zeros(4, 1, 3), record="history"), "record='history' is unknown"),
        (lambda: presets.lsnn(5, n_adaptive=6), "n_adaptive must lie in"),
        (lambda: presets.lsnn(0), "n_neurons must lie in"),
        (lambda: Delay(-1), "steps must lie in"),
        (lambda: Delay(torch.tensor([0.5])), "steps must hold integers"),
        (lambda: Delay(torch.tensor([1, -2])), "steps must be at least 0"),
        (lambda: Delay(torch.tensor([1, 2]))(torch.zeros(4, 1, 3)), "do not broadcast to the features"),
        (lambda: Delay(2).run(torch.zeros(4, 1, 3), torch.zeros(1, 1, 3)), "the state must be"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
