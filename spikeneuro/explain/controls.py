"""Controls of the input: what is left of a signal when its time is taken from it, in one way or another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from spikeneuro._validation import check_choice, check_finite, check_number
from spikeneuro.errors import InputError

Array = NDArray[Any]
Function = Callable[[Array, np.random.Generator, int], Array]


@dataclass(frozen=True)
class Control:
    """A change of the input that takes something about time away.

    Parameters
    ----------
    title : str
        Name for tables.
    keeps, removes : str
        What of a sample it leaves, and what not.
    random : bool
        Whether it draws.
    function : callable
        From a sample ``(..., times)``, a generator and a number of segments to the changed sample.
    """

    title: str
    keeps: str
    removes: str
    random: bool
    function: Function


def _shuffled(x: Array, rng: np.random.Generator, n_segments: int) -> Array:
    del n_segments
    return x[..., rng.permutation(x.shape[-1])]


def _shuffled_by_channel(x: Array, rng: np.random.Generator, n_segments: int) -> Array:
    del n_segments
    return rng.permuted(x, axis=-1)


def _segments(x: Array, rng: np.random.Generator, n_segments: int) -> Array:
    if x.shape[-1] < n_segments:
        raise InputError(f"{n_segments} segments cannot be cut from {x.shape[-1]} times; lower n_segments.")
    pieces = np.array_split(np.arange(x.shape[-1]), n_segments)
    order = rng.permutation(n_segments)
    if (order == np.arange(n_segments)).all():
        order = np.roll(order, 1)  # the one order in n! that would change nothing
    return x[..., np.concatenate([pieces[index] for index in order])]


def _reversed(x: Array, rng: np.random.Generator, n_segments: int) -> Array:
    del rng, n_segments
    return x[..., ::-1]


def _mean(x: Array, rng: np.random.Generator, n_segments: int) -> Array:
    del rng, n_segments
    kept = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    return np.broadcast_to(x.mean(axis=-1, keepdims=True, dtype=np.float64), x.shape).astype(kept)


#: The controls of the input, by name.
CONTROLS: dict[str, Control] = {
    "time-shuffled": Control(
        "times shuffled",
        "the values of each channel, and which of them occur together",
        "the order of the times",
        True,
        _shuffled,
    ),
    "time-shuffled-by-channel": Control(
        "times shuffled, each channel by itself",
        "the values of each channel",
        "the order of the times, and which values of the channels occur together",
        True,
        _shuffled_by_channel,
    ),
    "segments-permuted": Control(
        "segments permuted",
        "the course within each segment",
        "the order of the segments",
        True,
        _segments,
    ),
    "time-reversed": Control(
        "time reversed",
        "autocorrelations, spectra and which values occur together",
        "the direction of time",
        False,
        _reversed,
    ),
    "time-mean": Control(
        "constant at its mean",
        "the mean of each channel",
        "all change in time",
        False,
        _mean,
    ),
}


def apply_control(
    X: ArrayLike | Tensor,
    control: str,
    *,
    n_segments: int = 8,
    time_axis: int = -1,
    random_state: int = 0,
) -> Any:
    """Change the times of every sample as a control does.

    Permutations are drawn for each sample by itself and keep its values, spikes or counts exactly.

    Parameters
    ----------
    X : array-like or Tensor of shape (samples, channels, times), or list of recordings (channels, times)
        Signals, samples first. Any number of axes between.
    control : str
        Key of `CONTROLS`.
    n_segments : int, default=8
        Segments of nearly equal length that ``segments-permuted`` cuts, at least 2.
    time_axis : int, default=-1
        Axis of time, for instance 1 for spikes (samples, time, neurons).
    random_state : int
        Seed.

    Returns
    -------
    array, Tensor or object array
        As `X` was given: the same shape, new memory. Means of integers are float32.

    Raises
    ------
    InputError
        For an unknown control, values that are not finite, or fewer times than segments.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro.explain import apply_control
    >>> x = np.array([[[1.0, 2.0, 6.0]]])
    >>> apply_control(x, "time-mean").tolist(), apply_control(x, "time-reversed").tolist()
    ([[[3.0, 3.0, 3.0]]], [[[6.0, 2.0, 1.0]]])
    """
    chosen = CONTROLS[check_choice(control, CONTROLS, "control")]
    check_number(n_segments, "n_segments", low=2, integer=True)
    rng = np.random.default_rng(random_state)
    if isinstance(X, Tensor):
        changed = apply_control(
            X.detach().cpu().numpy(), control, n_segments=n_segments, time_axis=time_axis, random_state=random_state
        )
        return torch.from_numpy(changed).to(X.device)
    samples = as_samples(X)
    if isinstance(samples, list):
        found = np.empty(len(samples), dtype=object)
        found[:] = [chosen.function(sample, rng, n_segments).copy() for sample in samples]
        return found
    axis = _checked_axis(time_axis, samples.ndim)
    moved = np.moveaxis(samples, axis, -1)
    changed = np.stack([chosen.function(sample, rng, n_segments) for sample in moved])
    return np.ascontiguousarray(np.moveaxis(changed, -1, axis))


def as_samples(X: Any) -> Array | list[Array]:
    """Checked samples: an array with samples first, or a list of recordings of different lengths."""
    array = _ragged(X)
    if isinstance(array, list):
        if not array or any(recording.ndim != 2 or 0 in recording.shape for recording in array):
            raise InputError("recordings of different lengths must be arrays (channels, times) without an empty axis.")
        for number, recording in enumerate(array):
            check_finite(recording, f"recording {number}")
        return array
    if array.dtype.kind not in "biuf":
        raise InputError(f"X must hold real numbers, got dtype {array.dtype}.")
    if array.ndim < 2 or 0 in array.shape:
        raise InputError(f"X must be (samples, channels, times) without an empty axis, got shape {array.shape}.")
    return check_finite(array, "X")


def _ragged(X: Any) -> Array | list[Array]:
    held = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object)
    if held and len({np.shape(sample) for sample in X}) > 1:
        return [np.asarray(sample) for sample in X]
    return np.stack([np.asarray(sample) for sample in X]) if held and len(X) else np.asarray(X)


def _checked_axis(time_axis: int, ndim: int) -> int:
    check_number(time_axis, "time_axis", low=-ndim, high=ndim - 1, integer=True)
    if time_axis % ndim == 0:
        raise InputError("time_axis is the axis of the samples, which must come first; move it with moveaxis.")
    return time_axis % ndim
