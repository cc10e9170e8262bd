"""Where channels and regions lie in the brain: coordinates in MNI space, in millimetres, from real sources only.

Nothing here needs a network connection, and nothing is guessed: electrodes come from the montages of MNE, regions from
an atlas image or from the tables that nilearn brings along, neurons from nilearn's mask of the MNI152 brain.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from spikeneuro._validation import check_choice, check_finite, check_number, suggestion
from spikeneuro.errors import InputError

Floats = NDArray[np.float64]

#: The montage of MNE that is measured in MNI space, as are its parts; others are aligned with it.
TEMPLATE: Final = "standard_1005"
#: How the names of those begin (the second in newer releases of MNE); either is understood.
_IN_MNI: Final = ("standard_", "colin27_")
#: Tables of regions that nilearn brings along: function of `nilearn.datasets` for each.
BUNDLED: Final = {
    "power_2011": "fetch_coords_power_2011",
    "dosenbach_2010": "fetch_coords_dosenbach_2010",
    "seitzman_2018": "fetch_coords_seitzman_2018",
}
#: Resolution, in millimetres, of the brain mask onto which electrodes are projected.
_MASK_MM = 2


def electrode_positions(names: Sequence[str], montage: str = TEMPLATE, *, project: bool = True) -> Floats:
    """Cortex below EEG electrodes, in MNI space.

    Scalp positions are those of MNE's montage ``standard_1005`` (343 names of the 10-05 system, the 10-20 and 10-10
    systems and the old names T3 to T6 among them), which was measured on the Colin27 head, in MNI coordinates. A
    montage of another coordinate frame is brought there by the similarity (rotation, shift, one factor) that fits its
    nasion and ears best. Then each electrode is moved to the nearest voxel of the MNI152 brain mask of nilearn.

    Parameters
    ----------
    names : sequence of str
        Electrodes; upper and lower case do not matter.
    montage : str, default "standard_1005"
        Any built-in montage of MNE, for caps with names of their own.
    project : bool, default True
        Whether to move the electrodes onto the brain; else positions on the scalp.

    Returns
    -------
    ndarray, shape (len(names), 3)
        Right, anterior, superior of the anterior commissure, in millimetres.

    Raises
    ------
    InputError
        For an unknown montage, a name that is not in it, or a name that occurs twice.

    Notes
    -----
    Heads differ: against measured projections these positions are off by about a centimetre, the size of a cube's
    neuron. Where digitised positions of a subject exist, co-register them with MNE and give them to the cube instead.

    References
    ----------
    Oostenveld and Praamstra (2001), doi:10.1016/S1388-2457(00)00527-7 (10-05 system).
    Okamoto et al. (2004), doi:10.1016/j.neuroimage.2003.08.026 (projection to cortex).

    Examples
    --------
    >>> electrode_positions(["Cz"], project=False).round().tolist()
    [[0.0, -9.0, 100.0]]
    """
    wanted = _names(names)
    found = _montage(montage)
    places = {name.lower(): np.asarray(place) for name, place in found["ch_pos"].items()}
    for name in wanted:
        if name.lower() not in places:
            raise InputError(
                f"electrode {name!r} is not in montage {montage!r}: {_like(name, found['ch_pos'])} "
                "Rename the channel, leave it out (EOG, ECG, reference), or give positions of your own."
            )
    scalp = 1000.0 * np.array([places[name.lower()] for name in wanted])
    if not montage.startswith(_IN_MNI):
        scalp = _similarity(_fiducials(found, montage), _fiducials(_montage(TEMPLATE), TEMPLATE))(scalp)
    return _onto_brain(scalp) if project else scalp


def roi_positions(atlas: Any, labels: Iterable[int] | None = None, *, n_rois: int | None = None) -> Floats:
    """Centres of the regions of an atlas, in the atlas's own space (MNI for the usual ones).

    Parameters
    ----------
    atlas : path or nibabel image
        Whole numbers, one for each region, 0 outside all (Harvard-Oxford, AAL, Schaefer ...); or four-dimensional, one
        map a region (MSDL, DiFuMo), whose centres are weighted by the map. Probabilistic maps may overlap.
    labels : iterable of int, optional
        Numbers of the regions in the order of the signals; by default all, in rising order. Maps count from 1.
    n_rois : int, optional
        Number of signals, to be checked against the atlas.

    Returns
    -------
    ndarray, shape (regions, 3)
        Centroids in millimetres. That of a region on both sides lies between them: prefer atlases with a label for
        each side.

    Raises
    ------
    InputError
        If the image cannot be read or holds something else, a label is not in it, or the number of regions is not
        `n_rois`.

    Notes
    -----
    Atlas images are not part of this package and mostly not of nilearn either: ``nilearn.datasets.fetch_atlas_*``
    downloads them.

    Examples
    --------
    >>> import nibabel
    >>> image = np.zeros((4, 4, 4), dtype=np.int16)
    >>> image[1, 1, 1], image[2:4, 3, 0] = 1, 2
    >>> roi_positions(nibabel.Nifti1Image(image, np.diag([10.0, 10.0, 10.0, 1.0])))
    array([[10., 10., 10.],
           [25., 30.,  0.]])
    """
    image = _atlas(atlas)
    values = np.asarray(image.dataobj)
    check_finite(values, "atlas")
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    weights = _maps(values) if values.ndim == 4 else _labelled(values)
    wanted = sorted(weights) if labels is None else [int(label) for label in labels]
    absent = [label for label in wanted if label not in weights]
    if absent:
        raise InputError(
            f"the atlas has no region {absent[0]} ({len(absent)} such in all); it holds {len(weights)} regions, "
            f"numbered {min(weights)} to {max(weights)}."
        )
    if n_rois is not None and len(wanted) != n_rois:
        raise InputError(
            f"there are {n_rois} regional signals, but {len(wanted)} regions in the atlas; use the atlas from which "
            "the signals were taken, or name its regions in their order with labels=."
        )
    centres = [np.average(voxels, axis=0, weights=weight) for voxels, weight in map(weights.__getitem__, wanted)]
    affine = np.asarray(image.affine, dtype=np.float64)
    return np.asarray(centres @ affine[:3, :3].T + affine[:3, 3])


def bundled_positions(name: str) -> Floats:
    """Centres of the regions of a published table that nilearn brings along, in MNI space.

    Parameters
    ----------
    name : {"power_2011", "dosenbach_2010", "seitzman_2018"}
        264, 160 and 300 regions.

    Returns
    -------
    ndarray, shape (regions, 3)
        Millimetres, in the order of the table.

    Raises
    ------
    InputError
        For another name. Coordinates of other atlases are not bundled: see `roi_positions`.

    References
    ----------
    Power et al. (2011), doi:10.1016/j.neuron.2011.09.006. Dosenbach et al. (2010), doi:10.1126/science.1194144.
    Seitzman et al. (2020), doi:10.1016/j.neuroimage.2019.116290.

    Examples
    --------
    >>> bundled_positions("power_2011").shape
    (264, 3)
    """
    if name not in BUNDLED:
        raise InputError(
            f"coordinates of {name!r} are not bundled, only those of {', '.join(BUNDLED)}; for another atlas get its "
            "image (nilearn.datasets.fetch_atlas_*) and use roi_positions(image)."
        )
    from nilearn import datasets

    fetch: Callable[[], Any] = getattr(datasets, BUNDLED[name])
    return fetch().rois[["x", "y", "z"]].to_numpy(dtype=np.float64)


def brain_grid(spacing: float = 10.0) -> Floats:
    """Points of a regular grid inside the MNI152 brain: places for the neurons of a cube.

    Parameters
    ----------
    spacing : float, default 10
        Distance of neighbours in millimetres, at least 2: 10 mm gives 1879 neurons, 4.5 mm about 20 000.

    Returns
    -------
    ndarray, shape (n, 3)
        Coordinates; the grid goes through the origin, the anterior commissure.

    Examples
    --------
    >>> brain_grid(20.0).shape
    (239, 3)
    """
    check_number(spacing, "spacing", low=2.0)
    voxels, affine, inside = _brain()
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    axes = [
        spacing * np.arange(np.ceil(a / spacing), np.floor(b / spacing) + 1) for a, b in zip(low, high, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    index = np.rint((points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(np.intp)
    index = index.clip(0, np.array(inside.shape) - 1)
    return np.asarray(points[inside[tuple(index.T)]])


def box_grid(positions: ArrayLike, shape: tuple[int, int, int] = (10, 10, 10)) -> Floats:
    """Points of a regular grid around given positions, for inputs that are in no standard space.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        What the box is to hold, in any unit of length.
    shape : (int, int, int), default (10, 10, 10)
        Points along each axis. Their distance is the same along all, so large that all positions lie within the box.

    Returns
    -------
    ndarray, shape (product of `shape`, 3)
        Coordinates, the last axis fastest.

    Examples
    --------
    >>> box_grid([[0, 0, 0], [9, 2, 0]])[[0, -1]].tolist()
    [[0.0, -3.5, -4.5], [9.0, 5.5, 4.5]]
    """
    from spikeneuro.reservoir.wiring import grid

    places = check_positions(positions, "positions")
    points = grid(int(np.prod(shape)), shape)
    last = np.asarray(shape, dtype=np.float64) - 1
    extent = places.max(axis=0) - places.min(axis=0)
    needed = [size / steps if steps else np.inf for size, steps in zip(extent, last, strict=True) if size > 0]
    spacing = max(needed, default=1.0)
    if not np.isfinite(spacing):
        raise InputError(f"positions differ along an axis on which shape={tuple(shape)} has a single point.")
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    return np.asarray(middle + spacing * (points - last / 2))


def check_positions(positions: ArrayLike, name: str) -> Floats:
    """Return positions as a finite table of three columns."""
    try:
        places = np.asarray(positions, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a table of three coordinates each: {error}.") from error
    if places.ndim != 2 or places.shape[1] != 3 or not len(places):
        raise InputError(f"{name} must have the shape (n, 3): x, y, z of each, got {places.shape}.")
    return check_finite(places, name)


def _like(name: str, known: Iterable[str]) -> str:
    """Sentence that offers the name that was meant, also if words stand around it, or shows what names look like."""
    by_lower = {each.lower(): each for each in known}
    words = [word for word in re.split(r"[^0-9a-z']+", name.lower()) if word in by_lower]
    if words:
        return f"did you mean {by_lower[words[0]]!r}?"
    near = suggestion(name, by_lower.values())
    few = ", ".join(list(by_lower.values())[:8])
    return near if near.startswith("did you mean") else f"its {len(by_lower)} names are like {few}."


def _names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise InputError(f"names must be a list of electrodes, got the single string {names!r}.")
    given = list(names) if isinstance(names, Iterable) else [names]
    if not given or not all(isinstance(name, str) for name in given):
        raise InputError(f"names must be a list of electrodes, got {given[:3]!r}.")
    lower = [name.lower() for name in given]
    twice = [name for name in given if lower.count(name.lower()) > 1]
    if twice:
        raise InputError(f"electrode {twice[0]!r} occurs {lower.count(twice[0].lower())} times in names.")
    return given


def _montage(name: str) -> dict[str, Any]:
    import mne

    built_in = mne.channels.get_builtin_montages()
    prefix, _, rest = name.partition("_")
    other = {"standard": "colin27", "colin27": "standard"}.get(prefix)
    if name not in built_in and f"{other}_{rest}" in built_in:  # renamed in MNE 1.13
        name = f"{other}_{rest}"
    check_choice(name, built_in, "montage")
    return dict(mne.channels.make_standard_montage(name).get_positions())


def _fiducials(found: dict[str, Any], montage: str) -> Floats:
    points = [found[name] for name in ("nasion", "lpa", "rpa")]
    if any(point is None for point in points):
        raise InputError(
            f"montage {montage!r} names neither nasion nor ears and cannot be aligned with MNI space; use "
            f"{TEMPLATE!r}, or give positions of your own."
        )
    return 1000.0 * np.array(points)


def _similarity(source: Floats, target: Floats) -> Callable[[Floats], Floats]:
    """Rotation, shift and one factor that bring `source` nearest to `target` (Umeyama, 1991)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    left, values, right = np.linalg.svd(b.T @ a)
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ mirror @ right
    factor = (values * np.diag(mirror)).sum() / (a**2).sum()
    return lambda points: factor * (points - source.mean(axis=0)) @ rotation.T + target.mean(axis=0)


