"""Several modalities as input of the estimators: checks, sizes for the model, one scaler for each."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor

from spikeneuro import _several
from spikeneuro._validation import check_finite, suggestion
from spikeneuro.errors import InputError
from spikeneuro.training.scaling import ChannelScaler

Arrays = dict[str, NDArray[Any]]

_AXES = (
    "(samples, features), (samples, channels, times), (samples, channels, height, width) or "
    "(samples, times, channels, height, width)"
)
#: Sampling rates in hertz from which a signal is judged as EEG would be, and the shortest sample in seconds it has.
_EEG_LIKE, _SHORTEST = 50.0, 0.25
_ONE_LENGTH = "cut or pad them to one length, such as with Recordings.windows."


def check_modalities(X: Mapping[Any, Any], fitted: Mapping[str, tuple[int, ...]] | None, least: int) -> Arrays:
    """Arrays by modality: of one number of samples, finite but for samples that are absent (NaN throughout).

    Parameters
    ----------
    X : mapping
        Samples by modality.
    fitted : mapping or None
        Shape of a sample of each modality as it was fitted; modalities may then be left out.
    least : int
        Fewest samples.
    """
    if not X:
        raise InputError("X is an empty dict: every modality is missing.")
    for name in X:
        if not isinstance(name, str):
            raise InputError(f"modalities need names that are text, got {name!r}.")
    arrays = {name: _as_array(name, part) for name, part in X.items()}
    counts = {name: len(part) for name, part in arrays.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"the modalities of X differ in their number of samples: {counts}.")
    if next(iter(counts.values())) < least:
        raise InputError(f"X has {next(iter(counts.values()))} sample(s); at least {least} needed.")
    if fitted is not None:
        _check_fitted(arrays, fitted)
    gone = {name: absent_samples(part, f"X[{name!r}]") for name, part in arrays.items()}
    _check_any_present(gone, everything=fitted is None)
    # in the order of fitting, whatever the order of the dict
    return {name: arrays[name] for name in (arrays if fitted is None else fitted) if name in arrays}


def _as_array(name: str, part: Any) -> NDArray[Any]:
    try:
        array = np.asarray(part.detach() if isinstance(part, Tensor) else part)
    except ValueError as error:  # NumPy's way to say that lists differ in length
        raise InputError(f"X[{name!r}] holds samples of different shapes; {_ONE_LENGTH}") from error
    if array.dtype.kind == "O" and array.ndim == 1 and len({np.shape(sample) for sample in array}) > 1:
        raise InputError(f"X[{name!r}] holds samples of different shapes; {_ONE_LENGTH}")
    if array.dtype.kind not in "fiub":
        raise InputError(f"X[{name!r}] must hold real numbers in one array, got dtype {array.dtype}.")
    if not 2 <= array.ndim <= 5:
        raise InputError(f"X[{name!r}] has shape {array.shape}; expected {_AXES}.")
    if 0 in array.shape:
        raise InputError(f"X[{name!r}] is empty: shape {array.shape}; leave the key out if nobody has this modality.")
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def _check_fitted(arrays: Arrays, fitted: Mapping[str, tuple[int, ...]]) -> None:
    for name, part in arrays.items():
        if name not in fitted:
            raise InputError(f"X has the modality {name!r}, which was not fitted; {suggestion(name, fitted)}")
        shape, known = part.shape[1:], fitted[name]
        if shape == known:
            continue
        swapped = len(shape) == 2 and shape[::-1] == known
        advice = ": channels and times look swapped; use X.transpose(0, 2, 1)." if swapped else "."
        raise InputError(f"X[{name!r}] has samples of shape {shape}, but was fitted on {known}{advice}")


def refuse_swapped_axes(shape: tuple[int, ...], sfreq: float | None, name: str) -> None:
    """Refuse signals with more channels than samples that span less than a quarter of a second: no EEG is cut so."""
    if len(shape) != 3 or not sfreq or sfreq < _EEG_LIKE:
        return
    _, chans, times = shape
    if times < chans and times / sfreq < _SHORTEST:
        raise InputError(
            f"{name} has {chans} channels of {times} times ({times / sfreq:.3f} s at {sfreq:g} Hz): channels and times "
            "look swapped; expected (samples, channels, times)."
        )


def absent_samples(part: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Which samples are NaN throughout; raise if one is not finite in another way."""
    flat = part.reshape(len(part), -1)
    gone: NDArray[np.bool_] = np.isnan(flat).all(axis=1)
    rest = part if not gone.any() else np.where(gone.reshape(-1, *[1] * (part.ndim - 1)), 0.0, part)
    try:
        check_finite(rest, name)
    except InputError as error:
        raise InputError(f"{error} A sample that lacks the modality is NaN throughout.") from error
    return gone


