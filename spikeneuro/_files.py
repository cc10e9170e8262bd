"""Files that are whole or absent: atomic writes, checked reads and fingerprints."""

import csv
import hashlib
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spikeneuro.errors import DataNotFoundError, InputError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a temporary file in the same folder, fsync and rename.

    Raises
    ------
    InputError
        If the place cannot be written.
    """
    path = Path(path)
    with writable(path):
        _write(path, content.encode() if isinstance(content, str) else content)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn what making or writing a file or folder may raise into an `InputError` that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise InputError(f"{path} cannot be written ({reason}); choose another place.") from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            # A temporary file is for its owner alone; the result gets the permissions of any new file.
            Path(temporary).chmod(0o666 & ~_umask())
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Permissions that this process withholds; the system tells them only in exchange for new ones."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def read_arrays(path: Path) -> dict[str, Any]:
    """Arrays of an ``.npz`` file by name, never unpickled; a file that is absent or damaged is an `InputError`."""
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: truncated or damaged ({' '.join(str(error).split())}).") from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what reading a text file or table may raise into an `InputError` that names `path`."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: no such file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file (byte {error.start} is not {error.encoding}).") from error
    # pandas' EmptyDataError and ParserError are ValueErrors.
    except (OSError, ValueError, EOFError, csv.Error, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: empty, damaged or not a table ({' '.join(str(error).split())[:200]}).") from error


def read_table(path: str | Path, columns: Iterable[str] = (), **options: Any) -> Any:
    """Table (pandas DataFrame) of a text file.

    Parameters
    ----------
    path : path
    columns : iterable of str
        Columns that must be there.
    **options
        As for `pandas.read_csv`.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    InputError
        If it is empty, not text, has rows of different lengths, or lacks a column.
    """
    import pandas as pd

    path = Path(path)
    with readable(path):
        table = pd.read_csv(path, **options)
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"{path}: it has no column {missing[0]!r} (columns: {', '.join(map(str, table))}).")
    return table


def fingerprint(parts: Iterable[Any]) -> str:
    """SHA-256 (first 16 hexadecimal digits) of arrays, strings and numbers in their order.

    Arrays count with shape, dtype and content, everything else with type and ``repr``; each part is delimited,
    so that moving a boundary changes the result.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(f"array:{part.shape}:{part.dtype.str};".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, np.ndarray):
            digest.update(f"objects:{part.shape};".encode())
            digest.update(fingerprint(part.ravel().tolist()).encode())
        else:
            text = repr(part)
            digest.update(f"{type(part).__name__}:{len(text)}:{text};".encode())
    return digest.hexdigest()[:16]
