"""What a table of recordings must satisfy, each rule with a message that names the place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._validation import check_number, suggestion
from spikeneuro.errors import InputError

Array = NDArray[Any]

MODALITIES = ("eeg", "ecg", "fmri", "signal", "image", "features")
#: Columns that say whose a sample is; a gap there would make every split over them meaningless.
WHOSE = ("site", "subject", "session", "run", "segment", "recording")
_CHANNELS_OF_IMAGES = (1, 2, 3, 4)


def is_ragged(X: Array) -> bool:
    """Whether `X` is a one-dimensional object array of ``(channels, times_i)`` arrays."""
    return X.dtype == object


def as_array(X: Any, name: str) -> Array:
    """`X` as a float array, or as a one-dimensional object array when its items differ in length."""
    if isinstance(X, np.ndarray) and X.dtype == object:
        items = [np.asarray(item) for item in X.ravel()]
    elif isinstance(X, (list, tuple)):
        items = [np.asarray(item) for item in X]
    else:
        return _as_float(np.asarray(X), name)
    if not items:
        raise InputError(f"{name} is empty; at least one sample is needed.")
    if len({item.shape for item in items}) == 1 and not (isinstance(X, np.ndarray) and X.dtype == object):
        return _as_float(np.stack(items), name)
    ragged = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        ragged[i] = _as_float(item, f"{name}[{i}]")
    return ragged


def _as_float(X: Array, name: str) -> Array:
    if X.dtype.kind == "f":
        return X
    if X.dtype.kind not in "iub":
        raise InputError(f"{name} must hold real numbers, got dtype {X.dtype}.")
    return X.astype(np.float32)


def check_samples(X: Array, names: tuple[str, ...], modality: str, name: str = "X") -> None:
    """Shape against modality and names, then finite values."""
    if is_ragged(X):
        for i, item in enumerate(X):
            if item.ndim != 2 or 0 in item.shape:
                raise InputError(f"{name}[{i}] must have shape (channels, times), got {item.shape}.")
            if len(item) != len(X[0]):
                raise InputError(f"{name}[{i}] has {len(item)} channels but {name}[0] has {len(X[0])}.")
            _check_axes(item.shape, names, modality, f"{name}[{i}]", ("channels", "times"))
    elif modality == "image":
        _check_image_shape(X.shape, names, name)
    elif X.ndim == 3:
        _check_axes(X.shape[1:], names, modality, name, ("channels", "times"))
    elif X.ndim == 2:
        if names and len(names) != X.shape[1]:
            raise InputError(f"{name} has {X.shape[1]} features but names has {len(names)} entries.")
    else:
        raise InputError(f"{name} must have shape (n, channels, times) or (n, features), got {X.shape}.")
    if 0 in X.shape:
        raise InputError(f"{name} has an empty axis: shape {X.shape}.")


def _check_axes(shape: tuple[int, ...], names: tuple[str, ...], modality: str, name: str, axes: Sequence[str]) -> None:
    n_chans, n_times = shape
    if names and len(names) == n_chans:
        return
    if names and len(names) == n_times:
        raise InputError(
            f"{name} has {n_chans} {axes[0]} and {n_times} {axes[1]} but {len(names)} names: the axes look swapped; "
            "pass the array as (n, channels, times), e.g. X.transpose(0, 2, 1)."
        )
    if names:
        raise InputError(f"{name} has {n_chans} {axes[0]} but names has {len(names)} entries.")
    if modality in ("eeg", "ecg") and n_chans > n_times:
        raise InputError(
            f"{name} has {n_chans} channels but only {n_times} times: the axes look swapped; pass the array as "
            "(n, channels, times), or give names if it is right."
        )


def _check_image_shape(shape: tuple[int, ...], names: tuple[str, ...], name: str) -> None:
    if len(shape) != 4:
        raise InputError(f"{name} must have shape (n, channels, height, width) for images, got {shape}.")
    if names and len(names) != shape[1]:
        raise InputError(f"{name} has {shape[1]} image channels but names has {len(names)} entries.")
    if not names and shape[1] not in _CHANNELS_OF_IMAGES and shape[3] in _CHANNELS_OF_IMAGES:
        raise InputError(
            f"{name} has shape {shape}: the axes look swapped (channels last); pass it as "
            "(n, channels, height, width), e.g. X.transpose(0, 3, 1, 2)."
        )


def absent(X: Array) -> NDArray[np.bool_]:
    """Which samples are NaN throughout."""
    return np.array([bool(np.isnan(x.ravel()[:1]).all() and np.isnan(x).all()) for x in X], dtype=bool)


def check_modality_names(X: Mapping[Any, Any], fields: Mapping[str, Any]) -> None:
    """Names of modalities are text, and what is said by modality is said of one that is there."""
    for key in X:
        if not isinstance(key, str):
            raise InputError(f"modalities need names that are text, got {key!r}.")
    for field, value in fields.items():
        for key in value if isinstance(value, Mapping) else ():
            if key not in X:
                raise InputError(f"{field}: there is no modality {key!r} in X; {suggestion(str(key), X)}")


def check_any_present(gone: Mapping[str, NDArray[np.bool_]], metadata: pd.DataFrame) -> None:
    """Refuse samples that lack every modality, and a modality that no sample has."""
    for name, which in gone.items():
        if which.all():
            raise InputError(f"X[{name!r}] is NaN throughout: no sample has this modality; leave it out.")
    nothing = np.flatnonzero(np.all(list(gone.values()), axis=0))
    if nothing.size:
        raise InputError(
            f"sample {nothing[0]} (of {len(metadata)}) has no modality: it is NaN throughout in {', '.join(gone)}."
        )


def check_values(
    X: Array,
    names: tuple[str, ...],
    modality: str,
    whose: Sequence[str],
    name: str = "X",
    gaps: NDArray[np.bool_] | None = None,
) -> None:
    """Refuse NaN and infinite values (but for `gaps`, samples that are absent), and constant EEG channels."""
    for i in range(len(X)):
        if gaps is not None and gaps[i]:
            continue
        item = np.asarray(X[i])
        finite = np.isfinite(item)
        if not finite.all():
            place = tuple(int(k) for k in np.argwhere(~finite)[0])
            raise InputError(
                f"{name}[{i}] ({whose[i]}) holds {int((~finite).sum())} value(s) that are NaN or infinite, the first "
                f"at {_place(place, names, item.ndim)}; remove or interpolate them first."
            )
        # Resting-state atlases legitimately hold regions without coverage; an EEG channel that does not move is dead.
        if modality == "eeg" and item.ndim == 2 and item.shape[1] > 1:
            flat = np.flatnonzero(np.ptp(item, axis=1) == 0)
            if flat.size:
                channel = names[flat[0]] if names else int(flat[0])
                raise InputError(
                    f"{name}[{i}] ({whose[i]}): channel {channel!r} is constant ({flat.size} channel(s) in this "
                    "sample are); drop or interpolate the channel, or drop the sample."
                )


def _place(place: tuple[int, ...], names: tuple[str, ...], ndim: int) -> str:
    if ndim == 2:
        return f"channel {names[place[0]] if names else place[0]!r}, time index {place[1]}"
    if ndim == 1:
        return f"feature {names[place[0]] if names else place[0]!r}"
    return f"index {place}"


def check_names(names: Sequence[str] | None) -> tuple[str, ...]:
    """Names as strings, without duplicates."""
    if names is None:
        return ()
    if isinstance(names, str):
        raise InputError(f"names must be a sequence of channel names, got the single text {names!r}.")
    result = tuple(str(name) for name in names)
    twice = sorted({name for name in result if result.count(name) > 1}) if len(set(result)) < len(result) else []
    if twice:
        raise InputError(f"names holds duplicates: {', '.join(twice[:5])}; every channel needs a name of its own.")
    return result


def check_positions(positions: Any, n_chans: int | None) -> Array | None:
    """Positions in metres, one row of three per channel; NaN marks a channel without a known place."""
    if positions is None:
        return None
    result = np.asarray(positions, dtype=float)
    if result.ndim != 2 or result.shape[1] != 3 or (n_chans is not None and len(result) != n_chans):
        raise InputError(f"positions must have shape ({n_chans}, 3), metres per channel, got {result.shape}.")
    return result


def check_sfreq(sfreq: float | None, X: Array, modality: str, metadata: pd.DataFrame) -> float | None:
    """Sampling rate in hertz; None only where time has no steps or each recording states its own in column ``tr``."""
    if sfreq is not None:
        return float(check_number(sfreq, "sfreq", low=0, high=1e6, closed="neither"))
    if modality in ("image", "features") or (X.ndim == 2 and not is_ragged(X)) or "tr" in metadata:
        return None
    raise InputError(
        "sfreq (hertz) is needed for signals; give it, or a metadata column 'tr' in seconds per recording."
    )


def check_metadata(metadata: Any, n: int) -> pd.DataFrame:
    """Table with one row per sample, a plain index, unique column names and no gap in the columns that say whose."""
    if metadata is None:
        raise InputError(f"metadata is needed: a table with one row for each of the {n} samples.")
    table = pd.DataFrame(metadata).reset_index(drop=True)
    table.columns = [str(column) for column in table.columns]
    if len(table) != n:
        raise InputError(f"X has {n} samples but metadata has {len(table)} rows.")
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise InputError(f"metadata has the column {twice!r} twice.")
    for column in WHOSE:
        if column in table and table[column].isna().any():
            row = int(np.flatnonzero(table[column].isna())[0])
            raise InputError(f"metadata column {column!r} is empty in row {row}; every sample needs one.")
    return table


def check_target(y: Any, X: Array | None, n: int, label_names: Any) -> tuple[Array, tuple[str, ...] | None]:
    """Target with its task's type: ints 0..k-1, finite floats, or ``(n, times)`` ints with -1 to ignore."""
    target = np.asarray(y)
    if len(target.shape) == 0 or len(target) != n:
        raise InputError(f"X has {n} samples but y has shape {target.shape}.")
    if target.dtype.kind in "OUST":
        raise InputError("y must hold numbers; for text labels use data.encode_labels(labels) -> (y, label_names).")
    if target.ndim == 2:
        return _check_steps(target, X, label_names)
    if target.ndim != 1:
        raise InputError(f"y must have shape (n,) or (n, times), got {target.shape}.")
    if target.dtype.kind == "f":
        if not np.isfinite(target).all():
            raise InputError(f"y[{int(np.flatnonzero(~np.isfinite(target))[0])}] is NaN or infinite.")
        if label_names is not None:
            raise InputError("label_names were given but y holds floats (regression); pass integers for classes.")
        return target.astype(float), None
    return _check_classes(target.astype(np.int64), label_names, least=0)


