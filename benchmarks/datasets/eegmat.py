"""Rest against mental arithmetic: 19-channel EEG of 30 people, with their ECG on request (PhysioNet eegmat).

Zyma et al. (2019), Data 4(1):14, doi:10.3390/data4010014. 125 Hz, already filtered to 0.5-45 Hz. Every record ends in
a second of padding with edge artefacts before it, so its last 2 s are left out.
"""

from collections.abc import Sequence
from dataclasses import replace

import mne
import numpy as np
import pandas as pd

from spikeneuro._files import read_arrays, read_table
from spikeneuro.data import Recordings, data_root
from spikeneuro.data.preprocess import Preprocessing
from spikeneuro.data.recordings import PER_PART
from spikeneuro.errors import InputError

SUBJECTS = range(30)
MINUTE, TAIL = 60.0, 2.0  # seconds used of each record, and left out at its end
MICROVOLT = 1e-6
N_EEG = 19  # the other two are an ear reference and the ECG
MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}  # names of these places in newer montages


def load(
    subjects: Sequence[int] | None = None,
    window: float | None = 4.0,
    step: float | None = None,
    resample: float | None = None,
    ecg: bool = False,
) -> Recordings:
    """Rest against mental arithmetic, 19-channel EEG in volts, one minute of each per person.

    The rest minute is the last one before the task. With 4 s windows and no overlap a person gives 15 of each class.

    Parameters
    ----------
    subjects : sequence of int, optional
        Numbers 0 to 29; by default all.
    window, step : float, optional
        Length of the windows and distance of their starts in seconds; None for `window` keeps the whole minutes.
    resample : float, optional
        New sampling rate in hertz.
    ecg : bool
        Give two modalities, "eeg" and "ecg" (one channel, recorded with the EEG), instead of the EEG alone.
    """
    chosen = list(SUBJECTS) if subjects is None else list(subjects)
    people = read_table(data_root("eeg", "eegmat", "subject-info.csv"), ("Subject", "Age", "Count quality")).set_index(
        "Subject"
    )
    segments, hearts, labels, rows = [], [], [], []
    for number in chosen:
        if number not in SUBJECTS:
            raise InputError(f"subjects: there is no subject {number!r}; choose from 0 to {SUBJECTS[-1]}.")
        arrays = read_arrays(data_root("eeg", "eegmat", f"subject{number:02d}.npz"))
        sfreq = float(arrays["sfreq"])
        person = people.loc[f"Subject{number:02d}"]
        names = [str(name) for name in arrays["ch_names"][:N_EEG]]
        for label, condition in enumerate(("rest", "task")):
            volts = arrays[condition] * (arrays[f"{condition}_scale_uV"][:, np.newaxis].astype(float) * MICROVOLT)
            # The task starts at 0 and lasts a minute; of the rest, the minute just before the padding is taken.
            end = volts.shape[1] - round(TAIL * sfreq) if condition == "rest" else round(MINUTE * sfreq)
            start = end - round(MINUTE * sfreq)
            segments.append(volts[:N_EEG, start:end])
            hearts.append(volts[[_ecg_channel(arrays["ch_names"])], start:end] if ecg else None)
            labels.append(label)
            rows.append(
                {
                    "subject": f"S{number:02d}",
                    "run": label + 1,
                    "onset": start / sfreq,
                    "age": int(person["Age"]),
                    "good_counter": int(person["Count quality"]),
                }
            )
    recordings = Recordings(
        np.stack(segments),
        labels,
        pd.DataFrame(rows),
        sfreq,
        names,
        positions=_positions(names),
        label_names=("rest", "arithmetic"),
        description="PhysioNet eegmat, rest and serial subtraction (Zyma et al. 2019), ODC-By 1.0",
    )
    heart = replace(recordings, X=np.stack(hearts), names=["ECG"], modality="ecg", positions=None) if ecg else None
    if resample is not None:
        conditioning = Preprocessing(resample=resample)
        recordings = conditioning.apply_recordings(recordings)
        heart = None if heart is None else conditioning.apply_recordings(heart)
    if heart is not None:
        both = {"eeg": recordings, "ecg": heart}
        parts = {field: {key: getattr(part, field) for key, part in both.items()} for field in PER_PART}
        recordings = replace(recordings, **parts)
    return recordings if window is None else recordings.windows(window, step)


def _ecg_channel(names: Sequence[str]) -> int:
    found = [i for i, name in enumerate(names) if "ECG" in str(name).upper()]
    if len(found) != 1:
        raise InputError(f"one ECG channel was expected among {', '.join(map(str, names))}, found {len(found)}.")
    return found[0]


def _positions(names: list[str]) -> np.ndarray:
    places = mne.channels.make_standard_montage("easycap-M1").get_positions()["ch_pos"]
    return np.array([places[MODERN.get(name, name)] for name in names])
