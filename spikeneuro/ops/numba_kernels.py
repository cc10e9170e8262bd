"""Compiled kernels of the feed-forward LIF op: whole sequences, one block of neurons after the other.

Arrays are (time, columns) with columns = batch * features. Parameters are vectors of length `period` (features, or a
multiple of them) that repeat along the columns. A block is at most `width` columns inside one repetition; blocks are
independent, so threads share them out without locks and the result does not depend on how. A gradient that is constant
in time, or absent, is an array of one row with step 0, so that an expanded gradient is never copied.
"""

from typing import Any

import numba
import numpy as np

from spikeneuro.ops.numba_cache import cached_kernel
from spikeneuro.ops.numba_steps import (
    current_gradient,
    fire,
    gather,
    integrate,
    membrane_gradient,
    parameter_gradient,
    previous_gradient,
    reset,
    rewind,
)


@numba.njit(nogil=True, error_model="numpy")
def block_bounds(block: int, columns: int, period: int, width: int) -> tuple[int, int, int]:
    """Row of the repetition, first column and end of a block (end <= first where it is empty)."""
    per_row = (period + width - 1) // width
    row, part = block // per_row, block % per_row
    first = row * period + part * width
    return row, first, min(first + width, (row + 1) * period, columns)


@cached_kernel
def forward(
    first_block: int, last_block: int, period: int, width: int, mode: int, late: bool, has_alpha: bool,
    keep_current: bool, x: Any, numbers: Any, thc: Any, v0: Any, i0: Any, r0: Any, s: Any, u: Any, currents: Any,
) -> None:  # fmt: skip
    """Fill spikes `s`, membranes `u` and, if kept, `currents`; `v0`, `i0`, `r0` become the final state.

    `numbers` holds beta, gain, threshold, v_rest, v_reset, alpha as rows.
    """
    steps, columns = x.shape
    for block in range(first_block, last_block):
        row, a, b = block_bounds(block, columns, period, width)
        if b <= a:
            continue
        o = a - row * period
        e = o + b - a
        beta, gain, th = numbers[0, o:e], numbers[1, o:e], numbers[2, o:e]
        vr, vz, alpha, cut = numbers[3, o:e], numbers[4, o:e], numbers[5, o:e], thc[o:e]
        v, i, r = v0[a:b], i0[a:b], r0[a:b]
        for t in range(steps):
            xt, st, ut = x[t, a:b], s[t, a:b], u[t, a:b]
            if has_alpha:
                for j in range(i.size):
                    i[j] = alpha[j] * i[j] + xt[j]
                integrate(mode, late, i, v, r, beta, gain, th, vr, vz, ut)
            else:
                integrate(mode, late, xt, v, r, beta, gain, th, vr, vz, ut)
            fire(ut, cut, st)
            reset(mode, late, ut, st, th, vz, v, r)
            if keep_current:
                ct = currents[t, a:b]
                source = i if has_alpha else xt
                for j in range(ct.size):
                    ct[j] = source[j]


@cached_kernel
def backward(
    first_block: int, last_block: int, period: int, width: int, mode: int, late: bool, detach: bool,
    learns: bool, code: int, p: Any, numbers: Any, thc: Any, u: Any, cur: Any, v0: Any, i0: Any,
    r0: Any, grad_s: Any, grad_u: Any, grad_i: Any, gv0: Any, gi0: Any, gr0: Any, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Fill the gradients of the input `gx`, of the initial state and of the numbers.

    `gv0`, `gi0`, `gr0` hold the gradients of the final state and become those of the initial one. `cur` is the current
    of each step (the input where there is no synapse); one row of anything if `learns` is False. `g_numbers` has shape
    (repetitions, 6, period).
    """
    steps, columns = u.shape
    ds, du, di, dc = grad_s.shape[0] > 1, grad_u.shape[0] > 1, grad_i.shape[0] > 1, cur.shape[0] > 1
    scratch = np.empty((7, width), u.dtype)
    g = np.empty((6, width), u.dtype)
    for block in range(first_block, last_block):
        row, a, b = block_bounds(block, columns, period, width)
        if b <= a:
            continue
        o, n = a - row * period, b - a
        e = o + n
        beta, gain, th = numbers[0, o:e], numbers[1, o:e], numbers[2, o:e]
        vr, vz, alpha, cut = numbers[3, o:e], numbers[4, o:e], numbers[5, o:e], thc[o:e]
        gv, gi, gr = gv0[a:b], gi0[a:b], gr0[a:b]
        s, gs, gu, h = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n]
        vp, rp, work = scratch[4, :n], scratch[5, :n], scratch[6, :n]
        g[:, :] = 0
        fire(u[steps - 1, a:b], cut, s)
        for t in range(steps - 1, -1, -1):
            ut, gxt = u[t, a:b], gx[t, a:b]
            gather(late, grad_s[t * ds, a:b], grad_u[t * du, a:b], gr, gs, gu)
            membrane_gradient(mode, late, detach, code, p, ut, s, th, vz, gv, gs, gu, h)
            rewind(late or learns, t, mode, late, u[max(t - 1, 0), a:b], v0[a:b], r0[a:b], cut, th, vz, vp, rp, work)
            ip = cur[(t - 1) * dc, a:b] if t > 0 else i0[a:b]
            current_gradient(gain, alpha, gu, grad_i[t * di, a:b], ip, learns, gi, gxt, g[5, :n])
            if learns:
                parameter_gradient(mode, late, gu, gv, gs, h, s, vp, rp, cur[t * dc, a:b], beta, vr, vz, g, work)
            previous_gradient(mode, late, t == 0 or not detach, gu, beta, th, vz, vp, rp, gv, gr)
            s[:] = rp
        if learns:
            for k in range(6):
                for j in range(n):
                    g_numbers[row, k, o + j] = g[k, j]
