"""Any rule on any connection: convolutions equal their unrolled matrix, lists of synapses their dense pattern."""

import itertools

import pytest
import torch
from torch import nn

from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, RecurrentLIF
from spikeneuro.plasticity import (
    Convolutional,
    Dense,
    HyperbolicSTDP,
    PairSTDP,
    RewardSTDP,
    Sparse,
    SparseLinear,
    TripletSTDP,
    connect,
    learning,
)

F64 = torch.float64
PAIR = PairSTDP(a_plus=0.02, a_minus=0.03)
RULES = {
    "pair": PAIR,
    "soft": PairSTDP(a_plus=0.02, a_minus=0.03, mu_plus=1.0, mu_minus=0.5, pairing="nearest", coincident="both"),
    "triplet": TripletSTDP.hippocampus(),
    "once": HyperbolicSTDP(rate=0.01),
    "reward": RewardSTDP(rule=PAIR, tau_eligibility=0.1, tau_reward=0.05),
}
CONVOLUTIONS = {
    "plain": (nn.Conv2d, {"kernel_size": 3}, (7, 6)),
    "strided": (nn.Conv2d, {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}, (7, 6)),
    "dilated": (nn.Conv2d, {"kernel_size": 3, "dilation": 2, "padding": 2}, (6, 6)),
    "same": (nn.Conv2d, {"kernel_size": (4, 2), "padding": "same"}, (5, 5)),
    "depthwise": (nn.Conv2d, {"kernel_size": (3, 1), "groups": 2, "padding": "valid"}, (6, 4)),
    "one axis": (nn.Conv1d, {"kernel_size": 4, "stride": 2, "padding": 1}, (9,)),
    "one axis, same": (nn.Conv1d, {"kernel_size": 4, "padding": "same", "groups": 2}, (9,)),
}


def reward_of(rule, steps, batch):
    if not isinstance(rule, RewardSTDP):
        return None
    return torch.randn(steps, batch, generator=torch.Generator().manual_seed(5), dtype=F64)


def unrolled(module, size):
    """For each synapse of a convolution, which pairs (post neuron, pre neuron) share it: a list of index pairs."""
    n_pre = module.in_channels * int(torch.tensor(size).prod())
    images = torch.eye(n_pre, dtype=F64).reshape(n_pre, module.in_channels, *size)
    pairs = []
    for index in itertools.product(*map(range, module.weight.shape)):
        with torch.no_grad():
            module.weight.zero_()
            module.weight[index] = 1.0
        pairs.append((index, torch.nonzero(module(images).flatten(1).T)))
    return pairs


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolution_equals_the_unrolled_matrix(kind, name, train) -> None:
    make, options, size = CONVOLUTIONS[kind]
    module = make(2, 4, bias=False, dtype=F64, **options)
    with torch.no_grad():
        pairs = unrolled(module, size)
        module.weight.uniform_(0.0, 1.0, generator=torch.Generator().manual_seed(1))
        steps, batch = 12, 2
        pre = train(steps, batch, 2, *size, seed=2, rate=0.3)
        places = module(pre[0]).shape[1:]
        post = train(steps, batch, *places, seed=3, rate=0.3)
        matrix = torch.zeros(post[0, 0].numel(), pre[0, 0].numel(), dtype=F64)
        for index, where in pairs:
            matrix[where[:, 0], where[:, 1]] = module.weight[index]
    rule = RULES[name]
    given = {"reward": reward_of(rule, steps, batch), "reduction": "sum"}
    found = rule.delta(pre, post, Convolutional(module, 0.0, 1.0), **given)
    dense = rule.delta(pre.flatten(2), post.flatten(2), Dense(matrix, 0.0, 1.0), **given)
    for index, where in pairs:
        assert found[index].item() == pytest.approx(dense[where[:, 0], where[:, 1]].sum().item(), rel=1e-9, abs=1e-12)
    samples = rule.delta(pre, post, Convolutional(module, 0.0, 1.0), **{**given, "reduction": "none"})
    torch.testing.assert_close(samples.sum(0), found)


