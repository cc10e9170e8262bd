"""A whole training step of a small network: forward, loss, backward, optimizer step.

All networks start from the same weights and see the same input, and the weights are set so that each hidden layer fires
at the same low rate. Linear layers run over the whole sequence at once, also in the peers' networks, whose tutorials
put them into the time loop: that is their fastest setting. Logits are the mean over time of the last linear layer.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import feed_forward
import peers
import torch
from timing import Bar, Case, Contender
from torch import Tensor
from torch import nn as torch_nn

from spikeneuro import nn

RATE = 0.03
OURS_DENSE, OURS_EVENTS = "spikeneuro, nn.Linear", "spikeneuro, nn.EventLinear"


@dataclass(frozen=True)
class Size:
    layers: tuple[int, int, int, int] = (22, 128, 128, 4)
    steps: int = 250
    batch: int = 32

    def __str__(self) -> str:
        return f"T {self.steps}, B {self.batch}"


SMALL, LARGE = Size(), Size((22, 512, 512, 4), 250, 64)
TINY = Size((6, 16, 16, 3), 20, 4)


def cases(backend: str, *, tiny: bool) -> Iterator[Case]:
    """The small and the large network, made when they are asked for."""
    sizes = (TINY,) if tiny else (SMALL, LARGE)
    bars = ({peers.SPIKINGJELLY: 6.0, peers.SNNTORCH: 8.0}, {peers.SPIKINGJELLY: 2.0, peers.SNNTORCH: 2.0})
    for size, at_least in zip(sizes, bars, strict=False):
        yield _case(size, backend, at_least)


def _case(size: Size, backend: str, at_least: dict[str, float]) -> Case:
    """Networks of the same neurons; `at_least` is the bar by peer."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size.steps, size.batch, size.layers[0], generator=generator)
    y = torch.randint(size.layers[-1], (size.batch,), generator=generator)
    weights = firing_at(RATE, size, x, generator)

    def ours() -> torch_nn.Module:
        # The default surrogate is replaced by the one that ours and the peers have in common.
        return nn.LIF((), beta=peers.BETA, surrogate=peers.surrogate(), backend=backend)

    nets = {OURS_DENSE: build(weights, ours), OURS_EVENTS: build(weights, ours, after_spikes=nn.EventLinear)}
    neurons = {peers.SNNTORCH: peers.SnnTorchLeaky, peers.SPIKINGJELLY: peers.SpikingJellyLIF}
    for name, make in neurons.items():
        if name in peers.installed():
            nets[name] = build(weights, make)
    contenders = [_contender(name, net, x, y) for name, net in nets.items()]
    rates = ", ".join(f"{rate:.1%}" for rate in hidden_rates(nets[OURS_DENSE], x))
    return Case(
        "training", f"training step of {'-'.join(map(str, size.layers))}", str(size), contenders,
        [
            Bar(f"times as fast as {peer}", (peer,), (OURS_DENSE, OURS_EVENTS), "at least", limit)
            for peer, limit in at_least.items()
        ],
        tolerance=0.01, missing=[peer for peer in peers.missing() if peer in neurons],
        note=f"Adam, cross-entropy. Hidden layers fire at {rates} per neuron and step.",
    )  # fmt: skip


def build(
    weights: list[Tensor],
    neurons: Callable[[], torch_nn.Module],
    after_spikes: Callable[[int, int], torch_nn.Linear] = torch_nn.Linear,
) -> torch_nn.Sequential:
    """Linear, neurons, linear, neurons, linear, with these weights; `after_spikes` makes those that get spikes."""
    parts: list[torch_nn.Module] = []
    for k, weight in enumerate(weights):
        make = torch_nn.Linear if k == 0 else after_spikes
        linear = make(weight.shape[1], weight.shape[0])
        peers.set_linear(linear, weight, torch.zeros(len(weight)))
        parts += [linear] if k == len(weights) - 1 else [linear, neurons()]
    return torch_nn.Sequential(*parts)


def firing_at(rate: float, size: Size, x: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Random weights, each hidden layer's scaled by bisection until its neurons fire at `rate` on `x`."""
    sizes = size.layers
    weights = [
        torch.randn(after, before, generator=generator) / before**0.5 for before, after in itertools.pairwise(sizes)
    ]
    neurons = feed_forward.plain(feed_forward.Size(neurons=1), "auto")
    with torch.no_grad():
        for k in range(len(weights) - 1):
            current = x @ weights[k].T
            low, high = 0.0, 64.0
            for _ in range(20):
                middle = (low + high) / 2
                if float(_spikes(neurons, middle * current).mean()) < rate:
                    low = middle
                else:
                    high = middle
            # Bisection ends where a membrane just touches its threshold; a little further, rounding moves no spike.
            scale = 1.003 * high
            weights[k] = scale * weights[k]
            x = _spikes(neurons, scale * current)
    return weights


def _spikes(neurons: nn.LIF, current: Tensor) -> Tensor:
    """Spikes of neurons that are all alike, whatever their number."""
    flat: Tensor = neurons(current.flatten(1).unsqueeze(-1))
    return flat.reshape(current.shape)


def hidden_rates(net: torch_nn.Sequential, x: Tensor) -> list[float]:
    """Spikes per neuron and step of each hidden layer."""
    rates = []
    with torch.no_grad():
        for part in net:
            x = part(x)
            if not isinstance(part, torch_nn.Linear):
                rates.append(float(x.mean()))
    return rates


def _contender(name: str, net: torch_nn.Sequential, x: Tensor, y: Tensor) -> Contender:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-5)
    # What the last hidden layer fired is kept for the comparison; a reference to it costs nothing.
    seen: dict[str, Tensor] = {}
    net[-2].register_forward_hook(lambda _module, _inputs, spikes: seen.update(spikes=spikes))

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = torch_nn.functional.cross_entropy(net(x).mean(0), y)
        loss.backward()
        optimizer.step()
        return seen["spikes"]

    leaves = dict(net.named_parameters())
    note = "subtracts again where a membrane is above its threshold after a reset" if name == peers.SNNTORCH else ""
    return Contender(name, step, "ours" if name.startswith("spikeneuro") else "peer", leaves, note=note)
