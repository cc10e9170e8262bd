"""The graph of a network: which layer is fed by which, found by one symbolic pass beside real values.

The pass follows Python code as it runs for one batch. Shapes are known in it, so that checks of shapes work; what
depends on values is refused.
"""

import copy
import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from spikeneuro._validation import check_finite
from spikeneuro.errors import InputError
from spikeneuro.nn import EventLinear, SpikingLayer
from spikeneuro.training.conversion.graph import Graph, Node
from spikeneuro.training.conversion.layers import Apply, BatchSize, Sum
from spikeneuro.training.conversion.qcfs import QCFS

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ACTIVATION = (nn.ReLU, QCFS)
MAX_POOL = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d
)  # fmt: skip
AVERAGE = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d
)  # fmt: skip
SHAPE = (nn.Flatten, nn.Unflatten)
NOTHING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity)

_ROLES: dict[type[nn.Module], str] = {
    **dict.fromkeys(LINEAR, "linear"), **dict.fromkeys(NORM, "affine"), **dict.fromkeys(ACTIVATION, "activation"),
    **dict.fromkeys(MAX_POOL, "max"), **dict.fromkeys(AVERAGE, "average"), **dict.fromkeys(SHAPE, "shape"),
    **dict.fromkeys(NOTHING, "nothing"),
}  # fmt: skip
_SUMS = (operator.add, operator.iadd, torch.add)
_FUNCTION_NAMES = {
    "activation": "relu relu_",
    "average": "mean avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d",
    "max": "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    "shape": "flatten unflatten squeeze unsqueeze reshape view permute transpose contiguous",
    "nothing": "dropout dropout1d dropout2d dropout3d alpha_dropout",
}
#: Role of a function of torch, or of a method of tensors by its name.
_FUNCTIONS: dict[Any, str] = {
    function: role
    for role, names in _FUNCTION_NAMES.items()
    for name in names.split()
    for function in (name, getattr(torch, name, None), getattr(functional, name, None))
    if function is not None
}

#: What a message says of the layers people most often have.
_ADVICE = (
    "convertible are Linear, Conv1d to 3d, BatchNorm, ReLU, QCFS, average and max pooling, mean, flatten, sums and "
    "dropout; train the network with ReLU instead"
)


class _ShapedProxy(fx.Proxy):
    """A proxy that knows its value on the example, and tells its shape as numbers."""

    value: Any = None

    @property
    def shape(self) -> Any:
        sizes = tuple(self.value.shape)
        return (BatchSize(sizes[0]), *sizes[1:]) if sizes else sizes

    @property
    def ndim(self) -> int:
        return int(self.value.ndim)

    def dim(self) -> int:
        return int(self.value.ndim)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return self.shape[0]


