"""Joining recordings that describe the same kind of thing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import InputError


def join(recordings: list[Recordings], ragged: bool) -> Recordings:
    """Concatenate, refusing anything that would mix two kinds."""
    if not recordings:
        raise InputError("nothing to concatenate: the list is empty.")
    first = recordings[0]
    for i, other in enumerate(recordings[1:], start=1):
        for field in ("modality", "names", "sfreq", "label_names", "task"):
            mine, theirs = getattr(first, field), getattr(other, field)
            if mine != theirs:
                raise InputError(f"recordings 0 and {i} differ in {field}: {_short(mine)} and {_short(theirs)}.")
        if set(first.metadata) != set(other.metadata):
            odd = sorted(set(first.metadata) ^ set(other.metadata))
            raise InputError(f"recordings 0 and {i} differ in their metadata columns: {', '.join(odd)}.")
    X: Any = (
        {key: _stack([r.X[key] for r in recordings], ragged) for key in first.X}
        if isinstance(first.X, dict)
        else _stack([r.X for r in recordings], ragged)
    )
    descriptions = list(dict.fromkeys(r.description for r in recordings if r.description))
    return replace(
        first,
        X=X,
        y=np.concatenate([r.y for r in recordings]),
        metadata=pd.concat([r.metadata[list(first.metadata)] for r in recordings], ignore_index=True),
        simulated=any(r.simulated for r in recordings),
        description="; ".join(descriptions),
    )


def _stack(arrays: list[Any], ragged: bool) -> Any:
    shapes = [np.shape(x) for array in arrays for x in array]
    if len(set(shapes)) == 1 and not any(array.dtype == object for array in arrays):
        return np.concatenate(arrays)
    if not ragged:
        raise InputError(
            f"recordings differ in shape ({shapes[0]} and {next(s for s in shapes if s != shapes[0])} per sample); "
            "pass ragged=True to keep them so, or cut windows of one length first."
            if len(set(shapes)) > 1
            else "recordings of different lengths are among these; pass ragged=True to keep them so."
        )
    result = np.empty(len(shapes), dtype=object)
    for i, item in enumerate(x for array in arrays for x in array):
        result[i] = item
    return result


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
