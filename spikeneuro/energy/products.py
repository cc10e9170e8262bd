"""Matrix products and convolutions: where the multiply-accumulates and accumulates are.

Dense counts take every input, padding included: a convolution costs ``outputs * channels_in / groups * kernel``, its
transpose ``inputs * channels_out / groups * kernel``. Effective counts take only products whose activation operand is
not zero (either operand, if both are activations), found exactly.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spikeneuro.energy.provenance import Kind, storage_key
from spikeneuro.energy.rules import Call, Cost, Rule
from spikeneuro.ops.counts import OperationCounts


def product_cost(call: Call, left: Tensor, right: Tensor, dense: int, effective: int, others: OperationCounts) -> Cost:
    """Cost of `dense` and `effective` products of `left` and `right`, plus `others` outside the product."""
    kinds = call.operand_kind(left), call.operand_kind(right)
    field = "acs" if any(kind.is_spike for kind in kinds) else "macs"
    weight = next((storage_key(operand) for operand in (right, left) if call.is_weight(operand)), None)
    return Cost(
        OperationCounts(**{field: dense}) + others,
        OperationCounts(**{field: effective}) + others,
        weight=weight,
        undecided=field == "macs" and Kind.NEUTRAL in kinds and weight is not None,
    )


def _mask(call: Call, tensor: Tensor) -> Tensor:
    """Indicator of the elements that take part; a weight takes part whatever its value."""
    return torch.ones_like(tensor, dtype=torch.bool) if call.is_weight(tensor) else tensor != 0


def _pairs(call: Call, left: Tensor, right: Tensor) -> int:
    """Products ``left[..., i, k] * right[..., k, j]`` in which every activation factor is non-zero."""
    if call.is_weight(right):
        rows = left.numel() if call.is_weight(left) else int(torch.count_nonzero(left))
        return rows * right.shape[-1]
    if call.is_weight(left):
        return int(torch.count_nonzero(right)) * left.shape[-2]
    per_k = (left != 0).sum(-2), (right != 0).sum(-1)
    return int((per_k[0] * per_k[1]).sum())


def _matrix(call: Call, left: Tensor, right: Tensor, others: OperationCounts) -> Cost:
    dense = left.numel() * right.shape[-1]
    return product_cost(call, left, right, dense, _pairs(call, left, right), others)


def _mm(call: Call) -> Cost:
    return _matrix(call, call.args[0], call.args[1], OperationCounts())


def _mv(call: Call) -> Cost:
    return _matrix(call, call.args[0], call.args[1].unsqueeze(-1), OperationCounts())


def _dot(call: Call) -> Cost:
    return _matrix(call, call.args[0].unsqueeze(0), call.args[1].unsqueeze(-1), OperationCounts())


def _scaled_sum(call: Call) -> OperationCounts:
    """Additions and multiplications of ``beta * bias + alpha * product``."""
    beta, alpha = call.arg("beta", 1), call.arg("alpha", 1)
    added = call.size if beta != 0 else 0
    scaled = call.size * ((beta not in (0, 1)) + (alpha != 1))
    return OperationCounts(additions=added, multiplications=scaled)


def _addmm(call: Call) -> Cost:
    return _matrix(call, call.args[1], call.args[2], _scaled_sum(call))


def _event_linear(call: Call) -> Cost:
    others = OperationCounts(additions=call.size if call.arg("bias") is not None else 0)
    return _matrix(call, call.args[0], call.args[1].t(), others)


def _addmv(call: Call) -> Cost:
    return _matrix(call, call.args[1], call.args[2].unsqueeze(-1), _scaled_sum(call))


def window_uses(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """How many (output, tap) pairs of a 1-D convolution use each of `size` input positions."""
    outputs, taps = torch.arange(out), torch.arange(kernel)
    position = (outputs[:, None] * stride + taps * dilation - padding).flatten()
    inside = (position >= 0) & (position < size)
    return torch.bincount(position[inside], minlength=size)


def _transposed_uses(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """How many taps of a 1-D transposed convolution carry each input position to an output that exists."""
    position = torch.arange(size)[:, None] * stride + torch.arange(kernel) * dilation - padding
    return ((position >= 0) & (position < out)).sum(1)


def _convolution(call: Call) -> Cost:
    x, weight = call.arg("input"), call.arg("weight")
    groups, transposed = call.arg("groups", 1), call.arg("transposed", False)
    kernel = math.prod(weight.shape[2:])
    if transposed:
        dense, fan_out = x.numel() * weight.shape[1] * kernel, weight.shape[1]
    else:
        dense, fan_out = call.size * weight.shape[1] * kernel, weight.shape[0] // groups
    if call.is_weight(weight):
        effective = _windowed(call, x, weight, fan_out, transposed)
    else:
        effective = _both_active(call, x, weight)
    bias = OperationCounts(additions=call.size if call.arg("bias") is not None else 0)
    return product_cost(call, x, weight, dense, effective, bias)


def _windowed(call: Call, x: Tensor, weight: Tensor, fan_out: int, transposed: bool) -> int:
    """Non-zero inputs times the weights that each meets, padding and edges taken into account."""
    dims = weight.dim() - 2
    batch_dims = x.dim() - dims
    per_position = _mask(call, x).sum(dim=tuple(range(batch_dims))).cpu()
    uses_of = _transposed_uses if transposed else window_uses
    stride, padding, dilation = (_spread(call.arg(name), dims) for name in ("stride", "padding", "dilation"))
    for axis in range(dims):
        uses = uses_of(
            x.shape[batch_dims + axis],
            call.outputs[0].shape[batch_dims + axis],
            weight.shape[2 + axis],
            stride[axis],
            padding[axis],
            dilation[axis],
        )
        per_position = torch.tensordot(uses, per_position, dims=([0], [0]))
    return int(per_position) * fan_out


def _both_active(call: Call, x: Tensor, weight: Tensor) -> int:
    """The same for a kernel that depends on the input: convolve the two indicators (exact in double precision)."""
    indicators = _mask(call, x).double(), _mask(call, weight).double()
    names = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
    overlap = torch.ops.aten.convolution.default(*indicators, None, *(call.arg(name) for name in names))
    return round(float(overlap.sum()))


def _spread(value: int | list[int], dims: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * dims if len(values) == 1 else values


def _outer(call: Call) -> Cost:
    """One product per element, with no accumulation: `ger`."""
    kind = max(call.kind(call.args[0]), call.kind(call.args[1]))
    selects = any(call.kind(value).is_spike for value in call.args[:2])
    return Cost(OperationCounts(multiplications=0 if selects else call.size), kind=kind)


def _fused_cell(gates: int, additions: int, multiplications: int) -> Rule:
    """Gates of a recurrent cell on a GPU, where they are one kernel; the two products came before it."""

    def handler(call: Call) -> OperationCounts:
        units = call.size
        biases = sum(call.arg(name) is not None for name in ("input_bias", "hidden_bias")) * (3 if gates == 3 else 4)
        # An LSTM applies a fifth function, tanh of the cell; adding the two projections is one addition a gate.
        functions = 5 if gates == 4 else 3
        return OperationCounts(
            additions=(additions + biases) * units,
            multiplications=multiplications * units,
            nonlinearities=functions * units,
        )

    return Rule(handler, "reduce")


RULES: dict[str, Rule] = {
    "aten::mm": Rule(_mm, "product"),
    "aten::bmm": Rule(_mm, "product"),
    "aten::mv": Rule(_mv, "product"),
    "aten::dot": Rule(_dot, "product"),
    "aten::vdot": Rule(_dot, "product"),
    "aten::addmm": Rule(_addmm, "product"),
    "spikeneuro::event_linear": Rule(_event_linear, "product"),
    "aten::addbmm": Rule(_addmm, "product"),
    "aten::baddbmm": Rule(_addmm, "product"),
    "aten::addmv": Rule(_addmv, "product"),
    "aten::convolution": Rule(_convolution, "product"),
    "aten::_convolution": Rule(_convolution, "product"),
    "aten::ger": Rule(_outer, "elementwise"),
    "aten::_thnn_fused_lstm_cell": _fused_cell(4, additions=5, multiplications=3),
    "aten::_thnn_fused_gru_cell": _fused_cell(3, additions=5, multiplications=2),
}
