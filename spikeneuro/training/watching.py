"""Passes through a network with its spiking layers watched: input currents, spikes, and the gradients of both."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikeneuro.errors import InputError
from spikeneuro.nn import SpikingLayer


class Watched(NamedTuple):
    """What went into a spiking layer and what came out, both (time, batch, *features).

    Each is a list: a network that runs in segments of time calls its layers once for every segment.
    """

    layer: SpikingLayer
    currents: list[Tensor]
    spikes: list[Tensor]


class LayerGradients(NamedTuple):
    """Gradients of a loss by input current and spikes of a layer; None where the loss does not depend on them."""

    current: Tensor | None
    spikes: Tensor | None


def spiking_layers(module: nn.Module) -> dict[str, SpikingLayer]:
    """Spiking layers by name; a module that is one itself goes by the name of its class."""
    return {
        name or type(layer).__name__: layer for name, layer in module.named_modules() if isinstance(layer, SpikingLayer)
    }


def continues(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a spiking layer is called with these arguments on a later piece of a sequence that it has begun."""
    carry = args[1] if len(args) > 1 else kwargs.get("carry")
    return carry is not None and carry.state is not None


@contextmanager
def watched_layers(module: nn.Module) -> Iterator[dict[str, Watched]]:
    """Inside the scope, each forward pass leaves every spiking layer's input and output in the dictionary, by name.

    The input is given a place of its own in the graph, so that its gradient is that of the layer alone, also where
    other layers read the same tensor, and exists where nothing before the layer is learned. A layer that is called
    several times in one pass has an entry for each call. Empty the dictionary between passes.
    """
    found: dict[str, Watched] = {}
    calls: dict[str, int] = {}

    def before(name: str) -> Any:
        def hook(layer: SpikingLayer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            x = args[0] if args else kwargs["x"]
            if torch.is_grad_enabled():
                x = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
            later = name in calls and continues(args, kwargs)
            calls[name] = calls.get(name, 0) + (not later)
            watched = found.setdefault(_entry(name, calls[name]), Watched(layer, [], []))
            watched.currents.append(x)
            return ((x, *args[1:]), kwargs) if args else (args, {**kwargs, "x": x})

        return hook

    def after(name: str) -> Any:
        def hook(_layer: SpikingLayer, _inputs: Any, output: Tensor) -> None:
            found[_entry(name, calls[name])].spikes.append(output)

        return hook

    handles = []
    for name, layer in spiking_layers(module).items():
        handles.append(layer.register_forward_pre_hook(before(name), with_kwargs=True))
        handles.append(layer.register_forward_hook(after(name)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _entry(name: str, call: int) -> str:
    return name if call == 1 else f"{name} (call {call})"


def gradients(
    loss: Tensor, layers: Mapping[str, Watched], parameters: Sequence[Tensor]
) -> tuple[dict[str, LayerGradients], list[Tensor | None]]:
    """Gradients of `loss` by each layer's input current and spikes, and by the parameters.

    Nothing is added to any ``.grad``.

    Raises
    ------
    InputError
        If the loss carries no gradient at all.
    """
    if not loss.requires_grad:
        raise InputError("the loss carries no gradient: no spiking layer and no parameter reaches it differentiably.")
    # A pass in segments runs them again on the way back, and calls the layers once more.
    pieces = {name: (list(layer.currents), list(layer.spikes)) for name, layer in layers.items()}
    every = [*parameters, *(piece for both in pieces.values() for part in both for piece in part)]
    wanted = [index for index, tensor in enumerate(every) if tensor.requires_grad]
    found: list[Tensor | None] = [None] * len(every)
    computed = torch.autograd.grad(loss, [every[index] for index in wanted], allow_unused=True)
    for index, gradient in zip(wanted, computed, strict=True):
        found[index] = gradient
    rest = iter(found[len(parameters) :])
    by_layer = {
        name: LayerGradients(*(_joined(part, [next(rest) for _ in part]) for part in both))
        for name, both in pieces.items()
    }
    return by_layer, found[: len(parameters)]


def _joined(pieces: Sequence[Tensor], found: Sequence[Tensor | None]) -> Tensor | None:
    """Gradient of a whole sequence from those of its pieces."""
    if all(gradient is None for gradient in found):
        return None
    parts = [torch.zeros_like(piece) if one is None else one for piece, one in zip(pieces, found, strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
