"""Recordings in one file: plain arrays and a JSON header in an ``.npz``, never pickle."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spikeneuro._files import write_atomic
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import DataNotFoundError, InputError

_FORMAT = 1
_DTYPES = {"i": "int64", "u": "int64", "f": "float64", "b": "bool"}


def save(recordings: Recordings, path: Path) -> Path:
    """Write `recordings` to `path` (``.npz`` is appended if it is missing)."""
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    arrays: dict[str, Any] = {"y": recordings.y}
    parts = []
    for number, key in enumerate(recordings.modalities):
        part = recordings.one(key)
        if part.ragged:
            arrays[f"X{number}"] = np.concatenate([x.ravel() for x in part.X])
            arrays[f"shape{number}"] = np.array([x.shape for x in part.X], dtype=np.int64)
        else:
            arrays[f"X{number}"] = part.X
        if part.positions is not None:
            arrays[f"positions{number}"] = part.positions
        parts.append({"key": key, "sfreq": part.sfreq, "names": part.names, "modality": part.modality})
    header = {
        "format": _FORMAT,
        "fingerprint": recordings.fingerprint,
        "parts": parts,
        "metadata": [_column(recordings.metadata[name]) for name in recordings.metadata],
        "label_names": recordings.label_names,
        "simulated": recordings.simulated,
        "description": recordings.description,
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    write_atomic(path, stream.getvalue())
    return path


def _column(column: "pd.Series[Any]") -> dict[str, Any]:
    dtype = _DTYPES.get(column.dtype.kind, "str")
    values = column.tolist()
    if dtype == "str" and not all(isinstance(value, str) for value in values):
        raise InputError(f"metadata column {column.name!r} mixes types; make it text or numbers before saving.")
    return {"name": column.name, "dtype": dtype, "values": values}


def load(path: Path) -> Recordings:
    """Read the file that `save` wrote."""
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays["header"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged, or not written by Recordings.save ({error}).") from error
    if header.get("format") != _FORMAT:
        raise InputError(f"{path}: format {header.get('format')} is not known to this version (it reads {_FORMAT}).")
    fields: dict[str, dict[Any, Any]] = {f: {} for f in ("X", "sfreq", "names", "modality", "positions")}
    for number, part in enumerate(header["parts"]):
        fields["X"][part["key"]] = _samples(arrays, number)
        fields["positions"][part["key"]] = arrays.get(f"positions{number}")
        for field in ("sfreq", "names", "modality"):
            fields[field][part["key"]] = part[field]
    single = None in fields["X"]
    table = {c["name"]: pd.Series(c["values"], dtype=c["dtype"]) for c in header["metadata"]}
    content: dict[str, Any] = {field: values[None] if single else values for field, values in fields.items()}
    content |= {field: header[field] for field in ("label_names", "simulated", "description")}
    recordings = Recordings(**content, y=arrays["y"], metadata=pd.DataFrame(table, index=range(len(arrays["y"]))))
    if recordings.fingerprint != header["fingerprint"]:
        raise InputError(f"{path}: its content does not match its fingerprint; the file was changed or damaged.")
    return recordings


def _samples(arrays: dict[str, Any], number: int) -> Any:
    X = arrays[f"X{number}"]
    if f"shape{number}" not in arrays:
        return X
    shapes = arrays[f"shape{number}"]
    ends = np.cumsum(shapes.prod(axis=1))
    ragged = np.empty(len(shapes), dtype=object)
    for i, shape in enumerate(shapes):
        ragged[i] = X[ends[i] - shape.prod() : ends[i]].reshape(shape)
    return ragged
