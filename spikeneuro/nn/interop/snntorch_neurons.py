"""snnTorch's neurons."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro._random import scoped_seed
from spikeneuro.errors import InputError
from spikeneuro.nn.interop.containers import Framework, Place, Walk
from spikeneuro.nn.interop.layers import (
    ClampedDecay,
    OneToOneLIF,
    ResetOnceLIF,
    ResetOnceOneToOneLIF,
    ResetOnceRecurrentLIF,
)
from spikeneuro.nn.interop.recognition import closure, joint_shape, number, refusal, verify_surrogate
from spikeneuro.nn.lif import LIF, LIFLayer, RecurrentLIF
from spikeneuro.ops import surrogates

_SURROGATES: dict[str, Callable[[dict[str, Any]], surrogates.Surrogate]] = {
    "atan": lambda o: surrogates.Atan(alpha=float(o["alpha"])),
    "fast_sigmoid": lambda o: surrogates.FastSigmoid(slope=float(o["slope"])),
    "sigmoid": lambda o: surrogates.Sigmoid(slope=float(o["slope"])),
    "spike_rate_escape": lambda o: surrogates.Exponential(height=float(o["slope"]), slope=float(o["beta"]), center=1.0),
    "straight_through_estimator": lambda _: surrogates.StraightThrough(),
    "heaviside": lambda _: surrogates.StraightThrough(below=0.0),
}
_SURROGATE_REASONS = {
    "triangular": "is no triangle but a constant, positive below the threshold and negative above it",
    "SSO": "is drawn at random",
    "LSO": "is drawn at random (it calls the stochastic spike operator)",
    "SFS": "is cut off below a membrane that is not the threshold",
    "custom_surrogate": "is a function of your own",
}
_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
_REASONS = {
    "Alpha": "its membrane is the difference of two currents, which is no leaky integrate-and-fire recurrence",
    "AssociativeLeaky": "it is no leaky integrate-and-fire neuron",
    "DeltaLeaky": "it emits changes, not spikes of a leaky integrate-and-fire neuron",
    "LeakyParallel": "it replaces the membrane by a recurrent network without reset",
    "LinearLeaky": "it has no reset and adds its own linear layer",
    "StateLeaky": "it has no reset and its decay is computed over the whole sequence",
    "SLSTM": "it is a long short-term memory, no leaky integrate-and-fire neuron",
    "SConv2dLSTM": "it is a long short-term memory, no leaky integrate-and-fire neuron",
}
_READ = ("Leaky", "Synaptic", "Lapicque", "RLeaky", "RSynaptic")


class SnnTorch(Framework):
    """snnTorch: one step per call, the input of `nn.Sequential`."""

    name = "snnTorch"
    package = "snntorch"

    def takes_sequences(self, _module: nn.Module, /) -> bool | None:
        """Return False: every neuron is called step by step."""
        return False

    def problem_inside(self, module: nn.Module, _container: nn.Module, /) -> str | None:
        """Return what is wrong with neurons that return their state too."""
        if getattr(module, "init_hidden", True) and not getattr(module, "output", False):
            return None
        return "it hands (spikes, state) to the next layer; only init_hidden=True with output=False gives spikes alone"

    def convert(self, module: nn.Module, place: Place, walk: Walk, /) -> nn.Module:
        """Return the equal of one of snnTorch's neurons."""
        kind = type(module).__name__
        if kind not in _READ:
            raise refusal(place.name, module, _REASONS.get(kind, f"of snnTorch's neurons, {', '.join(_READ)} are"))
        walk.claim(module, place)
        return _Reader(module, place.name, walk).layer()


