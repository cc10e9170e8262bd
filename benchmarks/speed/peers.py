"""Layers of the other libraries, each in the setting that is fastest on a CPU and computes what ours does.

Ours, snnTorch and SpikingJelly all get the arctangent surrogate (alpha = 2, the default of snnTorch) and a reset in the
same step, so that spikes and gradients can be compared. Norse has no arctangent: its own surrogate is left in, and only
its spikes are compared. A library that is not installed is named as missing and its bars stay unmeasured.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn

from spikeneuro import ops

BETA = 0.9
SNNTORCH, SPIKINGJELLY, NORSE = "snnTorch", "SpikingJelly", "Norse"
_MODULES = {SNNTORCH: "snntorch", SPIKINGJELLY: "spikingjelly", NORSE: "norse"}
#: Norse integrates with a factor dt / tau on the input too; this step makes the decay of its membrane BETA.
_NORSE_DT = 0.001


def installed() -> dict[str, str]:
    """Version by peer, of those that can be imported."""
    return {
        name: importlib.metadata.version(module)
        for name, module in _MODULES.items()
        if importlib.util.find_spec(module) is not None
    }


def missing() -> list[str]:
    """Peers that cannot be imported; the `test` extra installs them."""
    return [name for name in _MODULES if name not in installed()]


def surrogate() -> ops.surrogates.Surrogate:
    """The surrogate that ours has in common with snnTorch and SpikingJelly."""
    return ops.surrogates.Atan(alpha=2.0)


class SnnTorchLeaky(nn.Module):
    """snnTorch's `Leaky` with its reset in the same step, in the time loop that its users write."""

    def __init__(self, beta: float | Tensor = BETA, *, learn_beta: bool = False) -> None:
        import snntorch

        super().__init__()
        self.neuron = snntorch.Leaky(
            beta=beta, learn_beta=learn_beta, reset_delay=False, spike_grad=snntorch.surrogate.atan(alpha=2.0)
        )

    def forward(self, x: Tensor) -> Tensor:
        membrane, spikes = torch.zeros_like(x[0]), []
        for current in x.unbind(0):
            spike, membrane = self.neuron(current, membrane)
            spikes.append(spike)
        return torch.stack(spikes)


class SnnTorchRecurrent(nn.Module):
    """snnTorch's `RLeaky` with its reset in the same step."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        import snntorch

        super().__init__()
        self.neuron = snntorch.RLeaky(
            beta=BETA, linear_features=len(bias), reset_delay=False, spike_grad=snntorch.surrogate.atan(alpha=2.0),
        )  # fmt: skip
        set_linear(self.neuron.recurrent, weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        spike = membrane = torch.zeros_like(x[0])
        spikes = []
        for current in x.unbind(0):
            spike, membrane = self.neuron(current, spike, membrane)
            spikes.append(spike)
        return torch.stack(spikes)


class SpikingJellyLIF(nn.Module):
    """SpikingJelly's `LIFNode` over all steps at once."""

    def __init__(self) -> None:
        super().__init__()
        self.node = _spikingjelly_node("m")

    def forward(self, x: Tensor) -> Tensor:
        self.node.reset()
        return self.node(x)


class SpikingJellyContainer(nn.Module):
    """SpikingJelly's `LinearRecurrentContainer` around a `LIFNode`; its product takes the input along."""

    def __init__(self, weight: Tensor, bias: Tensor, input_weight: Tensor) -> None:
        from spikingjelly.activation_based import functional, layer

        super().__init__()
        n = len(bias)
        self.container = layer.LinearRecurrentContainer(_spikingjelly_node("s"), n, n)
        set_linear(self.container.rc, torch.cat((input_weight, weight), dim=1), bias)
        self.container.step_mode = "m"
        self._reset = functional.reset_net

    def forward(self, x: Tensor) -> Tensor:
        self._reset(self.container)
        return self.container(x)


class SpikingJellyLoop(nn.Module):
    """SpikingJelly's `LIFNode` step by step beside a `torch.nn.Linear` on its last spikes: no product of the input."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.node = _spikingjelly_node("s")
        self.recurrent = nn.Linear(len(bias), len(bias))
        set_linear(self.recurrent, weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        self.node.reset()
        spike, spikes = torch.zeros_like(x[0]), []
        for current in x.unbind(0):
            spike = self.node(current + self.recurrent(spike))
            spikes.append(spike)
        return torch.stack(spikes)


class NorseBox(nn.Module):
    """Norse's `LIFBoxCell`, lifted over time, with a soft reset; the input is scaled up against its factor 1 - beta."""

    def __init__(self) -> None:
        import norse.torch
        from norse.torch.functional.lif_box import LIFBoxParameters
        from norse.torch.functional.reset import reset_subtract

        super().__init__()
        parameters = LIFBoxParameters(tau_mem_inv=torch.tensor((1 - BETA) / _NORSE_DT), reset_method=reset_subtract)
        self.lifted = norse.torch.Lift(norse.torch.LIFBoxCell(p=parameters, dt=_NORSE_DT))

    def forward(self, x: Tensor) -> Tensor:
        return self.lifted(x)[0]


class NorseRecurrent(nn.Module):
    """Norse's `LIFRecurrent`; a synaptic time constant of one step leaves no current behind, as in the others."""

    def __init__(self, weight: Tensor, input_weight: Tensor) -> None:
        import norse.torch

        super().__init__()
        n = len(weight)
        parameters = norse.torch.LIFParameters(
            tau_syn_inv=torch.tensor(1 / _NORSE_DT), tau_mem_inv=torch.tensor((1 - BETA) / _NORSE_DT)
        )
        scale = 1 / (1 - BETA)
        self.layer = norse.torch.LIFRecurrent(
            n, n, p=parameters, dt=_NORSE_DT, autapses=True,
            input_weights=nn.Parameter(scale * input_weight), recurrent_weights=nn.Parameter(scale * weight),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def set_linear(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Copy a weight and a bias into a layer."""
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)


def available(makers: dict[str, Callable[[], nn.Module]]) -> dict[str, nn.Module]:
    """Layers of the peers that are installed, by the name of the peer."""
    here = installed()
    return {name: make() for name, make in makers.items() if name in here}


def _spikingjelly_node(step_mode: str) -> nn.Module:
    """A `LIFNode` with a soft reset and an input that is not scaled: the fewest operations it can do."""
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.LIFNode(
        tau=1 / (1 - BETA), decay_input=False, v_reset=None, step_mode=step_mode,
        surrogate_function=surrogate.ATan(alpha=2.0),
    )  # fmt: skip
