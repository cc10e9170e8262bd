"""Counting a model: real forward passes, added up into a ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeneuro import _several
from spikeneuro._validation import check_number
from spikeneuro.encoders.base import Encoder
from spikeneuro.energy.counter import Detached, FusedKernelError, Pass, Row
from spikeneuro.energy.isolation import composed, ordinary, untouched
from spikeneuro.energy.ledger import LayerCounts, Ledger
from spikeneuro.errors import InputError
from spikeneuro.ops.counts import OperationCounts

#: Arguments of the network: tensors, or one dict of tensors by modality.
Inputs = tuple[Any, ...]


def count(
    model: Any,
    x: Any,
    *,
    spikes_in: bool = False,
    batch_size: int | None = None,
    batch_axis: int = 0,
) -> Ledger:
    """Count the operations of a model on given data, by running it.

    Every operation that runs is charged to the module that ran it. Products (inside matrix products and convolutions)
    are multiply-accumulates, or accumulates where an operand is a spike train: the result of a comparison or of a
    spiking neuron, passed on unchanged in value. *Dense* counts take every input, *effective* ones skip products
    whose activation is zero, for spiking and other networks alike. The model is left exactly as it was.

    Parameters
    ----------
    model : torch.nn.Module or fitted estimator
        A module, or an estimator of `spikeneuro.training`.
    x : Tensor, array, or tuple or dict of these
        Samples along `batch_axis`; a tuple is passed on as several arguments, a dict (of modalities) as one. For an
        estimator, its raw input.
    spikes_in : bool
        Whether `x` itself consists of spikes.
    batch_size : int, optional
        Samples per forward pass; all at once by default. The result does not depend on it.
    batch_axis : int
        Axis of `x` along which samples lie, 1 for sequences that come time first.

    Returns
    -------
    Ledger
        Counts per sample, in all and by module.

    Raises
    ------
    UnknownOperationError
        If the model runs an operation that the ledger has no rule for; the message says how to teach it.
    InputError
        If `x` is empty or `model` is neither a module nor a fitted estimator.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro import energy
    >>> ledger = energy.count(torch.nn.Linear(3, 4), torch.tensor([[1.0, 0.0, 2.0]]))
    >>> ledger.macs, ledger.dense.macs, ledger.dense.additions
    (8.0, 12.0, 4.0)
    """
    module, prepare = _resolve(model)
    inputs = _inputs(prepare(x), module)
    n = _batch(inputs, batch_axis)
    if batch_size is not None:
        check_number(batch_size, "batch_size", low=1, integer=True)
    for onednn_enabled in (True, False):  # convolutions are much faster with it, recurrent layers one kernel
        with contextlib.suppress(FusedKernelError), untouched(module), composed(onednn_enabled=onednn_enabled):
            return _count(module, inputs, n, batch_size or n, batch_axis, spikes_in)
    raise AssertionError("a kernel of oneDNN ran while it was switched off")


def _count(module: nn.Module, inputs: Inputs, n: int, size: int, axis: int, spikes_in: bool) -> Ledger:
    ledger: Ledger | None = None
    fixed: set[int] | None = None
    for start in range(0, n, size):
        part = tuple(_several.narrow(x, axis, start, min(size, n - start)) for x in inputs)
        counted = _run(module, part, axis, spikes_in)
        if fixed is None:
            fixed = _independent_of_batch(module, part, counted, axis, spikes_in)
        found = _ledger(module, counted, fixed)
        ledger = found if ledger is None else ledger + found
    assert ledger is not None
    return ledger


def _run(module: nn.Module, inputs: Inputs, axis: int, spikes_in: bool) -> Pass:
    counted = Pass(module, _batch(inputs, axis))
    for x in _tensors(inputs):
        counted.mark_input(x, spikes_in)
    with counted.watching(module), counted:
        module(*inputs)
    counted.settle()
    return counted


def _independent_of_batch(module: nn.Module, inputs: Inputs, counted: Pass, axis: int, spikes_in: bool) -> set[int]:
    """Which operations without input (decays, positions, initial states) cost the same whatever the batch size."""
    if not counted.detached:
        return set()
    other = 2 if counted.samples != 2 else 3
    index = torch.arange(other) % counted.samples
    chosen = tuple(_several.each(lambda x: x.index_select(axis, index.to(x.device)), argument) for argument in inputs)
    probe = _run(module, chosen, axis, spikes_in)
    same = len(probe.detached) == len(counted.detached)
    return {
        position
        for position, (mine, theirs) in enumerate(zip(counted.detached, probe.detached, strict=False))
        if same and _signature(mine) == _signature(theirs)
    }


def _signature(operation: Detached) -> tuple[str, str, OperationCounts]:
    return operation.module, operation.name, replace(operation.dense, reads=0, read_bytes=0)


def _ledger(module: nn.Module, counted: Pass, fixed: set[int]) -> Ledger:
    preparation = OperationCounts()
    for position, operation in enumerate(counted.detached):
        if position in fixed:
            preparation += replace(operation.dense, reads=0, writes=0, read_bytes=0, write_bytes=0)
        else:
            row = counted.rows[operation.module]
            row.dense += operation.dense
            row.effective += operation.effective
    modules = dict(module.named_modules())
    layers = tuple(
        _layer(row, modules[row.name])
        for row in counted.rows.values()
        if row.dense or row.neuron_steps or row.output_shape
    )
    return Ledger(type(module).__name__, counted.samples, layers, preparation)


def _layer(row: Row, module: nn.Module) -> LayerCounts:
    encoder = isinstance(module, Encoder)
    return LayerCounts(
        row.name, row.kind, row.output_shape, row.dense, row.effective, row.spikes, row.neuron_steps, encoder
    )


def _resolve(model: Any) -> tuple[nn.Module, Callable[[Any], Any]]:
    """Module to run and what turns the user's input into its input."""
    if isinstance(model, nn.Module):
        original = getattr(model, "_orig_mod", None)  # what torch.compile wraps; its kernels would hide everything
        return (original if isinstance(original, nn.Module) else model), lambda x: x
    if hasattr(model, "network_input"):
        if not hasattr(model, "net_"):
            raise InputError(f"{type(model).__name__} is not fitted; call fit before counting its operations")
        return model.net_.module_, model.network_input
    raise InputError(f"expected a torch.nn.Module or a fitted estimator with a network, got {type(model).__name__}")


