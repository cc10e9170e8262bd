"""Norse's neurons, integrators and containers."""

import math
import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from spikeneuro._random import scoped_seed
from spikeneuro.errors import InputError
from spikeneuro.nn.interop.containers import Framework, Place, Walk
from spikeneuro.nn.interop.layers import Integrator, WithoutAutapsesLIF
from spikeneuro.nn.interop.recognition import joint_shape, number, refusal, verify_surrogate
from spikeneuro.nn.interop.snntorch_neurons import copy_parameters
from spikeneuro.nn.lif import LIF, LIFLayer, RecurrentLIF
from spikeneuro.ops import surrogates

_THRESHOLDS = "norse.torch.functional.threshold"
_SURROGATES: dict[str, Callable[[float], list[surrogates.Surrogate]]] = {
    # Version 1.1 takes alpha and ignores it; earlier ones use it as the slope. The function itself tells which.
    "super": lambda alpha: [surrogates.FastSigmoid(slope=1.0), surrogates.FastSigmoid(slope=alpha)],
    "triangle": lambda alpha: [surrogates.Triangle(height=alpha, width=1.0)],
    "heavi_erfc": lambda alpha: [surrogates.Gaussian(sigma=1.0 / (alpha * math.sqrt(2.0)), amplitude=2.0 / alpha)],
    "tanh": lambda alpha: [surrogates.Sigmoid(slope=2.0 * alpha, amplitude=2.0 / alpha)],
}
_CELLS = {"LIFCell", "LIFRecurrentCell", "LIFBoxCell", "IAFCell", "LICell", "LIBoxCell", "LILinearCell"}
_LAYERS = {"LIF", "LIFRecurrent", "IAF", "LI"}
_REASONS = {
    "LSNN": "its threshold adapts to the old current and membrane",
    "LSNNCell": "its threshold adapts to the old current and membrane",
    "LSNNRecurrent": "its threshold adapts to the old current and membrane",
    "LSNNRecurrentCell": "its threshold adapts to the old current and membrane",
    "Izhikevich": "its membrane follows a quadratic equation with a recovery variable",
    "IzhikevichCell": "its membrane follows a quadratic equation with a recovery variable",
    "RecurrentSequential": "it feeds the output of the network back to its input",
}
_NUMBERS = ("tau_syn_inv", "tau_mem_inv", "v_leak", "v_th", "v_reset")


class Norse(Framework):
    """Norse: cells take steps, layers take sequences."""

    name = "Norse"
    package = "norse"
    containers = frozenset({"SequentialState"})

    def takes_sequences(self, module: nn.Module) -> bool | None:
        """Return False for cells, True for layers and lifted modules."""
        kind = type(module).__name__
        if kind in _CELLS:
            return False
        return True if kind in _LAYERS or kind == "Lift" else None

    def problem_with(self, container: Any, /) -> str | None:
        """Return what is wrong with a container that returns the output of every layer."""
        return "with return_hidden=True it returns more than its output" if container.return_hidden else None

    def problem_inside(self, module: nn.Module, container: nn.Module, /) -> str | None:
        """Return what is wrong with neurons in a plain container."""
        if type(container) is not nn.Sequential or type(module).__name__ == "Lift":
            return None
        return "nn.Sequential hands its (spikes, state) to the next layer; use SequentialState"

    def convert(self, module: nn.Module, place: Place, walk: Walk, /) -> nn.Module:
        """Return the equal of one of Norse's neurons, integrators or lifted modules."""
        kind = type(module).__name__
        if kind == "Lift":
            lifted: Any = module
            return walk.convert(lifted.lifted_module, Place(place.name, sequences=False))
        if kind not in _CELLS | _LAYERS:
            known = f"of Norse's classes, {', '.join(sorted(_CELLS | _LAYERS))}, SequentialState and Lift are"
            raise refusal(place.name, module, _REASONS.get(kind, known))
        walk.claim(module, place)
        return _Reader(module, place.name, walk).layer().train(module.training)


