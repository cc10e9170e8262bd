"""Batch normalisation taken into the linear layer before it."""

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikeneuro.errors import InputError
from spikeneuro.training.conversion.tracing import LINEAR, NORM, as_samples, own, trace, without_hooks


def fold_batchnorm(model: nn.Module, example: Any = None) -> nn.Module:
    r"""Copy a network with every batch normalisation taken into the linear layer or convolution that feeds it.

    With the stored mean μ and variance σ², gain γ and shift β of the normalisation, weights and bias become

    .. math:: W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \quad
        b' = \beta + \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} (b - \mu)

    Parameters
    ----------
    model : nn.Module
        Network. It is left as it is.
    example : Tensor or array, optional
        Samples as the network takes them, from which it is seen which layer feeds which. Without it only layers that
        follow each other in an `nn.Sequential` are folded.

    Returns
    -------
    nn.Module
        The copy, in evaluation mode; folded normalisations are `nn.Identity`. A normalisation stays if its input is
        used elsewhere too or comes from no linear layer.

    Raises
    ------
    InputError
        For a normalisation without running statistics.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3), nn.ReLU())
    >>> fold_batchnorm(network)
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): Identity()
      (2): ReLU()
    )
    """
    folded = without_hooks(model)
    pairs = list(_in_order(folded)) if example is None else _in_graph(model, example)
    for linear, norm in pairs:
        first, second = folded.get_submodule(linear), folded.get_submodule(norm)
        _put(folded, linear, fused(first, second, norm))
        _put(folded, norm, nn.Identity())
    return folded


def fused(linear: Any, norm: nn.Module, name: str = "") -> nn.Module:
    """One linear layer that computes what `linear` and then `norm` (called `name`) do."""
    scale, shift = affine_of(norm, name)
    bias = shift if linear.bias is None else shift + scale * linear.bias.detach()
    weight = linear.weight.detach()
    return with_weights(linear, weight * scale.reshape(-1, *[1] * (weight.dim() - 1)), bias)


def affine_of(norm: Any, name: str = "") -> tuple[Tensor, Tensor]:
    """Factor and shift of each channel that a batch normalisation comes to in evaluation."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise InputError(
            f"module {name!r} ({type(norm).__name__}) keeps no running statistics, so its output depends on the batch; "
            "train with track_running_stats=True."
        )
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach()
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach()


def with_weights(linear: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Copy of a linear layer with other weights."""
    made: Any = copy.deepcopy(linear)
    if parametrize.is_parametrized(made):
        # Copies share the class that computes the weight: torch's own removal would take it from the original too.
        made.__class__ = type(made).__bases__[0]
        del made.parametrizations
    made.weight = nn.Parameter(weight.clone())
    made.bias = None if bias is None else nn.Parameter(bias.clone())
    assert isinstance(made, nn.Module)
    return made


def _in_order(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of linear layers and normalisations that follow each other in a Sequential, used once."""
    uses: dict[int, int] = {}
    for _, module in model.named_modules(remove_duplicate=False):
        uses[id(module)] = uses.get(id(module), 0) + 1
    for path, parent in model.named_modules():
        if not isinstance(parent, nn.Sequential):
            continue
        # Not named_children(), which leaves out a module's second place and so makes neighbours of its own neighbours.
        places = [(name, child) for name, child in parent._modules.items() if child is not None]
        children = [(name, child) for name, child in places if not isinstance(child, nn.Identity)]
        for (one, first), (two, second) in pairwise(children):
            if own(first) == "linear" and isinstance(second, NORM) and uses[id(first)] == uses[id(second)] == 1:
                prefix = f"{path}." if path else ""
                yield prefix + one, prefix + two


def _in_graph(model: nn.Module, example: Any) -> list[tuple[str, str]]:
    graph = trace(model, as_samples(example, model, "example"))
    counts: dict[str, int] = {}
    for node in graph.nodes:
        counts[node.where] = counts.get(node.where, 0) + 1
    pairs = []
    for node in graph.nodes:
        if node.role != "affine":
            continue
        before = graph[node.inputs[0]]
        once = counts[node.where] == 1 and counts[before.where] == 1 and len(graph.users(before.name)) == 1
        if isinstance(before.module, LINEAR) and once:
            pairs.append((before.where, node.where))
    return pairs


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    model.get_submodule(parent).register_module(name, module)