def _inputs(x: Any, module: nn.Module) -> Inputs:
    like = next((p for p in (*module.parameters(), *module.buffers()) if p.is_floating_point()), None)
    values = x if isinstance(x, tuple) else (x,)
    return tuple(_several.each(lambda value: _tensor(value, like), argument) for argument in values)


def _tensors(inputs: Inputs) -> list[Tensor]:
    return [x for value in inputs for x in (value.values() if _several.is_several(value) else (value,))]


def _tensor(value: Any, like: Tensor | None) -> Tensor:
    if not isinstance(value, (Tensor, np.ndarray)):
        raise InputError(f"x must be a tensor, an array, or a tuple or dict of these, got {type(value).__name__}")
    tensor = ordinary(torch.as_tensor(value).detach())
    if like is None:
        return tensor
    tensor = tensor.to(like.device)
    # Arrays come in double precision by NumPy's habit; a tensor's precision was chosen.
    return tensor.to(like.dtype) if isinstance(value, np.ndarray) and tensor.is_floating_point() else tensor


def _batch(inputs: Inputs, axis: int) -> int:
    tensors = _tensors(inputs)
    for x in tensors:
        if not -x.dim() <= axis < x.dim():
            raise InputError(f"batch_axis={axis} does not exist in an input of shape {tuple(x.shape)}")
    sizes = {x.shape[axis] for x in tensors}
    if len(sizes) != 1 or 0 in sizes:
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
        raise InputError(
            f"inputs need the same number of samples, at least one, along axis {axis}; got shapes {shapes}"
        )
    return sizes.pop()
