"""The rhythm's mask as the compiled kernels read it: where neurons are ON, and which groups of them may be skipped."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro.ops import buffers
from spikeneuro.ops.numba_arguments import GROUP, Layout, Rhythm
from spikeneuro.ops.numba_compile import bits_of_group, cached_kernel, choose, kernel_function


def rhythm(mask: Tensor | None, shape: torch.Size, layout: Layout, kind: Any) -> Rhythm:
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

    Returns
    -------
    Rhythm
        What the kernels take.
    """
    every = np.ones((1, -(-layout.period // GROUP)), np.uint8)
    if mask is None:
        return Rhythm(np.ones((1, layout.period), kind), every, every, False)
    on = _as_steps(mask, shape, kind)
    by_column = on.shape[1] > 1
    given = on.reshape(len(on), -1)
    rows = buffers.empty((len(on), given.shape[1] if by_column else layout.period), kind)
    groups = np.empty((0 if by_column else len(on), every.shape[1]), np.uint8)
    lay_out(given, rows, groups)
    return Rhythm(rows, every if by_column else groups, every, by_column)


def _as_steps(mask: Tensor, shape: torch.Size, kind: Any) -> NDArray[Any]:
    """Mask as truth values or numbers of this type, (time or 1, batch or 1, *features)."""
    missing = len(shape) - mask.dim()
    full = mask.detach().reshape((1,) * missing + tuple(mask.shape))
    if full.dtype not in (torch.bool, torch.from_numpy(np.empty(0, kind)).dtype):
        full = full != 0  # the kernel below is compiled for two types, not for all
    return np.ascontiguousarray(full.expand(*full.shape[:2], *shape[2:]).numpy())


@kernel_function
def to_numbers(given: Any, row: Any) -> None:
    """Write 1 where a neuron is ON, else 0."""
    one, zero = row.dtype.type(1.0), row.dtype.type(0.0)
    for j in range(row.size):
        row[j] = choose(given[j] != 0, one, zero)


@cached_kernel
def lay_out(given: Any, rows: Any, groups: Any) -> None:
    """Write the mask, as often as it fits into a row, and whether any neuron of a group is ON, if groups have rows."""
    for t in range(rows.shape[0]):
        for first in range(0, rows.shape[1], max(given.shape[1], 1)):
            to_numbers(given[t], rows[t, first : first + given.shape[1]])
    for t in range(groups.shape[0]):
        for k in range(rows.shape[1] // GROUP):
            groups[t, k] = bits_of_group(rows[t], k * GROUP) != 0
        if rows.shape[1] % GROUP > 0:
            any_on = False
            for j in range(rows.shape[1] - rows.shape[1] % GROUP, rows.shape[1]):
                any_on |= rows[t, j] != 0
            groups[t, rows.shape[1] // GROUP] = any_on
