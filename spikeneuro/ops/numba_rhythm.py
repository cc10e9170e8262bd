"""The rhythm's mask as the compiled kernels read it: where neurons are ON, and which groups of them may be skipped."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro.ops.numba_arguments import GROUP, Layout, Rhythm
from spikeneuro.ops.numba_compile import cached_kernel


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
    rows = on.reshape(len(on), -1)
    if on.shape[1] > 1:
        return Rhythm(rows, every, every, True)
    if rows.shape[1] < layout.period:
        rows = np.tile(rows, (1, layout.period // max(rows.shape[1], 1)))
    groups = np.empty((len(rows), every.shape[1]), np.uint8)
    find_groups(rows, groups)
    return Rhythm(rows, groups, every, False)


def _as_steps(mask: Tensor, shape: torch.Size, kind: Any) -> NDArray[Any]:
    """Mask as zeros and ones, (time or 1, batch or 1, *features)."""
    missing = len(shape) - mask.dim()
    full = (mask.detach() != 0).reshape((1,) * missing + tuple(mask.shape))
    return full.expand(*full.shape[:2], *shape[2:]).numpy().astype(kind)


@cached_kernel
def find_groups(rows: Any, groups: Any) -> None:
    """Write, for each step, whether any neuron of a group is ON."""
    for t in range(rows.shape[0]):
        row = rows[t]
        for k in range(groups.shape[1]):
            group = row[k * GROUP : (k + 1) * GROUP]
            total = row.dtype.type(0.0)
            for j in range(group.size):
                total += group[j]
            groups[t, k] = total != 0