def _brain() -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Voxel centres inside the brain, affine and mask."""
    from nilearn import datasets

    image = datasets.load_mni152_brain_mask(resolution=_MASK_MM)
    inside, affine = np.asarray(image.dataobj) > 0, np.asarray(image.affine, dtype=np.float64)
    return np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3], affine, inside


def _onto_brain(points: Floats) -> Floats:
    voxels = _brain()[0]
    return np.asarray(voxels[cKDTree(voxels).query(points)[1]])


def _atlas(atlas: Any) -> Any:
    import nibabel

    if hasattr(atlas, "dataobj"):
        image = atlas
    else:
        try:
            image = nibabel.load(atlas)
        except (OSError, TypeError, nibabel.filebasedimages.ImageFileError) as error:
            raise InputError(
                f"atlas {str(atlas)!r} cannot be read ({error}); give the path of a NIfTI image, as "
                "nilearn.datasets.fetch_atlas_* downloads them."
            ) from error
    if len(image.shape) not in (3, 4):
        raise InputError(f"an atlas has three or four dimensions, got shape {image.shape}.")
    return image


def _labelled(values: NDArray[Any]) -> dict[int, tuple[NDArray[Any], Floats]]:
    if (values != np.rint(values)).any() or values.min() < 0:
        raise InputError("an atlas of three dimensions holds whole numbers from 0, one for each region.")
    voxels = np.argwhere(values > 0)
    if not len(voxels):
        raise InputError("the atlas holds no region: all voxels are 0.")
    codes = values[tuple(voxels.T)].astype(np.int64)
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    pieces = np.split(voxels[order], starts[1:])
    return {int(code): (piece, np.ones(len(piece))) for code, piece in zip(found, pieces, strict=True)}


def _maps(values: NDArray[Any]) -> dict[int, tuple[NDArray[Any], Floats]]:
    regions = {}
    for number in range(values.shape[3]):
        weight = np.clip(values[..., number], 0, None)
        voxels = np.argwhere(weight > 0)
        if not len(voxels):
            raise InputError(f"map {number + 1} of the atlas has no positive voxel.")
        regions[number + 1] = (voxels, weight[tuple(voxels.T)].astype(np.float64))
    return regions
