"""The store of a run: one SQLite file, one writer, one transaction per finished cell.

Write-ahead logging with ``synchronous=FULL``: a row is on the disk, whole, when `Store.write` returns, and a
process killed at any moment loses at most the cell it was computing. Readers may look at any time.
"""

import io
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spikeneuro._files import writable
from spikeneuro.bench.schema import (
    APPLICATION_ID,
    CELL_COLUMNS,
    COORDINATES,
    COUNTS,
    EXPERIMENT_COLUMNS,
    RUN_COLUMNS,
    SCHEMA,
    VERSION,
)
from spikeneuro.errors import DataNotFoundError, InputError

FILE_NAME = "results.sqlite"


class Store:
    """Results of one run folder.

    Parameters
    ----------
    path : path-like
        The run folder or the SQLite file in it.
    create : bool
        Make the folder and the file if they are not there (for the writing process); otherwise their absence is an
        error.

    Raises
    ------
    DataNotFoundError
        If there is no store at `path` and `create` is False.
    InputError
        If the file is damaged, is no store, or was written with another layout.

    Examples
    --------
    >>> import tempfile
    >>> from spikeneuro.bench.store import Store
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
    ...     store.write({"key": "k", "experiment": "e", "candidate": "c", "fold": 0, "seed": 0, "status": "ok"})
    ...     [row["key"] for row in store.rows()]
    ['k']
    """

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        path = Path(path)
        self.path = path if path.suffix == ".sqlite" else path / FILE_NAME
        if not self.path.is_file():
            if not create:
                raise DataNotFoundError(f"no results at {self.path}; `spikeneuro run SUITE --out DIR` makes them.")
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _connect(self.path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(
        self,
        row: Mapping[str, Any],
        predictions: Mapping[str, NDArray[Any]] | None = None,
        raster: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Write one cell in one transaction; a row with the same key is replaced.

        Parameters
        ----------
        row : mapping
            Values by column (see `spikeneuro.bench.schema`); columns left out are NULL. Lists and dicts are kept as
            JSON.
        predictions, raster : mapping of str to ndarray, optional
            Arrays kept beside the row; object arrays are refused.
        """
        values = _encoded(row, CELL_COLUMNS, "cells")
        key = row["key"]
        with self._connection as connection:
            connection.execute("DELETE FROM cells WHERE key = ?", (key,))
            _insert(connection, "cells", values)
            for table, arrays in (("predictions", predictions), ("rasters", raster)):
                connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608 - fixed names
                if arrays is not None:
                    _insert(connection, table, {"key": key, "data": _packed(arrays)})

    def write_plan(self, cells: Iterable[Mapping[str, Any]], experiments: Iterable[Mapping[str, Any]]) -> None:
        """Replace the list of cells that make up the suite, and the description of its experiments.

        Rows whose key is not in the list are kept, and no longer counted; a row computed earlier whose key is in
        the list again counts again.
        """
        with self._connection as connection:
            connection.execute("DELETE FROM plan")
            connection.execute("DELETE FROM experiments")
            for position, cell in enumerate(cells):
                _insert(
                    connection, "plan", {"position": position, **{name: cell[name] for name in ("key", *COORDINATES)}}
                )
            for experiment in experiments:
                _insert(connection, "experiments", _encoded(experiment, EXPERIMENT_COLUMNS, "experiments"))

    def start_run(self, run: Mapping[str, Any]) -> int:
        """Note the beginning of a run; returns its number for `end_run`."""
        with self._connection as connection:
            return int(_insert(connection, "runs", _encoded(run, RUN_COLUMNS, "runs")))

    def end_run(self, number: int, ended: str) -> None:
        """Note the time at which run `number` came to its end; an interrupted run has none."""
        with self._connection as connection:
            connection.execute("UPDATE runs SET ended = ? WHERE id = ?", (ended, number))

    def rows(self, experiment: str | None = None, status: str | None = None) -> list[dict[str, Any]]:
        """Rows that count, one per cell of the plan, in the plan's order (in a store without plan: newest per cell).

        Parameters
        ----------
        experiment : str, optional
            Only the rows of this experiment.
        status : {"ok", "failed"}, optional
            Only finished or only failed cells.
        """
        if self._planned():
            query = "SELECT cells.* FROM plan JOIN cells USING (key) ORDER BY plan.position"
        else:
            same = ", ".join(COORDINATES)
            query = f"SELECT * FROM cells WHERE id IN (SELECT max(id) FROM cells GROUP BY {same}) ORDER BY id"  # noqa: S608
        rows = [_decoded(row, CELL_COLUMNS) for row in self._connection.execute(query)]
        return [
            row
            for row in rows
            if (experiment is None or row["experiment"] == experiment) and (status is None or row["status"] == status)
        ]

    def counts(self, experiment: str | None = None, candidate: str | None = None) -> dict[str, int]:
        """How many cells are planned, ok, failed, missing, and stale.

        Stale cells are among the missing ones: the store holds a row for their place in the plan, made under another
        definition, data or source text.
        """
        ok, failed, planned, stale = self._connection.execute(
            COUNTS, {"experiment": experiment, "candidate": candidate}
        ).fetchone()
        return {"planned": planned, "ok": ok, "failed": failed, "missing": planned - ok - failed, "stale": stale}

    def statuses(self) -> dict[str, str]:
        """Status of every cell ever written, by key."""
        return dict(self._connection.execute("SELECT key, status FROM cells"))

    def predictions(self, key: str) -> dict[str, NDArray[Any]]:
        """Arrays of predictions of the cell with this key; empty if it has none."""
        return self._arrays("predictions", key)

    def raster(self, key: str) -> dict[str, NDArray[Any]]:
        """Arrays of the spike raster of the cell with this key; empty if it has none."""
        return self._arrays("rasters", key)

    def experiments(self) -> list[dict[str, Any]]:
        """Experiments of the suite in their order."""
        rows = self._connection.execute("SELECT * FROM experiments ORDER BY rowid")
        return [_decoded(row, EXPERIMENT_COLUMNS) for row in rows]

    def plan(self) -> list[dict[str, Any]]:
        """Cells of the suite in their order: key, experiment, candidate, fold, seed."""
        rows = self._connection.execute("SELECT * FROM plan ORDER BY position")
        return [{name: row[name] for name in ("key", *COORDINATES)} for row in rows]

    def runs(self) -> list[dict[str, Any]]:
        """Runs that wrote into this store, oldest first."""
        return [_decoded(row, RUN_COLUMNS) for row in self._connection.execute("SELECT * FROM runs ORDER BY id")]

    def _planned(self) -> bool:
        return self._connection.execute("SELECT 1 FROM plan LIMIT 1").fetchone() is not None

    def _arrays(self, table: str, key: str) -> dict[str, NDArray[Any]]:
        found = self._connection.execute(f"SELECT data FROM {table} WHERE key = ?", (key,)).fetchone()  # noqa: S608
        if found is None:
            return {}
        with np.load(io.BytesIO(found["data"]), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _connect(path: Path) -> sqlite3.Connection:
    """Open `path`, checked for damage and layout; a new file gets the layout."""
    connection = sqlite3.connect(path, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        _check(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise InputError(f"{path} cannot be read as a store ({error}); move it away to start afresh.") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a damaged file, a foreign one and another layout; give an empty one ours."""
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise InputError(f"{path} is damaged ({' '.join(problem.split())}); move it away to start afresh.")
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == 0 and tables == 0:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        )
    elif application != APPLICATION_ID:
        raise InputError(f"{path} is an SQLite file of another program; choose another folder.")
    elif version != VERSION:
        raise InputError(
            f"{path} has layout {version}, this version reads layout {VERSION}; move it away or use the other version."
        )
    connection.execute("PRAGMA synchronous = FULL")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for one writing run; a second one is refused.

    The lock is an SQLite transaction, which every system ends with its process, however that dies.

    Raises
    ------
    InputError
        If another run holds the folder, or it cannot be written.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            connection = sqlite3.connect(folder / ".lock", timeout=0, isolation_level=None)
            stack.enter_context(closing(connection))
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise InputError(f"{folder} cannot be written ({error}); choose another folder with --out.") from error
            raise InputError(
                f"another run is writing to {folder} ({error}); wait for its end or choose another folder with --out."
            ) from error
        yield


def _insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> int:
    places = ", ".join("?" * len(values))
    query = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})"  # noqa: S608 - names from the schema
    return connection.execute(query, list(values.values())).lastrowid or 0


def _encoded(row: Mapping[str, Any], columns: Mapping[str, str], table: str) -> dict[str, Any]:
    """Row with JSON columns as text; an unknown column is a mistake of the caller."""
    unknown = sorted(set(row) - set(columns))
    if unknown:
        raise InputError(f"table {table} has no column {unknown[0]!r}.")
    return {
        name: json.dumps(_plain(value), sort_keys=True)
        if columns[name] == "JSON" and value is not None
        else _plain(value)
        for name, value in row.items()
    }


def _decoded(row: sqlite3.Row, columns: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: json.loads(row[name]) if kind == "JSON" and row[name] is not None else row[name]
        for name, kind in columns.items()
    }


def _plain(value: Any) -> Any:
    """Value with NumPy scalars and arrays as Python objects, and floats JSON has no word for as None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item) for item in value]
    return value


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as the bytes of a compressed .npz file."""
    stream = io.BytesIO()
    for name, array in arrays.items():
        if array.dtype == object:
            raise InputError(f"array {name!r} holds Python objects, which a store does not keep.")
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # names come from our own code
    return stream.getvalue()
