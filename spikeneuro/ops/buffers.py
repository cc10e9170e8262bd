"""Memory of large results, kept for reuse: the first write to fresh memory costs as much as the neurons themselves.

An operating system hands out memory page by page, at the first write to each. Results of the compiled kernels are
therefore laid into buffers of large pages (where the system has them) that come back here when the last tensor that
shows them is gone, and serve the next result of that size.
"""

import itertools
import mmap
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro._validation import check_number

#: Bytes; below, the ordinary allocator keeps pages by itself.
SMALLEST = 2**18
_LIMIT = [2**30]
# Least recently returned first. A list per size, so that taking one is a single atomic pop.
_IDLE: "OrderedDict[int, list[mmap.mmap]]" = OrderedDict()
# Buffers begin at different places of a page. A kernel reads and writes the same place of a dozen arrays in turn; were
# all of these at the same place of their pages, they would drive each other out of the first-level cache.
_SHIFT, _SHIFTS = 320, 12
_COLOURS = itertools.cycle(range(0, _SHIFT * _SHIFTS, _SHIFT))
_LOCK = threading.RLock()  # finalizers may run inside any allocation, this module's own included


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
        if _give_back is not None:  # else the interpreter is ending and has cleared this module
            _give_back(self.memory, self.size)


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
    _trim()


def limit() -> int:
    """Bytes that may wait for reuse."""
    return _LIMIT[0]


def idle_bytes() -> int:
    """Bytes that wait for reuse."""
    with _LOCK:
        return sum(size * len(memories) for size, memories in _IDLE.items())


def size_class(needed: int) -> int:
    """Size of a buffer for so many bytes: eight sizes to an octave, so that slightly different needs share one."""
    needed += _SHIFT * _SHIFTS
    step = max(2 ** (needed.bit_length() - 4), mmap.PAGESIZE)
    return -(-needed // step) * step


def _take(size: int) -> mmap.mmap:
    with _LOCK:
        memories = _IDLE.get(size)
        if memories:
            memory = memories.pop()
            if not memories:
                del _IDLE[size]
            return memory
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            # A kernel built without large pages: ordinary ones do, only slower.
            return memory
    return memory


def _give_back(memory: mmap.mmap, size: int) -> None:
    with _LOCK:
        _IDLE.setdefault(size, []).append(memory)
        _IDLE.move_to_end(size)
    _trim()


def _trim() -> None:
    with _LOCK:
        surplus = idle_bytes() - _LIMIT[0]
        while surplus > 0 and _IDLE:
            size, memories = next(iter(_IDLE.items()))
            memories.pop()
            if not memories:
                del _IDLE[size]
            surplus -= size
