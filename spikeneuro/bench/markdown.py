"""The Markdown page of results: tables by suite and experiment, the check against known figures, the command."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from spikeneuro.bench.origins import origins, price_lists
from spikeneuro.bench.results import summary_of
from spikeneuro.bench.summaries import adjusted
from spikeneuro.bench.wording import limits, number, p_value

_HEAD = """# Results

Made from the files in `results/` by `spikeneuro results`; not edited by hand.

One row per candidate. *Score*: mean over the units of independence of the experiment's metric, averaged over folds and
seeds, with a 95 % bootstrap interval over units. *Difference* and *p*: paired permutation test over units against the
best non-spiking candidate; *p (Holm)*: corrected for the number of comparisons in the table. That rival was selected by
its score on the same test samples, which favours it. Intervals and p-values take the trained networks as they are and
do not contain what training again would change: with one seed they speak of these trained networks only; from three
seeds on, *seed SD* is the standard deviation of the score between seeds. *MACs* and *ACs*: multiply-accumulates and
accumulates per sample, zero inputs skipped. *Energy*: modelled from operation counts at 45 nm, 32-bit floating point,
per sample; not measured. *Rate*: spikes per neuron and step.
"""


_OVERVIEW = """## Overview

The best candidate of each kind, picked by the very scores shown, which flatters each a little. Energies are those of
the networks named; what costs less here may owe it to its size and not to its spikes.
"""


def page_text(
    files: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], overview: str, beside: Mapping[str, str] | None = None
) -> str:
    """Text of the page for files given by name and rows, the overview's table, and titles of other pages by path."""
    links = ", ".join(f"[{title}]({path})" for path, title in (beside or {}).items())
    parts = [_HEAD, *([f"Measured otherwise: {links}.\n"] if links else []), _OVERVIEW, overview, ""]
    for name, rows in files:
        parts += _suite(name, rows)
    return "\n".join(parts)


def _suite(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    first = rows[0]
    title = first["title"] + (f" ({first['variant']})" if first["variant"] else "")
    parts = [f"## {title}{': labels shuffled, a control' if first['shuffled'] else ''}", ""]
    if first["variant_note"]:
        parts += [f"This variant: {first['variant_note']}.".replace("..", "."), ""]
    frame = summary_of(rows)
    for experiment in dict.fromkeys(row["experiment"] for row in rows):
        own = [row for row in rows if row["experiment"] == experiment]
        parts += _experiment(own, frame[frame["experiment"] == experiment])
    commands = sorted({row["command"] for row in rows if row["command"]})
    parts += [
        f"Cells: [`results/{name}`](results/{name}). Made by: {'; '.join(f'`{c}`' for c in commands) or 'no run'}."
    ]
    days = sorted({row["started"][:10] for row in rows if row["started"]})
    made = "; or ".join(origins(rows)) or "nothing"
    parts += [f"With {made}; {' to '.join(dict.fromkeys((days[0], days[-1]))) if days else 'never'}.", ""]
    if prices := price_lists(rows):
        parts += [f"Energy by {prices}.", ""]
    return parts


def _experiment(rows: Sequence[Mapping[str, Any]], frame: pd.DataFrame) -> list[str]:
    first = rows[0]
    split = first["split"]
    by = split["params"].get("by")
    text = f"{first['data']}. " if first["data"] else ""
    text += "**Simulated data.** " if first["simulated"] else ""
    text += (
        f"Metric: {first['metric']}; unit: {first['unit']} ({int(frame['n_units'].max())}); split: {split['method']}"
    )
    text += f" by {by if isinstance(by, str) else ', '.join(by)}" if by else ""
    text += f" within each {split['within']}" if split["within"] else ""
    text += f", {split['folds']} folds; seeds: {', '.join(map(str, sorted({row['seed'] for row in rows})))}."
    if len({row["seed"] for row in rows}) == 1:
        text += " One seed: intervals and p-values are of these trained networks."
    parts = [f"### {first['experiment']}", "", text.replace("..", "."), ""]
    if first["note"]:
        parts += [f"Note: {first['note']}.".replace("..", "."), ""]
    parts += [*_table(frame), ""]
    reference = _reference(first["reference"], frame)
    if reference:
        parts += [reference, ""]
    by_note = frame[frame["note"] != ""].groupby("note", sort=False)["candidate"]
    notes = [f"{', '.join(names)}: {note}" for note, names in by_note]
    if notes:
        parts += ["Remarks: " + "; ".join(notes) + ".", ""]
    failed = sorted({f"{row['candidate']}: {row['error']}" for row in rows if row["status"] == "failed"})
    if failed:
        parts += ["Failed: " + "; ".join(failed), ""]
    return parts


def _table(frame: pd.DataFrame) -> list[str]:
    headings = (
        "candidate", "kind", "score", "95 % interval", "seed SD", "difference", "p", "p (Holm)", "parameters", "MACs",
        "ACs", "energy (µJ)", "rate", "training (s)",
    )  # fmt: skip
    lines = ["| " + " | ".join(headings) + " |", "|---|---|" + "--:|" * (len(headings) - 2)]
    for row in frame.assign(holm=adjusted(frame["p"])).to_dict("records"):
        kind = "spiking" if row["spiking"] else "classical" if row["kind"] == "pipeline" else "network"
        cells = [
            str(row["candidate"]),
            kind,
            number(row["score"], ".3f"),
            limits(row["low"], row["high"], ".3f"),
            number(row["seed_sd"], ".3f"),
            number(row["difference"], "+.3f"),
            p_value(row["p"]),
            p_value(row["holm"]),
            number(row["parameters"], ",.0f"),
            number(row["macs"], ",.0f"),
            number(row["acs"], ",.0f"),
            number(row["energy_j"] * 1e6, ".3g"),
            number(row["spike_rate"], ".3f"),
            number(row["train_seconds"], ".2g" if row["train_seconds"] < 1 else ".0f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _reference(reference: Mapping[str, Any] | None, frame: pd.DataFrame) -> str | None:
    """Whether the known figure of a candidate was met."""
    if reference is None:
        return None
    score = frame.loc[frame["candidate"] == reference["candidate"], "score"].iloc[0]
    known = f"{reference['candidate']}: known figure {reference['score']:.3f} ({reference['source']})"
    if pd.isna(score):
        return f"Check: {known}; not computed."
    off = abs(score - reference["score"])
    verdict = "agrees" if off <= reference["tolerance"] else "DOES NOT AGREE"
    return f"Check: {known}; here {score:.3f}, {verdict} within {reference['tolerance']:g}."
