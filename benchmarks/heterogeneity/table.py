"""What a run measured, as lines for the terminal, as CSV and as a Markdown page."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from twins import ALLOWED, HRSNN_, NOISE, TWIN, UNMATCHED, Row, Size, rate_gap, without_seed

from spikeneuro._version import __version__
from spikeneuro.evaluation.statistics import bootstrap_interval

_HEAD = f"""# Memory of heterogeneous networks and of their homogeneous twins

Written by `benchmarks/heterogeneity/run.py`; not edited by hand.

Each pair has the same wiring, weights, number of neurons and mean time constant; in `hrsnn` the time constants are
drawn from a gamma distribution, in its twin all are their mean. One gain of the twin (of its input weights, or, for
*threshold*, of all its weights) is tuned on a signal of its own until both networks fire at the same mean rate;
capacity and rate are measured on another signal. The largest difference of the rates of a pair that remains there is
in the tables; a pair that differs by more than {ALLOWED:.0%} is left out, and said.

*Capacity*: sum over the delays of the squared correlation between the input of that many steps ago and a ridge readout
of the state, on steps the readout has not seen. It is read from *spikes* (filtered, one time constant for all), which
is what reaches other neurons, from the *membranes* with noise of {NOISE:g} thresholds, and from the membranes exactly.
Exact membranes are filters of the input by themselves: without recurrence and noise their capacity is a matter of
numerical precision, and the readout may fail altogether.
*Difference*: mean over the pairs and its 95 % bootstrap interval. *E*: spikes of a neuron in a step for each unit of
capacity, less is better. *Gain*: mean factor of what was scaled. *Twin, own rate*: the twin before that.

"""
_COLUMNS = (
    "readout", "pairs", "hrsnn", "twin", "difference", "twin, own rate", "E, hrsnn", "E, twin", "rate", "gain",
    "rate gap",
)  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """Pairs of one setting and readout."""

    row: Row
    own: float
    twin: float
    difference: float
    low: float | None
    high: float | None
    effective: tuple[float, float]
    rate: float
    gain: float
    gap: float
    pairs: int
    left_out: int
    unmatched: float

    @property
    def interval(self) -> str:
        """Difference with its interval."""
        limits = "" if self.low is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.difference:+.2f}{limits}"


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """One summary for each setting, way of matching and readout, in the order of the rows."""
    groups: dict[Row, dict[str, dict[int, Row]]] = {}
    for row in rows:
        groups.setdefault(without_seed(row), {}).setdefault(row.network, {})[row.seed] = row
    return [_summary(key, networks) for key, networks in groups.items()]


def _summary(key: Row, networks: dict[str, dict[int, Row]]) -> Summary:
    pairs = [(own, networks[TWIN][seed]) for seed, own in networks[HRSNN_].items()]
    kept = [pair for pair in pairs if rate_gap(*pair) <= ALLOWED]
    own, twin = (np.array([pair[side].capacity for pair in kept]) for side in (0, 1))
    difference = own - twin
    several = len(kept) > 1 and bool(np.ptp(difference) > 0)
    interval = bootstrap_interval(difference) if several else None
    rates = (
        np.array([[row.rate for row in pair] for pair in kept]).reshape(-1, 2).mean(axis=0) if kept else [np.nan] * 2
    )
    gains = [row.gain for pair in kept for row in pair if row.gain != 1.0]
    return Summary(
        row=key,
        own=_mean(own),
        twin=_mean(twin),
        difference=_mean(difference),
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        effective=(float(rates[0]) / _mean(own), float(rates[1]) / _mean(twin)),
        rate=float(rates[0]),
        gain=_mean(np.array(gains)) if gains else 1.0,
        gap=max((rate_gap(*pair) for pair in kept), default=float("nan")),
        pairs=len(kept),
        left_out=len(pairs) - len(kept),
        unmatched=_mean(np.array([row.capacity for row in networks[UNMATCHED].values()])),
    )


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def as_text(rows: Sequence[Row]) -> str:
    """The summaries, for the terminal."""
    lines = []
    for found in summaries(rows):
        row = found.row
        lines.append(
            f"{row.part:15} {row.wiring:12} scale {row.recurrent_scale:<5g} tau {row.tau:<6g} {row.way:10}"
            f"{row.readout:18}{found.own:7.2f}{found.twin:7.2f}  {found.interval:24} E {found.effective[0]:.4f} "
            f"{found.effective[1]:.4f}  gap {found.gap:.1%} ({found.left_out} left out)"
        )
    return "\n".join(lines)


def as_csv(rows: Sequence[Row]) -> str:
    """Every measurement, one row each."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*Row.__dataclass_fields__, "effective"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = {**asdict(row), "effective": row.effective}
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in values.items()})
    return stream.getvalue()


def from_csv(text: str) -> list[Row]:
    """The measurements of such a table."""
    kinds = {name: field.type for name, field in Row.__dataclass_fields__.items()}
    read: dict[object, Callable[[str], object]] = {int: int, float: float, str: str}
    table = csv.DictReader(io.StringIO(text))
    return [Row(**{name: read[kind](line[name]) for name, kind in kinds.items()}) for line in table]  # type: ignore[arg-type]


def as_markdown(rows: Sequence[Row], size: Size, command: str, picture: str | None) -> str:
    """The page."""
    found = summaries(rows)
    sizes = f"{size.hidden} neurons, {size.seeds} pairs a setting, {size.steps} steps, delays up to {size.max_delay}"
    parts = [_HEAD, f"{sizes}; mean time constant 5 steps in the sweep. spikeneuro {__version__}, `{command}`.\n"]
    if picture:
        parts.append(f"![Capacity against the scale of the recurrent weights]({picture})\n")
    sweep = [one for one in found if one.row.part == "sweep"]
    for way in ("input", "threshold"):
        for wiring in dict.fromkeys(one.row.wiring for one in sweep if one.row.way == way):
            parts.append(f"## Connected {wiring}, rates matched by the gain of {_words(way)}\n")
            chosen = [one for one in sweep if one.row.way == way and one.row.wiring == wiring]
            parts.append(_table("recurrent scale", chosen, lambda row: f"{row.recurrent_scale:g}"))
    parts.append(
        f"## After equal tuning\n\nFor each network the best of the same {size.trials} settings, drawn at random (mean "
        "time constant, scale of recurrent weights, scale of input), by its mean capacity over "
        f"{size.tuning_seeds} networks and signals that are not measured on. Both are then compared at the best "
        "setting of either, the other one's input gain tuned to the same rate.\n"
    )
    tuned = [one for one in found if one.row.part != "sweep"]
    parts.append(_table("setting", tuned, _tuned_name))
    return "\n".join(parts)


def _tuned_name(row: Row) -> str:
    return f"{row.part}: tau {row.tau:g}, recurrent {row.recurrent_scale:g}, input {row.input_scale:g}"


def _words(way: str) -> str:
    return "the input weights" if way == "input" else "all weights (a threshold)"


def _table(head: str, found: Sequence[Summary], name: Callable[[Row], str]) -> str:
    lines = [f"| {' | '.join((head, *_COLUMNS))} |", "|" + "---|" * (1 + len(_COLUMNS))]
    for one in found:
        pairs = f"{one.pairs}" + (f" ({one.left_out} left out)" if one.left_out else "")
        cells = (
            name(one.row), one.row.readout, pairs, f"{one.own:.2f}", f"{one.twin:.2f}", one.interval,
            f"{one.unmatched:.2f}", f"{one.effective[0]:.4f}", f"{one.effective[1]:.4f}", f"{one.rate:.3f}",
            f"{one.gain:.2f}", f"{one.gap:.1%}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