class _Reader:
    """Reads one of Norse's modules and builds its equal."""

    def __init__(self, module: nn.Module, where: str, walk: Walk) -> None:
        # Attributes of a foreign module are read, whatever their type.
        self.module: Any = module
        self.where, self.walk = where, walk
        self.kind = type(module).__name__.removesuffix("Cell")
        self.numbers: Any = self.module.p

    def refuse(self, reason: str) -> InputError:
        return refusal(self.where, self.module, reason)

    def layer(self) -> nn.Module:
        for name in _NUMBERS:
            value = getattr(self.numbers, name, None)
            if isinstance(value, Tensor) and value.requires_grad:
                raise self.refuse(f"its {name} is learned, and Norse's parametrisation of it has no equal; detach it")
        try:
            if self.kind in ("LI", "LIBox", "LILinear"):
                return self.integrator()
            return self.recurrent() if self.kind == "LIFRecurrent" else self.neurons()
        except InputError as error:
            if str(error).startswith(self.where):
                raise
            raise self.refuse(str(error).rstrip(".")) from error

    def rate(self, name: str) -> Tensor:
        """Step in units of a time constant, rounded as Norse rounds it."""
        return number(self.module.dt * getattr(self.numbers, name))

    def dynamics(self) -> dict[str, Any]:
        """Decays, factor of the input and rest."""
        if self.kind == "IAF":
            rest = number(self.numbers.v_reset)
            return {"beta": 1.0, "v_rest": rest, "v_reset": rest}
        rate = self.rate("tau_mem_inv")
        found = {"beta": 1.0 - rate, "gain": rate, "v_rest": number(self.numbers.v_leak)}
        if self.kind not in ("LIFBox", "LIBox"):
            found["alpha"] = 1.0 - self.rate("tau_syn_inv")
        return found

    def options(self) -> dict[str, Any]:
        """Keyword arguments of the LIF layer."""
        return {
            "v_reset": number(self.numbers.v_reset),
            **self.dynamics(),
            "threshold": number(self.numbers.v_th),
            "reset": self.reset(),
            "surrogate": self.surrogate(),
            # The recurrent step cuts the spike of the reset from the graph, the feed-forward step does not.
            "detach_reset": self.kind == "LIFRecurrent",
            **self.walk.target.options(),
        }

    def reset(self) -> str:
        if self.kind != "LIFBox":
            return "zero"
        method = self.numbers.reset_method
        known = {"reset_value": "zero", "reset_subtract": "subtract"}
        if not method.__module__.startswith("norse.") or method.__name__ not in known:
            raise self.refuse(f"its reset_method {method.__name__} is neither reset_value nor reset_subtract of Norse")
        return known[method.__name__]

    def surrogate(self) -> surrogates.Surrogate:
        method, alpha = self.numbers.method, self.numbers.alpha
        if method not in _SURROGATES:
            raise self.refuse(f"its method {method!r} has no equal; {', '.join(sorted(_SURROGATES))} have")
        candidates = _SURROGATES[method](float(alpha))

        def function(x: Tensor) -> Tensor:
            # Norse is loaded, or there would be no module of it to convert.
            return sys.modules[_THRESHOLDS].threshold(x, method, alpha)

        for candidate in candidates[:-1]:
            try:
                return verify_surrogate(function, candidate, inclusive=False, where=self.where, module=self.module)
            except InputError:
                continue
        return verify_surrogate(function, candidates[-1], inclusive=False, where=self.where, module=self.module)

    def shape(self, options: dict[str, Any]) -> tuple[int, ...]:
        return joint_shape(value for value in options.values() if isinstance(value, Tensor))

    def neurons(self) -> LIFLayer:
        options = self.options()
        return LIF(self.shape(options), **options)

    def recurrent(self) -> nn.Module:
        """Input weights, and neurons with recurrent weights."""
        module, target = self.module, self.walk.target
        build = RecurrentLIF if module.autapses else WithoutAutapsesLIF
        hidden, options = int(module.hidden_size), self.options()
        with scoped_seed(0):  # the initial weights are drawn, and then replaced
            neurons = build(hidden, bias=False, **options)
            linear = nn.Linear(int(module.input_size), hidden, bias=False, dtype=target.dtype, device=target.device)
        copy_parameters(linear, module.input_weights, None)
        copy_parameters(neurons, module.recurrent_weights, None)
        self.walk.width = hidden
        return nn.Sequential(linear, neurons)

    def integrator(self) -> nn.Module:
        dynamics, target = self.dynamics(), self.walk.target
        integrator = Integrator(
            **{"alpha": None, **dynamics}, backend=target.backend, dtype=target.dtype, device=target.device
        )
        if self.kind != "LILinear":
            return integrator
        module = self.module
        with scoped_seed(0):
            linear = nn.Linear(
                module.input_size, module.hidden_size, bias=False, dtype=target.dtype, device=target.device
            )
        copy_parameters(linear, module.input_weights, None)
        return nn.Sequential(linear, integrator)
