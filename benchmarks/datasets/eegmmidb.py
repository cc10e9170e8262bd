"""Imagined left against right fist: 64-channel EEG of 12 people (PhysioNet eegmmidb, runs 4, 8 and 12).

Schalk et al. (2004), IEEE Trans. Biomed. Eng. 51(6):1034-1043, doi:10.1109/TBME.2004.827072. 160 Hz. Subject 1 is read
from the original EDF files, which lie compressed; the others are the same integers of microvolts as arrays.
"""

import lzma
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np

from spikeneuro._files import read_arrays
from spikeneuro.data import Recordings, data_root
from spikeneuro.data.from_mne import from_mne, read_raw
from spikeneuro.errors import InputError
from spikeneuro.models.classical import transductive_euclidean_alignment

SUBJECTS = range(1, 13)
RUNS = (4, 8, 12)
MICROVOLT = 1e-6


def load(
    subjects: Sequence[int] | None = None,
    runs: Sequence[int] = RUNS,
    tmin: float = 0.5,
    tmax: float = 3.5,
    band: Sequence[float] | None = (8.0, 30.0),
    resample: float | None = None,
    transductive_alignment: bool = False,
) -> Recordings:
    """Imagined left against right fist, 64-channel EEG in volts.

    Parameters
    ----------
    subjects : sequence of int, optional
        Numbers 1 to 12; by default all.
    runs : sequence of int
        Runs among 4, 8 and 12, with 15 trials each.
    tmin, tmax : float
        Epoch in seconds after the cue.
    band : (low, high), optional
        Band-pass in hertz (Butterworth of order 4, forwards and backwards) of the continuous runs.
    resample : float, optional
        New sampling rate in hertz.
    transductive_alignment : bool
        Whiten each person by the mean covariance of its own trials, without labels but with the test person's trials
        too: scores are then transductive, and the signals without unit.
    """
    raws, columns = [], []
    for subject in list(SUBJECTS) if subjects is None else subjects:
        if subject not in SUBJECTS or not set(runs) <= set(RUNS):
            raise InputError(f"no subject {subject!r} with runs {list(runs)}; subjects are 1 to 12, runs 4, 8 and 12.")
        for run, raw in zip(runs, _from_edf(runs) if subject == 1 else _from_arrays(subject, runs), strict=True):
            if band is not None:
                raw.filter(*band, method="iir", iir_params={"order": 4, "ftype": "butter"}, verbose="ERROR")
            if resample is not None:
                raw.resample(resample, verbose="ERROR")
            raws.append(raw)
            columns.append({"subject": f"S{subject:03d}", "run": run})
    recordings = from_mne(
        raws,
        event_id={"left": "T1", "right": "T2"},
        tmin=tmin,
        tmax=tmax,
        metadata=columns,
        description="PhysioNet eegmmidb, imagined left or right fist (Schalk et al. 2004), ODC-By 1.0",
    )
    if not transductive_alignment:
        return recordings
    aligned = transductive_euclidean_alignment(recordings.X, recordings.metadata["subject"])
    return replace(recordings, X=aligned, description=f"{recordings.description}; transductive Euclidean alignment")


def _from_edf(runs: Sequence[int]) -> Iterator[mne.io.BaseRaw]:
    """Runs of subject 1, decompressed to a temporary EDF file that MNE reads."""
    for run in runs:
        source = data_root("eeg", "eegmmidb_s001", f"S001R{run:02d}.edf.xz")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / source.stem
            try:
                path.write_bytes(lzma.decompress(source.read_bytes()))
            except (lzma.LZMAError, EOFError) as error:
                raise InputError(f"{source}: truncated or damaged ({error}).") from error
            read = read_raw(path)
            # In memory only: MNE looks for the file again when a recording that was read from one is copied.
            raw = mne.io.RawArray(read.get_data(), read.info, verbose="ERROR").set_annotations(read.annotations)
        mne.datasets.eegbci.standardize(raw)
        yield _prepared(raw)


def _from_arrays(subject: int, runs: Sequence[int]) -> Iterator[mne.io.BaseRaw]:
    arrays = read_arrays(data_root("eeg", "eegmmidb", f"S{subject:03d}.npz"))
    sfreq = float(arrays["sfreq"])
    for run in runs:
        info = mne.create_info([str(name) for name in arrays["ch_names"]], sfreq, "eeg")
        raw = mne.io.RawArray(arrays[f"eeg_R{run:02d}"] * MICROVOLT, info, verbose="ERROR")
        texts = [f"T{code}" for code in arrays[f"code_R{run:02d}"]]
        raw.set_annotations(mne.Annotations(arrays[f"onset_R{run:02d}"] / sfreq, arrays[f"dur_R{run:02d}"], texts))
        yield _prepared(raw)


def _prepared(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """With places, and without the zeros with which the longer runs end: a filter would smear the step before them."""
    last = int(np.flatnonzero(np.any(raw.get_data() != 0, axis=0))[-1])
    # T9 and T10 are in no montage that all supported versions of MNE have without a warning; they stay without place.
    return raw.crop(tmax=last / raw.info["sfreq"]).set_montage("easycap-M1", on_missing="ignore")
