"""Compiled kernels of the recurrent LIF op: whole sequences, one sample of the batch after the other.

Forward is driven by events: only the rows of neurons that fired are added. Names as in `numba_kernels`; arrays are
(time, batch, neurons).
"""

from typing import Any

import numba
import numpy as np

from spikeneuro.ops.numba_steps import (
    fire,
    integrate,
    membrane_gradient,
    parameter_gradient,
    previous_gradient,
    reset,
)


@numba.njit(nogil=True)
def add_events(s: Any, outgoing: Any, drive: Any) -> None:
    """Add to `drive` the row of `outgoing` (neurons before, neurons after) of every neuron that fired."""
    for k in range(s.size):
        if s[k] != 0:
            weight, amount = outgoing[k], s[k]
            for j in range(drive.size):
                drive[j] += amount * weight[j]


@numba.njit(nogil=True, fastmath={"contract"})
def add_product(g: Any, weight: Any, out: Any) -> None:
    """Add the vector-matrix product ``g @ weight`` to `out`, four rows at a time so that `out` is read less often."""
    n = g.size
    whole = n - n % 4
    for k in range(0, whole, 4):
        a, b, c, d = g[k], g[k + 1], g[k + 2], g[k + 3]
        wa, wb, wc, wd = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for j in range(n):
            out[j] += (a * wa[j] + b * wb[j]) + (c * wc[j] + d * wd[j])
    for k in range(whole, n):
        last, w = g[k], weight[k]
        for j in range(n):
            out[j] += last * w[j]


@numba.njit(nogil=True, cache=True)
def forward(
    first: int, last: int, mode: int, late: bool, has_alpha: bool, keep_current: bool, x: Any, outgoing: Any,
    bias: Any, numbers: Any, thc: Any, v0: Any, i0: Any, r0: Any, s0: Any, s: Any, u: Any, currents: Any,
) -> None:  # fmt: skip
    """Fill spikes `s`, membranes `u` and, if kept, `currents` of samples first..last-1; `v0`, `i0`, `r0` end final."""
    steps, _, n = x.shape
    beta, gain, th, vr, vz, alpha = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    drive = np.empty(n, x.dtype)
    for b in range(first, last):
        v, i, r = v0[b], i0[b], r0[b]
        for t in range(steps):
            xt, st, ut = x[t, b], s[t, b], u[t, b]
            for j in range(n):
                drive[j] = xt[j] + bias[j]
            add_events(s[t - 1, b] if t > 0 else s0[b], outgoing, drive)
            if has_alpha:
                for j in range(n):
                    i[j] = alpha[j] * i[j] + drive[j]
            else:
                for j in range(n):
                    i[j] = drive[j]
            integrate(mode, late, i, v, r, beta, gain, th, vr, vz, ut)
            fire(ut, thc, st)
            reset(mode, late, ut, st, th, vz, v, r)
            if keep_current:
                ct = currents[t, b]
                for j in range(n):
                    ct[j] = i[j]


@numba.njit(nogil=True, cache=True)
def backward(
    first: int, last: int, mode: int, late: bool, detach: bool, has_alpha: bool, learns: bool, code: int, p: Any,
    weight: Any, numbers: Any, thc: Any, u: Any, cur: Any, v0: Any, i0: Any, r0: Any, grad_s: Any, grad_u: Any,
    grad_i: Any, gv0: Any, gi0: Any, gr0: Any, gs0: Any, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Fill the gradients of the input, of the initial state (`gs0` of its spikes) and of the numbers.

    `gs0` enters as the gradient of the last spikes as part of the final state. `g_numbers` is (batch, 6, neurons).
    """
    steps, _, n = u.shape
    ds, du, di = int(grad_s.shape[0] > 1), int(grad_u.shape[0] > 1), int(grad_i.shape[0] > 1)
    beta, gain, th, vr, vz, alpha = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    scratch = np.empty((6, n), u.dtype)
    s, gs, gu, h, vp, work = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
    rp = np.empty(n, u.dtype)
    for b in range(first, last):
        gv, gi, gr, gh, g = gv0[b], gi0[b], gr0[b], gs0[b], g_numbers[b]
        fire(u[steps - 1, b], thc, s)
        for t in range(steps - 1, -1, -1):
            ut, gst, gut, git, gxt = u[t, b], grad_s[t * ds, b], grad_u[t * du, b], grad_i[t * di, b], gx[t, b]
            for j in range(n):
                gs[j] = gst[j] + gh[j]
                gu[j] = gut[j]
            if late:
                for j in range(n):
                    gs[j] += gr[j]
            membrane_gradient(mode, late, detach, code, p, ut, s, th, vz, gv, gs, gu, h)
            for j in range(n):
                gi[j] = gain[j] * gu[j] + git[j] + gi[j]
                gxt[j] = gi[j]
                gh[j] = 0
            add_product(gi, weight, gh)
            # What entered this step: the state before it, rebuilt from the saved membrane.
            if t > 0:
                before = u[t - 1, b]
                fire(before, thc, rp)
                if late or learns:
                    reset(mode, late, before, rp, th, vz, vp, work)
            else:
                vp[:] = v0[b]
                if late:
                    rp[:] = r0[b]
            if learns:
                parameter_gradient(mode, late, gu, gv, gs, h, s, vp, rp, cur[t, b], beta, vr, vz, g, work)
                if has_alpha:
                    ip, g_alpha = (cur[t - 1, b] if t > 0 else i0[b]), g[5]
                    for j in range(n):
                        g_alpha[j] += gi[j] * ip[j]
            previous_gradient(mode, late, t == 0 or not detach, gu, beta, th, vz, vp, rp, gv, gr)
            for j in range(n):
                gi[j] *= alpha[j]
            s[:] = rp
