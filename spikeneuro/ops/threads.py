"""Threads for compiled kernels that release the interpreter lock.

Kernels run on the threads of torch's own OpenMP runtime where that can be reached: these wait for work by spinning for
some milliseconds, so that on few cores any other thread would have to share a core with one that does nothing.
Elsewhere, and in the children of `multiprocessing` and of a fork, where OpenMP's threads may be gone and its runtime
would wait for them, a small pool serves. Numba's threading layers are not used: those abort when two Python threads
enter them at once or when the process forks, while here calls may come from any thread.
"""

import ctypes
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any

import torch

from spikeneuro.ops.numba_arguments import Team

_SMALL = 2**16  # operations, some ten microseconds: what it may take to wake another thread
_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}
# In a child of multiprocessing the runtime may have been forked before this module was imported.
_BORN = os.getpid() if multiprocessing.parent_process() is None else None


def run_blocks(kernel: Callable[..., None], n_blocks: int, *arguments: Any, work: int = _SMALL) -> None:
    """Call ``kernel(team, first, last, *arguments)`` over all of `n_blocks` blocks, in one call or in several at once.

    The kernel shares its blocks out to the `Team` by `spikeneuro.ops.numba_threads.share_out`. There are as many shares
    as `torch.get_num_threads` allows; all are taken by the calling thread where the `work` (operations, roughly) is not
    worth another one.
    """
    n_threads = min(torch.get_num_threads(), n_blocks) if work >= _SMALL else 1
    openmp = _openmp() if os.getpid() == _BORN else 0
    if n_threads <= 1 or openmp:
        kernel(Team(openmp if n_threads > 1 else 0, max(n_threads, 1)), 0, n_blocks, *arguments)
    else:
        bounds = [n_blocks * k // n_threads for k in range(n_threads + 1)]
        shares = [(Team(0, 1), bounds[k], bounds[k + 1]) for k in range(n_threads)]
        _run_in_pool(kernel, shares, arguments)


def _run_in_pool(kernel: Callable[..., None], shares: list[tuple[Team, int, int]], arguments: tuple[Any, ...]) -> None:
    """Run the shares in a pool of threads, the first in this one."""
    pool = _pool(len(shares) - 1)
    futures = [pool.submit(kernel, *share, *arguments) for share in shares[1:]]
    try:
        kernel(*shares[0], *arguments)
    finally:
        wait(futures)
    for future in futures:
        future.result()


@cache
def _openmp() -> int:
    """Address of the entry of the OpenMP runtime that torch runs on; 0 where it has none that can be found.

    Found as the loader found it for torch: what the whole process shares first (a runtime that was preloaded, or
    torch's, which it lets all see), then what torch's library was linked to. A process may hold several, since
    scikit-learn brings its own, and the threads of one spin where those of another should work.
    """
    own = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not own.exists():
        return 0
    for library in (None, str(own)):
        entry = getattr(ctypes.CDLL(library), "GOMP_parallel", None)
        if entry is not None:
            return ctypes.cast(entry, ctypes.c_void_p).value or 0
    return 0


def _pool(n_workers: int) -> ThreadPoolExecutor:
    # Keyed by process: threads do not survive a fork, so a child must not reuse its parent's pool.
    key = (os.getpid(), n_workers)
    if key not in _POOLS:
        _POOLS[key] = ThreadPoolExecutor(n_workers, thread_name_prefix="spikeneuro-kernel")
    return _POOLS[key]
