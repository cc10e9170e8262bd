"""What is known to be equal between the frameworks, in the originals and in their conversions, over 1000 steps."""

import pytest
import torch

from spikeneuro.nn import from_norse, from_snntorch, from_spikingjelly

snntorch = pytest.importorskip("snntorch")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
norse = pytest.importorskip("norse.torch")
lif_box = pytest.importorskip("norse.torch.functional.lif_box")

F64 = torch.float64
SEQUENCES = 200


def draw(high=1.0, seed=0, steps=1000):
    return high * torch.rand(steps, SEQUENCES, 1, generator=torch.Generator().manual_seed(seed), dtype=F64)


@torch.no_grad()
def trains(x, *modules, backend):
    """Spikes of each original and of its conversion, those of one module after the other."""
    found = []
    for module in modules:
        package = type(module).__module__.partition(".")[0]
        if package == "snntorch":
            state, spikes = [torch.zeros_like(x[0])] * (2 if type(module).__name__ == "Synaptic" else 1), []
            for step in x:
                spike, *state = module(step, *state)
                spikes.append(spike.to(x.dtype))
            found += [torch.stack(spikes), from_snntorch(module, backend=backend)(x)]
        elif package == "spikingjelly":
            module.reset()
            found += [module(x), from_spikingjelly(module, backend=backend, dtype=F64)(x)]
        else:
            state, spikes = None, []
            for step in x:
                spike, state = module(step, state)
                spikes.append(spike)
            found += [torch.stack(spikes), from_norse(module, backend=backend, dtype=F64)(x)]
    return found


def all_equal(found):
    assert 0 < found[0].mean() < 1
    return all(torch.equal(found[0], other) for other in found[1:])


def number(value):
    return torch.tensor(value, dtype=F64)


def test_reset_to_zero_in_the_next_step_is_a_hard_reset(backend):
    leaky = snntorch.Leaky(beta=number(0.8), reset_mechanism="zero")
    node = neuron.LIFNode(tau=5.0, decay_input=False, step_mode="m")
    assert all_equal(trains(draw(), leaky, node, backend=backend))


def test_subtraction_in_the_same_step_is_a_soft_reset(backend):
    leaky = snntorch.Leaky(beta=number(0.8), reset_delay=False)
    node = neuron.LIFNode(tau=5.0, decay_input=False, v_reset=None, step_mode="m")
    assert all_equal(trains(draw(seed=1), leaky, node, backend=backend))


def test_subtraction_in_the_next_step_is_never_a_soft_reset(backend):
    leaky = snntorch.Leaky(beta=number(0.8))
    node = neuron.LIFNode(tau=5.0, decay_input=False, v_reset=None, step_mode="m")
    late, ours_late, soft, ours_soft = trains(draw(seed=2), leaky, node, backend=backend)
    assert torch.equal(late, ours_late)
    assert torch.equal(soft, ours_soft)
    assert bool((late != soft).any(0).all())


@pytest.mark.parametrize("tau", [2.0, 5.0, 10.0])
def test_hard_reset_with_decaying_input_is_norses_box(backend, tau):
    node = neuron.LIFNode(tau=tau, step_mode="m")
    box = norse.LIFBoxCell(lif_box.LIFBoxParameters(tau_mem_inv=number(1.0 / (tau * 0.001))))
    assert all_equal(trains(draw(high=3.0, seed=3), node, box, backend=backend))


def test_synapse_that_keeps_its_input_is_norses_lif(backend):
    # alpha = 1 - dt / tau_syn, beta = 1 - dt / tau_mem, and the input times dt / tau_mem.
    p = norse.LIFParameters(tau_syn_inv=number(200.0), tau_mem_inv=number(100.0))
    synaptic = snntorch.Synaptic(alpha=number(1 - 0.2), beta=number(1 - 0.1), reset_mechanism="zero", reset_delay=False)
    x = draw(high=2.0, seed=4)
    theirs, ours = trains(x * 0.1, synaptic, backend=backend)
    assert all_equal([theirs, ours, *trains(x, norse.LIFCell(p), backend=backend)])
    # The default of snnTorch discards the input of the step after a spike, and is another neuron.
    default = snntorch.Synaptic(alpha=number(0.8), beta=number(0.9), reset_mechanism="zero")
    late, ours_late = trains(x * 0.1, default, backend=backend)
    assert torch.equal(late, ours_late)
    assert not torch.equal(late, theirs)


def test_a_membrane_at_the_threshold_fires_in_spikingjelly_only(backend):
    x = torch.tensor([1.0, 0.0, 0.0], dtype=F64).reshape(3, 1, 1)
    leaky, node = snntorch.Leaky(beta=number(0.5)), neuron.LIFNode(decay_input=False, step_mode="m")
    box = norse.LIFBoxCell(lif_box.LIFBoxParameters(tau_mem_inv=number(1000.0)))
    found = [train.flatten().tolist() for train in trains(x, leaky, node, box, backend=backend)]
    assert found == [[0, 0, 0]] * 2 + [[1, 0, 0]] * 2 + [[0, 0, 0]] * 2
