"""One step of the LIF recurrence and of its adjoint on a block of neurons, for the compiled kernels.

Blocks are small enough to stay in the first-level cache, so each line of the equation is a loop of its own: simple
loops over few arrays are what the compiler turns into vector instructions. The order of operations is that of
`spikeneuro.ops.reference`, so that both backends give the same bits in the forward pass.

Arrays named alike mean the same everywhere: `u` membrane before the reset, `v` after it, `cur` current, `r` pending
reset, `th` threshold, `thc` the value that u must exceed to fire, `vr` rest, `vz` reset value. Reset modes:
0 none, 1 subtract, 2 zero; `late` means in the next step.
"""

from typing import Any

import numba

from spikeneuro.ops.numba_surrogates import surrogate_gradient


@numba.njit(nogil=True, error_model="numpy")
def integrate(
    mode: int, late: bool, cur: Any, v: Any, r: Any, beta: Any, gain: Any, th: Any, vr: Any, vz: Any, u: Any
) -> None:
    """Write the membrane before threshold and same-step reset into `u`."""
    one = u.dtype.type(1.0)
    if late and mode == 2:
        for j in range(u.size):
            v[j] = (one - r[j]) * v[j] + r[j] * vz[j]
    for j in range(u.size):
        u[j] = vr[j] + beta[j] * (v[j] - vr[j]) + gain[j] * cur[j]
    if late and mode == 1:
        for j in range(u.size):
            u[j] -= th[j] * r[j]


@numba.njit(nogil=True, error_model="numpy")
def fire(u: Any, thc: Any, s: Any) -> None:
    """Write the spikes into `s`."""
    one, zero = u.dtype.type(1.0), u.dtype.type(0.0)
    for j in range(u.size):
        s[j] = one if u[j] > thc[j] else zero


@numba.njit(nogil=True, error_model="numpy")
def reset(mode: int, late: bool, u: Any, s: Any, th: Any, vz: Any, v: Any, r: Any) -> None:
    """Write the membrane after the reset into `v`, or the spikes into `r` where the reset comes later."""
    one = u.dtype.type(1.0)
    if late:
        for j in range(u.size):
            v[j] = u[j]
            r[j] = s[j]
    elif mode == 1:
        for j in range(u.size):
            v[j] = u[j] - th[j] * s[j]
    elif mode == 2:
        for j in range(u.size):
            v[j] = (one - s[j]) * u[j] + s[j] * vz[j]
    else:
        for j in range(u.size):
            v[j] = u[j]


@numba.njit(nogil=True, error_model="numpy")
def membrane_gradient(
    mode: int, late: bool, detach: bool, code: int, p: Any, u: Any, s: Any, th: Any, vz: Any,
    gv: Any, gs: Any, gu: Any, h: Any,
) -> None:  # fmt: skip
    """Adjoint of firing and same-step reset: add to `gu` what arrives through `gv` and `gs`.

    On entry `gu` holds the gradient of u asked for directly, `gs` that of the spikes (the pending reset included).
    """
    one = u.dtype.type(1.0)
    if late or mode == 0:
        for j in range(u.size):
            gu[j] += gv[j]
    elif mode == 1:
        for j in range(u.size):
            gu[j] += gv[j]
        if not detach:
            for j in range(u.size):
                gs[j] -= th[j] * gv[j]
    else:
        for j in range(u.size):
            gu[j] += gv[j] * (one - s[j])
        if not detach:
            for j in range(u.size):
                gs[j] += gv[j] * (vz[j] - u[j])
    surrogate_gradient(code, p, u, th, h)
    for j in range(u.size):
        gu[j] += h[j] * gs[j]


@numba.njit(nogil=True, error_model="numpy")
def previous_gradient(
    mode: int, late: bool, carry: bool, gu: Any, beta: Any, th: Any, vz: Any, vp: Any, rp: Any, gv: Any, gr: Any
) -> None:
    """Adjoint of the decay and of a late reset: gradients of the previous membrane and of its pending reset.

    `vp` is the previous membrane, `rp` the reset that was pending; `carry` is False where the reset is detached.
    """
    one, zero = gu.dtype.type(1.0), gu.dtype.type(0.0)
    for j in range(gu.size):
        gv[j] = beta[j] * gu[j]
    if not late:
        return
    if not carry:
        for j in range(gu.size):
            gr[j] = zero
    elif mode == 1:
        for j in range(gu.size):
            gr[j] = -th[j] * gu[j]
    else:
        for j in range(gu.size):
            gr[j] = gv[j] * (vz[j] - vp[j])
    if mode == 2:
        for j in range(gu.size):
            gv[j] *= one - rp[j]


