"""NeuCube as a pipeline: the samples are checked, then `spikeneuro.reservoir.NeuCube` does the rest."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import Tags

from spikeneuro import encoders
from spikeneuro._validation import check_choice, check_number, suggestion
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import InputCheck, as_signals
from spikeneuro.reservoir import DeSNN, DeSNNRegressor, NeuCube, electrode_positions
from spikeneuro.reservoir.coordinates import TEMPLATE
from spikeneuro.reservoir.liquid import default_readout

READOUTS = ("desnn", "linear")
_MILLIMETRES = 1000.0  # a metre has
#: What a recording must be for its channel names to be electrodes.
_ELECTRODES = "eeg"


def build_neucube(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    positions: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    channel_names: Sequence[str] | None = None,
    channel_positions: ArrayLike | None = None,
    modality: str | None = None,
    neurons: str | ArrayLike | None = None,
    encoder: Any = None,
    readout: Any = None,
    interpolate: int = 1,
    task: str = "classification",
    random_state: Any = None,
    **hyperparameters: Any,
) -> Pipeline:
    """NeuCube with a deSNN readout, or a linear one.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; those that are given are checked.
    sfreq : optional
        Not used: leak and refractory period count in steps.
    positions : array_like, shape (n_chans, 3), optional
        Places of the channels in the space and unit of the neurons (MNI millimetres for those in the brain), see
        `spikeneuro.reservoir.roi_positions` and `spikeneuro.reservoir.bundled_positions`.
    names : sequence of str, optional
        Electrodes, instead of `positions`.
    channel_names : sequence of str, optional
        Names of the channels as the recordings have them, used where neither `positions` nor `names` are given and the
        recordings are EEG: electrodes, whose places are looked up. A suite fills in this one and the next two.
    channel_positions : array_like, shape (n_chans, 3), optional
        Places of the channels in metres as the recordings have them, used where neither `positions` nor `names` are
        given and the recordings are no EEG (whose positions are on the scalp): centres of regions or voxels.
    modality : str, optional
        That of the recordings: with it, recordings without places are refused here; without it, by `fit`.
    neurons : {"brain", "box", "channels"} or array_like, optional
        As `NeuCube` has it; "brain" for electrodes. For regions and voxels it must be said, as positions do not tell
        whether an image is in MNI space ("brain") or in another ("channels" or "box").
    encoder : str, Encoder, "spikes" or mapping, optional
        As `NeuCube` has it; a mapping holds the ``name`` of an encoder and its parameters.
    readout : {"desnn", "linear"}, mapping or scikit-learn estimator, optional
        deSNN with dense ranks by default; "linear" is logistic regression or ridge regression of standardised firing
        rates. A mapping holds ``name: desnn`` and parameters of `spikeneuro.reservoir.DeSNN`.
    interpolate : int, default 1
        Steps a sample of the signal, on straight lines between samples: for signals of few samples, such as volumes.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : int, RandomState or None
        Draws the connections.
    **hyperparameters
        Others of `spikeneuro.reservoir.NeuCube`.

    Returns
    -------
    sklearn.pipeline.Pipeline

    Raises
    ------
    InputError
        For unknown parameters, and recordings of which no places are known: there is none that a channel could be
        given by default.

    References
    ----------
    Kasabov (2014), Neural Netw. 52:62-76, doi:10.1016/j.neunet.2014.01.006.

    Examples
    --------
    >>> build_neucube(2, 100, 2, names=["C3", "C4"], rounds=2)[-1].rounds
    2
    >>> build_neucube(2, 100, 2, channel_names=["C3", "C4"], modality="eeg", readout="linear")[-1].names
    ['C3', 'C4']
    """
    check_choice(task, ("classification", "regression"), "task")
    known = inspect.signature(NeuCube).parameters
    for given in hyperparameters:
        if given not in known:
            raise InputError(f"model 'neucube' has no parameter {given!r}; {suggestion(given, known)}")
    check_number(interpolate, "interpolate", low=1, integer=True)
    if positions is None and names is None:
        montage = hyperparameters.get("montage", TEMPLATE)
        names, positions = _places(channel_names, channel_positions, modality, neurons, montage)
    check = InputCheck(task, n_chans=n_chans, n_times=n_times, n_outputs=n_outputs)
    cube = NeuCube(
        positions, names=names, neurons="brain" if neurons is None else neurons, encoder=_encoder(encoder),
        readout=_readout(readout, task), task=task, random_state=random_state, **hyperparameters,
    )  # fmt: skip
    return make_pipeline(check, cube) if interpolate == 1 else make_pipeline(check, Interpolation(interpolate), cube)


class Interpolation(TransformerMixin, BaseEstimator):
    """Signals with steps on straight lines between their samples, ``(n, channels, (times - 1) * steps + 1)``.

    Parameters
    ----------
    steps : int, default 2
        Steps a sample.

    Examples
    --------
    >>> Interpolation(2).fit_transform(np.array([[[0.0, 2.0, 1.0]]])).tolist()
    [[[0.0, 1.0, 2.0, 1.5, 1.0]]]
    """

    def __init__(self, steps: int = 2) -> None:
        self.steps = steps

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Nothing is learned."""
        check_number(self.steps, "steps", low=1, integer=True)
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Signals ``(n, channels, times)`` with more steps."""
        signals = as_signals(X)
        last = signals.shape[-1] - 1
        place = np.arange(last * self.steps + 1) / self.steps
        left = np.minimum(place.astype(np.intp), max(last - 1, 0))
        right = np.minimum(left + 1, last)
        share = (place - left).astype(signals.dtype)
        return np.asarray(signals[..., left] * (1 - share) + signals[..., right] * share)

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions, and nothing to fit."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags


def _places(names: Any, positions: Any, modality: str | None, neurons: Any, montage: str) -> tuple[Any, Any]:
    """Electrodes or millimetres of recordings, where they tell."""
    if modality is None:
        return None, None
    if modality == _ELECTRODES:
        if not names:
            raise InputError("the EEG has no channel names; name its electrodes (names=), which have places.")
        electrode_positions(list(names), montage, project=False)  # refuses unknown ones now, and not in every fit
        return list(names), None
    if positions is None or not np.isfinite(np.asarray(positions, dtype=np.float64)).all():
        raise InputError(
            f"the places of the {modality} channels are not known to the recordings; give positions= in the space of "
            "the neurons, from the atlas image the signals were taken with (spikeneuro.reservoir.roi_positions)."
        )
    if neurons is None:
        raise InputError(
            f"positions of {modality} channels do not tell their space: say neurons='brain' if it is MNI, 'channels' "
            "(with n_inputs) or 'box' if it is another."
        )
    return None, _MILLIMETRES * np.asarray(positions, dtype=np.float64)


def _encoder(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    return encoders.create(**_named(given, "encoder"))


def _readout(given: Any, task: str) -> Any:
    classifies = task == "classification"
    if isinstance(given, Mapping):
        parameters = _named(given, "readout")
        check_choice(parameters.pop("name"), ("desnn",), "readout")
        kind = DeSNN if classifies else DeSNNRegressor
        known = inspect.signature(kind).parameters
        for name in parameters:
            if name not in known:
                raise InputError(f"readout 'desnn' has no parameter {name!r}; {suggestion(name, known)}")
        return kind(**{"ties": "dense", **parameters})
    if not isinstance(given, str):
        return given
    check_choice(given, READOUTS, "readout")
    return default_readout(classifies=classifies) if given == "linear" else None


def _named(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    if "name" not in given:
        raise InputError(f"{what} as a mapping needs its name, got {dict(given)!r}.")
    return dict(given)
