"""How many bytes the tensors of a program hold, while it runs or while torch only pretends to run it."""

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import is_fake
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from spikeneuro.ops import buffers, registration

#: Kernels that keep a workspace for the backward pass whose size only they know, and its place among their results.
_WORKSPACES = {"aten::mkldnn_rnn_layer": 3, "aten::_cudnn_rnn": 3}
#: Lengths at which such a kernel is asked.
_SHORT = (4, 8)
#: Kernels of oneDNN that hold four gates of every step besides what they return.
_GATES = ("aten::mkldnn_rnn_layer", "aten::mkldnn_rnn_layer_backward")
_NEURONS = {
    "spikeneuro::lif": registration.run_lif,
    "spikeneuro::recurrent_lif": registration.run_recurrent,
}


#: Results of the compiled neurons, by place, that lie in buffers which wait for reuse when they are free.
_BUFFERED = {
    "spikeneuro::lif": (0, 1, 8, 9),
    "spikeneuro::recurrent_lif": (0, 1, 8, 9),
    "spikeneuro::lif_backward": (0,),
}


class _Buffers:
    """What `spikeneuro.ops.buffers` would hold back."""

    def __init__(self) -> None:
        self.idle: list[int] = []  # least recently returned first

    def take(self, n_bytes: int) -> tuple[int, int]:
        """Size of the buffer for so many bytes, and how much of it is new memory."""
        size = buffers.size_class(n_bytes)
        if size not in self.idle:
            return size, size
        self.idle.remove(size)
        return size, 0

    def give_back(self, size: int) -> int:
        """Return a buffer; how many bytes go back to the system."""
        self.idle.append(size)
        freed = 0
        while sum(self.idle) > buffers.limit():
            freed += self.idle.pop(0)
        return freed


class LiveStorages(TorchDispatchMode):
    """Inside the scope, follows how many bytes the tensors hold that operations make, views and aliases counted once.

    Works on real tensors and on fake ones, which have sizes but no memory. What fake kernels do not tell is added:
    the reference backend's lists of steps, and what fused recurrent layers keep.

    Parameters
    ----------
    block : int
        The allocator hands out multiples of so many bytes.

    Attributes
    ----------
    now, peak : int
        Bytes held at this moment, and at most so far.
    """

    def __init__(self, block: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.block = block
        self.now = self.peak = 0
        self._alive: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._buffered: set[int] = set()
        self._buffers = _Buffers()

    def add(self, tensor: Tensor) -> None:
        """Count a tensor that is there from the beginning."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._buffered:
            return
        reference, before = self._alive.get(key, (None, 0))
        if reference is None:
            reference = weakref.ref(storage, lambda _: self._forget(key))
        size = -(-storage.nbytes() // self.block) * self.block
        self._alive[key] = reference, size
        self._grow(size - before)

    def _add_buffered(self, tensor: Tensor) -> None:
        """Count a result that lies in a buffer."""
        storage = tensor.untyped_storage()
        if storage.nbytes() < buffers.SMALLEST or storage._cdata in self._alive:
            return
        key = storage._cdata
        size, fresh = self._buffers.take(storage.nbytes())
        self._alive[key] = weakref.ref(storage, lambda _: self._forget(key)), size
        self._buffered.add(key)
        self._grow(fresh)

    def _grow(self, n_bytes: int) -> None:
        self.now += n_bytes
        self.peak = max(self.peak, self.now)

    def _forget(self, key: int) -> None:
        size = self._alive.pop(key)[1]
        if key in self._buffered:
            self._buffered.remove(key)
            size = self._buffers.give_back(size)
        self.now -= size

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation and count what it makes."""
        result = self._run(func, args, dict(kwargs or {}))
        name = func._schema.name
        if name in _BUFFERED and _argument(func, args, "backend") == "numba":
            for place in _BUFFERED[name]:
                self._add_buffered(result[place])
        for tensor in _tensors(result):
            self.add(tensor)
        return result

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = func._schema.name
        fake = any(is_fake(tensor) for tensor in _tensors(args))
        if fake and name in _NEURONS and _argument(func, args, "backend") == "reference":
            with self:  # step by step, where the operator itself would tell its results only
                return _NEURONS[name](*args)
        result = func(*args, **kwargs)
        if fake and name in _WORKSPACES:
            place = _WORKSPACES[name]
            workspace = result[place].new_empty(_workspace(func, args, place), dtype=torch.uint8)
            result = (*result[:place], workspace, *result[place + 1 :])
        if name in _GATES:
            x, recurrent_weight = args[0], args[2]
            scratch = x.shape[0] * x.shape[1] * recurrent_weight.shape[0] * x.element_size()
            self.peak = max(self.peak, self.now + scratch)
        return result


def _workspace(func: Any, args: tuple[Any, ...], place: int) -> int:
    """Bytes of a kernel's workspace, a linear function of the number of steps, from two short real runs."""
    # torch hands oneDNN time-first input, whatever the flag says.
    batch_first = _argument(func, args, "batch_first") and "mkldnn" not in func._schema.name
    axis = int(bool(batch_first))
    steps = args[0].shape[axis]
    with _disable_current_modes():
        short, long = (_bytes(func(*_short(args, axis, length))[place]) for length in _SHORT)
    slope = (long - short) / (_SHORT[1] - _SHORT[0])
    return round(short + slope * (steps - _SHORT[0]))


def _argument(func: Any, args: tuple[Any, ...], name: str) -> Any:
    return args[[argument.name for argument in func._schema.arguments].index(name)]


def _bytes(tensor: Tensor | None) -> int:
    """Size of a workspace; in evaluation there is none."""
    return 0 if tensor is None else tensor.untyped_storage().nbytes()


def _short(args: tuple[Any, ...], axis: int, length: int) -> list[Any]:
    """Real zeros in place of fake arguments, with `length` steps of input."""
    x, *rest = args
    shape = list(x.shape)
    shape[axis] = length
    return [torch.zeros(shape, dtype=x.dtype, device=x.device), *(_real(value) for value in rest)]


def _real(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.zeros(value.shape, dtype=value.dtype, device=value.device)
    return [_real(inside) for inside in value] if isinstance(value, (list, tuple)) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for inside in value:
            yield from _tensors(inside)
