"""Sequential networks: each layer by itself, with the right treatment of time."""

import copy
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from functools import reduce

import torch
from torch import nn

from spikeneuro.nn.base import SpikingLayer
from spikeneuro.nn.interop.layers import EachStep, SharedDropout
from spikeneuro.nn.interop.recognition import Target, origin, refusal
from spikeneuro.nn.over_time import OverTime

_SHAPED = ("Conv{}d", "ConvTranspose{}d", "MaxPool{}d", "AvgPool{}d", "AdaptiveAvgPool{}d", "AdaptiveMaxPool{}d",
           "BatchNorm{}d", "InstanceNorm{}d", "Dropout{}d", "ZeroPad{}d")  # fmt: skip
#: Layers of torch.nn that map each sample by itself (batch normalisation apart) and keep no state between calls.
TORCH_LAYERS = frozenset(name.format(n) for name in _SHAPED for n in (1, 2, 3)) | {
    "Linear", "Identity", "Flatten", "Unflatten", "Upsample", "GroupNorm", "LayerNorm", "Dropout", "AlphaDropout",
    "FeatureAlphaDropout", "ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish",
    "Sigmoid", "Tanh", "Hardtanh", "Hardsigmoid", "Softplus", "Softsign",
}  # fmt: skip
_CHANGES_FEATURES = ("Conv", "MaxPool", "AvgPool", "Adaptive", "ZeroPad", "Flatten", "Unflatten", "Upsample")
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def is_torch_layer(module: nn.Module) -> bool:
    """Whether `module` is one of torch's own layers that can be copied, not a subclass."""
    return origin(module)[0] == "torch" and type(module).__name__ in TORCH_LAYERS


def over_steps(layer: nn.Module) -> nn.Module:
    """`layer`, written for one step, applied to all steps of a sequence."""
    if isinstance(layer, nn.Linear):
        return layer
    if isinstance(layer, _BATCH_NORMS) or (isinstance(layer, _INSTANCE_NORMS) and layer.track_running_stats):
        return EachStep(layer)
    return OverTime(layer)


@dataclass(frozen=True)
class Place:
    """Where in a network a module stands.

    Parameters
    ----------
    name : str
        Its place in the network, for messages.
    sequences : bool
        Whether the network around it is called with whole sequences, rather than step by step.
    last : bool
        Whether nothing takes its output.
    """

    name: str
    sequences: bool
    last: bool = True


class Framework(ABC):
    """What the walk through a network has to know about a framework.

    Attributes
    ----------
    name : str
        As its users write it.
    package : str
        Root of its modules' names.
    containers : frozenset of str
        Its own classes that are sequences of layers.
    stepping_containers : frozenset of str
        Those that take a sequence and call their layers step by step.
    folding_containers : frozenset of str
        Those that take a sequence and put time into the batch.
    """

    name: str
    package: str
    containers: frozenset[str] = frozenset()
    stepping_containers: frozenset[str] = frozenset()
    folding_containers: frozenset[str] = frozenset()

    @abstractmethod
    def takes_sequences(self, module: nn.Module, /) -> bool | None:
        """Whether a module of the framework is called with a whole sequence, or step by step; None for either."""

    def problem_with(self, _container: nn.Module, /) -> str | None:
        """Why one of the framework's containers does more than calling its layers in turn; None if it does not."""
        return None

    @abstractmethod
    def problem_inside(self, module: nn.Module, container: nn.Module, /) -> str | None:
        """Why another layer of `container` cannot take what `module` returns; None if it can."""

    @abstractmethod
    def convert(self, module: nn.Module, place: Place, walk: "Walk", /) -> nn.Module:
        """Layer equal to a module of the framework, or `InputError`."""


