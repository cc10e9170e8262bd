"""Recordings of an experiment, and whose each of their samples is: what every cell reads before it trains."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro.bench.control import shuffle_labels
from spikeneuro.bench.sources import load_recordings
from spikeneuro.bench.suite import Experiment
from spikeneuro.data import Recordings
from spikeneuro.data.units import unit_labels


def experiment_recordings(experiment: Experiment, shuffled: bool) -> Recordings:
    """Recordings of the experiment, their labels permuted if asked for."""
    recordings = load_recordings(experiment.data)
    return shuffle_labels(recordings, units_of(recordings, experiment.unit)) if shuffled else recordings


def units_of(recordings: Recordings, columns: tuple[str, ...]) -> NDArray[Any]:
    """Text label of the unit of each sample; one column alone is named with what it lies in."""
    return recordings.units(columns[0]) if len(columns) == 1 else unit_labels(recordings.metadata, columns)


def group_labels(experiment: Experiment, recordings: Recordings, train: NDArray[np.int64]) -> NDArray[Any] | None:
    """Group of each training sample for the inner validation split, or None where there is nothing to group by."""
    if not experiment.group:
        return None
    groups = units_of(recordings, experiment.group)[train]
    return groups if len(np.unique(groups)) > 1 or experiment.group_given else None
