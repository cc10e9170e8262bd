"""The overview of all suites: best spiking, best other network, best classical pipeline, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from spikeneuro.bench.results import summary_of
from spikeneuro.evaluation import METRICS

COLUMNS = (
    "suite", "experiment", "metric", "unit", "n_units", "greater_is_better",
    "spiking", "spiking_score", "spiking_energy_j", "network", "network_score", "network_energy_j",
    "classical", "classical_score", "note", "simulated",
)  # fmt: skip
_HEADINGS = (
    "data and split", "metric", "best spiking", "best other network", "spiking minus network", "classical",
    "energy, spiking : network",
)  # fmt: skip


def overview(files: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> pd.DataFrame:
    """One row for each experiment that compares spiking and other networks.

    Parameters
    ----------
    files : sequence of (str, rows)
        Name and rows of each file of results; control runs with shuffled labels are left out.

    Returns
    -------
    DataFrame
        For each kind the name, score and modelled energy per sample (J) of its best candidate. The best are picked by
        the very scores shown, so each is a little flattering, on both sides.
    """
    lines = []
    for _, rows in files:
        if rows[0]["shuffled"]:
            continue
        frame = summary_of(rows)
        for experiment in dict.fromkeys(row["experiment"] for row in rows):
            first = next(row for row in rows if row["experiment"] == experiment)
            own = frame[frame["experiment"] == experiment].dropna(subset=["score"])
            line = _line(first, own)
            if line is not None:
                lines.append(line)
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _line(first: Mapping[str, Any], own: pd.DataFrame) -> dict[str, Any] | None:
    spiking = own[own["spiking"].astype(bool)]
    other = own[~own["spiking"].astype(bool)]
    networks, classical = other[other["kind"] == "network"], other[other["kind"] == "pipeline"]
    if spiking.empty or networks.empty:
        return None
    greater = METRICS[first["metric"]].greater_is_better
    best_spiking, best_network = (_best(part, greater) for part in (spiking, networks))
    best_classical = None if classical.empty else _best(classical, greater)
    return {
        "suite": first["suite"],
        "experiment": first["experiment"],
        "metric": first["metric"],
        "unit": first["unit"],
        "n_units": int(own["n_units"].max()),
        "greater_is_better": greater,
        "spiking": best_spiking["candidate"],
        "spiking_score": best_spiking["score"],
        "spiking_energy_j": best_spiking["energy_j"],
        "network": best_network["candidate"],
        "network_score": best_network["score"],
        "network_energy_j": best_network["energy_j"],
        "classical": None if best_classical is None else best_classical["candidate"],
        "classical_score": None if best_classical is None else best_classical["score"],
        "note": first["note"],
        "simulated": bool(first["simulated"]),
    }


def _best(part: pd.DataFrame, greater_is_better: bool) -> pd.Series:
    return part.sort_values("score", ascending=not greater_is_better, kind="stable").iloc[0]


def as_markdown(table: pd.DataFrame) -> list[str]:
    """Lines of a Markdown table of `overview`."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|---|---|---|---|--:|---|--:|"]
    for row in table.to_dict("records"):
        classical = f"{row['classical']} {row['classical_score']:.3f}" if pd.notna(row["classical_score"]) else ""
        gap = row["spiking_score"] - row["network_score"]
        cells = (
            f"{row['suite']}: {row['experiment']}" + (" (simulated)" if row["simulated"] else ""),
            row["metric"].replace("_", " "),
            f"{row['spiking']} **{row['spiking_score']:.3f}**",
            f"{row['network']} **{row['network_score']:.3f}**",
            f"{gap:+.3f}",
            classical,
            f"1 : {row['network_energy_j'] / row['spiking_energy_j']:.2g}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines
