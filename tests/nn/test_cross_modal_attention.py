"""Attention across modalities: what it scales, what it must not see, and its gradients."""

import numpy as np
import pytest
import torch

from spikeneuro import energy
from spikeneuro.errors import InputError
from spikeneuro.nn import CrossModalAttention

SHAPES = {"maps": ((3, 8, 6), (2, 8, 6)), "neurons": ((5,), (4,))}
STEPS = 12


def spikes(shape, seed=0, rate=0.3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, 4, *shape, generator=generator) < rate).to(dtype)


def built(kind, **options):
    torch.manual_seed(0)
    return CrossModalAttention(*SHAPES[kind], STEPS, **options)


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


def test_scores_of_one_leave_the_spikes_as_they_are(kind):
    attention = built(kind)
    with torch.no_grad():  # the logistic function of 50 is 1 in single precision
        for layer in (attention.place, attention.time[-1]):
            layer.weight.zero_()
            layer.bias.fill_(50.0)
    where, when = (spikes(shape, seed) for seed, shape in enumerate(SHAPES[kind]))
    for scaled, given in zip(attention(where, when), (where, when), strict=True):
        assert torch.equal(scaled, given)


def test_without_either_attention_nothing_is_scaled(kind):
    attention = built(kind, spatial=False, temporal=False)
    where, when = (spikes(shape, seed) for seed, shape in enumerate(SHAPES[kind]))
    assert not list(attention.parameters())
    for scaled, given in zip(attention(where, when), (where, when), strict=True):
        assert scaled is given


def test_the_order_in_time_of_the_branch_that_says_where_does_not_matter_in_space(kind):
    attention, where = built(kind), spikes(SHAPES[kind][0])
    order = torch.randperm(STEPS)
    torch.testing.assert_close(attention.spatial_scores(where[order]), attention.spatial_scores(where))


def test_the_order_of_places_of_the_branch_that_says_when_does_not_matter_in_time(kind):
    attention, when = built(kind), spikes(SHAPES[kind][1])
    flat = when.flatten(2)
    moved = flat[..., torch.randperm(flat.shape[2])].reshape(when.shape)
    torch.testing.assert_close(attention.temporal_scores(moved), attention.temporal_scores(when))


def test_scores_are_those_of_the_equations(kind):
    """Against NumPy: the convolution (or product) of rates, and two layers of the rate at each step."""
    attention = built(kind, kernel_size=3)
    where, when = (spikes(shape, seed) for seed, shape in enumerate(SHAPES[kind]))
    weights = {name: p.detach().double().numpy() for name, p in attention.named_parameters()}

    def logistic(x):
        return 1 / (1 + np.exp(-x))

    rate = where.double().numpy().mean(axis=0)
    if kind == "maps":
        reduced = np.pad(np.stack([rate.mean(axis=1), rate.max(axis=1)], axis=1), [(0, 0), (0, 0), (1, 1), (1, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(reduced, (3, 3), axis=(2, 3))
        drive = np.einsum("bchwij,ocij->bohw", windows, weights["place.weight"]) + weights["place.bias"]
    else:
        drive = rate @ weights["place.weight"].T + weights["place.bias"]
    np.testing.assert_allclose(attention.spatial_scores(where).detach(), logistic(drive), rtol=1e-5)

    over_time = when.double().numpy().reshape(STEPS, 4, -1).mean(axis=2).T
    hidden = np.maximum(over_time @ weights["time.0.weight"].T + weights["time.0.bias"], 0)
    steps = logistic(hidden @ weights["time.2.weight"].T + weights["time.2.bias"]).T
    np.testing.assert_allclose(attention.temporal_scores(when).detach(), steps, rtol=1e-5)

    scaled_where, scaled_when = attention(where, when)
    over = steps.reshape(STEPS, 4, *[1] * (where.ndim - 2))
    np.testing.assert_allclose(scaled_where.detach(), where.numpy() * over, rtol=1e-5)
    np.testing.assert_allclose(scaled_when.detach(), when.numpy() * logistic(drive)[None], rtol=1e-5)


def test_gradients_through_both_paths_are_those_of_finite_differences(kind):
    attention = built(kind, kernel_size=3).double()
    inputs = [(spikes(shape, seed)[:, :1].double() + 0.1).requires_grad_() for seed, shape in enumerate(SHAPES[kind])]
    scaled = attention(*inputs)
    # each output depends on both branches
    for output in scaled:
        for gradient in torch.autograd.grad(output.square().sum(), inputs, retain_graph=True):
            assert gradient.abs().sum() > 0
    if kind == "maps":  # a few of the places are enough
        inputs = [x[:, :, :, :2, :3].detach().requires_grad_() for x in inputs]
        attention.where_shape, attention.when_shape = (3, 2, 3), (2, 2, 3)
    assert torch.autograd.gradcheck(lambda a, b: attention(a, b), inputs)


def test_absent_samples_leave_the_other_branch_alone(kind):
    attention = built(kind)
    where, when = (spikes(shape, seed) for seed, shape in enumerate(SHAPES[kind]))
    some = torch.tensor([True, False, True, True])
    everywhere = attention(where, when)
    scaled = attention(where, when, where_present=some, when_present=~some)
    assert torch.equal(scaled[1][:, 1], when[:, 1])
    assert torch.equal(scaled[1][:, [0, 2, 3]], everywhere[1][:, [0, 2, 3]])
    assert torch.equal(scaled[0][:, 0], where[:, 0])
    assert torch.equal(scaled[0][:, 1], everywhere[0][:, 1])


def test_what_comes_out_is_multiplied_not_accumulated():
    """The ledger: a layer behind attention works on real numbers, one beside it on spikes."""

    class Net(torch.nn.Module):
        def __init__(self, spatial):
            super().__init__()
            self.attention = CrossModalAttention(5, 4, STEPS, spatial=spatial, temporal=False)
            self.after = torch.nn.Linear(4, 3, bias=False)

        def forward(self, x):
            fired = (x > 0).float().transpose(0, 1)
            return self.after(self.attention(fired[..., :5], fired[..., 5:])[1])

    x = torch.randn(2, STEPS, 9)
    rows = [{row.name: row for row in energy.count(Net(spatial), x).layers}["after"] for spatial in (True, False)]
    assert (rows[0].dense.macs > 0, rows[0].dense.acs) == (True, 0)
    assert (rows[1].dense.macs, rows[1].dense.acs > 0) == (0, True)
    assert rows[0].effective.macs == rows[1].effective.acs  # silence costs nothing either way


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 8, 6), (4,), 5), "vectors, or of maps"),
        (((3, 8, 6), (3, 8, 7), 5), "height and width"),
        (((3, 8), (3, 8), 5), "where_shape"),
        ((4, 0, 5), "when_shape"),
        ((4, 4, 0), "n_steps"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        CrossModalAttention(*arguments)


def test_even_kernels_and_other_input_are_refused(kind):
    with pytest.raises(InputError, match="must be odd"):
        built(kind, kernel_size=4)
    attention = built(kind)
    where, when = (spikes(shape, seed) for seed, shape in enumerate(SHAPES[kind]))
    with pytest.raises(InputError, match="when must have shape"):
        attention(where, when[:5])
    with pytest.raises(InputError, match="where must have shape"):
        attention(when, where)
