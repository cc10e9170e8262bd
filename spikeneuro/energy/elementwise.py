"""Operations that work element by element.

All elements are counted, dense and effective alike. A product with a spike operand selects and multiplies nothing;
a division by a constant is a multiplication; one function evaluation is one "nonlinearity" whatever the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from spikeneuro.energy.provenance import Kind, Origin
from spikeneuro.energy.rules import Call, Cost, Rule
from spikeneuro.ops.counts import OperationCounts


def per_element(keep: bool = False, kind: Kind | None = None, **counts: int) -> Callable[[Call], Cost]:
    """Rule with fixed `counts` per element of the result, which keeps its operands' kind or has a given one."""

    def handler(call: Call) -> Cost:
        given = call.mixed_kind() if keep else Kind.GRADED if kind is None else kind
        return Cost(OperationCounts(**{name: number * call.size for name, number in counts.items()}), kind=given)

    return handler


def _operands(call: Call) -> tuple[Any, Any]:
    return call.args[0], call.args[1] if len(call.args) > 1 else call.arg("other")


def _add(call: Call) -> Cost:
    scaled = call.arg("alpha", 1) != 1
    return Cost(OperationCounts(additions=call.size, multiplications=call.size * scaled))


def _sub(call: Call) -> Cost:
    """Difference; that of two spike trains is a signed one, and a spike train's complement is one."""
    left, right = _operands(call)
    if call.name.startswith("aten::rsub"):
        left, right = right, left
    scaled = call.arg("alpha", 1) != 1
    kinds = call.kind(left), call.kind(right)
    kind = Kind.GRADED
    if not scaled and Kind.BINARY in kinds and max(kinds) is Kind.BINARY:
        complement = not isinstance(left, torch.Tensor) and left == 1
        kind = Kind.BINARY if complement else Kind.SIGNED
    return Cost(OperationCounts(additions=call.size, multiplications=call.size * scaled), kind=kind)


def _mul(call: Call) -> Cost:
    kinds = [call.kind(value) for value in _operands(call)]
    selects = any(kind.is_spike for kind in kinds)
    return Cost(OperationCounts(multiplications=0 if selects else call.size), kind=max(kinds))


def _is_constant(call: Call, value: Any) -> bool:
    if not isinstance(value, torch.Tensor):
        return True
    return value.numel() == 1 and call.tag(value).origin is not Origin.ACTIVATION


def _div(call: Call) -> Cost:
    left, right = _operands(call)
    constant = _is_constant(call, right)
    keeps = not isinstance(right, torch.Tensor) and right == 1 and call.arg("rounding_mode") is None
    counts = OperationCounts(multiplications=call.size) if constant else OperationCounts(divisions=call.size)
    rounding = OperationCounts(comparisons=call.size if call.arg("rounding_mode") else 0)
    return Cost(counts + rounding, kind=call.kind(left) if keeps else Kind.GRADED)


def _pow(call: Call) -> Cost:
    """Powers of spikes are spikes; squares and cubes are products; other powers are function evaluations."""
    base, exponent = _operands(call)
    if isinstance(exponent, torch.Tensor) or isinstance(base, (int, float)):
        return Cost(OperationCounts(nonlinearities=call.size))
    if exponent in (1, 2, 3):
        kind = call.kind(base)
        if kind.is_spike:
            return Cost(OperationCounts(), kind=Kind.BINARY if exponent == 2 else kind)
        return Cost(OperationCounts(multiplications=(int(exponent) - 1) * call.size), kind=kind)
    if exponent == -1:
        return Cost(OperationCounts(divisions=call.size))
    return Cost(OperationCounts(nonlinearities=call.size))


def _relu(call: Call) -> Cost:
    kind = call.mixed_kind()
    return Cost(OperationCounts(comparisons=call.size), kind=Kind.BINARY if kind is Kind.SIGNED else kind)


def _leaky(call: Call) -> Cost:
    return Cost(OperationCounts(comparisons=call.size, multiplications=call.size))


def _clamp(call: Call) -> Cost:
    """Clipping compares once per bound; bounds that contain 0 and 1 (and -1 for signed spikes) change no spike."""
    bounds = [call.arg("min", call.arg("min_val")), call.arg("max", call.arg("max_val"))]
    if call.name.startswith("aten::clamp_min"):
        bounds = [_operands(call)[1], None]
    elif call.name.startswith("aten::clamp_max"):
        bounds = [None, _operands(call)[1]]
    low, high = bounds
    kind = call.kind(call.args[0])
    lowest = -1 if kind is Kind.SIGNED else 0
    if any(isinstance(bound, torch.Tensor) for bound in bounds) or _clips(low, high, lowest):
        kind = Kind.GRADED
    return Cost(OperationCounts(comparisons=call.size * sum(bound is not None for bound in bounds)), kind=kind)


def _clips(low: float | None, high: float | None, lowest: int) -> bool:
    return (low is not None and low > lowest) or (high is not None and high < 1)


