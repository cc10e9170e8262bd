"""The rhythm's mask as the compiled kernels read it: where neurons are ON, and in which runs."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro.ops.numba_arguments import Rhythm

_GAP = 32  # OFF neurons between two runs that are worth a jump: two vectors of 16


def rhythm(mask: Tensor | None, shape: torch.Size, period: int, *, skip: bool) -> Rhythm:
    """Mask and runs for an input of `shape`.

    Parameters
    ----------
    mask : Tensor, optional
        Nonzero where ON, broadcasts to `shape`; None for always.
    shape : torch.Size
        Shape of the input, (time, batch, *features).
    period : int
        Columns after which parameters repeat.
    skip : bool
        Whether OFF neurons may be left out; if not, one run holds all.

    Returns
    -------
    Rhythm
        What the kernels take.
    """
    if mask is None:
        return Rhythm(np.ones((1, period), np.uint8), *_one_run(period), False)
    on = _as_steps(mask, shape)
    if on.shape[1] > 1:
        rows = np.ascontiguousarray(on.reshape(len(on), -1))
        return Rhythm(rows, *_one_run(period), True)
    rows = np.tile(on.reshape(len(on), -1), (1, period // max(on[0].size, 1)))
    found = _runs(rows) if skip else _one_run(period)
    return Rhythm(rows, *found, False)


def _as_steps(mask: Tensor, shape: torch.Size) -> NDArray[Any]:
    """Mask as bytes, (time or 1, batch or 1, *features)."""
    missing = len(shape) - mask.dim()
    full = mask.detach().reshape((1,) * missing + tuple(mask.shape)) != 0
    return full.expand(*full.shape[:2], *shape[2:]).contiguous().numpy().view(np.uint8)


def _one_run(period: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return np.array([0, 1]), np.array([0]), np.array([period])


def _runs(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Runs of ones in each row, those with a short gap between them joined."""
    padded = np.zeros((rows.shape[0], rows.shape[1] + 2), np.int8)
    padded[:, 1:-1] = rows
    change = np.diff(padded, axis=1)
    row, starts = np.nonzero(change == 1)
    _, ends = np.nonzero(change == -1)
    apart = (row[1:] != row[:-1]) | (starts[1:] - ends[:-1] >= _GAP)
    first = np.concatenate([np.ones(min(len(row), 1), bool), apart])
    last = np.concatenate([apart, np.ones(min(len(row), 1), bool)])
    pointer = np.searchsorted(row[first], np.arange(len(rows) + 1))
    return pointer, starts[first], ends[last]
