"""What the compiled kernels take, as tuples that numba compiles like structures.

Arrays over time are (time, columns) with columns = batch * features, all contiguous. Parameters are rows of length
`period` (the features, repeated where these are few) that repeat along the columns. Columns are cut into pieces, each
inside one repetition; a piece is what one inner loop runs over, and a block of pieces is what one thread holds in its
second-level cache while time passes.
"""

from typing import Any, NamedTuple

from spikeneuro.ops.numba_compile import kernel_function


class Team(NamedTuple):
    """Who does the work of a call: OpenMP's threads or, with no entry, the calling one; and in how many shares."""

    entry: int  # address of `GOMP_parallel`
    shares: int


class Layout(NamedTuple):
    """How columns are cut."""

    period: int
    width: int  # longest piece
    block: int  # pieces that a thread carries through time together
    streamed: int  # bytes from which a result is written past the caches


class Choice(NamedTuple):
    """Settings of the neuron; reset modes are 0 none, 1 subtract, 2 zero."""

    mode: int
    late: bool  # reset in the next step
    detach: bool
    inclusive: bool
    discards: bool
    refractory: int
    integrates: bool
    preserve: bool
    alpha: bool
    adapts: bool
    masked: bool
    fills: bool  # the membrane of OFF neurons is wanted
    recurrent: bool
    delay: int


class Numbers(NamedTuple):
    """Parameters, (period,) each; recurrent weights (neurons before, neurons after) forward, transposed backward."""

    beta: Any
    gain: Any
    threshold: Any
    v_rest: Any
    v_reset: Any
    alpha: Any
    rho: Any
    kappa: Any
    weight: Any
    bias: Any


#: Columns of a group: the rhythm skips whole groups. One vector of 32-bit numbers where vectors are longest.
GROUP = 16


#: Elements by which rows of working memory are longer than a piece, so that they share no set of the first cache.
PAD = 80


class Rhythm(NamedTuple):
    """Mask (time or 1, period or columns) and where any neuron of a group is ON, (time or 1, groups of the period)."""

    mask: Any
    groups: Any
    every: Any  # the same for neurons that are all looked at, (1, groups of the period)
    by_column: bool  # the mask differs between samples


class State(NamedTuple):
    """State, (columns,) each, which the kernel moves on; history (delay + 1, columns) only where it streams spikes."""

    v: Any
    current: Any
    adaptation: Any
    pending: Any
    refractory: Any
    history: Any


class Kept(NamedTuple):
    """What the forward pass left, (time, columns); no rows where it left none."""

    potential: Any
    spikes: Any
    currents: Any
    adaptations: Any


class Flow(NamedTuple):
    """Gradients of the outputs over time, (time, columns), or one row where they are constant in time or absent."""

    spikes: Any
    potential: Any
    currents: Any
    adaptations: Any
    has_potential: bool
    has_currents: bool


class Adjoint(NamedTuple):
    """Gradients of the state, (columns,) each: enter as those of the final state, end as those of the first.

    `before` is the gradient of the spikes of the step before, through the adaptation; `history` the ring of those
    through the recurrent connections, (delay + 1, columns), where time t has the place t modulo its length.
    """

    v: Any
    current: Any
    adaptation: Any
    pending: Any
    before: Any
    history: Any


class Wanted(NamedTuple):
    """Which gradients of parameters are asked for."""

    beta: bool
    gain: bool
    threshold: bool
    v_rest: bool
    v_reset: bool
    alpha: bool
    rho: bool
    kappa: bool


@kernel_function
def piece_bounds(piece: int, columns: int, period: int, width: int) -> tuple[int, int, int]:
    """First column of a piece, its place in the period and its length, 0 where it is empty."""
    per_row = (period + width - 1) // width
    row, part = piece // per_row, piece % per_row
    offset = part * width
    first = row * period + offset
    return first, offset, max(min(width, period - offset, columns - first), 0)


@kernel_function
def groups_place(rhythm: Rhythm, t: int, o: int) -> tuple[int, int]:
    """Row and first place of a piece's groups at step t."""
    return min(t, rhythm.groups.shape[0] - 1), o // GROUP


@kernel_function
def can_stream(array: Any, layout: Layout) -> bool:
    """Whether a result (time, columns) is to be written past the caches, and can be."""
    aligned = array.ctypes.data % 64 == 0 and array.shape[1] % GROUP == 0
    whole = layout.period % GROUP == 0 and layout.width % GROUP == 0
    return array.size * array.itemsize >= layout.streamed and aligned and whole


@kernel_function
def mask_place(rhythm: Rhythm, t: int, a: int, o: int) -> tuple[int, int]:
    """Row and first column of a piece's mask at step t; it holds ones where there is no rhythm."""
    return min(t, rhythm.mask.shape[0] - 1), a if rhythm.by_column else o
