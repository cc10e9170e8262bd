"""A simulated task of two modalities that neither solves alone: one says where to look, the other when it happened."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro._validation import check_choice, check_number
from spikeneuro.data.recordings import Recordings

Array = NDArray[Any]

#: Rates in hertz of the signal that says when, and of the one that says where.
_RATES = (100.0, 50.0)
_BURST = 20.0  # hertz


def simulate_where_when(
    n_samples: int = 400,
    n_places: int = 2,
    *,
    kind: str = "signal",
    duration: float = 0.8,
    noise: float = 0.5,
    n_subjects: int = 10,
    random_state: int = 0,
) -> Recordings:
    r"""Simulate samples of two modalities, "where" and "when", whose class only both together tell.

    The modality "when" has K places, in each of which a burst occurs at another of K times: which place bursts at which
    time is a random permutation :math:`\pi`. The modality "where" marks one place k. The class is the time of the burst
    at the marked place,

    .. math:: y = \pi(k).

    All pairs of place and class are equally frequent, and all bursts are there in every sample, so that the class is
    independent of each modality alone: the best that can be done with one is 1 / K. Attention in space, from "where" to
    "when", solves it.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    n_places : int
        K, places and times and classes, 2 to 9.
    kind : {"signal", "image"}
        What "where" is: a signal of K channels at 50 Hz, one of which oscillates throughout; or an image of 12 x 12
        pixels with a bright square at one of K places. "when" is a signal of K channels at 100 Hz.
    duration : float
        Length of the signals in seconds, at least 0.05 K.
    noise : float
        Standard deviation of the white noise; bursts and marks have amplitude 1 to 1.4.
    n_subjects : int
        People among whom the samples are divided, so that splits by person can be made; they do not differ.
    random_state : int
        Seed.

    Returns
    -------
    Recordings
        ``X = {"where": ..., "when": ...}``, classes by time, columns ``subject, place``, ``simulated=True``.

    Raises
    ------
    InputError
        If a number is out of range or `kind` is unknown.

    Examples
    --------
    >>> simulate_where_when(20).X["when"].shape
    (20, 2, 80)
    """
    check_number(n_places, "n_places", low=2, high=9, integer=True)
    check_number(n_samples, "n_samples", low=n_places, integer=True)
    check_number(n_subjects, "n_subjects", low=1, high=n_samples, integer=True)
    check_number(duration, "duration", low=0.05 * n_places)
    check_number(noise, "noise", low=0.0)
    check_choice(kind, ("signal", "image"), "kind")
    rng = np.random.default_rng(random_state)
    place, time = np.divmod(rng.permutation(n_samples) % n_places**2, n_places)
    times = _permutations(place, time, n_places, rng)
    when = _bursts(times, duration, rng)
    where = _oscillation(place, n_places, duration, rng) if kind == "signal" else _square(place, n_places, rng)
    X = {name: x + noise * rng.normal(size=x.shape) for name, x in (("where", where), ("when", when))}
    return Recordings(
        {name: x.astype(np.float32) for name, x in X.items()},
        time,
        {"subject": [f"P{i % n_subjects}" for i in range(n_samples)], "place": place},
        {"where": _RATES[1] if kind == "signal" else None, "when": _RATES[0]},
        modality={"where": kind, "when": "signal"},
        label_names=[f"time {k}" for k in range(n_places)],
        simulated=True,
        description="simulated: the time of the event at the place that the other modality marks",
    )


def _permutations(place: Array, time: Array, n_places: int, rng: np.random.Generator) -> Array:
    """Time of the burst at each place, (samples, places): at random, but `time` at `place`."""
    times = np.argsort(rng.random((len(place), n_places)), axis=1)
    rows = np.arange(len(place))
    other = np.argmax(times == time[:, None], axis=1)  # the place that has this time exchanges it
    times[rows, other] = times[rows, place]
    times[rows, place] = time
    return times


def _clock(duration: float, rate: float) -> Array:
    return np.arange(round(duration * rate)) / rate


def _bursts(times: Array, duration: float, rng: np.random.Generator) -> Array:
    """(samples, places, times): a short oscillation of random phase in the slot of each place."""
    n_samples, n_places = times.shape
    slot = duration / n_places
    clock = _clock(duration, _RATES[0])
    centre = (times + rng.uniform(0.4, 0.6, size=times.shape)) * slot
    envelope = np.exp(-0.5 * ((clock - centre[..., None]) / (slot / 6)) ** 2)
    phase = rng.uniform(0, 2 * np.pi, size=(n_samples, n_places, 1))
    amplitude = rng.uniform(1.0, 1.4, size=(n_samples, n_places, 1))
    return 2 * amplitude * envelope * np.sin(2 * np.pi * _BURST * clock + phase)


def _oscillation(place: Array, n_places: int, duration: float, rng: np.random.Generator) -> Array:
    """(samples, places, times): one channel oscillates throughout."""
    clock = _clock(duration, _RATES[1])
    phase = rng.uniform(0, 2 * np.pi, size=(len(place), 1))
    marked = np.zeros((len(place), n_places, len(clock)))
    marked[np.arange(len(place)), place] = rng.uniform(1.0, 1.4, size=(len(place), 1)) * np.sin(
        2 * np.pi * 8.0 * clock + phase
    )
    return marked


def _square(place: Array, n_places: int, rng: np.random.Generator) -> Array:
    """(samples, 1, 12, 12): a bright square of 4 x 4 pixels at one of nine places."""
    images = np.zeros((len(place), 1, 12, 12))
    # places spread over the grid of nine, so that a few lie apart
    cells = np.linspace(0, 8, n_places).round().astype(int)[place]
    brightness = rng.uniform(1.0, 1.4, size=len(place))
    for image, cell, bright in zip(images, cells, brightness, strict=True):
        row, column = divmod(int(cell), 3)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 2 * bright
    return images
