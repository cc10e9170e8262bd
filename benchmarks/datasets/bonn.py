"""Five states of the Bonn epilepsy recordings: 500 single-channel segments of 23.6 s.

Andrzejak et al. (2001), Phys. Rev. E 64:061907, doi:10.1103/PhysRevE.64.061907. 173.61 Hz. The segments come from
ten people, but not saying which from whom: a split by segment is not one by person.
"""

import numpy as np
import pandas as pd

from spikeneuro._files import read_arrays
from spikeneuro._validation import check_number
from spikeneuro.data import Recordings, data_root
from spikeneuro.errors import InputError

SETS = {
    "A": "healthy, eyes open",
    "B": "healthy, eyes closed",
    "C": "interictal, away from focus",
    "D": "interictal, at focus",
    "E": "seizure",
}
MICROVOLT = 1e-6  # the files hold integers, commonly taken as microvolts


def load(sets: str = "ABCDE", per_set: int = 100, window: float | None = None, step: float | None = None) -> Recordings:
    """Seizure, interictal and healthy EEG, 1 channel in volts.

    Parameters
    ----------
    sets : str
        Letters of the sets, in the order of the classes.
    per_set : int
        Segments of each set, the first ones.
    window, step : float, optional
        Cut the segments into windows, in seconds.
    """
    unknown = [letter for letter in sets if letter not in SETS]
    if unknown or len(set(sets)) < max(2, len(sets)):
        raise InputError(f"sets={sets!r} must be at least two different letters of {''.join(SETS)}.")
    check_number(per_set, "per_set", low=2, high=100, integer=True)
    arrays = read_arrays(data_root("eeg", "bonn", "bonn_epilepsy_int16.npz"))
    letters = np.array([str(arrays["set_names"][k]) for k in arrays["y"]])
    rows = np.concatenate([np.flatnonzero(letters == letter)[:per_set] for letter in sets])
    recordings = Recordings(
        arrays["X"][rows, np.newaxis] * MICROVOLT,
        [sets.index(letter) for letter in letters[rows]],
        pd.DataFrame({"segment": [str(name).removesuffix(".txt") for name in arrays["files"][rows]]}),
        float(arrays["sfreq"]),
        ["EEG"],
        label_names=[SETS[letter] for letter in sets],
        description="Bonn epilepsy EEG (Andrzejak et al. 2001); segments without person",
    )
    return recordings if window is None else recordings.windows(window, step)
