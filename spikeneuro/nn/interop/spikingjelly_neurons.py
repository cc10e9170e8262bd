"""SpikingJelly's neurons and layers."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from spikeneuro.errors import InputError
from spikeneuro.nn.interop.containers import TORCH_LAYERS, Framework, Place, Walk, as_torch_layer
from spikeneuro.nn.interop.layers import SharedDropout
from spikeneuro.nn.interop.recognition import number, origin, refusal, verify_surrogate
from spikeneuro.nn.lif import LIF
from spikeneuro.nn.over_time import OverTime
from spikeneuro.ops import surrogates

_SURROGATES: dict[str, Callable[[Any], surrogates.Surrogate | None]] = {
    "Sigmoid": lambda f: surrogates.Sigmoid(slope=f.alpha),
    "ATan": lambda f: surrogates.Atan(alpha=f.alpha),
    "SoftSign": lambda f: surrogates.FastSigmoid(slope=f.alpha, height=f.alpha / 2.0),
    "SuperSpike": lambda f: surrogates.FastSigmoid(slope=1.0, height=f.alpha),
    "PiecewiseQuadratic": lambda f: surrogates.Triangle(height=f.alpha, width=1.0 / f.alpha),
    "PiecewiseExp": lambda f: surrogates.Exponential(height=f.alpha / 2.0, slope=f.alpha),
    "Erf": lambda f: surrogates.Gaussian(sigma=1.0 / (f.alpha * math.sqrt(2.0))),
    "Rect": lambda f: surrogates.Rectangle(width=1.0 / f.alpha, height=f.alpha),
    "QPseudoSpike": lambda f: surrogates.FastSigmoid(slope=2.0) if f.alpha == 2.0 else None,
    "PiecewiseLeakyReLU": lambda f: surrogates.Rectangle(width=2.0 * f.w, height=0.5 / f.w) if f.c == 0 else None,
    # With two slopes, the one at the threshold itself would differ.
    "LeakyKReLU": lambda f: surrogates.StraightThrough(below=f.leak, above=f.k) if f.leak == f.k else None,
    "DeterministicPass": lambda _: surrogates.StraightThrough(),
}
_NEURONS = ("LIFNode", "IFNode", "ParametricLIFNode", "CUBALIFNode", "SimpleIFNode", "SimpleLIFNode")
_REASONS = {
    "QIFNode": "its membrane follows a quadratic equation",
    "EIFNode": "its membrane follows an exponential equation",
    "IzhikevichNode": "its membrane follows a quadratic equation with a recovery variable",
    "LIAFNode": "it gives an analog activation, not spikes",
    "KLIFNode": "it scales and rectifies the membrane before it fires",
    "GatedLIFNode": "it mixes several kinds of leak and reset by learned gates",
    "ComplementaryLIFNode": "a second variable deepens its reset",
    "HalfThresholdIFNode": "it starts at half of the threshold instead of at rest",
    "PSN": "it has no reset and mixes all steps by learned weights",
    "MaskedPSN": "it has no reset and mixes past steps by learned weights",
    "SlidingPSN": "it has no reset and mixes past steps by learned weights",
    "NonSpikingLIFNode": "it gives no spikes; use nn.LeakyReadout, nn.LastReadout or nn.MaxMembraneReadout",
    "NonSpikingIFNode": "it gives no spikes; sum the input over time instead",
}


class SpikingJelly(Framework):
    """SpikingJelly: steps or sequences, by step mode."""

    name = "SpikingJelly"
    package = "spikingjelly"
    containers = frozenset({"MultiStepContainer", "SeqToANNContainer"})
    stepping_containers = frozenset({"MultiStepContainer"})
    folding_containers = frozenset({"SeqToANNContainer"})

    def takes_sequences(self, module: nn.Module, /) -> bool | None:
        """Return what the step mode says; a linear layer does the same in both."""
        if isinstance(module, nn.Linear):
            return None
        if type(module).__name__ in self.containers:
            return True
        mode = getattr(module, "step_mode", None)
        return None if mode is None else mode == "m"

    def problem_inside(self, _module: nn.Module, _container: nn.Module, /) -> str | None:
        """Return None: neurons return spikes alone."""
        return None

    def convert(self, module: nn.Module, place: Place, walk: Walk, /) -> nn.Module:
        """Return the equal of one of SpikingJelly's neurons or layers."""
        kind = type(module).__name__
        base = getattr(nn, kind, None)
        if kind in TORCH_LAYERS and base is not None and isinstance(module, base):
            layer = as_torch_layer(walk.copy(module), base)
            folded = getattr(module, "step_mode", "s") == "m" and not isinstance(layer, nn.Linear)
            return OverTime(layer) if folded else walk.torch_layer(layer, place)
        walk.claim(module, place)
        if kind in ("Dropout", "Dropout2d"):
            dropout: Any = module
            return SharedDropout(getattr(nn, kind)(dropout.p)).train(module.training)
        if kind not in _NEURONS:
            known = f"of SpikingJelly's neurons, {', '.join(_NEURONS)} are"
            raise refusal(place.name, module, _REASONS.get(kind, known))
        return _neurons(module, place.name, walk)