def _check_steps(y: Array, X: Array | None, label_names: Any) -> tuple[Array, tuple[str, ...] | None]:
    if X is None or X.ndim != 3:
        raise InputError("y with one label per time step needs X of shape (n, channels, times).")
    if y.shape[1] != X.shape[2]:
        raise InputError(f"y has {y.shape[1]} time steps but X has {X.shape[2]}.")
    if y.dtype.kind not in "iu":
        raise InputError(f"y with one label per time step must hold integers (-1 = ignore), got dtype {y.dtype}.")
    return _check_classes(y.astype(np.int64), label_names, least=-1)


def _check_classes(y: Array, label_names: Any, least: int) -> tuple[Array, tuple[str, ...]]:
    used = np.unique(y)
    used = used[used >= 0] if least == -1 else used
    if label_names is None:
        if not np.array_equal(used, np.arange(len(used))):
            raise InputError(
                f"y must hold the classes 0..k-1, got {used[:6].tolist()}; use data.encode_labels(labels) -> "
                "(y, label_names), or give label_names for all classes."
            )
        label_names = [str(value) for value in used]
    names = tuple(str(name) for name in label_names)
    if y.size and (y.min() < least or y.max() >= len(names)):
        wrong = y.min() if y.min() < least else y.max()
        raise InputError(
            f"y holds the class {int(wrong)} but label_names has {len(names)} entries (0..{len(names) - 1})."
        )
    if len(set(names)) < len(names):
        raise InputError(f"label_names holds duplicates: {', '.join(names)}.")
    return y, names