class _Reader:
    """Reads one of snnTorch's neurons and builds its equal."""

    def __init__(self, module: nn.Module, where: str, walk: Walk) -> None:
        # Attributes of a foreign module are read, whatever their type.
        self.module: Any = module
        self.kind, self.where, self.walk = type(module).__name__, where, walk

    def refuse(self, reason: str) -> InputError:
        return refusal(self.where, self.module, reason)

    def layer(self) -> LIFLayer:
        self.check_options()
        reset = self.reset()
        delayed = bool(getattr(self.module, "reset_delay", True)) or reset == "none"
        if not delayed and self.kind == "RSynaptic":
            raise self.refuse("reset_delay=False of RSynaptic changes a local variable only and never the membrane")
        options: dict[str, Any] = {
            "reset": reset,
            "reset_timing": "next_step" if delayed else "same_step",
            # The delayed reset is cut from the graph, the one of the same step is not.
            "detach_reset": delayed,
            "zero_discards_input": reset == "zero" and delayed and self.kind != "Leaky",
            "surrogate": self.surrogate(),
            "threshold": self.threshold(),
            **self.decays(),
        }
        if isinstance(self.module.threshold, nn.Parameter):
            options["learn"] = "threshold"
        layer = self.build(options, once=reset == "subtract" and not delayed)
        self.keep_learnable(layer)
        layer.train(self.module.training)
        return layer

    def check_options(self) -> None:
        module = self.module
        factor = module.graded_spikes_factor
        if module.inhibition:
            raise self.refuse("inhibition=True lets one neuron of the layer fire; neurons here do not see each other")
        if module.state_quant:
            raise self.refuse("state_quant rounds the membrane")
        if isinstance(factor, nn.Parameter) or bool((factor != 1).any()):
            raise self.refuse("graded_spikes_factor other than a fixed 1 makes spikes that are not 0 or 1")
        if module.surrogate_disable:
            raise self.refuse("surrogate_disable=True has no gradient, and every neuron here has one")

    def reset(self) -> str:
        """Reset that the neuron was built with."""
        reset = _RESETS[self.module.state_function.__name__]
        if reset != self.module.reset_mechanism:
            raise self.refuse("its reset_mechanism was changed after it was built, which snnTorch obeys only in part")
        return reset

    def threshold(self) -> Tensor:
        threshold = number(self.module.threshold)
        if bool((threshold < 0).any()):
            raise self.refuse("with a threshold below 0, snnTorch resets neurons at rest that never fired")
        return threshold

    def surrogate(self) -> surrogates.Surrogate:
        function = self.module.spike_grad
        name = str(getattr(function, "__qualname__", type(function).__name__)).partition(".")[0]
        home = getattr(function, "__module__", None)
        if home != "snntorch.surrogate" or name not in _SURROGATES:
            why = _SURROGATE_REASONS.get(name, f"comes from {home}") if home == "snntorch.surrogate" else f"is {home}'s"
            known = ", ".join(sorted(_SURROGATES))
            raise self.refuse(f"its surrogate gradient {name} {why}; those of snntorch.surrogate that are: {known}")
        if "<locals>" not in function.__qualname__:
            raise self.refuse(f"spike_grad=surrogate.{name} was not called; write surrogate.{name}()")
        surrogate = _SURROGATES[name](closure(function))
        return verify_surrogate(function, surrogate, inclusive=False, where=self.where, module=self.module)

    def decays(self) -> dict[str, Tensor]:
        """Decays of membrane and current, and the factor of the input."""
        module = self.module
        if self.kind == "Lapicque":
            if isinstance(module.beta, nn.Parameter):
                raise self.refuse("Lapicque takes its decay from R and C, so learn_beta=True learns nothing")
            rate = number(module.time_step / (module.R * module.C))
            return {"beta": 1.0 - rate, "gain": number(module.R * (1 / (module.R * module.C)) * module.time_step)}
        decays = {"beta": number(module.beta).clamp(0.0, 1.0)}
        if self.kind in ("Synaptic", "RSynaptic"):
            decays["alpha"] = number(module.alpha).clamp(0.0, 1.0)
        return decays

    def build(self, options: dict[str, Any], *, once: bool) -> LIFLayer:
        """Return the layer, with its recurrent weights."""
        module, place = self.module, self.walk.target.options()
        shape = joint_shape(value for value in options.values() if isinstance(value, Tensor))
        try:
            if self.kind not in ("RLeaky", "RSynaptic"):
                return (ResetOnceLIF if once else LIF)(shape, **options, **place)
            if not module.all_to_all:
                return (ResetOnceOneToOneLIF if once else OneToOneLIF)(
                    self.size(shape, number(module.V)), own_weight=number(module.V),
                    learn_weight=isinstance(module.V, nn.Parameter) and module.V.requires_grad, **options, **place,
                )  # fmt: skip
            if type(module.recurrent) is not nn.Linear:
                raise self.refuse("its neurons are connected by a convolution; only linear_features and one-to-one are")
            with scoped_seed(0):  # the initial weights are drawn, and then replaced
                layer = (ResetOnceRecurrentLIF if once else RecurrentLIF)(
                    module.recurrent.in_features, **options, **place
                )
        except InputError as error:
            if str(error).startswith(self.where):
                raise
            raise self.refuse(str(error).rstrip(".")) from error
        copy_parameters(layer, module.recurrent.weight, module.recurrent.bias)
        return layer

    def size(self, shape: tuple[int, ...], own_weight: Tensor) -> int:
        """Number of neurons that are connected one to one."""
        known = joint_shape((own_weight, torch.empty(shape)))
        if len(known) > 1:
            raise self.refuse("one-to-one connections are converted for inputs (batch, neurons) only")
        if known:
            return known[0]
        if self.walk.width is None:
            raise self.refuse("nothing tells how many neurons there are; give V one value per neuron")
        return self.walk.width

    def keep_learnable(self, layer: LIFLayer) -> None:
        """Hold decays that are learned the way snnTorch does, so that training goes on as it would there."""
        if isinstance(self.module.threshold, nn.Parameter):
            layer.threshold.requires_grad_(self.module.threshold.requires_grad)
        target = self.walk.target
        for name, holder, tau in (("beta", "membrane_decay", "tau_mem"), ("alpha", "synaptic_decay", "tau_syn")):
            value = getattr(self.module, name, None)
            if isinstance(value, nn.Parameter):
                decay = ClampedDecay(
                    number(value), dt=layer.dt, names=(tau, name), shape=layer.shape, dtype=target.dtype,
                    device=target.device,
                )  # fmt: skip
                decay.decay.requires_grad_(value.requires_grad)
                setattr(layer, holder, decay)
                layer.learn = (*layer.learn, name)


def copy_parameters(layer: RecurrentLIF | nn.Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Fill the weights of `layer`, and learn them if the given ones are learned."""
    with torch.no_grad():
        for name, value in (("weight", weight), ("bias", bias)):
            if value is not None:
                own = getattr(layer, name)
                own.copy_(value)
                own.requires_grad_(value.requires_grad)
