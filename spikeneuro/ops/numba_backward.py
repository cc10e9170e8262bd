"""The compiled backward kernel: the adjoint of `numba_forward`, from the last step to the first.

Spikes of plain neurons are found again from their membranes, those of others are read. What entered a step (membrane,
pending reset, refractory period) follows from the step before; the two that may reach further back are found by a
sweep forward before the sweep backward.
"""

from typing import Any

import numpy as np

from spikeneuro.ops.numba_adjoint import (
    adaptation_adjoint,
    adaptive_adjoint,
    add,
    current_adjoint,
    decay_adjoint,
    decay_gradient,
    decay_to_rest,
    decayed_gradient,
    discard_adjoint,
    drive_adjoint,
    gather,
    late_threshold_adjoint,
    masked_adjoint,
    multiply_add,
    parameter_adjoint,
    plain_adjoint,
    reset_gradient,
    spike_adjoint,
    threshold_adjoint,
)
from spikeneuro.ops.numba_arguments import (
    PAD,
    Adjoint,
    Choice,
    Flow,
    Kept,
    Layout,
    Numbers,
    Rhythm,
    State,
    Team,
    Wanted,
    can_stream,
    groups_place,
    mask_place,
    piece_bounds,
)
from spikeneuro.ops.numba_compile import cached_kernel, choose, finish_streams, kernel_function, share_function
from spikeneuro.ops.numba_products import product
from spikeneuro.ops.numba_steps import ask_for, ask_for_groups, ask_to_write, copy, fire, reset, stream, thresholds
from spikeneuro.ops.numba_surrogates import surrogate_gradient
from spikeneuro.ops.numba_threads import share_out


@cached_kernel
def backward(
    team: Team, first_piece: int, last_piece: int, layout: Layout, choice: Choice, code: int, surrogate: Any,
    numbers: Numbers, rhythm: Rhythm, kept: Kept, start: State, flow: Flow, adjoint: Adjoint, wanted: Wanted, gx: Any,
    g_numbers: Any,
) -> None:  # fmt: skip
    """Fill the gradients of the input `gx`; move `adjoint` to the first step; add to `g_numbers` (8, columns)."""
    arguments = (
        layout, choice, code, surrogate, numbers, rhythm, kept, start, flow, adjoint, wanted, gx, g_numbers
    )  # fmt: skip
    if not share_out(some_pieces, team, first_piece, last_piece, arguments):
        raise MemoryError