def _check_any_present(gone: Mapping[str, NDArray[np.bool_]], everything: bool) -> None:
    """Refuse samples without any modality, and when fitting a modality without any sample."""
    nothing = np.all(list(gone.values()), axis=0)
    if nothing.any():
        raise InputError(f"sample {int(nothing.argmax())} has no modality: it is NaN throughout in {', '.join(gone)}.")
    for name, which in gone.items():
        if everything and which.all():
            raise InputError(f"X[{name!r}] is NaN throughout: no sample has this modality; leave it out.")


def sizes_of(arrays: Mapping[str, tuple[int, ...]], sfreq: Any) -> dict[str, dict[str, Any]]:
    """Sizes of each modality as the models take them, from the shape of a sample."""
    if isinstance(sfreq, Mapping):
        for name in sfreq:
            if name not in arrays:
                raise InputError(f"sfreq: there is no modality {name!r} in X; {suggestion(str(name), arrays)}")
    sizes: dict[str, dict[str, Any]] = {}
    for name, shape in arrays.items():
        rate = _several.rate_of(sfreq, name)
        if len(shape) == 1:
            sizes[name] = {"n_features": shape[0]}
        elif len(shape) == 2:
            sizes[name] = {"n_chans": shape[0], "n_times": shape[1], "sfreq": rate}
        elif len(shape) == 3:
            sizes[name] = {"in_chans": shape[0], "image_size": tuple(shape[1:])}
        else:
            frames = {"n_times": shape[0], "in_chans": shape[1], "image_size": tuple(shape[2:])}
            sizes[name] = {**frames, "sfreq": rate}
    return sizes


class ModalityScaler(TransformerMixin, BaseEstimator):
    """A `ChannelScaler` for each modality, fitted on the samples that have it.

    Parameters
    ----------
    method : str or dict of str
        As for `ChannelScaler`, for all modalities or by name; modalities not named are "standard".

    Attributes
    ----------
    scalers_ : dict of ChannelScaler
        Scaler of each modality.
    """

    def __init__(self, method: str | Mapping[str, str] = "standard") -> None:
        self.method = method

    def fit(self, X: Mapping[str, NDArray[Any]], y: Any = None) -> "ModalityScaler":  # noqa: ARG002
        """Learn centre and scale of every channel of each modality."""
        if isinstance(self.method, Mapping):
            for name in self.method:
                if name not in X:
                    raise InputError(f"scale: there is no modality {name!r} in X; {suggestion(str(name), X)}")
        self.scalers_ = {}
        for name, part in X.items():
            own = self.method.get(name, "standard") if isinstance(self.method, Mapping) else self.method
            present = part[~absent_samples(part, f"X[{name!r}]")]
            if not len(present):
                raise InputError(f"no sample of the inner training part has the modality {name!r}.")
            try:
                self.scalers_[name] = ChannelScaler(own).fit(_channels_second(present))
            except InputError as error:
                raise InputError(f"modality {name!r}: {error}") from error
        return self

    def transform(self, X: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Scaled copies, as float32; absent samples stay NaN."""
        return {
            name: _channels_second(self.scalers_[name].transform(_channels_second(part))) for name, part in X.items()
        }


def _channels_second(part: NDArray[Any]) -> NDArray[Any]:
    """Frames with times and channels in each other's place; anything else as it is."""
    return part.swapaxes(1, 2) if part.ndim == 5 else part
