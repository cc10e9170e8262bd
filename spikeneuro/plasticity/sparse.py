"""Connections of which only some synapses exist, and the layer made of them."""

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Connection, Constant, check_trains
from spikeneuro.plasticity.sparse_product import CHUNK, sparse_linear


class Sparse(Connection):
    """Synapses listed one by one: the k-th joins neuron ``pre[k]`` to neuron ``post[k]``.

    Constants of rules are numbers, one value per synapse (synapses,), or one per neuron as (1, pre) or (post, 1).

    Parameters
    ----------
    weight : Tensor
        Weights, (synapses,); not copied.
    post, pre : Tensor of int
        Neurons that each synapse joins, (synapses,).
    sizes : (int, int)
        Number of neurons after and before the synapses.
    low, high : float or Tensor, default without bound
        Bounds of the weights.

    Raises
    ------
    InputError
        For indices outside the neurons, a synapse listed twice, and bounds that do not fit.

    Examples
    --------
    >>> view = Sparse(torch.zeros(2), post=torch.tensor([0, 2]), pre=torch.tensor([1, 0]), sizes=(3, 2))
    >>> view.correlate(torch.tensor([[[1.0, 1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])).tolist()
    [1.0, 0.0]
    """

    def __init__(
        self,
        weight: Tensor,
        post: Tensor,
        pre: Tensor,
        sizes: tuple[int, int],
        low: Constant = -torch.inf,
        high: Constant = torch.inf,
    ) -> None:
        self._sizes = check_pattern(post, pre, sizes)
        if weight.shape != post.shape:
            raise InputError(
                f"Sparse needs one weight per synapse, got {tuple(weight.shape)} for {len(post)} synapses."
            )
        self.post, self.pre = post.to(weight.device), pre.to(weight.device)
        super().__init__(weight, low, high)

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of neurons after and before the synapses."""
        return self._sizes

    def check(self, pre: Tensor, post: Tensor) -> None:
        check_trains(pre, post, (self.sizes[1],), (self.sizes[0],))

    def _check_shape(self, tensor: Tensor, name: str) -> None:
        if tuple(tensor.shape) not in ((len(self.post),), (1, self.sizes[1]), (self.sizes[0], 1), (1, 1)):
            raise InputError(
                f"{name} must be a number, one value per synapse ({len(self.post)},), or one per neuron as "
                f"(1, {self.sizes[1]}) or ({self.sizes[0]}, 1); got {tuple(tensor.shape)}."
            )

    def over_weights(self, constant: Constant) -> Constant:
        return self.align(constant) if isinstance(constant, Tensor) else constant

    def correlate(self, post: Tensor, pre: Tensor, *, keep_batch: bool = False) -> Tensor:
        batch, n_synapses = post.shape[1], max(1, len(self.post))
        change = post.new_zeros((batch, n_synapses) if keep_batch else n_synapses)
        steps = max(1, CHUNK // (n_synapses * max(1, batch)))
        for after, before in zip(post.split(steps), pre.split(steps), strict=True):
            products = after[..., self.post] * before[..., self.pre]
            change[..., : len(self.post)] += products.sum(0) if keep_batch else products.sum((0, 1))
        return change[..., : len(self.post)]

    def at_synapses(self, value: Tensor, side: str) -> Tensor:
        return value[..., self.pre if side == "pre" else self.post]

    def sum_positions(self, value: Tensor) -> Tensor:
        return value

    def align(self, constant: Tensor) -> Tensor:
        if constant.dim() == 1:
            return constant
        rows = self.post if constant.shape[0] > 1 else torch.zeros_like(self.post)
        columns = self.pre if constant.shape[1] > 1 else torch.zeros_like(self.pre)
        return constant[rows, columns]

    def per_neuron(self, constant: Tensor, side: str) -> Tensor | None:
        if constant.dim() == 1:
            return None
        axis = 0 if side == "pre" else 1
        return constant.select(axis, 0) if constant.shape[axis] == 1 else None

    def incoming(self, value: Tensor) -> Tensor:
        return value.new_zeros(self.sizes[0]).index_add(0, self.post, value)

    def spread(self, value: Tensor) -> Tensor:
        return value[self.post]


def check_pattern(post: Tensor, pre: Tensor, sizes: tuple[int, int]) -> tuple[int, int]:
    """Return the sizes if the indices are a list of different synapses between so many neurons."""
    n_post, n_pre = (int(check_number(size, "sizes", low=1, integer=True)) for size in sizes)
    for name, index, size in (("post", post, n_post), ("pre", pre, n_pre)):
        if index.dim() != 1 or index.dtype not in (torch.int64, torch.int32):
            raise InputError(f"{name} must be a list of indices, got {index.dtype} of shape {tuple(index.shape)}.")
        if len(index) and (int(index.min()) < 0 or int(index.max()) >= size):
            raise InputError(f"{name} holds the neuron {int(index.max())} of {size}; indices run from 0 to {size - 1}.")
    if post.shape != pre.shape:
        raise InputError(f"post and pre must name one neuron per synapse each, got {len(post)} and {len(pre)}.")
    pairs = post.long() * n_pre + pre.long()
    if len(pairs.unique()) != len(pairs):
        raise InputError(f"{len(pairs) - len(pairs.unique())} synapses are listed twice; add up their weights.")
    return n_post, n_pre


class SparseLinear(nn.Module):
    """Linear layer of which only some weights exist, so that large groups of neurons can be joined.

    Parameters
    ----------
    post, pre : Tensor of int
        Neurons that each synapse joins, (synapses,).
    sizes : (int, int)
        Number of neurons after and before the synapses.
    weight : Tensor, optional
        Weights, (synapses,); uniform between ± 1 / sqrt(mean number of synapses per neuron) by default, drawn from
        torch's global generator.

    Raises
    ------
    InputError
        For indices outside the neurons and a synapse listed twice.

    Examples
    --------
    >>> layer = SparseLinear(torch.tensor([0, 2]), torch.tensor([1, 0]), (3, 2), torch.tensor([0.5, 2.0]))
    >>> layer(torch.tensor([[1.0, 1.0]])).tolist()
    [[0.5, 0.0, 2.0]]
    """

    post: Tensor
    pre: Tensor

    def __init__(self, post: Tensor, pre: Tensor, sizes: tuple[int, int], weight: Tensor | None = None) -> None:
        super().__init__()
        self.sizes = check_pattern(post, pre, sizes)
        if weight is None:
            bound = (self.sizes[0] / max(1, len(post))) ** 0.5
            weight = torch.empty(len(post)).uniform_(-bound, bound)
        elif weight.shape != post.shape:
            raise InputError(f"weight must hold one value per synapse, ({len(post)},), got {tuple(weight.shape)}.")
        self.weight = nn.Parameter(weight.detach().clone())
        self.register_buffer("post", post.long())
        self.register_buffer("pre", pre.long())

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted sums of the neurons before the synapses.

        Parameters
        ----------
        x : Tensor
            Values before the synapses, (..., pre).

        Returns
        -------
        Tensor
            (..., post).
        """
        if x.shape[-1] != self.sizes[1]:
            raise InputError(f"SparseLinear expected {self.sizes[1]} features, got {tuple(x.shape)}.")
        return sparse_linear(x, self.weight, self.post, self.pre, self.sizes[0])

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"{self.sizes[1]} -> {self.sizes[0]}, {len(self.post)} synapses"
