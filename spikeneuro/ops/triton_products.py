"""Products of a vector in registers with recurrent weights, for the GPU kernels.

One program has one sample: the product is a weighted sum of rows, in full precision. As many rows as fit stay in
registers over the whole sequence; the others are read again at every step, from the first-level cache as long as they
fit into it (256 neurons in float32), from the second-level cache beyond.
"""

from typing import Any

import triton
import triton.language as tl


@triton.jit
def rows_at(weight: Any, before: Any, n: Any, like: Any, BLOCK: tl.constexpr) -> Any:
    """Rows `before` of an (n, n) matrix, padded with zeros."""
    after = tl.arange(0, BLOCK)
    inside = (before < n)[:, None] & (after < n)[None, :]
    return tl.load(weight + before[:, None] * n + after[None, :], mask=inside, other=0.0).to(like.dtype)


@triton.jit
def kept_rows(weight: Any, n: Any, like: Any, BLOCK: tl.constexpr, KEPT: tl.constexpr) -> Any:
    """Rows that stay in registers; one row of zeros where none does."""
    if KEPT > 0:
        rows = rows_at(weight, tl.arange(0, KEPT), n, like, BLOCK)
    else:
        rows = tl.zeros((1, BLOCK), like.dtype)
    return rows


@triton.jit
def product(
    values: Any, kept: Any, weight: Any, n: Any, BLOCK: tl.constexpr, KEPT: tl.constexpr, TILE: tl.constexpr
) -> Any:
    """Return ``values @ weight``, `values` being one number per row."""
    total = tl.zeros_like(values)
    if KEPT == BLOCK:
        total += tl.sum(values[:, None] * kept, axis=0)
    elif KEPT > 0:
        total += tl.sum(tl.gather(values, tl.arange(0, KEPT), 0)[:, None] * kept, axis=0)
    if KEPT < BLOCK:
        for first in tl.range(KEPT, BLOCK, TILE):
            before = first + tl.arange(0, TILE)
            total += tl.sum(tl.gather(values, before, 0)[:, None] * rows_at(weight, before, n, values, BLOCK), axis=0)
    return total
