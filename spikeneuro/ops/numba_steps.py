"""One step of the LIF recurrence on a piece of neurons, for the compiled kernels.

The order of operations is that of `spikeneuro.ops.reference`, so that both give the same bits in the forward pass.
Loops hold conditions that do not change along the piece; the compiler takes these out or makes selections of them,
and vectorises. Arrays named alike mean the same everywhere: `u` membrane before the reset, `v` after it, `cur`
current, `r` pending reset, `c` refractory steps left, `th` threshold, `m` mask.
"""

from typing import Any

import numpy as np

from spikeneuro.ops.numba_arguments import GROUP, Choice, Numbers
from spikeneuro.ops.numba_compile import (
    choose,
    element_function,
    kernel_function,
    prefetch,
    prefetch_to_write,
    stream_group,
)


@kernel_function
def ask_for(row: Any) -> None:
    """Ask for a piece of a row that the next step will read: rows lie too far apart for the processor to guess."""
    for k in range(0, row.size, GROUP):
        prefetch(row, np.uint64(k))


@kernel_function
def ask_to_write(row: Any) -> None:
    """Ask for a piece of a row that the next step will write."""
    for k in range(0, row.size, GROUP):
        prefetch_to_write(row, np.uint64(k))


@kernel_function
def stream(source: Any, target: Any) -> None:
    """Copy a piece past the caches."""
    for k in range(target.size // GROUP):
        stream_group(source, target, np.uint64(k * GROUP))


@kernel_function
def put(streams: bool, source: Any, target: Any) -> None:
    """Copy a piece, past the caches if asked for."""
    if streams:
        stream(source, target)
    else:
        copy(source, target)


@kernel_function
def stream_groups(groups: Any, source: Any, target: Any) -> None:
    """Copy the groups of a piece that are ON past the caches."""
    for k in range(target.size // GROUP):
        if groups[k] != 0:
            stream_group(source, target, np.uint64(k * GROUP))


@kernel_function
def ask_for_groups(groups: Any, row: Any) -> None:
    """Ask for the groups that the next step will read."""
    for k in range(row.size // GROUP):
        if groups[k] != 0:
            prefetch(row, np.uint64(k * GROUP))


@element_function
def fires(choice: Choice, u: Any, th: Any) -> Any:
    """Whether a membrane is above its threshold."""
    return (u > th) | (choice.inclusive & (u == th))


@element_function
def after_spike(choice: Choice, u: Any, th: Any, vz: Any) -> Any:
    """Membrane after the reset of a spike. Selected, not multiplied by 0: thresholds may be infinite."""
    return choose(choice.mode == 1, u - th, choose(choice.mode == 2, vz, u))


@kernel_function
def plain_step(
    choice: Choice, cur: Any, v: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any, s: Any, u: Any
) -> None:
    """Integrate, fire and reset neurons without late reset, rhythm and refractory period."""
    real = u.dtype.type
    one, zero = real(1.0), real(0.0)
    for j in range(u.size):
        uu = vr[j] + beta[j] * (v[j] - vr[j]) + gain[j] * cur[j]
        hit = fires(choice, uu, th[j])
        u[j] = uu
        s[j] = choose(hit, one, zero)
        v[j] = choose(hit, after_spike(choice, uu, th[j], vz[j]), uu)


@kernel_function
def masked_step(
    choice: Choice, groups: Any, cur: Any, v: Any, m: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any, s: Any,
    u: Any,
) -> None:  # fmt: skip
    """Do as `plain_step` where the mask `m` is ON; elsewhere hold the membrane, and skip groups that are OFF.

    Places are unsigned: only then does the compiler know that none is counted from the end, and vectorises.
    """
    n, zero, fills = np.uint64(u.size), u.dtype.type(0.0), choice.fills
    whole = u.size // GROUP
    for k in range(whole):
        first = np.uint64(k * GROUP)
        if groups[k] != 0:
            for j in range(first, first + np.uint64(GROUP)):
                masked_neuron(j, choice, cur, v, m, beta, gain, th, vr, vz, s, u)
        else:
            for j in range(first, first + np.uint64(GROUP)):
                s[j] = zero
            if fills:
                for j in range(first, first + np.uint64(GROUP)):
                    u[j] = v[j]
    for j in range(np.uint64(whole * GROUP), n):
        masked_neuron(j, choice, cur, v, m, beta, gain, th, vr, vz, s, u)


@kernel_function
def adaptive_step(
    choice: Choice, cur: Any, v: Any, a: Any, before: Any, m: Any, beta: Any, gain: Any, base: Any, rho: Any,
    kappa: Any, vr: Any, vz: Any, s: Any, u: Any,
) -> None:  # fmt: skip
    """Do as `masked_step`, with a threshold that adapts to the spikes of the step `before`, OFF neurons' too."""
    real = u.dtype.type
    one, zero = real(1.0), real(0.0)
    for j in range(u.size):
        held = v[j]
        on = m[j] != zero
        moved = rho[j] * a[j] + (one - rho[j]) * before[j]
        th = base[j] + kappa[j] * moved
        uu = vr[j] + beta[j] * (held - vr[j]) + gain[j] * cur[j]
        hit = fires(choice, uu, th) & on
        uu = choose(on, uu, held)
        a[j] = moved
        u[j] = uu
        s[j] = choose(hit, one, zero)
        v[j] = choose(hit, after_spike(choice, uu, th, vz[j]), uu)


@element_function
def masked_neuron(
    j: Any, choice: Choice, cur: Any, v: Any, m: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any, s: Any, u: Any
) -> None:
    """Integrate, fire and reset neuron j, or hold it."""
    real = u.dtype.type
    one, zero = real(1.0), real(0.0)
    before = v[j]
    on = m[j] != zero
    uu = vr[j] + beta[j] * (before - vr[j]) + gain[j] * cur[j]
    hit = fires(choice, uu, th[j]) & on
    uu = choose(on, uu, before)
    u[j] = uu
    s[j] = choose(hit, one, zero)
    v[j] = choose(hit, after_spike(choice, uu, th[j], vz[j]), uu)


@kernel_function
def full_step(
    choice: Choice, cur: Any, v: Any, r: Any, c: Any, m: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any,
    s: Any, u: Any,
) -> None:  # fmt: skip
    """Integrate, fire and reset neurons with any setting."""
    real = u.dtype.type
    one, zero = real(1.0), real(0.0)
    masked, late = choice.masked, choice.late
    late_zero = late & (choice.mode == 2) & (not choice.discards)
    late_less, infinite = late & (choice.mode == 1), real(np.inf)
    discards, holds, gated = choice.discards, choice.preserve & masked, choice.refractory > 0
    blind, period = gated & (not choice.integrates), real(choice.refractory)
    for j in range(u.size):
        before, due, left, reset_to = v[j], r[j], c[j], vz[j]
        free = (left <= zero) | (not gated)
        on = (m[j] != zero) | (not masked)
        drive = choose(blind & (not free), zero, cur[j])
        w = choose(late_zero, (one - due) * before + due * reset_to, before)
        uu = vr[j] + beta[j] * (w - vr[j]) + gain[j] * drive
        uu = uu - choose(late_less & (th[j] < infinite), th[j] * due, zero)
        uu = choose(discards, (one - due) * uu + due * reset_to, uu)
        hit = fires(choice, uu, th[j]) & free & on
        uu = choose(on, uu, before)
        fired = choose(hit, one, zero)
        after = choose(hit, after_spike(choice, uu, th[j], reset_to), uu)
        u[j] = uu
        s[j] = fired
        v[j] = choose(late, uu, after)
        c[j] = choose(hit, period, max(left - one, zero))
        r[j] = choose(holds & (not on), due, fired)


@kernel_function
def synaptic_current(alpha: Any, i: Any, drive: Any) -> None:
    """Let the synaptic current decay and add the drive."""
    for j in range(i.size):
        i[j] = alpha[j] * i[j] + drive[j]


@kernel_function
def adapt(rho: Any, kappa: Any, base: Any, before: Any, a: Any, th: Any) -> None:
    """Move the adaptation on by the spikes of the step `before` and write the threshold."""
    one = a.dtype.type(1.0)
    for j in range(a.size):
        moved = rho[j] * a[j] + (one - rho[j]) * before[j]
        a[j] = moved
        th[j] = base[j] + kappa[j] * moved


@kernel_function
def copy(source: Any, target: Any) -> None:
    """Copy a piece."""
    for j in range(target.size):
        target[j] = source[j]


@kernel_function
def fire(choice: Choice, u: Any, th: Any, s: Any) -> None:
    """Write the spikes of plain neurons again from their membrane."""
    one, zero = u.dtype.type(1.0), u.dtype.type(0.0)
    for j in range(u.size):
        s[j] = choose(fires(choice, u[j], th[j]), one, zero)


@kernel_function
def reset(choice: Choice, u: Any, s: Any, th: Any, vz: Any, v: Any) -> None:
    """Write the membrane after the reset again from what was saved of its step."""
    zero = u.dtype.type(0.0)
    if choice.late:
        copy(u, v)
    else:
        for j in range(u.size):
            v[j] = choose(s[j] != zero, after_spike(choice, u[j], th[j], vz[j]), u[j])


@kernel_function
def thresholds(numbers: Numbers, o: int, e: int, a: Any, th: Any) -> None:
    """Write the adapted threshold of places o..e-1 of the period."""
    base, kappa = numbers.threshold[o:e], numbers.kappa[o:e]
    for j in range(th.size):
        th[j] = base[j] + kappa[j] * a[j]
