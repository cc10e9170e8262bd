"""What comparing a converted network with its original takes."""

import pytest
import torch


class Comparison:
    """Spikes and gradients of an original and its conversion on the same input."""

    def spikes(self, original, converted, x):
        """All spikes equal."""
        theirs = original(x).detach().to(x.dtype)
        with torch.no_grad():
            mine = converted(x)
        assert mine.shape == theirs.shape
        assert mine.dtype == x.dtype
        assert 0 < theirs.mean() < 1, "a comparison of silent neurons says nothing"
        assert torch.equal(mine, theirs)
        return mine

    def gradients(self, original, converted, x, pairs=(), *, floor=1e-9, silent=False):
        """Equal gradients of the input and of pairs (their parameter, mine), for a random sum of the outputs.

        To 1e-5 of each value, or `floor` of the largest. `silent`: some gradients are 0.
        """
        weights = torch.randn(original(x).shape, generator=torch.Generator().manual_seed(99), dtype=x.dtype)
        found = []
        for run, parameters in ((original, [a for a, _ in pairs]), (converted, [b for _, b in pairs])):
            leaf = x.clone().requires_grad_()
            found.append(torch.autograd.grad((run(leaf) * weights).sum(), [leaf, *parameters]))
        for theirs, mine in zip(*found, strict=True):
            assert theirs.abs().max() > 0 or silent, "a comparison of zero gradients says nothing"
            mine = mine.reshape(theirs.shape)
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=float(floor * theirs.abs().max()))


@pytest.fixture
def comparison():
    return Comparison()


@pytest.fixture(params=["reference", "auto"])
def backend(request):
    return request.param
