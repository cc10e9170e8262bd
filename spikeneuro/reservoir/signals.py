"""What reservoirs take: signals of one or several lengths, checked, scaled, cut into batches that fit in memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from spikeneuro._validation import check_choice, check_finite, user_errors
from spikeneuro.errors import InputError

Array = NDArray[Any]

SCALES = ("standard", "sample", "none")

#: Numbers of a batch of states, at most (one sample may need more).
_NUMBERS_AT_ONCE = 2**24


def as_signals(X: Any, name: str = "X") -> Array:
    """`X` as float64 ``(n, channels, times)``, or as an object array of ``(channels, times_i)`` if lengths differ.

    Two axes ``(n, times)`` are one channel. Signals of several lengths come as an object array or as a list.

    Raises
    ------
    InputError
        If the shape is another, or a value is NaN or infinite.
    """
    X = gathered(X)
    return as_ragged(X, name) if is_ragged(X) else as_equal_signals(X, name, np.float64)


def as_equal_signals(X: Any, name: str, dtype: Any) -> Array:
    """`X` as finite ``(n, channels, times)`` of `dtype` (the first of a list, unless it has another of them)."""
    with user_errors():
        X = check_array(X, allow_nd=True, ensure_all_finite=False, dtype=dtype, input_name=name)
    if X.ndim == 2:
        X = X[:, np.newaxis]
    if X.ndim != 3 or 0 in X.shape:
        raise InputError(f"{name} must have shape (n, channels, times), none of them 0, got {X.shape}.")
    return check_finite(X, name)


def is_ragged(X: Any) -> bool:
    """Whether `X` holds signals of several lengths, as `gathered` leaves them."""
    return bool(isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and len(X) and np.ndim(X[0]) == 2)


def gathered(X: Any) -> Any:
    """A list of tables that are not all of one shape as an object array; anything else as it is."""
    if not isinstance(X, (list, tuple)):
        return X
    shapes = {tuple(getattr(item, "shape", ())) for item in X}
    if len(shapes) < 2 or any(len(shape) != 2 for shape in shapes):
        return X
    found = np.empty(len(X), dtype=object)
    found[:] = X
    return found


def as_ragged(X: Array, name: str = "X", dtype: Any = np.float64) -> Array:
    """Signals of several lengths as finite ``(channels, times_i)`` of `dtype`, all of as many channels."""
    checked = np.empty(len(X), dtype=object)
    for i, item in enumerate(X):
        if np.ndim(item) != 2 or 0 in np.shape(item):
            raise InputError(f"{name}[{i}] must have the shape (channels, times), got {np.shape(item)}.")
        with user_errors():
            signal = check_array(item, ensure_all_finite=False, dtype=dtype, input_name=f"{name}[{i}]")
        if len(signal) != np.shape(X[0])[0]:
            raise InputError(f"{name}[{i}] has {len(signal)} channels but {name}[0] has {np.shape(X[0])[0]}.")
        checked[i] = check_finite(signal, f"{name}[{i}]")
    return checked


def varies(X: Array) -> bool:
    """Whether any channel has more than one value, in all samples and times together."""
    return any(bool((signal != X[0][:, :1]).any()) for signal in X)


def n_channels(X: Array) -> int:
    """Channels of signals of one or of several lengths."""
    return len(X[0])


def shortest(X: Array) -> int:
    """Samples of the shortest signal."""
    return min(signal.shape[-1] for signal in X) if X.dtype == object else int(X.shape[-1])


class SignalScale:
    """Centre and scale of each channel, learned from training signals.

    Parameters
    ----------
    method : {"standard", "sample", "none"}
        Mean and standard deviation of each channel over all training samples and times; of each sample for itself; or
        nothing. Channels without variance are only centred.
    """

    def __init__(self, method: str) -> None:
        self.method = check_choice(method, SCALES, "scale")
        self.mean: Array | None = None
        self.deviation: Array | None = None

    def fit(self, X: Array) -> "SignalScale":
        """Learn from signals."""
        if self.method == "standard":
            flat = np.concatenate(list(X), axis=1)  # (channels, all times)
            self.mean, self.deviation = _moments(flat)
        return self

    def __call__(self, X: Array) -> Array:
        """Scaled signals ``(n, channels, times)`` of one length."""
        if self.method == "none":
            return X
        mean, deviation = (self.mean, self.deviation) if self.method == "standard" else _moments(X)
        assert mean is not None
        return (X - mean) / deviation


def _moments(X: Array) -> tuple[Array, Array]:
    mean, deviation = X.mean(axis=-1, keepdims=True), X.std(axis=-1, keepdims=True)
    # a constant channel leaves rounding noise in the deviation, not an exact 0
    return mean, np.where(deviation <= 1e-12 * np.abs(mean) + 1e-300, 1.0, deviation)


def batches(X: Array, width: int) -> Iterator[tuple[Array, Array]]:
    """Signals of one length, with their indices, so few that states of `width` numbers a step fit in memory."""
    lengths = np.array([signal.shape[-1] for signal in X])
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length)
        count = max(1, _NUMBERS_AT_ONCE // (width * int(length)))
        for start in range(0, len(members), count):
            index = members[start : start + count]
            yield index, np.stack(list(X[index])) if X.dtype == object else X[index]
