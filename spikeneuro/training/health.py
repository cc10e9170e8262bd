"""Health of a spiking network in training: dead and saturated neurons, rates, gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro.nn import SpikingLayer

#: A neuron that fires in more than this share of its steps carries no timing.
SATURATED_ABOVE = 0.95


@contextmanager
def recorded_spikes(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside the scope, each forward pass leaves every spiking layer's output in the dictionary, by layer name."""
    spikes: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            spikes[name] = output

        return hook

    handles = [
        layer.register_forward_hook(keep(name or type(layer).__name__))
        for name, layer in module.named_modules()
        if isinstance(layer, SpikingLayer)
    ]
    try:
        yield spikes
    finally:
        for handle in handles:
            handle.remove()


def is_spiking(module: nn.Module) -> bool:
    """Whether any layer of `module` emits spikes."""
    return any(isinstance(layer, SpikingLayer) for layer in module.modules())


def firing(module: nn.Module, batches: Any) -> dict[str, dict[str, float]]:
    """Firing of each spiking layer over `batches` of input.

    Parameters
    ----------
    module : nn.Module
        Network; run in evaluation mode and left in the mode it was in.
    batches : iterable of Tensor
        Input as the network takes it.

    Returns
    -------
    dict
        For each layer: ``rate`` (spikes per neuron and step), ``dead`` (share of neurons that never fired),
        ``saturated`` (share that fired in more than 95 % of their steps) and ``neurons``.
    """
    counts: dict[str, Tensor] = {}
    steps: dict[str, int] = {}
    training = module.training
    module.eval()
    with torch.no_grad(), recorded_spikes(module) as spikes:
        for batch in batches:
            module(batch)
            for name, layer in spikes.items():
                counts[name] = counts.get(name, 0) + layer.sum(dim=(0, 1), dtype=torch.float64)
                steps[name] = steps.get(name, 0) + layer.shape[0] * layer.shape[1]
    module.train(training)
    result = {}
    for name, count in counts.items():
        rate = count / steps[name]
        result[name] = {
            "rate": float(rate.mean()),
            "dead": float((rate == 0).double().mean()),
            "saturated": float((rate > SATURATED_ABOVE).double().mean()),
            "neurons": rate.numel(),
        }
    return result
