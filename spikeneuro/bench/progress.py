"""What a run says while it works: a bar with the time left on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from spikeneuro.bench.plan import Cell
from spikeneuro.bench.wording import DASH, count, energy, limits, number, p_value, plural


class Silent:
    """Says nothing; also the base of what does."""

    def say(self, text: str) -> None:
        """State a fact about the run."""

    def start(self, todo: Iterable[Cell], durations: Mapping[tuple[str, str], float], jobs: int) -> None:
        """Begin, with the cells to compute and the mean duration of those computed before, by candidate."""

    def finished(self, row: Mapping[str, Any], scorer: str) -> None:
        """One cell ended."""

    def stop(self) -> None:
        """No cell is left, or the run was interrupted."""

    def table(self, frame: Any) -> None:
        """Show the summary."""


class Reporter(Silent):
    """Rich output to a console.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to; standard output by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _console()
        self._progress: Progress | None = None

    def say(self, text: str) -> None:
        """State a fact about the run."""
        self.console.print(Text(text))

    def start(self, todo: Iterable[Cell], durations: Mapping[tuple[str, str], float], jobs: int) -> None:
        """Show the bar."""
        self._left = [(cell.experiment.name, cell.candidate.name) for cell in todo]
        self._count, self._done, self._jobs, self._begin = len(self._left), 0, jobs, time.monotonic()
        self._seconds = {place: [seconds] for place, seconds in durations.items()}
        if self._count and self.console.is_terminal:
            self._progress = Progress(
                TextColumn("cells"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=self.console,
            )
            self._task = self._progress.add_task("cells", total=self._count, left="")
            self._progress.start()

    def finished(self, row: Mapping[str, Any], scorer: str) -> None:
        """Print the cell's line and move the bar."""
        self._done += 1
        place = (row["experiment"], row["candidate"])
        self._left.remove(place)
        self._seconds.setdefault(place, []).append(row["duration"])
        left = f"about {in_words(self.seconds_left())} left" if self._left else ""
        line = Text(f"[{self._done}/{self._count}] {row['experiment']} / {row['candidate']} / {row['fold_name']}")
        line.append(f" / seed {row['seed']}: ")
        line.append(*_result(row, scorer))
        line.append(f" ({in_words(row['duration'])})", style="dim")
        if self._progress is not None:
            self._progress.print(line)
            self._progress.update(self._task, advance=1, left=left)
        else:
            self.console.print(line.append(f" {left}" if left else "", style="dim"))

    def seconds_left(self) -> float:
        """Expected time for the cells left: each as long as its candidate's took so far, else as the mean of all."""
        known = {place: sum(seconds) / len(seconds) for place, seconds in self._seconds.items()}
        typical = sum(known.values()) / len(known)
        return sum(known.get(place, typical) for place in self._left) / self._jobs

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def table(self, frame: Any) -> None:
        """Show the summary, one table per experiment."""
        for name, rows in frame.groupby("experiment", sort=False):
            self.console.print(_table(str(name), rows))


def in_words(seconds: float) -> str:
    """Duration as a person says it: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _result(row: Mapping[str, Any], scorer: str) -> tuple[str, str]:
    """Text and style of what a cell came to."""
    if row["status"] == "failed":
        lines = (row["error"] or "").strip().splitlines()
        return f"failed: {lines[-1] if lines else 'unknown error'}", "red"
    score = row["metrics"].get(scorer)
    return (f"{scorer} undefined" if score is None else f"{scorer} {score:.3f}"), "green"


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    # What is not a terminal (a file, a pipe) has no width to keep to.
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=140)


def _table(name: str, rows: Any) -> Table:
    first = rows.iloc[0]
    columns: dict[str, Callable[[Any], str]] = {
        "": lambda row: "spiking" if row.spiking else "classical" if row.kind == "pipeline" else "network",
        "score": lambda row: number(row.score, ".3f"),
        "95 % interval": lambda row: limits(row.low, row.high, ".3f"),
        "difference": lambda row: number(row.difference, "+.3f"),
        "p": lambda row: p_value(row.p),
        "spikes/step": lambda row: number(row.spike_rate, ".3f"),
        "MACs": lambda row: count(row.macs),
        "ACs": lambda row: count(row.acs),
        "energy": lambda row: energy(row.energy_j),
    }
    cells = {heading: [text(row) for row in rows.itertuples()] for heading, text in columns.items()}
    shown = {heading: texts for heading, texts in cells.items() if any(text != DASH for text in texts)}
    # Candidates may have been tested on different units while some cells are missing.
    n_units = int(rows["n_units"].max())
    over = f"over {n_units} {plural(first['unit']) if n_units != 1 else first['unit']}" if n_units else "not computed"
    table = Table(title=f"{name}: {first['metric']} {over}", title_justify="left")
    table.add_column("candidate", no_wrap=True)
    for heading in shown:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for position, row in enumerate(rows.itertuples()):
        texts = [texts[position] for texts in shown.values()]
        table.add_row(str(row.candidate), *texts, style=None if row.n_ok else "dim")
    table.caption = _caption(rows)
    table.caption_justify = "left"
    return table


def _caption(rows: Any) -> str:
    parts = []
    against = rows["rival"].dropna()
    if len(against):
        parts.append(f"difference and p: paired permutation test against {against.iloc[0]}")
    failed, missing = int(rows["n_failed"].sum()), int(rows["n_missing"].sum())
    if failed or missing:
        parts.append(f"incomplete: {failed} cells failed, {missing} not computed")
    return "; ".join(parts)
