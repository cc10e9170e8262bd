"""Converted networks: the right treatment of time, equal outputs and gradients, weights that are not shared."""

import copy

import pytest
import torch
from torch import nn

from spikeneuro.nn import LIF, OverTime, from_norse, from_snntorch, from_spikingjelly

snntorch = pytest.importorskip("snntorch")
snntorch_utils = pytest.importorskip("snntorch.utils")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
sj_layer = pytest.importorskip("spikingjelly.activation_based.layer")
functional = pytest.importorskip("spikingjelly.activation_based.functional")
norse = pytest.importorskip("norse.torch")

F64 = torch.float64


def images(steps=12, batch=3, seed=0, high=2.0):
    return high * torch.rand(steps, batch, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=F64)


def vectors(steps=80, batch=6, n=4, seed=0, high=2.0):
    return high * torch.rand(steps, batch, n, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.fixture(autouse=True)
def _weights():
    torch.manual_seed(11)


def lively(layer):
    """Let the neurons after a linear layer fire."""
    with torch.no_grad():
        layer.bias.add_(1.5)


def snntorch_loop(network):
    """The network step by step, from rest."""

    def run(x):
        snntorch_utils.reset(network)
        found = []
        for step in x:
            y = step
            for part in network:
                y = part(y)
                # Spikes are in single precision, which linear layers of double precision do not take.
                y = (y[0] if isinstance(y, tuple) else y).to(x.dtype)
            found.append(y)
        return torch.stack(found)

    return run


def spikingjelly_loop(network, multi):
    def run(x):
        functional.reset_net(network)
        return network(x) if multi else torch.stack([network(step) for step in x])

    return run


def norse_loop(network, cells):
    def run(x):
        if not cells:
            return network(x)[0]
        state, found = None, []
        for step in x:
            y, state = network(step, state)
            found.append(y)
        return torch.stack(found)

    return run


def weight_pairs(original, converted):
    """All parameters of both, in order, except those whose parametrisation differs."""
    theirs, mine = list(original.parameters()), list(converted.parameters())
    assert [p.numel() for p in theirs] == [p.numel() for p in mine]
    return list(zip(theirs, mine, strict=True))


def test_snntorch_fully_connected(comparison, backend):
    network = nn.Sequential(
        nn.Linear(4, 16), snntorch.Leaky(beta=0.8, init_hidden=True), nn.Linear(16, 12),
        snntorch.Synaptic(alpha=0.6, beta=0.7, init_hidden=True), nn.Dropout(0.0), nn.Linear(12, 3),
        snntorch.Leaky(beta=0.9, init_hidden=True, output=True),
    ).double()  # fmt: skip
    mine = from_snntorch(network, backend=backend)
    comparison.spikes(snntorch_loop(network), mine, vectors())
    comparison.gradients(snntorch_loop(network), mine, vectors(), weight_pairs(network, mine), floor=1e-6)


def test_snntorch_recurrent_one_to_one_takes_its_size_from_the_linear_layer(comparison, backend):
    network = nn.Sequential(
        nn.Linear(4, 7), snntorch.RLeaky(beta=0.8, V=0.4, all_to_all=False, init_hidden=True)
    ).double()
    mine = from_snntorch(network, backend=backend)
    comparison.spikes(snntorch_loop(network), mine, vectors())
    pairs = [(network[0].weight, mine[0].weight), (network[1].V, mine[1].own_weight)]
    comparison.gradients(snntorch_loop(network), mine, vectors(), pairs, floor=1e-6)


def test_snntorch_convolutional_with_batch_statistics(comparison, backend):
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), snntorch.Leaky(beta=0.8, init_hidden=True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(36, 5), snntorch.Leaky(beta=0.9, init_hidden=True),
    ).double()  # fmt: skip
    mine = from_snntorch(network, backend=backend)
    x = images()
    # In training each step is normalised by itself, and moves the running statistics.
    comparison.spikes(snntorch_loop(network), mine, x)
    assert network[1].num_batches_tracked == mine[1].module.num_batches_tracked == 12
    torch.testing.assert_close(mine[1].module.running_mean, network[1].running_mean)
    comparison.gradients(snntorch_loop(network), mine, x, weight_pairs(network, mine), floor=1e-6)
    comparison.spikes(snntorch_loop(network.eval()), from_snntorch(network, backend=backend), x)


@pytest.mark.parametrize("multi", [True, False])
def test_spikingjelly_convolutional(comparison, backend, multi):
    network = nn.Sequential(
        sj_layer.Conv2d(1, 4, 3, bias=False), sj_layer.BatchNorm2d(4), neuron.IFNode(), sj_layer.AvgPool2d(2),
        sj_layer.Flatten(), sj_layer.Dropout(0.3), sj_layer.Linear(36, 5), neuron.LIFNode(),
    ).double()  # fmt: skip
    lively(network[6])
    functional.set_step_mode(network, "m" if multi else "s")
    mine = from_spikingjelly(network, backend=backend)
    assert isinstance(mine[2], LIF)
    assert type(mine[6]) is nn.Linear
    assert not any(type(part).__module__.startswith("spikingjelly") for part in mine.modules())
    # The mask of the dropout is random: compared without it in training, and with it in use.
    network[5].p, mine[5].dropout.p = 0.0, 0.0
    run = spikingjelly_loop(network, multi)
    comparison.spikes(run, mine, images())
    torch.testing.assert_close(mine[1].module.running_var, network[1].running_var)
    comparison.gradients(run, mine, images(), weight_pairs(network, mine))
    network.eval()
    network[5].p = 0.3
    comparison.spikes(run, from_spikingjelly(network, backend=backend), images())


