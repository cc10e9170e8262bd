"""The product of a layer of which only some weights exist, as one operator, `spikeneuro::sparse_linear`.

One operator, and not torch's sparse matrices, because these have no memory that the energy ledger could follow.
"""

from typing import Any

import torch
from torch import Tensor

#: Products held at a time: 2**24 numbers are 64 MiB in single precision.
CHUNK = 2**24


def sparse_linear(x: Tensor, weight: Tensor, post: Tensor, pre: Tensor, n_post: int) -> Tensor:
    """Weighted sums of the neurons before the synapses.

    Parameters
    ----------
    x : Tensor
        (..., pre).
    weight : Tensor
        (synapses,).
    post, pre : Tensor of int
        Neurons that each synapse joins, (synapses,).
    n_post : int
        Neurons after the synapses.

    Returns
    -------
    Tensor
        (..., post).
    """
    y: Tensor = torch.ops.spikeneuro.sparse_linear(x.reshape(-1, x.shape[-1]), weight, post, pre, n_post)
    return y.reshape(*x.shape[:-1], n_post)


def _product(x: Tensor, weight: Tensor, post: Tensor, pre: Tensor, n_post: int) -> Tensor:
    indices = torch.stack([post, pre])
    with torch.sparse.check_sparse_tensor_invariants(enable=False):  # the pattern was checked when it was given
        matrix = torch.sparse_coo_tensor(indices, weight, (n_post, x.shape[1]))
        return torch.sparse.mm(matrix, x.T).T


def _weight_gradient(gradient: Tensor, x: Tensor, post: Tensor, pre: Tensor) -> Tensor:
    total = gradient.new_zeros(len(post))
    rows = max(1, CHUNK // max(1, len(post)))
    for after, before in zip(gradient.split(rows), x.split(rows), strict=True):
        total += (after[:, post] * before[:, pre]).sum(0)
    return total


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch's signature
    x, weight, post, pre, _ = inputs
    ctx.save_for_backward(x, weight, post, pre)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, post, pre = ctx.saved_tensors
    back = sparse_linear(gradient, weight, pre, post, x.shape[1]) if ctx.needs_input_grad[0] else None
    return back, _weight_gradient(gradient, x, post, pre) if ctx.needs_input_grad[1] else None, None, None, None


_LIBRARY = torch.library.Library("spikeneuro", "FRAGMENT")
_LIBRARY.define("sparse_linear(Tensor x, Tensor weight, Tensor post, Tensor pre, int n_post) -> Tensor")
_LIBRARY.impl("sparse_linear", _product, "CompositeExplicitAutograd")
torch.library.register_autograd("spikeneuro::sparse_linear", _backward, setup_context=_setup, lib=_LIBRARY)


@torch.library.register_fake("spikeneuro::sparse_linear", lib=_LIBRARY)
def _shape(x: Tensor, weight: Tensor, post: Tensor, pre: Tensor, n_post: int) -> Tensor:  # noqa: ARG001
    return x.new_empty((len(x), n_post))
