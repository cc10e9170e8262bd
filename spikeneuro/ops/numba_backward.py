"""The compiled backward kernel: the adjoint of `numba_forward`, from the last step to the first.

Spikes of plain neurons are found again from their membranes, those of others are read. What entered a step (membrane,
pending reset, refractory period) follows from the step before; the two that may reach further back are found by a
sweep forward before the sweep backward.
"""

from typing import Any

import numpy as np

from spikeneuro.ops.numba_adjoint import (
    adaptation_adjoint,
    current_adjoint,
    decay_adjoint,
    discard_adjoint,
    drive_adjoint,
    gather,
    parameter_adjoint,
    plain_adjoint,
    spike_adjoint,
    threshold_adjoint,
)
from spikeneuro.ops.numba_arguments import (
    Adjoint,
    Choice,
    Flow,
    Kept,
    Layout,
    Numbers,
    Rhythm,
    State,
    Wanted,
    kernel_function,
    piece_bounds,
)
from spikeneuro.ops.numba_cache import cached_kernel
from spikeneuro.ops.numba_products import product
from spikeneuro.ops.numba_steps import fire, reset, thresholds
from spikeneuro.ops.numba_surrogates import surrogate_gradient


@cached_kernel
def backward(
    first_piece: int, last_piece: int, layout: Layout, choice: Choice, code: int, surrogate: Any, numbers: Numbers,
    rhythm: Rhythm, kept: Kept, start: State, flow: Flow, adjoint: Adjoint, wanted: Wanted, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Fill the gradients of the input `gx`; move `adjoint` to the first step; add to `g_numbers` (8, columns)."""
    steps, columns = gx.shape
    scratch = np.empty((11, layout.width), gx.dtype)
    active = np.empty(numbers.weight.shape[0], np.int64)
    sweep = layout.width if choice.refractory > 0 or (choice.late and choice.masked) else 0
    due, free = (
        np.empty((steps * (sweep > 0), sweep), gx.dtype),
        np.ones((max(steps * (sweep > 0), 1), layout.width), np.uint8),
    )
    for block in range(first_piece, last_piece, layout.block):
        if sweep > 0:  # a block is one piece then
            entering(block, layout, choice, rhythm, kept.spikes, start, due, free)
        for t in range(steps - 1, -1, -1):
            for piece in range(block, min(block + layout.block, last_piece)):
                a, o, n = piece_bounds(piece, columns, layout.period, layout.width)
                neurons(t, a, o, n, choice, code, surrogate, numbers, rhythm, kept, start, flow, adjoint, wanted, due,
                        free, scratch, gx[t], g_numbers)  # fmt: skip
                inputs(t, a, o, n, choice, numbers, kept, start, flow, adjoint, wanted, active, scratch,
                       gx[t, a : a + n], g_numbers)  # fmt: skip


@kernel_function
def entering(
    piece: int, layout: Layout, choice: Choice, rhythm: Rhythm, s: Any, start: State, due: Any, free: Any
) -> None:
    """Write the pending reset that enters each step of a piece, and whether it is free of the refractory period."""
    steps, columns = s.shape
    a, o, n = piece_bounds(piece, columns, layout.period, layout.width)
    zero, one = due.dtype.type(0.0), due.dtype.type(1.0)
    left, r, period = (
        start.refractory[a : a + n].copy(),
        start.pending[a : a + n].copy(),
        due.dtype.type(choice.refractory),
    )
    waits = choice.preserve & choice.masked
    shift = a if rhythm.by_column else o
    for t in range(steps):
        st, m = s[t, a : a + n], rhythm.mask[min(t, rhythm.mask.shape[0] - 1), shift : shift + n]
        for j in range(n):
            due[t, j] = r[j]
            free[t, j] = left[j] <= zero
        for j in range(n):
            left[j] = period if st[j] != zero else max(left[j] - one, zero)
            r[j] = r[j] if waits & (m[j] == 0) else st[j]


@kernel_function
def neurons(
    t: int, a: int, o: int, n: int, choice: Choice, code: int, surrogate: Any, numbers: Numbers, rhythm: Rhythm,
    kept: Kept, start: State, flow: Flow, adjoint: Adjoint, wanted: Wanted, due: Any, free: Any, scratch: Any,
    gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Adjoint of a piece's neurons: leave in `gx` the gradient of the current that they integrated.

    That of the threshold is left in row 0 of `scratch`.
    """
    b, e = a + n, o + n
    gst = flow.spikes[t if flow.spikes.shape[0] > 1 else 0]
    gut = flow.potential[t if flow.potential.shape[0] > 1 else 0]
    learns = wanted.beta | wanted.gain | wanted.threshold | wanted.v_rest | wanted.v_reset
    if not (learns or choice.masked or choice.late or choice.refractory > 0 or choice.adapts or choice.recurrent):
        th, h = numbers.threshold[o:e], scratch[1, :n]
        surrogate_gradient(code, surrogate, kept.potential[t, a:b], th, h)
        plain_adjoint(choice, kept.potential[t, a:b], th, numbers.v_reset[o:e], numbers.beta[o:e], numbers.gain[o:e],
                      gst[a:b], gut[a:b], h, adjoint.v[a:b], gx[a:b])  # fmt: skip
        return
    gth = scratch[0, :n]
    if choice.masked:
        zero = gx.dtype.type(0.0)
        for j in range(n):
            gth[j] = zero
            gx[a + j] = zero
    place = t if rhythm.pointer.size > 2 else 0
    done = 0
    for run in range(rhythm.pointer[place], rhythm.pointer[place + 1]):
        lo, hi = max(rhythm.starts[run] - o, 0), min(rhythm.ends[run] - o, n)
        if hi <= lo:
            continue
        if flow.has_potential:
            for j in range(done, lo):
                adjoint.v[a + j] += gut[a + j]
        run_adjoint(t, a + lo, o + lo, lo, hi - lo, a if rhythm.by_column else o, choice, code, surrogate, numbers,
                    rhythm, kept, start, gst, gut, adjoint, wanted, due, free, scratch, gx, g_numbers)  # fmt: skip
        done = hi
    if flow.has_potential:
        for j in range(done, n):
            adjoint.v[a + j] += gut[a + j]


@kernel_function
def run_adjoint(
    t: int, a: int, p: int, lo: int, n: int, shift: int, choice: Choice, code: int, surrogate: Any, numbers: Numbers,
    rhythm: Rhythm, kept: Kept, start: State, gst: Any, gut: Any, adjoint: Adjoint, wanted: Wanted, due: Any,
    free: Any, scratch: Any, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Adjoint of the neurons of one run: columns a..a+n-1, places p..p+n-1 of the period, lo.. of the piece."""
    b, q = a + n, p + n
    u, th = kept.potential[t, a:b], numbers.threshold[p:q]
    m = rhythm.mask[min(t, rhythm.mask.shape[0] - 1), shift + lo : shift + lo + n]
    gth, h, gs, through = scratch[0, lo : lo + n], scratch[1, :n], scratch[2, :n], scratch[3, :n]
    gu, hold, vp, w = scratch[4, :n], scratch[5, :n], scratch[6, :n], scratch[7, :n]
    can = free[min(t, free.shape[0] - 1), lo : lo + n]
    at = u
    if choice.adapts:
        th, at = scratch[8, :n], kept.adaptations[t, a:b]
        thresholds(numbers, p, q, at, th)
    if kept.spikes.shape[0] > 0:
        s = kept.spikes[t, a:b]
    else:
        s = scratch[9, :n]
        fire(choice.inclusive, u, th, s)
    gv, gr = adjoint.v[a:b], adjoint.pending[a:b]
    gather(choice, gst[a:b], adjoint.before[a:b], adjoint.history[t % adjoint.history.shape[0], a:b], m, gr, gs)
    surrogate_gradient(code, surrogate, u, th, h)
    spike_adjoint(choice, u, s, th, numbers.v_reset[p:q], m, can, gs, gut[a:b], h, gv, through, gu, hold)
    if wanted.threshold or choice.adapts:
        threshold_adjoint(choice, s, gv, through, gth)
    r = scratch[10, :n]
    if choice.late:
        pending(t, a, p, lo, choice, numbers, kept, start, due, r)
    if wanted.beta or (choice.late and choice.mode == 2):
        membrane_before(t, a, p, choice, numbers, kept, start, h, r, vp, w)  # h is spent
    drive = u
    if wanted.gain or choice.discards:
        drive = gs  # spent as well
        integrated(choice, kept.currents[t, a:b], can, drive)
    g = g_numbers[:, a:b]
    if choice.discards:
        discard_adjoint(wanted.v_reset, numbers, p, r, w, drive, gu, gr, g[4])
    parameter_adjoint(choice, wanted, p, numbers, s, r, w, drive, gv, gu, gth, at, g)
    decay_adjoint(choice, numbers, p, r, vp, gu, hold, gr, gv)
    drive_adjoint(choice, numbers.gain[p:q], can, gu, gx[a:b])


@kernel_function
def pending(
    t: int, a: int, p: int, lo: int, choice: Choice, numbers: Numbers, kept: Kept, start: State, due: Any, r: Any
) -> None:
    """Write the reset that was due when step t began."""
    n = r.size
    if due.shape[0] > 0:
        before = due[t, lo : lo + n]
    elif t == 0:
        before = start.pending[a : a + n]
    elif kept.spikes.shape[0] > 0:
        before = kept.spikes[t - 1, a : a + n]
    else:
        fire(choice.inclusive, kept.potential[t - 1, a : a + n], numbers.threshold[p : p + n], r)
        return
    for j in range(n):
        r[j] = before[j]


@kernel_function
def membrane_before(
    t: int, a: int, p: int, choice: Choice, numbers: Numbers, kept: Kept, start: State, th: Any, r: Any, v: Any,
    w: Any,
) -> None:  # fmt: skip
    """Write the membrane before step t and, with a late reset to zero, what of it was left to decay (`w`).

    `th` is room for the threshold of that step.
    """
    n = v.size
    one = v.dtype.type(1.0)
    b, q = a + n, p + n
    vz = numbers.v_reset[p:q]
    if t == 0:
        for j in range(n):
            v[j] = start.v[a + j]
    else:
        u = kept.potential[t - 1, a:b]
        if choice.adapts:
            thresholds(numbers, p, q, kept.adaptations[t - 1, a:b], th)
        else:
            for j in range(n):
                th[j] = numbers.threshold[p + j]
        if kept.spikes.shape[0] > 0:
            s = kept.spikes[t - 1, a:b]
        else:
            s = w  # room
            fire(choice.inclusive, u, th, s)
        reset(choice, u, s, th, vz, v)
    if choice.late & (choice.mode == 2) & (not choice.discards):
        for j in range(n):
            w[j] = (one - r[j]) * v[j] + r[j] * vz[j]
    else:
        for j in range(n):
            w[j] = v[j]


@kernel_function
def integrated(choice: Choice, current: Any, free: Any, drive: Any) -> None:
    """Write the current that the membrane integrated."""
    zero = drive.dtype.type(0.0)
    blind = (choice.refractory > 0) & (not choice.integrates)
    for j in range(drive.size):
        drive[j] = zero if blind & (free[j] == 0) else current[j]


@kernel_function
def inputs(
    t: int, a: int, o: int, n: int, choice: Choice, numbers: Numbers, kept: Kept, start: State, flow: Flow,
    adjoint: Adjoint, wanted: Wanted, active: Any, scratch: Any, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Adjoint of what runs also in OFF steps: adaptation, synaptic current, recurrent connections."""
    b, e = a + n, o + n
    if choice.adapts:
        gat = flow.adaptations[t if flow.adaptations.shape[0] > 1 else 0, a:b]
        a_before = kept.adaptations[t - 1, a:b] if t > 0 else start.adaptation[a:b]
        s_before = kept.spikes[t - 1, a:b] if t > 0 else start.history[choice.delay, a:b]
        adaptation_adjoint(wanted.rho, numbers.rho[o:e], numbers.kappa[o:e], a_before, s_before, scratch[0, :n], gat,
                           adjoint.adaptation[a:b], adjoint.before[a:b], g_numbers[6, a:b])  # fmt: skip
    if flow.has_currents:
        git = flow.currents[t if flow.currents.shape[0] > 1 else 0]
        for j in range(n):
            gx[j] += git[a + j]
    if choice.alpha:
        i_before = start.current[a:b]
        if wanted.alpha and t > 0:
            i_before = kept.currents[t - 1, a:b]
        current_adjoint(wanted.alpha, numbers.alpha[o:e], i_before, adjoint.current[a:b], gx, g_numbers[5, a:b])
    if choice.recurrent:
        product(gx, numbers.weight, adjoint.history[t % adjoint.history.shape[0], a:b], active,
                choice.masked and not choice.alpha)  # fmt: skip
