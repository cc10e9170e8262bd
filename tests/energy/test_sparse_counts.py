"""Counts of sparse products and of the cube, against programs that take one spike and one connection at a time."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import nn

from spikeneuro import energy
from spikeneuro.errors import InputError
from spikeneuro.plasticity import SparseLinear
from spikeneuro.reservoir import DeSNN, DeSNNRegressor, NeuCube
from spikeneuro.reservoir.neucube_network import CubeLayer
from spikeneuro.reservoir.neucube_wiring import Dynamics, build

NAMES = ["C3", "C4", "O1", "O2"]


def synapses(seed, n_post=5, n_pre=4, count=9):
    pairs = np.random.default_rng(seed).permutation(n_post * n_pre)[:count]
    return torch.from_numpy(pairs // n_pre), torch.from_numpy(pairs % n_pre), (n_post, n_pre)


@given(seed=st.integers(0, 1000), spikes=st.booleans())
@settings(max_examples=20, deadline=None)
def test_sparse_layer_costs_one_product_a_synapse_of_an_active_input(seed, spikes):
    post, pre, sizes = synapses(seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, 7, sizes[1], generator=generator).round() * (1 if spikes else 0.3)
    ledger = energy.count(SparseLinear(post, pre, sizes), x, spikes_in=spikes)
    made = sum(1 for row in x.flatten(0, 1) for k in pre.tolist() if row[k] != 0)
    counted, other = (ledger.acs, ledger.macs) if spikes else (ledger.macs, ledger.acs)
    assert counted * 3 == made
    assert other == 0
    assert ledger.dense.macs + ledger.dense.acs == 7 * len(pre)


def test_sparse_layer_equals_the_dense_one_with_gradients():
    post, pre, sizes = synapses(1)
    layer = SparseLinear(post, pre, sizes).double()
    x = torch.randn(2, 3, sizes[1], dtype=torch.float64, requires_grad=True)
    dense = torch.zeros(sizes, dtype=torch.float64).index_put((post, pre), layer.weight)
    torch.testing.assert_close(layer(x), x @ dense.T)
    weight = layer.weight.detach().clone().requires_grad_()
    product = torch.ops.spikeneuro.sparse_linear
    torch.autograd.gradcheck(lambda x, w: product(x, w, post, pre, sizes[0]), (x.detach()[0].requires_grad_(), weight))
    layer(x).square().sum().backward()
    alone = x.detach().clone().requires_grad_()
    (alone @ dense.detach().T).square().sum().backward()
    torch.testing.assert_close(x.grad, alone.grad)


class Events(nn.Module):
    """A cube that is given the spikes of its inputs, (batch, steps, inputs)."""

    def __init__(self, cube):
        super().__init__()
        self.cube = CubeLayer(cube)

    def forward(self, x):
        return self.cube(x.transpose(0, 1))


def slow(cube, sample):
    """One sample through a cube, neuron by neuron: spikes, and what was done to get them."""
    done, constants = Counter(), cube.dynamics
    inputs = [*cube.inputs, *cube.negative_inputs]
    leaving = {i: [] for i in range(cube.n_neurons)}
    for i, j, w in zip(cube.sender, cube.receiver, cube.weight, strict=True):
        leaving[i].append((j, np.float32(w)))
    potential = np.zeros(cube.n_neurons, np.float32)
    waiting = [0] * cube.n_neurons
    before, spikes = [], 0
    for row in sample:
        drive = np.zeros(cube.n_neurons, np.float32)
        for i in sorted(before):
            for j, w in leaving[i]:
                drive[j] += w
                done["acs"] += 1
        before = [neuron for neuron, event in zip(inputs, row, strict=True) if event]
        for j in range(cube.n_neurons):
            if j in inputs:
                continue
            if constants.refractory:
                done["comparisons"] += 1
            if waiting[j]:
                waiting[j] -= 1
                done["additions"] += 1
                continue
            done["state_updates"] += 1
            raised = potential[j] + drive[j]
            done["additions"] += 1
            done["comparisons"] += 1
            if raised >= np.float32(constants.threshold):
                before.append(j)
                spikes += 1
                potential[j], waiting[j] = 0, constants.refractory
            else:
                if constants.leak:
                    raised = np.float32(raised - np.float32(constants.leak))
                    done["additions"] += 1
                potential[j] = max(np.float32(0), raised)
                done["comparisons"] += 1
    return done, spikes


@pytest.mark.parametrize("negative", ["mirror", "none"])
@pytest.mark.parametrize(("leak", "refractory"), [(0.002, 6), (0.0, 2), (0.01, 0)])
def test_cube_costs_what_a_program_of_single_spikes_does(negative, leak, refractory):
    random = np.random.default_rng(0)
    neurons = random.random((40, 3))
    cube = build(
        neurons, np.array([3, 11, 30]), negative=negative, radius=0.6, inhibitory=0.2, max_weight=0.4,
        dynamics=Dynamics(leak=leak, refractory=refractory), random_state=1,
    )  # fmt: skip
    events = random.random((3, 30, 6 if negative == "mirror" else 3)) < 0.4
    ledger = energy.count(Events(cube), torch.from_numpy(events), spikes_in=True)
    by_hand = [slow(cube, sample) for sample in events]
    total = sum((done for done, _ in by_hand), Counter())
    row = next(layer for layer in ledger.layers if layer.type == "CubeLayer")
    assert row.spikes == sum(spikes for _, spikes in by_hand) > 0
    assert row.neuron_steps == 3 * 30 * 37
    for kind in ("acs", "additions", "comparisons", "state_updates"):
        assert getattr(row.effective, kind) == total[kind], kind
    assert row.dense.acs == 3 * 30 * len(cube.sender)
    assert row.effective.macs == row.effective.multiplications == 0


def samples(n=20, times=60):
    random = np.random.default_rng(0)
    y = np.arange(n) % 2
    X = random.normal(size=(n, 4, times))
    X[y == 1, :2] = X[y == 1, :2].cumsum(axis=-1)
    return X, y


@pytest.mark.parametrize(
    "readout",
    [
        None, DeSNN(ties="min", first_rank=1, vote="gaussian"), DeSNN(ties="index", vote="uniform", n_neighbors=5),
        DeSNN(vote="relative"), LogisticRegression(),
    ],
    ids=["dense ranks", "gaussian", "uniform", "relative", "logistic"],
)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"encoder": "bsa"}, {"negative": "none"}], ids=["delta", "bsa", "no twins"])
def test_network_computes_what_the_estimator_does(readout, options):
    X, y = samples()
    cube = NeuCube(names=NAMES, spacing=20.0, random_state=0, readout=readout, **options).fit(X[:14], y[:14])
    output = cube.net_.module_(cube.network_input(X[14:])).numpy()
    expected = cube.readout_.decision_function(cube.transform(X[14:])) if readout and hasattr(
        readout, "decision_function") else cube.predict_proba(X[14:])  # fmt: skip
    np.testing.assert_allclose(output.squeeze(), expected, atol=1e-9)
    ledger = energy.count(cube, X[14:])
    assert 0 < ledger.acs <= ledger.dense.acs
    assert ledger.spike_rate == pytest.approx(cube.transform(X[14:])[:, ~cube.cube_.is_input].mean())
    assert energy.count(cube, X[14:], batch_size=2).effective == ledger.effective


def test_regression_and_readouts_without_count():
    X, y = samples()
    options = {"names": NAMES, "spacing": 20.0, "random_state": 0}
    cube = NeuCube(task="regression", readout=DeSNNRegressor(), **options).fit(X, y + 0.5)
    np.testing.assert_allclose(cube.net_.module_(cube.network_input(X))[:, 0], cube.predict(X), atol=1e-9)
    with pytest.raises(InputError, match="membrane form"):
        energy.count(NeuCube(readout=DeSNN("membrane"), **options).fit(X, y), X)
    with pytest.raises(InputError, match="SVC"):
        energy.count(NeuCube(readout=SVC(), **options).fit(X, y), X)


def test_rank_order_weights_cost_a_comparison_a_spike_and_an_addition_a_step_of_drift():
    spikes = torch.zeros(5, 1, 3)
    spikes[1, 0, 0] = spikes[3, 0, 0] = spikes[4, 0, 2] = 1

    class Weights(nn.Module):
        def forward(self, x):
            return torch.ops.spikeneuro.rank_order_weights(x.transpose(0, 1), [0.8, 0.1, 0.1, 1.0], "dense")

    ledger = energy.count(Weights(), spikes.transpose(0, 1), spikes_in=True)
    assert ledger.effective.comparisons == 3
    assert ledger.effective.multiplications == 2
    assert ledger.effective.additions == 3  # neuron 0 drifts in steps 2 to 4, neuron 2 in none
    assert ledger.dense.additions == 4 * 3
    torch.testing.assert_close(
        Weights()(spikes.transpose(0, 1)), torch.tensor([[1.0 - 0.1, 0.0, 0.8]], dtype=torch.float64)
    )
