"""Results to keep under version control: one CSV per suite, and a Markdown page made from the CSVs alone."""

import csv
import io
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spikeneuro._files import readable, write_atomic
from spikeneuro.bench import compact
from spikeneuro.bench.scores import as_predictions
from spikeneuro.bench.store import Store
from spikeneuro.bench.summaries import AVERAGED, CandidateCells, as_frame, summarise_experiment
from spikeneuro.errors import DataNotFoundError, InputError

#: Of the run and the experiment, repeated on each row so that a row stands for itself.
_CONTEXT = (
    "suite", "title", "variant", "variant_note", "shuffled", "experiment", "data", "simulated", "task", "metric",
    "unit", "split", "note", "reference", "candidates",
)  # fmt: skip
_PLACE = ("candidate", "model", "spiking", "kind", "fold", "fold_name", "seed", "key", "status", "error")
_DETAIL = ("started", "duration", "n_train", "n_validation", "n_test", "validation_groups", "test_groups")
_ORIGIN = ("cost_model", "notes", "versions", "machine", "threads", "command")
#: What an earlier row must share with a missing cell to stand in its place.
_SAME_CELL = (
    "experiment", "data", "task", "metric", "unit", "split", "candidate", "model", "fold", "seed",
)  # fmt: skip
#: What an earlier row must share with those that the run did measure on the same fold.
_SAME_TEST = ("n_test", "test_groups")
FIELDS = (*_CONTEXT, *_PLACE, "unit_predictions", "metrics", *_DETAIL, *AVERAGED, "other_ops", *_ORIGIN)
_JSON = {
    "reference", "candidates", "split", "unit_predictions", "metrics", "validation_groups", "test_groups", "other_ops",
    "notes", "versions",
}  # fmt: skip


def write_csv(folder: str | Path, csv_dir: str | Path, keep: bool = False) -> Path:
    """Write the cells of a run folder to ``csv_dir/<suite>[-variant][-shuffled].csv``, one row per planned cell.

    Predictions are left out but for what the main metric needs by unit, so that scores, intervals and tests can be
    computed from the file alone. Cells that are missing have a row with status ``missing``.

    Parameters
    ----------
    folder : path-like
        Folder of the run.
    csv_dir : path-like
        Folder of the CSV files.
    keep : bool, default False
        Whether a cell that the run lacks keeps its row of the file that is there: measured by an earlier run, as its
        command and date say, with the same metric and split, on data of the same description and as many test samples
        of the same groups. What else changed since, in the data (such as their sampling rate), the code or a
        candidate's parameters, is not looked at; that is for whoever keeps it to judge.

    Returns
    -------
    Path
        The file.
    """
    with Store(folder) as store:
        runs = store.runs()
        if not runs:
            raise InputError(f"{store.path} records no run yet.")
        run = runs[-1]
        lines = list(_lines(store, run))
    label = "-".join(filter(None, (run["suite"], run["variant"], "shuffled" if run["shuffled"] else None)))
    path = Path(csv_dir) / f"{label}.csv"
    if keep and path.exists():
        lines = _with_earlier(lines, read_csv(path))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_atomic(path, stream.getvalue())
    return path


