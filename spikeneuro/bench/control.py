"""The shuffled-label control: labels that cannot be predicted, so that every candidate must be at chance."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro.data import Recordings

#: What one label was recorded for, from coarse to fine.
_BLOCK_COLUMNS = ("subject", "session", "run", "trial")


def shuffle_labels(recordings: Recordings, units: NDArray[Any], random_state: int = 0) -> Recordings:
    """Recordings with labels permuted, before any split, so that they are independent of the signals.

    Samples that share subject, session, run and trial (as far as the table has these columns) and their label keep
    sharing one: a leak that lets a model recognise a subject or a recording in the test part then still shows as a
    score above chance. Labels are permuted inside each unit where they vary in it, so that its class balance stays;
    otherwise between the units.

    Parameters
    ----------
    recordings : Recordings
    units : ndarray of str
        Unit of independence of each sample.
    random_state : int
        Seed of the permutation.
    """
    y = recordings.y
    blocks = _blocks(recordings)
    _, first = np.unique(blocks, return_index=True)
    codes = _codes(units)
    strata = codes[first] if _varies(y, codes) else np.zeros(len(first), dtype=np.int64)
    rng = np.random.default_rng(random_state)
    source = np.arange(len(first))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        source[members] = rng.permutation(members)
    return replace(recordings, y=y[first[source]][blocks])


def _blocks(recordings: Recordings) -> NDArray[np.int64]:
    """Number of the block of each sample: the coarsest samples that share their label."""
    columns = [name for name in _BLOCK_COLUMNS if name in recordings.metadata]
    samples = np.arange(len(recordings), dtype=np.int64)
    for depth in range(1, len(columns) + 1):
        rows = recordings.metadata[columns[:depth]].astype(str).agg("/".join, axis=1).to_numpy()
        blocks = _codes(rows)
        if recordings.y.ndim == 1 and not _varies(recordings.y, blocks):
            return blocks
    return samples


def _codes(labels: NDArray[np.object_]) -> NDArray[np.int64]:
    return np.unique(labels.astype(str), return_inverse=True)[1].astype(np.int64)


def _varies(y: NDArray[np.generic], groups: NDArray[np.int64]) -> bool:
    """Whether labels differ inside any group."""
    _, first = np.unique(groups, return_index=True)
    return bool((y != y[first][groups]).any())
