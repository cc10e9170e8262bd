"""Simulated motor imagery: sources in a spherical head, mixed to electrodes by MNE's forward model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._validation import check_number
from spikeneuro.data.from_mne import places_of
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import InputError

Array = NDArray[Any]

_MICRO = 1e-6
_CLASSES = ("left_hand", "right_hand")
#: Distance of cortical dipoles from the centre of the head, as part of its radius.
_DEPTH = 0.78


def simulate_motor_imagery(
    n_subjects: int = 8,
    n_trials: int = 40,
    *,
    sfreq: float = 128.0,
    duration: float = 2.0,
    montage: str = "biosemi32",
    n_runs: int = 2,
    desynchronisation: float = 0.6,
    rhythm_uv: float = 7.0,
    background_uv: float = 8.0,
    blink_rate: float = 0.15,
    noise_uv: float = 1.5,
    random_state: int = 0,
) -> Recordings:
    """Simulate imagined left- and right-hand movement of several subjects, as EEG in volts.

    Each subject has a dipole in the left and in the right hand area with a mu (about 10 Hz) and a beta (about 20 Hz)
    rhythm, an occipital alpha rhythm, background dipoles all over the cortex with a 1/f spectrum, and blinks. From
    about 0.4 s after the cue, the rhythms of the side *opposite* to the imagined hand weaken by ``1 - d`` and those of
    the same side grow slightly (event-related desynchronisation), where ``d`` varies from trial to trial. Subjects
    differ in ``d``, in amplitudes, frequencies, places and orientations of the dipoles. The electrodes see the sources
    through the four-shell spherical head model of MNE; amplitudes are those at the electrode that sees a source best.

    Parameters
    ----------
    n_subjects, n_trials : int
        Subjects, and trials of each (half per class).
    sfreq : float
        Sampling rate in hertz, at least 64.
    duration : float
        Seconds per trial; the cue is at its start.
    montage : str
        Name of a standard montage of MNE; it must have C3 and C4.
    n_runs : int
        Runs per subject; the gain drifts between them.
    desynchronisation : float
        Mean of ``d`` over subjects, in [0, 0.9]; 0 leaves nothing to learn.
    rhythm_uv, background_uv : float
        Root-mean-square amplitude of the sensorimotor rhythms, and of the whole background, in microvolts.
    blink_rate : float
        Blinks per second.
    noise_uv : float
        Root-mean-square amplitude of the white noise of each electrode, in microvolts.
    random_state : int
        Seed; subject k is the same whatever the number of subjects.

    Returns
    -------
    Recordings
        ``(n_subjects * n_trials, channels, times)`` with columns ``subject, session, run, trial``, ``simulated=True``.

    Raises
    ------
    InputError
        If a number is out of range or the montage is unknown.

    References
    ----------
    Pfurtscheller and Lopes da Silva, "Event-related EEG/MEG synchronization and desynchronization: basic principles",
    Clinical Neurophysiology 110(11), 1999, doi:10.1016/S1388-2457(99)00141-8. Berg and Scherg, "A fast method for
    forward computation of multiple-shell spherical head models", Electroencephalography and Clinical Neurophysiology
    90(1), 1994.

    Examples
    --------
    >>> simulate_motor_imagery(2, 4)
    Recordings(eeg, 8 samples x 32 channels x 256 times at 128 Hz; classification: left_hand 4, right_hand 4; \
2 subjects; 1 session; 2 runs; simulated)
    """
    for name, count in (("n_subjects", n_subjects), ("n_trials", n_trials), ("n_runs", n_runs)):
        check_number(count, name, low=1, integer=True)
    check_number(sfreq, "sfreq", low=64)
    check_number(duration, "duration", low=0.5)
    check_number(desynchronisation, "desynchronisation", low=0, high=0.9)
    for name, value in (("rhythm_uv", rhythm_uv), ("background_uv", background_uv), ("noise_uv", noise_uv)):
        check_number(value, name, low=0)
    check_number(blink_rate, "blink_rate", low=0, high=2)
    head = _Head.build(montage, sfreq)
    n_times = round(duration * sfreq)
    strengths = _Strengths(desynchronisation, rhythm_uv, background_uv, blink_rate, noise_uv)
    children = np.random.SeedSequence(random_state).spawn(n_subjects)
    X, y, rows = [], [], []
    for number, child in enumerate(children, start=1):
        rng = np.random.default_rng(child)
        labels = rng.permutation(np.arange(n_trials) % 2)
        run = np.arange(n_trials) * n_runs // n_trials
        X.append(_subject(head, strengths, labels, run, n_times, sfreq, rng))
        y.append(labels)
        rows.append(
            pd.DataFrame({"subject": f"S{number:02d}", "session": "1", "run": run + 1, "trial": range(n_trials)})
        )
    return Recordings(
        np.concatenate(X),
        np.concatenate(y),
        pd.concat(rows, ignore_index=True),
        sfreq,
        head.info["ch_names"],
        positions=places_of(head.info),
        label_names=_CLASSES,
        simulated=True,
        description="simulated motor imagery, four-shell spherical head",
    )


@dataclass(frozen=True)
class _Strengths:
    desynchronisation: float
    rhythm_uv: float
    background_uv: float
    blink_rate: float
    noise_uv: float


@dataclass(frozen=True)
class _Head:
    """Electrodes on a spherical head, and the free-orientation gain of a grid of cortical places."""

    info: Any
    centre: Array
    radius: float
    places: Array
    gain: Array  # (channels, places, 3)

    @staticmethod
    def build(montage: str, sfreq: float) -> "_Head":
        import mne

        known = mne.channels.get_builtin_montages()
        if montage not in known:
            raise InputError(f"montage {montage!r} is unknown to MNE; one of {', '.join(known[:6])}, ...")
        positions = mne.channels.make_standard_montage(montage)
        if not {"C3", "C4"} <= set(positions.ch_names):
            raise InputError(f"montage {montage!r} has no C3 and C4, over which the simulated rhythms lie.")
        info = mne.create_info(positions.ch_names, sfreq, "eeg")
        info.set_montage(positions, verbose="ERROR")
        sphere = mne.make_sphere_model("auto", "auto", info, verbose="ERROR")
        centre = np.asarray(sphere["r0"])
        radius = float(sphere["layers"][-1]["rad"])
        places = centre + _DEPTH * radius * _upper_sphere(400)
        normals = (places - centre) / np.linalg.norm(places - centre, axis=1, keepdims=True)
        source = mne.setup_volume_source_space(pos={"rr": places, "nn": normals}, verbose="ERROR")
        forward = mne.make_forward_solution(info, None, source, sphere, meg=False, mindist=0.0, verbose="ERROR")
        gain = forward["sol"]["data"].reshape(len(info["ch_names"]), len(places), 3)
        return _Head(info, centre, radius, places, gain)

    def near(self, channel: str, spread: float, rng: np.random.Generator) -> int:
        """Place below an electrode, moved at random by about `spread` metres."""
        electrode = self.info["chs"][self.info["ch_names"].index(channel)]["loc"][:3] - self.centre
        target = electrode / np.linalg.norm(electrode) * _DEPTH * self.radius + rng.normal(0, spread, 3)
        return int(np.argmin(np.linalg.norm(self.places - self.centre - target, axis=1)))

    def topography(self, place: int, tilt: float, rng: np.random.Generator) -> Array:
        """Potential of a dipole, radial but for a random tilt, scaled to 1 at the electrode that sees it best."""
        normal = (self.places[place] - self.centre) / np.linalg.norm(self.places[place] - self.centre)
        direction = normal + rng.normal(0, tilt, 3)
        field = self.gain[:, place] @ (direction / np.linalg.norm(direction))
        field = field - field.mean()  # average reference
        return np.asarray(field / np.abs(field).max())


def _upper_sphere(n: int) -> Array:
    """Points spread evenly (golden spiral) over the part of the unit sphere that cortex covers."""
    z = np.linspace(0.999, -0.25, n)
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    return np.column_stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])


def _subject(
    head: _Head, strengths: _Strengths, labels: Array, run: Array, n_times: int, sfreq: float, rng: np.random.Generator
) -> Array:
    """Trials of one subject in volts, ``(trials, channels, times)``."""
    n_trials = len(labels)
    depth = np.clip(strengths.desynchronisation * rng.normal(1.0, 0.2), 0.0, 0.95)
    ramp = 1.0 / (1.0 + np.exp(-(np.arange(n_times) / sfreq - 0.4) / 0.08))
    X = np.zeros((n_trials, len(head.info["ch_names"]), n_times))
    mu, beta = rng.normal(10.5, 0.9), rng.normal(20.5, 1.8)
    for side, channel in enumerate(("C3", "C4")):
        field = head.topography(head.near(channel, 0.007, rng), 0.35, rng)
        # C3 lies over the left hemisphere, which moves the right hand (class 1).
        opposite = (labels == 1) if side == 0 else (labels == 0)
        drop = np.clip(depth + rng.normal(0, 0.2, n_trials), -0.3, 0.95)
        change = np.where(opposite, -drop, 0.25 * drop)
        envelope = 1.0 + change[:, None] * ramp
        level = strengths.rhythm_uv * np.exp(rng.normal(0, 0.3)) * np.exp(rng.normal(0, 0.25, (n_trials, 1)))
        wave = _rhythm(mu, 1.2, (n_trials, n_times), sfreq, rng) + 0.5 * _rhythm(
            beta, 2.5, (n_trials, n_times), sfreq, rng
        )
        X += (level * envelope * wave)[:, None, :] * field[:, None]
    X += _background(head, strengths.background_uv, n_trials, n_times, sfreq, rng)
    blinks = _blinks(strengths.blink_rate, n_trials, n_times, sfreq, rng)
    X += blinks[:, None, :] * _blink_field(head)[:, None]
    X *= np.exp(rng.normal(0, 0.1, run.max() + 1))[run][:, None, None]
    X += rng.normal(0, strengths.noise_uv, X.shape)
    return X * _MICRO


def _background(
    head: _Head, level: float, n_trials: int, n_times: int, sfreq: float, rng: np.random.Generator
) -> Array:
    """Cortical 1/f activity and occipital alpha as the electrodes see them, in microvolts."""
    places = rng.choice(len(head.places), 40, replace=False)
    mixing = np.stack([head.topography(int(place), 0.6, rng) for place in places], axis=1)
    waves = _spectral_noise(np.maximum(_frequencies(n_times, sfreq), 1.0) ** -0.5, (n_trials, 40, n_times), rng)
    mixed = np.einsum("cs,nst->nct", mixing, waves)
    mixed *= level / mixed.std()
    alpha = rng.normal(10.0, 0.8)
    for channel in ("O1", "O2"):
        if channel in head.info["ch_names"]:
            field = head.topography(head.near(channel, 0.01, rng), 0.35, rng)
            wave = _rhythm(alpha, 1.0, (n_trials, n_times), sfreq, rng)
            mixed += 0.7 * level * np.exp(rng.normal(0, 0.3)) * wave[:, None, :] * field[:, None]
    return np.asarray(mixed)


def _frequencies(n_times: int, sfreq: float) -> Array:
    return np.fft.rfftfreq(n_times, 1.0 / sfreq)


def _rhythm(centre: float, width: float, shape: tuple[int, ...], sfreq: float, rng: np.random.Generator) -> Array:
    """Narrow-band noise of unit root mean square: a rhythm that waxes and wanes."""
    frequencies = _frequencies(shape[-1], sfreq)
    return _spectral_noise(np.exp(-0.5 * ((frequencies - centre) / width) ** 2), shape, rng)


def _spectral_noise(amplitude: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Gaussian noise with this amplitude spectrum and unit expected root mean square."""
    amplitude = amplitude.copy()
    amplitude[0] = 0.0
    spectrum = rng.normal(size=(*shape[:-1], len(amplitude), 2)) @ np.array([1.0, 1j])
    waves = np.fft.irfft(spectrum * amplitude, shape[-1], axis=-1)
    # Parseval: the variance that the spectrum gives in expectation.
    return np.asarray(waves / np.sqrt(4 * np.sum(amplitude**2)) * shape[-1])


def _blink_field(head: _Head) -> Array:
    """Topography of a blink: both eyes, whose potential falls off with distance from the front of the head."""
    front = [name for name in ("Fp1", "Fpz", "Fp2") if name in head.info["ch_names"]]
    electrodes = np.array([channel["loc"][:3] for channel in head.info["chs"]])
    if not front:
        return np.zeros(len(electrodes))
    eyes = electrodes[[head.info["ch_names"].index(name) for name in front]]
    distance = np.linalg.norm(electrodes[:, None] - eyes, axis=2).min(axis=1)
    return np.asarray(np.exp(-distance / 0.03))


def _blinks(rate: float, n_trials: int, n_times: int, sfreq: float, rng: np.random.Generator) -> Array:
    """Blinks of about 0.3 s and 100 microvolts at random times."""
    time = np.arange(n_times) / sfreq
    result = np.zeros((n_trials, n_times))
    for trial, count in enumerate(rng.poisson(rate * n_times / sfreq, n_trials)):
        for centre in rng.uniform(0, time[-1], count):
            result[trial] += rng.normal(100.0, 20.0) * np.exp(-0.5 * ((time - centre) / 0.07) ** 2)
    return result