class _Tracer(fx.Tracer):
    """Follows a network on an example; leaves are the layers of which something is known."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self.example = example
        # Inside the computation of a value, what the tracer has patched must behave as usual.
        self.computing = False

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self.computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        return forward(*args, **kwargs) if self.computing else super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, SpikingLayer):
            raise InputError(f"module {module_qualified_name!r} ({type(m).__name__}) already spikes.")
        if own(m) is not None:
            return True
        if type(m).__module__.startswith("torch.nn") and not isinstance(m, (nn.Sequential, nn.ModuleList)):
            raise InputError(f"module {module_qualified_name!r} ({type(m).__name__}) has no spiking form; {_ADVICE}.")
        return False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _ShapedProxy(node, self)

    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **options: Any
    ) -> fx.Proxy:  # fmt: skip
        proxy = super().create_proxy(kind, target, args, kwargs, *more, **options)

        def known(value: Any) -> Any:
            if isinstance(value, _ShapedProxy):
                return value.value
            return type(value)(known(item) for item in value) if isinstance(value, (tuple, list)) else value

        values, named = known(tuple(args)), {name: known(value) for name, value in kwargs.items()}
        self.computing = True
        try:
            result = self._computed(kind, target, values, named)
        finally:
            self.computing = False
        assert isinstance(proxy, _ShapedProxy)
        proxy.value = result
        return proxy

    def _computed(self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kind == "placeholder":
            return self.example
        if kind == "get_attr":
            return operator.attrgetter(target)(self.root)
        if kind == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        if kind == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs) if kind == "call_function" else None


def own(module: nn.Module) -> str | None:
    """Role of a module that computes what its torch class does; None for others, subclasses that change it included."""
    if isinstance(module, EventLinear):
        return "linear"
    for kind, role in _ROLES.items():
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return role
    return None


def as_samples(data: Any, model: nn.Module, name: str = "calibration_data") -> Tensor:
    """`data` as a tensor like the network's parameters; raises for what no network can be calibrated on."""
    if data is None:
        raise InputError(f"{name} is missing: give samples as the network takes them, those it was trained on.")
    if not isinstance(data, (Tensor, np.ndarray)):
        raise InputError(f"{name} must be a tensor or an array of samples, got {type(data).__name__}.")
    samples = torch.as_tensor(data).detach()
    if samples.dim() < 2 or not len(samples):
        raise InputError(
            f"{name} must hold at least one sample along its first axis, got shape {tuple(samples.shape)}."
        )
    place = next((p for p in (*model.parameters(), *model.buffers()) if p.is_floating_point()), None)
    samples = samples.to(place) if place is not None else samples.float()
    if not torch.isfinite(samples).all():
        check_finite(samples.cpu().numpy(), name)
    return samples


def without_hooks(model: nn.Module) -> nn.Module:
    """Copy of a network in evaluation mode, without the hooks of those who watch the original."""
    try:
        made = copy.deepcopy(model).eval()
    except RuntimeError as error:
        raise InputError(
            f"{type(model).__name__} cannot be copied, as with the old torch.nn.utils.weight_norm; use that of "
            "torch.nn.utils.parametrizations, or remove it."
        ) from error
    for module in made.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks):
            hooks.clear()
        module._forward_hooks_always_called.clear()
        module._forward_hooks_with_kwargs.clear()
        module._forward_pre_hooks_with_kwargs.clear()
    return made


