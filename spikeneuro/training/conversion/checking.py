"""Whether a converted network says what the original does, once its neurons are as exact as real numbers."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from spikeneuro.errors import InputError
from spikeneuro.training.conversion.graph import Graph
from spikeneuro.training.conversion.layers import SpikingMaxPool
from spikeneuro.training.conversion.network import ConvertedNetwork

#: Difference allowed for the order of rounding, relative to the largest value.
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}


def check_equivalence(model: nn.Module, graph: Graph, converted: ConvertedNetwork, samples: Tensor) -> None:
    """Raise unless every layer agrees when no neuron clips or rounds.

    Neurons become rectified currents in units of their thresholds, which weights, scales and wiring must turn into the
    original's activations in units of λ exactly. What fails is a layer whose output is not linear in the weights and
    the bias it stores, such as one that standardises its weight.

    Parameters
    ----------
    model : nn.Module
        The original, for its name.
    graph : Graph
        Its folded graph.
    converted : ConvertedNetwork
        What was made of it.
    samples : Tensor
        A few inputs.

    Raises
    ------
    InputError
        The message names the first layer that differs.
    """
    allowed = _TOLERANCE.get(samples.dtype, 0.1)
    with torch.no_grad():
        found = dict(_rectified(converted, graph, samples))
        for name, expected in _original(graph, samples):
            if name not in found:
                continue
            where, value = found[name]
            if float((value - expected).abs().max()) > allowed * max(float(expected.abs().max()), 1e-30):
                raise InputError(
                    f"the converted {where} does not compute what {type(model).__name__} has there: a layer before it "
                    "does more with its weights than multiply by them, or changes its input in place; use plain layers."
                )


def _original(graph: Graph, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Values by node, with nothing quantised, so that no rounding tips a level."""
    known: dict[str, Tensor] = {}
    for node in graph.nodes:
        inputs = [known[name] for name in node.inputs]
        if node.role == "input":
            known[node.name] = x
        else:
            known[node.name] = inputs[0].relu() if node.role == "activation" else node.module(*inputs)
        yield node.name, known[node.name]


def _rectified(converted: ConvertedNetwork, graph: Graph, x: Tensor) -> Iterator[tuple[str, tuple[str, Tensor]]]:
    """Place and value of each node that neurons stand for, and of the output, as the converted layers give them."""
    known = {"input": x.unsqueeze(0)}
    last = x
    for wire in converted.wiring:
        layer = converted.layers[wire.name]
        inputs = [known[name] for name in wire.inputs]
        info = converted.neurons.get(wire.name)
        if info is not None:
            assert isinstance(layer.threshold, Tensor)
            current = inputs[0] / layer.threshold
            known[wire.name] = current.clamp(min=0.0) if graph[info.source].role == "activation" else current
            yield info.source, (f"layer {info.where!r}", known[wire.name][0] * info.scale)
        elif isinstance(layer, SpikingMaxPool):
            known[wire.name] = layer.pool(inputs[0])
        else:
            known[wire.name] = layer(*inputs)
        last = known[wire.name][0]
    yield graph.nodes[-1].name, ("output", last)