@numba.njit(nogil=True, error_model="numpy")
def parameter_gradient(
    mode: int, late: bool, gu: Any, gv: Any, gs: Any, h: Any, s: Any, vp: Any, rp: Any, cur: Any,
    beta: Any, vr: Any, vz: Any, g: Any, work: Any,
) -> None:  # fmt: skip
    """Add this step's share to the gradients `g` of beta, gain, threshold, v_rest, v_reset (its rows).

    `gv` is still the gradient of the membrane after this step, `vp` the membrane that entered it.
    """
    one = gu.dtype.type(1.0)
    n = gu.size
    if late and mode == 2:
        for j in range(n):
            work[j] = (one - rp[j]) * vp[j] + rp[j] * vz[j]
    else:
        for j in range(n):
            work[j] = vp[j]
    g_beta, g_gain, g_th, g_rest, g_reset = g[0, :n], g[1, :n], g[2, :n], g[3, :n], g[4, :n]
    for j in range(n):
        g_beta[j] += gu[j] * (work[j] - vr[j])
    for j in range(n):
        g_gain[j] += gu[j] * cur[j]
    for j in range(n):
        g_th[j] -= h[j] * gs[j]
    for j in range(n):
        g_rest[j] += (one - beta[j]) * gu[j]
    _reset_parameter_gradient(mode, late, gu, gv, s, rp, beta, g_th, g_reset)


@numba.njit(nogil=True, error_model="numpy")
def _reset_parameter_gradient(
    mode: int, late: bool, gu: Any, gv: Any, s: Any, rp: Any, beta: Any, g_th: Any, g_reset: Any
) -> None:
    n = gu.size
    if late and mode == 1:
        for j in range(n):
            g_th[j] -= rp[j] * gu[j]
    elif late and mode == 2:
        for j in range(n):
            g_reset[j] += rp[j] * beta[j] * gu[j]
    elif mode == 1:
        for j in range(n):
            g_th[j] -= s[j] * gv[j]
    elif mode == 2:
        for j in range(n):
            g_reset[j] += s[j] * gv[j]


@numba.njit(nogil=True, error_model="numpy")
def rewind(
    rebuild: bool, t: int, mode: int, late: bool, before: Any, v0: Any, r0: Any, thc: Any, th: Any, vz: Any,
    vp: Any, rp: Any, work: Any,
) -> None:  # fmt: skip
    """Rebuild what entered step `t`: the spikes before it in `rp` and, if asked to `rebuild`, the membrane in `vp`.

    `before` is the saved membrane of step t - 1 (of any step where t is 0: then the initial state is it).
    """
    if t == 0:
        for j in range(vp.size):
            vp[j] = v0[j]
            rp[j] = r0[j]
        return
    fire(before, thc, rp)
    if rebuild:
        reset(mode, late, before, rp, th, vz, vp, work)


@numba.njit(nogil=True, error_model="numpy")
def current_gradient(
    gain: Any, alpha: Any, gu: Any, git: Any, previous: Any, learns: bool, gi: Any, gx: Any, g_alpha: Any
) -> None:
    """Adjoint of the current: `gi` enters as what came from later steps and becomes what goes to the earlier one.

    `gx` becomes the gradient of the current's drive, `previous` is the current one step before.
    """
    n = gu.size
    for j in range(n):
        gi[j] = gain[j] * gu[j] + git[j] + gi[j]
    for j in range(n):
        gx[j] = gi[j]
    if learns:
        for j in range(n):
            g_alpha[j] += gi[j] * previous[j]
    for j in range(n):
        gi[j] *= alpha[j]


@numba.njit(nogil=True, error_model="numpy")
def gather(late: bool, gst: Any, gut: Any, gr: Any, gs: Any, gu: Any) -> None:
    """Start a step's gradients from those of the outputs and, where the reset comes later, of the pending reset."""
    for j in range(gs.size):
        gs[j] = gst[j]
    for j in range(gu.size):
        gu[j] = gut[j]
    if late:
        for j in range(gs.size):
            gs[j] += gr[j]
