"""Which of three flickering lights is looked at: 8-channel EEG of 9 people (Kalunga et al., SSVEP exoskeleton).

Kalunga et al. (2016), Neurocomputing 191:55-68, doi:10.1016/j.neucom.2016.01.007. 256 Hz; lights at 13, 17 and 21 Hz
flicker for 5 s after the event.
"""

from collections.abc import Sequence

import mne
import numpy as np

from spikeneuro._files import read_arrays
from spikeneuro.data import Recordings, data_root
from spikeneuro.data.from_mne import from_mne
from spikeneuro.data.preprocess import Preprocessing
from spikeneuro.errors import InputError

SUBJECTS = range(1, 10)
#: Classes in rising order of frequency; the files number 21 Hz before 17 Hz.
CODES = {"13 Hz": 2, "17 Hz": 4, "21 Hz": 3}
REST = {"rest": 1}
MICROVOLT = 1e-6


def load(
    subjects: Sequence[int] | None = None,
    tmin: float = 2.0,
    tmax: float = 6.0,
    band: Sequence[float] | None = (4.0, 45.0),
    resample: float | None = None,
    rest: bool = False,
    excluded: bool = False,
) -> Recordings:
    """Steady-state potentials at 13, 17 and 21 Hz, 8 occipital channels in volts.

    Parameters
    ----------
    subjects : sequence of int, optional
        Numbers 1 to 9; by default all.
    tmin, tmax : float
        Epoch in seconds after the event. Eleven sessions end 5.6 to 6 s after their last event (always of 13 Hz), which
        is left out with the default; ``tmax=5.5`` keeps every trial.
    band : (low, high), optional
        Band-pass in hertz, applied to the continuous sessions.
    resample : float, optional
        New sampling rate in hertz.
    rest : bool
        Add the class without a flickering light.
    excluded : bool
        Add the sessions that the authors left out.
    """
    raws, events, columns = [], [], []
    for number in list(SUBJECTS) if subjects is None else subjects:
        if number not in SUBJECTS:
            raise InputError(f"subjects: there is no subject {number!r}; choose from 1 to {SUBJECTS[-1]}.")
        arrays = read_arrays(data_root("eeg", "ssvep_exo", f"subject{number:02d}.npz"))
        for k, session in enumerate(arrays["sessions"]):
            if arrays["excluded_by_authors"][k] and not excluded:
                continue
            raws.append(_raw(arrays, k))
            samples, codes = arrays[f"ev_sample{k}"].astype(int), arrays[f"ev_code{k}"].astype(int)
            events.append(np.stack([samples, np.zeros_like(samples), codes], axis=1))
            columns.append({"subject": f"S{number:02d}", "session": str(session)})
    low, high = (None, None) if band is None else band
    return from_mne(
        raws,
        event_id=CODES | REST if rest else CODES,
        events=events,
        tmin=tmin,
        tmax=tmax,
        preprocessing=Preprocessing(low=low, high=high, resample=resample),
        metadata=columns,
        description="SSVEP exoskeleton (Kalunga et al. 2016), CC0 1.0",
    )


def _raw(arrays: dict[str, np.ndarray], k: int) -> mne.io.RawArray:
    """Session `k` as an MNE recording."""
    names = [str(name) for name in arrays["ch_names"]]
    info = mne.create_info(names, float(arrays["sfreq"]), "eeg")
    raw = mne.io.RawArray(
        arrays[f"x{k}"] * (arrays[f"scale_uV{k}"][:, np.newaxis].astype(float) * MICROVOLT), info, verbose="ERROR"
    )
    return raw.set_montage("easycap-M1")