def _where(call: Call) -> Cost:
    """`where`: values of the operands; a choice between 0 and 1 that the input makes is a spike."""
    return Cost(OperationCounts(), kind=_chosen(call, call.arg("condition"), [call.arg("self"), call.arg("other")]))


def _fill(call: Call) -> Cost:
    """`masked_fill`: the operand's values and one constant, chosen by a mask."""
    return Cost(OperationCounts(), kind=_chosen(call, call.arg("mask"), [call.arg("self"), call.arg("value")]))


def _chosen(call: Call, condition: Any, values: list[Any]) -> Kind:
    kind = max(call.kind(value) for value in values)
    by_input = isinstance(condition, torch.Tensor) and call.tag(condition).origin is Origin.ACTIVATION
    return Kind.BINARY if kind is Kind.NEUTRAL and by_input else kind


def _multiply_add(call: Call) -> Cost:
    """`addcmul`, `addcdiv` and `lerp`: a scaled product (quotient) added to a third operand."""
    n = call.size
    if call.name.startswith("aten::lerp"):
        return Cost(OperationCounts(additions=2 * n, multiplications=n))
    scaled = n * (call.arg("value", 1) != 1)
    if call.name.startswith("aten::addcdiv"):
        return Cost(OperationCounts(additions=n, divisions=n, multiplications=scaled))
    return Cost(OperationCounts(additions=n, multiplications=n + scaled))


def _heaviside(call: Call) -> Cost:
    at_zero = call.kind(call.args[1])
    return Cost(OperationCounts(comparisons=call.size), kind=Kind.BINARY if at_zero <= Kind.BINARY else Kind.GRADED)


def _abs(call: Call) -> Cost:
    kind = call.mixed_kind()
    return Cost(OperationCounts(), kind=Kind.BINARY if kind is Kind.SIGNED else kind)


def _neg(call: Call) -> Cost:
    kind = call.mixed_kind()
    return Cost(OperationCounts(), kind=Kind.SIGNED if kind.is_spike else kind)


_FUNCTIONS = (
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh "
    "sigmoid log_sigmoid_forward erf erfc erfinv gelu elu selu celu mish softplus lgamma digamma logit special_expit "
    "xlogy special_xlogy hypot special_log_ndtr special_ndtr sinc special_i0 rrelu_with_noise"
)
_COMPARISONS = "gt ge lt le eq ne isnan isinf isfinite isposinf isneginf signbit isin"
_LOGIC = (
    "logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor "
    "__and__ __or__ __xor__ __iand__ __ior__ __ixor__"
)
_ROUNDING = "round floor ceil trunc frac"
_EXTREMES = "maximum minimum fmax fmin"
_DRAWS = "rand randn rand_like randn_like randint randint_like random normal uniform exponential poisson randperm"


def _rules(names: str, handler: Callable[[Call], Cost], memory: Any = "elementwise") -> dict[str, Rule]:
    return {f"aten::{name}": Rule(handler, memory) for name in names.split()}


RULES: dict[str, Rule] = {
    **_rules("add", _add),
    **_rules("sub rsub", _sub),
    **_rules("mul", _mul),
    **_rules("div", _div),
    **_rules("reciprocal", per_element(divisions=1)),
    **_rules("remainder fmod floor_divide", per_element(divisions=1)),
    **_rules("square", per_element(multiplications=1)),
    **_rules("pow", _pow),
    **_rules("neg", _neg),
    **_rules("abs", _abs),
    **_rules(_FUNCTIONS, per_element(nonlinearities=1)),
    **_rules("silu", per_element(nonlinearities=1, multiplications=1)),
    **_rules("glu", per_element(nonlinearities=1, multiplications=1)),
    **_rules("relu", _relu),
    **_rules("leaky_relu _prelu_kernel", _leaky),
    **_rules("threshold hardshrink", per_element(comparisons=1)),
    **_rules("softshrink", per_element(comparisons=2, additions=1)),
    **_rules("clamp clamp_min clamp_max hardtanh", _clamp),
    **_rules("hardsigmoid", per_element(comparisons=2, additions=1, multiplications=1)),
    **_rules("hardswish", per_element(comparisons=2, additions=1, multiplications=2)),
    **_rules(_COMPARISONS, per_element(kind=Kind.BINARY, comparisons=1)),
    **_rules(_LOGIC, per_element(keep=True)),
    **_rules("sign sgn", per_element(kind=Kind.SIGNED, comparisons=1)),
    **_rules("heaviside", _heaviside),
    **_rules(_ROUNDING, per_element(keep=True, comparisons=1)),
    **_rules(_EXTREMES, per_element(keep=True, comparisons=1)),
    **_rules("addcmul addcdiv lerp", _multiply_add),
    **_rules("where", _where),
    **_rules("masked_fill", _fill),
    **_rules("bernoulli", per_element(kind=Kind.BINARY, nonlinearities=1, comparisons=1)),
    **_rules(_DRAWS, per_element(nonlinearities=1)),
}
