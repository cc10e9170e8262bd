"""Numbers and findings in words a reader can use who did not run anything."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from spikeneuro.bench.summaries import adjusted
from spikeneuro.bench.wording import DASH, limits, number, plural, significant, stated
from spikeneuro.evaluation import METRICS

#: Axes of one sample, by kind of recording.
_AXES = {"image": ("channels", "rows", "columns"), "features": ("features",), "fmri": ("regions", "volumes")}
LEVEL = 0.05
#: Of every comparison with the best of several candidates.
SELECTED = "The rival was selected by its score on the same test data, which favours it."
TIMES = " \N{MULTIPLICATION SIGN} "  # between sizes


def metric_name(scorer: str) -> str:
    """Name of a metric inside a sentence."""
    title = METRICS[scorer].title
    proper = title.split()[0] in ("AUC", "F1", "R²", "Pearson")
    return title if proper else title[0].lower() + title[1:]


def ranked(experiment: Mapping[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """Table with the best score on top."""
    ascending = not METRICS[experiment["scorer"]].greater_is_better
    return table.sort_values("score", ascending=ascending, na_position="last", kind="stable")


def rival(table: pd.DataFrame) -> str | None:
    """Candidate that the others are compared with."""
    names = table["rival"].dropna().unique()
    return str(names[0]) if len(names) else None


def facts(experiment: Mapping[str, Any]) -> str:
    """What was recorded, how it was split, over what intervals are made."""
    kind = "" if experiment["modality"] == "features" else f" ({experiment['modality']})"
    parts = [f"{experiment['n_samples']:,} samples of {_size(experiment)}{kind}"]
    if experiment["sfreq"]:
        parts.append(f"sampled at {experiment['sfreq']:g} Hz")
    if experiment["classes"]:
        counted = "time steps" if experiment["task"] == "steps" else "samples"
        shown = ", ".join(f"{name}: {count:,}" for name, count in experiment["classes"].items())
        parts.append(f"{counted} by class ({shown})")
    definition = experiment["definition"]
    by = definition["split"]["params"].get("by")
    by = by if by is None or isinstance(by, str) else ", ".join(by)
    inside = f" within each {definition['within']}" if definition.get("within") else ""
    parts.append(f"split: {definition['split']['method']}{f' by {by}' if by else ''}{inside}, "
                 f"{experiment['n_folds']} folds")  # fmt: skip
    parts.append(f"unit of independence: {experiment['unit']} ({experiment['n_units']:,})")
    return "; ".join(parts) + "."


def _size(experiment: Mapping[str, Any]) -> str:
    shape = experiment["shape"]
    if not isinstance(shape, list):
        return json.dumps(shape)
    names = _AXES.get(experiment["modality"], ("channels", "time points"))
    sizes = ["a varying number of" if length is None else f"{length:,}" for length in shape]
    if len(names) != len(sizes):
        return TIMES.join(sizes)
    names = tuple(name.removesuffix("s") if size == "1" else name for size, name in zip(sizes, names, strict=True))
    return TIMES.join(f"{size} {name}" for size, name in zip(sizes, names, strict=True))


def pooled(table: pd.DataFrame) -> bool:
    """Whether the metric was computed on all samples together, because it is not defined inside every unit."""
    return bool(table["note"].fillna("").str.startswith("not defined inside").any())


def verdict(experiment: Mapping[str, Any], table: pd.DataFrame) -> str:
    """The comparison of the best spiking with the best non-spiking candidate."""
    table = table.assign(holm=adjusted(table["p"]))
    spiking = ranked(experiment, table[table["spiking"].astype(bool)].dropna(subset=["score"]))
    name = rival(table)
    if spiking.empty or name is None:
        return "There is no pair of a spiking and a non-spiking candidate with scores to compare."
    best = spiking.iloc[0]
    other = table[table["candidate"] == name].iloc[0]
    metric = metric_name(experiment["scorer"])
    text = (
        f"Best spiking candidate: {best['candidate']}, {metric} {number(best['score'], '.3f')}. "
        f"Best non-spiking candidate: {name}, {number(other['score'], '.3f')}. "
    )
    if pd.isna(best["difference"]):
        return text + "They were tested on no common unit, so they are not compared."
    text += f"The spiking one is {_gap(experiment, best['difference'])}"
    if not pd.isna(best["difference_low"]):
        text += f" (95 % interval of the difference {limits(best['difference_low'], best['difference_high'], '+.3f')})"
    return text + _tested(experiment, table, best, other)


def _gap(experiment: Mapping[str, Any], difference: float) -> str:
    shown = f"{abs(difference):.3f}"
    if float(shown) == 0:
        return "equal to three decimals"
    higher_is_better = METRICS[experiment["scorer"]].greater_is_better
    return f"{shown} {'better' if (difference > 0) == higher_is_better else 'worse'}"


def _tested(experiment: Mapping[str, Any], table: pd.DataFrame, best: Any, other: Any) -> str:
    n_units = int(best["n_common"])
    units = f"{n_units:,} {plural(experiment['unit'])}" if n_units != 1 else f"one {experiment['unit']}"
    if pd.isna(best["p"]):
        return f"; there are too few units for a test ({units})."
    number_of_tests = int(table["p"].notna().sum())
    text = f"; paired permutation test over {units}: {stated(best['p'])}"
    if number_of_tests > 1:
        text += f", {stated(best['holm'])} after Holm's correction for {number_of_tests} comparisons"
    return text + _meaning(experiment, best, units, n_units) + _training_noise(best, other) + " " + SELECTED


def _meaning(experiment: Mapping[str, Any], best: Any, units: str, n_units: int) -> str:
    """What the p-value allows to be said."""
    smallest = min(1.0, 2.0 ** (1 - n_units))
    if smallest > LEVEL:
        return f". With {units} this test cannot give less than p = {smallest:.3f}, so it cannot tell them apart."
    if experiment["n_folds"] == 1 and best["n_seeds"] == 1:
        return ". With one fold and one seed this compares two trained networks, not the two ways to make them."
    return f": {'' if best['holm'] < LEVEL else 'not '}significant at the 5 % level."


def _training_noise(best: Any, other: Any) -> str:
    """What neither interval nor test contains: how far training with another seed moves the score."""
    if best["n_seeds"] == 1:
        return " With one seed this speaks of these trained networks, not of what training again would give."
    spreads = [f"{row['candidate']} {number(row['seed_sd'], '.3f')}" for row in (best, other)]
    if pd.isna([best["seed_sd"], other["seed_sd"]]).all():
        return ""
    return f" Standard deviation of the score between seeds, which the test does not contain: {', '.join(spreads)}."


def reference(experiment: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any] | None:
    """Whether the known figure of a candidate was met."""
    known = experiment["reference"]
    if not known:
        return None
    row = table[table["candidate"] == known["candidate"]]
    score = np.nan if row.empty else float(row["score"].iloc[0])
    if pd.isna(score):
        return {"agrees": False, "text": f"Known figure for {known['candidate']}: not computed yet."}
    agrees = abs(score - known["score"]) <= known["tolerance"]
    return {
        "agrees": agrees,
        "text": f"Check of the harness: {known['candidate']} scores {score:.3f}; known figure {known['score']:.3f} "
        f"({known['source']}): {'agrees' if agrees else 'does NOT agree'} within {known['tolerance']:g}.",
    }


def energy_verdict(experiment: Mapping[str, Any], counted: pd.DataFrame) -> str:
    """Best spiking against best non-spiking network in energy, and whether a non-spiking one is both good and cheap."""
    spiking, rest = counted[counted["spiking"].astype(bool)], counted[~counted["spiking"].astype(bool)]
    if spiking.empty or rest.empty:
        return ""
    best, other = ranked(experiment, spiking).iloc[0], ranked(experiment, rest).iloc[0]
    metric = metric_name(experiment["scorer"])
    text = (
        f"The best spiking network ({best['candidate']}, {metric} {number(best['score'], '.3f')}) is "
        f"modelled at {significant(best['energy_j'] * 1e9)} nJ a sample, the best non-spiking network "
        f"({other['candidate']}, {number(other['score'], '.3f')}) at {significant(other['energy_j'] * 1e9)} nJ. The "
        f"spiking one needs {_ratio(best['energy_j'], other['energy_j'])} if both skip zero inputs, "
        f"{_ratio(best['dense_energy_j'], other['dense_energy_j'])} if neither does. "
    )
    sign = 1 if METRICS[experiment["scorer"]].greater_is_better else -1
    better = rest[(sign * rest["score"] >= sign * best["score"]) & (rest["energy_j"] <= best["energy_j"])]
    if better.empty:
        return text + "No non-spiking network here scores as well for as little energy." + _close(best, rest)
    cheapest = better.sort_values("energy_j").iloc[0]
    return text + (
        f"The spiking network is not cheaper for what it achieves: {cheapest['candidate']} scores "
        f"{number(cheapest['score'], '.3f')} for {significant(cheapest['energy_j'] * 1e9)} nJ."
    )


def _close(best: Any, rest: pd.DataFrame) -> str:
    """A non-spiking network that is cheaper and whose score the interval of the best spiking one does not exclude."""
    near = rest[(rest["energy_j"] <= best["energy_j"]) & rest["score"].between(best["low"], best["high"])]
    if near.empty:
        return ""
    other = near.sort_values("energy_j").iloc[0]
    return (
        f" But {other['candidate']} needs {significant(other['energy_j'] * 1e9)} nJ, and its score, "
        f"{number(other['score'], '.3f')}, lies inside the interval of {best['candidate']}."
    )


def _ratio(first: float, second: float) -> str:
    if not (first > 0 and second > 0):
        return "no ratio"
    if first == second:
        return "as much energy"
    more, ratio = first > second, max(first, second) / min(first, second)
    if ratio < 1.05:
        return "about as much energy"
    return f"{significant(ratio, 2)} times {'more' if more else 'less'} energy"


def audited(experiment: Mapping[str, Any]) -> list[str]:
    """What the leakage audit checked, could not check, and found."""
    audit = experiment["audit"] or {}
    lines = []
    if audit.get("checked"):
        lines.append(f"checked in every fold: {', '.join(audit['checked'])}")
    if audit.get("unchecked"):
        lines.append(f"could not be checked: {'; '.join(audit['unchecked'])}")
    if audit.get("findings"):
        # The first stands for its like in the other folds; the last is about the units of the whole experiment.
        found = audit["findings"]
        shown = dict.fromkeys((_reason(found[0]), _reason(found[-1])))
        more = f" ({len(found)} findings in all)" if len(found) > len(shown) else ""
        lines.append(f"found: {'; '.join(shown)}{more}")
    if audit.get("allowed"):
        lines.append(f"accepted by the suite, because: {audit['allowed']}")
    return lines


def _reason(finding: str) -> str:
    """Finding without the advice to its author after the semicolon."""
    return finding.split("; to accept that", 1)[0]


def named(groups: Sequence[Any] | None, most: int) -> str:
    """Names of groups, the first ones if there are many."""
    if not groups:
        return DASH
    shown = ", ".join(str(group) for group in groups[:most])
    return shown + (f" and {len(groups) - most} more" if len(groups) > most else "")
