"""The rhythm's mask as the compiled kernels read it: where neurons are ON, and which groups of them may be skipped."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro.ops.numba_arguments import GROUP, Layout, Rhythm
from spikeneuro.ops.numba_compile import cached_kernel


def rhythm(mask: Tensor | None, shape: torch.Size, layout: Layout, kind: Any, *, skip: bool) -> Rhythm:
    """Mask and groups for an input of `shape`.

    Parameters
    ----------
    mask : Tensor, optional
        Nonzero where ON, broadcasts to `shape`; None for always.
    shape : torch.Size
        Shape of the input, (time, batch, *features).
    layout : Layout
        How columns are cut.
    kind : dtype
        Type of the input's elements; the mask has it too, since loops over one type vectorise best.
    skip : bool
        Whether groups that are OFF may be left out.

    Returns
    -------
    Rhythm
        What the kernels take.
    """
    every = np.arange(0, layout.width - layout.width % GROUP, GROUP, dtype=np.uint64)
    none, parts = np.empty(0, np.int64), -(-layout.period // layout.width)
    if mask is None:
        return Rhythm(np.ones((1, layout.period), kind), none, every, every, parts, False)
    on = _as_steps(mask, shape, kind)
    if on.shape[1] > 1:
        return Rhythm(on.reshape(len(on), -1), none, every, every, parts, True)
    rows = on.reshape(len(on), -1)
    if rows.shape[1] < layout.period:
        rows = np.tile(rows, (1, layout.period // max(rows.shape[1], 1)))
    if not skip:
        return Rhythm(rows, none, every, every, parts, False)
    pointer = np.zeros(len(rows) * parts + 1, np.int64)
    groups = np.empty(len(rows) * parts * every.size, np.uint64)
    find_groups(rows, layout.width, pointer, groups)
    return Rhythm(rows, pointer, groups, every, parts, False)


def _as_steps(mask: Tensor, shape: torch.Size, kind: Any) -> NDArray[Any]:
    """Mask as zeros and ones, (time or 1, batch or 1, *features)."""
    missing = len(shape) - mask.dim()
    full = (mask.detach() != 0).reshape((1,) * missing + tuple(mask.shape))
    return full.expand(*full.shape[:2], *shape[2:]).numpy().astype(kind)


@cached_kernel
def find_groups(rows: Any, width: int, pointer: Any, groups: Any) -> None:
    """Write, for each step and part, the groups in which any neuron is ON."""
    found = k = 0
    for t in range(rows.shape[0]):
        for start in range(0, rows.shape[1], width):
            part = rows[t, start : start + width]
            for first in range(0, part.size - part.size % GROUP, GROUP):
                total = part[first]
                for j in range(1, GROUP):
                    total += part[first + j]
                groups[found] = first
                found += total != 0
            k += 1
            pointer[k] = found
