"""Recordings from MOABB, the open collection of brain-computer-interface data sets."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spikeneuro._optional import require
from spikeneuro._validation import suggestion
from spikeneuro.data.from_mne import places_of
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import DataNotFoundError, InputError


def from_moabb(
    dataset: Any,
    paradigm: Any,
    *,
    subjects: Sequence[int] | None = None,
    description: str = "",
) -> Recordings:
    """Trials of a MOABB data set as a MOABB paradigm cuts and filters them.

    Parameters
    ----------
    dataset : moabb dataset or str
        Data set object, or the name of its class (``"PhysionetMI"``).
    paradigm : moabb paradigm or str
        Paradigm object with the settings wanted, or the name of its class (``"LeftRightImagery"``).
    subjects : sequence of int, optional
        Subjects to read; all when not given.
    description : str
        Origin of the data; the data set's code when empty.

    Returns
    -------
    Recordings
        Signals in volts ``(trials, channels, times)``; columns ``subject``, ``session``, ``run`` as MOABB has them (as
        text), ``trial`` and ``duration`` in seconds. When a trial began is not known: MOABB does not tell.

    Raises
    ------
    DataNotFoundError
        If the data are not on disk and cannot be downloaded. (MOABB asks its mirror NEMAR first, which takes long to
        fail without a network; the environment variable ``MOABB_DOWNLOAD_PROVIDER=upstream`` skips that.)
    InputError
        If the name of a data set or paradigm is unknown, or a subject is not in the data set.

    References
    ----------
    Jayaram and Barachant, "MOABB: trustworthy algorithm benchmarking for BCIs", Journal of Neural Engineering 15(6),
    2018, doi:10.1088/1741-2552/aadea0.
    """
    datasets, paradigms = require("moabb.datasets", "eeg"), require("moabb.paradigms", "eeg")
    dataset = _object(dataset, datasets, "data set")
    paradigm = _object(paradigm, paradigms, "paradigm")
    unknown = [subject for subject in subjects or () if subject not in dataset.subject_list]
    if unknown:
        listed = f"{dataset.subject_list[0]} to {dataset.subject_list[-1]}"
        raise InputError(f"{dataset.code}: no subject {unknown[0]!r}; it has subjects {listed}.")
    if not paradigm.is_valid(dataset):
        raise InputError(f"{dataset.code} ({dataset.paradigm}) does not fit the paradigm {type(paradigm).__name__}.")
    try:
        epochs, labels, metadata = paradigm.get_data(
            dataset, subjects=None if subjects is None else list(subjects), return_epochs=True
        )
    except Exception as error:
        if any(_about_network(link) for link in _chain(error)):
            text = " ".join(str(error).split())[:160]
            raise DataNotFoundError(
                f"{dataset.code}: its data are not on disk and could not be downloaded ({type(error).__name__}: "
                f"{text}); connect to the network, or put the files into the folder of MNE_DATA."
            ) from error
        raise
    if not len(epochs):
        raise InputError(f"{dataset.code}: no trial remains for this paradigm.")
    classes = sorted(set(labels), key=lambda name: dataset.event_id.get(name, 0))
    table = metadata[["subject", "session", "run"]].astype(str).reset_index(drop=True)
    table["trial"] = table.groupby(["subject", "session", "run"], sort=False).cumcount()
    table["duration"] = len(epochs.times) / float(epochs.info["sfreq"])
    return Recordings(
        epochs.get_data(copy=True),
        np.array([classes.index(label) for label in labels]),
        table,
        float(epochs.info["sfreq"]),
        epochs.info["ch_names"],
        positions=places_of(epochs.info),
        label_names=classes,
        description=description or f"MOABB {dataset.code}",
    )


def _object(value: Any, module: Any, kind: str) -> Any:
    if not isinstance(value, str):
        return value() if isinstance(value, type) else value
    known = [name for name in dir(module) if isinstance(getattr(module, name), type)]
    if value not in known:
        raise InputError(f"MOABB has no {kind} {value!r}; {suggestion(value, known)}")
    return getattr(module, value)()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _about_network(error: BaseException) -> bool:
    """Whether a download failed; the packages below MOABB have no common class for that."""
    origin = type(error).__module__.partition(".")[0]
    return (
        origin in ("requests", "urllib3", "httpx", "httpcore", "nemar")
        or isinstance(error, (ConnectionError, TimeoutError))
        or "Download" in type(error).__name__
    )