class Walk:
    """One conversion of a whole network.

    Parameters
    ----------
    framework : Framework
        Whose network it is.
    target : Target
        Where the converted layers run.
    """

    def __init__(self, framework: Framework, target: Target) -> None:
        self.framework = framework
        self.target = target
        self.width: int | None = None
        """Features where the walk now is, if a linear layer tells."""
        self._copies: dict[int, object] = {}
        self._seen: set[int] = set()

    def copy(self, layer: nn.Module) -> nn.Module:
        """Return a copy of a torch layer; what is shared between layers is shared between the copies."""
        copied = copy.deepcopy(layer, self._copies)
        return copied.to(self.target.dtype) if self.target.recast else copied

    def convert(self, module: nn.Module, place: Place) -> nn.Module:
        """Return the equal of `module`.

        Parameters
        ----------
        module : nn.Module
            Container, layer or neurons.
        place : Place
            Where it stands.

        Returns
        -------
        nn.Module
            Takes and gives (time, batch, *features).

        Raises
        ------
        InputError
            For a module without an equal.
        """
        package, name = origin(module)
        own = package == self.framework.package
        if type(module) is nn.Sequential or (own and name in self.framework.containers):
            return self._sequential(module, place)
        if is_torch_layer(module):
            if getattr(module, "return_indices", False):
                raise refusal(place.name, module, "with return_indices=True it returns more than the next layer takes")
            return self.torch_layer(self.copy(module), place)
        if not own:
            known = f"torch's layers, nn.Sequential and {self.framework.name}'s own classes are"
            home = type(module).__module__
            raise refusal(place.name, module, f"it is defined in {home}; only {known}. Convert its parts one by one")
        return self.framework.convert(module, place, self)

    def claim(self, neurons: nn.Module, place: Place) -> None:
        """Raise if `neurons` are converted twice, or more is attached to them than they do by themselves."""
        if id(neurons) in self._seen:
            raise refusal(
                place.name, neurons, "the same neurons stand in two places of the network and share one state"
            )
        if neurons._forward_hooks or neurons._forward_pre_hooks:
            raise refusal(place.name, neurons, "it carries forward hooks, which would be lost; remove them")
        self._seen.add(id(neurons))

    def torch_layer(self, layer: nn.Module, place: Place) -> nn.Module:
        """Return a copied torch layer such that it takes sequences."""
        if isinstance(layer, nn.Linear):
            self.width = layer.out_features
        elif type(layer).__name__.startswith(_CHANGES_FEATURES):
            self.width = None
        return layer if place.sequences else over_steps(layer)

    def _sequential(self, module: nn.Module, place: Place) -> nn.Module:
        framework, kind = self.framework, type(module).__name__
        own_problem = framework.problem_with(module) if kind in framework.containers else None
        if own_problem:
            raise refusal(place.name, module, own_problem)
        folds = kind in framework.folding_containers
        sequences = place.sequences and kind not in framework.stepping_containers
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        # `named_children` would leave out a layer that stands in two places.
        children = [(name, child) for name, child in module._modules.items() if child is not None]
        for position, (name, child) in enumerate(children):
            last = place.last and position == len(children) - 1
            inner = Place(f"{place.name}, layer {name!r}", sequences, last)
            problem = framework.problem_inside(child, module) if origin(child)[0] == framework.package else None
            if problem and not last:
                raise refusal(inner.name, child, problem)
            layers[name] = self.convert(child, inner)
            if folds and any(isinstance(part, (SpikingLayer, SharedDropout)) for part in layers[name].modules()):
                raise refusal(inner.name, child, "with time in the batch its state would run over the samples")
        converted = nn.Sequential(layers)
        converted.training = module.training
        return OverTime(converted) if folds else converted


def called_with_sequences(module: nn.Module, framework: Framework, where: str = "the module") -> bool | None:
    """Whether a network is called with whole sequences (True) or step by step (False); None if nothing in it says.

    Parameters
    ----------
    module : nn.Module
        Network or layer.
    framework : Framework
        Whose it is.
    where : str
        For the message.

    Returns
    -------
    bool or None
        What all layers agree about.

    Raises
    ------
    InputError
        If they do not agree.
    """
    package, name = origin(module)
    own = package == framework.package
    stated = framework.takes_sequences(module) if own else None
    if stated is not None or not (type(module) is nn.Sequential or (own and name in framework.containers)):
        return stated
    said = {called_with_sequences(child, framework, where) for child in module.children()} - {None}
    if len(said) > 1:
        raise refusal(where, module, "some of its layers take one step at a time and others whole sequences")
    return said.pop() if said else None


def as_torch_layer(layer: nn.Module, base: type[nn.Module]) -> nn.Module:
    """Turn a copy of a subclass that only adds a step mode into the torch layer that it is underneath."""
    layer.__class__ = base
    layer.__dict__.pop("_step_mode", None)
    return layer


def home_of(module: nn.Module) -> tuple[torch.dtype, torch.device] | None:
    """Floating dtype and device in which `module` computes; None if it holds no number."""
    tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
    # Single numbers do not decide in which precision torch computes, unless there is nothing else.
    found = [tensor for tensor in tensors if tensor.dim() and tensor.numel()] or tensors
    if not found:
        return None
    return reduce(torch.promote_types, (tensor.dtype for tensor in found)), found[0].device
