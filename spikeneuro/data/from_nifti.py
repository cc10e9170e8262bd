"""Recordings from functional MRI: NIfTI runs, labelled by events, through nilearn's maskers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._files import read_table
from spikeneuro._validation import check_choice, check_number, suggestion
from spikeneuro.data import _nifti, _volumes
from spikeneuro.data._checks import encode_labels
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import InputError

Array = NDArray[Any]
Samples = Literal["volumes", "blocks", "series", "runs"]


def from_nifti(
    images: Any,
    *,
    events: Any = None,
    volume_labels: Any = None,
    targets: Sequence[Any] | None = None,
    samples: Samples | None = None,
    mask: Any = None,
    atlas: Any = None,
    region_names: Mapping[int, str] | None = None,
    conditions: Sequence[str] | None = None,
    rest: str = "rest",
    duration: float | None = None,
    hrf_shift: float = 5.0,
    tr: float | None = None,
    confounds: Any = None,
    detrend: bool = True,
    standardize: bool | Literal["rest"] = True,
    low_pass: float | None = None,
    high_pass: float | None = None,
    smoothing_fwhm: float | None = None,
    metadata: Any = None,
    description: str = "",
) -> Recordings:
    """Volumes, block averages, short series or whole runs from 4-D images.

    Every run is cleaned by itself (`detrend`, `confounds`, filters, `standardize`), so nothing passes between runs or
    subjects.

    Parameters
    ----------
    images : path, image, or sequence of these
        One 4-D NIfTI per run.
    events : path, DataFrame, or sequence of these
        Per image, a BIDS table with ``onset, duration`` (seconds) and ``trial_type``. One of `events`,
        `volume_labels` and `targets` is needed.
    volume_labels : sequence or DataFrame, or sequence of these
        Per image, one label per volume; a DataFrame has the column ``label`` and may have ``run``, which splits an
        image that holds several runs.
    targets : sequence
        One class name, class number or value per image (resting state); samples are then whole runs.
    samples : {"volumes", "blocks", "series", "runs"}, optional
        What a sample is: a volume, the mean of a block, the time series of a block, or a run. By default "volumes",
        with `targets` "runs".
    mask, atlas : path or image
        Either a binary mask (features are its voxels) or an atlas of whole numbers (features are the mean of each
        region). A mask is never computed from the data, as it would see test subjects.
    region_names : dict of int to str, optional
        Names for the atlas' codes; by default the codes.
    conditions : sequence of str, optional
        Labels to keep, in the order of the classes; by default all but `rest`, sorted.
    rest : str
        Label of volumes outside events.
    duration : float, optional
        For "series", seconds from the start of each block; needed where blocks differ in length.
    hrf_shift : float
        Seconds by which labels are moved later, for the haemodynamic delay.
    tr : float, optional
        Repetition time in seconds; by default that of the header, if it can be believed.
    confounds : path, DataFrame, array, or sequence of these, optional
        Per image, columns to regress out, one row per volume (``.tsv`` or white-space text such as motion parameters).
    detrend : bool
        Remove linear trends.
    standardize : bool or "rest"
        Z-score each feature over its run, or by mean and standard deviation of the run's `rest` volumes.
    low_pass, high_pass : float, optional
        Filter edges in hertz.
    smoothing_fwhm : float, optional
        Spatial smoothing in millimetres.
    metadata : DataFrame or dict of columns, optional
        One row per image (``subject``, ``session``, ``run``); without it images are numbered as ``run``.
    description : str
        Origin of the data.

    Returns
    -------
    Recordings
        "volumes", "blocks": features ``(n, features)``. "series": ``(n, features, times)``, "runs": the same or
        ragged, both modality "fmri" with ``sfreq = 1 / tr``. Columns: `metadata`, ``trial`` (block number in its run),
        ``onset`` (seconds in the run), ``duration`` (seconds), and ``volume``, where they apply.

    Raises
    ------
    InputError
        If an image is truncated or not 4-D, its repetition time is not believable, tables do not fit the volumes, the
        mask or atlas does not fit the images, or repetition times differ.

    References
    ----------
    Abraham et al., "Machine learning for neuroimaging with scikit-learn", Frontiers in Neuroinformatics 8:14, 2014.
    """
    listed = list(images) if isinstance(images, (list, tuple)) else [images]
    if sum(given is not None for given in (events, volume_labels, targets)) != 1:
        raise InputError("give exactly one of events, volume_labels and targets.")
    kind = samples or ("volumes" if targets is None else "runs")
    check_choice(kind, ("volumes", "blocks", "series", "runs"), "samples")
    if (kind == "runs") != (targets is not None):
        raise InputError(f"samples={kind!r} needs {'targets' if kind == 'runs' else 'events or volume_labels'}.")
    check_choice(str(standardize), ("True", "False", "rest"), "standardize")
    check_number(hrf_shift, "hrf_shift", low=0)
    extract = Extraction.of(mask, atlas, region_names, detrend, standardize, low_pass, high_pass, smoothing_fwhm)
    tables = _per_image(events if events is not None else volume_labels, len(listed), "events or volume_labels")
    noise = _per_image(confounds, len(listed), "confounds")
    whose = _whose(metadata, len(listed))
    runs = [
        run
        for i, item in enumerate(listed)
        for run in _runs(item, tables[i], noise[i], tr, events is not None, hrf_shift, rest, whose[i])
    ]
    if targets is not None:
        return _whole_runs(runs, targets, extract, description)
    wanted = _conditions(runs, conditions, rest)
    parts = [_samples(run, extract, wanted, kind, duration, rest) for run in runs]
    return _assemble(parts, runs, extract, wanted, kind, description)


@dataclass
class _Run:
    """One run in memory with the label of each volume."""

    name: str
    image: Any
    tr: float
    confounds: Array | None
    labels: _volumes.VolumeLabels | None
    whose: dict[str, Any]


@dataclass
class Extraction:
    """Masker settings shared by all runs; `signals` makes a fresh masker for each."""

    where: Any
    name: str
    codes: list[int] | None
    names: tuple[str, ...]
    detrend: bool
    standardize: bool | str
    filters: dict[str, float | None] = field(default_factory=dict)

    @staticmethod
    def of(mask: Any, atlas: Any, region_names: Any, detrend: bool, standardize: Any, *filters: Any) -> "Extraction":
        """Check mask or atlas and names."""
        if (mask is None) == (atlas is None):
            raise InputError("give either mask (voxels) or atlas (regions).")
        codes: list[int] | None = None
        names: tuple[str, ...] = ()
        if mask is not None:
            where, name = _nifti.load_mask(mask)
        else:
            where, name, codes = _nifti.load_atlas(atlas)
            unnamed = [code for code in codes if region_names is not None and code not in region_names]
            if unnamed:
                raise InputError(f"{name}: region {unnamed[0]} has no entry in region_names.")
            names = tuple(str(code) if region_names is None else str(region_names[code]) for code in codes)
        settings = dict(zip(("low_pass", "high_pass", "smoothing_fwhm"), filters, strict=True))
        return Extraction(where, name, codes, names, detrend, standardize, settings)

    def signals(self, run: _Run, rest: str | None) -> Array:
        """Cleaned signals of one run, ``(volumes, features)`` float32."""
        from nilearn.maskers import NiftiLabelsMasker, NiftiMasker

        image = _nifti.finite_inside(run.image, run.name, self.where)
        common = {
            "detrend": self.detrend,
            "standardize": "zscore_sample" if self.standardize is True else None,
            "t_r": run.tr,
            "reports": False,
            **self.filters,
        }
        if self.codes is None:
            masker = NiftiMasker(mask_img=self.where, **common)
        else:
            masker = NiftiLabelsMasker(labels_img=self.where, resampling_target="data", **common)
        try:
            values = masker.fit().transform(image, confounds=run.confounds)
        except ValueError as error:
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{run.name}: nilearn cannot extract signals with {self.name} ({text}).") from error
        if self.codes is not None:
            found = [int(code) for code in masker.region_ids_.values() if code != "background"]
            lost = sorted(set(self.codes) - set(found))
            if lost or values.shape[1] != len(self.codes):
                raise InputError(f"{run.name}: region {lost[:5]} of {self.name} has no voxel in this image.")
        if not np.ptp(values, axis=0).any():
            raise InputError(f"{run.name}: no signal inside {self.name}; do they overlap in space?")
        if self.standardize == "rest":
            values = _against_rest(values, run, rest)
        return np.asarray(values, dtype=np.float32)


def _against_rest(values: Array, run: _Run, rest: str | None) -> Array:
    baseline = np.zeros(len(values), bool) if run.labels is None else run.labels.label == rest
    if baseline.sum() < 2:
        raise InputError(f"{run.name}: standardize='rest' needs at least two volumes labelled {rest!r}.")
    spread = values[baseline].std(axis=0, ddof=1)
    # A voxel without signal stays at zero, as in nilearn's own standardisation.
    return np.asarray((values - values[baseline].mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _per_image(value: Any, n: int, name: str) -> list[Any]:
    if value is None:
        return [None] * n
    nested = isinstance(value, (list, tuple)) and all(
        not isinstance(v, (str, int, float)) or _is_path(v) for v in value
    )
    entries = list(value) if nested else [value]
    if len(entries) != n:
        raise InputError(f"{name} holds {len(entries)} entries for {n} image(s).")
    return entries


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and Path(value).suffix in (".tsv", ".csv", ".txt", ".par", ".1D")


def _whose(metadata: Any, n: int) -> list[dict[str, Any]]:
    table = pd.DataFrame({"run": range(n)} if metadata is None else metadata)
    if len(table) != n:
        raise InputError(f"metadata has {len(table)} rows for {n} image(s).")
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _runs(
    item: Any, table: Any, noise: Any, tr: float | None, by_event: bool, shift: float, rest: str, whose: dict[str, Any]
) -> Iterator[_Run]:
    """Runs of one image: one, unless the table of volume labels names several."""
    image, name = _nifti.load_image(item, 4)
    n_volumes = image.shape[3]
    seconds = _nifti.repetition_time(image, name, tr)
    columns = None if noise is None else _confounds(noise, n_volumes, name)
    if by_event or table is None:
        labels = _volumes.from_events(table, n_volumes, seconds, shift, rest, name) if by_event else None
        yield _Run(name, image, seconds, columns, labels, whose)
        return
    frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame({"label": list(table)})
    if "label" not in frame:
        raise InputError(f"{name}: volume_labels has no column 'label' (columns: {', '.join(map(str, frame))}).")
    if len(frame) != n_volumes:
        raise InputError(f"{name}: {len(frame)} volume labels for {n_volumes} volumes.")
    run_of = frame["run"].to_numpy() if "run" in frame else np.zeros(n_volumes)
    for value in dict.fromkeys(run_of.tolist()):
        chosen = np.flatnonzero(run_of == value)
        labels = _volumes.from_labels(frame["label"].iloc[chosen].tolist(), seconds, shift, rest)
        part = image if "run" not in frame else _nifti.select_volumes(image, chosen)
        run_whose = whose if "run" not in frame else {**whose, "run": value}
        yield _Run(name, part, seconds, None if columns is None else columns[chosen], labels, run_whose)


def _confounds(noise: Any, n_volumes: int, name: str) -> Array:
    if isinstance(noise, (str, Path)):
        header = 0 if Path(noise).suffix == ".tsv" else None
        table = read_table(noise, sep="\t" if header == 0 else r"\s+", header=header)
    else:
        table = pd.DataFrame(noise)
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if len(values) != n_volumes:
        raise InputError(f"{name}: {len(values)} rows of confounds for {n_volumes} volumes.")
    if not np.isfinite(values).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InputError(
            f"{name}: confound {table.columns[column]!r} is not a number in row {row}; derivatives have no first "
            "value: choose the columns wanted, or fill it."
        )
    return values


def _conditions(runs: list[_Run], conditions: Sequence[str] | None, rest: str) -> list[str]:
    found = sorted({str(label) for run in runs if run.labels is not None for label in run.labels.label})
    wanted = [name for name in found if name != rest] if conditions is None else [str(name) for name in conditions]
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise InputError(f"condition {unknown[0]!r} does not occur; {suggestion(unknown[0], found)}")
    if not wanted:
        raise InputError(f"no condition but {rest!r} occurs.")
    return wanted


def _samples(
    run: _Run, extract: Extraction, wanted: list[str], kind: str, duration: float | None, rest: str
) -> tuple[list[Array], list[str], list[dict[str, Any]]]:
    """Samples of one run with the label and the table row of each."""
    assert run.labels is not None
    signals = extract.signals(run, rest)
    X, labels, rows = [], [], []
    for trial, volumes in enumerate(run.labels.blocks(wanted)):
        start = int(volumes[0])
        row = {**run.whose, "trial": trial, "onset": start * run.tr, "duration": len(volumes) * run.tr}
        label = str(run.labels.label[start])
        if kind == "volumes":
            X += list(signals[volumes])
            rows += [{**row, "onset": int(v) * run.tr, "duration": run.tr, "volume": int(v)} for v in volumes]
            labels += [label] * len(volumes)
            continue
        if kind == "blocks":
            X.append(signals[volumes].mean(axis=0))
        else:
            length = len(volumes) if duration is None else round(duration / run.tr)
            if length < 1 or start + length > len(signals):
                raise InputError(f"{run.name}: {duration} s from {start * run.tr:g} s on do not lie within the run.")
            X.append(signals[start : start + length].T)
            row["duration"] = length * run.tr
        labels.append(label)
        rows.append(row)
    return X, labels, rows


def _same_tr(runs: list[_Run]) -> float:
    for run in runs[1:]:
        if run.tr != runs[0].tr:
            raise InputError(f"repetition times differ: {runs[0].name} {runs[0].tr:g} s, {run.name} {run.tr:g} s.")
    return runs[0].tr


def _assemble(
    parts: list[Any], runs: list[_Run], extract: Extraction, wanted: list[str], kind: str, description: str
) -> Recordings:
    tr = _same_tr(runs)
    X = [x for part in parts for x in part[0]]
    shapes = sorted({x.shape for x in X})
    if len(shapes) > 1:
        raise InputError(f"blocks differ in length ({shapes[0][-1]} to {shapes[-1][-1]} volumes); give duration=.")
    y, names = encode_labels([label for part in parts for label in part[1]], wanted)
    return Recordings(
        np.stack(X),
        y,
        pd.DataFrame([row for part in parts for row in part[2]]),
        1.0 / tr if kind == "series" else None,
        extract.names,
        modality="fmri" if kind == "series" else "features",
        positions=_nifti.places(extract.where, extract.codes),
        label_names=names,
        description=description,
    )


def _whole_runs(runs: list[_Run], targets: Sequence[Any], extract: Extraction, description: str) -> Recordings:
    if len(targets) != len(runs):
        raise InputError(f"targets holds {len(targets)} entries for {len(runs)} images.")
    if extract.standardize == "rest":
        raise InputError("standardize='rest' needs labelled volumes; whole runs have none.")
    same = len({run.tr for run in runs}) == 1
    y, names = encode_labels(targets) if isinstance(targets[0], str) else (np.asarray(targets), None)
    return Recordings(
        [extract.signals(run, None).T for run in runs],
        y,
        pd.DataFrame([run.whose if same else {**run.whose, "tr": run.tr} for run in runs]),
        1.0 / runs[0].tr if same else None,
        extract.names,
        modality="fmri",
        positions=_nifti.places(extract.where, extract.codes),
        label_names=names,
        description=description,
    )
