"""Reading NIfTI images so that what is damaged, mislabelled or on another grid is said, not averaged."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro._validation import check_number
from spikeneuro.errors import DataNotFoundError, InputError

Array = NDArray[Any]

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
_TR_RANGE = (0.05, 20.0)


def _nibabel() -> Any:
    """The package, untyped: its partial annotations do not allow what its documentation shows."""
    import nibabel

    return nibabel


def load_image(image: Any, n_dims: int) -> tuple[Any, str]:
    """Image in memory, and its name for messages; truncated and misshapen files raise."""
    from nibabel.filebasedimages import ImageFileError

    name = str(image) if isinstance(image, (str, Path)) else (getattr(image, "get_filename", str)() or "image")
    try:
        loaded = _nibabel().load(Path(image)) if isinstance(image, (str, Path)) else image
        data = np.asanyarray(loaded.dataobj)
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{name}: no such file.") from error
    except (EOFError, OSError, ValueError, zlib.error, ImageFileError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: truncated, damaged or not an image ({text}).") from error
    if data.ndim == n_dims + 1 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != n_dims:
        raise InputError(f"{name}: {n_dims} dimensions are needed, it has shape {data.shape}.")
    return _nibabel().Nifti1Image(data, loaded.affine, loaded.header, dtype=data.dtype), name


def repetition_time(image: Any, name: str, tr: float | None) -> float:
    """Repetition time in seconds: `tr` if given, else from the header if it can be believed."""
    if tr is not None:
        return float(check_number(tr, "tr", low=0, closed="neither"))
    value = float(image.header.get_zooms()[3])
    unit = image.header.get_xyzt_units()[1]
    seconds = value * _SECONDS.get(unit, float("nan"))
    if not _TR_RANGE[0] <= seconds <= _TR_RANGE[1]:
        hint = " (milliseconds, probably)" if unit in ("sec", "unknown") and 50 <= value <= 20000 else ""
        raise InputError(
            f"{name}: the header's repetition time is {value:g} in unit {unit!r}{hint}, which cannot be right; pass "
            "tr= in seconds."
        )
    return round(seconds, 6)


def load_mask(mask: Any) -> tuple[Any, str]:
    """Binary mask image (one non-zero value)."""
    image, name = load_image(mask, 3)
    data = np.asanyarray(image.dataobj)
    values = np.unique(data)
    if not np.isfinite(values).all() or len(values) > 2 or not values.any():
        raise InputError(f"{name}: a mask has zeros and one other value; it holds {len(values)} values.")
    return _nibabel().Nifti1Image((data != 0).astype(np.uint8), image.affine), name


def load_atlas(atlas: Any) -> tuple[Any, str, list[int]]:
    """Atlas of integer labels (0 is background), and its labels.

    Codes are kept in 32 bits: those of common atlases (3455, ...) would wrap in the 8 or 16 bits of some files.
    """
    image, name = load_image(atlas, 3)
    data = np.asanyarray(image.dataobj)
    if not np.isfinite(data).all() or not np.array_equal(data, np.round(data)) or np.abs(data).max() >= 2**31:
        raise InputError(f"{name}: an atlas holds one whole number per region; this one has other values.")
    if data.min() < 0:
        raise InputError(f"{name}: region code {int(data.min())} is negative.")
    codes = [int(code) for code in np.unique(data) if code != 0]
    if not codes:
        raise InputError(f"{name}: the atlas is empty (all zero).")
    return _nibabel().Nifti1Image(data.astype(np.int32), image.affine), name, codes


def finite_inside(image: Any, name: str, where: Any) -> Any:
    """Image without NaN; values that are not finite may only lie outside `where` (mask or atlas)."""
    from nilearn.image import resample_to_img

    data = np.asanyarray(image.dataobj)
    if data.dtype.kind != "f" or np.isfinite(data).all():
        return image
    bad = ~np.isfinite(data)
    grid = resample_to_img(
        where, _nibabel().Nifti1Image(np.zeros(data.shape[:3]), image.affine), interpolation="nearest"
    )
    inside = bad & (np.asanyarray(grid.dataobj) != 0)[..., None]
    if inside.any():
        place = tuple(int(i) for i in np.argwhere(inside)[0])
        raise InputError(
            f"{name}: {int(inside.sum())} value(s) inside the mask or atlas are NaN or infinite, the first at voxel "
            f"{place[:3]}, volume {place[3]}."
        )
    return _nibabel().Nifti1Image(np.where(bad, 0, data), image.affine, image.header)


def places(image: Any, codes: list[int] | None) -> Array:
    """Centres in metres (the image's world space) of a mask's voxels, or of an atlas' regions."""
    data = np.asanyarray(image.dataobj)
    if codes is None:
        voxels = np.argwhere(data != 0).astype(float)
    else:
        voxels = np.array([np.argwhere(data == code).mean(axis=0) for code in codes])
    return np.asarray(_nibabel().affines.apply_affine(image.affine, voxels) / 1000.0)


def select_volumes(image: Any, chosen: Array) -> Any:
    """Image of some of the volumes of another."""
    return _nibabel().Nifti1Image(np.asanyarray(image.dataobj)[..., chosen], image.affine, image.header)
