"""Adjoint of one step of the LIF recurrence for the GPU kernels.

Names as in `triton_steps`; a leading g is the gradient of what follows, ``_b`` marks what entered the step. `learned`
says which gradients of numbers are gathered in `sums`; what serves none is compiled away.
"""

from typing import Any

import triton
import triton.language as tl

from spikeneuro.ops.triton_steps import charge_of, integrate, level
from spikeneuro.ops.triton_surrogates import surrogate_gradient


@triton.jit
def reset_gradient(
    gs: "Any", gu: "Any", gv: "Any", gr: "Any", u: "Any", s: "Any", th: "Any", on: "Any", v_reset: "Any",
    opt: tl.constexpr,
) -> "Any":  # fmt: skip
    """Gradients of spikes, membrane before the reset, threshold and v_reset through the reset."""
    g_th, g_reset = tl.zeros_like(u), tl.zeros_like(u)
    if opt.late:
        gu += gv
        if not opt.detach:
            gs += tl.where(on, gr, 0.0) if opt.preserves else gr
    elif opt.mode == 0:
        gu += gv
    elif opt.mode == 1:
        gu += gv
        g_th = -s * gv
        if not opt.detach:
            gs -= th * gv
    else:
        gu += gv * (1.0 - s)
        g_reset = s * gv
        if not opt.detach:
            gs += gv * (v_reset - u)
    return gs, gu, g_th, g_reset


@triton.jit
def membrane_gradient(
    gu: "Any", charge: "Any", v_b: "Any", r_b: "Any", th: "Any", p: "Any", opt: tl.constexpr
) -> "Any":  # fmt: skip
    """Gradients of the membrane and the pending reset before, and of numbers, through the integration.

    Returns the gradient of ``gain * charge``, those of membrane and pending reset, those of threshold and v_reset, and
    the membrane that decayed.
    """
    beta, v_reset = p[0], p[4]
    gr_b, g_th, g_reset = tl.zeros_like(gu), tl.zeros_like(gu), tl.zeros_like(gu)
    entered = v_b
    if opt.discards:
        gr_b = gu * (v_reset - integrate(v_b, charge, r_b, th, p, opt))
        g_reset = r_b * gu
        gu = gu * (1.0 - r_b)
    gv_b = beta * gu
    if opt.late and opt.mode == 1:
        gr_b = -th * gu
        g_th = -r_b * gu
    if opt.late and opt.mode == 2 and not opt.discards:
        entered = (1.0 - r_b) * v_b + r_b * v_reset
        gr_b = gv_b * (v_reset - v_b)
        g_reset = r_b * gv_b
        gv_b = gv_b * (1.0 - r_b)
    return gu, gv_b, gr_b, g_th, g_reset, entered


@triton.jit
def backward_step(
    flow: "Any", after: "Any", now: "Any", before: "Any", p: "Any", q: "Any", sums: "Any",
    opt: tl.constexpr, learned: tl.constexpr,
) -> "Any":  # fmt: skip
    """Adjoint of `triton_steps.forward_step`.

    `flow` are the gradients of the step's outputs (spikes, membrane, current, adaptation), `after` those of the state
    that it leaves (v, i, a, r). `now` is the step itself: membrane, spikes, adaptation, rhythm, where it may fire,
    current; `before` the state that entered it (v, i, a, s, r). `q` are the surrogate's parameters.
    Returns the gradients of the drive, of the state before (v, i, a, r) and of the spikes before, and the new `sums`.
    """
    gs, gu, gi_t, ga_t = flow
    gv, gi, ga, gr = after
    u, s, a, on, may, i = now
    v_b, i_b, a_b, s_b, r_b = before
    g_beta, g_gain, g_threshold, g_rest, g_reset, g_alpha, g_rho, g_kappa = sums
    zero, th = tl.zeros_like(u), level(a, p, opt)
    gs, gu, g_th, g_late = reset_gradient(gs, gu, gv, gr, u, s, th, on, p[4], opt)
    g_reset += g_late if learned.v_reset else zero
    # What rhythm or refractory period held back has no gradient; the frozen membrane hands its own on.
    held, waiting = zero, zero
    if opt.masked:
        held, gu, gs = tl.where(on, zero, gu), tl.where(on, gu, zero), tl.where(on, gs, zero)
    if opt.preserves:
        waiting = tl.where(on, zero, gr)
    if opt.refractory:
        gs = tl.where(may, gs, zero)
    share = gs * surrogate_gradient(u - th, opt.code, q[0], q[1], q[2], q[3])
    gu += share
    g_th -= share
    charge = charge_of(i, may, opt)
    gu, gv, gr, g_late, g_early, entered = membrane_gradient(gu, charge, v_b, r_b, th, p, opt)
    g_th += g_late
    g_threshold += g_th if learned.threshold else zero
    g_reset += g_early if learned.v_reset else zero
    g_beta += gu * (entered - p[3]) if learned.beta else zero
    g_gain += gu * charge if learned.gain else zero
    g_rest += (1.0 - p[0]) * gu if learned.v_rest else zero
    g_drive = charge_of(p[1] * gu, may, opt) + gi_t + gi
    g_alpha += g_drive * i_b if learned.alpha else zero
    gi = p[5] * g_drive if opt.synapse else zero
    gs_b = zero
    if opt.adapts:
        ga += p[7] * g_th + ga_t
        g_kappa += g_th * a if learned.kappa else zero
        g_rho += ga * (a_b - s_b) if learned.rho else zero
        gs_b = (1.0 - p[6]) * ga
        ga = p[6] * ga
    sums = (g_beta, g_gain, g_threshold, g_rest, g_reset, g_alpha, g_rho, g_kappa)
    return g_drive, (gv + held, gi, ga, gr + waiting), gs_b, sums
