"""Sums, extremes, softmax, pooling and normalisation: operations that combine elements without weights."""

from __future__ import annotations

import math
from collections.abc import Callable

from spikeneuro.energy.provenance import Kind
from spikeneuro.energy.rules import Call, Cost, Rule
from spikeneuro.ops.counts import OperationCounts


def _groups(call: Call) -> tuple[int, int]:
    """Elements that go in and results that come out of a reduction."""
    return call.tensors[0].numel(), call.size


def _sum(call: Call) -> OperationCounts:
    inside, out = _groups(call)
    return OperationCounts(additions=max(inside - out, 0))


def _mean(call: Call) -> OperationCounts:
    return _sum(call) + OperationCounts(multiplications=call.size)


def _count_nonzero(call: Call) -> OperationCounts:
    inside, out = _groups(call)
    return OperationCounts(comparisons=inside, additions=max(inside - out, 0))


def _renorm(call: Call) -> OperationCounts:
    """Rows divided by their Euclidean norm, with (`renorm`) or without a limit (weight normalisation)."""
    x = call.tensors[0]
    rows = x.shape[call.arg("dim")]
    clipped = call.name.startswith("aten::renorm")
    return OperationCounts(
        additions=x.numel() - rows,
        multiplications=2 * x.numel(),
        nonlinearities=rows,
        divisions=rows,
        comparisons=rows if clipped else 0,
    )


def _extreme(call: Call) -> Cost:
    """Maximum or minimum, with or without its position; the value is one of the operand's."""
    inside, out = _groups(call)
    position_only = call.name.startswith("aten::arg")
    kind = Kind.GRADED if position_only else call.mixed_kind()
    if len(call.tensors) == 2:  # the element-wise form of max and min
        return Cost(OperationCounts(comparisons=out), kind=kind)
    return Cost(OperationCounts(comparisons=max(inside - out, 0)), kind=kind)


def _product(call: Call) -> Cost:
    inside, out = _groups(call)
    kind = call.mixed_kind()
    return Cost(OperationCounts(multiplications=0 if kind.is_spike else inside - out), kind=kind)


def _any_all(_: Call) -> Cost:
    return Cost(OperationCounts(), kind=Kind.BINARY)


def _variance(call: Call) -> OperationCounts:
    """Two passes: mean, then sum of squared differences; `std` adds a square root, `var_mean` returns both."""
    inside = call.tensors[0].numel()
    out = call.size
    root = out if "std" in call.name else 0
    return OperationCounts(additions=3 * inside - 2 * out, multiplications=inside + 2 * out, nonlinearities=root)


def _norm(call: Call) -> OperationCounts:
    """Vector norms of order 1, 2 and infinity; others raise every element to a power."""
    inside, out = _groups(call)
    order = call.arg("ord", call.arg("p", 2))
    order = 2 if order is None else order
    added = max(inside - out, 0)
    if order == 2:
        return OperationCounts(additions=added, multiplications=inside, nonlinearities=out)
    if order == 1:
        return OperationCounts(additions=added)
    if math.isinf(order):
        return OperationCounts(comparisons=added)
    return OperationCounts(additions=added, nonlinearities=inside + out)


def _scan(call: Call) -> OperationCounts:
    """Cumulative sums and products: one operation per element after the first of each row."""
    x = call.tensors[0]
    length = x.shape[call.arg("dim")] if x.dim() else 1
    steps = x.numel() - x.numel() // max(length, 1)
    return OperationCounts(**{"multiplications" if "prod" in call.name else "additions": steps})


def _softmax(call: Call) -> OperationCounts:
    """Maximum, differences, exponentials, their sum, quotients (or, for its logarithm, one log and differences)."""
    x = call.tensors[0]
    length = x.shape[call.arg("dim")] if x.dim() else 1
    n, rows = x.numel(), x.numel() // max(length, 1)
    if "log_softmax" in call.name:
        return OperationCounts(comparisons=n - rows, additions=3 * n - rows, nonlinearities=n + rows)
    return OperationCounts(comparisons=n - rows, additions=2 * n - rows, nonlinearities=n, divisions=n)


def _logsumexp(call: Call) -> OperationCounts:
    inside, out = _groups(call)
    return OperationCounts(comparisons=inside - out, additions=2 * inside, nonlinearities=inside + out)


def _window(call: Call) -> int:
    """Elements in one pooling window."""
    kernel = call.arg("kernel_size")
    if isinstance(kernel, int):
        return kernel
    dims = int(call.name.split("d_with")[0].rstrip("d")[-1]) if len(kernel) == 1 else len(kernel)
    return math.prod(kernel) if len(kernel) == dims else int(kernel[0]) ** dims


def _max_pool(call: Call) -> Cost:
    return Cost(OperationCounts(comparisons=(_window(call) - 1) * call.size), kind=call.mixed_kind())


def _avg_pool(call: Call) -> OperationCounts:
    """Sum of each window (padding included) and one multiplication by the constant 1 / size."""
    return OperationCounts(additions=(_window(call) - 1) * call.size, multiplications=call.size)


