"""GPU kernels of the LIF op: one program carries a block of neurons through all steps, their state in registers.

Arrays are (time, columns) with columns = batch * features, numbers (8, width) with width 1 or features. Feed-forward
neurons are cut into blocks of any columns; a program of a recurrent layer has one sample with all its neurons, so that
their spikes need not leave it. Loads run several steps ahead of the arithmetic (the loop's `num_stages`), which is what
keeps memory busy: a step needs a handful of operations and 12 bytes.

Pointers that are None are compiled away with what they would serve.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from spikeneuro.ops.triton_products import kept_rows, product
from spikeneuro.ops.triton_steps import after_reset, backward_step, fire, forward_step, level, next_refractory


class State(NamedTuple):
    """One array of all columns for each part of the state, or for the gradient of each; `spikes` are the last ones."""

    v: Any
    current: Any
    adaptation: Any
    spikes: Any
    pending: Any
    refractory: Any


class Trace(NamedTuple):
    """One array of all steps for each output, its gradient, or the number of elements between its steps."""

    spikes: Any
    potential: Any
    currents: Any
    adaptations: Any


class Layout(NamedTuple):
    """Extents and strides."""

    steps: int
    columns: int
    features: int
    width: int  # of the numbers
    mask_time: int
    mask_batch: int
    limit: int  # refractory period


class Recurrence(NamedTuple):
    """Connections of a layer with itself, or their adjoint; None without."""

    weight: Any  # (features, features), rows are summed over
    bias: Any
    history: Any  # (delay + 1, columns): spikes before the first step, or the gradient of the last ones


class Shape(NamedTuple):
    """How a program is built."""

    block: int  # columns, a power of two
    stages: int  # steps that loads run ahead
    delay: int  # -1: not recurrent
    kept: int  # rows of the weights that stay in registers
    tile: int  # rows of the others that are loaded at once


@triton.jit
def columns_of(layout: Any, S: tl.constexpr) -> Any:
    """Columns of this program, and which of them exist."""
    lane = tl.arange(0, S.block)
    if S.delay < 0:
        column = tl.program_id(0) * S.block + lane
        inside = column < layout.columns
    else:
        column = tl.program_id(0) * layout.features + lane
        inside = lane < layout.features
    return column, inside


@triton.jit
def load_numbers(numbers: Any, column: Any, inside: Any, layout: Any) -> Any:
    """Parameters of the columns: beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa."""
    width = layout.width
    at = numbers + (column % layout.features) % width
    beta, gain = tl.load(at, mask=inside, other=0.0), tl.load(at + width, mask=inside, other=0.0)
    threshold, v_rest = tl.load(at + 2 * width, mask=inside, other=0.0), tl.load(at + 3 * width, mask=inside, other=0.0)
    v_reset, alpha = tl.load(at + 4 * width, mask=inside, other=0.0), tl.load(at + 5 * width, mask=inside, other=0.0)
    rho, kappa = tl.load(at + 6 * width, mask=inside, other=0.0), tl.load(at + 7 * width, mask=inside, other=0.0)
    return beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa


@triton.jit
def part(pointer: Any, column: Any, inside: Any, like: Any) -> Any:
    """Part of the state, or of its gradient; zero where there is none."""
    if pointer is None:
        value = tl.zeros_like(like)
    else:
        value = tl.load(pointer + column, mask=inside, other=0.0).to(like.dtype)
    return value


@triton.jit
def begin(start: Any, column: Any, inside: Any, p: Any) -> Any:
    """State before the first step: v, i, a, s, r, c."""
    v = part(start.v, column, inside, p[3])
    if start.v is None:
        v = p[3]
    i = part(start.current, column, inside, v)
    a = part(start.adaptation, column, inside, v)
    s = part(start.spikes, column, inside, v)
    r = part(start.pending, column, inside, v)
    c = part(start.refractory, column, inside, v)
    return v, i, a, s, r, c


@triton.jit
def row(pointer: Any, t: Any, stride: Any, column: Any, wanted: Any, like: Any) -> Any:
    """Step `t` of an array of all steps, zero where it is None or not `wanted`."""
    if pointer is None:
        value = tl.zeros_like(like)
    else:
        value = tl.load(pointer + tl.cast(t, tl.int64) * stride + column, mask=wanted, other=0.0).to(like.dtype)
    return value


@triton.jit
def rhythm(mask: Any, t: Any, column: Any, wanted: Any, layout: Any) -> Any:
    """Where the rhythm of step `t` is ON."""
    if mask is None:
        on = wanted
    else:
        at = (column // layout.features) * layout.mask_batch + column % layout.features
        on = tl.load(mask + tl.cast(t, tl.int64) * layout.mask_time + at, mask=wanted, other=0) != 0
    return on


@triton.jit
def put(pointer: Any, t: Any, column: Any, inside: Any, value: Any, layout: Any) -> Any:
    """Store step `t` of an array of all steps, if there is one."""
    if pointer is not None:
        tl.store(pointer + tl.cast(t, tl.int64) * layout.columns + column, value, mask=inside)


@triton.jit
def put_state(end: Any, column: Any, inside: Any, v: Any, i: Any, a: Any, s: Any, r: Any, c: Any) -> Any:
    """Store the parts of the state, or of its gradient, that are asked for."""
    put_part(end.v, column, inside, v)
    put_part(end.current, column, inside, i)
    put_part(end.adaptation, column, inside, a)
    put_part(end.spikes, column, inside, s)
    put_part(end.pending, column, inside, r)
    put_part(end.refractory, column, inside, c)


@triton.jit
def put_part(pointer: Any, column: Any, inside: Any, value: Any) -> Any:
    """Store one part, if it is asked for."""
    if pointer is not None:
        tl.store(pointer + column, value, mask=inside)


@triton.jit
def forward(
    x: Any, numbers: Any, mask: Any, recurrence: Any, start: Any, end: Any, out: Any, layout: Any, rounds: Any,
    O: tl.constexpr, S: tl.constexpr,
) -> None:  # fmt: skip  # noqa: E741
    """Fill the outputs `out` and the final state `end`. `rounds` is the number of steps."""
    column, inside = columns_of(layout, S)
    p = load_numbers(numbers, column, inside, layout)
    v, i, a, s, r, c = begin(start, column, inside, p)
    on = rhythm(mask, 0, column, inside & (layout.steps > 0), layout)
    if S.delay >= 0:
        kept = kept_rows(recurrence.weight, layout.features, v, S.block, S.kept)
        bias = part(recurrence.bias, tl.arange(0, S.block), inside, v)
    for t in tl.range(0, rounds, num_stages=S.stages):
        drive = row(x, t, layout.columns, column, inside, v)
        later = on
        if O.masked:  # one step ahead: these loads are too narrow for the compiler to do it
            later = rhythm(mask, t + 1, column, inside & (t + 1 < layout.steps), layout)
        if S.delay >= 0:
            source = s
            if S.delay > 0:
                source = row(out.spikes, t - 1 - S.delay, layout.columns, column, inside & (t > S.delay), v)
                source += row(recurrence.history, t, layout.columns, column, inside & (t <= S.delay), v)
            drive += product(source, kept, recurrence.weight, layout.features, S.block, S.kept, S.tile) + bias
        u, v, i, a, s, r, c = forward_step(drive, v, i, a, s, r, c, on, layout.limit, p, O)
        put(out.spikes, t, column, inside, s, layout)
        put(out.potential, t, column, inside, u, layout)
        put(out.currents, t, column, inside, i, layout)
        put(out.adaptations, t, column, inside, a, layout)
        if S.delay > 0:
            tl.debug_barrier()  # other threads read these spikes
        on = later
    put_state(end, column, inside, v, i, a, s, r, c)


@triton.jit
def rewind(
    potential: Any, numbers: Any, mask: Any, start: Any, adaptations: Any, flags: Any, layout: Any, rounds: Any,
    O: tl.constexpr, S: tl.constexpr,
) -> None:  # fmt: skip  # noqa: E741
    """Rebuild from the membrane what the backward pass cannot while it walks back.

    These are the adaptation of every step, and flags: whether the neuron could fire (1), plus twice where the pending
    reset that entered the step came from: no spike (0), a spike (1), the initial state (2).
    """
    column, inside = columns_of(layout, S)
    p = load_numbers(numbers, column, inside, layout)
    _, _, a, s, _, c = begin(start, column, inside, p)
    source = tl.full((S.block,), 2, tl.int8)
    for t in tl.range(0, rounds, num_stages=S.stages):
        u = row(potential, t, layout.columns, column, inside, a)
        on = rhythm(mask, t, column, inside, layout)
        if O.adapts:
            a = p[6] * a + (1.0 - p[6]) * s
        may = c <= 0.0
        s = fire(u - level(a, p, O), O) * may.to(a.dtype) * on.to(a.dtype)
        c = next_refractory(s, c, layout.limit)
        put(adaptations, t, column, inside, a, layout)
        put(flags, t, column, inside, may.to(tl.int8) + 2 * source, layout)
        fired = (s > 0.0).to(tl.int8)
        if O.preserves:
            source = tl.where(on, fired, source)
        else:
            source = fired


@triton.jit
def backward(
    kept_trace: Any, flags: Any, numbers: Any, mask: Any, surrogate: Any, recurrence: Any, flow: Any, stride: Any,
    last: Any, start: Any, gx: Any, first: Any, sums_out: Any, layout: Any, rounds: Any,
    O: tl.constexpr, L: tl.constexpr, S: tl.constexpr,
) -> None:  # fmt: skip  # noqa: E741
    """Fill the gradients of the input `gx`, of the initial state `first` and of the numbers (8, columns).

    `flow` and `stride` are the gradients of the outputs and the elements between their steps (0: the same in all),
    `last` the gradients of the final state, `start` the initial state, `kept_trace` what the forward pass left.
    """
    column, inside = columns_of(layout, S)
    p = load_numbers(numbers, column, inside, layout)
    q = (tl.load(surrogate), tl.load(surrogate + 1), tl.load(surrogate + 2), tl.load(surrogate + 3))
    v_0, i_0, a_0, s_0, r_0, _ = begin(start, column, inside, p)
    gv, gi, ga, gs_b, gr, _ = begin_gradients(last, column, inside, v_0)
    zero = tl.zeros_like(v_0)
    sums = (zero, zero, zero, zero, zero, zero, zero, zero)
    g_drive = zero
    if S.delay >= 0:
        kept = kept_rows(recurrence.weight, layout.features, v_0, S.block, S.kept)
    end = layout.steps - 1
    any_step = inside & (layout.steps > 0)
    u = row(kept_trace.potential, end, layout.columns, column, any_step, v_0)
    a = row(kept_trace.adaptations, end, layout.columns, column, any_step, v_0)
    current = row(kept_trace.currents, end, layout.columns, column, any_step, v_0)
    on = rhythm(mask, end, column, any_step, layout)
    flag = may_fire(flags, end, column, any_step, layout)
    s = fire(u - level(a, p, O), O) * on.to(u.dtype) * (flag & 1).to(u.dtype)
    for k in tl.range(0, rounds, num_stages=S.stages):
        t = end - k
        before = inside & (t > 0)
        # What entered the step: the step before it, or the initial state.
        u_b = row(kept_trace.potential, t - 1, layout.columns, column, before, v_0)
        a_b = row(kept_trace.adaptations, t - 1, layout.columns, column, before, v_0)
        i_b = row(kept_trace.currents, t - 1, layout.columns, column, before, v_0)
        on_b = on
        if O.masked:
            on_b = rhythm(mask, t - 1, column, before, layout)
        flag_b = may_fire(flags, t - 1, column, before, layout)
        th_b = level(a_b, p, O)
        s_b = fire(u_b - th_b, O)
        if O.masked:
            s_b = s_b * on_b.to(u.dtype)
        if O.refractory:
            s_b = s_b * (flag_b & 1).to(u.dtype)
        v_b = tl.where(before, after_reset(u_b, s_b, th_b, p, O), v_0)
        s_b = tl.where(before, s_b, s_0)
        a_b = tl.where(before, a_b, a_0)
        i_b = tl.where(before, i_b, i_0)
        if O.preserves:
            r_b = tl.where(flag >= 4, r_0, (flag >= 2).to(u.dtype))
        else:
            r_b = tl.where(before, s_b, r_0)
        gs = gs_b + row(flow.spikes, t, stride.spikes, column, inside, zero)
        gu = row(flow.potential, t, stride.potential, column, inside, zero)
        gi_t = row(flow.currents, t, stride.currents, column, inside, zero)
        ga_t = row(flow.adaptations, t, stride.adaptations, column, inside, zero)
        if S.delay >= 0:
            source = g_drive
            if S.delay > 0:
                reached = inside & (t + 1 + S.delay < layout.steps)
                source = row(gx, t + 1 + S.delay, layout.columns, column, reached, zero)
            gs += product(source, kept, recurrence.weight, layout.features, S.block, S.kept, S.tile)
            into = t + 1 + S.delay - layout.steps  # place in the final history
            gs += row(recurrence.history, into, layout.columns, column, inside & (into >= 0), zero)
        g_drive, gv, gi, ga, gr, gs_b, sums = backward_step(
            gs, gu, gi_t, ga_t, gv, gi, ga, gr, u, s, a, on, (flag & 1) != 0, current, v_b, r_b, i_b, a_b, s_b,
            p, q, sums, O, L,
        )  # fmt: skip
        put(gx, t, column, inside, g_drive, layout)
        if S.delay > 0:
            tl.debug_barrier()  # other threads read this gradient
        u, a, current, on, flag, s = u_b, a_b, i_b, on_b, flag_b, s_b
    put_state(first, column, inside, gv, gi, ga, gs_b, gr, zero)
    for k in tl.static_range(8):
        if L[k]:
            tl.store(sums_out + k * layout.columns + column, sums[k], mask=inside)


@triton.jit
def begin_gradients(last: Any, column: Any, inside: Any, like: Any) -> Any:
    """Gradients of the final state, zero where nothing depends on it."""
    v, i = part(last.v, column, inside, like), part(last.current, column, inside, like)
    a, s = part(last.adaptation, column, inside, like), part(last.spikes, column, inside, like)
    r, c = part(last.pending, column, inside, like), tl.zeros_like(like)
    return v, i, a, s, r, c


@triton.jit
def may_fire(flags: Any, t: Any, column: Any, wanted: Any, layout: Any) -> Any:
    """Flags of step `t`, 1 where there are none."""
    if flags is None:
        flag = wanted.to(tl.int8)
    else:
        flag = tl.load(flags + tl.cast(t, tl.int64) * layout.columns + column, mask=wanted, other=0)
    return flag
