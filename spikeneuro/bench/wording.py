"""Numbers as text, the same in the terminal, the Markdown page and the report."""

from typing import Any

import numpy as np
import pandas as pd

#: Where there is no number.
DASH = "\N{EN DASH}"


def number(value: Any, form: str) -> str:
    """Value in this format, or a dash where there is none."""
    return DASH if value is None or pd.isna(value) else format(value, form).replace("-", "\N{MINUS SIGN}")


def p_value(value: Any) -> str:
    """P-value to three decimals; the smallest are bounded, never zero."""
    return "< 0.001" if value is not None and value < 0.001 else number(value, ".3f")


def stated(value: Any) -> str:
    """P-value with its relation, for a sentence."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def limits(low: Any, high: Any, form: str) -> str:
    """Limits of an interval, or a dash."""
    return DASH if pd.isna(low) or pd.isna(high) else f"{number(low, form)} to {number(high, form)}"


def significant(value: float, digits: int = 3) -> str:
    """Number with this many significant digits, without exponent."""
    if pd.isna(value):
        return DASH
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return number(value, f",.{decimals}f")


def plural(unit: str) -> str:
    """Name of several units."""
    if unit.endswith("y") and not unit.endswith(("ay", "ey", "oy")):
        return unit[:-1] + "ies"
    return unit + ("es" if unit.endswith("s") else "s")


def count(value: Any) -> str:
    """Number of operations in three digits or so: ``12``, ``1.2 k``, ``3.4 M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if not pd.isna(value) and value >= size:
            return f"{number(value / size, '.1f')} {unit}"
    return number(value, ".0f")


def energy(joules: Any) -> str:
    """Energy with the unit that suits it: ``3.2 nJ``, ``0.05 mJ``."""
    for unit, size in (("mJ", 1e-3), ("µJ", 1e-6)):
        if not pd.isna(joules) and joules >= size:
            return f"{number(joules / size, '.2f')} {unit}"
    return DASH if pd.isna(joules) else f"{number(joules / 1e-9, '.1f')} nJ"
