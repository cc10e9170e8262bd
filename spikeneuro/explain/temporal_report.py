"""What `temporal_dependence` found: a row for each control, and the answer in words."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from spikeneuro.evaluation import METRICS
from spikeneuro.explain.controls import CONTROLS
from spikeneuro.explain.hidden import HIDDEN_CONTROLS

#: Controls that leave every value where a mean over time finds it: what they cost is the cost of order.
_ORDER = ("time-shuffled", "segments-permuted", "time-reversed")


@dataclass(frozen=True)
class ControlResult:
    """Score of a model under one control.

    Attributes
    ----------
    control : str
        ``original``, or a key of `CONTROLS` or `HIDDEN_CONTROLS`.
    where : str
        ``input``, the name of a layer, or ``all layers``.
    score, low, high : float or None
        Mean over units and draws, and limits of its interval over units; None where undefined, see `note`.
    drop, drop_low, drop_high : float or None
        By how much the score is worse than the original's (positive is worse, whichever way the metric runs), paired
        over units, with its interval.
    p_value : float or None
        Two-sided, of the paired test over units.
    p_adjusted : float or None
        The same, adjusted by Holm's method for all controls of the report.
    changed : float or None
        Share of the samples with another class than for the original (for values: mean absolute change), over draws.
    note : str
        Why something is None.
    """

    control: str
    where: str
    score: float | None = None
    low: float | None = None
    high: float | None = None
    drop: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    changed: float | None = None
    note: str = ""

    def with_p(self, adjusted: float) -> "ControlResult":
        """The same row with its adjusted p-value."""
        return replace(self, p_adjusted=adjusted)

    @property
    def title(self) -> str:
        """The control in words."""
        if self.control in CONTROLS:
            return CONTROLS[self.control].title
        return HIDDEN_CONTROLS[self.control][0] if self.control in HIDDEN_CONTROLS else "as they are"


@dataclass(frozen=True, eq=False)
class TemporalReport:
    """Whether a model uses time at all.

    Attributes
    ----------
    rows : tuple of ControlResult
        The original first, then the controls.
    metric : str
        Key of `spikeneuro.evaluation.METRICS`.
    task : str
        ``classification``, ``regression`` or ``steps``.
    n_samples, n_units : int
        Test samples, and units of independence.
    confidence : float
        Of the intervals.
    n_repeats : int
        Draws of each random control.
    chance : float or None
        Score of the best constant answer, for accuracy and balanced accuracy.
    note : str
        What could not be controlled.
    """

    rows: tuple[ControlResult, ...]
    metric: str
    task: str
    n_samples: int
    n_units: int
    confidence: float
    n_repeats: int
    chance: float | None = None
    note: str = ""

    @property
    def original(self) -> ControlResult:
        """Row of the input as it is."""
        return self.rows[0]

    @property
    def controls(self) -> tuple[ControlResult, ...]:
        """Rows of the controls that could be applied."""
        return tuple(row for row in self.rows[1:] if row.changed is not None)

    def row(self, control: str, where: str = "input") -> ControlResult:
        """Find the row of a control.

        Parameters
        ----------
        control : str
            Its name.
        where : str
            ``input``, a layer, or ``all layers``.

        Returns
        -------
        ControlResult
            The row.

        Raises
        ------
        KeyError
            If there is none.
        """
        for row in self.rows:
            if (row.control, row.where) == (control, where):
                return row
        raise KeyError(f"no control {control!r} at {where!r} in this report")

    def is_worse(self, row: ControlResult) -> bool:
        """Whether the score under a control is worse than the original's, beyond chance."""
        level = 1 - self.confidence
        return row.p_adjusted is not None and row.drop is not None and row.drop > 0 and row.p_adjusted < level

    @property
    def uses_time(self) -> bool | None:
        """True if some control makes the score worse beyond chance, False if none changes a single prediction.

        None in between: predictions change, but not the score, as far as these samples can tell.
        """
        return self._used(self.controls)

    @property
    def uses_order(self) -> bool | None:
        """The same for the controls that change nothing but the order of times or spikes.

        A model that uses time but not its order looks at how values are distributed, such as their variance.
        """
        return self._used([row for row in self.controls if row.control in _ORDER or row.where != "input"])

    def _used(self, rows: Sequence[ControlResult]) -> bool | None:
        if any(self.is_worse(row) for row in rows):
            return True
        return None if any(row.changed for row in rows) or not rows else False

    def answer(self) -> str:
        """The answer in one sentence.

        Returns
        -------
        str
            Begins with Yes, No or Not shown.
        """
        if not self.controls:
            return "Not shown: no control could be applied."
        if self.uses_time is False:
            return "No: no control changed a single prediction, so the model does not use time."
        worse = [row for row in self.controls if self.is_worse(row)]
        name = METRICS[self.metric].title.lower()
        if not worse:
            most = max(self.controls, key=lambda row: row.changed or 0.0)
            return (
                f"Not shown: predictions change (most with {_at(most)}), but no control makes the {name} worse beyond "
                "chance on these samples."
            )
        most = max(worse, key=lambda row: row.drop or 0.0)
        order = {True: "", False: ", but not its order", None: ", but that its order counts is not shown"}
        return (
            f"Yes{order[self.uses_order]}: the {name} suffers most from {_at(most)}, {_number(self.original.score)} "
            f"against {_number(most.score)} ({_drop(most)})."
        )

    def findings(self) -> list[str]:
        """The answer, what each kind of control says, and what to be careful about.

        Returns
        -------
        list of str
            Sentences.
        """
        found = [self.answer()]
        if self.controls:
            found += [*self._of_order(), *self._of_layers()]
        found += self._cautions()
        found += [f"{_at(row)}: {row.note}." for row in self.rows[1:] if row.changed is None]
        return found

    def _of_order(self) -> list[str]:
        by_name = {row.control: row for row in self.controls if row.where == "input"}
        order, alone = by_name.get("time-shuffled"), by_name.get("time-shuffled-by-channel")
        found = []
        if any(self.is_worse(by_name[name]) for name in _ORDER if name in by_name):
            lost = [by_name[name] for name in _ORDER if name in by_name and self.is_worse(by_name[name])]
            found.append(
                "The order of the times counts: " + ", ".join(f"{_at(row)} {_drop(row)}" for row in lost) + "."
            )
        elif order is not None and order.changed == 0:
            found.append("The order of the times does not count at all: shuffled, not one prediction changes.")
        elif order is not None:
            found.append("That the order of the times counts is not shown.")
        if order and alone and self.is_worse(alone) and not self.is_worse(order):
            found.append("What counts is which values of the channels occur together, not when.")
        mean = by_name.get("time-mean")
        if mean and not self.is_worse(mean) and (mean.drop_high is not None or mean.changed == 0):
            found.append(f"The mean of each channel is enough, as far as these samples tell ({_drop(mean)}).")
        back = by_name.get("time-reversed")
        if order and back and self.is_worse(order) and not self.is_worse(back):
            found.append("That the direction of time counts is not shown: reversed, the model does about as well.")
        return found

    def _of_layers(self) -> list[str]:
        inside = [row for row in self.controls if row.where != "input"]
        worse = [row for row in inside if self.is_worse(row)]
        if worse:
            most = max(worse, key=lambda row: row.drop or 0.0)
            return [
                f"When spikes occur counts inside the network, not only how many: most at {most.where}, {_drop(most)}."
            ]
        if inside and not any(row.changed for row in inside):
            return ["Inside the network only the counts of spikes matter: with their times shuffled nothing changes."]
        return ["That spike times inside the network count, beyond their number, is not shown."] if inside else []

    def _cautions(self) -> list[str]:
        found = [self.note[0].upper() + self.note[1:] + "."] if self.note else []
        low = self.original.low
        if self.chance is not None and (low is None or low <= self.chance):
            found.append(
                f"The model is not shown to be better than a constant answer ({_number(self.chance)}), so there is "
                "little that a control could take away."
            )
        tests = sum(row.p_value is not None for row in self.controls)
        if tests and tests * 2.0 ** (1 - self.n_units) >= 1 - self.confidence:
            found.append(
                f"With {self.n_units} units and {tests} controls no drop can be told from chance, however large: name "
                "fewer controls, or test on more units."
            )
        return found

    def table(self) -> pd.DataFrame:
        """One row for the original and each control.

        Returns
        -------
        DataFrame
            Columns ``control, where, score, low, high, drop, drop_low, drop_high, p_value, p_adjusted, changed, note``.
            What is not known is NaN.
        """
        rows = [
            {name: math.nan if value is None else value for name, value in asdict(row).items()} for row in self.rows
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON.

        Returns
        -------
        dict
            The attributes by name, ``rows`` as a list of mappings, and ``uses_time`` and ``findings``.
        """
        named = {name: getattr(self, name) for name in (
            "metric", "task", "n_samples", "n_units", "confidence", "n_repeats", "chance", "note", "uses_time",
        )}  # fmt: skip
        return {**named, "rows": [asdict(row) for row in self.rows], "findings": self.findings()}


def _number(value: float | None) -> str:
    return "an undefined score" if value is None else f"{value:.3f}"


def _drop(row: ControlResult) -> str:
    if row.drop is None:
        return "drop undefined"
    interval = "" if row.drop_low is None else f" [{row.drop_low:.3f}, {row.drop_high:.3f}]"
    p = "" if row.p_adjusted is None else f", p = {row.p_adjusted:.2g}"
    return f"drop {row.drop:.3f}{interval}{p}"


def _at(row: ControlResult) -> str:
    return row.title if row.where == "input" else f"{row.title} at {row.where}"
