"""Running a suite: what is there is kept, what is missing is computed, every cell is stored the moment it ends."""

import datetime
import fnmatch
import os
import shlex
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from spikeneuro._files import writable, write_atomic
from spikeneuro._validation import check_number
from spikeneuro.bench import measure
from spikeneuro.bench.cell import Outcome, run_cell, versions
from spikeneuro.bench.plan import Cell, Plan, make_plan
from spikeneuro.bench.progress import Reporter, Silent
from spikeneuro.bench.store import FILE_NAME, Store, locked
from spikeneuro.bench.suite import Suite, load_suite
from spikeneuro.bench.suite_files import find_suite
from spikeneuro.bench.summaries import summary
from spikeneuro.errors import InputError


class WorkerDiedError(RuntimeError):
    """A worker process ended without a result, most often because the system ran out of memory."""


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes
    ----------
    folder : Path
        Where the store is.
    counts : dict
        Cells of the suite that are planned, ok, failed, missing and stale, those of earlier runs included.
    computed, kept : int
        Cells computed by this run, and found finished.
    summary : pandas.DataFrame
        One row per experiment and candidate; see `spikeneuro.bench.summary`.
    """

    folder: Path
    counts: dict[str, int]
    computed: int
    kept: int
    summary: Any


def run(
    suite: str | Path | Suite,
    out: str | Path | None = None,
    jobs: int = 1,
    only: str | None = None,
    variant: str | None = None,
    *,
    shuffle_labels: bool | None = None,
    threads: int = 1,
    backend: str = "loky",
    progress: bool | Silent = True,
) -> RunResult:
    """Run a suite, or what is missing of it.

    Every cell (one fold of one candidate with one seed) is stored in ``out/results.sqlite`` the moment it ends, by
    this process alone. Called again, finished cells are kept, failed ones are tried again, and cells whose definition,
    data or code changed are computed anew.

    Parameters
    ----------
    suite : path-like or Suite
        A YAML file, the name of a suite in ``./benchmarks/suites`` or of a built-in one, or a suite already read.
    out : path-like, optional
        Folder of the results; by default ``runs/`` and the suite's name with its variant.
    jobs : int
        Cells computed at the same time, each in a process of its own. Results do not depend on it.
    only : str, optional
        Compute only cells whose experiment, candidate or ``experiment/candidate`` match this pattern (``*`` and
        ``?`` as in file names).
    variant : str, optional
        Variant of the suite.
    shuffle_labels : bool, optional
        Run the control in which labels are permuted; overrides the suite's key.
    threads : int
        Threads of the numerical libraries per cell. Another number may change results in the last digits.
    backend : str
        Joblib backend for the workers. With ``"dask"``, cells go to the cluster of the active
        ``dask.distributed.Client``, whose workers need the package, the suite's adapters and the data at the same
        paths.
    progress : bool or Silent
        Whether to print what happens, or an object that does it.

    Returns
    -------
    RunResult

    Raises
    ------
    InputError
        For anything that cannot work, before the folder is touched; and if another run is writing to the folder.
    WorkerDiedError
        If the system killed a worker, as it does when memory runs out.
    KeyboardInterrupt
        If interrupted; finished cells are in the store, and the same call goes on from there.

    Examples
    --------
    >>> import spikeneuro as sn
    >>> result = sn.bench.run("demo", "runs/demo", only="digits/*", progress=False)  # doctest: +SKIP
    """
    check_number(jobs, "jobs", low=1, integer=True)
    check_number(threads, "threads", low=1, integer=True)
    reporter = progress if isinstance(progress, Silent) else (Reporter() if progress else Silent())
    if not isinstance(suite, Suite):
        suite = load_suite(find_suite(suite), variant, shuffle_labels=shuffle_labels)
    elif variant is not None or shuffle_labels is not None:
        raise InputError("variant and shuffle_labels choose how a suite is read; this one is read already.")
    folder = default_folder(suite) if out is None else Path(out)
    with ExitStack() as stack:
        # A folder that is not there yet is left alone until the plan stands; another run may make it meanwhile.
        with writable(folder):  # a name may be too long to be looked up
            held = folder.exists()
        if held:
            stack.enter_context(_claimed(folder, suite))
        plan = make_plan(suite, reporter.say)
        selected = _selected(plan, only)
        if not held:
            stack.enter_context(_claimed(folder, suite))
        store = stack.enter_context(closing(Store(folder, create=True)))
        return _execute(plan, selected, store, jobs, threads, backend, reporter)


def default_folder(suite: Suite) -> Path:
    """Folder of a suite's results where none is given."""
    return Path("runs") / suite.label


def _execute(
    plan: Plan, selected: list[Cell], store: Store, jobs: int, threads: int, backend: str, reporter: Silent
) -> RunResult:
    folder = store.path.parent
    statuses = store.statuses()
    write_atomic(folder / "suite.yaml", plan.suite.text)
    store.write_plan((cell.place for cell in plan.cells), plan.experiments)
    todo = [cell for cell in selected if statuses.get(cell.key) != "ok"]
    kept = len(selected) - len(todo)
    _announce(plan, store, selected, todo, reporter)
    number = store.start_run(_run_row(plan.suite, jobs, threads))
    scorers = {experiment.name: experiment.scorer for experiment in plan.suite.experiments}
    command = command_line()
    reporter.start(todo, _durations(store), jobs)
    try:
        with closing(_outcomes(todo, jobs, threads, backend)) as outcomes:
            for outcome in outcomes:
                row = {**outcome.row, "command": command}
                store.write(row, outcome.predictions, outcome.raster)
                reporter.finished(row, scorers[row["experiment"]])
    finally:
        reporter.stop()
    store.end_run(number, _now())
    frame = summary(store)
    reporter.table(frame)
    return RunResult(folder, store.counts(), len(todo), kept, frame)


