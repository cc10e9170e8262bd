"""One step of the LIF recurrence and of its adjoint for the GPU kernels, on a block of neurons held in registers.

Every choice is a compile-time constant (`Options`), so each combination of settings becomes a kernel without
branches. The order of operations is that of `spikeneuro.ops.reference`, and the kernels are built without fused
multiply-adds: each operation is rounded on its own, as torch rounds it, and spikes are the same.

Names: `u` membrane before the reset, `v` after it, `i` current, `a` adaptation, `r` pending reset, `c` refractory
steps left, `s` spikes, `on` rhythm; a leading g is the gradient of what follows.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from spikeneuro.ops.triton_surrogates import surrogate_gradient


class Options(NamedTuple):
    """Choices of the recurrence as the kernels take them."""

    mode: int  # reset: 0 none, 1 subtract, 2 zero
    late: bool  # in the next step
    detach: bool
    inclusive: bool
    discards: bool
    synapse: bool
    adapts: bool
    masked: bool
    refractory: bool
    integrates: bool
    preserves: bool  # a pending reset outlives OFF steps; only where there are both
    code: int  # of the surrogate


class Learned(NamedTuple):
    """Numbers whose gradient is wanted, in the order of the rows that the kernels read and write."""

    beta: bool
    gain: bool
    threshold: bool
    v_rest: bool
    v_reset: bool
    alpha: bool
    rho: bool
    kappa: bool


@triton.jit
def fire(x: Any, O: tl.constexpr) -> Any:  # noqa: E741
    """Spikes where the membrane exceeds the threshold by `x`."""
    if O.inclusive:
        s = x >= 0.0
    else:
        s = x > 0.0
    return s.to(x.dtype)


@triton.jit
def level(a: Any, p: Any, O: tl.constexpr) -> Any:  # noqa: E741
    """Firing threshold with its adaptation."""
    th = p[2]
    if O.adapts:
        th = th + p[7] * a
    return th


@triton.jit
def after_reset(u: Any, s: Any, th: Any, p: Any, O: tl.constexpr) -> Any:  # noqa: E741
    """Membrane after the same-step reset."""
    v = u
    if not O.late:
        if O.mode == 1:
            v = u - th * s
        elif O.mode == 2:
            v = (1.0 - s) * u + s * p[4]
    return v


@triton.jit
def next_refractory(s: Any, c: Any, limit: Any) -> Any:
    """Refractory steps left after a step that gave the spikes `s`."""
    return tl.where(s > 0.0, limit, tl.maximum(c - 1.0, 0.0)).to(c.dtype)


@triton.jit
def forward_step(
    drive: Any, v: Any, i: Any, a: Any, s: Any, r: Any, c: Any, on: Any, limit: Any, p: Any, O: tl.constexpr
) -> Any:  # noqa: E741
    """Advance the state by one step; `s` enters as the spikes before it.

    `p` holds beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa. Returns u and the new v, i, a, s, r, c.
    """
    if O.synapse:
        i = p[5] * i + drive
    else:
        i = drive
    if O.adapts:
        a = p[6] * a + (1.0 - p[6]) * s
    th = level(a, p, O)
    charge = i
    if O.refractory and not O.integrates:
        charge = i * (c <= 0.0).to(i.dtype)
    entered = v
    if O.late and O.mode == 2 and not O.discards:
        entered = (1.0 - r) * v + r * p[4]
    u = p[3] + p[0] * (entered - p[3]) + p[1] * charge
    if O.late and O.mode == 1:
        u = u - p[2] * r
    if O.discards:
        u = (1.0 - r) * u + r * p[4]
    s = fire(u - th, O)
    if O.refractory:
        s = s * (c <= 0.0).to(s.dtype)
    if O.masked:
        s = s * on.to(s.dtype)
        u = tl.where(on, u, v)
    if O.refractory:
        c = next_refractory(s, c, limit)
    v = after_reset(u, s, th, p, O)
    if O.preserves:
        r = tl.where(on, s, r)
    elif O.late:
        r = s
    return u, v, i, a, s, r, c


@triton.jit
def backward_step(
    gs: Any, gu: Any, gi_t: Any, ga_t: Any, gv: Any, gi: Any, ga: Any, gr: Any,
    u: Any, s: Any, a: Any, on: Any, may: Any, current: Any, v_b: Any, r_b: Any, i_b: Any, a_b: Any, s_b: Any,
    p: Any, q: Any, sums: Any, O: tl.constexpr, L: tl.constexpr,
) -> Any:  # fmt: skip  # noqa: E741
    """Adjoint of `forward_step`.

    `gs`, `gu`, `gi_t`, `ga_t` are the gradients of the step's spikes, membrane, current and adaptation as outputs;
    `gv`, `gi`, `ga`, `gr` those of the state it leaves. `may` is where the neuron was not refractory; ``_b`` marks
    what entered the step. `q` are the surrogate's parameters; `sums` gathers the gradients of the numbers.
    Returns the gradients of the drive and of the state before (v, i, a, r and the spikes before), and `sums`.
    """
    beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa = p
    g_beta, g_gain, g_threshold, g_rest, g_reset, g_alpha, g_rho, g_kappa = sums
    th = level(a, p, O)
    zero = tl.zeros_like(u)
    g_th = zero
    # Reset.
    if O.late and not O.detach:
        if O.preserves:
            gs += tl.where(on, gr, zero)
        else:
            gs += gr
    if O.late or O.mode == 0:
        gu += gv
    elif O.mode == 1:
        gu += gv
        g_th -= s * gv
        if not O.detach:
            gs -= th * gv
    else:
        gu += gv * (1.0 - s)
        if not O.detach:
            gs += gv * (v_reset - u)
        if L.v_reset:
            g_reset += s * gv
    # Rhythm and refractory period: what was held back has no gradient; the frozen membrane hands its own on.
    held = zero
    if O.masked:
        held = tl.where(on, zero, gu)
        gu = tl.where(on, gu, zero)
        gs = tl.where(on, gs, zero)
    if O.refractory:
        gs = tl.where(may, gs, zero)
    # Spike.
    share = gs * surrogate_gradient(u - th, O.code, q[0], q[1], q[2], q[3])
    gu += share
    g_th -= share
    if O.adapts:
        ga += kappa * g_th + ga_t
        if L.kappa:
            g_kappa += g_th * a
    if L.threshold:
        g_threshold += g_th
    # Membrane.
    charge = current
    if O.refractory and not O.integrates:
        charge = tl.where(may, current, zero)
    gr_b = zero
    if O.preserves:
        gr_b = tl.where(on, zero, gr)
    if O.discards:
        gr_b += gu * (v_reset - (v_rest + beta * (v_b - v_rest) + gain * charge))
        if L.v_reset:
            g_reset += r_b * gu
        gu = gu * (1.0 - r_b)
    if O.late and O.mode == 1:
        gr_b -= threshold * gu
        if L.threshold:
            g_threshold -= r_b * gu
    gv = beta * gu
    entered = v_b
    if O.late and O.mode == 2 and not O.discards:
        entered = (1.0 - r_b) * v_b + r_b * v_reset
        gr_b += gv * (v_reset - v_b)
        if L.v_reset:
            g_reset += r_b * gv
        gv = gv * (1.0 - r_b)
    if L.beta:
        g_beta += gu * (entered - v_rest)
    if L.gain:
        g_gain += gu * charge
    if L.v_rest:
        g_rest += (1.0 - beta) * gu
    gv += held
    # Current and adaptation.
    g_charge = gain * gu
    if O.refractory and not O.integrates:
        g_charge = tl.where(may, g_charge, zero)
    g_drive = g_charge + gi_t + gi
    gi = zero
    if O.synapse:
        gi = alpha * g_drive
        if L.alpha:
            g_alpha += g_drive * i_b
    gs_b = zero
    if O.adapts:
        gs_b = (1.0 - rho) * ga
        if L.rho:
            g_rho += ga * (a_b - s_b)
        ga = rho * ga
    sums = (g_beta, g_gain, g_threshold, g_rest, g_reset, g_alpha, g_rho, g_kappa)
    return g_drive, gv, gi, ga, gr_b, gs_b, sums