def read_csv(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a CSV file written by `write_csv`, with their types back."""
    path = Path(path)
    with readable(path), path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise InputError(f"{path} does not have the columns of a results file; write it anew from its run folder.")
        # Rows of images hold long lists of units.
        csv.field_size_limit(2**31 - 1)
        return [{name: _parsed(name, text) for name, text in row.items()} for row in reader]


def summary_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Summary of the rows of one CSV file: the same table as `spikeneuro.bench.summary` of the store they came from."""
    lines = []
    for experiment in dict.fromkeys(row["experiment"] for row in rows):
        own = [row for row in rows if row["experiment"] == experiment]
        first = own[0]
        by_candidate = {
            name: _candidate_cells([row for row in own if row["candidate"] == name], first["task"])
            for name in first["candidates"]
        }
        lines += summarise_experiment(experiment, first["metric"], first["unit"], by_candidate, first["candidates"])
    return as_frame(lines)


def write_results(csv_dir: str | Path, page: str | Path, readme: str | Path | None = None) -> pd.DataFrame:
    """Write the Markdown page of all CSV files in `csv_dir`, in the order of their names.

    The page links to those of the same name in the folders beside it, where other commands write what they measured.

    Parameters
    ----------
    csv_dir : path-like
        Folder of the files.
    page : path-like
        The page to write.
    readme : path-like, optional
        A file in which the lines between ``<!-- results -->`` and ``<!-- /results -->`` are replaced by the overview.

    Returns
    -------
    DataFrame
        The overview (see `spikeneuro.bench.overview`).

    Raises
    ------
    DataNotFoundError
        If the folder holds no CSV file.
    InputError
        If `readme` has no such place.
    """
    files = sorted(Path(csv_dir).glob("*.csv"))
    if not files:
        raise DataNotFoundError(
            f"there is no CSV file in {csv_dir}; `spikeneuro results DIR` writes one per run folder."
        )
    from spikeneuro.bench.markdown import page_text
    from spikeneuro.bench.overview import as_markdown, overview

    read = [(file.name, read_csv(file)) for file in files]
    table = overview(read)
    block = "\n".join(as_markdown(table))
    if readme is not None:
        _replace_block(Path(readme), block)
    write_atomic(Path(page), page_text(read, block, _pages_beside(Path(page))))
    return table


def _pages_beside(page: Path) -> dict[str, str]:
    """First heading of the pages of the same name one folder down, by path from `page`."""
    found = {}
    for other in sorted(page.parent.glob(f"*/{page.name}")):
        with readable(other):
            title = other.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").strip()
        found[other.relative_to(page.parent).as_posix()] = title
    return found


def _replace_block(path: Path, block: str) -> None:
    before, start, rest = path.read_text(encoding="utf-8").partition("<!-- results -->")
    _, end, after = rest.partition("<!-- /results -->")
    if not start or not end:
        raise InputError(f"{path} has no place between <!-- results --> and <!-- /results -->.")
    write_atomic(path, f"{before}{start}\n{block}\n{end}{after}")


def _lines(store: Store, run: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    experiments = {experiment["name"]: experiment for experiment in store.experiments()}
    rows = {row["key"]: row for row in store.rows()}
    for place in store.plan():
        experiment = experiments[place["experiment"]]
        context = _context(run, experiment)
        row = rows.get(place["key"], {**place, "status": "missing"})
        if row["status"] == "missing":
            row["model"] = context["candidates"][place["candidate"]]
        units = None
        if row["status"] == "ok":
            predictions = as_predictions(store.predictions(row["key"]), row["seed"], experiment)
            units = compact.encode(experiment["scorer"], experiment["task"], predictions)
        error = (row.get("error") or "").strip().splitlines()
        values = {
            **row,
            **context,
            "unit_predictions": units,
            "error": error[-1] if error else None,
            "command": _anywhere(row.get("command")),
        }
        yield {name: _written(name, values.get(name)) for name in FIELDS}


def _anywhere(command: str | None) -> str | None:
    """The command without the folder it wrote to, which is a place on somebody's disk and changes no result."""
    words = shlex.split(command or "")
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if "--out" not in (word, before) and not word.startswith("--out=")
    ]
    return shlex.join(kept) or None


def _with_earlier(lines: Sequence[dict[str, str]], earlier: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`lines` with earlier rows in place of those that are missing and mean the same cell."""
    finished = {}
    for row in earlier:
        if row["status"] == "ok":
            written = {name: _written(name, row[name]) for name in FIELDS}
            finished[tuple(written[name] for name in _SAME_CELL)] = written
    tested = {(line["experiment"], line["fold"]): line for line in lines if line["status"] == "ok"}
    merged = []
    for line in lines:
        found = finished.get(tuple(line[name] for name in _SAME_CELL)) if line["status"] == "missing" else None
        beside = tested.get((line["experiment"], line["fold"]))
        if found and beside and any(found[name] != beside[name] for name in _SAME_TEST):
            found = None  # of other data
        merged.append(line if found is None else {**found, **{name: line[name] for name in _CONTEXT}})
    return merged


def _context(run: Mapping[str, Any], experiment: Mapping[str, Any]) -> dict[str, Any]:
    definition = experiment["definition"]
    return {
        "suite": run["suite"],
        "title": run["title"],
        "variant": run["variant"],
        "variant_note": run["variant_note"],
        "shuffled": run["shuffled"],
        "experiment": experiment["name"],
        "data": experiment["description"],
        "simulated": experiment["simulated"],
        "task": experiment["task"],
        "metric": experiment["scorer"],
        "unit": experiment["unit"],
        "split": {**definition["split"], "within": definition["within"], "folds": experiment["n_folds"]},
        "note": experiment["note"],
        "reference": experiment["reference"],
        "candidates": {candidate["name"]: candidate["model"] for candidate in definition["candidates"]},
    }


def _candidate_cells(rows: Sequence[Mapping[str, Any]], task: str) -> CandidateCells:
    states = [row["status"] for row in rows]
    counts = {state: states.count(state) for state in ("ok", "failed", "missing")}
    return CandidateCells(
        rows,
        [compact.decode(row["unit_predictions"], row["seed"]) for row in rows if row["status"] == "ok"],
        task,
        {**counts, "planned": len(rows), "stale": 0},
    )


def _written(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _JSON:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(value)


def _parsed(name: str, text: str) -> Any:
    if not text:
        return None
    if name in _JSON:
        return json.loads(text)
    if name in AVERAGED or name == "duration":
        return float(text)
    if name in ("fold", "seed", "spiking", "simulated", "shuffled", "threads", "n_train", "n_validation", "n_test"):
        return int(text)
    return text
