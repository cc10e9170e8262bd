"""Cutting recordings into windows of one length."""

from dataclasses import replace
from typing import Any

import numpy as np

from spikeneuro._validation import check_choice, check_number
from spikeneuro.data._parts import describe_rows, shape_text
from spikeneuro.data.recordings import PER_PART, Recordings
from spikeneuro.errors import InputError


def cut(recordings: Recordings, length_s: float, step_s: float | None, short: str) -> Recordings:
    """Windows of every recording, as `Recordings.windows` says."""
    check_choice(short, ("error", "drop"), "short")
    check_number(length_s, "length_s", low=0, closed="neither")
    step_s = length_s if step_s is None else float(check_number(step_s, "step_s", low=0, closed="neither"))
    if isinstance(recordings.X, dict):
        return _of_each_modality(recordings, length_s, step_s, short)
    if not (recordings.ragged or recordings.X.ndim == 3) or recordings.modality == "image":
        raise InputError(f"windows need signals (n, channels, times), got {shape_text(recordings)}.")
    pieces, rows, starts, lengths, targets = [], [], [], [], []
    for i, x in enumerate(recordings.X):
        rate = recordings.rate_of(i)
        length, step = round(length_s * rate), round(step_s * rate)
        if min(length, step) < 1:
            raise InputError(f"a window of {length_s:g} s with step {step_s:g} s is under one sample at {rate:g} Hz.")
        if length > x.shape[1] and short == "error":
            raise InputError(
                f"X[{i}] ({describe_rows(recordings.metadata)[i]}) lasts {x.shape[1] / rate:g} s, less than a window "
                f"of {length_s:g} s; shorten the window or pass short='drop'."
            )
        for start in range(0, x.shape[1] - length + 1, step):
            pieces.append(x[:, start : start + length])
            rows.append(i)
            starts.append(start / rate)
            lengths.append(length / rate)
            targets.append(recordings.y[i, start : start + length] if recordings.task == "steps" else recordings.y[i])
    if not pieces:
        raise InputError(f"no recording is as long as a window of {length_s:g} s.")
    metadata = recordings.metadata.iloc[rows].reset_index(drop=True)
    if "recording" not in metadata:
        metadata["recording"] = rows
    metadata["onset"] = np.array(starts) + (metadata["onset"].to_numpy(float) if "onset" in metadata else 0.0)
    metadata["duration"] = lengths
    return replace(recordings, X=pieces, y=np.stack(targets), metadata=metadata)


def _of_each_modality(recordings: Recordings, length_s: float, step_s: float, short: str) -> Recordings:
    parts = {key: cut(recordings.part(key), length_s, step_s, short) for key in recordings.X}
    first, onsets = next(iter(parts.values())), [part.metadata["onset"].to_numpy(float) for part in parts.values()]
    if any(not np.array_equal(first.metadata["recording"], part.metadata["recording"]) for part in parts.values()):
        raise InputError("the modalities give different numbers of windows; choose a length that suits all.")
    # Lengths are rounded to samples of each modality: what is no whole number of both leaves them further and further
    # from each other.
    apart = float(np.ptp(onsets, axis=0).max())
    if apart > max(1.0 / part.rate_of(0) for part in parts.values()):
        raise InputError(
            f"windows every {step_s:g} s are no whole number of samples in all modalities, which would come to lie "
            f"{apart:.3g} s apart; choose a length and step that suit all rates."
        )
    per_part: dict[str, Any] = {field: {k: getattr(part, field) for k, part in parts.items()} for field in PER_PART}
    return replace(first, **per_part)