def _outcomes(cells: list[Cell], jobs: int, threads: int, backend: str) -> Generator[Outcome]:
    """Outcomes in the order in which cells end."""
    if not cells:
        return
    options = {"inner_max_num_threads": threads} if backend == "loky" and jobs > 1 else {}
    with joblib.parallel_config(backend if jobs > 1 or backend != "loky" else "sequential", **options):
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        outcomes = parallel(joblib.delayed(_in_worker)(cell, threads, os.getpid()) for cell in cells)
        try:
            yield from outcomes
        except TerminatedWorkerError as error:
            raise WorkerDiedError(
                "a worker process died, most likely for want of memory; finished cells are kept, so run again with "
                f"fewer than {jobs} jobs."
            ) from error
        except BaseException:
            _stop_workers(backend, jobs)
            raise


def _in_worker(cell: Cell, threads: int, parent: int) -> Outcome:
    """Run the cell; a worker leaves Ctrl-C, which a terminal sends to all processes, to the parent."""
    if os.getpid() != parent and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return run_cell(cell, threads)


def _stop_workers(backend: str, jobs: int) -> None:
    """End the worker processes at once: what they compute is not wanted any more."""
    if backend == "loky" and jobs > 1:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _claimed(folder: Path, suite: Suite) -> Any:
    """Lock on the folder, after a check that it holds nothing else."""
    if (folder / FILE_NAME).is_file():
        with closing(Store(folder)) as store:
            runs = store.runs()
        if runs and runs[-1]["suite"] != suite.name:
            raise InputError(
                f"{folder} holds results of suite {runs[-1]['suite']!r}; choose another folder with --out."
            )
    elif folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose a folder with --out.")
    return locked(folder)


def _selected(plan: Plan, only: str | None) -> list[Cell]:
    if only is None:
        return list(plan.cells)
    found = [cell for cell in plan.cells if any(fnmatch.fnmatchcase(name, only) for name in _names(cell))]
    if not found:
        candidates = dict.fromkeys(cell.candidate.name for cell in plan.cells)
        experiments = dict.fromkeys(cell.experiment.name for cell in plan.cells)
        raise InputError(
            f"no cell matches {only!r}; experiments: {', '.join(experiments)}; candidates: {', '.join(candidates)}."
        )
    return found


def _names(cell: Cell) -> tuple[str, str, str]:
    experiment, candidate = cell.experiment.name, cell.candidate.name
    return experiment, candidate, f"{experiment}/{candidate}"


def _announce(plan: Plan, store: Store, selected: list[Cell], todo: list[Cell], reporter: Silent) -> None:
    suite, counts = plan.suite, store.counts()
    title = f"{suite.title}{f' ({suite.variant})' if suite.variant else ''}"
    reporter.say(f"{title}: {len(plan.cells)} cells, results in {store.path.parent}")
    if suite.variant_note:
        reporter.say(f"this variant: {suite.variant_note}")
    if suite.shuffle_labels:
        reporter.say("control: labels are permuted, every candidate must be at chance")
    for experiment in plan.experiments:
        if experiment["simulated"]:
            reporter.say(f"{experiment['name']}: simulated data")
        reporter.say(f"{experiment['name']}: {experiment['n_samples']} samples, {experiment['n_folds']} folds"
                     f"{'; ' + experiment['note'] if experiment['note'] else ''}")  # fmt: skip
    if len(selected) < len(plan.cells):
        reporter.say(f"{len(selected)} cells selected")
    if len(todo) < len(selected):
        reporter.say(f"{len(selected) - len(todo)} cells are finished already and kept")
    if counts["failed"]:
        reporter.say(f"{counts['failed']} cells failed before; the selected ones are tried again")
    if counts["stale"]:
        reporter.say(
            f"{counts['stale']} cells are stale (their definition, data or code changed): kept in the store, no longer "
            "counted, and computed anew where selected"
        )


def _durations(store: Store) -> dict[tuple[str, str], float]:
    """Mean duration of the cells in the store, by experiment and candidate."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for row in store.rows(status="ok"):
        seconds.setdefault((row["experiment"], row["candidate"]), []).append(row["duration"])
    return {place: sum(values) / len(values) for place, values in seconds.items()}


def _run_row(suite: Suite, jobs: int, threads: int) -> dict[str, Any]:
    return {
        "suite": suite.name,
        "title": suite.title,
        "description": suite.description,
        "variant": suite.variant,
        "variant_note": suite.variant_note,
        "suite_yaml": suite.text,
        "shuffled": int(suite.shuffle_labels),
        "command": command_line(),
        "versions": versions(),
        "machine": measure.processor(),
        "cores": os.cpu_count(),
        "jobs": jobs,
        "threads": threads,
        "started": _now(),
    }


def command_line() -> str:
    """The command this process was started with, its program without folder."""
    program, *arguments = sys.argv or ["python"]
    words = [Path(program).name or "python"]
    return shlex.join([*(["python", "-m", "spikeneuro.cli"] if words == ["cli.py"] else words), *arguments])


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
