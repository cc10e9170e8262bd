"""Recordings from pictures: a folder (or zip) with one subfolder per class, and IDX files."""

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro._files import read_table
from spikeneuro._validation import suggestion
from spikeneuro.data._checks import encode_labels
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import DataNotFoundError, InputError

Array = NDArray[Any]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")


def from_image_folder(
    root: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    grayscale: bool = True,
    classes: Sequence[str] | None = None,
    subject: str | None = None,
    index: Any = None,
    description: str = "",
) -> Recordings:
    """Read images labelled by the folder they lie in.

    Parameters
    ----------
    root : path
        Folder or ``.zip``; images are found at any depth, the class is the name of the folder right above each.
    size : int or (int, int), optional
        Height and width to resize to (Pillow's bilinear with antialiasing); without it all images must be of one size.
    grayscale : bool
        One channel (ITU-R 601 luma) instead of three.
    classes : sequence of str, optional
        Folders to read, in the order of the classes; by default all, sorted.
    subject : str, optional
        Regular expression searched in each relative path; its first group is the ``subject``.
    index : path or DataFrame, optional
        Table with a column ``path`` (relative to `root`); its other columns become metadata, such as ``subject`` and
        ``slice``. Every image must be in it.
    description : str
        Origin of the data.

    Returns
    -------
    Recordings
        Images ``(n, channels, height, width)`` float32 in [0, 1], in the order of their sorted paths; column ``file``.

    Raises
    ------
    InputError
        If an image cannot be read, sizes differ, a class or an index row is missing, or `subject` does not match.
    """
    files, read = _listing(Path(root))
    by_class = {file: PurePosixPath(file).parent.name for file in files}
    found = sorted({name for name in by_class.values() if name})
    wanted = found if classes is None else [str(name) for name in classes]
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise InputError(f"{root}: no folder {unknown[0]!r} with images; {suggestion(unknown[0], found)}")
    files = [file for file in files if by_class[file] in wanted]
    if not files:
        raise InputError(f"{root}: no image in a subfolder (one folder per class; {', '.join(_SUFFIXES)}).")
    images = [_decode(read(file), f"{root}/{file}", size, grayscale) for file in files]
    odd = next((i for i, image in enumerate(images) if image.shape != images[0].shape), None)
    if odd is not None:
        raise InputError(
            f"images differ in size: {files[0]} is {images[0].shape[1:]}, {files[odd]} is {images[odd].shape[1:]} "
            "(height, width); give size=(height, width)."
        )
    table = pd.DataFrame({"file": files})
    if subject is not None:
        table["subject"] = [_subject(subject, file) for file in files]
    if index is not None:
        table = _with_index(table, index)
    y, names = encode_labels([by_class[file] for file in files], wanted)
    return Recordings(np.stack(images), y, table, None, modality="image", label_names=names, description=description)


