"""Contenders that do the same work, timed in turns, and the ratios of one run.

A contender's step is the whole of what is timed: it returns its spikes, which are looked at only outside. Gradients are
cleared between the calls, not in them. Before anything is timed each contender is called once and what it computed is
compared with ours, because a ratio of times means nothing between two different computations.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

#: Calls before the first turn: the first compiles and is compared, the second finds warm caches.
WARM_UP = 2
#: The timed calls of a contender take no more than about this many seconds, but there are at least LEAST.
PATIENCE = 20.0
LEAST = 3
#: Seconds of untimed calls, one at least, before each timed one.
SETTLING = 0.02


class DisagreementError(RuntimeError):
    """Contenders that should compute the same thing do not."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a case.

    `leaves` are the tensors whose gradients the step fills, by name; those of the same name are compared between
    contenders. `compare` says how far the semantics are equal to ours: "gradients" (and spikes), "spikes" (another
    surrogate or reset gradient), or "nothing" (then `note` says what differs). It is compared with the contender named
    `against`, or with the first of ours. `kind` is ours, peer or floor.
    """

    name: str
    step: Callable[[], Tensor | None]
    kind: str = "ours"
    leaves: Mapping[str, Tensor] = field(default_factory=dict)
    compare: str = "gradients"
    note: str = ""
    against: str | None = None


@dataclass(frozen=True)
class Bar:
    """A ratio of two times, and what it has to be; the fastest of several names counts.

    With `sense` "at most" the ratio is ours to another, with "at least" another's to ours, so that `numerator` and
    `denominator` are always as written. A `limit` of None is a ratio told without being asked for.
    """

    text: str
    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    sense: str
    limit: float | None


@dataclass(frozen=True)
class Case:
    """Contenders for the same work, and the bars their times are held to.

    `tolerance` is the share of spikes in which contenders may differ from ours: rounding moves a membrane across its
    threshold, which in a recurrent layer changes the spikes that follow.
    """

    family: str
    name: str
    work: str
    contenders: Sequence[Contender]
    bars: Sequence[Bar] = ()
    tolerance: float = 1e-3
    missing: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Timing:
    """What a contender took, in milliseconds, with the quartiles; and how its result compares with ours."""

    family: str
    case: str
    work: str
    contender: str
    kind: str
    median_ms: float
    q1_ms: float
    q3_ms: float
    repeats: int
    spike_rate: float | None = None
    spikes_differing: float | None = None
    gradient_error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """A bar with the ratio that was measured; None where a contender is missing."""

    family: str
    case: str
    text: str
    sense: str
    limit: float | None
    ratio: float | None
    between: str

    @property
    def outcome(self) -> str:
        if self.ratio is None:
            return "not measured"
        if self.limit is None:
            return "no bar"
        met = self.ratio <= self.limit if self.sense == "at most" else self.ratio >= self.limit
        return "met" if met else "NOT MET"


def run_case(case: Case, repeats: int) -> tuple[list[Timing], list[Verdict]]:
    """Compare what the contenders of a case compute, time them in turns, and judge the bars."""
    compared = _compare(case)
    times = _take_turns(case.contenders, repeats)
    timings = []
    for contender in case.contenders:
        q1, median, q3 = _quartiles(times[contender.name])
        timing = Timing(
            case.family, case.name, case.work, contender.name, contender.kind, 1e3 * median, 1e3 * q1, 1e3 * q3,
            len(times[contender.name]), *compared[contender.name], contender.note,
        )  # fmt: skip
        timings.append(timing)
    medians = {timing.contender: timing.median_ms for timing in timings}
    return timings, [_judge(case, bar, medians) for bar in case.bars]


def _compare(case: Case) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Spike rate, share of spikes that differ from ours, and relative error of the gradients, per contender."""
    found: dict[str, tuple[float | None, float | None, float | None]] = {}
    kept: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}
    named = {contender.against for contender in case.contenders}
    ours = next((contender.name for contender in case.contenders if contender.kind == "ours"), None)
    for contender in case.contenders:
        result = _called(contender)
        if result is None:
            found[contender.name] = (None, None, None)
            continue
        spikes = result.detach()
        if not torch.isfinite(spikes).all():
            raise DisagreementError(f"{case.name}: {contender.name} gave values that are NaN or infinite.")
        mine = {name: leaf.grad.clone() for name, leaf in contender.leaves.items() if leaf.grad is not None}
        rate, differing, error = float(spikes.mean()), None, None
        if contender.name in named or contender.name == ours:
            kept[contender.name] = (spikes.clone(), mine)
        other = contender.against or ours
        if other in kept and other != contender.name and contender.compare != "nothing":
            expected, gradients = kept[other]
            differing = float((spikes != expected).float().mean())
            if contender.compare == "gradients":
                error = _relative_error(mine, gradients)
            _check_agreement(case, contender.name, differing, error)
        found[contender.name] = (rate, differing, error)
        for _ in range(WARM_UP - 1):
            _called(contender)
    return found