def encode_labels(labels: Sequence[Any], label_names: Sequence[str] | None = None) -> tuple[Array, tuple[str, ...]]:
    """Turn labels into integers 0..k-1 and the names they stand for.

    Parameters
    ----------
    labels : sequence
        One label per sample: text or numbers.
    label_names : sequence of str, optional
        The order of the classes; sorted when not given.

    Returns
    -------
    y : ndarray of int, shape (n,)
        Class of each sample.
    label_names : tuple of str
        Name of each class.

    Raises
    ------
    InputError
        If a label is missing, or not among `label_names`.

    Examples
    --------
    >>> encode_labels(["rest", "face", "rest"])
    (array([1, 0, 1]), ('face', 'rest'))
    """
    values = pd.Series(list(labels))
    if values.isna().any():
        raise InputError(f"labels[{int(np.flatnonzero(values.isna())[0])}] is missing.")
    texts = values.astype(str)
    if label_names is None:
        # Numbers sort as numbers ("2" before "10"), text as text.
        ordered = values.drop_duplicates().sort_values() if values.dtype.kind in "iufb" else texts.drop_duplicates()
        names = tuple(sorted(ordered)) if values.dtype.kind not in "iufb" else tuple(str(v) for v in ordered)
    else:
        names = tuple(str(name) for name in label_names)
    code = {name: i for i, name in enumerate(names)}
    unknown = next((text for text in texts if text not in code), None)
    if unknown is not None:
        raise InputError(f"label {unknown!r} is not among label_names: {', '.join(names)}.")
    return np.array([code[text] for text in texts], dtype=np.int64), names
