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


def weight_gradient(g: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """Return ``x.T @ g``, (inputs, outputs)."""
    # Room for the worst case.
    places, values = buffers.empty((x.size,), np.int32), buffers.empty((x.size,), x.dtype)
    ends = np.empty(len(x), np.int64)
    run_blocks(_list_rows, -(-len(x) // _ROWS), x, places, values, ends)
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
        row = x[k if n <= _SAMPLED else int(k * (0.6180339887498949 * n) % n)]
        whole = row.size - row.size % GROUP
        for first in range(0, whole, GROUP):
            found[0] += number_of_bits(bits_of_group(row, first))
        for j in range(whole, row.size):
            found[0] += row[j] != 0


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
def _list_rows(team: Team, first: int, last: int, x: Any, places: Any, values: Any, ends: Any) -> None:
    if not share_out(_list_blocks, team, first, last, (x, places, values, ends)):
        raise MemoryError


@share_function
def _list_blocks(first: int, last: int, x: Any, places: Any, values: Any, ends: Any) -> None:
    """List the inputs of each block of rows one after the other, from the block's own beginning."""
    for block in range(first, last):
        end = block * _ROWS * x.shape[1]
        for m in range(block * _ROWS, min((block + 1) * _ROWS, len(x))):
            last_one = (m + 1) * x.shape[1]
            end += list_inputs(x[m], places[end:last_one], values[end:last_one])
            ends[m] = end


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
        if m % _ROWS == 0:
            begin = m * found.shape[0]
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
