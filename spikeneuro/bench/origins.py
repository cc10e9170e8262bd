"""Where cells were made: versions, processors, threads, and the prices behind modelled energies."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def origins(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each distinct set of versions, processor and threads, with its number of cells where there are several."""
    made = Counter(_made_with(row) for row in rows if row["versions"])
    return [f"{text} ({count} cells)" if len(made) > 1 else text for text, count in made.items()]


def _made_with(row: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    threads = "" if row["threads"] is None else f", {row['threads']} thread{'s' if row['threads'] != 1 else ''}"
    return f"{versions} on {row['machine'] or 'an unknown processor'}{threads}"


def price_lists(rows: Iterable[Mapping[str, Any]]) -> str:
    """Name and hash of the prices behind the energies of these cells, empty if there are none."""
    found = sorted({row["cost_model"] for row in rows if row["cost_model"]})
    return ", ".join(found) + (": NOT COMPARABLE between them" if len(found) > 1 else "")
