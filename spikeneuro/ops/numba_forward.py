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
    Team,
    can_stream,
    groups_place,
    mask_place,
    piece_bounds,
)
from spikeneuro.ops.numba_compile import cached_kernel, finish_streams, kernel_function, share_function
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
    put,
    stream,
    stream_groups,
    synaptic_current,
)
from spikeneuro.ops.numba_threads import share_out


@cached_kernel
def forward(
    team: Team, first_piece: int, last_piece: int, layout: Layout, choice: Choice, numbers: Numbers, rhythm: Rhythm,
    x: Any, state: State, s: Any, u: Any, currents: Any, adaptations: Any,
) -> None:  # fmt: skip
    """Fill spikes `s`, membranes `u` and, if they have rows, `currents` and `adaptations`; move `state` on."""
    arguments = (layout, choice, numbers, rhythm, x, state, s, u, currents, adaptations)
    if not share_out(some_pieces, team, first_piece, last_piece, arguments):
        raise MemoryError


@share_function
def some_pieces(
    first_piece: int, last_piece: int, layout: Layout, choice: Choice, numbers: Numbers, rhythm: Rhythm, x: Any,
    state: State, s: Any, u: Any, currents: Any, adaptations: Any,
) -> None:  # fmt: skip
    """Do what `forward` does for some of the pieces."""
    scratch = np.empty((4, layout.width + PAD), x.dtype)
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
    streams = can_stream(u, layout) and can_stream(s, layout)
    streams &= currents.shape[0] == 0 or can_stream(currents, layout)
    streams &= adaptations.shape[0] == 0 or can_stream(adaptations, layout)
    for block in range(first_piece, last_piece, layout.block):
        for t in range(steps):
            for piece in range(block, min(block + layout.block, last_piece)):
                a, o, n = piece_bounds(piece, columns, layout.period, layout.width)
                following = min(t + 1, steps - 1)
                if choice.masked and not (choice.alpha or choice.recurrent or choice.adapts):
                    row, first = groups_place(rhythm, following, o)
                    ask_for_groups(rhythm.groups[row, first:], x[following, a : a + n])
                else:
                    ask_for(x[following, a : a + n])
                cur = x[t, a : a + n]
                if choice.recurrent or choice.alpha:
                    kept = currents.shape[0] > 0
                    write_current(t, a, o, n, choice, kept, numbers, rhythm, cur, state, s, scratch[0, :n], fired)
                    cur = state.current[a : a + n] if choice.alpha else scratch[0, :n]
                if currents.shape[0] > 0:
                    put(streams, cur, currents[t, a : a + n])
                advance(t, a, o, n, choice, streams, numbers, rhythm, cur, state, s, u, scratch)
                if adaptations.shape[0] > 0:
                    put(streams, state.adaptation[a : a + n], adaptations[t, a : a + n])
    if streams:
        finish_streams()


@kernel_function
def write_current(
    t: int, a: int, o: int, n: int, choice: Choice, kept: bool, numbers: Numbers, rhythm: Rhythm, x: Any,
    state: State, s: Any, drive: Any, fired: Any,
) -> None:  # fmt: skip
    """Write the synaptic current of a piece to the state or, without one, that of its input and spikes to `drive`."""
    b, e = a + n, o + n
    # Nothing but a synaptic current reads the drive of neurons that are OFF.
    if choice.recurrent and (choice.alpha or kept or not choice.masked or any_on(rhythm, t, o, n)):
        past = t - 1 - choice.delay
        recurrent_drive(x, s[past, a:b] if past >= 0 else state.history[t, a:b], numbers, o, e, drive, fired)
    if choice.alpha:
        synaptic_current(numbers.alpha[o:e], state.current[a:b], drive if choice.recurrent else x)


@kernel_function
def advance(
    t: int, a: int, o: int, n: int, choice: Choice, streams: bool, numbers: Numbers, rhythm: Rhythm, cur: Any,
    state: State, s: Any, u: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write spikes and membranes of a piece: past the caches, if asked for, but not spikes that other neurons read."""
    b, apart = a + n, streams and not choice.recurrent
    last = state.history[choice.delay if choice.adapts else 0, a:b]
    before = s[t - 1, a:b] if t > 0 and not apart else last
    spikes = scratch[2, :n] if apart else s[t, a:b]
    membrane = scratch[3, :n] if streams else u[t, a:b]
    neurons(t, a, o, n, choice, numbers, rhythm, cur, before, scratch[1, :n], state, spikes, membrane)
    if apart:
        stream(spikes, s[t, a:b])
    if apart and choice.adapts:
        copy(spikes, last)
    if streams and skips(choice) and not choice.fills:
        row, first = groups_place(rhythm, t, o)
        stream_groups(rhythm.groups[row, first:], membrane, u[t, a:b])
    elif streams:
        stream(membrane, u[t, a:b])


@kernel_function
def any_on(rhythm: Rhythm, t: int, o: int, n: int) -> bool:
    """Whether any neuron of a piece is ON at step t."""
    row, first = groups_place(rhythm, t, o)
    found = False
    for k in range(first, first + (n + GROUP - 1) // GROUP):
        found |= rhythm.groups[row, k] != 0
    return found


@kernel_function
def skips(choice: Choice) -> bool:
    """Whether groups of neurons that are OFF are left out."""
    return choice.masked and not (choice.late or choice.refractory > 0 or choice.adapts)


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
        row, first = groups_place(rhythm, t, o)
        masked_step(choice, rhythm.groups[row, first:], cur, v, m, beta, gain, base, vr, vz, s, u)
    else:
        plain_step(choice, cur, v, beta, gain, base, vr, vz, s, u)
