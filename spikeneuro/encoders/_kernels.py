"""Compiled loops of the encoders; importing this module imports numba."""

from typing import Any

import numba
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def follow_baseline(
    signal: NDArray[Any],
    threshold: NDArray[Any],
    baseline: NDArray[Any],
    on_off: NDArray[Any],
    steps_per_sample: int,
) -> None:
    """Step-forward rule: fills `on_off` (steps, n, 2) from `signal` (times, n), moving `baseline` (n,) in place."""
    for step in range(on_off.shape[0]):
        t = step // steps_per_sample
        for n in range(signal.shape[1]):
            up = signal[t, n] >= baseline[n] + threshold[n]
            down = signal[t, n] <= baseline[n] - threshold[n]
            on_off[step, n, 0] = up
            on_off[step, n, 1] = down
            if up:
                baseline[n] += threshold[n]
            elif down:
                baseline[n] -= threshold[n]
