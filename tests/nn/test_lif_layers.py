"""LIF and RecurrentLIF as layers: no hidden state, units, learnable numbers, mistakes."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, OverTime, RecurrentLIF, SpikingLayer, heterogeneity

F64 = torch.float64
NEURONS = {
    "plain": {},
    "late": {"reset_timing": "next_step"},
    "late zero": {"reset_timing": "next_step", "reset": "zero", "zero_discards_input": True},
    "synapse": {"tau_syn": 0.01, "detach_reset": True},
    "adaptive": {"tau_adapt": 0.1, "kappa": 0.6},
    "refractory": {"refractory": 3, "refractory_integrates": False},
    "everything": {"tau_syn": 0.01, "tau_adapt": 0.1, "kappa": 0.6, "refractory": 2, "reset_timing": "next_step",
                   "preserve_reset": True},
}  # fmt: skip


def build(name, recurrent, **options):
    options = NEURONS[name] | {"dtype": F64, "tau_mem": heterogeneity.LogSpaced(0.01, 0.05)} | options
    if not recurrent:
        return LIF(7, **options)
    torch.manual_seed(0)
    return RecurrentLIF(7, **options)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("name", NEURONS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(cut=st.integers(1, 19), seed=st.integers(0, 99))
def test_two_pieces_equal_the_whole(name, recurrent, cut, seed):
    layer = build(name, recurrent, **({"delay": 2} if recurrent and seed % 2 else {}))
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(20, 3, 7, generator=generator, dtype=F64)
    traces = ["membrane", "potential", "current", "threshold", "spikes"]
    mask = (torch.rand(20, 1, 7, generator=generator) > 0.2) if seed % 3 == 0 else None
    whole = layer.run(x, record=traces, mask=mask)
    first = layer.run(x[:cut], record=traces, mask=None if mask is None else mask[:cut])
    second = layer.run(x[cut:], first.state, record=traces, mask=None if mask is None else mask[cut:])
    # Matrix products of the recurrent weights may round differently with the alignment of their operands.
    same = (lambda a, b: torch.allclose(a, b, rtol=1e-12, atol=1e-14)) if recurrent else torch.equal
    assert torch.equal(torch.cat([first.spikes, second.spikes]), whole.spikes)
    for trace in traces:
        assert same(torch.cat([first.traces[trace], second.traces[trace]]), whole.traces[trace])
    for a, b in zip(second.state, whole.state, strict=True):
        assert (a is None and b is None) or same(a, b)


@pytest.mark.parametrize("name", NEURONS)
def test_a_call_leaves_nothing_behind(name):
    layer, x = build(name, recurrent=True), torch.rand(15, 2, 7, dtype=F64)
    before = copy.deepcopy(layer.state_dict())
    first, second = layer(x), layer(x)
    assert torch.equal(first, second)
    assert torch.equal(first, layer.run(x).spikes)
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())


def test_units():
    layer = LIF(1, tau_mem=0.02, dt=0.004, tau_syn=0.005)
    assert layer.beta.item() == torch.tensor(math.exp(-0.004 / 0.02)).item()
    assert layer.alpha.item() == torch.tensor(math.exp(-0.004 / 0.005)).item()
    assert layer.tau_mem.item() == pytest.approx(0.02, rel=1e-5)
    assert LIF(1, beta=1.0).tau_mem.isinf()


@given(beta=st.floats(0, 1, width=32))
def test_beta_is_used_bit_for_bit(beta):
    assert LIF(1, beta=beta).beta.item() == beta


def test_membrane_trace_is_after_the_reset_and_differentiable():
    layer = LIF(2, beta=0.5, dtype=F64)
    x = torch.tensor([0.9, 0.9, 0.9], dtype=F64).reshape(3, 1, 1).expand(3, 1, 2).clone().requires_grad_()
    result = layer.run(x, record=("membrane", "potential", "threshold"))
    assert result.traces["potential"][:, 0, 0].tolist() == pytest.approx([0.9, 1.35, 1.075])
    assert result.traces["membrane"][:, 0, 0].tolist() == pytest.approx([0.9, 0.35, 0.075])
    assert result.traces["threshold"].shape == x.shape
    gradients = [
        torch.autograd.grad(layer.run(x, record="membrane").traces["membrane"].square().sum(), x)[0],
        torch.autograd.grad(
            LIF(2, beta=0.5, dtype=F64, backend="reference")
            .run(x, record="membrane")
            .traces["membrane"]
            .square()
            .sum(),
            x,
        )[0],
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", ["tau_mem", "tau_syn", "tau_adapt", "threshold", "v_rest", "gain", "kappa"])
def test_learnable_numbers_against_finite_differences_of_the_smooth_relaxation(name):
    layer = LIF(
        4, tau_mem=heterogeneity.LogSpaced(0.01, 0.04), tau_syn=0.01, tau_adapt=0.1, kappa=0.4, learn=name, dtype=F64,
        surrogate=ops.surrogates.Sigmoid(slope=3.0), gain=0.8,
    )  # fmt: skip
    (parameter,) = layer.parameters()
    x = torch.rand(9, 2, 4, dtype=F64, generator=torch.Generator().manual_seed(2))

    def objective():
        output = ops.lif_reference(x, layer.parameters_now(), layer.settings, smooth=True)
        return (output.spikes * x).sum() + output.potential.square().sum()

    (gradient,) = torch.autograd.grad(objective(), parameter)
    h = 1e-6
    for index in range(parameter.numel()):
        with torch.no_grad():
            flat = parameter.view(-1)
            flat[index] += h
            up = objective()
            flat[index] -= 2 * h
            down = objective()
            flat[index] += h
        assert gradient.view(-1)[index].item() == pytest.approx(float(up - down) / (2 * h), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(
    ("learn", "options"),
    [
        (("tau_mem", "threshold"), {}),
        (("tau_mem", "tau_syn"), {"tau_syn": 0.01}),
        (("tau_mem",), {"gain": "1-beta", "tau_syn": 0.01}),
        (("tau_mem", "gain"), {}),
        (("beta",), {"tau_mem": 0.02, "beta": 0.9}),
        (("v_rest", "v_reset"), {"reset": "zero"}),
    ],
)
def test_learnable_numbers_train_alike_on_both_backends(learn, options, recurrent):
    gradients = []
    for backend in ("reference", "numba"):
        layer = build("plain", recurrent, learn=learn, backend=backend, **options)
        x = torch.rand(12, 3, 7, dtype=F64, generator=torch.Generator().manual_seed(4), requires_grad=True)
        (layer(2 * x).mean(0) ** 2).sum().backward()
        gradients.append({"x": x.grad} | {key: value.grad for key, value in layer.named_parameters()})
    for key, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], expected, rtol=1e-8, atol=1e-10)


def test_learned_time_constants_stay_positive_and_learn():
    torch.manual_seed(0)
    target = LIF(16, tau_mem=0.05)
    layer = LIF(16, tau_mem=0.01, learn="tau_mem")
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    x = torch.rand(100, 8, 16) * 0.4
    wanted = target(x).mean(0)
    for _ in range(80):
        optimiser.zero_grad()
        (layer(x).mean(0) - wanted).square().mean().backward()
        optimiser.step()
    assert layer.tau_mem.item() > 0
    assert layer.tau_mem.item() == pytest.approx(0.05, rel=0.3)


def test_parameters_broadcast_over_feature_maps():
    tau = torch.tensor([0.01, 0.04]).reshape(2, 1, 1)
    x = torch.rand(10, 3, 2, 4, 5)
    spikes = LIF((2, 1, 1), tau_mem=tau)(x)
    for channel in range(2):
        alone = LIF((), tau_mem=float(tau[channel]))(x[:, :, channel])
        assert torch.equal(spikes[:, :, channel], alone)


def test_heterogeneity_objects_are_drawn_in_the_layer():
    torch.manual_seed(3)
    first = LIF(50, tau_mem=heterogeneity.LogUniform(0.005, 0.05)).tau_mem
    torch.manual_seed(3)
    assert torch.equal(first, LIF(50, tau_mem=heterogeneity.LogUniform(0.005, 0.05)).tau_mem)
    assert first.unique().numel() == 50


def test_state_dict_round_trip_and_dtype():
    torch.manual_seed(1)
    layer = RecurrentLIF(6, tau_mem=heterogeneity.Gamma(0.02), learn="threshold")
    other = RecurrentLIF(6, tau_mem=0.02 * torch.ones(6), learn="threshold")
    other.load_state_dict(layer.state_dict())
    x = torch.rand(9, 2, 6)
    assert torch.equal(layer(x), other(x))
    assert layer.double()(x.double()).dtype == F64


def test_sequential_works_without_any_reset():
    torch.manual_seed(0)
    model = nn.Sequential(OverTime(nn.Conv1d(3, 4, 3)), LIF((4, 1)), OverTime(nn.Flatten()), nn.Linear(24, 5), LIF(5))
    x = torch.rand(11, 2, 3, 8)
    assert torch.equal(model(x), model(x))
    assert model(x).shape == (11, 2, 5)
    assert sum(isinstance(module, SpikingLayer) for module in model.modules()) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LIF(128)(torch.rand(64, 22, 250)), r"expected \(time, batch, 128\), got \(64, 22, 250\); signals go"),
        (lambda: LIF(128)(torch.rand(64, 128)), "signals go through an encoder first"),
        (lambda: LIF((16, 1, 1))(torch.rand(4, 2, 16, 9)), r"expected \(time, batch, 16, 1, 1\)"),
        (lambda: LIF(0), "shape must be a positive integer"),
        (lambda: LIF(3, tau_mem=-0.02), "tau_mem is a time constant and must be above 0"),
        (lambda: LIF(3, tau_mem=torch.ones(4)), "does not broadcast to the layer's shape"),
        (lambda: LIF(3, dt=0.0), "dt must lie in"),
        (lambda: LIF(3, beta=1.2), r"beta is a decay per step and must lie in \[0, 1\]"),
        (lambda: LIF(3, beta=1.0, learn="beta"), "strictly between 0 and 1"),
        (lambda: LIF(3, beta=0.9, learn="tau_mem"), "learn='tau_mem' needs tau_mem to be given, but beta is"),
        (lambda: LIF(3, learn="tau"), "learn='tau' is unknown"),
        (lambda: LIF(3, learn="tau_syn"), "learn='tau_syn' needs tau_syn to be given"),
        (lambda: LIF(3, learn="kappa"), "needs adaptation"),
        (lambda: LIF(3, kappa=0.3), "adaptation needs both its decay"),
        (lambda: LIF(3, tau_syn=0.1, alpha=0.9), "give tau_syn or alpha, not both"),
        (lambda: LIF(3, threshold=float("nan")), "threshold holds values that are NaN"),
        (lambda: LIF(3, threshold="high"), "threshold must be a number"),
        (lambda: LIF(3, gain="1-alpha"), "gain='1-alpha' is unknown"),
        (lambda: LIF(3, gain="1-beta", learn="gain"), "cannot be learned"),
        (lambda: LIF(3, backend="cuda"), "backend='cuda' is unknown"),
        (lambda: LIF(3).run(torch.rand(4, 2, 3), record=("voltage",)), "record='voltage' is unknown"),
        (lambda: LIF(3).run(torch.rand(4, 2, 3), record="adaptation"), "needs a layer with adaptation"),
        (lambda: LIF(3).run(torch.rand(4, 2, 3), LIF(3).run(torch.rand(4, 5, 3)).state), "state's v must be"),
        (lambda: LIF(3)(torch.rand(4, 2, 3, dtype=F64)), "beta is torch.float32"),
        (lambda: RecurrentLIF(3, delay=-1), "delay must lie in"),
        (lambda: RecurrentLIF((3, 3)), "n_neurons must be an integer"),
        (lambda: LIF(3, backend="numba")(torch.rand(4, 2, 3, dtype=torch.bfloat16)), "is torch.float32"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("make", [LIF, RecurrentLIF])
def test_single_steps_equal_the_sequence(make, backend):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layer = make(5, tau_syn=0.01, tau_adapt=0.05, kappa=0.3, refractory=1, backend=backend).double()
    x = torch.rand(12, 3, 5, generator=generator, dtype=F64) * 2
    whole, state, steps = layer.run(x), None, []
    for current in x:
        spikes, state = layer.step(current, state)
        steps.append(spikes)
    assert torch.equal(torch.stack(steps), whole.spikes)
    assert whole.spikes.any()
    for a, b in zip(state, whole.state, strict=True):
        assert a is None or torch.equal(a, b)
