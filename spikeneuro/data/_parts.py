"""One modality of recordings, and recordings in words: for messages and listings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from spikeneuro.data import _checks

if TYPE_CHECKING:
    from spikeneuro.data.recordings import Recordings


class OneModality(NamedTuple):
    """Samples of one modality, and what is said of them; see `Recordings`."""

    X: Any
    sfreq: Any
    names: Any
    modality: Any
    positions: Any

    @property
    def ragged(self) -> bool:
        """Whether the samples differ in length."""
        return _checks.is_ragged(self.X)


def describe_rows(metadata: pd.DataFrame) -> "_Rows":
    """Text that says whose each row is, for messages."""
    return _Rows(metadata)


class _Rows(Sequence[str]):
    """Text such as ``subject S1, run 2`` for each row, made only when an error needs it."""

    def __init__(self, metadata: pd.DataFrame) -> None:
        self.columns = [c for c in ("site", "subject", "session", "run", "trial", "onset") if c in metadata]
        self.metadata = metadata

    def __len__(self) -> int:
        return len(self.metadata)

    def __getitem__(self, i: Any) -> Any:
        return ", ".join(f"{c} {self.metadata[c].iloc[i]}" for c in self.columns) or f"row {i}"


def shape_text(recordings: "Recordings | OneModality") -> str:
    """Kind, number and size of the samples, in words."""
    X, rate = recordings.X, recordings.sfreq
    head = f"{recordings.modality}, {len(X)} sample{'s' if len(X) > 1 else ''} x "
    if recordings.ragged:
        lengths = [x.shape[1] for x in X]
        text = f"{X[0].shape[0]} channels x {min(lengths)} to {max(lengths)} times"
    elif X.ndim == 4:
        return head + f"{X.shape[1]} x {X.shape[2]} x {X.shape[3]} pixels"
    elif X.ndim == 2:
        return head + f"{X.shape[1]} features"
    else:
        text = f"{X.shape[1]} channels x {X.shape[2]} times"
    return head + text + (f" at {rate:g} Hz" if rate is not None else "")
