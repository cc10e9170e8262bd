"""Controls inside a network: the timing of a layer's spikes shuffled, their counts as they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_choice
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.nn import Carry, SpikingLayer

#: The controls of a layer's output, by name: what they are, and whether each neuron is shuffled by itself.
HIDDEN_CONTROLS: dict[str, tuple[str, bool]] = {
    "spikes-shuffled": ("spike times shuffled, all neurons alike", False),
    "spikes-shuffled-by-neuron": ("spike times shuffled, each neuron by itself", True),
}


def time_layers(module: nn.Module) -> list[str]:
    """Names of the spiking layers and encoders of a network, whose outputs are (time, batch, *features).

    Parameters
    ----------
    module : nn.Module
        Network.

    Returns
    -------
    list of str
        In the order of ``named_modules``; the network itself, if it is such a layer, goes by the name of its class.

    Examples
    --------
    >>> from torch import nn
    >>> from spikeneuro.explain import time_layers
    >>> from spikeneuro.nn import LIF, RateReadout
    >>> time_layers(nn.Sequential(nn.Linear(2, 3), LIF(3, beta=0.9), RateReadout()))
    ['1']
    """
    return [
        name or type(layer).__name__
        for name, layer in module.named_modules()
        if isinstance(layer, (SpikingLayer, Encoder))
    ]


@contextmanager
def shuffled_layers(
    module: nn.Module, layers: Sequence[str], *, by_neuron: bool = True, random_state: int = 0
) -> Iterator[dict[str, int]]:
    """Inside the scope, the outputs of these layers come in random order of time, sample by sample.

    Every neuron keeps its number of spikes in every sample. What a recurrent layer hands to itself stays as it is.

    Parameters
    ----------
    module : nn.Module
        Network; its weights and outputs outside the scope are untouched.
    layers : sequence of str
        Names of modules in it whose output is (time, batch, *features), such as those of `time_layers`.
    by_neuron : bool, default=True
        Whether each neuron gets an order of its own, or all of a layer the same.
    random_state : int
        Seed; the global generators are not drawn from.

    Returns
    -------
    context manager of dict of str to int
        How often each layer was called, and therefore shuffled.

    Raises
    ------
    InputError
        For a name that is not in the network; and, when the network is called, for a layer that is run in pieces of
        time or whose output has no time.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.explain import shuffled_layers
    >>> from spikeneuro.nn import LIF
    >>> layer, x = LIF(4, beta=0.9), torch.rand(50, 2, 4)
    >>> with shuffled_layers(layer, ["LIF"]):
    ...     confused = layer(x)
    >>> torch.equal(confused.sum(0), layer(x).sum(0)), torch.equal(confused, layer(x))
    (True, False)
    """
    if isinstance(layers, str):
        raise InputError(f"layers must be a list of names, got the string {layers!r}.")
    found = {name or type(layer).__name__: layer for name, layer in module.named_modules()}
    for name in layers:
        check_choice(name, found, "layer")
    calls = dict.fromkeys(layers, 0)
    generator = torch.Generator().manual_seed(random_state)

    def shuffle(name: str) -> Any:
        def hook(_layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Tensor:
            if any(isinstance(value, Carry) for value in (*args, *kwargs.values())):
                raise InputError(f"layer {name!r} runs in pieces of time, which cannot be shuffled as a whole; build "
                                 "the network without recompute.")  # fmt: skip
            if not isinstance(output, Tensor) or output.dim() < 3:
                what = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
                raise InputError(f"layer {name!r} gives {what}, not (time, batch, *features).")
            calls[name] += 1
            return _shuffle_times(output, by_neuron, generator)

        return hook

    handles = [found[name].register_forward_hook(shuffle(name), with_kwargs=True) for name in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _shuffle_times(x: Tensor, by_neuron: bool, generator: torch.Generator) -> Tensor:
    """The steps of each sample (and neuron) in an order drawn for it."""
    shape = x.shape if by_neuron else (*x.shape[:2], *(1 for _ in x.shape[2:]))
    order = torch.rand(shape, generator=generator).argsort(dim=0).to(x.device)
    return x.gather(0, order.expand_as(x))
