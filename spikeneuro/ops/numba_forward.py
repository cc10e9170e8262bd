"""The compiled forward kernel: whole sequences, every setting of the LIF recurrence, feed-forward and recurrent.

Blocks of pieces (see `numba_arguments`) are independent, so threads share them out without locks and the result does
not depend on how. Time is the outer loop of a block: its state stays in the second-level cache while input, spikes and
membranes stream through.
"""

from typing import Any

import numpy as np

from spikeneuro.ops.numba_arguments import (
    GROUP,
    PAD,
    Choice,
    Layout,
    Numbers,
    Rhythm,
    State,
    mask_place,
    piece_bounds,
)
from spikeneuro.ops.numba_compile import cached_kernel, kernel_function
from spikeneuro.ops.numba_products import add_spikes
from spikeneuro.ops.numba_steps import (
    adapt,
    adaptive_step,
    ask_for,
    ask_for_groups,
    copy,
    full_step,
    masked_step,
    plain_step,
    synaptic_current,
)


@cached_kernel
def forward(
    first_piece: int, last_piece: int, layout: Layout, choice: Choice, numbers: Numbers, rhythm: Rhythm, x: Any,
    state: State, s: Any, u: Any, currents: Any, adaptations: Any,
) -> None:  # fmt: skip
    """Fill spikes `s`, membranes `u` and, if they have rows, `currents` and `adaptations`; move `state` on."""
    scratch = np.empty((2, layout.width + PAD), x.dtype)
    fired = np.empty((4, numbers.weight.shape[0]), np.int64)
    sweep(
        first_piece, last_piece, layout, choice, numbers, rhythm, x, state, s, u, currents, adaptations, scratch, fired
    )


@kernel_function
def sweep(
    first_piece: int, last_piece: int, layout: Layout, choice: Choice, numbers: Numbers, rhythm: Rhythm, x: Any,
    state: State, s: Any, u: Any, currents: Any, adaptations: Any, scratch: Any, fired: Any,
) -> None:  # fmt: skip
    """Run all blocks through time; `scratch` and `fired` are room for a piece."""
    steps, columns = x.shape
    keep_current, keep_adaptation = currents.shape[0] > 0, adaptations.shape[0] > 0
    for block in range(first_piece, last_piece, layout.block):
        for t in range(steps):
            for piece in range(block, min(block + layout.block, last_piece)):
                a, o, n = piece_bounds(piece, columns, layout.period, layout.width)
                b, e = a + n, o + n
                drive, th = scratch[0, :n], scratch[1, :n]
                cur = x[t, a:b]
                following = min(t + 1, steps - 1)
                if choice.masked and not (choice.alpha or choice.recurrent or choice.adapts):
                    ask_for_groups(
                        rhythm.groups[min(following, rhythm.groups.shape[0] - 1), o // GROUP :], x[following, a:b]
                    )
                else:
                    ask_for(x[following, a:b])
                if choice.recurrent:
                    past = t - 1 - choice.delay
                    before = s[past, a:b] if past >= 0 else state.history[t, a:b]
                    recurrent_drive(cur, before, numbers, o, e, drive, fired)
                    cur = drive
                if choice.alpha:
                    synaptic_current(numbers.alpha[o:e], state.current[a:b], cur)
                    cur = state.current[a:b]
                if keep_current:
                    copy(cur, currents[t, a:b])
                before = s[t - 1, a:b] if t > 0 else state.history[choice.delay if choice.adapts else 0, a:b]
                neurons(t, a, o, n, choice, numbers, rhythm, cur, before, th, state, s[t, a:b], u[t, a:b])
                if keep_adaptation:
                    copy(state.adaptation[a:b], adaptations[t, a:b])


@kernel_function
def recurrent_drive(x: Any, before: Any, numbers: Numbers, o: int, e: int, drive: Any, fired: Any) -> None:
    """Write input, bias and the weighted spikes of an earlier step."""
    copy(numbers.bias[o:e], drive)
    add_spikes(before, numbers.weight, drive, fired)
    for j in range(drive.size):
        drive[j] += x[j]


@kernel_function
def neurons(
    t: int, a: int, o: int, n: int, choice: Choice, numbers: Numbers, rhythm: Rhythm, cur: Any, before: Any, th: Any,
    state: State, s: Any, u: Any,
) -> None:  # fmt: skip
    """Run the neurons of a piece; `before` are the spikes of the step before, `th` is room for the threshold."""
    b, e = a + n, o + n
    v, beta, gain, base = state.v[a:b], numbers.beta[o:e], numbers.gain[o:e], numbers.threshold[o:e]
    vr, vz = numbers.v_rest[o:e], numbers.v_reset[o:e]
    row, first = mask_place(rhythm, t, a, o)
    m = rhythm.mask[row, first : first + n]
    if choice.late or choice.refractory > 0:
        if choice.adapts:
            adapt(numbers.rho[o:e], numbers.kappa[o:e], base, before, state.adaptation[a:b], th)
            base = th
        full_step(choice, cur, v, state.pending[a:b], state.refractory[a:b], m, beta, gain, base, vr, vz, s, u)
    elif choice.adapts:
        adaptive_step(choice, cur, v, state.adaptation[a:b], before, m, beta, gain, base, numbers.rho[o:e],
                      numbers.kappa[o:e], vr, vz, s, u)  # fmt: skip
    elif choice.masked:
        groups = rhythm.groups[min(t, rhythm.groups.shape[0] - 1), o // GROUP :]
        masked_step(choice, groups, cur, v, m, beta, gain, base, vr, vz, s, u)
    else:
        plain_step(choice, cur, v, beta, gain, base, vr, vz, s, u)
