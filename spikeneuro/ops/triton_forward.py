"""Forward GPU kernel of the LIF op, and what the backward pass has to run forward again.

A program carries a block of neurons through all steps, their state in registers. Loads run several steps ahead of the
arithmetic (the loop's `num_stages`), which is what keeps memory busy: a step is a handful of operations and 12 bytes.
A program of a recurrent layer has one sample with all its neurons, so that their spikes need not leave it.
"""

from typing import Any

import triton
import triton.language as tl

from spikeneuro.ops.triton_arrays import (
    columns_of,
    load_numbers,
    load_part,
    load_rhythm,
    load_start,
    load_step,
    store_state,
    store_step,
)
from spikeneuro.ops.triton_products import kept_rows, product
from spikeneuro.ops.triton_steps import adapt, fire, forward_step, level, next_refractory


@triton.jit
def forward(
    x: "Any", numbers: "Any", mask: "Any", recurrence: "Any", start: "Any", end: "Any", out: "Any", layout: "Any",
    rounds: "Any", opt: tl.constexpr, shape: tl.constexpr,
) -> None:  # fmt: skip
    """Fill the outputs `out` and the final state `end`. `rounds` is the number of steps."""
    column, inside = columns_of(layout, shape)
    p = load_numbers(numbers, column, inside, layout)
    state = load_start(start, column, inside, p)
    on = load_rhythm(mask, 0, column, inside & (layout.steps > 0), layout)
    if shape.delay >= 0:
        kept = kept_rows(recurrence.weight, layout.features, p[0], shape)
        bias = load_part(recurrence.bias, tl.arange(0, shape.block), inside, p[0])
    x_t = load_step(x, 0, layout.columns, column, inside & (layout.steps > 0), p[0])
    for t in tl.range(0, rounds, num_stages=shape.stages):
        # A step ahead by hand where the compiler does not do it: for bytes, and where it may not reorder loads.
        following = inside & (t + 1 < layout.steps)
        on_next, x_next = on, x_t
        if opt.masked:
            on_next = load_rhythm(mask, t + 1, column, following, layout)
        if shape.stages == 1:
            x_next = load_step(x, t + 1, layout.columns, column, following, p[0])
        else:
            x_t = load_step(x, t, layout.columns, column, inside, p[0])
        drive = x_t
        if shape.delay >= 0:
            source = state[3]
            if shape.delay > 0:
                source = load_step(
                    out.spikes, t - 1 - shape.delay, layout.columns, column, inside & (t > shape.delay), p[0]
                )
                source += load_step(recurrence.history, t, layout.columns, column, inside & (t <= shape.delay), p[0])
            drive += product(source, kept, recurrence.weight, layout.features, shape) + bias
        u, state = forward_step(drive, state, on, layout.limit, p, opt)
        store_step(out.spikes, t, column, inside, state[3], layout)
        store_step(out.potential, t, column, inside, u, layout)
        store_step(out.currents, t, column, inside, state[1], layout)
        store_step(out.adaptations, t, column, inside, state[2], layout)
        if shape.delay > 0:
            tl.debug_barrier()  # other threads of the program will read these spikes
        on, x_t = on_next, x_next
    store_state(end, column, inside, state)


@triton.jit
def rewind(
    potential: "Any", numbers: "Any", mask: "Any", start: "Any", adaptations: "Any", flags: "Any", layout: "Any",
    rounds: "Any", opt: tl.constexpr, shape: tl.constexpr,
) -> None:  # fmt: skip
    """Rebuild from the membrane what the backward pass cannot while it walks back.

    These are the adaptation of every step, and flags: whether the neuron could fire (1), plus twice where the pending
    reset that entered the step came from: no spike (0), a spike (1), the initial state (2).
    """
    column, inside = columns_of(layout, shape)
    p = load_numbers(numbers, column, inside, layout)
    _, _, a, s, _, c = load_start(start, column, inside, p)
    source = tl.full((shape.block,), 2, tl.int8)
    for t in tl.range(0, rounds, num_stages=shape.stages):
        u = load_step(potential, t, layout.columns, column, inside, p[0])
        on = load_rhythm(mask, t, column, inside, layout)
        a = adapt(a, s, p, opt)
        may = c <= 0.0
        s = fire(u - level(a, p, opt), opt) * may.to(a.dtype) * on.to(a.dtype)
        c = next_refractory(s, c, layout.limit) if opt.refractory else c
        store_step(adaptations, t, column, inside, a, layout)
        store_step(flags, t, column, inside, may.to(tl.int8) + 2 * source, layout)
        fired = (s > 0.0).to(tl.int8)
        source = tl.where(on, fired, source) if opt.preserves else fired
