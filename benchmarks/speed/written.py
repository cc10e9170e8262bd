"""What a run measured, as lines for the terminal, as CSV and as a Markdown page."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict

from collected import Collected
from timing import Timing, Verdict

_HEAD = """# Speed of the neuron layers

Written by `benchmarks/speed/run.py`; not edited by hand. Times depend on the machine, ratios much less: all those below
are of times measured in the same run, in turns.

*Median* and *quartiles* of the repeats, in milliseconds. Contenders take turns in random order, garbage collection off.
Before each timed call come untimed ones for 20 ms, one at least, so that memory and threads are as in a training loop;
what takes long is repeated less. *Rate*: spikes per neuron and step.
*Spikes* and *gradient*: share of spikes that differ from ours, and largest relative error of the gradients that both
have, compared before anything is timed. The run fails where they disagree.
"""


def as_text(collected: Collected) -> str:
    """The bars, for the terminal."""
    lines = ["", "bars"]
    for verdict in collected.verdicts:
        measured = "-" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        lines.append(f"  {verdict.outcome:13}{measured:>9}  {_asked(verdict):16}{verdict.case}: {verdict.text}")
    lines += [f"  FAILED       {failure}" for failure in collected.failures]
    if collected.tiny:
        lines.append("These are the sizes to try the command with: the ratios mean nothing.")
    return "\n".join(lines)


def case_lines(collected: Collected, case: str) -> Iterable[str]:
    """Table of one case, for the terminal."""
    timings = [timing for timing in collected.timings if timing.case == case]
    yield f"\n{case} ({timings[0].work})"
    width = max(len(timing.contender) for timing in timings)
    yield f"  {'':{width}}{'median':>10}{'quartiles':>20}{'n':>4}{'rate':>8}{'spikes':>10}{'gradient':>10}"
    for timing in timings:
        quartiles = f"{timing.q1_ms:.2f} - {timing.q3_ms:.2f}"
        yield (
            f"  {timing.contender:{width}}{timing.median_ms:>10.2f}{quartiles:>20}{timing.repeats:>4}"
            f"{_share(timing.spike_rate):>8}{_share(timing.spikes_differing):>10}{_error(timing):>10}"
            f"{'  ' + timing.note if timing.note else ''}"
        )
    if collected.notes.get(case):
        yield f"  {collected.notes[case]}"


def as_csv(collected: Collected) -> str:
    """Every timing, one row each."""
    stream = io.StringIO()
    extra = {"threads": collected.threads, "made_with": collected.made_with(), "command": collected.command}
    writer = csv.DictWriter(stream, [*Timing.__dataclass_fields__, *extra], lineterminator="\n")
    writer.writeheader()
    for timing in collected.timings:
        rounded = {
            name: f"{value:.6g}" if isinstance(value, float) else value for name, value in asdict(timing).items()
        }
        writer.writerow(rounded | extra)
    return stream.getvalue()


def as_markdown(collected: Collected, picture: str | None, table: str | None) -> str:
    """The page; `picture` and `table` are the paths of the plot and the CSV, seen from it."""
    parts = [_HEAD, f"Made by `{collected.command}` with {collected.made_with()}. {collected.circumstances()}"]
    if table:
        parts[-1] += f" All timings: [`{table}`]({table})."
    if collected.failures:
        parts.append("\n**Not measured to the end:** " + " ".join(collected.failures))
    if collected.tiny:
        parts.append("\nThese are the sizes to try the command with: the ratios mean nothing.")
    parts += ["", "## Bars", "", *_bars(collected.verdicts), ""]
    if picture:
        parts += [f"![Times relative to ours by case, and growth of cost with T, N and B]({picture})", ""]
    cases = dict.fromkeys(timing.case for timing in collected.timings)
    for case in cases:
        parts += _case(collected, case)
    return "\n".join(parts)


def _bars(verdicts: Iterable[Verdict]) -> list[str]:
    lines = ["| work | measured | bar | | times of |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        measured = verdict.text if verdict.ratio is None else f"**{verdict.ratio:.2f}** {verdict.text}"
        lines.append(
            f"| {verdict.case} | {measured} | {_asked(verdict)} | {verdict.outcome} | {verdict.between} |"
        )  # fmt: skip
    return lines


def _case(collected: Collected, case: str) -> list[str]:
    timings = [timing for timing in collected.timings if timing.case == case]
    lines = [f"## {case[0].upper()}{case[1:]}", "", f"{timings[0].work}. {collected.notes.get(case, '')}".rstrip(), ""]
    lines += [
        "| | median (ms) | quartiles | repeats | rate | spikes | gradient | remark |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for timing in timings:
        alone = timing.repeats == 1
        quartiles = "" if alone else f"{timing.q1_ms:.2f} to {timing.q3_ms:.2f}"
        lines.append(
            f"| {timing.contender} | {timing.median_ms:.2f} | {quartiles} | {timing.repeats} | "
            f"{_share(timing.spike_rate)} | {_share(timing.spikes_differing)} | {_error(timing)} | {timing.note} |"
        )
    return [*lines, ""]


def _asked(verdict: Verdict) -> str:
    return "none" if verdict.limit is None else f"{verdict.sense} {verdict.limit:g}"


def _share(value: float | None) -> str:
    if value is None:
        return ""
    return "0" if value == 0 else f"{value:.2%}" if value >= 5e-5 else f"{value:.0e}"


def _error(timing: Timing) -> str:
    return "" if timing.gradient_error is None else f"{timing.gradient_error:.0e}"