def _adaptive_windows(call: Call, dims: int) -> int:
    """Elements summed over all windows of an adaptive pooling."""
    x, out = call.tensors[0], call.outputs[0]
    total = math.prod(x.shape[: x.dim() - dims])
    for axis in range(-dims, 0):
        n, m = x.shape[axis], out.shape[axis]
        total *= sum(-(-(i + 1) * n // m) - i * n // m for i in range(m))
    return total


def _adaptive_avg(dims: int) -> Callable[[Call], OperationCounts]:
    def handler(call: Call) -> OperationCounts:
        return OperationCounts(additions=_adaptive_windows(call, dims) - call.size, multiplications=call.size)

    return handler


def _adaptive_max(dims: int) -> Callable[[Call], Cost]:
    def handler(call: Call) -> Cost:
        compared = _adaptive_windows(call, dims) - call.size
        return Cost(OperationCounts(comparisons=compared), kind=call.mixed_kind())

    return handler


def _statistics(elements: int, rows: int) -> OperationCounts:
    """Mean, variance and reciprocal deviation of `rows` rows that hold `elements` elements in all."""
    return OperationCounts(additions=3 * elements - rows, multiplications=elements + 2 * rows, nonlinearities=rows)


def _affine(call: Call, elements: int) -> OperationCounts:
    return OperationCounts(
        multiplications=elements * (call.arg("weight") is not None), additions=elements * (call.arg("bias") is not None)
    )


def _batch_norm(call: Call) -> OperationCounts:
    """With stored statistics one multiplication and one addition per element (the constants are known before)."""
    n = call.size
    if "_no_" in call.name or call.arg("training", True) is False:
        return OperationCounts(multiplications=n, additions=n)
    channels = call.tensors[0].shape[1]
    return _statistics(n, channels) + OperationCounts(multiplications=n) + _affine(call, n)


def _layer_norm(call: Call) -> OperationCounts:
    rows = call.size // max(math.prod(call.arg("normalized_shape")), 1)
    return _statistics(call.size, rows) + OperationCounts(multiplications=call.size) + _affine(call, call.size)


def _group_norm(call: Call) -> OperationCounts:
    rows = call.arg("N") * call.arg("group")
    return _statistics(call.size, rows) + OperationCounts(multiplications=call.size) + _affine(call, call.size)


def _rms_norm(call: Call) -> OperationCounts:
    rows = call.size // max(math.prod(call.arg("normalized_shape")), 1)
    n = call.size
    mean_square = OperationCounts(multiplications=n + rows, additions=n, nonlinearities=rows)
    return mean_square + OperationCounts(multiplications=n) + _affine(call, n)


def _interpolation(additions: int, multiplications: int) -> Callable[[Call], OperationCounts]:
    def handler(call: Call) -> OperationCounts:
        return OperationCounts(additions=additions * call.size, multiplications=multiplications * call.size)

    return handler


def _sort(call: Call) -> Cost:
    """Comparison sort of rows of n elements: n * ceil(log2 n) comparisons."""
    x = call.tensors[0]
    length = x.shape[call.arg("dim", -1)] if x.dim() else 1
    depth = max(length - 1, 0).bit_length()
    return Cost(OperationCounts(comparisons=x.numel() * depth), kind=call.mixed_kind())


def _rules(names: str, handler: Callable[[Call], Cost | OperationCounts]) -> dict[str, Rule]:
    return {f"aten::{name}": Rule(handler, "reduce") for name in names.split()}


RULES: dict[str, Rule] = {
    **_rules("sum nansum", _sum),
    **_rules("mean", _mean),
    **_rules("count_nonzero", _count_nonzero),
    **_rules("renorm _weight_norm_interface", _renorm),
    **_rules("amax amin max min argmax argmin", _extreme),
    **_rules("prod", _product),
    **_rules("any all", _any_all),
    **_rules("var std var_mean std_mean", _variance),
    **_rules("norm linalg_vector_norm", _norm),
    **_rules("cumsum cumprod", _scan),
    **_rules("_softmax _safe_softmax _log_softmax", _softmax),
    **_rules("logsumexp", _logsumexp),
    **_rules("max_pool2d_with_indices max_pool3d_with_indices", _max_pool),
    **_rules("avg_pool1d avg_pool2d avg_pool3d", _avg_pool),
    **_rules("_adaptive_avg_pool2d", _adaptive_avg(2)),
    **_rules("_adaptive_avg_pool3d", _adaptive_avg(3)),
    **_rules("adaptive_max_pool2d", _adaptive_max(2)),
    **_rules("adaptive_max_pool3d", _adaptive_max(3)),
    **_rules(
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
        "_batch_norm_no_update",
        _batch_norm,
    ),
    **_rules("native_layer_norm", _layer_norm),
    **_rules("native_group_norm", _group_norm),
    **_rules("_fused_rms_norm rms_norm", _rms_norm),
    **_rules("upsample_linear1d", _interpolation(additions=1, multiplications=2)),
    **_rules("upsample_bilinear2d", _interpolation(additions=3, multiplications=4)),
    **_rules("upsample_trilinear3d", _interpolation(additions=7, multiplications=8)),
    **_rules("sort topk", _sort),
}