@share_function
def some_pieces(
    first_piece: int, last_piece: int, layout: Layout, choice: Choice, code: int, surrogate: Any, numbers: Numbers,
    rhythm: Rhythm, kept: Kept, start: State, flow: Flow, adjoint: Adjoint, wanted: Wanted, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Do what `backward` does for some of the pieces."""
    steps = gx.shape[0]
    swept = choice.refractory > 0 or (choice.late and choice.masked)
    scratch = np.empty((12, layout.width + PAD), gx.dtype)
    active = np.empty(numbers.weight.shape[0], np.int64)
    due = np.empty((steps if swept else 0, layout.width), gx.dtype)
    free = np.ones((steps if swept else 1, layout.width), gx.dtype)
    sweep(first_piece, last_piece, layout, choice, code, surrogate, numbers, rhythm, kept, start, flow, adjoint, wanted,
          gx, g_numbers, scratch, active, due, free)  # fmt: skip


@kernel_function
def sweep(
    first_piece: int, last_piece: int, layout: Layout, choice: Choice, code: int, surrogate: Any, numbers: Numbers,
    rhythm: Rhythm, kept: Kept, start: State, flow: Flow, adjoint: Adjoint, wanted: Wanted, gx: Any, g_numbers: Any,
    scratch: Any, active: Any, due: Any, free: Any,
) -> None:  # fmt: skip
    """Run all blocks back through time; `scratch`, `active`, `due` and `free` are room for a piece."""
    steps, columns = gx.shape
    streams = can_stream(gx, layout)
    for block in range(first_piece, last_piece, layout.block):
        if due.shape[0] > 0:  # a block is one piece then
            entering(block, layout, choice, rhythm, kept.spikes, start, due, free, scratch)
        for t in range(steps - 1, -1, -1):
            for piece in range(block, min(block + layout.block, last_piece)):
                a, o, n = piece_bounds(piece, columns, layout.period, layout.width)
                ask_for_inputs(max(t - 1, 0), a, o, n, choice, rhythm, kept, flow)
                if not streams:
                    ask_to_write(gx[max(t - 1, 0), a : a + n])
                g_drive = scratch[11, :n] if streams else gx[t, a : a + n]
                neurons(t, a, o, n, choice, code, surrogate, numbers, rhythm, kept, start, flow, adjoint, wanted, due,
                        free, scratch, g_drive, g_numbers)  # fmt: skip
                inputs(t, a, o, n, choice, numbers, kept, start, flow, adjoint, wanted, active, scratch,
                       g_drive, g_numbers)  # fmt: skip
                if streams:
                    stream(g_drive, gx[t, a : a + n])
    if streams:
        finish_streams()


@kernel_function
def ask_for_inputs(t: int, a: int, o: int, n: int, choice: Choice, rhythm: Rhythm, kept: Kept, flow: Flow) -> None:
    """Ask for what the adjoint of step t will read."""
    b, row = a + n, t if flow.spikes.shape[0] > 1 else 0
    if choice.masked and not (choice.adapts or choice.late or choice.refractory > 0):
        step, first = groups_place(rhythm, t, o)
        groups = rhythm.groups[step, first:]
        ask_for_groups(groups, kept.potential[t, a:b])
        ask_for_groups(groups, flow.spikes[row, a:b])
    else:
        ask_for(kept.potential[t, a:b])
        ask_for(flow.spikes[row, a:b])
    if choice.adapts:
        ask_for(kept.adaptations[t, a:b])


@kernel_function
def entering(
    piece: int, layout: Layout, choice: Choice, rhythm: Rhythm, s: Any, start: State, due: Any, free: Any, scratch: Any
) -> None:
    """Write the pending reset that enters each step of a piece, and whether it is free of the refractory period."""
    steps, columns = s.shape
    a, o, n = piece_bounds(piece, columns, layout.period, layout.width)
    zero, one = due.dtype.type(0.0), due.dtype.type(1.0)
    left, r, period = scratch[0, :n], scratch[1, :n], due.dtype.type(choice.refractory)
    copy(start.refractory[a : a + n], left)
    copy(start.pending[a : a + n], r)
    waits = choice.preserve & choice.masked
    for t in range(steps):
        row, first = mask_place(rhythm, t, a, o)
        st, m = s[t, a : a + n], rhythm.mask[row, first : first + n]
        for j in range(n):
            due[t, j] = r[j]
            free[t, j] = choose(left[j] <= zero, one, zero)
        for j in range(n):
            left[j] = choose(st[j] != zero, period, max(left[j] - one, zero))
            r[j] = choose(waits & (m[j] == zero), r[j], st[j])


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
                      gst[a:b], gut[a:b], h, adjoint.v[a:b], gx)  # fmt: skip
        return
    if choice.late or choice.refractory > 0:
        any_adjoint(t, a, o, n, choice, code, surrogate, numbers, rhythm, kept, start, gst, gut, adjoint, wanted, due,
                    free, scratch, gx, g_numbers)  # fmt: skip
    else:
        same_step_piece(t, a, o, n, choice, code, surrogate, numbers, rhythm, kept, start, flow, gst, gut, adjoint,
                        wanted, scratch, gx, g_numbers)  # fmt: skip


@kernel_function
def same_step_piece(
    t: int, a: int, o: int, n: int, choice: Choice, code: int, surrogate: Any, numbers: Numbers, rhythm: Rhythm,
    kept: Kept, start: State, flow: Flow, gst: Any, gut: Any, adjoint: Adjoint, wanted: Wanted, scratch: Any, gx: Any,
    g_numbers: Any,
) -> None:  # fmt: skip
    """Adjoint of a piece of neurons without late reset and refractory period."""
    b, e = a + n, o + n
    u, th, at = kept.potential[t, a:b], numbers.threshold[o:e], kept.potential[t, a:b]
    gth, h, gu = scratch[0, :n], scratch[1, :n], scratch[4, :n]
    row, first = mask_place(rhythm, t, a, o)
    m = rhythm.mask[row, first : first + n]
    row, first = mask_place(rhythm, max(t - 1, 0), a, o)
    m_before = rhythm.mask[row, first : first + n]
    if choice.adapts:
        th, at = scratch[8, :n], kept.adaptations[t, a:b]
        thresholds(numbers, o, e, at, th)
        surrogate_gradient(code, surrogate, u, th, h)
    gv, vz, beta = adjoint.v[a:b], numbers.v_reset[o:e], numbers.beta[o:e]
    if wanted.v_reset and choice.mode == 2:
        reset_gradient(choice, u, th, m, gv, g_numbers[4, a:b])
    ring = adjoint.history[t % adjoint.history.shape[0], a:b]
    if choice.adapts:
        u_before, a_before = start.v[a:b], start.adaptation[a:b]
        if t > 0:
            u_before, a_before = kept.potential[t - 1, a:b], kept.adaptations[t - 1, a:b]
        gat = flow.adaptations[t if flow.adaptations.shape[0] > 1 else 0, a:b]
        adaptive_adjoint(
            choice, t == 0, numbers, o, u, at, m, gst[a:b], adjoint.before[a:b], ring, gut[a:b], gat, h, gv,
            adjoint.adaptation[a:b], gx, gu, gth, u_before, a_before, m_before, start.history[choice.delay, a:b],
            g_numbers[0, a:b], g_numbers[6, a:b],
        )  # fmt: skip
    else:
        # With a gradient of the membrane there is something to do for OFF neurons too.
        step, first = groups_place(rhythm, t, o)
        groups = rhythm.every[0, first:] if flow.has_potential else rhythm.groups[step, first:]
        masked_adjoint(choice, code, surrogate, groups, u, th, vz, m, beta, numbers.gain[o:e], gst[a:b], ring, gut[a:b],
                       h, gv, gx, gu, gth)  # fmt: skip
        if wanted.beta and t > 0:
            decay_gradient(choice, kept.potential[t - 1, a:b], m_before, th, numbers.v_rest[o:e], vz, gu,
                           g_numbers[0, a:b])  # fmt: skip
        elif wanted.beta:
            decayed_gradient(start.v[a:b], numbers.v_rest[o:e], gu, g_numbers[0, a:b])
    if wanted.gain:
        multiply_add(gu, kept.currents[t, a:b], g_numbers[1, a:b])
    if wanted.threshold:
        add(gth, g_numbers[2, a:b])
    if wanted.v_rest:
        decay_to_rest(beta, gu, g_numbers[3, a:b])
    if wanted.kappa:
        multiply_add(gth, at, g_numbers[7, a:b])


@kernel_function
def any_adjoint(
    t: int, a: int, o: int, n: int, choice: Choice, code: int, surrogate: Any, numbers: Numbers, rhythm: Rhythm,
    kept: Kept, start: State, gst: Any, gut: Any, adjoint: Adjoint, wanted: Wanted, due: Any, free: Any, scratch: Any,
    gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Adjoint of a piece of neurons with any setting."""
    b, e = a + n, o + n
    u, th = kept.potential[t, a:b], numbers.threshold[o:e]
    row, first = mask_place(rhythm, t, a, o)
    m = rhythm.mask[row, first : first + n]
    gth, h, gs, through = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n]
    gu, hold, vp, w = scratch[4, :n], scratch[5, :n], scratch[6, :n], scratch[7, :n]
    can = free[min(t, free.shape[0] - 1), :n]
    at = u
    if choice.adapts:
        th, at = scratch[8, :n], kept.adaptations[t, a:b]
        thresholds(numbers, o, e, at, th)
    if kept.spikes.shape[0] > 0:
        s = kept.spikes[t, a:b]
    else:
        s = scratch[9, :n]
        fire(choice, u, th, s)
    gv, gr = adjoint.v[a:b], adjoint.pending[a:b]
    gather(choice, gst[a:b], adjoint.before[a:b], adjoint.history[t % adjoint.history.shape[0], a:b], m, gr, gs)
    surrogate_gradient(code, surrogate, u, th, h)
    spike_adjoint(choice, u, s, th, numbers.v_reset[o:e], m, can, gs, gut[a:b], h, gv, through, gu, hold)
    if wanted.threshold or choice.adapts:
        threshold_adjoint(choice, s, gv, through, gth)
    r = scratch[10, :n]
    if choice.late:
        pending(t, a, o, choice, numbers, kept, start, due, r)
    if wanted.beta or (choice.late and choice.mode == 2):
        membrane_before(t, a, o, choice, numbers, kept, start, h, r, vp, w)  # h is spent
    drive = u
    if wanted.gain or choice.discards:
        drive = gs  # spent as well
        integrated(choice, kept.currents[t, a:b], can, drive)
    if choice.discards:
        discard_adjoint(wanted.v_reset, numbers, o, r, w, drive, gu, gr, g_numbers[4, a:b])
    if choice.late and choice.mode == 1:
        late_threshold_adjoint(r, gu, gth)
    parameter_adjoint(choice, wanted, o, numbers, s, r, w, drive, gv, gu, gth, at, a, g_numbers)
    decay_adjoint(choice, numbers, o, th, r, vp, gu, hold, gr, gv)
    drive_adjoint(choice, numbers.gain[o:e], can, gu, gx)