def trace(model: nn.Module, samples: Tensor) -> Graph:
    """Find the graph of a network, in evaluation mode and without dropout.

    Parameters
    ----------
    model : nn.Module
        Network of one input, (batch, ...), and one output; it is left as it is.
    samples : Tensor
        A few of its inputs.

    Returns
    -------
    Graph
        Its modules are copies.

    Raises
    ------
    InputError
        If the network holds a layer that cannot be converted (which is named), or branches on values.
    """
    original = without_hooks(model)
    root: nn.Module = nn.Sequential(copy.deepcopy(original))
    example = samples[:2].clone()  # the network may change it in place
    try:
        with torch.no_grad():
            graph = _Tracer(example).trace(root)
    except InputError as error:
        raise InputError(_short(str(error))) from None
    except (fx.proxy.TraceError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        raise InputError(
            f"the layers of {type(model).__name__} cannot be followed: {lines[0] if lines else type(error).__name__}"
        ) from error
    nodes = _nodes(root, graph)
    found = Graph(nodes)
    _check_same(original, found, samples)
    return found


def _short(message: str) -> str:
    """A message about a module inside the wrapper of `trace`, with the name it has in the network itself."""
    return message.replace("module '0.", "module '").replace("module '0' ", "the network ")


def _nodes(root: nn.Module, graph: fx.Graph) -> tuple[Node, ...]:
    nodes: list[Node] = []
    names: dict[str, str] = {}
    output = ""
    for item in graph.nodes:
        if item.op == "placeholder":
            nodes.append(Node("input", "input", "input", nn.Identity(), ()))
            names[item.name] = "input"
        elif item.op == "output":
            if not isinstance(item.args[0], fx.Node):
                raise InputError(f"the network returns {type(item.args[0]).__name__}, not one tensor.")
            output = names[item.args[0].name]
        else:
            node = _layer(root, item, names)
            names[item.name] = node.name
            nodes.append(node)
    return _reaching(nodes, output)


def _reaching(nodes: list[Node], output: str) -> tuple[Node, ...]:
    """Nodes on which the output depends, dropout left out."""
    through = {node.name: node.inputs[0] for node in nodes if node.role == "nothing"}

    def source(name: str) -> str:
        while name in through:
            name = through[name]
        return name

    kept = [
        Node(node.name, node.where, node.role, node.module, tuple(source(name) for name in node.inputs))
        for node in nodes
        if node.role != "nothing"
    ]
    needed = {source(output)}
    for node in reversed(kept):
        if node.name in needed:
            needed.update(node.inputs)
    used = [node for node in kept if node.name in needed]
    if used[-1].name != source(output):
        raise InputError("the network returns its input.")
    return tuple(used)


def _layer(root: nn.Module, item: fx.Node, names: Mapping[str, str]) -> Node:
    inputs = tuple(names[node.name] for node in item.all_input_nodes if node.name in names)
    name = item.name.removeprefix("_0_") if item.name.startswith("_0_") else item.name
    if item.op == "call_module":
        module = root.get_submodule(str(item.target))
        role = own(module)
        assert role is not None
        where = str(item.target).removeprefix("0").lstrip(".") or type(module).__name__
        return Node(_free(name, names), where, role, _in_its_place(module), inputs)
    if item.op == "get_attr":
        raise InputError(
            f"the network uses its parameter {_short_path(str(item.target))!r} outside a layer; {_ADVICE}."
        )
    target = item.target
    where = str(target) if isinstance(target, str) else getattr(target, "__name__", str(target))
    first = item.args[0] if item.args else None
    if target in _SUMS or target in ("add", "add_"):
        itself = len(item.args) == 2 and item.args[0] is item.args[1]
        if item.kwargs or (len(inputs) != 2 and not itself):
            raise InputError(f"{where!r} adds something that is no layer's output; only sums of two layers convert.")
        twice = inputs if len(inputs) == 2 else inputs * 2
        return Node(_free(name, names), where, "sum", Sum(), twice)
    role = _FUNCTIONS.get(target)
    if role is None or len(inputs) != 1 or not isinstance(first, fx.Node):
        raise InputError(f"the function {where!r} in the network's forward has no spiking form; {_ADVICE}.")
    if role == "activation":
        return Node(_free(name, names), where, role, nn.ReLU(), inputs)
    return Node(_free(name, names), where, role, Apply(target, item.args[1:], dict(item.kwargs)), inputs)


def _in_its_place(module: nn.Module) -> nn.Module:
    """Copy of a layer that leaves its input as it is, which others may read too: no spiking layer can change it."""
    made = copy.deepcopy(module)
    if isinstance(made, nn.ReLU):
        made.inplace = False
    return made


def _short_path(target: str) -> str:
    return target.removeprefix("0.")


def _free(name: str, taken: Mapping[str, str]) -> str:
    """`name` with a number if it is taken."""
    name = name.lstrip("_") or "layer"
    used = set(taken.values())
    return name if name not in used else next(f"{name}_{i}" for i in range(2, 10**6) if f"{name}_{i}" not in used)


def _check_same(model: nn.Module, graph: Graph, samples: Tensor) -> None:
    """Raise unless the graph computes what the network does, for another number of samples than it was found with."""
    few = samples[:3] if len(samples) > 2 else samples[:1].expand(3, *samples.shape[1:])
    with torch.no_grad():
        expected = model(few.clone())
        found = few
        for node, values in graph.values(few):
            found = values[node.name]
            if found.dim() < 2 or len(found) != len(few):
                raise InputError(
                    f"{node.where!r} gives {tuple(found.shape)} for {len(few)} samples; axis 0 must be theirs."
                )
    tolerance = 1e-4 if found.dtype in (torch.float32, torch.float16, torch.bfloat16) else 1e-9
    size = float(expected.abs().max())
    if found.shape != expected.shape or not math.isclose(
        float((found - expected).abs().max()), 0.0, abs_tol=tolerance * max(size, 1.0)
    ):
        raise InputError(
            f"the layers found in {type(model).__name__} do not compute what it does: its forward depends on the "
            "values of its input, draws at random, or changes in place what other layers read."
        )
