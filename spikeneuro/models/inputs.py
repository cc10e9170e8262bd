"""What every network asks of its input and its sizes, checked in one place with the axes named."""

from typing import Any

from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError

#: Tasks a network can be built for: one output per recording, or one per time step.
TASKS = ("classification", "regression", "steps")


def check_sizes(**sizes: Any) -> None:
    """Raise unless every given size is a positive integer."""
    for name, value in sizes.items():
        check_number(value, name, low=1, integer=True)


def as_span(value: Any, name: str) -> tuple[float, float]:
    """Shortest and longest (or lowest and highest) of a range given as a pair; not yet compared with each other."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"{name} must be a pair (from, to), got {value!r}.")
    return check_number(value[0], f"{name}[0]"), check_number(value[1], f"{name}[1]")


def check_dropout(**probabilities: Any) -> None:
    """Raise unless every given dropout probability lies in [0, 1)."""
    for name, value in probabilities.items():
        check_number(value, name, low=0.0, high=1.0, closed="left")


def check_odd(value: int, name: str) -> None:
    """Raise unless `value` is a positive odd integer, as padding that keeps the length needs."""
    check_number(value, name, low=1, integer=True)
    if value % 2 == 0:
        raise InputError(f"{name}={value} must be odd, so that padding keeps the size; use {value + 1}.")


def check_task(task: str, allowed: tuple[str, ...] = TASKS) -> str:
    """Return `task` if the network can be built for it."""
    return check_choice(task, allowed, "task")


def check_sfreq(sfreq: float | None, reason: str) -> float:
    """Return the sampling frequency in hertz, or raise saying why one is needed."""
    if sfreq is None:
        raise InputError(f"sfreq is missing: {reason}; give the sampling frequency in hertz.")
    return check_number(sfreq, "sfreq", low=0.0, closed="neither")


def as_image_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width from an int (square) or a pair."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    check_sizes(height=height, width=width)
    return height, width


def check_signal(x: Tensor, n_chans: int, n_times: int | None) -> None:
    """Raise unless `x` is (batch, channels, times) with these sizes; `n_times` None accepts any length."""
    good_times = n_times is None or x.shape[-1] == n_times
    if x.ndim == 3 and x.shape[1] == n_chans and good_times:
        return
    times = "any" if n_times is None else n_times
    expected = f"(batch, channels={n_chans}, times={times})"
    received = tuple(x.shape)
    if x.ndim != 3:
        raise InputError(f"the model takes signals of shape {expected}, got {x.ndim} axes: {received}.")
    if x.shape[2] == n_chans and (n_times is None or x.shape[1] == n_times):
        raise InputError(
            f"the model takes signals of shape {expected}, got {received}: "
            "channels and times look swapped; use x.transpose(1, 2)."
        )
    axis = "channels" if x.shape[1] != n_chans else "times"
    raise InputError(f"the model takes signals of shape {expected}, got {received}: {axis} differ.")


def check_image(x: Tensor, in_chans: int, image_size: tuple[int, int]) -> None:
    """Raise unless `x` is (batch, channels, height, width) with these sizes."""
    if x.ndim == 4 and tuple(x.shape[1:]) == (in_chans, *image_size):
        return
    expected = f"(batch, channels={in_chans}, height={image_size[0]}, width={image_size[1]})"
    received = tuple(x.shape)
    if x.ndim != 4:
        raise InputError(f"the model takes images of shape {expected}, got {x.ndim} axes: {received}.")
    if received[1:] == (*image_size, in_chans):
        raise InputError(
            f"the model takes images of shape {expected}, got {received}: "
            "channels look last; use x.permute(0, 3, 1, 2)."
        )
    if received[1:] == (in_chans, image_size[1], image_size[0]):
        raise InputError(f"the model takes images of shape {expected}, got {received}: height and width look swapped.")
    raise InputError(f"the model takes images of shape {expected}, got {received}.")


def flatten_features(x: Tensor, n_chans: int, n_times: int) -> Tensor:
    """(batch, features) from feature vectors or from signals of shape (batch, channels, times)."""
    n_features = n_chans * n_times
    if x.ndim == 2 and x.shape[1] == n_features:
        return x
    if x.ndim == 3:
        check_signal(x, n_chans, n_times)
        return x.flatten(1)
    raise InputError(
        f"the model takes features of shape (batch, features={n_features}) or signals of shape "
        f"(batch, channels={n_chans}, times={n_times}), got {tuple(x.shape)}."
    )