def pattern(n_post=5, n_pre=6, seed=0):
    exists = torch.rand(n_post, n_pre, generator=torch.Generator().manual_seed(seed)) < 0.4
    post, pre = torch.nonzero(exists, as_tuple=True)
    weight = torch.rand(n_post, n_pre, dtype=F64, generator=torch.Generator().manual_seed(seed + 1))
    return exists, post, pre, weight


@pytest.mark.parametrize("name", RULES)
def test_list_of_synapses_equals_the_dense_matrix_on_its_pattern(name, train) -> None:
    exists, post, pre, weight = pattern()
    before, after = train(30, 3, 6, seed=4), train(30, 3, 5, seed=5)
    sparse = Sparse(weight[exists].clone(), post, pre, (5, 6), 0.0, 1.0)
    dense = Dense(weight.clone() * exists, 0.0, 1.0, exists)
    rule = RULES[name]
    given = {"reward": reward_of(rule, 30, 3)}
    change = rule.delta(before, after, dense, **given)
    torch.testing.assert_close(rule.delta(before, after, sparse, **given), change[exists])
    assert not change[~exists].any()
    with learning(sparse, rule) as one, learning(dense, rule) as other:
        one.replay(before, after, **given)
        other.replay(before, after, **given)
    torch.testing.assert_close(sparse.weight, dense.weight[exists])
    assert not dense.weight[~exists].any()


def test_constants_of_listed_synapses_go_by_synapse_and_by_neuron(train) -> None:
    exists, post, pre, weight = pattern(seed=7)
    before, after = train(30, 2, 6, seed=4), train(30, 2, 5, seed=5)
    draw = torch.Generator().manual_seed(2)
    tau, row, column = (0.01 + 0.04 * torch.rand(*s, generator=draw, dtype=F64) for s in ((5, 6), (1, 6), (5, 1)))
    sparse, dense = Sparse(weight[exists], post, pre, (5, 6)), Dense(weight, exists=exists)
    for for_list, for_matrix in ((tau[exists], tau), (row, row), (column, column)):
        listed = PairSTDP(a_plus=for_list, a_minus=for_list, tau_plus=for_list, tau_minus=for_list)
        matrix = PairSTDP(a_plus=for_matrix, a_minus=for_matrix, tau_plus=for_matrix, tau_minus=for_matrix)
        torch.testing.assert_close(
            listed.delta(before, after, sparse), matrix.delta(before, after, dense)[exists], rtol=1e-9, atol=1e-12
        )


def test_constants_of_a_convolution_go_by_kernel_and_by_channel(train) -> None:
    module = nn.Conv2d(2, 3, 2, bias=False, dtype=F64)
    pre, post = train(20, 2, 2, 4, 4, seed=1), train(20, 2, 3, 3, 3, seed=2)
    view = Convolutional(module)
    tau = torch.full((3, 2, 2, 2), 0.02, dtype=F64)
    plain = PairSTDP().delta(pre, post, view)
    for equal in (tau, tau[:1, :, :1, :1], tau[:, :1, :1, :1]):
        torch.testing.assert_close(PairSTDP(tau_plus=equal, tau_minus=equal).delta(pre, post, view), plain)
    slow = PairSTDP(tau_plus=torch.tensor([0.02, 0.08], dtype=F64).reshape(1, 2, 1, 1)).delta(pre, post, view)
    torch.testing.assert_close(slow[:, 0], plain[:, 0])
    torch.testing.assert_close(slow[:, 1], PairSTDP(tau_plus=0.08).delta(pre, post, view)[:, 1])


def test_sparse_layer_equals_the_dense_layer_in_value_and_gradient() -> None:
    exists, post, pre, weight = pattern(seed=9)
    layer = SparseLinear(post, pre, (5, 6), weight[exists])
    x = torch.randn(7, 3, 6, dtype=F64, requires_grad=True)
    full = (weight * exists).requires_grad_()
    y = layer(x)
    torch.testing.assert_close(y, x @ full.T)
    (y * torch.arange(5)).sum().backward()
    mine, grad = x.grad.clone(), layer.weight.grad
    x.grad = None
    ((x @ full.T) * torch.arange(5)).sum().backward()
    torch.testing.assert_close(mine, x.grad)
    torch.testing.assert_close(grad, full.grad[exists])


