"""Products of a vector in registers with recurrent weights, for the GPU kernels.

One program has one sample: the product is a weighted sum of rows, in full precision. As many rows as fit stay in
registers over the whole sequence; the others are read again at every step, from the first-level cache as long as they
fit into it (256 neurons in float32), from the second-level cache beyond.
"""

from typing import Any

import triton
import triton.language as tl


@triton.jit
def rows_at(weight: "Any", before: "Any", n: "Any", like: "Any", shape: tl.constexpr) -> "Any":
    """Rows `before` of an (n, n) matrix, padded with zeros."""
    after = tl.arange(0, shape.block)
    inside = (before < n)[:, None] & (after < n)[None, :]
    return tl.load(weight + before[:, None] * n + after[None, :], mask=inside, other=0.0).to(like.dtype)


@triton.jit
def kept_rows(weight: "Any", n: "Any", like: "Any", shape: tl.constexpr) -> "Any":
    """Rows that stay in registers; where none does, anything."""
    return rows_at(weight, tl.arange(0, shape.kept), n, like, shape) if shape.kept > 0 else like


@triton.jit
def product(values: "Any", kept: "Any", weight: "Any", n: "Any", shape: tl.constexpr) -> "Any":
    """Return ``values @ weight``, `values` being one number per row."""
    total = tl.zeros_like(values)
    if shape.kept == shape.block:
        total += tl.sum(values[:, None] * kept, axis=0)
    elif shape.kept > 0:
        total += tl.sum(tl.gather(values, tl.arange(0, shape.kept), 0)[:, None] * kept, axis=0)
    if shape.kept < shape.block:
        for first in tl.range(shape.kept, shape.block, shape.tile):
            before = first + tl.arange(0, shape.tile)
            rows = rows_at(weight, before, n, values, shape)
            total += tl.sum(tl.gather(values, before, 0)[:, None] * rows, axis=0)
    return total
