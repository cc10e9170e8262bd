"""Firing of a spiking network: rates, dead and saturated neurons by layer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro.nn import SpikingLayer
from spikeneuro.training.watching import spiking_layers

#: A neuron that fires in more than this share of its steps carries no timing.
SATURATED_ABOVE = 0.95


@contextmanager
def recorded_spikes(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside the scope, each forward pass leaves every spiking layer's output in the dictionary, by layer name.

    Parameters
    ----------
    module : nn.Module
        Network.

    Returns
    -------
    context manager of dict of str to Tensor
        Spikes (time, batch, *features) of the last pass. A layer that is called several times in one pass, as in
        segments of time, leaves its outputs joined in time.
    """
    spikes: dict[str, Tensor] = {}

    def take(name: str, output: Tensor) -> None:
        spikes[name] = torch.cat([spikes[name], output]) if name in spikes else output

    with _passes(module, spikes.clear, take):
        yield spikes


@contextmanager
def recorded_rates(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """As `recorded_spikes`, of the spikes per step only, (1, 1, *features): memory that does not grow with time."""
    rates: dict[str, Tensor] = {}
    seen: dict[str, int] = {}

    def start() -> None:
        rates.clear()
        seen.clear()

    def take(name: str, output: Tensor) -> None:
        before, now = seen.get(name, 0), len(output)
        mean = output.mean(dim=(0, 1), keepdim=True)
        rates[name] = (rates[name] * before + mean * now) / (before + now) if before else mean
        seen[name] = before + now

    with _passes(module, start, take):
        yield rates


@contextmanager
def _passes(module: nn.Module, start: Callable[[], None], take: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call `start` when a forward pass begins, and `take` with each spiking layer's name and output within it.

    What a backward pass computes again does not count.
    """
    running = False

    def begin(*_: Any) -> None:
        nonlocal running
        running = True
        start()

    def end(*_: Any) -> None:
        nonlocal running
        running = False

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if running:
                take(name, output)

        return hook

    handles = [module.register_forward_pre_hook(begin)]
    handles += [layer.register_forward_hook(keep(name)) for name, layer in spiking_layers(module).items()]
    handles.append(module.register_forward_hook(end, always_call=True))
    try:
        yield
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

    def take(name: str, spikes: Tensor) -> None:
        counts[name] = counts.get(name, 0) + spikes.sum(dim=(0, 1), dtype=torch.float64)
        steps[name] = steps.get(name, 0) + spikes.shape[0] * spikes.shape[1]

    training = module.training
    module.eval()
    with torch.no_grad(), _passes(module, lambda: None, take):
        for batch in batches:
            module(batch)
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
