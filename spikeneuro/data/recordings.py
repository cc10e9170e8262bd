"""The one thing every loader produces: arrays plus who they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._files import fingerprint
from spikeneuro._validation import check_choice, suggestion
from spikeneuro.data import _checks
from spikeneuro.data._parts import OneModality, describe_rows, shape_text
from spikeneuro.data.units import nested_labels
from spikeneuro.errors import InputError

Array = NDArray[Any]
PER_PART = ("X", "sfreq", "names", "modality", "positions")


@dataclass(frozen=True, repr=False, eq=False)
class Recordings:
    """Samples, their targets, and the table that says where each came from.

    Where there are several modalities, a sample may lack some of them: it is NaN throughout there.

    Parameters
    ----------
    X : ndarray, list of ndarray, or dict of these
        Signals ``(n, channels, times)``, images ``(n, channels, height, width)``, features ``(n, features)``, signals
        of different lengths as a list (or one-dimensional object array) of ``(channels, times_i)``, or several
        modalities of the same samples as a dict. EEG in volts. Values must be finite.
    y : array_like
        Classes 0..k-1 as ints ``(n,)``; floats ``(n,)`` for regression; ints ``(n, times)`` for one label per time
        step, where -1 means "do not count this step".
    metadata : DataFrame or dict of columns
        One row per sample; columns among ``subject, session, run, trial, site, onset, segment, slice, ...``.
        ``onset`` (start) and ``duration`` (length of the sample) are in seconds.
    sfreq : float, dict or None
        Sampling rate in hertz (for fMRI 1 / repetition time). None for images and features, and where the recordings
        differ in it: then the metadata column ``tr`` holds seconds per sample.
    names : sequence of str, dict or None
        Channel, region or feature names.
    modality : {"eeg", "ecg", "fmri", "signal", "image", "features"} or dict
        What the arrays are; decides which models take them and which checks apply.
    positions : ndarray, shape (channels, 3), or None
        Places of the channels in metres (NaN where unknown).
    label_names : sequence of str, optional
        Names of the classes.
    simulated : bool
        True for data that were generated; every report says so.
    description : str
        Origin, in a sentence.

    Raises
    ------
    InputError
        If lengths disagree, axes look swapped, values are not finite, an EEG channel is constant within a sample,
        names are duplicated, or the target has the wrong type. The message names the place.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(4, 2, 100))
    >>> recordings = Recordings(X, [0, 1, 0, 1], {"subject": ["a", "a", "b", "b"]}, 50.0, ["C3", "C4"])
    >>> recordings
    Recordings(eeg, 4 samples x 2 channels x 100 times at 50 Hz; classification: 0 2, 1 2; 2 subjects)
    >>> len(recordings.windows(0.5))
    16
    """

    X: Any
    y: Any
    metadata: Any
    sfreq: Any = None
    names: Any = None
    modality: Any = "eeg"
    positions: Any = None
    label_names: Any = None
    simulated: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        several = isinstance(self.X, Mapping)
        if several and not self.X:
            raise InputError("X is an empty dict; at least one modality is needed.")
        keys: list[str | None] = list(self.X) if several else [None]
        if several:
            _checks.check_modality_names(self.X, {field: getattr(self, field) for field in PER_PART[1:]})
        arrays = {key: _checks.as_array(self.X if key is None else self.X[key], _name(key)) for key in keys}
        counts = {key: len(array) for key, array in arrays.items()}
        if len(set(counts.values())) > 1:
            raise InputError(f"the modalities differ in their number of samples: {counts}.")
        n = next(iter(counts.values()))
        metadata = _checks.check_metadata(self.metadata, n)
        fields: dict[str, dict[str | None, Any]] = {"sfreq": {}, "names": {}, "modality": {}, "positions": {}}
        for key, array in arrays.items():
            checked = self._check_part(key, array, metadata)
            for field, value in checked.items():
                fields[field][key] = value
        if several:
            _checks.check_any_present({str(key): _checks.absent(x) for key, x in arrays.items()}, metadata)
        y, label_names = _checks.check_target(self.y, None if several else arrays[None], n, self.label_names)
        for field, values in {"X": arrays, **fields}.items():
            object.__setattr__(self, field, dict(values) if several else values[None])
        for field, value in {"y": y, "metadata": metadata, "label_names": label_names}.items():
            object.__setattr__(self, field, value)

    def _check_part(self, key: str | None, X: Array, metadata: pd.DataFrame) -> dict[str, Any]:
        name = _name(key)
        modality = check_choice(_of(self.modality, key), _checks.MODALITIES, "modality")
        names = _checks.check_names(_of(self.names, key))
        _checks.check_samples(X, names, modality, name)
        gaps = _checks.absent(X) if key is not None else None
        _checks.check_values(X, names, modality, describe_rows(metadata), name, gaps)
        first = X[0] if _checks.is_ragged(X) else X[:1].reshape(X.shape[1:])
        return {
            "sfreq": _checks.check_sfreq(_of(self.sfreq, key), X, modality, metadata),
            "names": names,
            "modality": modality,
            "positions": _checks.check_positions(_of(self.positions, key), len(first)),
        }

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        parts = [shape_text(self.one(key)) for key in self.modalities]
        text = [" and ".join(parts), f"{self.task}{self._target_text()}"]
        text += [
            f"{self.metadata[column].nunique()} {column}{'s' if self.metadata[column].nunique() > 1 else ''}"
            for column in ("site", "subject", "session", "run")
            if column in self.metadata
        ]
        if self.simulated:
            text.append("simulated")
        return f"Recordings({'; '.join(text)})"

    def _target_text(self) -> str:
        if self.label_names is None:
            return f" {self.y.min():g} to {self.y.max():g}" if len(self) else ""
        counts = [f"{name} {int((self.y == k).sum())}" for k, name in enumerate(self.label_names)]
        return ": " + ", ".join(counts[:10]) + (", ..." if len(counts) > 10 else "")

    @property
    def modalities(self) -> tuple[str | None, ...]:
        """Keys of `X` when it is a dict, else ``(None,)``."""
        return tuple(self.X) if isinstance(self.X, dict) else (None,)

    @property
    def task(self) -> Literal["classification", "regression", "steps"]:
        """What `y` asks for."""
        if self.y.ndim == 2:
            return "steps"
        return "regression" if self.label_names is None else "classification"

    @property
    def ragged(self) -> bool:
        """Whether the recordings differ in length."""
        return not isinstance(self.X, dict) and _checks.is_ragged(self.X)

    @property
    def fingerprint(self) -> str:
        """Hash of everything a result can depend on: content, targets, table, rates and names."""
        table = [(column, self.metadata[column].tolist()) for column in self.metadata]
        parts: list[Any] = [self.y, self.label_names, table, self.simulated]
        for key in self.modalities:
            parts += [key, *self.one(key)]
        return fingerprint(parts)

    def part(self, key: str) -> "Recordings":
        """Take one modality of several, with the same table and targets.

        Parameters
        ----------
        key : str
            Key of `X`.

        Returns
        -------
        Recordings
            With an array instead of a dict.

        Raises
        ------
        InputError
            If there is no such modality, or a sample lacks it.
        """
        if key not in self.modalities:
            options = [name for name in self.modalities if name is not None]
            raise InputError(f"no modality {key!r} here; {suggestion(str(key), options)}")
        absent = np.flatnonzero(self.absent(key))
        if absent.size:
            raise InputError(
                f"{absent.size} of {len(self)} samples lack the modality {key!r}, the first is {absent[0]}; take those "
                f"that have it first: recordings.select(~recordings.absent({key!r}))."
            )
        return replace(self, **self.one(key)._asdict())

    def one(self, key: str | None) -> "OneModality":
        """What is said of one modality, absent samples included; of the only one, for None.

        Parameters
        ----------
        key : str or None
            Key of `X`; None where it is no dict.

        Returns
        -------
        OneModality
            Samples, rate, names, kind and positions.
        """
        fields = {field: getattr(self, field) for field in PER_PART}
        return OneModality(**(fields if key is None else {field: value[key] for field, value in fields.items()}))

    def absent(self, key: str) -> NDArray[np.bool_]:
        """Which samples lack the modality `key`: those that are NaN throughout.

        Parameters
        ----------
        key : str
            Key of `X`.

        Returns
        -------
        ndarray of bool, shape (n,)
            True where the modality is absent.
        """
        return _checks.absent(self.X[key])

    def select(self, which: Any) -> "Recordings":
        """Take samples by a boolean mask, or by integer indices in the order given.

        Parameters
        ----------
        which : array_like of bool, shape (n,), or of int
            Mask over the samples, or their indices.

        Returns
        -------
        Recordings
            The samples chosen, at least one.
        """
        index = np.asarray(which)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise InputError(f"the mask has shape {index.shape} but there are {len(self)} samples.")
            index = np.flatnonzero(index)
        if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
            raise InputError(f"select takes a mask or integer indices, got dtype {index.dtype}, shape {index.shape}.")
        if not index.size:
            raise InputError(f"the selection is empty (of {len(self)} samples).")
        if index.min() < -len(self) or index.max() >= len(self):
            wrong = index.min() if index.min() < -len(self) else index.max()
            raise InputError(f"index {int(wrong)} is out of range: there are {len(self)} samples.")
        X = {key: x[index] for key, x in self.X.items()} if isinstance(self.X, dict) else self.X[index]
        return replace(self, X=X, y=self.y[index], metadata=self.metadata.iloc[index])

    def windows(
        self, length_s: float, step_s: float | None = None, *, short: Literal["error", "drop"] = "error"
    ) -> "Recordings":
        """Cut every recording into windows of one length; an incomplete tail is dropped.

        Parameters
        ----------
        length_s : float
            Window length in seconds, rounded to whole samples.
        step_s : float, optional
            Distance between window starts in seconds; by default the length (no overlap).
        short : {"error", "drop"}
            What to do about a recording shorter than one window.

        Returns
        -------
        Recordings
            Signals ``(windows, channels, times)``. The table gains ``recording`` (row of the recording it was cut
            from; kept if there already), ``onset`` (seconds; added to an onset that is there) and ``duration``
            (seconds), by which the audit of a split sees windows that overlap.
        """
        from spikeneuro.data._windows import cut

        return cut(self, length_s, step_s, short)

    def rate_of(self, i: int) -> float:
        """Sampling rate in hertz of sample `i`, which the table's ``tr`` gives where the recordings differ in it."""
        return float(self.sfreq if self.sfreq is not None else 1.0 / self.metadata["tr"].iloc[i])

    def units(self, column: str) -> Array:
        """Name the unit of independence that each sample belongs to.

        A session or run is named together with what it lies in (``"S1/2"``: run 2 of subject S1), so that equal run
        numbers of two subjects stay two units.

        Parameters
        ----------
        column : str
            Column of the table; ``"sample"`` makes every sample a unit.

        Returns
        -------
        ndarray of str, shape (n,)
            Unit of each sample.
        """
        return nested_labels(self.metadata, column)

    @staticmethod
    def concatenate(recordings: Sequence["Recordings"], *, ragged: bool = False) -> "Recordings":
        """Join recordings of one kind (same channels, rate, classes and columns) into one.

        Parameters
        ----------
        recordings : sequence of Recordings
            In the order wanted.
        ragged : bool
            Allow signals of different lengths; otherwise that is an error.

        Returns
        -------
        Recordings
            All samples; simulated if one of the parts is.
        """
        from spikeneuro.data._join import join

        return join(list(recordings), ragged)

    def save(self, path: str | Path) -> Path:
        """Write everything to one ``.npz`` file, atomically and without pickle.

        Parameters
        ----------
        path : path
            Where to; ``.npz`` is appended if it is missing.

        Returns
        -------
        Path
            The file written.
        """
        from spikeneuro.data._archive import save

        return save(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> "Recordings":
        """Read what `save` wrote; a file that is damaged or was changed is refused.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Recordings
            Equal to what was saved.
        """
        from spikeneuro.data._archive import load

        return load(Path(path))


def _name(key: str | None) -> str:
    return "X" if key is None else f"X[{key!r}]"


def _of(value: Any, key: str | None) -> Any:
    """Value that belongs to one modality: an entry of a dict, or one value shared by all."""
    if not isinstance(value, Mapping):
        return value
    if key is None:
        raise InputError(f"got a dict ({', '.join(map(str, value))}) although X is one array.")
    return value.get(key)
