"""Each row of the tables in the docstring of `spikeneuro.ops.surrogates`, against the framework or the formula."""

import itertools
import math
import re

import pytest
import torch
from scipy import stats

from spikeneuro.ops import surrogates

#: 0 and the ends of the supports below are not among them.
X = torch.linspace(-4.0013, 3.9987, 2001, dtype=torch.float64)
SETTINGS = [{"a": a, "b": b, "c": 0.5 * b, "k": k} for a, b, k in [(1.0, 1.0, 25.0), (2.0, 0.3, 5.0), (0.7, 2.5, 0.9)]]


def rows(heading):
    """Pairs of the table that begins with `heading`."""
    table = re.search(rf"=\n{heading} +here\n=+ +=+\n(.*?)\n==", surrogates.__doc__, re.DOTALL)
    return [re.fullmatch(r"(?:``)?(.*?)(?:``)? {2,}``(.*)``", line).groups() for line in table[1].splitlines()]


def mine(text, numbers):
    return eval(text, {**vars(surrogates), "sqrt": math.sqrt, **numbers})


def backward(function):
    x = X.clone().requires_grad_()
    function(x).sum().backward()
    return x.grad


def check(theirs, text, numbers):
    # The frameworks round some of their constants to float32: snnTorch its slope, Norse the root of pi.
    torch.testing.assert_close(mine(text, numbers).gradient(X), theirs, rtol=1e-7, atol=1e-12)


def cases(heading):
    return [
        pytest.param(*row, numbers, id=f"{row[0]} {numbers}")
        for row, numbers in itertools.product(rows(heading), SETTINGS)
    ]


@pytest.mark.parametrize(("theirs", "text", "numbers"), cases("snnTorch 1.0"))
def test_snntorch(theirs, text, numbers):
    surrogate = pytest.importorskip("snntorch.surrogate")
    check(backward(eval(f"surrogate.{theirs}", {"surrogate": surrogate, **numbers})), text, numbers)


@pytest.mark.parametrize(("theirs", "text", "numbers"), cases("SpikingJelly 2.0"))
def test_spikingjelly(theirs, text, numbers):
    surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
    check(backward(eval(f"surrogate.{theirs}", {"surrogate": surrogate, **numbers})), text, numbers)


@pytest.mark.parametrize(("theirs", "text", "numbers"), cases("Norse 1.1"))
def test_norse(theirs, text, numbers):
    threshold = pytest.importorskip("norse.torch.functional.threshold").threshold
    check(backward(lambda x: threshold(x, **eval(f"dict({theirs})", dict(numbers)))), text, numbers)


def normal(mean, deviation):
    return torch.from_numpy(stats.norm.pdf(X.numpy(), mean, deviation))


#: The derivatives as the publications print them.
PUBLISHED = {
    "SuperSpike": lambda a, b, c, k: (1 + b * X.abs()) ** -2,
    "STBP": lambda a, b, c, k: torch.sign(a / 2 - X.abs()).clamp(min=0) / a,
    # By the chain rule: the triangle of (v - c) / c, whose derivative with respect to v is 1 / c.
    "LSNN": lambda a, b, c, k: 0.3 * (1 - ((X + c - c) / c).abs()).clamp(min=0) / c,
    "SLAYER": lambda a, b, c, k: torch.exp(-b * X.abs()) / a,
    "SRNN": lambda a, b, c, k: 0.5 * (1.15 * normal(0, 0.5) - 0.15 * normal(0.5, 3.0) - 0.15 * normal(-0.5, 3.0)),
    "boxcar": lambda a, b, c, k: (X.abs() <= 0.5).double(),
}


@pytest.mark.parametrize(("source", "text", "numbers"), cases("publication"))
def test_publications(source, text, numbers):
    check(PUBLISHED[source.split()[0]](**numbers), text, numbers)


def test_all_rows_were_found():
    found = {
        heading: len(rows(heading)) for heading in ("snnTorch 1.0", "SpikingJelly 2.0", "Norse 1.1", "publication")
    }
    assert found == {"snnTorch 1.0": 6, "SpikingJelly 2.0": 9, "Norse 1.1": 4, "publication": len(PUBLISHED)}


def test_gaussian_is_several_gaussians_without_flanks():
    one = surrogates.Gaussian(sigma=0.7, amplitude=0.4)
    several = surrogates.MultiGaussian(gamma=0.4, h=0.0, sigma=0.7)
    torch.testing.assert_close(one.gradient(X), several.gradient(X))
    torch.testing.assert_close(one.primitive(X), several.primitive(X))


def test_why_the_triangular_of_snntorch_is_not_offered():
    surrogate = pytest.importorskip("snntorch.surrogate")
    assert torch.equal(backward(surrogate.triangular()), torch.where(X < 0, 1.0, -1.0).double())