def _check_agreement(case: Case, name: str, differing: float, error: float | None) -> None:
    if differing > case.tolerance:
        raise DisagreementError(
            f"{case.name}: {name} differs from ours in {differing:.2%} of the spikes, more than {case.tolerance:.2%}."
        )
    # A single spike that rounding moved changes the gradients before it; without one they agree to rounding.
    if error is not None and differing == 0 and error > 1e-3:
        raise DisagreementError(f"{case.name}: the gradients of {name} differ from ours by {error:.1e}.")


def _relative_error(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float | None:
    errors = [
        float((found[name] - expected[name]).norm() / expected[name].norm().clamp(min=1e-30))
        for name in found
        if name in expected
    ]
    return max(errors, default=None)


def _called(contender: Contender) -> Tensor | None:
    for leaf in contender.leaves.values():
        leaf.grad = None
    return contender.step()


def _take_turns(contenders: Sequence[Contender], repeats: int) -> dict[str, list[float]]:
    """Seconds of every timed call; each turn has its own order, and slow contenders sit some turns out."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    first = {contender.name: _timed(contender) for contender in contenders}
    shares = {name: min(repeats, max(LEAST, int(PATIENCE / max(took, 1e-9)))) for name, took in first.items()}
    order = list(contenders)
    shuffled = random.Random(0)
    for turn in range(repeats):
        shuffled.shuffle(order)
        gc.collect()
        for contender in order:
            share = shares[contender.name]
            if (turn + 1) * share // repeats > turn * share // repeats:
                _warm_up(contender)
                times[contender.name].append(_timed(contender))
    return times


def _warm_up(contender: Contender) -> None:
    """Call untimed for a while: memory and threads are then as a loop of such steps has them, not as others did."""
    begun = time.perf_counter()
    while True:
        _timed(contender)
        if time.perf_counter() - begun > SETTLING:
            return


def _timed(contender: Contender) -> float:
    for leaf in contender.leaves.values():
        leaf.grad = None
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        result = contender.step()
        took = time.perf_counter() - start
    finally:
        if was_enabled:
            gc.enable()
    del result
    return took


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return q1, median, q3


def _judge(case: Case, bar: Bar, medians: Mapping[str, float]) -> Verdict:
    sides = [[name for name in names if name in medians] for names in (bar.numerator, bar.denominator)]
    if not all(sides):
        absent = ", ".join(name for name in (*bar.numerator, *bar.denominator) if name not in medians)
        return Verdict(case.family, case.name, bar.text, bar.sense, bar.limit, None, f"without {absent}")
    above, below = (min(names, key=medians.__getitem__) for names in sides)
    absent = [name for name in (*bar.numerator, *bar.denominator) if name not in medians]
    between = f"{above} / {below}" + (f"; without {', '.join(absent)}" if absent else "")
    return Verdict(case.family, case.name, bar.text, bar.sense, bar.limit, medians[above] / medians[below], between)
