"""Simulated block-design functional MRI, written as real NIfTI files in a BIDS-like folder."""

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._files import write_atomic
from spikeneuro._validation import check_number
from spikeneuro.data.from_nifti import from_nifti
from spikeneuro.data.recordings import Recordings

Array = NDArray[Any]

_SHAPE = (20, 24, 20)
_VOXEL_MM = 8.0
#: Corner voxel in MNI space (millimetres): the box covers x -76..76, y -112..72, z -72..80.
_ORIGIN_MM = (-76.0, -112.0, -72.0)
_CONDITIONS = ("face", "house")
_BLOCK_S, _REST_S, _LEAD_S = 16.0, 12.0, 8.0


@dataclass(frozen=True)
class SimulatedStudy:
    """Files of a simulated study, one entry per run, in the order of `metadata`.

    Parameters
    ----------
    images, events, confounds : tuple of Path
        4-D NIfTI, table of events, six motion parameters (millimetres, radians).
    atlas : Path
        Regions of the study, whole numbers from 101.
    metadata : DataFrame
        Columns ``subject`` and ``run``.
    """

    images: tuple[Path, ...]
    events: tuple[Path, ...]
    confounds: tuple[Path, ...]
    atlas: Path
    metadata: pd.DataFrame


def simulate_block_fmri(
    folder: str | Path,
    n_subjects: int = 8,
    *,
    n_runs: int = 2,
    n_blocks: int = 8,
    tr: float = 2.0,
    n_regions: int = 24,
    effect_percent: float = 0.4,
    noise_percent: float = 2.0,
    motion_mm: float = 0.15,
    random_state: int = 0,
) -> SimulatedStudy:
    """Write several subjects who look at faces and houses in blocks.

    A run alternates 16 s blocks (faces and houses in random order) with 12 s of rest. Each condition drives its own
    regions, and both drive shared ones, through the canonical haemodynamic response (SPM's, from nilearn); how much,
    varies over subjects and regions. Added are slow drift, noise that is correlated in time (AR(1)) and space, and head
    motion, a random walk of which every voxel shows the first-order effect (gradient of the image times displacement).

    Parameters
    ----------
    folder : path
        Where to write; made if needed. Files of an earlier study in it are replaced.
    n_subjects, n_runs : int
        Subjects, and runs of each.
    n_blocks : int
        Blocks per run, half of each condition.
    tr : float
        Repetition time in seconds.
    n_regions : int
        Regions of the atlas, at least 8.
    effect_percent : float
        Mean response, in percent of the mean signal; 0 leaves nothing to learn.
    noise_percent : float
        Standard deviation of the noise of a voxel, in percent.
    motion_mm : float
        Standard deviation of the displacement over a run, in millimetres.
    random_state : int
        Seed; subject k is the same whatever the number of subjects.

    Returns
    -------
    SimulatedStudy
        The paths, ready for `from_nifti`.

    References
    ----------
    Welvaert et al., "neuRosim: an R package for generating fMRI data", Journal of Statistical Software 44(10), 2011.
    Friston et al., "Movement-related effects in fMRI time-series", Magnetic Resonance in Medicine 35(3), 1996.
    """
    for name, count, least in (("n_subjects", n_subjects, 1), ("n_runs", n_runs, 1), ("n_blocks", n_blocks, 2)):
        check_number(count, name, low=least, integer=True)
    check_number(n_regions, "n_regions", low=8, high=200, integer=True)
    check_number(tr, "tr", low=0.5, high=4)
    for name, value in (("effect_percent", effect_percent), ("noise_percent", noise_percent), ("motion_mm", motion_mm)):
        check_number(value, name, low=0)
    folder = Path(folder)
    brain = _Brain.build(n_regions)
    atlas = folder / "atlas.nii.gz"
    _write_image(atlas, brain.atlas, None)
    description = {"Name": "simulated block design", "BIDSVersion": "1.8.0", "DatasetType": "raw", "Simulated": True}
    write_atomic(folder / "dataset_description.json", json.dumps(description, indent=2) + "\n")
    images, events, confounds, rows = [], [], [], []
    for number, child in enumerate(np.random.SeedSequence(random_state).spawn(n_subjects), start=1):
        rng = np.random.default_rng(child)
        response = brain.responses(effect_percent, rng)
        for run in range(1, n_runs + 1):
            stem = folder / f"sub-{number:02d}" / "func" / f"sub-{number:02d}_task-objects_run-{run}"
            table = _design(n_blocks, rng)
            volumes, motion = _run(brain, response, table, tr, noise_percent, motion_mm, rng)
            images.append(stem.with_name(stem.name + "_bold.nii.gz"))
            events.append(stem.with_name(stem.name + "_events.tsv"))
            confounds.append(stem.with_name(stem.name + "_desc-confounds_timeseries.tsv"))
            _write_image(images[-1], volumes, tr)
            write_atomic(events[-1], table.to_csv(sep="\t", index=False))
            write_atomic(confounds[-1], motion.to_csv(sep="\t", index=False))
            rows.append({"subject": f"{number:02d}", "run": run})
    return SimulatedStudy(tuple(images), tuple(events), tuple(confounds), atlas, pd.DataFrame(rows))


