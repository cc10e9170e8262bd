"""Products of spikes with weights that touch only the rows of neurons that fired, for whole sequences.

Spikes are (rows, inputs) with rows = time * batch. A first sweep lists the inputs that are not zero, row by row; the
product adds the weights' rows in that order, and the gradient of the weights adds the output's gradient to the rows of
the inputs that fired. Threads share rows in the product, and outputs in the gradient, so neither needs a lock and the
result does not depend on their number.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikeneuro.ops import buffers
from spikeneuro.ops.numba_arguments import GROUP, Team
from spikeneuro.ops.numba_compile import (
    bits_of_group,
    cached_kernel,
    contracting_function,
    kernel_function,
    number_of_bits,
    share_function,
)
from spikeneuro.ops.numba_products import list_places
from spikeneuro.ops.numba_steps import copy
from spikeneuro.ops.numba_threads import share_out
from spikeneuro.ops.threads import run_blocks

_SAMPLED = 256  # rows that tell how dense an input is
_ROWS = 64  # rows of a block: their lists and results fit the first cache
_OUTPUTS = 512  # most columns that a thread adds to together: their gradient is to stay in the second-level cache


def density(x: NDArray[Any]) -> float:
    """Share of elements that are not zero, from up to 256 rows: spread evenly, but in step with nothing in the data."""
    found = np.zeros(1, np.int64)
    _count(x, found)
    return float(found[0]) / max(min(len(x), _SAMPLED) * x.shape[1], 1)


def product(x: NDArray[Any], outgoing: NDArray[Any], bias: NDArray[Any], y: NDArray[Any]) -> None:
    """Write ``x @ outgoing + bias`` to `y`; `outgoing` is (inputs, outputs)."""
    run_blocks(_product, -(-len(x) // _ROWS), x, outgoing, bias, y)


def row_ends(x: NDArray[Any]) -> NDArray[np.int64]:
    """Where the list of each row's inputs that are not zero ends, when the lists follow each other."""
    counts = np.empty(len(x), np.int64)
    run_blocks(_count_rows, -(-len(x) // _ROWS), x, counts, work=x.size)
    return counts.cumsum()


def weight_gradient(g: NDArray[Any], x: NDArray[Any], ends: NDArray[np.int64]) -> NDArray[Any]:
    """Return ``x.T @ g``, (inputs, outputs); `ends` are those of `row_ends`."""
    total = int(ends[-1]) if len(ends) else 0
    places, values = buffers.empty((total,), np.int32), buffers.empty((total,), x.dtype)
    run_blocks(_list_rows, -(-len(x) // _ROWS), x, ends, places, values, work=x.size)
    found = np.zeros((x.shape[1], g.shape[1]), g.dtype)
    width = min(_OUTPUTS, -(-g.shape[1] // (torch.get_num_threads() * GROUP)) * GROUP)
    run_blocks(_weight_gradient, -(-g.shape[1] // width), width, g, places, values, ends, found)
    return found


@cached_kernel
def _count(x: Any, found: Any) -> None:
    """Add the number of elements that are not zero in up to `_SAMPLED` rows."""
    n = x.shape[0]
    for k in range(min(n, _SAMPLED)):
        # Multiples of the golden ratio, modulo 1, fall evenly and never in step with the batch.
        found[0] += count_inputs(x[k if n <= _SAMPLED else int(k * (0.6180339887498949 * n) % n)])


@cached_kernel
def _count_rows(team: Team, first: int, last: int, x: Any, counts: Any) -> None:
    if not share_out(_count_blocks, team, first, last, (x, counts)):
        raise MemoryError


@share_function
def _count_blocks(first: int, last: int, x: Any, counts: Any) -> None:
    for m in range(first * _ROWS, min(last * _ROWS, len(x))):
        counts[m] = count_inputs(x[m])


@kernel_function
def count_inputs(row: Any) -> int:
    """Return the number of elements of `row` that are not zero."""
    count, whole = 0, row.size - row.size % GROUP
    for first in range(0, whole, GROUP):
        count += number_of_bits(bits_of_group(row, first))
    for j in range(whole, row.size):
        count += row[j] != 0
    return count


@cached_kernel
def _product(team: Team, first: int, last: int, x: Any, outgoing: Any, bias: Any, y: Any) -> None:
    if not share_out(_product_blocks, team, first, last, (x, outgoing, bias, y)):
        raise MemoryError


@share_function
def _product_blocks(first: int, last: int, x: Any, outgoing: Any, bias: Any, y: Any) -> None:
    places, values = np.empty(x.shape[1], np.int32), np.empty(x.shape[1], x.dtype)
    _product_rows(first * _ROWS, min(last * _ROWS, len(x)), x, outgoing, bias, y, places, values)


@kernel_function
def _product_rows(first: int, last: int, x: Any, outgoing: Any, bias: Any, y: Any, places: Any, values: Any) -> None:
    for m in range(first, last):
        out = y[m]
        copy(bias, out)
        add_rows(outgoing, places, values, list_inputs(x[m], places, values), out)


@cached_kernel
def _list_rows(team: Team, first: int, last: int, x: Any, ends: Any, places: Any, values: Any) -> None:
    if not share_out(_list_blocks, team, first, last, (x, ends, places, values)):
        raise MemoryError


@share_function
def _list_blocks(first: int, last: int, x: Any, ends: Any, places: Any, values: Any) -> None:
    for m in range(first * _ROWS, min(last * _ROWS, len(x))):
        begin = ends[m - 1] if m > 0 else 0
        list_inputs(x[m], places[begin : ends[m]], values[begin : ends[m]])


@cached_kernel
def _weight_gradient(
    team: Team, first: int, last: int, width: int, g: Any, places: Any, values: Any, ends: Any, found: Any
) -> None:
    if not share_out(_weight_gradient_blocks, team, first, last, (width, g, places, values, ends, found)):
        raise MemoryError


@share_function
def _weight_gradient_blocks(
    first: int, last: int, width: int, g: Any, places: Any, values: Any, ends: Any, found: Any
) -> None:
    for a in range(first * width, min(last * width, g.shape[1]), width):
        _weight_gradient_block(a, min(a + width, g.shape[1]), g, places, values, ends, found)


@kernel_function
def _weight_gradient_block(a: int, b: int, g: Any, places: Any, values: Any, ends: Any, found: Any) -> None:
    begin = 0
    for m in range(len(g)):
        row = g[m, a:b]
        for k in range(begin, ends[m]):
            add_scaled(values[k], row, found[places[k], a:b])
        begin = ends[m]


@kernel_function
def list_inputs(row: Any, places: Any, values: Any) -> int:
    """Write places and values of the elements of `row` that are not zero, and return their number."""
    count = list_places(row, places)
    for k in range(count):
        values[k] = row[places[k]]
    return count


@contracting_function
def add_rows(outgoing: Any, places: Any, values: Any, count: int, out: Any) -> None:
    """Add rows of `outgoing`, times their spikes, to `out`: four in a pass over it."""
    whole = count - count % 4
    for k in range(0, whole, 4):
        add_four(values[k], values[k + 1], values[k + 2], values[k + 3], outgoing[places[k]], outgoing[places[k + 1]],
                 outgoing[places[k + 2]], outgoing[places[k + 3]], out)  # fmt: skip
    for k in range(whole, count):
        add_scaled(values[k], outgoing[places[k]], out)


@contracting_function
def add_four(a: Any, b: Any, c: Any, d: Any, wa: Any, wb: Any, wc: Any, wd: Any, out: Any) -> None:
    """Add four rows, times their factors, one after the other."""
    for j in range(out.size):
        out[j] = (((out[j] + a * wa[j]) + b * wb[j]) + c * wc[j]) + d * wd[j]


@contracting_function
def add_scaled(factor: Any, row: Any, out: Any) -> None:
    """Add one row, times its factor."""
    for j in range(out.size):
        out[j] += factor * row[j]
