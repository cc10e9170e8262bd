"""Motor imagery through MOABB, which downloads what is not on disk: PhysionetMI, BNCI2014_001 and their like.

Jayaram and Barachant (2018), J. Neural Eng. 15:066011, doi:10.1088/1741-2552/aadea0.
"""

from collections.abc import Sequence

from spikeneuro._optional import require
from spikeneuro.data import Recordings, from_moabb


def load(
    dataset: str,
    subjects: Sequence[int] | None = None,
    band: tuple[float, float] = (8.0, 30.0),
    tmin: float = 0.5,
    tmax: float | None = 3.5,
    resample: float | None = None,
    classes: Sequence[str] = ("left_hand", "right_hand"),
) -> Recordings:
    """Imagery of these classes as EEG in volts.

    Parameters
    ----------
    dataset : str
        Name of a MOABB data set.
    subjects : sequence of int, optional
        Subjects to read; all when not given.
    band : (float, float)
        Pass band in hertz.
    tmin, tmax : float
        Beginning and end of a trial in seconds after the cue; None ends it where the data set says.
    resample : float, optional
        New sampling frequency in hertz.
    classes : sequence of str
        Names of MOABB's events.
    """
    paradigms = require("moabb.paradigms", "eeg")
    paradigm = paradigms.MotorImagery(
        n_classes=len(classes),
        events=list(classes),
        fmin=band[0],
        fmax=band[1],
        tmin=tmin,
        tmax=tmax,
        resample=resample,
    )
    return from_moabb(dataset, paradigm, subjects=subjects)