def _listing(root: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Relative paths of all images, sorted, and a function that reads one."""
    if root.is_dir():
        files = sorted(
            path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES
        )
        return files, lambda file: (root / file).read_bytes()
    if not root.is_file():
        raise DataNotFoundError(f"{root}: no such folder or zip file.")
    try:
        archive = zipfile.ZipFile(root)
    except zipfile.BadZipFile as error:
        raise InputError(f"{root}: truncated, or not a zip file ({error}).") from error

    def read(file: str) -> bytes:
        try:
            return archive.read(file)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(f"{root}: {file} in it is damaged ({error}).") from error

    return sorted(f for f in archive.namelist() if f.lower().endswith(_SUFFIXES)), read


def _decode(content: bytes, name: str, size: int | tuple[int, int] | None, grayscale: bool) -> Array:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            # 16-bit gray would be clipped, not scaled, by a conversion to 8 bits.
            deep = image.mode.startswith("I") or image.mode == "F"
            pixels = image.convert("F" if deep else "L" if grayscale else "RGB")
            top = (65535.0 if image.mode.startswith("I;16") else None) if deep else 255.0
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name}: truncated, or not an image ({' '.join(str(error).split())}).") from error
    if top is None or (deep and not grayscale):
        raise InputError(f"{name}: its pixel format has no known range; convert it to 8 bits first.")
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(pixels, dtype=np.float32) / np.float32(top)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _subject(pattern: str, file: str) -> str:
    try:
        match = re.search(pattern, file)
        found = match and match.group(1)
    except (re.error, IndexError) as error:
        raise InputError(f"subject={pattern!r} must be a regular expression with one group ({error}).") from error
    if not found:
        raise InputError(f"{file}: the subject pattern {pattern!r} does not match it.")
    return str(found)


def _with_index(table: pd.DataFrame, index: Any) -> pd.DataFrame:
    rows = index if isinstance(index, pd.DataFrame) else read_table(index, ("path",))
    if "path" not in rows:
        raise InputError(f"the index has no column 'path'; it has {', '.join(map(str, rows.columns))}.")
    twice = rows["path"][rows["path"].duplicated()]
    if len(twice):
        raise InputError(f"the index lists {twice.iloc[0]!r} twice.")
    missing = sorted(set(table["file"]) - set(rows["path"]))
    if missing:
        raise InputError(f"{missing[0]} is not in the index ({len(missing)} image(s) are not).")
    rows = rows.set_index("path").loc[table["file"]].reset_index(drop=True)
    return pd.concat([table, rows.drop(columns=[c for c in rows if c in table])], axis=1)


_IDX_TYPES: Mapping[int, str] = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def from_idx(
    images: str | Path, labels: str | Path, *, label_names: Sequence[str] | None = None, description: str = ""
) -> Recordings:
    """Read images and labels in the IDX format (MNIST and its relatives), plain or gzipped.

    Parameters
    ----------
    images, labels : path
        Files ``*-images-idx3-ubyte[.gz]`` and ``*-labels-idx1-ubyte[.gz]``.
    label_names : sequence of str, optional
        Names of the classes.
    description : str
        Origin of the data.

    Returns
    -------
    Recordings
        Images ``(n, 1, height, width)`` float32 in [0, 1] (unsigned bytes are divided by 255); column ``image``.

    Raises
    ------
    InputError
        If a file is truncated, not IDX, of the wrong dimension, or the two differ in length.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE 86(11), 1998.
    """
    pixels, target = read_idx(Path(images)), read_idx(Path(labels))
    if pixels.ndim != 3 or target.ndim != 1:
        raise InputError(f"{images} has {pixels.ndim} dimensions and {labels} {target.ndim}; images need 3, labels 1.")
    if len(pixels) != len(target):
        raise InputError(f"{images} holds {len(pixels)} images but {labels} {len(target)} labels.")
    if pixels.dtype != np.uint8:
        raise InputError(f"{images}: pixels of type {pixels.dtype} have no known range; unsigned bytes are expected.")
    return Recordings(
        pixels[:, None].astype(np.float32) / np.float32(255),
        target.astype(np.int64),
        {"image": np.arange(len(target))},
        None,
        modality="image",
        label_names=label_names,
        description=description,
    )


def read_idx(path: Path) -> Array:
    """Array of one IDX file."""
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file.")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: truncated or damaged gzip file ({error}).") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise InputError(f"{path}: not an IDX file (it starts with {content[:4].hex() or 'nothing'}).")
    dtype, n_dims = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * n_dims
    if len(content) < start:
        raise InputError(f"{path}: truncated within its header.")
    shape = struct.unpack(f">{n_dims}I", content[4:start])
    expected = start + int(np.prod(shape)) * dtype.itemsize
    if len(content) != expected:
        what = "truncated" if len(content) < expected else "too long"
        raise InputError(f"{path}: {what}: {len(content)} bytes where its header {shape} needs {expected}.")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
