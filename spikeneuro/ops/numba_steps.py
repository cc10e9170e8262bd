"""One step of the LIF recurrence on a piece of neurons, for the compiled kernels.

The order of operations is that of `spikeneuro.ops.reference`, so that both give the same bits in the forward pass.
Loops hold conditions that do not change along the piece; the compiler takes these out or makes selections of them,
and vectorises. Arrays named alike mean the same everywhere: `u` membrane before the reset, `v` after it, `cur`
current, `r` pending reset, `c` refractory steps left, `th` threshold, `m` mask.
"""

from typing import Any

import numpy as np

from spikeneuro.ops.numba_arguments import GROUP, Choice, Numbers
from spikeneuro.ops.numba_compile import element_function, kernel_function


@kernel_function
def plain_step(
    choice: Choice, cur: Any, v: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any, s: Any, u: Any
) -> None:
    """Integrate, fire and reset neurons without late reset, rhythm and refractory period."""
    real = u.dtype.type
    one, zero = real(1.0), real(0.0)
    # After a spike: subtract gives 1 u - 1 th + 0 v_reset, zero gives 0 u - 0 th + 1 v_reset, each exact.
    keep, less, to = real(choice.mode != 2), real(choice.mode == 1), real(choice.mode == 2)
    inclusive = choice.inclusive
    for j in range(u.size):
        uu = vr[j] + beta[j] * (v[j] - vr[j]) + gain[j] * cur[j]
        hit = (uu > th[j]) | (inclusive & (uu == th[j]))
        u[j] = uu
        s[j] = one if hit else zero
        v[j] = keep * uu - less * th[j] + to * vz[j] if hit else uu


@kernel_function
def masked_step(
    choice: Choice, groups: Any, cur: Any, v: Any, m: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any, s: Any,
    u: Any,
) -> None:  # fmt: skip
    """Do as `plain_step` where the mask `m` is ON; elsewhere hold the membrane, and skip groups that are OFF."""
    n = np.uint64(u.size)
    clear(s)
    copy(v, u)
    for k in range(groups.size):
        first = groups[k]
        if first + np.uint64(GROUP) > n:
            break
        for j in range(first, first + np.uint64(GROUP)):
            masked_neuron(j, choice, cur, v, m, beta, gain, th, vr, vz, s, u)
    for j in range(n - n % np.uint64(GROUP), n):
        masked_neuron(j, choice, cur, v, m, beta, gain, th, vr, vz, s, u)


@element_function
def masked_neuron(
    j: Any, choice: Choice, cur: Any, v: Any, m: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any, s: Any, u: Any
) -> None:
    """Integrate, fire and reset neuron j, or hold it."""
    real = u.dtype.type
    one, zero = real(1.0), real(0.0)
    keep, less, to = real(choice.mode != 2), real(choice.mode == 1), real(choice.mode == 2)
    before = v[j]
    on = m[j] != zero
    uu = vr[j] + beta[j] * (before - vr[j]) + gain[j] * cur[j]
    hit = ((uu > th[j]) | (choice.inclusive & (uu == th[j]))) & on
    uu = uu if on else before
    u[j] = uu
    s[j] = one if hit else zero
    v[j] = keep * uu - less * th[j] + to * vz[j] if hit else uu


@kernel_function
def full_step(
    choice: Choice, cur: Any, v: Any, r: Any, c: Any, m: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any,
    s: Any, u: Any,
) -> None:  # fmt: skip
    """Integrate, fire and reset neurons with any setting."""
    real = u.dtype.type
    one, zero = real(1.0), real(0.0)
    keep, less, to = real(choice.mode != 2), real(choice.mode == 1), real(choice.mode == 2)
    inclusive, masked, late = choice.inclusive, choice.masked, choice.late
    late_zero = late & (choice.mode == 2) & (not choice.discards)
    late_less = late & (choice.mode == 1)
    discards, holds, gated = choice.discards, choice.preserve & masked, choice.refractory > 0
    blind, period = gated & (not choice.integrates), real(choice.refractory)
    for j in range(u.size):
        before, due, left, reset_to = v[j], r[j], c[j], vz[j]
        free = (left <= zero) | (not gated)
        on = (m[j] != zero) | (not masked)
        drive = zero if blind & (not free) else cur[j]
        w = (one - due) * before + due * reset_to if late_zero else before
        uu = vr[j] + beta[j] * (w - vr[j]) + gain[j] * drive
        uu = uu - (th[j] * due if late_less else zero)
        uu = (one - due) * uu + due * reset_to if discards else uu
        hit = ((uu > th[j]) | (inclusive & (uu == th[j]))) & free & on
        uu = uu if on else before
        fired = one if hit else zero
        after = keep * uu - less * th[j] + to * reset_to if hit else uu
        u[j] = uu
        s[j] = fired
        v[j] = uu if late else after
        c[j] = period if hit else max(left - one, zero)
        r[j] = due if holds & (not on) else fired


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
def clear(target: Any) -> None:
    """Set a piece to 0."""
    zero = target.dtype.type(0.0)
    for j in range(target.size):
        target[j] = zero


@kernel_function
def fire(inclusive: bool, u: Any, th: Any, s: Any) -> None:
    """Write the spikes of plain neurons again from their membrane."""
    one, zero = u.dtype.type(1.0), u.dtype.type(0.0)
    for j in range(u.size):
        s[j] = one if (u[j] > th[j]) | (inclusive & (u[j] == th[j])) else zero


@kernel_function
def reset(choice: Choice, u: Any, s: Any, th: Any, vz: Any, v: Any) -> None:
    """Write the membrane after the reset again from what was saved of its step."""
    real = u.dtype.type
    keep, less, to = real(choice.mode != 2), real(choice.mode == 1), real(choice.mode == 2)
    zero = real(0.0)
    if choice.late:
        for j in range(u.size):
            v[j] = u[j]
    else:
        for j in range(u.size):
            v[j] = keep * u[j] - less * th[j] + to * vz[j] if s[j] != zero else u[j]


@kernel_function
def thresholds(numbers: Numbers, o: int, e: int, a: Any, th: Any) -> None:
    """Write the adapted threshold of places o..e-1 of the period."""
    base, kappa = numbers.threshold[o:e], numbers.kappa[o:e]
    for j in range(th.size):
        th[j] = base[j] + kappa[j] * a[j]
