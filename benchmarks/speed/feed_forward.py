"""Feed-forward LIF neurons, forward and backward: against memory and the other libraries, and with every option on."""

from collections.abc import Callable
from dataclasses import dataclass

import masks
import peers
import torch
from timing import Bar, Case, Contender
from torch import Tensor
from torch import nn as torch_nn

from spikeneuro import nn

FLOOR = "six passes over memory (floor)"
PLAIN = "spikeneuro"


@dataclass(frozen=True)
class Size:
    steps: int = 250
    batch: int = 64
    neurons: int = 512

    def __str__(self) -> str:
        return f"T {self.steps}, B {self.batch}, N {self.neurons}"


TINY = Size(20, 4, 16)


def case_lif(size: Size, backend: str) -> Case:
    """Plain LIF; the floor copies three tensors into memory that exists already: what a fused step reads and writes."""
    x, gradient = sequences(size)
    # Three, as a step reads input, membrane and gradient: of a single one, the cache would still hold a part.
    sources = [x.detach(), torch.rand_like(gradient), gradient]
    drains = [torch.zeros_like(gradient) for _ in sources]

    def floor() -> None:
        for drain, source in zip(drains, sources, strict=True):
            drain.copy_(source)

    contenders = [
        Contender(FLOOR, floor, kind="floor"),
        through(PLAIN, plain(size, backend), x, gradient),
        through(
            "spikeneuro, its default surrogate", nn.LIF(size.neurons, beta=peers.BETA, backend=backend), x, gradient,
            compare="spikes",
        ),
    ]  # fmt: skip
    makers = {
        peers.SNNTORCH: peers.SnnTorchLeaky,
        peers.SPIKINGJELLY: peers.SpikingJellyLIF,
        peers.NORSE: peers.NorseBox,
    }
    layers = peers.available(makers)
    for peer, name in ((peers.SNNTORCH, "snnTorch Leaky"), (peers.SPIKINGJELLY, "SpikingJelly LIFNode")):
        if peer in layers:
            contenders.append(through(name, layers[peer], x, gradient, kind="peer"))
    if peers.NORSE in layers:
        # Norse multiplies its input by 1 - beta; it gets ten times the input beforehand, so as not to do more.
        scaled = (x.detach() / (1 - peers.BETA)).requires_grad_()
        note = "its own surrogate; given the input divided by its gain"
        contenders.append(
            through("Norse LIFBox", layers[peers.NORSE], scaled, gradient, kind="peer", compare="spikes", note=note)
        )
    return Case(
        "lif", "LIF, forward + backward", str(size), contenders,
        [
            Bar("times the floor", (PLAIN,), (FLOOR,), "at most", 2.5),
            Bar("times as fast as SpikingJelly", ("SpikingJelly LIFNode",), (PLAIN,), "at least", 6.0),
            Bar("times as fast as snnTorch", ("snnTorch Leaky",), (PLAIN,), "at least", None),
            Bar("times as fast as Norse", ("Norse LIFBox",), (PLAIN,), "at least", None),
        ],
        missing=peers.missing(), note="Gradient to the input. The floor copies three such tensors.",
    )  # fmt: skip


def case_heterogeneous(size: Size, backend: str) -> Case:
    """The same with learnable time constants per neuron, adaptation and rhythm; what each adds is told apart."""
    x, gradient = sequences(size)
    steps, n = size.steps, size.neurons
    rhythms = {
        "+ rhythm, co-varying cycles": masks.covarying(steps, n, 0.5),
        "+ rhythm, one cycle for all": masks.synchronous(steps, n, 0.5),
    }
    covarying = next(iter(rhythms))
    looped = f"{covarying} (torch loop)"
    contenders = [
        through("plain LIF", plain(size, backend), x, gradient),
        through("+ learnable taus", heterogeneous(size, backend, adaptive=False), x, gradient, compare="nothing"),
        through("+ adaptation", heterogeneous(size, backend), x, gradient, compare="nothing"),
        *(_masked(name, heterogeneous(size, backend), x, gradient, mask) for name, mask in rhythms.items()),
        _masked(looped, heterogeneous(size, "reference"), x, gradient, rhythms[covarying], against=covarying),
    ]
    bars = [Bar(f"times plain LIF, {name}", (name,), ("plain LIF",), "at most", 2.0) for name in rhythms]
    bars += [
        Bar(f"times plain LIF, {name}", (name,), ("plain LIF",), "at most", None)
        for name in ("+ learnable taus", "+ adaptation")
    ]
    bars.append(Bar("times as fast as a torch loop of it", (looped,), (covarying,), "at least", None))
    return Case(
        "heterogeneous", "heterogeneous, adaptive and rhythmic LIF, forward + backward", str(size), contenders, bars,
        note="Each line adds to the one before; both rhythms have duty 0.5. Membrane and adaptation have a learnable "
        "time constant per neuron; gradients to the input and to all of them. No peer has such a neuron.",
    )  # fmt: skip


def sequences(size: Size) -> tuple[Tensor, Tensor]:
    """Input current that requires a gradient, and the gradient of the spikes."""
    generator = torch.Generator().manual_seed(0)
    shape = (size.steps, size.batch, size.neurons)
    x = 0.3 * torch.rand(shape, generator=generator)
    return x.requires_grad_(), torch.rand(shape, generator=generator)


def plain(size: Size, backend: str) -> nn.LIF:
    return nn.LIF(size.neurons, beta=peers.BETA, surrogate=peers.surrogate(), backend=backend)


def heterogeneous(size: Size, backend: str, *, adaptive: bool = True) -> nn.LIF:
    """Neurons with time constants of 10 to 100 ms, learned, and thresholds that rise for up to 500 ms."""
    taus = nn.heterogeneity.LogSpaced(0.01, 0.1)
    if not adaptive:
        return nn.LIF(
            size.neurons, tau_mem=taus, learn="tau_mem", surrogate=peers.surrogate(), backend=backend
        )  # fmt: skip
    return nn.LIF(
        size.neurons, tau_mem=taus, tau_adapt=nn.heterogeneity.LogSpaced(0.05, 0.5), kappa=1.6,
        learn=("tau_mem", "tau_adapt"), surrogate=peers.surrogate(), backend=backend,
    )  # fmt: skip


def through(
    name: str, layer: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor, *,
    kind: str = "ours", compare: str = "gradients", note: str = "",
) -> Contender:  # fmt: skip
    """Forward and backward of a layer, to the input and to the layer's parameters."""

    def step() -> Tensor:
        spikes = layer(x)
        spikes.backward(gradient)
        return spikes

    leaves = {"input": x}
    if isinstance(layer, torch_nn.Module):
        leaves |= dict(layer.named_parameters())
    return Contender(name, step, kind, leaves, compare, note)


def _masked(name: str, layer: nn.LIF, x: Tensor, gradient: Tensor, mask: Tensor, against: str = "") -> Contender:
    def step() -> Tensor:
        spikes = layer.run(x, mask=mask).spikes
        spikes.backward(gradient)
        return spikes

    leaves = {"input": x} | dict(layer.named_parameters())
    return Contender(name, step, "ours", leaves, "gradients" if against else "nothing", against=against or None)
