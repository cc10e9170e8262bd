"""Compiled kernels kept on disk, for as long as the sources of all of them are the same.

Numba compares only the file of the kernel itself with what it kept, while the mathematics stand in functions of other
files that a kernel calls. Here the content of every compiled file decides.
"""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numba


def sources_stamp() -> str:
    """SHA-256 of the names and the content of all files of compiled functions beside this one."""
    found = hashlib.sha256()
    for file in sorted(files("spikeneuro.ops").iterdir(), key=lambda entry: entry.name):
        if file.name.startswith("numba_") and file.name.endswith(".py"):
            content = file.read_bytes()
            found.update(f"{file.name} {len(content)}\n".encode())
            found.update(content)
    return found.hexdigest()


_STAMP = sources_stamp()


def cached_kernel(function: Callable[..., None]) -> Any:
    """Compile as `numba.njit` does, and keep the machine code on disk under the stamp of all sources.

    Numba has no public way to choose the stamp. In a release that keeps it elsewhere, the kernel is not kept on disk:
    every process then compiles it anew, which is slow, but never runs code that was changed since.
    """
    kernel: Any = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    kept: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if not hasattr(kept, "_source_stamp"):
        return numba.njit(nogil=True, error_model="numpy")(function)
    kept._source_stamp = _STAMP
    return kernel
