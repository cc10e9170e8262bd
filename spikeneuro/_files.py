"""Files that are whole or absent: atomic writes, checked reads and fingerprints."""

import hashlib
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from spikeneuro.errors import DataNotFoundError, InputError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a temporary file in the same folder, fsync and rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
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
