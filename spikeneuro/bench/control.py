"""The shuffled-label control: labels that cannot be predicted, so that every candidate must be at chance."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from spikeneuro.data import Recordings
from spikeneuro.errors import InputError

#: What one label was recorded for, from coarse to fine.
_BLOCK_COLUMNS = ("subject", "session", "run", "trial")
#: Largest agreement of old and new labels beyond luck (as Cohen's kappa) that still makes a control.
MOST_KEPT = 0.5
#: Permutations drawn until one is below it: with few blocks many of them leave most labels where they are.
_DRAWS = 50


def shuffle_labels(recordings: Recordings, units: NDArray[Any], random_state: int = 0) -> Recordings:
    """Recordings with labels permuted, before any split, so that they are independent of the signals.

    Samples that share subject, session, run and trial (as far as the table has these columns) and their label keep
    sharing one: a leak that lets a model recognise a subject or a recording in the test part then still shows as a
    score above chance. A unit in which labels vary has them permuted among its blocks, so that its class balance stays;
    where each such unit has two blocks, exactly half of the units (drawn at random) have them exchanged. The labels of
    the units that have one label are permuted among these units.

    The description of the result says which share of the labels stayed by luck.

    Parameters
    ----------
    recordings : Recordings
    units : ndarray of str
        Unit of independence of each sample.
    random_state : int
        Seed of the permutation.

    Raises
    ------
    InputError
        If the labels cannot be permuted so that the new ones differ enough from the old ones to make a control.
    """
    rng = np.random.default_rng(random_state)
    codes, blocks = _codes(units), _blocks(recordings)
    first, strata, moving = _strata(recordings.y, codes, blocks)
    for _ in range(_DRAWS):
        source = _permuted(strata, rng)
        y = recordings.y[first[source]][moving]
        kept, agreement = label_agreement(recordings.y, y)
        # Two classes exchanged throughout are as easy to predict as before.
        if agreement <= MOST_KEPT and (len(_classes(recordings.y)) != 2 or agreement >= -MOST_KEPT):
            note = f"Labels shuffled: {kept:.0%} of them are what they were, by luck."
            parts = filter(None, (recordings.description.rstrip("."), note))
            return replace(recordings, y=y, description=". ".join(parts))
    raise InputError(
        f"labels shuffled inside {len(set(codes))} units leave {kept:.0%} of them as they were (agreement beyond luck "
        f"{agreement:.2f}, at most {MOST_KEPT:g} allowed), which is no control; it needs more units, or more blocks "
        f"({', '.join(_BLOCK_COLUMNS)}) of different labels in them."
    )


def label_agreement(before: NDArray[Any], after: NDArray[Any]) -> tuple[float, float]:
    """Share of labels that are equal, and that share beyond luck: (share - e) / (1 - e).

    e is the share expected of labels drawn by their frequency. Labels below zero of a sequence do not count.
    """
    old, new = (y[before >= 0] if before.ndim == 2 else y for y in (before, after))
    share = float((old == new).mean())
    expected = float(((np.unique(old, return_counts=True)[1] / len(old)) ** 2).sum())
    return share, (share - expected) / (1 - expected) if expected < 1 else 1.0


def _classes(y: NDArray[Any]) -> NDArray[Any]:
    return np.unique(y[y >= 0]) if y.ndim == 2 else np.unique(y)


def _strata(
    y: NDArray[Any], units: NDArray[np.int64], blocks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What moves as a whole: a first sample and the stratum of each such set, and the set of each sample.

    A set is a block inside a unit of several labels (stratum: the unit), or else all samples that are tied by units and
    blocks and so have one label (stratum: -1, common to all of them).
    """
    mixed_units = np.zeros(units.max() + 1, dtype=bool)
    np.logical_or.at(mixed_units, units, _differs(y, units))
    mixed_blocks = np.zeros(blocks.max() + 1, dtype=bool)
    np.logical_or.at(mixed_blocks, blocks, mixed_units[units])
    mixed = mixed_blocks[blocks]
    links = coo_matrix((np.ones((~mixed).sum()), (units[~mixed], blocks[~mixed])), shape=(units.max() + 1, len(mixed)))
    size = sum(links.shape)
    square = coo_matrix((links.data, (links.row, links.col + links.shape[0])), shape=(size, size))
    tied = connected_components(square, directed=False)[1][units]
    # Numbers of blocks and of tied sets, kept apart.
    names = np.where(mixed, blocks, len(mixed_blocks) + tied)
    _, first, moving = np.unique(names, return_index=True, return_inverse=True)
    return first, np.where(mixed[first], units[first], -1), moving.astype(np.int64)


def _permuted(strata: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each set of samples the set that gives it its label, drawn within strata."""
    source = np.arange(len(strata))
    names, counts = np.unique(strata, return_counts=True)
    pairs = [name for name, count in zip(names, counts, strict=True) if count == 2 and name >= 0]
    half = (len(pairs) + int(rng.integers(2))) // 2  # of an odd number, rounded up or down at random
    kept = set(rng.permutation(pairs)[half:].tolist())
    for name in names:
        members = np.flatnonzero(strata == name)
        if name in pairs:
            source[members] = members if name in kept else members[::-1]
        else:
            source[members] = rng.permutation(members)
    return source


def _blocks(recordings: Recordings) -> NDArray[np.int64]:
    """Number of the block of each sample: the coarsest samples that share their label."""
    columns = [name for name in _BLOCK_COLUMNS if name in recordings.metadata]
    samples = np.arange(len(recordings), dtype=np.int64)
    for depth in range(1, len(columns) + 1):
        rows = recordings.metadata[columns[:depth]].astype(str).agg("/".join, axis=1).to_numpy()
        blocks = _codes(rows)
        if recordings.y.ndim == 1 and not _differs(recordings.y, blocks).any():
            return blocks
    return samples


def _codes(labels: NDArray[np.object_]) -> NDArray[np.int64]:
    return np.unique(labels.astype(str), return_inverse=True)[1].astype(np.int64)


def _differs(y: NDArray[np.generic], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a sample's label differs from that of the first sample of its group."""
    _, first = np.unique(groups, return_index=True)
    different = y != y[first][groups]
    return different if different.ndim == 1 else np.asarray(different.any(axis=1))