@kernel_function
def pending(
    t: int, a: int, p: int, choice: Choice, numbers: Numbers, kept: Kept, start: State, due: Any, r: Any
) -> None:
    """Write the reset that was due when step t began."""
    n = r.size
    if due.shape[0] > 0:
        before = due[t, :n]
    elif t == 0:
        before = start.pending[a : a + n]
    elif kept.spikes.shape[0] > 0:
        before = kept.spikes[t - 1, a : a + n]
    else:
        fire(choice, kept.potential[t - 1, a : a + n], numbers.threshold[p : p + n], r)
        return
    copy(before, r)


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
        copy(start.v[a:b], v)
    else:
        u = kept.potential[t - 1, a:b]
        if choice.adapts:
            thresholds(numbers, p, q, kept.adaptations[t - 1, a:b], th)
        else:
            copy(numbers.threshold[p:q], th)
        if kept.spikes.shape[0] > 0:
            s = kept.spikes[t - 1, a:b]
        else:
            s = w  # room
            fire(choice, u, th, s)
        reset(choice, u, s, th, vz, v)
    if choice.late & (choice.mode == 2) & (not choice.discards):
        for j in range(n):
            w[j] = (one - r[j]) * v[j] + r[j] * vz[j]
    else:
        copy(v, w)


@kernel_function
def integrated(choice: Choice, current: Any, free: Any, drive: Any) -> None:
    """Write the current that the membrane integrated."""
    zero = drive.dtype.type(0.0)
    blind = (choice.refractory > 0) & (not choice.integrates)
    for j in range(drive.size):
        drive[j] = choose(blind & (free[j] == zero), zero, current[j])


@kernel_function
def inputs(
    t: int, a: int, o: int, n: int, choice: Choice, numbers: Numbers, kept: Kept, start: State, flow: Flow,
    adjoint: Adjoint, wanted: Wanted, active: Any, scratch: Any, gx: Any, g_numbers: Any,
) -> None:  # fmt: skip
    """Adjoint of what runs also in OFF steps: adaptation, synaptic current, recurrent connections."""
    b, e = a + n, o + n
    if choice.adapts and (choice.late or choice.refractory > 0):  # else done with the neurons
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
