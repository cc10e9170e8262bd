"""Compiled kernels of the recurrent LIF op: whole sequences, one sample of the batch after the other.

Forward is driven by events: only the rows of neurons that fired are added. Names as in `numba_kernels`; arrays are
(time, batch, neurons).
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
def add_events(s: Any, outgoing: Any, drive: Any) -> None:
    """Add to `drive` the row of `outgoing` (neurons before, neurons after) of every neuron that fired."""
    for k in range(s.size):
        if s[k] != 0:
            weight, amount = outgoing[k], s[k]
            for j in range(drive.size):
                drive[j] += amount * weight[j]


@numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
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


@cached_kernel
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


@cached_kernel
def backward(
    first: int, last: int, mode: int, late: bool, detach: bool, learns: bool, code: int, p: Any,
    weight: Any, numbers: Any, thc: Any, u: Any, cur: Any, v0: Any, i0: Any, r0: Any, grad_s: Any, grad_u: Any,
    grad_i: Any, gv0: Any, gi0: Any, gr0: Any, gs0: Any, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Fill the gradients of the input, of the initial state (`gs0` of its spikes) and of the numbers.

    `gs0` enters as the gradient of the last spikes as part of the final state. `g_numbers` is (batch, 6, neurons).
    """
    steps, _, n = u.shape
    ds, du, di, dc = grad_s.shape[0] > 1, grad_u.shape[0] > 1, grad_i.shape[0] > 1, cur.shape[0] > 1
    beta, gain, th, vr, vz, alpha = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    scratch = np.empty((6, n), u.dtype)
    s, gs, gu, h, vp, work = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
    rp = np.empty(n, u.dtype)
    for b in range(first, last):
        gv, gi, gr, gh, g = gv0[b], gi0[b], gr0[b], gs0[b], g_numbers[b]
        fire(u[steps - 1, b], thc, s)
        for t in range(steps - 1, -1, -1):
            ut, gxt = u[t, b], gx[t, b]
            gather(late, grad_s[t * ds, b], grad_u[t * du, b], gr, gs, gu)
            for j in range(n):
                gs[j] += gh[j]
                gh[j] = 0
            membrane_gradient(mode, late, detach, code, p, ut, s, th, vz, gv, gs, gu, h)
            rewind(late or learns, t, mode, late, u[max(t - 1, 0), b], v0[b], r0[b], thc, th, vz, vp, rp, work)
            ip = cur[(t - 1) * dc, b] if t > 0 else i0[b]
            current_gradient(gain, alpha, gu, grad_i[t * di, b], ip, learns, gi, gxt, g[5])
            add_product(gxt, weight, gh)
            if learns:
                parameter_gradient(mode, late, gu, gv, gs, h, s, vp, rp, cur[t * dc, b], beta, vr, vz, g, work)
            previous_gradient(mode, late, t == 0 or not detach, gu, beta, th, vz, vp, rp, gv, gr)
            s[:] = rp
