"""Recordings from MNE: epochs, or continuous recordings cut around their events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._validation import check_number
from spikeneuro.data._edf import check_edf
from spikeneuro.data.preprocess import Preprocessing
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import DataNotFoundError, InputError

Array = NDArray[Any]
#: Class name -> what stands for it in the recording: annotation text or event code, or several of them.
EventId = Mapping[str, Any]


@dataclass(frozen=True)
class Cut:
    """How continuous recordings are cut into epochs; times in seconds relative to the event."""

    tmin: float
    tmax: float | None
    baseline: tuple[float | None, float | None] | None
    preprocessing: Preprocessing | None
    picks: Any
    reject: Mapping[str, float] | None


def from_mne(
    source: Any,
    *,
    event_id: EventId | Sequence[EventId] | None = None,
    events: Any = None,
    tmin: float = 0.0,
    tmax: float | None = None,
    baseline: tuple[float | None, float | None] | None = None,
    preprocessing: Preprocessing | None = None,
    picks: Any = "eeg",
    reject: Mapping[str, float] | None = None,
    metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    description: str = "",
) -> Recordings:
    """Labelled epochs from one or several MNE objects or files.

    Parameters
    ----------
    source : Epochs, Raw, path, or sequence of these
        ``Epochs`` are taken as they are. ``Raw`` objects, and files that MNE reads, are cut around events.
    event_id : dict or sequence of dict, optional
        Class name -> event code (int) or annotation text (str), or a list of them; the order is the order of the
        classes, everything else is left out. A sequence gives one per source (where codes change their meaning from
        run to run). Needed for ``Raw``; for ``Epochs`` the default is their own ``event_id``.
    events : ndarray of int, shape (n, 3), or sequence of these, optional
        MNE events for ``Raw``; by default its annotations.
    tmin, tmax : float
        Epoch in seconds relative to the event; the sample at `tmax` is left out, so that ``(tmax - tmin) * sfreq``
        samples remain. For ``Raw`` only.
    baseline : (float or None, float or None), optional
        Interval whose mean is subtracted, per epoch and channel. For ``Raw`` only.
    preprocessing : Preprocessing, optional
        Applied to each ``Raw`` before it is cut.
    picks : str or sequence of str
        Channel types or names, as MNE takes them.
    reject : dict, optional
        Peak-to-peak limits per channel type (volts for EEG); epochs beyond are dropped.
    metadata : dict or sequence of dict, optional
        Columns such as ``{"subject": "S01", "run": 4}``, one dict for all sources or one for each.
    description : str
        Origin of the data.

    Returns
    -------
    Recordings
        Signals in volts ``(epochs, channels, times)``; the table holds `metadata`, what the epochs carried, ``trial``
        (number of the event within its source), for ``Raw`` ``onset`` (seconds within its source), and ``duration``
        (length of an epoch in seconds).

    Raises
    ------
    InputError
        If a file is truncated, events or channels are missing, sampling rates or channels differ between sources, or
        no epoch remains.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["C3", "C4"], 100.0, "eeg")
    >>> raw = mne.io.RawArray(np.random.default_rng(0).normal(size=(2, 1000)), info, verbose="ERROR")
    >>> _ = raw.set_annotations(mne.Annotations([1.0, 4.0], [1.0, 1.0], ["T1", "T2"]))
    >>> from_mne(raw, event_id={"left": "T1", "right": "T2"}, tmax=2.0, metadata={"subject": "S1"})
    Recordings(eeg, 2 samples x 2 channels x 200 times at 100 Hz; classification: left 1, right 1; 1 subject)
    """
    sources = list(source) if isinstance(source, (list, tuple)) else [source]
    if not sources:
        raise InputError("source is empty; at least one MNE object or file is needed.")
    cut = Cut(tmin, tmax, baseline, preprocessing, picks, reject)
    ids = _one_each(event_id, len(sources), "event_id", (Mapping, type(None)))
    tables = _one_each(metadata, len(sources), "metadata", (Mapping, type(None)))
    event_arrays = list(events) if isinstance(events, (list, tuple)) else [events] * len(sources)
    if len(event_arrays) != len(sources) or (events is not None and len(sources) > 1 and event_arrays[0] is events):
        raise InputError(f"events must hold one array for each of the {len(sources)} sources.")
    parts = []
    for number, item in enumerate(sources):
        name = str(item) if isinstance(item, (str, Path)) else _name(item, number)
        parts.append(_Part.of(item, name, cut, ids[number], event_arrays[number], tables[number]))
    return _assemble(parts, description)


def _one_each(value: Any, n: int, name: str, kinds: tuple[type, ...]) -> list[Any]:
    if isinstance(value, kinds):
        return [value] * n
    values = list(value)
    if len(values) != n:
        raise InputError(f"{name} holds {len(values)} entries for {n} sources.")
    return values


def _name(item: Any, number: int) -> str:
    files = [str(f) for f in getattr(item, "filenames", None) or () if f is not None]
    return files[0] if files else f"source {number}"


def read_raw(path: Path) -> Any:
    """Open a continuous recording with MNE after checking that the file is whole."""
    import mne

    if not path.exists():
        raise DataNotFoundError(f"{path}: no such file.")
    check_edf(path)
    try:
        return mne.io.read_raw(path, preload=True, verbose="ERROR")
    except Exception as error:
        raise InputError(f"{path}: MNE cannot read it ({type(error).__name__}: {_line(error)}).") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


@dataclass
class _Part:
    """Epochs of one source with the class name of each."""

    name: str
    X: Array
    labels: list[str]
    classes: tuple[str, ...]
    known: tuple[str, ...]
    info: Any
    table: pd.DataFrame

    @staticmethod
    def of(item: Any, name: str, cut: Cut, event_id: Any, events: Any, columns: Any) -> "_Part":
        import mne

        if isinstance(item, (str, Path)):
            item = read_raw(Path(item))
        onset = None
        if isinstance(item, mne.BaseEpochs):
            known = dict(sorted(item.event_id.items(), key=lambda pair: pair[1]))
            classes = {text: [code] for text, code in known.items()} if event_id is None else _codes(event_id, known)
            epochs = _pick(item.copy().load_data(), cut.picks, name)
            epochs = epochs[np.isin(epochs.events[:, 2], [code for codes in classes.values() for code in codes])]
        elif isinstance(item, mne.io.BaseRaw):
            epochs, onset, classes, known = _cut(item, name, cut, event_id, events)
        else:
            raise InputError(f"{name}: expected MNE Epochs, Raw or a file, got {type(item).__name__}.")
        if not len(epochs):
            reasons = sorted({reason for log in epochs.drop_log for reason in log} - {"IGNORED"})
            why = f"dropped for: {', '.join(reasons)}" if reasons else f"its events are {', '.join(known)}"
            raise InputError(f"{name}: no epoch of the classes {', '.join(classes)} remains ({why}).")
        label = {code: text for text, codes in classes.items() for code in codes}
        table = pd.DataFrame(index=range(len(epochs)))
        table = table if epochs.metadata is None else epochs.metadata.reset_index(drop=True)
        extra = {**(columns or {}), "trial": epochs.selection} | ({} if onset is None else {"onset": onset})
        extra["duration"] = len(epochs.times) / epochs.info["sfreq"]
        for column, value in extra.items():
            if column in (columns or {}) or column not in table:
                table[column] = value
        labels = [label[code] for code in epochs.events[:, 2]]
        return _Part(name, epochs.get_data(copy=True), labels, tuple(classes), tuple(known), epochs.info, table)


def _cut(
    raw: Any, name: str, cut: Cut, event_id: Any, events: Any
) -> tuple[Any, Array, dict[str, Any], dict[str, int]]:
    """Epochs of a continuous recording, their onsets in seconds, the codes of each class and of each known event."""
    import mne

    if event_id is None:
        raise InputError(f"{name}: event_id is needed to cut a recording, e.g. {{'left': 'T1', 'right': 'T2'}}.")
    if cut.tmax is None:
        raise InputError("tmax (seconds after the event) is needed to cut a continuous recording.")
    check_number(cut.tmax, "tmax", low=cut.tmin, closed="neither")
    raw = _pick(raw.copy().load_data(verbose="ERROR"), cut.picks, name)
    if events is None:
        if not len(raw.annotations):
            raise InputError(f"{name}: it has no annotations; pass events (an MNE events array).")
        _, known = mne.events_from_annotations(raw, verbose="ERROR")
    else:
        known = {str(code): int(code) for code in np.unique(events[:, 2])}
    classes = _codes(event_id, known)
    wanted = {text: code for text, code in known.items() if any(code in codes for codes in classes.values())}
    if not wanted:
        raise InputError(f"{name}: none of the wanted events occurs; it has {', '.join(known) or 'none'}.")
    if cut.preprocessing is not None:
        raw, events = cut.preprocessing.apply(raw, events)
    if events is None:
        events, _ = mne.events_from_annotations(raw, event_id=wanted, verbose="ERROR")
    events = events[np.isin(events[:, 2], list(wanted.values()))]
    if len(np.unique(events[:, 0])) < len(events):
        raise InputError(f"{name}: two of the wanted events fall on the same sample; choose one of them in event_id.")
    epochs = mne.Epochs(
        raw,
        events,
        tmin=cut.tmin,
        tmax=cut.tmax - 1.0 / raw.info["sfreq"],
        baseline=cut.baseline,
        reject=None if cut.reject is None else dict(cut.reject),
        preload=True,
        verbose="ERROR",
    )
    return epochs, (epochs.events[:, 0] - raw.first_samp) / raw.info["sfreq"], classes, known


def _codes(event_id: EventId, known: Mapping[str, int]) -> dict[str, list[int]]:
    """Event codes of each class that occur; text is looked up among the names known in the recording."""
    result: dict[str, list[int]] = {}
    for text, wanted in event_id.items():
        items = wanted if isinstance(wanted, (list, tuple, set)) else [wanted]
        codes = [known.get(item, 0) if isinstance(item, str) else int(item) for item in items]
        result[str(text)] = [code for code in codes if code in known.values()]
    used = [code for codes in result.values() for code in codes]
    if len(set(used)) < len(used):
        raise InputError("event_id gives one event to two classes.")
    return result


def _pick(item: Any, picks: Any, name: str) -> Any:
    try:
        return item.pick(picks, exclude="bads")
    except ValueError as error:
        raise InputError(f"{name}: picks={picks!r} chooses no channel ({_line(error)}).") from error


def _assemble(parts: list[_Part], description: str) -> Recordings:
    """One Recordings of all parts; channels in the order of the first."""
    first = parts[0]
    names = list(first.info["ch_names"])
    for part in parts[1:]:
        if part.info["sfreq"] != first.info["sfreq"]:
            raise InputError(
                f"sampling rates differ: {first.name} has {first.info['sfreq']:g} Hz, {part.name} has "
                f"{part.info['sfreq']:g} Hz; pass preprocessing=Preprocessing(resample=...)."
            )
        odd = sorted(set(names) ^ set(part.info["ch_names"]))
        if odd:
            raise InputError(f"channels differ between {first.name} and {part.name}: {', '.join(odd[:6])}; use picks.")
        if part.X.shape[2] != first.X.shape[2]:
            raise InputError(
                f"epochs differ in length: {first.X.shape[2]} samples and {part.X.shape[2]} in {part.name}."
            )
        if set(part.table) != set(first.table):
            odd = sorted(set(part.table) ^ set(first.table))
            raise InputError(f"metadata columns differ between {first.name} and {part.name}: {', '.join(odd)}.")
    classes = list(dict.fromkeys(name for part in parts for name in part.classes))
    absent = [name for name in classes if not any(name in part.labels for part in parts)]
    if absent:
        known = sorted({text for part in parts for text in part.known})
        raise InputError(
            f"no epoch of class {absent[0]!r} remains: its event does not occur, or all its epochs were dropped; the "
            f"events are {', '.join(known)}."
        )
    order = [[part.info["ch_names"].index(name) for name in names] for part in parts]
    return Recordings(
        np.concatenate([part.X[:, index] for part, index in zip(parts, order, strict=True)]),
        [classes.index(label) for part in parts for label in part.labels],
        pd.concat([part.table for part in parts], ignore_index=True),
        float(first.info["sfreq"]),
        names,
        positions=places_of(first.info),
        label_names=classes,
        description=description,
    )


def places_of(info: Any) -> Array | None:
    """Places of the channels in head coordinates (metres), or None where the recording knows none."""
    places = np.array([channel["loc"][:3] for channel in info["chs"]], dtype=float)
    places[~np.isfinite(places).all(axis=1) | (places == 0).all(axis=1)] = np.nan
    return None if np.isnan(places).all() else places
