"""A recurrent layer: forward, and a training step of its weights.

Ours, snnTorch and SpikingJelly take the threshold off in the same step, the reset that costs SpikingJelly least. Norse
has but the reset to zero in its recurrent layer, so only its rate can be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

import peers
import torch
from timing import Bar, Case, Contender
from torch import Tensor
from torch import nn as torch_nn

from spikeneuro import nn

OURS, REFERENCE = "spikeneuro", "spikeneuro reference (torch loop)"
PEERS = {
    "snnTorch RLeaky": peers.SNNTORCH,
    "SpikingJelly LIFNode in a loop": peers.SPIKINGJELLY,
    "SpikingJelly LinearRecurrentContainer": peers.SPIKINGJELLY,
    "Norse LIFRecurrent": peers.NORSE,
}
_WITH_INPUT_PRODUCT = {"SpikingJelly LinearRecurrentContainer", "Norse LIFRecurrent"}


@dataclass(frozen=True)
class Size:
    steps: int = 250
    batch: int = 32
    neurons: int = 128

    def __str__(self) -> str:
        return f"T {self.steps}, B {self.batch}, N {self.neurons}"


TINY = Size(20, 4, 16)


def cases(size: Size, backend: str) -> list[Case]:
    """The layer alone, forward and trained, and the same behind an input product, as two of the peers have it."""
    return [
        _case(size, backend, product=False, train=False, limit=8.0),
        _case(size, backend, product=False, train=True, limit=5.0),
        _case(size, backend, product=True, train=False, limit=None),
        _case(size, backend, product=True, train=True, limit=None),
    ]


def _case(size: Size, backend: str, *, product: bool, train: bool, limit: float | None) -> Case:
    x, gradient, weights = problem(size, product=product)
    layers = _layers(size, backend, weights, product=product)
    make = _trained if train else _forward
    contenders = [
        make(
            name, layer, x, gradient, kind="peer" if name in PEERS else "ours",
            compare="nothing" if name.startswith("Norse") else "gradients" if train else "spikes",
            note=_remark(name, product=product),
        )
        for name, layer in layers.items()
    ]  # fmt: skip
    what = f"recurrent layer{' with its input product' if product else ''}, {'training step' if train else 'forward'}"
    return Case(
        "recurrent", what, str(size), contenders,
        [
            Bar("times as fast as the best peer", tuple(PEERS), (OURS,), "at least", limit),
            Bar("times as fast as the torch loop", (REFERENCE,), (OURS,), "at least", None),
        ],
        tolerance=0.01, missing=peers.missing(),
        note="Backward to the input and the weights, then Adam." if train else "Without gradients.",
    )  # fmt: skip


def _remark(name: str, *, product: bool) -> str:
    remarks = ["resets to zero, no bias, its own surrogate"] if name.startswith("Norse") else []
    remarks += ["does a product of the input too"] if not product and name in _WITH_INPUT_PRODUCT else []
    return "; ".join(remarks)


def problem(size: Size, *, product: bool = False) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Input, gradient of the spikes, and the weights: recurrent, bias, and those of the input.

    Weights are multiples of 1/1024 and inputs of 1/256, few enough that sums of them are exact in float32: the order
    in which a library adds them up moves no spike.
    """
    generator = torch.Generator().manual_seed(0)
    n = size.neurons
    shape = (size.steps, size.batch, n)
    x = (0.25 * torch.rand(shape, generator=generator) * 256).round() / 256
    weight = _grid(torch.randn(n, n, generator=generator) * 0.5 / n**0.5)
    into = torch.eye(n) if not product else _grid(torch.randn(n, n, generator=generator) / n**0.5)
    if product:
        x = 2 * x - 0.125
    gradient = torch.rand(shape, generator=generator)
    return x.requires_grad_(), gradient, (weight, torch.zeros(n), into)


def _grid(weights: Tensor) -> Tensor:
    return (1024 * weights).round() / 1024


def _layers(
    size: Size, backend: str, weights: tuple[Tensor, Tensor, Tensor], *, product: bool
) -> dict[str, torch_nn.Module]:
    weight, bias, into = weights
    made: dict[str, torch_nn.Module] = {
        OURS: _ours(size, backend, weight),
        REFERENCE: _ours(size, "reference", weight),
    }
    makers: dict[str, Callable[[], torch_nn.Module]] = {
        "snnTorch RLeaky": lambda: peers.SnnTorchRecurrent(weight, bias),
        "SpikingJelly LIFNode in a loop": lambda: peers.SpikingJellyLoop(weight, bias),
        "SpikingJelly LinearRecurrentContainer": lambda: peers.SpikingJellyContainer(weight, bias, into),
        "Norse LIFRecurrent": lambda: peers.NorseRecurrent(weight, into),
    }
    here = peers.installed()
    made |= {name: make() for name, make in makers.items() if PEERS[name] in here}
    if not product:
        return made
    return {
        name: layer if name in _WITH_INPUT_PRODUCT else torch_nn.Sequential(_input_product(into), layer)
        for name, layer in made.items()
    }


def _ours(size: Size, backend: str, weight: Tensor) -> nn.RecurrentLIF:
    layer = nn.RecurrentLIF(size.neurons, beta=peers.BETA, surrogate=peers.surrogate(), backend=backend)
    # Its bias starts at 0, as that of the others is set.
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def _input_product(into: Tensor) -> torch_nn.Linear:
    linear = torch_nn.Linear(into.shape[1], into.shape[0], bias=False)
    with torch.no_grad():
        linear.weight.copy_(into)
    return linear


def _forward(
    name: str, layer: torch_nn.Module, x: Tensor, gradient: Tensor, *, kind: str, compare: str, note: str  # noqa: ARG001
) -> Contender:  # fmt: skip
    still = x.detach()

    def step() -> Tensor:
        with torch.no_grad():
            return layer(still)

    return Contender(name, step, kind, {}, compare, note)


def _trained(
    name: str, layer: torch_nn.Module, x: Tensor, gradient: Tensor, *, kind: str, compare: str, note: str
) -> Contender:
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-7)

    def step() -> Tensor:
        optimizer.zero_grad()
        spikes = layer(x)
        spikes.backward(gradient)
        optimizer.step()
        return spikes

    return Contender(name, step, kind, {"input": x} | _weights(layer), compare, note)


def _weights(layer: torch_nn.Module) -> dict[str, Tensor]:
    """Parameters of the layer; the recurrent weight goes by one name in all libraries that keep it apart."""
    named = {"weight": "recurrent", "neuron.recurrent.weight": "recurrent", "recurrent.weight": "recurrent"}
    return {
        named.get(name, f"{type(layer).__name__}.{name}"): parameter for name, parameter in layer.named_parameters()
    }
