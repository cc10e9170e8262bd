"""Threads for compiled kernels that release the interpreter lock.

A small pool of our own rather than numba's threading layers: those abort when two Python threads enter them at once
or when the process forks, while this pool is made anew in a forked child and takes calls from any thread.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch

_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}


_SMALL = 2**16  # operations, some ten microseconds: what it takes to wake another thread


def run_blocks(kernel: Callable[..., None], n_blocks: int, *arguments: Any, work: int = _SMALL) -> None:
    """Call ``kernel(first, last, *arguments)`` over contiguous shares of `n_blocks` blocks.

    As many shares as `torch.get_num_threads` allows; the calling thread takes the first, and all where the `work`
    (operations, roughly) is not worth another thread.
    """
    n_threads = min(torch.get_num_threads(), n_blocks) if work >= _SMALL else 1
    if n_threads <= 1:
        kernel(0, n_blocks, *arguments)
        return
    bounds = [n_blocks * k // n_threads for k in range(n_threads + 1)]
    pool = _pool(n_threads - 1)
    futures = [pool.submit(kernel, bounds[k], bounds[k + 1], *arguments) for k in range(1, n_threads)]
    try:
        kernel(0, bounds[1], *arguments)
    finally:
        wait(futures)
    for future in futures:
        future.result()


def _pool(n_workers: int) -> ThreadPoolExecutor:
    # Keyed by process: threads do not survive a fork, so a child must not reuse its parent's pool.
    key = (os.getpid(), n_workers)
    if key not in _POOLS:
        _POOLS[key] = ThreadPoolExecutor(n_workers, thread_name_prefix="spikeneuro-kernel")
    return _POOLS[key]