def test_spikingjelly_dropout_keeps_its_mask_over_time():
    mine = from_spikingjelly(nn.Sequential(sj_layer.Dropout(0.5), neuron.IFNode()))
    kept = mine[0](torch.ones(9, 5, 40))
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(kept, mine[0](torch.ones(9, 5, 40)))
    mine.eval()
    assert torch.equal(mine[0](torch.ones(9, 5, 40)), torch.ones(9, 5, 40))


def test_spikingjelly_containers(comparison, backend):
    network = nn.Sequential(
        sj_layer.SeqToANNContainer(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)),
        neuron.LIFNode(tau=1.5, step_mode="m"),
        sj_layer.MultiStepContainer(nn.Flatten(), nn.Linear(144, 6), neuron.IFNode()),
    ).double()
    mine = from_spikingjelly(network, backend=backend)
    assert isinstance(mine[0], OverTime)
    run = spikingjelly_loop(network, multi=True)
    comparison.spikes(run, mine, images())
    comparison.gradients(run, mine, images(), weight_pairs(network, mine))


@pytest.mark.parametrize("cells", [True, False])
def test_norse_convolutional_and_recurrent(comparison, backend, cells):
    if cells:
        network = norse.SequentialState(
            nn.Conv2d(1, 4, 3), norse.LIFBoxCell(), nn.Flatten(), norse.LIFRecurrentCell(144, 8), nn.Linear(8, 3),
            norse.LIFCell(),
        )  # fmt: skip
    else:
        network = norse.SequentialState(
            norse.Lift(nn.Conv2d(1, 4, 3)), norse.LIF(), nn.Flatten(2), norse.LIFRecurrent(144, 8), nn.Linear(8, 3),
            norse.LIF(),
        )  # fmt: skip
    network.double()
    lively(network[0] if cells else network[0].lifted_module)
    lively(network[4])
    mine = from_norse(network, backend=backend)
    x = images(steps=25, high=20.0)
    comparison.spikes(norse_loop(network, cells), mine, x)
    comparison.gradients(norse_loop(network, cells), mine, x, weight_pairs(network, mine))


def test_norse_with_an_integrator_at_its_end(comparison):
    network = norse.SequentialState(nn.Linear(4, 10), norse.LIF(), nn.Linear(10, 3), norse.LI()).double()
    mine = from_norse(network, backend="reference")
    x = vectors(high=8.0)
    torch.testing.assert_close(mine(x), network(x)[0], rtol=1e-9, atol=1e-12)
    comparison.gradients(norse_loop(network, cells=False), mine, x, weight_pairs(network, mine))


def test_weights_are_copied():
    network = nn.Sequential(nn.Linear(4, 3), snntorch.RLeaky(beta=0.8, linear_features=3, init_hidden=True))
    before = copy.deepcopy(network.state_dict())
    mine = from_snntorch(network)
    optimizer = torch.optim.SGD(mine.parameters(), lr=0.5)
    mine(vectors().float()).sum().backward()
    optimizer.step()
    assert not torch.equal(mine[0].weight, network[0].weight)
    assert not torch.equal(mine[1].weight, network[1].recurrent.weight)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_shared_and_frozen_layers_stay_so():
    linear = nn.Linear(4, 4)
    linear.weight.requires_grad_(False)
    network = nn.Sequential(linear, neuron.IFNode(), linear, neuron.IFNode())
    mine = from_spikingjelly(network)
    assert mine[0] is mine[2]
    assert mine[0] is not linear
    assert not mine[0].weight.requires_grad
    frozen = from_snntorch(snntorch.RLeaky(beta=0.5, linear_features=3, learn_recurrent=False))
    assert not frozen.weight.requires_grad
    assert not frozen.bias.requires_grad


def test_names_modes_and_dtypes_are_kept():
    network = nn.Sequential()
    network.add_module("inputs", nn.Linear(4, 3))
    network.add_module("neurons", neuron.ParametricLIFNode())
    mine = from_spikingjelly(network.eval())
    assert [name for name, _ in mine.named_children()] == ["inputs", "neurons"]
    assert not mine.training
    assert not mine.neurons.training
    double = from_spikingjelly(network, dtype=F64)
    assert {p.dtype for p in double.parameters()} == {F64}
    assert double.neurons.beta.item() == pytest.approx(0.5, abs=1e-15)


def test_original_state_and_random_numbers_are_left_alone():
    leaky = snntorch.Leaky(beta=0.8, init_hidden=True)
    leaky(torch.full((2, 3), 0.7))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    mine = from_snntorch(leaky)
    from_norse(norse.LIFRecurrent(4, 5))
    torch.manual_seed(0)
    from_snntorch(snntorch.RLeaky(beta=0.5, all_to_all=False, V=torch.ones(3)))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(leaky.mem, torch.full((2, 3), 0.7))
    # It starts from rest, whatever state the original is in, and carries nothing over.
    x = torch.full((3, 2, 3), 0.7)
    assert torch.equal(mine(x), mine(x))
    assert not mine(x)[0].any()


def test_an_integrator_carries_its_state_on():
    mine = from_norse(norse.LI(), dtype=F64)
    x = vectors()
    first, state = mine.run(x[:30])
    second, _ = mine.run(x[30:], state)
    torch.testing.assert_close(torch.cat([first, second]), mine(x), rtol=1e-12, atol=1e-14)


def test_saved_and_copied():
    network = nn.Sequential(nn.Linear(4, 3), snntorch.Leaky(beta=0.8, init_hidden=True, learn_beta=True))
    mine = from_snntorch(network)
    with torch.no_grad():
        mine[1].membrane_decay.decay.fill_(0.6)
    other = from_snntorch(network)
    other.load_state_dict(mine.state_dict())
    x = vectors().float()
    assert torch.equal(other(x), mine(x))
    assert torch.equal(copy.deepcopy(mine)(x), mine(x))
