"""Backward GPU kernel of the LIF op: each program walks back through time with its neurons' gradients in registers.

Spikes and membrane after the reset are found again from the membrane that the forward pass kept. Where a gradient needs
what entered a step, or the compiler may not reorder loads, that of step t - 1 is loaded at step t and carried on;
elsewhere a step loads its own.
"""

from typing import Any

import triton
import triton.language as tl

from spikeneuro.ops.triton_adjoint import backward_step
from spikeneuro.ops.triton_arrays import (
    columns_of,
    load_flags,
    load_numbers,
    load_rhythm,
    load_start,
    load_state,
    load_step,
    store_state,
    store_step,
)
from spikeneuro.ops.triton_products import kept_rows, product
from spikeneuro.ops.triton_steps import after_reset, fire, level


@triton.jit
def step_at(
    t: "Any", wanted: "Any", kept_trace: "Any", flags: "Any", mask: "Any", p: "Any", column: "Any", layout: "Any",
    opt: tl.constexpr,
) -> "Any":  # fmt: skip
    """Membrane, spikes, adaptation, rhythm, flags and current of step `t`."""
    u = load_step(kept_trace.potential, t, layout.columns, column, wanted, p[0])
    a = load_step(kept_trace.adaptations, t, layout.columns, column, wanted, p[0])
    i = load_step(kept_trace.currents, t, layout.columns, column, wanted, p[0])
    on = load_rhythm(mask, t, column, wanted, layout)
    flag = load_flags(flags, t, column, wanted, layout)
    s = fire(u - level(a, p, opt), opt)
    if opt.masked:
        s = s * on.to(s.dtype)
    if opt.refractory:
        s = s * (flag & 1).to(s.dtype)
    return u, s, a, on, flag, i


@triton.jit
def through_recurrence(
    g_drive: "Any", gx: "Any", t: "Any", kept: "Any", recurrence: "Any", column: "Any", inside: "Any", layout: "Any",
    shape: tl.constexpr,
) -> "Any":  # fmt: skip
    """Gradient of the spikes of step `t` from what they drove, or from the final history where the run ended before."""
    into = t + 1 + shape.delay - layout.steps  # place in the final history
    source = g_drive
    if shape.delay > 0:
        source = load_step(gx, t + 1 + shape.delay, layout.columns, column, inside & (into < 0), g_drive)
    last = load_step(recurrence.history, into, layout.columns, column, inside & (into >= 0), g_drive)
    return product(source, kept, recurrence.weight, layout.features, shape) + last


@triton.jit
def backward(
    kept_trace: "Any", flags: "Any", numbers: "Any", mask: "Any", surrogate: "Any", recurrence: "Any", flow: "Any",
    stride: "Any", last: "Any", start: "Any", gx: "Any", first: "Any", totals: "Any", layout: "Any", rounds: "Any",
    opt: tl.constexpr, shape: tl.constexpr, learned: tl.constexpr,
) -> None:  # fmt: skip
    """Fill the gradients of the input `gx`, of the initial state `first` and of the numbers, `totals` (8, columns).

    `flow` and `stride` are the gradients of the outputs and the elements between their steps (0: the same in all),
    `last` the gradients of the final state, `start` the initial state, `kept_trace` what the forward pass left.
    """
    carries: tl.constexpr = opt.late or learned.beta or learned.rho or learned.alpha or shape.stages == 1
    column, inside = columns_of(layout, shape)
    p = load_numbers(numbers, column, inside, layout)
    q = (tl.load(surrogate), tl.load(surrogate + 1), tl.load(surrogate + 2), tl.load(surrogate + 3))
    v_0, i_0, a_0, s_0, r_0, _ = load_start(start, column, inside, p)
    zero = tl.zeros_like(p[0])
    gv, gi, ga, gs_b, gr, _ = load_state(last, column, inside, zero)
    after = (gv, gi, ga, gr)
    sums = (zero, zero, zero, zero, zero, zero, zero, zero)
    g_drive = zero
    if shape.delay >= 0:
        kept = kept_rows(recurrence.weight, layout.features, zero, shape)
    end = layout.steps - 1
    now = step_at(end, inside & (end >= 0), kept_trace, flags, mask, p, column, layout, opt)
    gs_t = load_step(flow.spikes, end, stride.spikes, column, inside & (end >= 0), zero)
    for k in tl.range(0, rounds, num_stages=shape.stages):
        t = end - k
        gs_next = gs_t
        if shape.stages == 1:
            gs_next = load_step(flow.spikes, t - 1, stride.spikes, column, inside & (t > 0), zero)
        else:
            gs_t = load_step(flow.spikes, t, stride.spikes, column, inside, zero)
        if carries:
            earlier = inside & (t > 0)
            then = step_at(t - 1, earlier, kept_trace, flags, mask, p, column, layout, opt)
            v_b = tl.where(earlier, after_reset(then[0], then[1], level(then[2], p, opt), p, opt), v_0)
            s_b, a_b = tl.where(earlier, then[1], s_0), tl.where(earlier, then[2], a_0)
            i_b = tl.where(earlier, then[5], i_0)
            r_b = s_b
        else:
            now = step_at(t, inside, kept_trace, flags, mask, p, column, layout, opt)
            v_b, i_b, a_b, s_b, r_b = zero, zero, zero, zero, zero
        u, s, a, on, flag, i = now
        if opt.preserves:
            r_b = tl.where(flag >= 4, r_0, (flag >= 2).to(u.dtype))
        elif opt.late:
            r_b = tl.where(earlier, s_b, r_0)
        gs = gs_b + gs_t
        gu = load_step(flow.potential, t, stride.potential, column, inside, zero)
        gi_t = load_step(flow.currents, t, stride.currents, column, inside, zero)
        ga_t = load_step(flow.adaptations, t, stride.adaptations, column, inside, zero)
        if shape.delay >= 0:
            gs += through_recurrence(g_drive, gx, t, kept, recurrence, column, inside, layout, shape)
        g_drive, after, gs_b, sums = backward_step(
            (gs, gu, gi_t, ga_t), after, (u, s, a, on, (flag & 1) != 0, i), (v_b, i_b, a_b, s_b, r_b), p, q, sums,
            opt, learned,
        )  # fmt: skip
        store_step(gx, t, column, inside, g_drive, layout)
        if shape.delay > 0:
            tl.debug_barrier()  # other threads of the program will read this gradient
        gs_t = gs_next
        if carries:
            now = then
    gv, gi, ga, gr = after
    store_state(first, column, inside, (gv, gi, ga, gs_b, gr, zero))
    for k in tl.static_range(8):
        if learned[k]:
            tl.store(totals + k * layout.columns + column, sums[k], mask=inside)
