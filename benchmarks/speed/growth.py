"""Growth of cost with the number of steps, neurons and samples over two decades, and the slope it has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import feed_forward
import numpy as np
from timing import Case, Timing, Verdict, run_case

AXES = {"T": "steps", "N": "neurons", "B": "batch"}
#: Decades and points of each axis.
DECADES, POINTS = 2, 7
#: A slope of the logarithms above this is no longer called linear.
LIMIT = 1.1
NOTE = "Plain LIF, gradient to the input; the bar holds for the slope over both decades and over the upper one."


@dataclass(frozen=True)
class Growth:
    """Times along one axis, and the least-squares slope of their logarithms over the sizes'."""

    axis: str
    sizes: Sequence[int]
    milliseconds: Sequence[float]
    others: str

    @property
    def slope(self) -> float:
        return float(np.polyfit(np.log(self.sizes), np.log(self.milliseconds), 1)[0])

    @property
    def upper_slope(self) -> float:
        """Slope of the upper decade, where calls that cost the same at any size weigh least."""
        upper = [k for k, size in enumerate(self.sizes) if size >= self.sizes[-1] / 10 * 0.999]
        chosen = [(np.log(self.sizes[k]), np.log(self.milliseconds[k])) for k in upper]
        return float(np.polyfit(*np.array(chosen).T, 1)[0])


def measure(size: feed_forward.Size, backend: str, repeats: int) -> tuple[list[Timing], list[Verdict], list[Growth]]:
    """Forward and backward of plain LIF, with one of T, N and B grown a hundredfold from a 25th of `size`."""
    timings, verdicts, growths = [], [], []
    for axis, field in AXES.items():
        start = max(1, getattr(size, field) // 25)
        sizes = [round(start * 10 ** (DECADES * k / (POINTS - 1))) for k in range(POINTS)]
        contenders = []
        for value in sizes:
            own = replace(size, **{field: value})
            layer = feed_forward.plain(own, backend)
            x, gradient = feed_forward.sequences(own)
            contenders.append(feed_forward.through(f"{axis} {value}", layer, x, gradient, compare="nothing"))
        others = ", ".join(f"{name} {getattr(size, key)}" for name, key in AXES.items() if name != axis)
        case = Case("growth", f"growth with {axis}", others, contenders)
        found, _ = run_case(case, repeats)
        growth = Growth(axis, sizes, [timing.median_ms for timing in found], others)
        text = (
            f"slope of log time over log {axis}: {growth.slope:.2f} from {sizes[0]} to {sizes[-1]}, "
            f"{growth.upper_slope:.2f} over the upper decade"
        )
        steepest = max(growth.slope, growth.upper_slope)
        timings += found
        verdicts.append(Verdict("growth", case.name, text, "at most", LIMIT, steepest, others))
        growths.append(growth)
    return timings, verdicts, growths
