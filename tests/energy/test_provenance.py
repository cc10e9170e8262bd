"""What is a spike: how a tensor was made, not the values it happens to hold."""

import pytest
import torch
from torch import nn

from spikeneuro import energy


class Net(nn.Module):
    """A function of the input followed by a linear layer with four inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.linear = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.linear(self.function(x))


def step(x):
    return (x > 0).float()


def written_in_place(x):
    out = torch.empty_like(x)
    out[:, :2] = step(x)[:, :2]
    out[:, 2:].copy_(step(x)[:, 2:])
    return out


def spoilt_in_place(x):
    out = step(x)
    out[:, 1] = x[:, 1]
    return out


BINARY = {
    "comparison": step,
    "heaviside": lambda x: torch.heaviside(x, torch.tensor(0.0)),
    "where": lambda x: torch.where(x > 0, 1.0, 0.0),
    "logical": lambda x: ((x > 0) & (x < 1)).float(),
    "bernoulli": lambda x: torch.bernoulli(torch.sigmoid(x)),
    "sign": lambda x: torch.sign(x),
    "view, permute, slice": lambda x: step(x).view(2, 2, -1).permute(2, 0, 1).reshape(-1, 4)[: x.shape[0]],
    "concatenation": lambda x: torch.cat([step(x)[:, :1], step(x)[:, 1:]], 1),
    "padding": lambda x: nn.functional.pad(step(x)[:, :3], (0, 1)),
    "max pooling": lambda x: nn.functional.max_pool1d(step(x).repeat(1, 2)[:, None], 2)[:, 0],
    "maximum": lambda x: step(x)[:, None].expand(-1, 3, -1).amax(1),
    "stack and index": lambda x: torch.stack([step(x), step(-x)])[torch.tensor([1, 0])][0],
    "product of two": lambda x: step(x) * step(x - 0.1),
    "complement": lambda x: 1 - step(x),
    "difference": lambda x: step(x) - step(x - 0.5),
    "written in place": written_in_place,
    "double precision and back": lambda x: step(x).double().float(),
    "dropout at rest": lambda x: nn.functional.dropout(step(x), training=False),
    "reset by fill": lambda x: step(x).masked_fill(x > 2, 0.0),
}
GRADED = {
    "input": lambda x: x,
    "rectified": lambda x: x.relu(),
    "average": lambda x: nn.functional.avg_pool1d(step(x).repeat(1, 2)[:, None], 2)[:, 0],
    "scaled": lambda x: step(x) * 0.5,
    "sum of two": lambda x: step(x) + step(-x),
    "gated": lambda x: step(x) * x,
    "ones": lambda x: torch.ones_like(x),
    "spoilt in place": spoilt_in_place,
    "concatenation with values": lambda x: torch.cat([step(x)[:, :2], x[:, 2:]], 1),
    "filled with a value": lambda x: step(x).masked_fill(x > 2, 0.5),
    "Poisson counts": lambda x: torch.poisson(x.exp()),
    "normalised": lambda x: nn.functional.layer_norm(step(x), (4,)),
}


@pytest.mark.parametrize("function", BINARY.values(), ids=BINARY.keys())
def test_spikes_stay_spikes(function):
    seen = []
    ledger = energy.count(Net(lambda x: seen.append(function(x)) or seen[-1]), torch.randn(4, 4))
    assert (ledger.dense.acs, ledger.dense.macs) == (8, 0)
    assert ledger.acs * 4 == 2 * torch.count_nonzero(seen[0])


@pytest.mark.parametrize("function", GRADED.values(), ids=GRADED.keys())
def test_other_values_stay_values(function):
    ledger = energy.count(Net(function), torch.randn(4, 4))
    assert (ledger.dense.acs, ledger.dense.macs) == (0, 8)


def test_ones_and_zeros_of_the_input_are_no_spikes_unless_said():
    layer, x = nn.Linear(4, 2), torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    assert (energy.count(layer, x).macs, energy.count(layer, x).acs) == (6, 0)
    told = energy.count(layer, x, spikes_in=True)
    assert (told.macs, told.acs, told.dense.acs) == (0, 6, 8)


@pytest.mark.parametrize(("factor", "spikes"), [(1.0, True), (0.7, False)])
def test_one_element_constant_counts_by_its_value(factor, spikes):
    """Neurons with a learnable spike height of one, as in snnTorch, emit spikes; with another height they do not."""
    height = nn.Parameter(torch.tensor(factor))
    ledger = energy.count(Net(lambda x: step(x) * height), torch.randn(3, 4))
    assert (ledger.dense.acs > 0) == spikes


def test_selection_by_spikes_is_no_multiplication():
    class Gate(nn.Module):
        def forward(self, x):
            return step(x) * x

    assert energy.count(Gate(), torch.randn(2, 4)).dense.multiplications == 0


def test_initial_state_takes_the_type_of_what_follows():
    class Recurrent(nn.Module):
        def __init__(self, squash):
            super().__init__()
            self.weight = nn.Linear(4, 4, bias=False)
            self.squash = squash

        def forward(self, x):
            state = torch.zeros(x.shape[0], 4)
            for t in range(x.shape[1]):
                state = self.squash(self.weight(state) + x[:, t])
            return state

    x = torch.randn(3, 5, 4)
    spiking, rate = energy.count(Recurrent(step), x), energy.count(Recurrent(torch.tanh), x)
    assert (spiking.dense.acs, spiking.dense.macs) == (5 * 16, 0)
    assert (rate.dense.acs, rate.dense.macs) == (0, 5 * 16)
    assert rate.macs == 4 * 16