def _neurons(module: Any, where: str, walk: Walk) -> LIF:
    kind = type(module).__name__
    if getattr(module, "_neuron_precision", None) is not None:
        raise refusal(where, module, "it was set to a reduced precision")
    rest = 0.0 if module.v_reset is None else float(module.v_reset)
    options: dict[str, Any] = {
        "reset": "subtract" if module.v_reset is None else "zero",
        "v_rest": rest,
        "v_reset": rest,
        "threshold": float(module.v_threshold),
        "detach_reset": module.detach_reset,
        "comparison": ">=",
        "surrogate": _surrogate(module, where),
        **_membrane(module, kind),
    }
    start = dict(module._memories_rv).get("v")
    if start != options["v_rest"]:
        raise refusal(where, module, f"its membrane starts at {start!r}, not at the {options['v_rest']!r} it decays to")
    try:
        layer = LIF((), **options, **walk.target.options())
    except InputError as error:
        raise refusal(where, module, str(error).rstrip(".")) from error
    if kind == "ParametricLIFNode":
        logit = layer.get_parameter("membrane_decay.logit")
        # 1 - sigmoid(w) = sigmoid(-w): the parameter itself, up to its sign.
        logit.data.copy_(-module.w.detach())
        logit.requires_grad_(module.w.requires_grad)
    return layer.train(module.training)


def _membrane(module: Any, kind: str) -> dict[str, Any]:
    """Decay of the membrane and factor of the input."""
    if kind in ("IFNode", "SimpleIFNode"):
        # Without decay any value is one of rest; the membrane starts there.
        return {"beta": 1.0, "v_rest": 0.0 if kind == "SimpleIFNode" else float(module.v_reset or 0.0)}
    if kind == "CUBALIFNode":
        return {"beta": module.v_decay, "alpha": module.c_decay, "v_rest": 0.0}
    if kind == "ParametricLIFNode":
        beta = torch.sigmoid(-number(module.w))
        return {"beta": beta, "gain": "1-beta" if module.decay_input else 1.0, "learn": "beta"}
    return {"beta": 1.0 - 1.0 / module.tau, "gain": 1.0 / module.tau if module.decay_input else 1.0}


def _surrogate(module: Any, where: str) -> surrogates.Surrogate:
    function = module.surrogate_function
    name = type(function).__name__
    if origin(function)[0] != "spikingjelly" or name not in _SURROGATES:
        raise refusal(
            where, module, f"its surrogate gradient {name} has no equal; those of {', '.join(sorted(_SURROGATES))} of "
            "spikingjelly.activation_based.surrogate do, some for certain options only",
        )  # fmt: skip
    if not function.spiking:
        raise refusal(where, module, "with spiking=False its surrogate function gives no spikes but the primitive")
    surrogate = _SURROGATES[name](function)
    if surrogate is None:
        shown = f"{name}({function.extra_repr()})"
        raise refusal(where, module, f"its surrogate gradient {shown} has no equal; other options of it may have")
    return verify_surrogate(function, surrogate, inclusive=True, where=where, module=module)
