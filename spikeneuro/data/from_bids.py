"""Recordings from an EEG folder in the Brain Imaging Data Structure, through MNE-BIDS."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spikeneuro._optional import require
from spikeneuro._validation import suggestion
from spikeneuro.data._edf import check_edf
from spikeneuro.data.from_mne import EventId, from_mne
from spikeneuro.data.preprocess import Preprocessing
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import DataNotFoundError, InputError


def from_bids(
    root: str | Path,
    *,
    task: str,
    event_id: EventId,
    subjects: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    runs: Sequence[str] | None = None,
    tmin: float = 0.0,
    tmax: float,
    baseline: tuple[float | None, float | None] | None = None,
    preprocessing: Preprocessing | None = None,
    picks: Any = "eeg",
    reject: Mapping[str, float] | None = None,
    description: str = "",
) -> Recordings:
    """Labelled epochs of all recordings of one task.

    Parameters
    ----------
    root : path
        Folder of the data set (it holds ``sub-*``).
    task : str
        Task label, as in the file names.
    event_id : dict
        Class name -> ``trial_type`` of ``events.tsv``, or several of them; the order is the order of the classes.
    subjects, sessions, runs : sequence of str, optional
        Labels to read; all when not given.
    tmin, tmax, baseline, preprocessing, picks, reject
        As for `from_mne`.
    description : str
        Origin of the data.

    Returns
    -------
    Recordings
        As from `from_mne`, with columns ``subject`` and, where the file names have them, ``session`` and ``run``.

    Raises
    ------
    DataNotFoundError
        If the folder does not exist.
    InputError
        If no recording matches, a subject or the task is unknown, or a file is damaged.

    References
    ----------
    Pernet et al., "EEG-BIDS, an extension to the brain imaging data structure for electroencephalography",
    Scientific Data 6:103, 2019. Appelhoff et al., "MNE-BIDS", Journal of Open Source Software 4(44):1896, 2019.
    """
    mne_bids = require("mne_bids", "eeg")
    root = Path(root)
    if not root.is_dir():
        raise DataNotFoundError(f"{root}: no such folder.")
    for name, wanted, entity in (
        ("task", [task], "task"),
        ("subjects", subjects, "subject"),
        ("sessions", sessions, "session"),
    ):
        known = mne_bids.get_entity_vals(root, entity)
        unknown = [value for value in wanted or () if value not in known]
        if unknown:
            raise InputError(f"{root}: {name} {unknown[0]!r} is not there; {suggestion(str(unknown[0]), known)}")
    found = mne_bids.find_matching_paths(
        root,
        subjects=_list(subjects),
        sessions=_list(sessions),
        runs=_list(runs),
        tasks=task,
        suffixes="eeg",
        datatypes="eeg",
        extensions=[".edf", ".bdf", ".vhdr", ".set", ".fif"],
    )
    if not found:
        raise InputError(f"{root}: no EEG recording of task {task!r} matches.")
    found = sorted(found, key=lambda path: str(path.fpath))
    return from_mne(
        [_read(mne_bids, path) for path in found],
        event_id=event_id,
        tmin=tmin,
        tmax=tmax,
        baseline=baseline,
        preprocessing=preprocessing,
        picks=picks,
        reject=reject,
        metadata=[_whose(path) for path in found],
        description=description or f"BIDS folder {root.resolve().name}, task {task}",
    )


def _list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]


def _read(mne_bids: Any, path: Any) -> Any:
    check_edf(Path(path.fpath))
    try:
        return mne_bids.read_raw_bids(path, verbose="ERROR")
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{path.fpath}: MNE-BIDS cannot read it ({type(error).__name__}: {text}).") from error


def _whose(path: Any) -> dict[str, str]:
    entities = {name: getattr(path, name) for name in ("subject", "session", "run")}
    return {name: str(value) for name, value in entities.items() if value is not None}
