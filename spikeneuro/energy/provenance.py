"""Where each tensor of a forward pass comes from, and what values it can therefore hold.

Whether a product is an accumulate or a multiply-accumulate follows from how its operands were made, not from the
values they happen to hold: an image of ones is not a spike train, and a silent layer is still a spiking one.
Both facts belong to the memory a tensor lives in, so that views share them and in-place writes change them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef


class Kind(IntEnum):
    """What values a tensor can hold; mixing two kinds (concatenation, selection, product) gives the larger one."""

    #: Memory taken but not written by any operation seen.
    UNWRITTEN = 0
    #: Constants 0 and 1, such as an initial state; takes the kind of what it is mixed with.
    NEUTRAL = 1
    #: Spikes: 0 or 1, the result of a comparison.
    BINARY = 2
    #: Signed spikes: -1, 0 or 1.
    SIGNED = 3
    #: Any number.
    GRADED = 4

    @property
    def is_spike(self) -> bool:
        """Whether a product with such an operand needs no multiplication."""
        return self in (Kind.BINARY, Kind.SIGNED)


class Origin(IntEnum):
    """What a tensor was computed from; the result of an operation has the largest origin of its operands."""

    #: Parameters, buffers and other tensors that exist before the pass, and what follows from these alone.
    WEIGHT = 0
    #: Made during the pass out of nothing: initial states, masks, positions.
    CONSTANT = 1
    #: Depends on the input, in value or in shape.
    ACTIVATION = 2


@dataclass(frozen=True, slots=True)
class Tag:
    """Kind, origin, the module that made the spikes (`COUNTED` once they are counted), and whether a product is fresh.

    A fresh product is the result of a matrix product or convolution to which nothing was added yet.
    """

    kind: Kind
    origin: Origin
    source: str | None = None
    product: bool = False


#: Source of spikes that have been counted; no module has this name.
COUNTED = "(counted)"
_UNSEEN = Tag(Kind.GRADED, Origin.WEIGHT)


class Tags:
    """Tags of the storages alive in a pass. Dead storages are dropped, so its size follows the live tensors."""

    def __init__(self) -> None:
        self._tags: dict[int, tuple[StorageWeakRef, Tag]] = {}
        self._sweep_at = 1024

    def __getitem__(self, tensor: torch.Tensor) -> Tag:
        found = self._tags.get(storage_key(tensor))
        tag = _UNSEEN if found is None else found[1]
        if tensor.dtype == torch.bool and tag.kind is not Kind.BINARY:
            return Tag(Kind.BINARY, tag.origin, tag.source)
        if found is None and tensor.numel() == 1 and not tensor.is_meta:
            return Tag(scalar_kind(tensor.item()), Origin.WEIGHT)  # a one-element constant counts by its value
        return tag

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return storage_key(tensor) in self._tags

    def __setitem__(self, tensor: torch.Tensor, tag: Tag) -> None:
        storage = tensor.untyped_storage()
        # The weak reference keeps the address from being used again for as long as the entry exists.
        self._tags[storage._cdata] = (StorageWeakRef(storage), tag)
        if len(self._tags) > self._sweep_at:
            self._tags = {key: held for key, held in self._tags.items() if not held[0].expired()}
            self._sweep_at = max(1024, 2 * len(self._tags))

    def write(self, tensor: torch.Tensor, tag: Tag) -> None:
        """Record that an operation wrote values described by `tag` into the memory of `tensor`, in place."""
        storage = tensor.untyped_storage()
        covers_all = tensor.numel() * tensor.element_size() >= storage.nbytes()
        before = self._tags.get(storage._cdata)
        old = _UNSEEN if before is None else before[1]
        kind = tag.kind if covers_all else max(old.kind, tag.kind)
        self[tensor] = Tag(kind, max(old.origin, tag.origin), tag.source or old.source)


def storage_key(tensor: torch.Tensor) -> int:
    """Address of the memory that a tensor and its views share."""
    return tensor.untyped_storage()._cdata


def scalar_kind(value: Any) -> Kind:
    """Kind of a constant that is written in the program or stored as one number."""
    if value in (0, 1):
        return Kind.NEUTRAL
    return Kind.SIGNED if value == -1 else Kind.GRADED


def joined(tags: Iterable[Tag]) -> Tag:
    """Tag of a tensor whose values are each one of the operands' values (or their product)."""
    kind, origin, source = Kind.UNWRITTEN, Origin.WEIGHT, None
    for tag in tags:
        kind, origin = max(kind, tag.kind), max(origin, tag.origin)
        source = source or tag.source
    return Tag(kind, origin, source if kind.is_spike else None)
