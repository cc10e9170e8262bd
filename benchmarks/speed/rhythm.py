"""What a rhythm saves: duty 0.1 against duty 1, for a recurrent and a feed-forward layer."""

import feed_forward
import masks
import peers
import recurrent
import torch
from timing import Bar, Case, Contender
from torch import Tensor

from spikeneuro import nn

RHYTHMS = {"co-varying cycles": masks.covarying, "one cycle for all": masks.synchronous}
ALWAYS = "duty 1"


def cases(size: recurrent.Size, wide: feed_forward.Size, backend: str) -> list[Case]:
    """Forward with backward, and forward alone, of a recurrent and of a feed-forward layer."""
    x, gradient, (weight, _, _) = recurrent.problem(size)
    looped = nn.RecurrentLIF(size.neurons, beta=peers.BETA, surrogate=peers.surrogate(), backend=backend)
    with torch.no_grad():
        looped.weight.copy_(weight)
    straight = feed_forward.plain(wide, backend)
    layers = (
        ("recurrent layer", looped, x, gradient, size, 3.0),
        ("feed-forward layer", straight, *feed_forward.sequences(wide), wide, 2.0),
    )
    return [
        _case(f"{name}, {what}", layer, x, gradient, str(own), limit if train else None, train=train)
        for name, layer, x, gradient, own, limit in layers
        for what, train in (("forward + backward", True), ("forward", False))
    ]


def _case(
    name: str, layer: nn.LIFLayer, x: Tensor, gradient: Tensor, size: str, limit: float | None, *, train: bool
) -> Case:
    steps, _, n = x.shape
    contenders = [
        _contender(ALWAYS, layer, x, gradient, torch.ones(steps, 1, n), train=train),
        _contender("no mask", layer, x, gradient, None, train=train, compare="gradients" if train else "spikes"),
    ]
    bars = []
    for rhythm, make in RHYTHMS.items():
        own = f"duty 0.1, {rhythm}"
        mask = make(steps, n, 0.1)
        contenders.append(_contender(own, layer, x, gradient, mask, train=train, compare="nothing", note=_share(mask)))
        bars.append(Bar(f"times as fast with duty 0.1, {rhythm}", (ALWAYS,), (own,), "at least", limit))
    note = "Gradients to the input and the weights." if train else "Without gradients."
    return Case("rhythm", f"rhythm: {name}", size, contenders, bars, note=note)


def _share(mask: Tensor) -> str:
    """How many neurons are ON, and how many groups of 16 have one that is: memory moves by the group."""
    groups = mask.unflatten(-1, (-1, min(16, mask.shape[-1]))).amax(-1)
    return f"ON {mask.mean():.1%}, groups of 16 with any ON {groups.mean():.1%}"


def _contender(
    name: str, layer: nn.LIFLayer, x: Tensor, gradient: Tensor, mask: Tensor | None, *,
    train: bool, compare: str = "gradients", note: str = "",
) -> Contender:  # fmt: skip
    still = x.detach()

    def trained() -> Tensor:
        spikes = layer.run(x, mask=mask).spikes
        spikes.backward(gradient)
        return spikes

    def forward() -> Tensor:
        with torch.no_grad():
            return layer.run(still, mask=mask).spikes

    leaves = {"input": x} | dict(layer.named_parameters()) if train else {}
    return Contender(name, trained if train else forward, "ours", leaves, compare, note)
