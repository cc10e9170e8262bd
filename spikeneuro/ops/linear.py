"""Linear maps of spikes: products that touch only the weights of neurons that fired."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from spikeneuro.errors import InputError
from spikeneuro.ops import registration

#: Share of inputs that are not zero up to which adding rows beats the dense product, and the fewest outputs for which
#: a row is long enough (benchmarks/speed; both products and both sizes were measured on two cores).
EVENTS_UP_TO = 0.2
FEWEST_OUTPUTS = 32
_FEWEST_PRODUCTS = 2**22  # below, the dense product takes less time than a look at the spikes


def event_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Linear map ``y = x @ weight.T + bias`` that skips inputs which are zero, where that is faster.

    Where few neurons fire, the product and the gradient of the weights add the weights' rows (and the output's
    gradient) of the neurons that did, instead of multiplying by zeros. Chosen in each call, by a sample of rows: at
    most a fifth of the inputs differ from zero, the layer has at least 32 outputs, the dense product would take at
    least four million multiplications, and the input is on the CPU in single or double precision. Otherwise, and for
    the gradient of the input, it is torch's dense product. The two differ in the order of summation, so by rounding;
    and a weight that is not finite does not show where its input is 0.

    Parameters
    ----------
    x : Tensor
        Spikes, 0 and 1 or graded, (..., inputs).
    weight : Tensor
        Weights, (outputs, inputs).
    bias : Tensor, optional
        Added to each output, (outputs,).

    Returns
    -------
    Tensor
        (..., outputs).

    Raises
    ------
    InputError
        For shapes that do not fit.

    Examples
    --------
    >>> spikes = torch.tensor([[0.0, 1.0, 0.0]])
    >>> event_linear(spikes, torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2.]])
    """
    if weight.dim() != 2 or x.dim() < 1 or x.shape[-1] != weight.shape[1]:
        raise InputError(
            f"an input of shape {tuple(x.shape)} does not end in the {weight.shape[-1]} inputs of weights of shape "
            f"{tuple(weight.shape)}."
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise InputError(f"a bias of shape {tuple(bias.shape)} does not fit {weight.shape[0]} outputs.")
    small = x.numel() * weight.shape[0] < _FEWEST_PRODUCTS or weight.shape[0] < FEWEST_OUTPUTS
    mixed = any(tensor.dtype != x.dtype for tensor in (weight, bias) if tensor is not None)
    mixed = mixed or torch.is_autocast_enabled(x.device.type)
    if small or mixed or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return functional.linear(x, weight, bias)
    result: Tensor = torch.ops.spikeneuro.event_linear(x, weight, bias)
    return result


def weight_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """Gradient of the weights of a linear map, (outputs, inputs), by events where few inputs differ from zero.

    Parameters
    ----------
    gradient : Tensor
        Gradient of the output, (rows, outputs).
    x : Tensor
        Input, (rows, inputs).

    Returns
    -------
    Tensor
        ``gradient.T @ x``.
    """
    from spikeneuro.ops import numba_linear

    outputs, array = gradient.shape[1], x.detach().contiguous().numpy()
    if outputs < FEWEST_OUTPUTS or x.numel() * outputs < max(_FEWEST_PRODUCTS, 1):  # 1: there may be no row
        return gradient.t() @ x
    ends = numba_linear.row_ends(array)
    if int(ends[-1]) > EVENTS_UP_TO * x.numel():
        return gradient.t() @ x
    return torch.from_numpy(numba_linear.weight_gradient(gradient.detach().contiguous().numpy(), array, ends)).t()


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    from spikeneuro.ops import buffers, numba_linear

    rows = x.detach().reshape(-1, x.shape[-1]).contiguous().numpy()
    if numba_linear.density(rows) > EVENTS_UP_TO:
        return functional.linear(x, weight, bias)
    added = weight.new_zeros(weight.shape[0]) if bias is None else bias.detach().contiguous()
    y = buffers.empty((len(rows), weight.shape[0]), rows.dtype)
    numba_linear.product(rows, weight.detach().t().contiguous().numpy(), added.numpy(), y)
    return torch.from_numpy(y).reshape(*x.shape[:-1], weight.shape[0])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch calls it so
    x, weight, _ = inputs
    ctx.save_for_backward(x if weight.requires_grad else None, weight if x.requires_grad else None)


def _backward(ctx: Any, gradient: Tensor) -> Sequence[Tensor | None]:
    x, weight = ctx.saved_tensors
    flat = gradient.reshape(-1, gradient.shape[-1])
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad[1:]
    return (
        gradient @ weight if needs_x else None,
        torch.ops.spikeneuro.event_linear_weight(flat, x.reshape(-1, x.shape[-1])) if needs_weight else None,
        flat.sum(0) if needs_bias else None,
    )


event_linear_op = registration.define(
    "event_linear", "(Tensor x, Tensor weight, Tensor? bias) -> Tensor", _forward,
    lambda x, weight, _bias: x.new_empty((*x.shape[:-1], weight.shape[0])),
)  # fmt: skip
event_linear_weight_op = registration.define(
    "event_linear_weight", "(Tensor gradient, Tensor x) -> Tensor",
    lambda gradient, x: weight_gradient(gradient, x).contiguous(),
    lambda gradient, x: x.new_empty((gradient.shape[1], x.shape[1])),
)  # fmt: skip
registration.differentiate(event_linear_op, _save, _backward)
