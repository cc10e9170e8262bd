"""One counted forward pass: every operation that runs, charged to the module that ran it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from spikeneuro.energy import elementwise, movement, neurons, products, reductions, sparse
from spikeneuro.energy.provenance import COUNTED, Kind, Origin, Tag, Tags, joined, storage_key
from spikeneuro.energy.rules import Call, Cost, Rule, taught
from spikeneuro.errors import UnknownOperationError
from spikeneuro.ops.counts import OperationCounts

RULES: dict[str, Rule] = {
    **elementwise.RULES, **reductions.RULES, **movement.RULES, **products.RULES, **neurons.RULES,
    **sparse.RULES,
}  # fmt: skip


#: Whole layers in one kernel of oneDNN; without it the same layers run as operations that have rules.
FUSED = frozenset({"aten::mkldnn_rnn_layer"})


class FusedKernelError(Exception):
    """A kernel was met that has to be switched off before its layer can be counted."""


@dataclass(slots=True)
class Row:
    """Counts charged to one module so far, over the whole batch."""

    name: str
    kind: str
    output_shape: tuple[int, ...] = ()
    dense: OperationCounts = field(default_factory=OperationCounts)
    effective: OperationCounts = field(default_factory=OperationCounts)
    spikes: int = 0
    neuron_steps: int = 0


@dataclass(slots=True)
class Detached:
    """An operation that no input reached: per sample or per pass is settled by a second batch size."""

    module: str
    name: str
    dense: OperationCounts
    effective: OperationCounts


class Pass(TorchDispatchMode):
    """Counts the operations of a forward pass while it runs.

    Parameters
    ----------
    model : torch.nn.Module
        Its modules are the rows.
    samples : int
        Samples in the batch.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tags = Tags()
        self.samples = samples
        self.rows = {name: Row(name, type(module).__name__) for name, module in model.named_modules()}
        self.detached: list[Detached] = []
        self._own = {storage_key(tensor) for module in model.modules() for tensor in _held(module)}
        self._stack = [""]
        # Products by weight: the types decided, and those with an initial state that wait for one.
        self._decided: dict[tuple[str, int], set[str]] = {}
        self._waiting: list[tuple[str, int, int, int]] = []

    def mark_input(self, tensor: Tensor, spikes: bool) -> None:
        """Declare `tensor` the input of the pass, made of spikes or of real numbers."""
        self.tags[tensor] = Tag(Kind.BINARY if spikes else Kind.GRADED, Origin.ACTIVATION)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation and charge it."""
        kwargs = kwargs or {}
        rule = find_rule(func._schema.name)
        if func._schema.name in FUSED:
            raise FusedKernelError(func._schema.name)
        if rule is None:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is NotImplemented:
                raise self._unknown(func)
            return result
        result = func(*args, **kwargs)
        call = Call(func, self._stack[-1], args, kwargs, result, self.samples, self.tags)
        tags = [self.tags[tensor] for tensor in call.tensors]
        if rule.memory != "none":
            self._refuse_unwritten(call, tags)
        if rule.memory not in ("none", "copy"):
            self._refuse_complex(call)
        charged = rule.handler(call)
        cost = Cost(charged) if isinstance(charged, OperationCounts) else charged
        self._charge(call, cost, memory(call, rule), tags)
        self._tag(call, rule, cost, tags)
        return result

    def _charge(self, call: Call, cost: Cost, moved: OperationCounts, tags: list[Tag]) -> None:
        dense = cost.dense + moved if moved else cost.dense
        effective = (cost.effective or OperationCounts()) + moved if cost.effective is not None else dense
        row = self.rows[call.module]
        if cost.spikes is not None:
            row.spikes += cost.spikes[0]
            row.neuron_steps += cost.spikes[1]
        if cost.weight is not None:
            self._settle_later(call.module, cost)
            if cost.undecided:
                dense, effective = _without_macs(dense), _without_macs(effective)
        if any(tag.origin is Origin.ACTIVATION for tag in tags):
            row.dense += dense
            row.effective += effective
        elif dense:
            self.detached.append(Detached(call.module, call.name, dense, effective))

    def _settle_later(self, module: str, cost: Cost) -> None:
        assert cost.weight is not None
        key = module, cost.weight
        if cost.undecided:
            effective = cost.dense if cost.effective is None else cost.effective
            self._waiting.append((*key, int(cost.dense.macs), int(effective.macs)))
        else:
            self._decided.setdefault(key, set()).add("acs" if cost.dense.acs else "macs")

    def _tag(self, call: Call, rule: Rule, cost: Cost, operands: list[Tag]) -> None:
        origin = max((tag.origin for tag in operands), default=Origin.CONSTANT)
        source = joined(tag for tag in operands if tag.kind.is_spike).source or call.module
        if cost.spikes is not None:
            source = COUNTED
        several = isinstance(call.result, tuple)
        written = _written_results(call)
        inputs = {storage_key(tensor) for tensor in call.tensors}
        for position, output in enumerate(call.outputs):
            kind = Kind.GRADED if several and position > 0 else cost.kind
            tag = Tag(kind, origin, source if kind.is_spike else None, rule.memory == "product")
            if position in written:
                self.tags.write(output, tag)
            elif storage_key(output) not in inputs:
                self.tags[output] = tag

    def _unknown(self, func: Any) -> UnknownOperationError:
        row = self.rows[self._stack[-1]]
        where = f"module {row.name!r} ({row.kind})" if row.name else f"the model's own forward ({row.kind})"
        return UnknownOperationError(
            f"the ledger has no count for {func._schema.name} (overload {func._overloadname}), met in {where}; "
            f"teach it with spikeneuro.energy.register({func._schema.name!r}, rule)"
        )

    def _refuse_unwritten(self, call: Call, tags: list[Tag]) -> None:
        if not any(tag.kind is Kind.UNWRITTEN for tag in tags):
            return
        unread = _unread_operands(call)
        for tensor, tag in zip(call.tensors, tags, strict=True):
            if tag.kind is Kind.UNWRITTEN and tensor.numel() and id(tensor) not in unread:
                raise UnknownOperationError(
                    f"{call.name} in module {call.module!r} ({self.rows[call.module].kind}) read memory that no torch "
                    "operation filled (NumPy or compiled code?); make that computation a torch operator and teach it "
                    "with spikeneuro.energy.register"
                )

    def _refuse_complex(self, call: Call) -> None:
        if any(tensor.is_complex() for tensor in call.outputs):
            raise UnknownOperationError(
                f"the ledger counts no complex arithmetic, and {call.name} in module {call.module!r} made a complex "
                f"tensor; teach it with spikeneuro.energy.register({call.name!r}, rule, overwrite=True)"
            )

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Follow which module is running, through hooks that are gone afterwards."""
        handles = []
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(self._entering(name)))
            handles.append(module.register_forward_hook(self._leaving(name), with_kwargs=True, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _entering(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self._stack.append(name)

        return hook

    def _leaving(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
            self._stack.pop()
            outputs = list(_tensors(output))
            if not outputs:
                return
            row = self.rows[name]
            row.output_shape = row.output_shape or tuple(outputs[0].shape)
            with _disable_current_modes():
                self._check_seen(row, list(_tensors((args, dict(kwargs)))), outputs)
                self._count_spikes(row, outputs)

        return hook

    def _check_seen(self, row: Row, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """A result that no operation made was computed out of sight (NumPy, compiled code): refuse to guess."""
        if not any(tensor in self.tags for tensor in inputs):
            return
        for tensor in outputs:
            if tensor not in self.tags and storage_key(tensor) not in self._own and tensor.numel() > 1:
                raise UnknownOperationError(
                    f"module {row.name!r} ({row.kind}) returned a tensor that no torch operation made (NumPy or "
                    "compiled code?); make that computation a torch operator and teach it with "
                    "spikeneuro.energy.register"
                )

    def _count_spikes(self, row: Row, outputs: list[Tensor]) -> None:
        """Count spikes where they leave the module that made them (neuron operators count their own)."""
        for tensor in outputs:
            tag = self.tags[tensor]
            if tag.kind.is_spike and tag.source == row.name and tensor.is_floating_point():
                row.spikes += int(torch.count_nonzero(tensor))
                row.neuron_steps += tensor.numel()
                self.tags[tensor] = Tag(tag.kind, tag.origin, COUNTED)

    def settle(self) -> None:
        """Give products with an initial state the type of the other products with the same weight."""
        for module, weight, dense, effective in self._waiting:
            decided = self._decided.get((module, weight), {"macs"})
            kind = "acs" if decided == {"acs"} else "macs"
            counts = OperationCounts(**{kind: dense}), OperationCounts(**{kind: effective})
            self.detached.append(Detached(module, "initial state", *counts))


def find_rule(name: str) -> Rule | None:
    """Rule for an operation; in-place variants share that of the operation they are named after."""
    for candidate in (name, name[:-1] if name.endswith("_") and not name.endswith("__") else name):
        rule = taught(candidate) or RULES.get(candidate)
        if rule is not None:
            return rule
    return None


def memory(call: Call, rule: Rule) -> OperationCounts:
    """Elements and bytes an operation reads and writes (see `rules.Memory`)."""
    if rule.memory in ("none", "own") or not call.outputs:
        return OperationCounts()
    writes, width = call.size, call.outputs[0].element_size()
    bias = _bias(call)
    if bias is not None:
        reads, writes = bias.numel() * call.samples, 0
    elif rule.memory == "copy":
        reads = writes
    elif rule.memory == "elementwise":
        reads = writes * max(len(call.tensors), 1)
    else:
        active = any(call.tag(tensor).origin is Origin.ACTIVATION for tensor in call.tensors)
        reads = 0
        for tensor in call.tensors:
            origin = call.tag(tensor).origin
            once_per_sample = origin is Origin.WEIGHT or (active and origin is Origin.CONSTANT)
            reads += _distinct(tensor) * (call.samples if once_per_sample else 1)
    return OperationCounts(reads=reads, writes=writes, read_bytes=reads * width, write_bytes=writes * width)


def _bias(call: Call) -> Tensor | None:
    """The weight that is being added to the fresh result of a product, as a fused layer does before writing it."""
    if call.name not in ("aten::add", "aten::add_") or len(call.tensors) != 2:
        return None
    product, bias = call.tensors
    fused = call.tag(product).product and call.is_weight(bias) and bias.numel() < product.numel()
    return bias if fused else None


def _distinct(tensor: Tensor) -> int:
    """Elements in memory; those of an expanded axis are one."""
    return math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not size)


def _written_results(call: Call) -> set[int]:
    """Positions of the results that are operands written in place."""
    return {
        position
        for position, returned in enumerate(call.func._schema.returns)
        if returned.alias_info is not None and returned.alias_info.is_write
    }


def _unread_operands(call: Call) -> set[int]:
    """Identities of the operands whose old values the operation does not use: written ones, and a bias times zero."""
    unread = set()
    for position, argument in enumerate(call.func._schema.arguments):
        value = call.args[position] if position < len(call.args) else call.kwargs.get(argument.name)
        written = argument.alias_info is not None and argument.alias_info.is_write
        if written or (argument.name == "self" and call.arg("beta", 1) == 0):
            unread.add(id(value))
    return unread


def _held(module: nn.Module) -> Iterator[Tensor]:
    """Tensors that are attributes of a module: parameters, buffers and plain ones."""
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)
    yield from (value for value in vars(module).values() if isinstance(value, Tensor))


def _without_macs(counts: OperationCounts) -> OperationCounts:
    return counts + OperationCounts(macs=-counts.macs)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inside in value.values():
            yield from _tensors(inside)
    elif isinstance(value, (list, tuple)):
        for inside in value:
            yield from _tensors(inside)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _tensors(getattr(value, name))
