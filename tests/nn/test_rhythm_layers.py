"""Layers with a rhythm: what OFF does to membrane, spikes, adaptation and gradient, in pieces, on every backend."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.nn import (
    LIF,
    AdaptiveLIF,
    HodgkinHuxley,
    MixRhythm,
    OverTime,
    RateReadout,
    Recompute,
    RecurrentLIF,
    Rhythm,
    RhythmState,
    SteppedLayer,
    ThresholdOscillation,
)

pytestmark = pytest.mark.filterwarnings("ignore::spikeneuro.nn.RhythmWarning")
F64 = torch.float64
NEURONS = {
    "plain": {},
    "late": {"reset_timing": "next_step"},
    "late zero": {"reset_timing": "next_step", "reset": "zero", "preserve_reset": True},
    "synapse": {"tau_syn": 0.01},
    "adaptive": {"tau_adapt": 0.1, "kappa": 0.6, "adaptation_start": 0.2},
    "refractory": {"refractory": 3},
    "everything": {"tau_syn": 0.01, "tau_adapt": 0.1, "kappa": 0.6, "refractory": 2, "reset_timing": "next_step",
                   "preserve_reset": True},
}  # fmt: skip
RHYTHM = Rhythm((2, 9), (0.2, 0.8), 0.5, rounding="ceil")
EVERYWHERE = ("reference", "numba")


def build(name, kind, rhythm=RHYTHM, seed=0, **options):
    options = NEURONS[name] | {"dtype": F64, "tau_mem": 0.03, "rhythm": rhythm} | options
    torch.manual_seed(seed)
    return LIF(7, **options) if kind == "LIF" else RecurrentLIF(7, **options)


def adaptive(**options):
    torch.manual_seed(0)
    return AdaptiveLIF(7, dtype=F64, threshold=0.1, kappa=1.0, recurrent=True, **options)


def drive(steps=60, batch=3, neurons=7, seed=0, scale=1.0):
    return scale * torch.rand(steps, batch, neurons, generator=torch.Generator().manual_seed(seed), dtype=F64)


def same_state(a, b):
    return all(x is y is None or torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", ["LIF", "RecurrentLIF"])
@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("backend", EVERYWHERE)
def test_all_ones_is_the_unmodulated_neuron_bit_for_bit(name, kind, backend):
    plain = build(name, kind, None, backend=backend, learn="threshold")
    ones = build(name, kind, Rhythm((10, 50), (0.95, 1.0), rounding="ceil"), backend=backend, learn="threshold")
    gradients = []
    for layer in (plain, ones):
        x = drive().requires_grad_()
        result = layer.run(x, record=("membrane", "threshold"))
        (result.spikes.sum() + result.traces["membrane"].square().sum()).backward()
        gradients.append([x.grad, *(parameter.grad for parameter in layer.parameters())])
        layer.outcome = (result.spikes, *result.traces.values())
    assert all(torch.equal(a, b) for a, b in zip(plain.outcome, ones.outcome, strict=True))
    for a, b in zip(*gradients, strict=True):  # autograd adds up the reference's in another order
        torch.testing.assert_close(a, b, rtol=1e-12 if backend == "reference" else 0, atol=0)
    assert plain.outcome[0].sum() > 10


def test_all_ones_is_the_unmodulated_adaptive_neuron_bit_for_bit():
    for options in ({}, {"preserve_reset": True}, {"refractory": 2}):
        plain, ones = adaptive(**options), adaptive(rhythm=Rhythm(10, 1.0), **options)
        assert torch.equal(plain(drive()), ones(drive()))
        assert plain(drive()).sum() > 10


@pytest.mark.parametrize("kind", ["LIF", "RecurrentLIF"])
@pytest.mark.parametrize("name", NEURONS)
def test_backends_agree(name, kind):
    results = []
    for backend in EVERYWHERE:
        layer = build(name, kind, backend=backend, learn=("tau_mem", "threshold"))
        x = drive().requires_grad_()
        result = layer.run(x, record=("membrane", "current"))
        (result.spikes.mean(0).square().sum() + result.traces["membrane"].square().mean()).backward()
        gradients = [x.grad, *(parameter.grad for parameter in layer.parameters())]
        results.append((result.spikes, *result.traces.values(), *gradients))
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["LIF", "RecurrentLIF"])
@pytest.mark.parametrize("name", NEURONS)
def test_the_layers_rhythm_is_the_mask(name, kind):
    layer, x = build(name, kind), drive()
    mask = layer.rhythm.mask(60)
    assert torch.equal(layer(x), build(name, kind, None).run(x, mask=mask).spikes)
    assert not layer(x)[~mask.expand(x.shape)].any()
    assert layer(x).any()


@pytest.mark.parametrize("kind", ["LIF", "RecurrentLIF", "AdaptiveLIF"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(cut=st.integers(1, 39), seed=st.integers(0, 99), name=st.sampled_from(sorted(NEURONS)))
def test_two_pieces_equal_the_whole(kind, cut, seed, name):
    layer = adaptive(rhythm=RHYTHM, preserve_reset=True) if kind == "AdaptiveLIF" else build(name, kind)
    x = drive(40, seed=seed)
    whole = layer.run(x, record="membrane")
    first = layer.run(x[:cut], record="membrane")
    second = layer.run(x[cut:], first.state, record="membrane")
    assert torch.equal(torch.cat([first.spikes, second.spikes]), whole.spikes)
    joined = torch.cat([first.traces["membrane"], second.traces["membrane"]])
    torch.testing.assert_close(joined, whole.traces["membrane"], rtol=1e-12, atol=1e-14)
    assert first.state.step == cut
    assert second.state.step == whole.state.step == 40


@pytest.mark.parametrize("make", [lambda: build("everything", "RecurrentLIF"), lambda: adaptive(rhythm=RHYTHM)])
def test_single_steps_equal_the_whole(make):
    layer, x, state, spikes = make(), drive(30), None, []
    for x_t in x:
        s, state = layer.step(x_t, state)
        spikes.append(s)
    assert torch.equal(torch.stack(spikes), layer(x))
    assert state.step == 30


def test_a_start_within_the_rhythm():
    layer, x = build("plain", "LIF"), drive(20)
    later = layer.run(x, RhythmState(ops.LIFState(), step=1000)).spikes
    by_mask = build("plain", "LIF", None).run(x, mask=layer.rhythm.mask(20, 1000)).spikes
    assert torch.equal(later, by_mask)
    assert not torch.equal(later, layer(x))


@pytest.mark.parametrize("segments", [1, 3, "sqrt"])
def test_recomputed_segments_go_on_in_the_rhythm(segments):
    torch.manual_seed(0)
    stack = nn.Sequential(nn.Linear(7, 7), RecurrentLIF(7, rhythm=RHYTHM), nn.Linear(7, 7), LIF(7, rhythm=RHYTHM))
    stack = nn.Sequential(*stack, RateReadout()).double()
    x = drive(50, scale=4)
    plain, cut = stack(x), Recompute(stack, segments)(x)
    torch.testing.assert_close(cut, plain)
    wanted = torch.autograd.grad(plain.square().sum(), list(stack.parameters()))
    torch.testing.assert_close(torch.autograd.grad(cut.square().sum(), list(stack.parameters())), wanted)


@pytest.mark.parametrize("kind", ["LIF", "AdaptiveLIF"])
def test_off_freezes_the_membrane_and_passes_the_gradient_unchanged(kind):
    rhythm = Rhythm(10, 0.3)  # ON in steps 0, 1, 2
    layer = LIF(1, beta=0.5, threshold=9.0, dtype=F64, rhythm=rhythm) if kind == "LIF" else AdaptiveLIF(
        1, threshold=9.0, kappa=0.0, dtype=F64, rhythm=rhythm
    )  # fmt: skip
    x = torch.full((10, 1, 1), 0.25, dtype=F64).requires_grad_()
    membrane = layer.run(x, record="membrane").traces["membrane"].flatten()
    assert torch.equal(membrane[2:], membrane[2:3].expand(8))
    assert membrane[0] < membrane[1] < membrane[2]
    after_on, after_off = (torch.autograd.grad(membrane[t], x, retain_graph=True)[0] for t in (2, 9))
    assert torch.equal(after_on, after_off)
    assert bool((after_off[:3] > 0).all())
    assert not after_off[3:].any()  # what arrives while OFF is lost, and its gradient with it


def test_current_and_adaptation_run_on_while_off():
    layer = LIF(1, beta=0.5, alpha=0.5, rho=0.8, kappa=1.0, threshold=0.5, dtype=F64, rhythm=Rhythm(8, 0.25))
    x = torch.zeros(8, 1, 1, dtype=F64)
    x[0], x[4] = 2.0, 1.0
    traces = layer.run(x, record=("current", "adaptation", "spikes", "membrane")).traces
    current, adaptation, spikes, membrane = (trace.flatten().tolist() for trace in traces.values())
    assert current == pytest.approx([2, 1, 0.5, 0.25, 1.125, 0.5625, 0.28125, 0.140625])
    assert spikes == [1, 1, 0, 0, 0, 0, 0, 0]
    a = [0.0]
    for s in spikes[:-1]:
        a.append(0.8 * a[-1] + 0.2 * s)
    assert adaptation == pytest.approx(a)
    assert membrane[2:] == [membrane[1]] * 6
    # with a current, input that arrives while OFF is heard in the next cycle
    x[4] = 0.0
    assert layer.run(x).state.neurons.current < current[-1]


@pytest.mark.parametrize("make", [
    lambda **options: LIF(1, beta=0.9, threshold=1.0, reset_timing="next_step", dtype=F64, **options),
    lambda **options: AdaptiveLIF(1, tau_mem=1e-9, threshold=1.0, kappa=0.0, dtype=F64, **options),
])  # fmt: skip
def test_a_reset_due_while_off_is_lost_or_preserved(make):
    rhythm = Rhythm(2, 0.5)  # ON in every other step
    x = torch.full((6, 1, 1), 1.5, dtype=F64)
    lost = make(rhythm=rhythm).run(x, record="membrane").traces["membrane"].flatten().tolist()
    kept = make(rhythm=rhythm, preserve_reset=True).run(x, record="membrane").traces["membrane"].flatten().tolist()
    beta = 0.9 if make(rhythm=rhythm).__class__ is LIF else 0.0
    first, never, once = 1.5, [1.5], [1.5]
    for _ in range(2):  # the two further ON steps, with and without the threshold taken off
        never.append(beta * never[-1] + first)
        once.append(beta * once[-1] + first - (once[-1] > 1.0))
    assert lost[::2] == pytest.approx(never)
    assert kept[::2] == pytest.approx(once)
    assert lost[1::2] == lost[::2]
    assert kept[1::2] == kept[::2]


def test_spikes_fall_with_the_duty():
    x = drive(400, 4, 7, scale=0.9)
    counts = [
        int(build("plain", "LIF", Rhythm((10, 40), duty, 0.5, rounding="ceil"))(x).sum())
        for duty in (1.0, 0.8, 0.6, 0.4, 0.2, 0.05)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 4 * counts[-1] > 0


@pytest.mark.parametrize("kind", ["LIF", "RecurrentLIF"])
def test_a_sample_does_not_see_its_batch(kind):
    layer, x = build("everything", kind), drive(50, 4)
    alone = torch.cat([layer(x[:, b : b + 1]) for b in range(4)], dim=1)
    assert torch.equal(alone, layer(x))


def test_feature_maps_share_a_rhythm():
    rhythm = Rhythm((2, 6), 0.5)
    layer = LIF((3, 1, 1), rhythm=rhythm)
    x = torch.rand(30, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    spikes = layer(x)
    flat = LIF(3 * 4 * 5).run(x.flatten(2), mask=rhythm.bind((3,)).mask(30).repeat_interleave(20, dim=2)).spikes
    assert torch.equal(spikes.flatten(2), flat)
    network = nn.Sequential(OverTime(nn.Conv2d(1, 3, 3)), layer, OverTime(nn.Flatten()))
    assert network(torch.rand(6, 2, 1, 8, 8)).shape == (6, 2, 3 * 36)
    one = LIF((), rhythm=rhythm)(x)  # one rhythm for all
    assert torch.equal(one, LIF(()).run(x, mask=rhythm.bind((1,)).mask(30)[:, :, :, None, None]).spikes)


def test_mix_rhythm_in_a_layer():
    layer = LIF(4, beta=0.0, threshold=0.5, rhythm=MixRhythm(1, 2))
    assert layer(torch.ones(4, 1, 4))[:, 0].int().T.tolist() == [[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1], [0, 1, 0, 1]]


def srnn_by_hand(x, on, alpha, rho, theta=0.1, kappa=1.0):
    """The published update of masked adaptive neurons: membrane and spike masked, adaptation not."""
    mem, spike, b, out = (np.zeros(x.shape[1:]) for _ in range(4))
    out = []
    for x_t, on_t in zip(x, on, strict=True):
        before = mem
        b = rho * b + (1 - rho) * spike
        level = theta + kappa * b
        mem = mem * alpha + (1 - alpha) * x_t - level * spike
        mem = np.where(on_t, mem, before)
        spike = (mem > level) * on_t * 1.0
        out.append(spike)
    return np.stack(out)


@pytest.mark.parametrize("backend", [*EVERYWHERE, "stepped"])
def test_adaptive_neurons_are_masked_as_published(backend):
    common = {"tau_mem": 0.02, "tau_adapt": 0.1, "dt": 0.004, "threshold": 0.1, "kappa": 1.0, "dtype": F64}
    if backend == "stepped":
        layer = AdaptiveLIF(7, rhythm=RHYTHM, **common)
    else:
        layer = LIF(7, rhythm=RHYTHM, gain="1-beta", reset_timing="next_step", backend=backend, **common)
    x = drive(120, scale=0.8)
    on = layer.rhythm.mask(120).numpy()
    expected = srnn_by_hand(x.numpy(), on, np.exp(-0.2), np.exp(-0.04))
    assert np.array_equal(layer(x).numpy(), expected)
    assert expected.sum() > 50


# smooth modulation


def oscillating_by_hand(x, theta, beta, reset):
    v, out = np.zeros(x.shape[1:]), []
    for x_t, th in zip(x, theta, strict=True):
        u = beta * v + x_t
        s = (u > th).astype(float)
        v = {"subtract": u - th * s, "zero": (1 - s) * u, "none": u}[reset]
        out.append(s)
    return np.stack(out)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("backend", EVERYWHERE)
def test_thresholds_that_oscillate(reset, backend):
    wave = ThresholdOscillation(0.6, (4.0, 40.0), (0.0, 3.0), dt=0.004)
    layer = LIF(7, beta=0.8, threshold=1.3, reset=reset, dtype=F64, backend=backend, rhythm=wave)
    x = drive(200)
    t = np.arange(200)[:, None] * 0.004
    theta = 1.3 * (1 + 0.6 * np.sin(2 * np.pi * np.linspace(4, 40, 7) * t + np.linspace(0, 3, 7)))[:, None]
    result = layer.run(x, record=("threshold", "membrane"))
    traced = result.traces["threshold"]
    np.testing.assert_allclose(traced.numpy(), np.broadcast_to(theta, traced.shape), rtol=1e-9)
    assert np.array_equal(result.spikes.numpy(), oscillating_by_hand(x.numpy(), theta, 0.8, reset))
    assert result.traces["membrane"].shape == x.shape


def test_oscillation_in_pieces_recurrent_adaptive_and_learned():
    wave = ThresholdOscillation(0.5, (4.0, 40.0), dt=0.004)
    options = {"tau_syn": 0.01, "tau_adapt": 0.1, "kappa": 0.6, "reset_timing": "next_step", "learn": "threshold"}
    torch.manual_seed(0)
    layer = RecurrentLIF(7, dtype=F64, rhythm=wave, **options)
    x = drive(50)
    whole = layer.run(x, record=("membrane", "threshold", "adaptation", "current"))
    first = layer.run(x[:17])
    second = layer.run(x[17:], first.state)
    assert torch.equal(torch.cat([first.spikes, second.spikes]), whole.spikes)
    assert second.state.step == 50
    assert layer.run(x[:0], first.state).state.step == 17
    whole.spikes.sum().backward()
    assert layer.threshold.grad.abs() > 0
    assert layer.weight.grad.abs().sum() > 0


def test_no_depth_is_the_plain_neuron():
    for kind in ("LIF", "RecurrentLIF"):
        still = build("everything", kind, ThresholdOscillation(0.0, 6.0))
        torch.testing.assert_close(still(drive()), build("everything", kind, None)(drive()))


def test_oscillation_over_feature_maps_and_any_shape():
    x = torch.rand(12, 2, 3, 4, 5)
    shared = LIF(
        (3, 1, 1), threshold=torch.tensor([1.0, 1.1, 1.2]).reshape(3, 1, 1), rhythm=ThresholdOscillation(0.5, 6.0)
    )
    assert shared.run(x, record="threshold").traces["threshold"].shape == x.shape
    assert LIF((), rhythm=ThresholdOscillation(0.5, 6.0))(x).shape == x.shape


# mistakes


def test_mistakes_of_state_and_mask():
    layer, plain, x = build("plain", "LIF"), build("plain", "LIF", None), drive(5)
    with pytest.raises(InputError, match="not both"):
        layer.run(x, mask=torch.ones(5, 1, 7))
    with pytest.raises(InputError, match=r"RhythmState\(neurons, step\), got LIFState"):
        layer.run(x, ops.LIFState())
    with pytest.raises(InputError, match=r"give state\.neurons"):
        plain.run(x, RhythmState(ops.LIFState(), 3))
    with pytest.raises(InputError, match="step must lie"):
        layer.run(x, RhythmState(ops.LIFState(), -1))
    with pytest.raises(InputError, match="of shape"):
        layer.run(x, RhythmState(ops.LIFState(v=torch.zeros(2, 2, dtype=F64)), 1))
    with pytest.raises(InputError, match=r"expected \(time, batch, 7\)"):
        layer(torch.rand(5, 3, 8, dtype=F64))


def test_stepped_neurons_without_off_steps_refuse():
    class Integrator(SteppedLayer):
        def resting_state(self, x):
            return RhythmState(x, 0)

        def step(self, x, state):
            return x, state

    with pytest.raises(InputError, match="Integrator knows no OFF steps"):
        Integrator(3, rhythm=RHYTHM)
    with pytest.raises(InputError, match="HodgkinHuxley knows no OFF steps"):
        HodgkinHuxley(3).run(torch.zeros(4, 1, 3), mask=torch.ones(4, 1, 3))
    with pytest.raises(InputError, match="AdaptiveLIF takes a Rhythm or MixRhythm, got ThresholdOscillation"):
        AdaptiveLIF(3, rhythm=ThresholdOscillation(0.5, 6.0, dt=0.001))
    with pytest.raises(InputError, match="does not broadcast"):
        adaptive().run(drive(5), mask=torch.ones(4, 1, 7))


def test_states_are_cut_from_the_graph():
    layer = build("everything", "LIF")
    state = layer.run(drive().requires_grad_()).state
    assert state.neurons.v.requires_grad
    cut = state.detach()
    assert cut.step == 60
    assert not any(part.requires_grad for part in cut.neurons if part is not None)


def test_compiles_and_exports_as_one():
    layer, x = build("everything", "RecurrentLIF"), drive(12)
    torch.compiler.reset()
    assert torch.equal(torch.compile(layer, backend="aot_eager", fullgraph=True)(x), layer(x))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["LIF", "RecurrentLIF"])
@pytest.mark.parametrize("name", NEURONS)
def test_on_a_gpu(name, kind):
    x = drive().cuda()
    plain, ones = build(name, kind, None, device="cuda"), build(name, kind, Rhythm(10, 1.0), device="cuda")
    assert torch.equal(plain(x), ones(x))
    layer, on_cpu = build(name, kind, device="cuda"), build(name, kind)
    on_cpu.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x).cpu(), on_cpu(x.cpu()))
    first = layer.run(x[:23])
    assert torch.equal(torch.cat([first.spikes, layer.run(x[23:], first.state).spikes]), layer(x))
    wave = build(name, kind, ThresholdOscillation(0.5, (4.0, 40.0)), device="cuda")
    by_loop = build(name, kind, ThresholdOscillation(0.5, (4.0, 40.0)), device="cuda", backend="reference")
    by_loop.load_state_dict(wave.state_dict())
    assert torch.equal(wave(x), by_loop(x))
