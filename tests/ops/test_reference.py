"""The reference recurrence: against a scalar loop, closed forms, and its own smooth relaxation's finite differences."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro import ops
from spikeneuro.errors import InputError

F64 = torch.float64


def numbers(n=3, seed=0, adapts=False, recurrent=False, synapse=False):
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(*(shape or (n,)), generator=generator, dtype=F64)

    return ops.LIFParameters(
        beta=uniform(0.6, 0.95), gain=uniform(0.5, 1.2), threshold=uniform(0.6, 1.0), v_rest=uniform(-0.1, 0.1),
        v_reset=uniform(-0.1, 0.1), alpha=uniform(0.2, 0.8) if synapse else None,
        rho=uniform(0.5, 0.9) if adapts else None, kappa=uniform(0.1, 0.5) if adapts else None,
        weight=uniform(-0.5, 0.5, n, n) if recurrent else None, bias=uniform(0.0, 0.1) if recurrent else None,
    )  # fmt: skip


def scalar_loop(x, p, s, mask, delay):
    """One neuron of one sample after the other, in Python numbers, straight from the equation."""
    steps, batch, n = x.shape
    spikes, membranes = np.zeros(x.shape), np.zeros(x.shape)
    value = {name: None if t is None else t.numpy() for name, t in p._asdict().items()}
    for b in range(batch):
        v, i, a = value["v_rest"].copy(), np.zeros(n), np.zeros(n)
        due, left = np.zeros(n), np.zeros(n)
        for t, k in itertools.product(range(steps), range(n)):
            drive = float(x[t, b, k])
            if p.weight is not None:
                before = spikes[t - 1 - delay, b] if t > delay else np.zeros(n)
                drive += float(value["weight"][k] @ before) + value["bias"][k]
            i[k] = drive if p.alpha is None else value["alpha"][k] * i[k] + drive
            th = value["threshold"][k]
            if p.rho is not None:
                last = spikes[t - 1, b, k] if t else 0.0
                a[k] = value["rho"][k] * a[k] + (1 - value["rho"][k]) * last
                th = th + value["kappa"][k] * a[k]
            free = left[k] <= 0
            left[k] = max(left[k] - 1, 0)
            if mask is not None and not mask[t, k]:
                membranes[t, b, k] = v[k]
                due[k] = due[k] if s.preserve_reset else 0
                continue
            current = value["gain"][k] * i[k] if free or s.refractory_integrates else 0.0
            if due[k] and s.reset == "zero":
                v[k] = value["v_reset"][k]
            u = value["v_rest"][k] + value["beta"][k] * (v[k] - value["v_rest"][k]) + current
            if due[k] and s.reset == "subtract":
                u -= th
            if due[k] and s.zero_discards_input:
                u = value["v_reset"][k]
            fired = free and (u >= th if s.comparison == ">=" else u > th)
            spikes[t, b, k], membranes[t, b, k], v[k] = fired, u, u
            left[k] = s.refractory if fired else left[k]
            due[k] = fired and s.delayed
            if fired and not s.delayed:
                v[k] = {"subtract": u - th, "zero": value["v_reset"][k], "none": u}[s.reset]
    return spikes, membranes


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    reset=st.sampled_from(["subtract", "zero", "none"]),
    timing=st.sampled_from(["same_step", "next_step"]),
    parts=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    refractory=st.integers(0, 3),
    delay=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_equals_a_scalar_loop(reset, timing, parts, refractory, delay, seed):
    adapts, recurrent, synapse, masked, integrates, preserve = parts
    p = numbers(seed=seed, adapts=adapts, recurrent=recurrent, synapse=synapse)
    discards = seed % 2 == 0 and (reset, timing) == ("zero", "next_step")
    s = ops.LIFSettings(
        reset, timing, zero_discards_input=discards, refractory=refractory, refractory_integrates=integrates,
        preserve_reset=preserve,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    x = 1.3 * torch.rand(14, 2, 3, generator=generator, dtype=F64)
    mask = torch.rand(14, 3, generator=generator) > 0.3 if masked else None
    delay = delay if recurrent else 0
    output = ops.lif_reference(x, p, s, mask=None if mask is None else mask[:, None], delay=delay)
    spikes, membranes = scalar_loop(x, p, s, mask, delay)
    np.testing.assert_array_equal(output.spikes.numpy(), spikes)
    np.testing.assert_allclose(output.potential.numpy(), membranes, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("surrogate", ["fast_sigmoid", "atan", "sigmoid", "multi_gaussian"])
@pytest.mark.parametrize("timing", ["same_step", "next_step"])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_gradcheck_on_smooth_relaxation(reset, timing, surrogate):
    s = ops.LIFSettings(reset, timing, surrogate=ops.surrogates.resolve(surrogate))
    p = numbers(2, adapts=True, recurrent=True, synapse=True)
    x = torch.rand(5, 2, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([1, 1, 0, 1, 1]).reshape(5, 1, 1)

    def run(*leaves):
        output = ops.lif_reference(leaves[0], ops.LIFParameters(*leaves[1:]), s, mask=mask, delay=1, smooth=True)
        return output.spikes, output.potential, output.state.v

    assert torch.autograd.gradcheck(run, [leaf.requires_grad_() for leaf in (x, *p)])


def test_surrogate_gradient_is_that_of_the_smooth_system_at_the_same_states():
    # One step from a given state: the smooth derivative does not depend on the spike's value.
    s = ops.LIFSettings(surrogate=ops.surrogates.Sigmoid(slope=3.0))
    p = numbers(4)
    x = torch.rand(1, 3, 4, dtype=F64, requires_grad=True)
    (hard,) = torch.autograd.grad(ops.lif_reference(x, p, s).spikes.sum(), x)
    (smooth,) = torch.autograd.grad(ops.lif_reference(x, p, s, smooth=True).spikes.sum(), x)
    torch.testing.assert_close(hard, smooth)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_step_response_of_the_leaky_integrator(backend):
    beta, steps = 0.93, 200
    x = torch.full((steps, 1, 1), 0.7, dtype=F64)
    output = ops.lif(x, beta=beta, threshold=1e9, settings=ops.LIFSettings(reset="none"), backend=backend)
    k = np.arange(1, steps + 1)
    np.testing.assert_allclose(output.potential.flatten().numpy(), 0.7 * (1 - beta**k) / (1 - beta), rtol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_impulse_response_of_current_and_membrane(backend):
    alpha, beta, steps = 0.7, 0.9, 60
    x = torch.zeros(steps, 1, 1, dtype=F64)
    x[0] = 1.0
    output = ops.lif(
        x, beta=beta, alpha=alpha, threshold=1e9, keep_current=True, settings=ops.LIFSettings(reset="none"),
        backend=backend,
    )  # fmt: skip
    k = np.arange(1, steps + 1)
    np.testing.assert_allclose(output.current.flatten().numpy(), alpha ** (k - 1), rtol=1e-12)
    expected = (beta**k - alpha**k) / (beta - alpha)
    np.testing.assert_allclose(output.potential.flatten().numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_firing_rate_of_a_perfect_integrator(backend):
    # Without leak and with subtraction nothing is lost: the spike count is the floor of the total input.
    x = torch.full((997, 1, 1), 0.25, dtype=F64)
    settings_ = ops.LIFSettings(comparison=">=")
    assert float(ops.lif(x, beta=1.0, settings=settings_, backend=backend).spikes.sum()) == 997 // 4


def test_mask_of_ones_changes_nothing_bit_for_bit():
    p = numbers(5, adapts=True, synapse=True)
    x = torch.rand(30, 2, 5, dtype=F64, requires_grad=True)
    for timing in ("same_step", "next_step"):
        results = []
        for mask in (None, torch.ones(30, 1, 5)):
            output = ops.lif_reference(x, p, ops.LIFSettings(reset_timing=timing), mask=mask)
            loss = (output.spikes * torch.arange(30.0, dtype=F64).reshape(-1, 1, 1)).sum() + output.potential.sum()
            results.append((output.spikes, output.potential, output.state.v, *torch.autograd.grad(loss, x)))
        for a, b in zip(*results, strict=True):
            assert torch.equal(a, b)


def test_off_step_has_identity_gradient_only():
    x = torch.full((5, 1, 1), 0.1, dtype=F64, requires_grad=True)
    mask = torch.tensor([1, 0, 0, 1, 1]).reshape(5, 1, 1)
    v = torch.full((1, 1), 0.2, dtype=F64, requires_grad=True)
    p = ops.LIFParameters(*(torch.tensor(value, dtype=F64) for value in (0.8, 1.0, 1.0, 0.0, 0.0)))
    output = ops.lif_reference(x, p, ops.LIFSettings(reset="none"), ops.LIFState(v=v), mask=mask)
    g_x, g_v = torch.autograd.grad(output.potential[-1].sum(), (x, v))
    np.testing.assert_allclose(g_x.flatten(), [0.64, 0.0, 0.0, 0.8, 1.0])
    np.testing.assert_allclose(g_v.flatten(), [0.8**3])


def test_lost_and_preserved_reset():
    x = torch.tensor([1.5, 0.0, 0.0, 0.0], dtype=F64).reshape(4, 1, 1)
    mask = torch.tensor([1, 0, 1, 1]).reshape(4, 1, 1)
    p = ops.LIFParameters(*(torch.tensor(value, dtype=F64) for value in (1.0, 1.0, 1.0, 0.0, 0.0)))
    for preserve, expected in ((False, [1, 0, 1, 0]), (True, [1, 0, 0, 0])):
        s = ops.LIFSettings(reset_timing="next_step", preserve_reset=preserve)
        assert ops.lif_reference(x, p, s, mask=mask).spikes.flatten().tolist() == expected


def test_smooth_relaxation_refuses_a_refractory_period():
    with pytest.raises(InputError, match="no refractory period"):
        ops.lif_reference(torch.rand(3, 1, 3, dtype=F64), numbers(), ops.LIFSettings(refractory=1), smooth=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset": "soft"}, "reset='soft' is unknown"),
        ({"reset_timing": "same-step"}, "did you mean 'same_step'"),
        ({"comparison": "=="}, "comparison"),
        ({"refractory": -1}, "refractory must lie in"),
        ({"zero_discards_input": True}, "belongs to reset='zero'"),
    ],
)
def test_mistakes_in_settings_are_named(options, message):
    with pytest.raises(InputError, match=message):
        ops.LIFSettings(**options)
