"""Memory of large results, kept for reuse: the first write to fresh memory costs as much as the neurons themselves.

An operating system hands out memory page by page, at the first write to each. Results of the compiled kernels are
therefore laid into buffers of large pages (where the system has them) that come back here when the last tensor that
shows them is gone, and serve the next result of that size.
"""

import itertools
import mmap
import os
import threading
from collections import OrderedDict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro._validation import check_number

#: Bytes; below, the ordinary allocator keeps pages by itself.
SMALLEST = 2**18
_LIMIT = [2**30]
# Buffers begin at different places of a page. A kernel reads and writes the same place of a dozen arrays in turn; were
# all of these at the same place of their pages, they would drive each other out of the first-level cache.
_SHIFT, _SHIFTS = 320, 12
_COLOURS = itertools.cycle(range(0, _SHIFT * _SHIFTS, _SHIFT))


class _Pool:
    """Buffers that wait for reuse, by size, those least recently returned first.

    Finalizers run at any moment, inside this code too: they only append to `returned`, which is atomic.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.returned: deque[tuple[int, mmap.mmap]] = deque()
        self.idle: OrderedDict[int, list[mmap.mmap]] = OrderedDict()
        self.bytes = 0

    def collect(self) -> None:
        """Sort in what was returned and let go what is too much; called under the lock."""
        while self.returned:
            size, memory = self.returned.popleft()
            self.idle.setdefault(size, []).append(memory)
            self.idle.move_to_end(size)
            self.bytes += size
        while self.bytes > _LIMIT[0]:
            size, memories = next(iter(self.idle.items()))
            self.remove(size, memories)

    def remove(self, size: int, memories: list[mmap.mmap]) -> mmap.mmap:
        """Take a buffer out; called under the lock."""
        memory = memories.pop()
        if not memories:
            del self.idle[size]
        self.bytes -= size
        return memory

    def take(self, size: int) -> mmap.mmap | None:
        """Return a buffer of that size, or None."""
        with self.lock:
            self.collect()
            memories = self.idle.get(size)
            return self.remove(size, memories) if memories else None


_POOL = [_Pool()]


def _forget() -> None:
    """Begin with an empty pool: in a forked child, the lock may be held by a thread that is not there."""
    _POOL[0] = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _Lease:
    """Owner of a buffer while arrays show it; numpy arrays hold on to it as their base."""

    def __init__(self, memory: mmap.mmap, size: int, shape: tuple[int, ...], kind: Any) -> None:
        self.memory, self.size = memory, size
        self.view = np.frombuffer(memory, np.uint8, offset=next(_COLOURS))
        self.__array_interface__ = {
            "shape": shape, "typestr": np.dtype(kind).str, "version": 3, "data": (self.view.ctypes.data, False),
        }  # fmt: skip

    def __del__(self) -> None:
        del self.view
        if _POOL is not None:  # else the interpreter is ending and has cleared this module
            _POOL[0].returned.append((self.size, self.memory))


def empty(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Array of undefined content, its memory reused from earlier ones where there is some.

    Parameters
    ----------
    shape : tuple of int
        Shape.
    kind : dtype
        Type of the elements.

    Returns
    -------
    ndarray
        Contiguous array; its memory returns for reuse when no array or tensor shows it any more.
    """
    needed = int(np.prod(shape)) * np.dtype(kind).itemsize
    if needed < SMALLEST:
        return np.empty(shape, kind)
    size = size_class(needed)
    return np.asarray(_Lease(_take(size), size, shape, kind))


def rows(n: int, length: int, kind: Any) -> NDArray[Any]:
    """Zeros (n, length or a little more) whose rows begin at different places of their pages, for the same reason.

    Parameters
    ----------
    n : int
        Number of rows.
    length : int
        Elements of a row that are needed.
    kind : dtype
        Type of the elements.

    Returns
    -------
    ndarray
        Contiguous array.
    """
    page, shift = (size // np.dtype(kind).itemsize for size in (4096, _SHIFT))
    return np.zeros((n, length + (shift - length) % page), kind)


def set_limit(n_bytes: int) -> None:
    """Set how much memory may wait for reuse; 0 keeps none. The default is 1 GiB.

    Parameters
    ----------
    n_bytes : int
        Limit in bytes, at least 0.

    Raises
    ------
    InputError
        For a negative or fractional number.
    """
    _LIMIT[0] = int(check_number(n_bytes, "n_bytes", low=0, integer=True))
    with _POOL[0].lock:
        _POOL[0].collect()


def limit() -> int:
    """Bytes that may wait for reuse."""
    return _LIMIT[0]


def idle_bytes() -> int:
    """Bytes that wait for reuse."""
    pool = _POOL[0]
    with pool.lock:
        pool.collect()
        return pool.bytes


def size_class(needed: int) -> int:
    """Size of a buffer for so many bytes: eight sizes to an octave, so that slightly different needs share one."""
    needed += _SHIFT * _SHIFTS
    step = max(2 ** (needed.bit_length() - 4), mmap.PAGESIZE)
    return -(-needed // step) * step


def _take(size: int) -> mmap.mmap:
    memory = _POOL[0].take(size)
    return _new(size) if memory is None else memory


def _new(size: int) -> mmap.mmap:
    if not hasattr(mmap, "MAP_ANONYMOUS"):  # Windows, where processes do not fork
        return mmap.mmap(-1, size)
    # Private: Python's default would share the memory with forked processes, and large pages are rarely to be had so.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            # A kernel built without large pages: ordinary ones do, only slower.
            return memory
    return memory
