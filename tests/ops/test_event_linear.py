"""The linear map of spikes equals torch's, whichever way it is computed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from spikeneuro import energy, ops
from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, EventLinear
from spikeneuro.ops import linear, numba_linear


def evaluate(function, case):
    """Output and gradients, of numbers whose sums are exact in any order."""
    generator = torch.Generator().manual_seed(case["seed"])

    def eighths(*shape):
        return torch.randint(-8, 9, shape, generator=generator).to(case["dtype"]) / 8

    rows, inputs, outputs = case["rows"], case["inputs"], case["outputs"]
    x = (torch.rand(*rows, inputs, generator=generator) < case["density"]).to(case["dtype"])
    x = (x * eighths(*rows, inputs) if case["graded"] else x).requires_grad_()
    weight, bias = eighths(outputs, inputs).requires_grad_(), eighths(outputs).requires_grad_()
    leaves = [x, weight, bias] if case["bias"] else [x, weight]
    y = function(*leaves)
    return y, *torch.autograd.grad(y, leaves, eighths(*y.shape))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    case=st.fixed_dictionaries(
        {
            "rows": st.sampled_from([(0,), (1,), (63,), (7, 11), (3, 2, 130)]),
            "inputs": st.sampled_from([1, 15, 64, 130]),
            "outputs": st.sampled_from([32, 33, 70]),
            "density": st.sampled_from([0.0, 0.03, 0.2, 0.5, 1.0]),
            "graded": st.booleans(),
            "bias": st.booleans(),
            "dtype": st.sampled_from([torch.float32, torch.float64]),
            "seed": st.integers(0, 1000),
        }
    )
)
def test_equals_the_dense_map(case):
    expected = evaluate(functional.linear, case)
    with pytest.MonkeyPatch.context() as patch:  # events for small products too, and for more than half of the inputs
        patch.setattr(linear, "_FEWEST_PRODUCTS", 0)
        patch.setattr(linear, "EVENTS_UP_TO", 0.6)
        found = evaluate(ops.event_linear, case)
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("density", "outputs", "events"), [(0.05, 128, True), (0.5, 128, False), (0.05, 8, False), (0.0, 128, True)]
)
def test_the_choice_is_the_documented_one(monkeypatch, density, outputs, events):
    taken, original = [], numba_linear.product
    monkeypatch.setattr(numba_linear, "product", lambda *a: (taken.append(1), original(*a)))
    x = (torch.rand(1000, 128, generator=torch.Generator().manual_seed(0)) < density).float()
    ops.event_linear(x, torch.rand(outputs, 128))
    assert bool(taken) == events


@pytest.mark.parametrize("density", [0.03, 0.7])
def test_opcheck_and_compile(density):
    x = (torch.rand(300, 128, generator=torch.Generator().manual_seed(0)) < density).float().requires_grad_()
    layer = EventLinear(128, 128)
    op = torch.ops.spikeneuro.event_linear
    result = torch.library.opcheck(op, (x, layer.weight, layer.bias), atol=1e-4, rtol=1e-4)
    assert set(result.values()) == {"SUCCESS"}
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), functional.linear(x, layer.weight, layer.bias), rtol=1e-4, atol=1e-5)


def test_the_ledger_counts_it_as_the_linear_layer():
    x = torch.rand(20, 8, 128, generator=torch.Generator().manual_seed(0)) * 0.4
    event = torch.nn.Sequential(LIF(128), EventLinear(128, 600))
    plain = torch.nn.Sequential(LIF(128), torch.nn.Linear(128, 600))
    plain.load_state_dict(event.state_dict())
    counted = [energy.count(model, x, batch_axis=1) for model in (event, plain)]
    assert counted[0].acs == counted[1].acs > 0
    assert counted[0].macs == counted[1].macs
    assert counted[0].dense.acs == counted[1].dense.acs


def test_mistakes_are_named():
    with pytest.raises(InputError, match="does not end in the 5 inputs"):
        ops.event_linear(torch.rand(3, 4), torch.rand(2, 5))


def test_a_bias_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="bias of shape"):
        ops.event_linear(torch.zeros(2000, 512), torch.zeros(64, 512), torch.ones(1))


def test_autocast_decides_the_type_at_every_size():
    layer = EventLinear(512, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert {layer(torch.zeros(rows, 512)).dtype for rows in (10, 2000)} == {torch.bfloat16}


def test_the_sample_is_not_in_step_with_the_batch():
    x = torch.zeros(512, 256, 8)
    x[:, 1:] = 1  # all samples of the batch but the first
    assert numba_linear.density(x.reshape(-1, 8).numpy()) > 0.9
