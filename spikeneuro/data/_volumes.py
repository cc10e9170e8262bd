"""What was shown during each volume of a run, from a table of events or from one label per volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._files import read_table
from spikeneuro.errors import InputError

Array = NDArray[Any]


@dataclass(frozen=True)
class VolumeLabels:
    """Per volume of one run: its label, and the number of the block (event, or unbroken stretch) it belongs to."""

    label: Array
    block: Array

    def blocks(self, wanted: Sequence[str]) -> list[Array]:
        """Volumes of every block whose label is wanted, in order of time."""
        numbers = [b for b in dict.fromkeys(self.block.tolist()) if self.label[np.argmax(self.block == b)] in wanted]
        return [np.flatnonzero(self.block == b) for b in numbers]


def from_events(events: Any, n_volumes: int, tr: float, shift: float, rest: str, name: str) -> VolumeLabels:
    """Label volumes by events: volume i (at ``i * tr``) belongs to an event if it starts within it, `shift` later."""
    table = read_events(events, name)
    time = np.arange(n_volumes) * tr
    label = np.full(n_volumes, rest, dtype=object)
    owner = np.full(n_volumes, -1)
    for row, (onset, duration, kind) in enumerate(zip(table.onset, table.duration, table.trial_type, strict=True)):
        # A hair of tolerance, so that an onset on a volume's start is not lost to rounding.
        inside = (time >= onset + shift - 1e-6) & (time < onset + shift + duration - 1e-6)
        if not inside.any():
            raise InputError(
                f"{name}: event {row} ({kind!r}, onset {onset:g} s, duration {duration:g} s) covers no volume of a run "
                f"of {n_volumes} volumes x {tr:g} s, {shift:g} s after its onset."
            )
        if (owner[inside] >= 0).any():
            raise InputError(f"{name}: event {row} ({kind!r}, onset {onset:g} s) overlaps an earlier event.")
        label[inside], owner[inside] = kind, row
    changes = np.r_[True, (owner[1:] != owner[:-1])]
    return VolumeLabels(label, np.cumsum(changes) - 1)


def read_events(events: Any, name: str) -> pd.DataFrame:
    """Table of events with finite onsets, positive durations and a trial type."""
    if isinstance(events, (str, Path)):
        name = str(events)
        table = read_table(events, sep="\t")
    else:
        table = pd.DataFrame(events)
    missing = [column for column in ("onset", "duration", "trial_type") if column not in table]
    if missing:
        raise InputError(f"{name}: the events have no column {missing[0]!r} (columns: {', '.join(map(str, table))}).")
    if table["trial_type"].isna().any():
        raise InputError(f"{name}: event {int(np.argmax(table['trial_type'].isna()))} has no trial_type.")
    for column, least in (("onset", -np.inf), ("duration", 0.0)):
        values = pd.to_numeric(table[column], errors="coerce")
        wrong = ~(np.isfinite(values) & (values > least))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{name}: event {row} has {column} {table[column].iloc[row]!r}; seconds above {least:g} needed."
            )
    return table.assign(trial_type=table["trial_type"].astype(str)).sort_values("onset", ignore_index=True)


def from_labels(labels: Sequence[Any], tr: float, shift: float, rest: str) -> VolumeLabels:
    """Label volumes one by one, later by `shift` (whole volumes); the first volumes then count as rest."""
    texts = np.array([str(label) for label in labels], dtype=object)
    later = round(shift / tr)
    shifted = np.concatenate([np.full(min(later, len(texts)), rest, dtype=object), texts])[: len(texts)]
    changes = np.r_[True, shifted[1:] != shifted[:-1]]
    return VolumeLabels(shifted, np.cumsum(changes) - 1)