def block_fmri(
    n_subjects: int = 8, *, clean_motion: bool = True, duration: float = 20.0, random_state: int = 0, **study: Any
) -> Recordings:
    """Simulate block-design fMRI as region time series, one sample per block.

    `simulate_block_fmri` writes the files to a temporary folder, `from_nifti` reads them.

    Parameters
    ----------
    n_subjects : int
        Number of subjects.
    clean_motion : bool
        Regress out the six motion parameters.
    duration : float
        Seconds of each sample, from block start plus haemodynamic shift.
    random_state : int
        Seed.
    **study
        Further arguments of `simulate_block_fmri`.

    Returns
    -------
    Recordings
        ``(blocks, regions, volumes)`` with columns ``subject, run, trial, onset``, ``simulated=True``.
    """
    with tempfile.TemporaryDirectory(prefix="spikeneuro-") as folder:
        files = simulate_block_fmri(folder, n_subjects, random_state=random_state, **study)
        recordings = from_nifti(
            files.images,
            events=files.events,
            confounds=files.confounds if clean_motion else None,
            atlas=files.atlas,
            samples="series",
            duration=duration,
            hrf_shift=2.0,
            metadata=files.metadata,
            description="simulated block design, read from NIfTI",
        )
    return replace(recordings, simulated=True)


