"""What a rule of the ledger is: a function from one executed operation to its counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from spikeneuro._validation import check_choice
from spikeneuro.energy.provenance import Kind, Origin, Tag, Tags, joined, scalar_kind
from spikeneuro.errors import InputError
from spikeneuro.ops.counts import OperationCounts

#: How an operation touches memory: "none" makes or reshapes without touching values; "copy" reads and writes each
#: element of the result; "elementwise" reads one element of every tensor operand per element of the result;
#: "reduce" reads its operands whole and writes the result; "product" reads activations once and weights once per
#: sample; "own" is stated in the counts of the rule.
Memory = Literal["none", "copy", "elementwise", "reduce", "product", "own"]
MEMORY: tuple[Memory, ...] = ("none", "copy", "elementwise", "reduce", "product", "own")


@dataclass(frozen=True, slots=True)
class Cost:
    """Counts of one executed operation, over the whole batch.

    Attributes
    ----------
    dense : OperationCounts
        Every input counted.
    effective : OperationCounts, optional
        Products with a zero activation skipped; the same as `dense` if left out.
    kind : Kind
        What values the (first) result can hold. Further results are graded unless they are boolean.
    spikes : tuple of (int, int), optional
        Spikes emitted and neuron-steps, for an operation that is a neuron.
    weight : int, optional
        For products, the `storage_key` of the operand that is a weight.
    undecided : bool
        Products with an initial state of zeros or ones: they get the type (accumulate or multiply-accumulate) of
        the other products with that weight.
    """

    dense: OperationCounts
    effective: OperationCounts | None = None
    kind: Kind = Kind.GRADED
    spikes: tuple[int, int] | None = None
    weight: int | None = None
    undecided: bool = False


class Call:
    """One executed operation, as rules see it.

    Attributes
    ----------
    name : str
        Full name of the operation, such as ``aten::mul``.
    module : str
        Qualified name of the module in whose forward pass it ran.
    args, kwargs : tuple, dict
        What it was called with.
    result : object
        What it returned.
    samples : int
        Samples in the batch.
    """

    def __init__(
        self,
        func: torch._ops.OpOverload[Any, Any],
        module: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
        samples: int,
        tags: Tags,
    ) -> None:
        self.func, self.name, self.module = func, func._schema.name, module
        self.args, self.kwargs, self.result, self.samples = args, kwargs, result, samples
        self._tags = tags
        self.tensors = [value for value in _leaves((*args, *kwargs.values())) if isinstance(value, torch.Tensor)]
        self.outputs = [value for value in _leaves((result,)) if isinstance(value, torch.Tensor)]

    def arg(self, name: str, default: Any = None) -> Any:
        """Argument `name` of the operation's schema: as given, else the schema's default, else `default`."""
        if name in self.kwargs:
            return self.kwargs[name]
        for position, argument in enumerate(self.func._schema.arguments):
            if argument.name == name:
                if position < len(self.args):
                    return self.args[position]
                return argument.default_value if argument.has_default_value() else default
        return default

    @property
    def size(self) -> int:
        """Number of elements of the first result."""
        return self.outputs[0].numel() if self.outputs else 0

    def tag(self, tensor: torch.Tensor) -> Tag:
        """Kind and origin of an operand."""
        return self._tags[tensor]

    def kind(self, value: Any) -> Kind:
        """Kind of an operand, tensor or number."""
        return self._tags[value].kind if isinstance(value, torch.Tensor) else scalar_kind(value)

    def operand_kind(self, tensor: torch.Tensor) -> Kind:
        """Kind of a factor of a product, where even a one-element weight is a weight whatever its value."""
        known = tensor in self._tags or tensor.dtype == torch.bool
        return self._tags[tensor].kind if known else Kind.GRADED

    def is_weight(self, tensor: torch.Tensor) -> bool:
        """Whether an operand existed before the pass or follows from such tensors alone."""
        return self._tags[tensor].origin is Origin.WEIGHT

    def mixed_kind(self) -> Kind:
        """Kind of a result each of whose values is a value of one of the tensor operands."""
        return joined(self._tags[tensor] for tensor in self.tensors).kind


Handler = Callable[[Call], Cost | OperationCounts]


@dataclass(frozen=True, slots=True)
class Rule:
    """A handler and how the operation touches memory."""

    handler: Handler
    memory: Memory = "elementwise"


@dataclass(slots=True)
class _Taught:
    rules: dict[str, Rule] = field(default_factory=dict)


_TAUGHT = _Taught()


def register(op: Any, handler: Handler, *, memory: Memory = "elementwise", overwrite: bool = False) -> None:
    """Teach the ledger an operation.

    Parameters
    ----------
    op : str or torch operator
        ``"namespace::name"`` or the operator itself, such as ``torch.ops.mylib.scan``.
    handler : callable
        Takes the executed `Call` and returns its `OperationCounts` over the whole batch (dense and effective alike),
        or a `Cost` that tells them apart and says whether the result is spikes.
    memory : {"none", "copy", "elementwise", "reduce", "product", "own"}
        How it touches memory; with "own" the handler states reads and writes itself.
    overwrite : bool
        Replace an earlier registration of the same operation.

    Raises
    ------
    InputError
        If `op` is not an operator or its full name, or was registered before.

    Examples
    --------
    >>> from spikeneuro import energy
    >>> from spikeneuro.ops.counts import OperationCounts
    >>> energy.register("mylib::square", lambda call: OperationCounts(multiplications=call.size), overwrite=True)
    """
    name = op if isinstance(op, str) else _operator_name(op)
    if "::" not in name:
        raise InputError(
            f"op={op!r} is no operator; give its full name, such as 'mylib::scan', or torch.ops.mylib.scan"
        )
    check_choice(memory, MEMORY, "memory")
    if name in _TAUGHT.rules and not overwrite:
        raise InputError(f"{name} is registered already; pass overwrite=True to replace its rule")
    _TAUGHT.rules[name] = Rule(handler, memory)


def taught(name: str) -> Rule | None:
    """Rule a user registered for the operation called `name`."""
    return _TAUGHT.rules.get(name)


def _operator_name(op: Any) -> str:
    if isinstance(op, torch._ops.OpOverload):
        return op._schema.name
    if isinstance(op, torch._ops.OpOverloadPacket):
        return op._qualified_op_name
    name = getattr(op, "_qualname", "")  # torch.library.custom_op gives its definition, not the operator
    return str(name)


def _leaves(values: Any) -> Any:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _leaves(value)
        else:
            yield value