def test_views_change_the_module_itself(train) -> None:
    _, post, pre, _ = pattern()
    modules = [
        (nn.Linear(6, 5, dtype=F64), (6,), (5,)),
        (nn.Conv1d(2, 3, 3, padding=1, dtype=F64), (2, 8), (3, 8)),
        (nn.Conv2d(2, 3, 3, padding=1, dtype=F64), (2, 4, 4), (3, 4, 4)),
        (SparseLinear(post, pre, (5, 6)).double(), (6,), (5,)),
        (RecurrentLIF(5, dtype=F64), (5,), (5,)),
    ]
    for module, before, after in modules:
        old = module.weight.detach().clone()
        with learning(connect(module, -2.0, 2.0), PAIR) as learner:
            change = learner.update(train(20, 2, *before, seed=1), train(20, 2, *after, seed=2))
        assert change.abs().max() > 0
        torch.testing.assert_close(module.weight.detach(), old + change)
        assert module.weight.grad is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: connect(LIF(3)), "LIF has no synapses that can learn"),
        (lambda: connect(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))), "weights of this .*Linear are"),
        (lambda: connect(nn.utils.spectral_norm(nn.Conv1d(2, 3, 1))), "weights of this Conv1d are computed"),
        (lambda: Dense(torch.zeros(3)), "Dense needs weights"),
        (lambda: Dense(torch.zeros(3, 2, dtype=torch.int64)), "floating-point tensor"),
        (lambda: Dense(torch.zeros(3, 2), low=1.0, high=1.0), "high must be above low"),
        (lambda: Dense(torch.zeros(3, 2), low=torch.zeros(2)), "low of shape"),
        (lambda: Dense(torch.zeros(3, 2), exists=torch.ones(2, 3)), "exists must be of the weights' shape"),
        (lambda: Dense(torch.zeros(3, 2), low=0.0, high=1.0).draw_(0.5, 2.0), "draw_ needs low < high within"),
        (lambda: Convolutional(nn.Conv3d(1, 1, 1)), "needs a Conv1d or Conv2d"),
        (lambda: Convolutional(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")), "pads with zeros only"),
        (
            lambda: PAIR.delta(torch.zeros(2, 1, 1, 5, 5), torch.zeros(2, 1, 1, 5, 5), connect(nn.Conv2d(1, 1, 3))),
            "the convolution makes",
        ),
        (
            lambda: PAIR.delta(torch.zeros(2, 1, 3, 5, 5), torch.zeros(2, 1, 1, 3, 3), connect(nn.Conv2d(1, 1, 3))),
            "pre must be",
        ),
        (lambda: Sparse(torch.zeros(1), torch.tensor([3]), torch.tensor([0]), (3, 2)), "post holds the neuron 3 of 3"),
        (lambda: Sparse(torch.zeros(1), torch.tensor([0.0]), torch.tensor([0]), (3, 2)), "list of indices"),
        (lambda: Sparse(torch.zeros(2), torch.tensor([0, 0]), torch.tensor([1, 1]), (3, 2)), "listed twice"),
        (lambda: Sparse(torch.zeros(2), torch.tensor([0]), torch.tensor([1]), (3, 2)), "one weight per synapse"),
        (lambda: SparseLinear(torch.tensor([0]), torch.tensor([1]), (3, 2))(torch.zeros(4, 3)), "expected 2 features"),
        (
            lambda: PairSTDP(a_plus=torch.ones(3, 2)).delta(
                torch.zeros(2, 1, 2), torch.zeros(2, 1, 3),
                Sparse(torch.zeros(1), torch.tensor([0]), torch.tensor([1]), (3, 2)),
            ),
            "one value per synapse",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
