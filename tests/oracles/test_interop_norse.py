"""Converted neurons of Norse give its spikes and its gradients."""

import pytest
import torch

from spikeneuro.nn import from_norse

norse = pytest.importorskip("norse.torch")
lif_box = pytest.importorskip("norse.torch.functional.lif_box")
reset = pytest.importorskip("norse.torch.functional.reset")

F64 = torch.float64


def draw(steps=120, batch=8, n=5, high=3.0, seed=0):
    return high * torch.rand(steps, batch, n, generator=torch.Generator().manual_seed(seed), dtype=F64)


def looped(module):
    """The module over time: cells step by step, layers at once."""

    def run(x):
        if not type(module).__name__.endswith("Cell"):
            return module(x)[0]
        state, spikes = None, []
        for step in x:
            spike, state = module(step, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def check(comparison, module, backend, x, pairs=()):
    mine = from_norse(module, backend=backend, dtype=F64)
    comparison.spikes(looped(module), mine, x)
    comparison.gradients(looped(module), mine, x, pairs)
    return mine


@pytest.mark.parametrize("kind", ["LIF", "LIFCell"])
@pytest.mark.parametrize(
    "numbers",
    [{}, {"v_leak": 0.2, "v_reset": -0.3, "v_th": 0.8}, {"tau_mem_inv": 60.0, "tau_syn_inv": 350.0}],
    ids=["default", "potentials", "times"],
)
def test_lif(comparison, backend, kind, numbers):
    p = norse.LIFParameters(**{name: torch.tensor(value) for name, value in numbers.items()})
    check(comparison, getattr(norse, kind)(p), backend, draw(high=2.0))


def test_lif_with_numbers_per_neuron(comparison, backend):
    p = norse.LIFParameters(tau_mem_inv=torch.linspace(50, 200, 5), v_th=torch.linspace(0.6, 1.2, 5))
    check(comparison, norse.LIFCell(p, dt=0.002), backend, draw(high=2.0))


@pytest.mark.parametrize("method", [reset.reset_value, reset.reset_subtract])
def test_box(comparison, backend, method):
    p = lif_box.LIFBoxParameters(reset_method=method, v_reset=torch.tensor(-0.1), tau_mem_inv=torch.tensor(130.0))
    check(comparison, norse.LIFBoxCell(p), backend, draw(high=4.0))


@pytest.mark.parametrize("kind", ["LIFRecurrent", "LIFRecurrentCell"])
@pytest.mark.parametrize("autapses", [True, False])
def test_recurrent_lif(comparison, backend, kind, autapses):
    torch.manual_seed(3)
    module = getattr(norse, kind)(4, 6, autapses=autapses).double()
    mine = from_norse(module, backend=backend)
    x = draw(n=4, high=2.0)
    comparison.spikes(looped(module), mine, x)
    pairs = [(module.input_weights, mine[0].weight), (module.recurrent_weights, mine[1].weight)]
    comparison.gradients(looped(module), mine, x, pairs)
    if not autapses:
        (gradient,) = torch.autograd.grad(mine(x).sum(), mine[1].weight)
        assert not gradient.diagonal().any()


@pytest.mark.parametrize("kind", ["IAF", "IAFCell"])
def test_integrate_and_fire(comparison, backend, kind):
    p = norse.IAFParameters(v_reset=torch.tensor(0.25), v_th=torch.tensor(1.5))
    check(comparison, getattr(norse, kind)(p), backend, draw(high=0.7) - 0.1)


@pytest.mark.parametrize("kind", ["LI", "LICell", "LIBoxCell", "LILinearCell"])
def test_integrators(comparison, backend, kind):
    torch.manual_seed(4)
    arguments = (5, 3) if kind == "LILinearCell" else ()
    module = getattr(norse, kind)(*arguments).double()
    mine = from_norse(module, backend=backend, dtype=F64)
    x = draw()
    torch.testing.assert_close(mine(x), looped(module)(x), rtol=1e-10, atol=1e-12)
    pairs = [(module.input_weights, mine[0].weight)] if kind == "LILinearCell" else []
    comparison.gradients(looped(module), mine, x, pairs)


@pytest.mark.parametrize(
    ("method", "alpha"),
    [("super", 100.0), ("triangle", 0.3), ("triangle", 1.5), ("tanh", 2.0), ("tanh", 0.7), ("heavi_erfc", 1.3)],
)
def test_methods(comparison, backend, method, alpha):
    p = norse.LIFParameters(method=method, alpha=torch.tensor(alpha))
    check(comparison, norse.LIF(p), backend, draw(steps=40))


def test_thousand_steps(comparison, backend):
    check(comparison, norse.LIF(), backend, draw(steps=1000, batch=20, high=1.0))


def test_published_vector():
    result = from_norse(norse.LIF()).run(torch.full((7, 1, 1), 3.0), record="membrane")
    assert result.spikes.flatten().tolist() == [0, 0, 1, 0, 1, 1, 1]
    assert result.traces["membrane"].flatten()[:5].tolist() == pytest.approx([0.3, 0.81, 0.0, 0.8856, 0.0])
