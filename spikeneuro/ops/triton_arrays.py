"""How the GPU kernels read and write their arrays.

Arrays are (time, columns) with columns = batch * features, numbers (8, width) with width 1 or features. A pointer that
is None is compiled away with what it would serve.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl


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
def columns_of(layout: "Any", shape: tl.constexpr) -> "Any":
    """Columns of this program, and which of them exist: any block of them, or one sample of a recurrent layer."""
    lane = tl.arange(0, shape.block)
    if shape.delay < 0:
        column = tl.program_id(0) * shape.block + lane
        inside = column < layout.columns
    else:
        column = tl.program_id(0) * layout.features + lane
        inside = lane < layout.features
    return column, inside


@triton.jit
def load_numbers(numbers: "Any", column: "Any", inside: "Any", layout: "Any") -> "Any":
    """Parameters of the columns: beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa."""
    width = layout.width
    at = numbers + (column % layout.features) % width
    beta, gain = tl.load(at, mask=inside, other=0.0), tl.load(at + width, mask=inside, other=0.0)
    threshold, v_rest = tl.load(at + 2 * width, mask=inside, other=0.0), tl.load(at + 3 * width, mask=inside, other=0.0)
    v_reset, alpha = tl.load(at + 4 * width, mask=inside, other=0.0), tl.load(at + 5 * width, mask=inside, other=0.0)
    rho, kappa = tl.load(at + 6 * width, mask=inside, other=0.0), tl.load(at + 7 * width, mask=inside, other=0.0)
    return beta, gain, threshold, v_rest, v_reset, alpha, rho, kappa


@triton.jit
def load_part(pointer: "Any", column: "Any", inside: "Any", like: "Any") -> "Any":
    """Part of the state, or of its gradient; zero where there is none."""
    return tl.zeros_like(like) if pointer is None else tl.load(pointer + column, mask=inside, other=0.0).to(like.dtype)


@triton.jit
def load_state(start: "Any", column: "Any", inside: "Any", like: "Any") -> "Any":
    """Return v, i, a, s, r, c of a state, or of its gradient; zero where there is none."""
    v, i = load_part(start.v, column, inside, like), load_part(start.current, column, inside, like)
    a, s = load_part(start.adaptation, column, inside, like), load_part(start.spikes, column, inside, like)
    r, c = load_part(start.pending, column, inside, like), load_part(start.refractory, column, inside, like)
    return v, i, a, s, r, c


@triton.jit
def load_start(start: "Any", column: "Any", inside: "Any", p: "Any") -> "Any":
    """State before the first step: v, i, a, s, r, c."""
    v, i, a, s, r, c = load_state(start, column, inside, p[3])
    return p[3] if start.v is None else v, i, a, s, r, c


@triton.jit
def load_step(pointer: "Any", t: "Any", stride: "Any", column: "Any", wanted: "Any", like: "Any") -> "Any":
    """Step `t` of an array of all steps, zero where it is None or not `wanted`."""
    if pointer is None:
        value = tl.zeros_like(like)
    else:
        value = tl.load(pointer + tl.cast(t, tl.int64) * stride + column, mask=wanted, other=0.0).to(like.dtype)
    return value


@triton.jit
def load_rhythm(mask: "Any", t: "Any", column: "Any", wanted: "Any", layout: "Any") -> "Any":
    """Where the rhythm of step `t` is ON."""
    if mask is None:
        on = wanted
    else:
        at = (column // layout.features) * layout.mask_batch + column % layout.features
        on = tl.load(mask + tl.cast(t, tl.int64) * layout.mask_time + at, mask=wanted, other=0) != 0
    return on


@triton.jit
def load_flags(flags: "Any", t: "Any", column: "Any", wanted: "Any", layout: "Any") -> "Any":
    """Flags that `triton_forward.rewind` left for step `t`, 1 where there are none."""
    if flags is None:
        flag = wanted.to(tl.int8)
    else:
        flag = tl.load(flags + tl.cast(t, tl.int64) * layout.columns + column, mask=wanted, other=0)
    return flag


@triton.jit
def store_step(pointer: "Any", t: "Any", column: "Any", inside: "Any", value: "Any", layout: "Any") -> None:
    """Store step `t` of an array of all steps, if there is one."""
    if pointer is not None:
        tl.store(pointer + tl.cast(t, tl.int64) * layout.columns + column, value, mask=inside)


@triton.jit
def store_part(pointer: "Any", column: "Any", inside: "Any", value: "Any") -> None:
    """Store one part of a state, if it is asked for."""
    if pointer is not None:
        tl.store(pointer + column, value, mask=inside)


@triton.jit
def store_state(end: "Any", column: "Any", inside: "Any", state: "Any") -> None:
    """Store the parts of a state (v, i, a, s, r, c), or of its gradient, that are asked for."""
    store_part(end.v, column, inside, state[0])
    store_part(end.current, column, inside, state[1])
    store_part(end.adaptation, column, inside, state[2])
    store_part(end.spikes, column, inside, state[3])
    store_part(end.pending, column, inside, state[4])
    store_part(end.refractory, column, inside, state[5])