@dataclass(frozen=True)
class _Brain:
    """An ellipsoid of grey matter, its mean image with gradients, and regions grown around mirrored centres."""

    base: Array
    gradient: Array  # (x, y, z, 3), signal per millimetre
    millimetres: Array  # (x, y, z, 3)
    atlas: Array
    codes: Array

    @staticmethod
    def build(n_regions: int) -> "_Brain":
        from scipy.ndimage import gaussian_filter

        grid = np.stack(np.meshgrid(*(np.arange(n) for n in _SHAPE), indexing="ij"), axis=-1)
        millimetres = grid * _VOXEL_MM + np.array(_ORIGIN_MM)
        inside = (((millimetres - np.array([0.0, -18.0, 8.0])) / np.array([66.0, 82.0, 62.0])) ** 2).sum(axis=-1) < 1
        base = gaussian_filter(np.where(inside, 8000.0, 300.0), 0.7)
        gradient = np.stack([*np.gradient(base, _VOXEL_MM)], axis=-1)
        half = np.argwhere(inside & (millimetres[..., 0] > 0))
        # Farthest-point sampling: centres of one hemisphere that lie as far from each other as they can.
        centres = [half[0]]
        while len(centres) < (n_regions + 1) // 2:
            nearest = np.min([np.linalg.norm(half - centre, axis=1) for centre in centres], axis=0)
            centres.append(half[int(np.argmax(nearest))])
        right = np.array(centres) * _VOXEL_MM + np.array(_ORIGIN_MM)
        both = np.concatenate([right, right * np.array([-1.0, 1.0, 1.0])])[:n_regions]
        owner = np.argmin(np.linalg.norm(millimetres[..., None, :] - both, axis=-1), axis=-1)
        codes = np.arange(n_regions) + 101
        atlas = np.where(inside, codes[owner], 0).astype(np.int16)
        return _Brain(base, gradient, millimetres, atlas, codes)

    def responses(self, effect: float, rng: np.random.Generator) -> Array:
        """Percent response of every voxel to each condition, ``(2, x, y, z)``, for one subject."""
        n = len(self.codes)
        # A quarter of the regions prefers each condition, another quarter responds to both.
        shared, strong = slice(2 * (n // 4), 3 * (n // 4)), effect * np.exp(rng.normal(0, 0.25))
        table = np.zeros((2, n))
        for condition in range(2):
            table[condition, condition * (n // 4) : (condition + 1) * (n // 4)] = strong
            table[condition, shared] = strong
        table *= rng.normal(1.0, 0.3, (1, n))
        table += rng.normal(0, 0.15 * effect, table.shape)
        lookup = np.zeros((2, self.codes.max() + 1))
        lookup[:, self.codes] = table
        return lookup[:, self.atlas]


def _design(n_blocks: int, rng: np.random.Generator) -> pd.DataFrame:
    kinds = rng.permutation([_CONDITIONS[i % 2] for i in range(n_blocks)])
    onsets = _LEAD_S + np.arange(n_blocks) * (_BLOCK_S + _REST_S)
    return pd.DataFrame({"onset": onsets, "duration": _BLOCK_S, "trial_type": kinds})


def _run(
    brain: _Brain,
    response: Array,
    events: pd.DataFrame,
    tr: float,
    noise: float,
    motion: float,
    rng: np.random.Generator,
) -> tuple[Array, pd.DataFrame]:
    """Volumes ``(x, y, z, time)`` as int16, and the six motion parameters."""
    from nilearn.glm.first_level import compute_regressor

    n_volumes = int(np.ceil((_LEAD_S + len(events) * (_BLOCK_S + _REST_S) + 4.0) / tr))
    time = np.arange(n_volumes) * tr
    percent = np.zeros((*_SHAPE, n_volumes))
    for condition, name in enumerate(_CONDITIONS):
        mine = events[events["trial_type"] == name]
        blocks = np.vstack((mine[["onset", "duration"]].to_numpy(float).T, np.ones((1, len(mine)))))
        regressor, _ = compute_regressor(blocks, "spm", time)
        percent += response[condition][..., None] * (regressor[:, 0] / max(np.abs(regressor).max(), 1e-12))
    percent += _noise(n_volumes, noise, rng) + _drift(n_volumes, rng)
    steps = rng.normal(size=(n_volumes, 6)).cumsum(axis=0)
    steps = (steps - steps[0]) / max(steps.std(), 1e-12) * motion
    steps[:, 3:] /= 60.0  # a turn of this many radians moves a voxel 60 mm from the centre as far as a shift
    displacement = steps[:, None, :3] + np.cross(steps[:, None, 3:], brain.millimetres.reshape(1, -1, 3))
    moved = -np.einsum("tvk,vk->vt", displacement, brain.gradient.reshape(-1, 3)).reshape(*_SHAPE, n_volumes)
    volumes = brain.base[..., None] * (1 + percent / 100) + moved
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    return np.clip(np.round(volumes), -32768, 32767).astype(np.int16), pd.DataFrame(steps, columns=names).round(6)


def _noise(n_volumes: int, level: float, rng: np.random.Generator) -> Array:
    """Noise correlated over neighbouring voxels and volumes (AR(1), 0.4), standard deviation `level`."""
    from scipy.ndimage import gaussian_filter
    from scipy.signal import lfilter

    white = rng.normal(size=(*_SHAPE, n_volumes))
    smooth = gaussian_filter(white, (0.8, 0.8, 0.8, 0.0))
    noise = lfilter([1.0], [1.0, -0.4], smooth, axis=-1)
    return np.asarray(noise * (level / noise.std()))


def _drift(n_volumes: int, rng: np.random.Generator) -> Array:
    """Slow drift: one linear and two cosine terms, of the whole brain and of each voxel, about one percent."""
    time = np.linspace(0, 1, n_volumes)
    terms = np.stack([time - 0.5, np.cos(np.pi * time), np.cos(2 * np.pi * time)])
    weights = rng.normal(0, 0.5, 3) + rng.normal(0, 0.3, (*_SHAPE, 3))
    return np.asarray(weights @ terms)


def _write_image(path: Path, data: Array, tr: float | None) -> None:
    import gzip

    import nibabel

    nib: Any = nibabel
    affine = np.diag([_VOXEL_MM, _VOXEL_MM, _VOXEL_MM, 1.0])
    affine[:3, 3] = _ORIGIN_MM
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code="mni")
    image.set_qform(affine, code="mni")
    image.header.set_xyzt_units("mm", "sec")
    if tr is not None:
        image.header.set_zooms((*([_VOXEL_MM] * 3), tr))
    # No time stamp in the gzip header: the same seed gives the same bytes.
    write_atomic(path, gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
