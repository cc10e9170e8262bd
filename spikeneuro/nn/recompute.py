"""Training in memory that grows with the square root of the number of steps."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.nn.base import Carry, SpikingLayer
from spikeneuro.nn.over_time import OverTime
from spikeneuro.nn.readouts import Readout

#: Layers of torch that treat every step by itself, whatever the input.
STEPWISE: tuple[type[nn.Module], ...] = (
    nn.Linear, nn.Identity, nn.Dropout, nn.AlphaDropout,
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softplus,
)  # fmt: skip
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Recompute(nn.Module):
    r"""Run a stack of layers in segments of time, and compute each segment again in the backward pass.

    Backpropagation through time keeps what every layer computed at every one of T steps. Here only the states of the
    neurons between S segments are kept; the backward pass goes through the segments from the last to the first and
    computes each anew, for the price of one more forward pass. What is kept grows as :math:`S + T / S`, least at
    :math:`S = \sqrt{T}`, besides the input and an output for every step, if there is one. With a readout at the end of
    the stack there is none.

    The result and its gradients are those of the plain stack, up to the rounding of sums that are cut differently.
    Dropout draws other masks than in the plain stack, and the same ones again in the backward pass. Hooks of the layers
    fire for every segment, and in the backward pass once more. Without gradients nothing is computed twice.

    Parameters
    ----------
    layers : nn.Module
        One layer, or an `nn.Sequential` of `nn.Linear`, `OverTime`, element-wise activations, normalisation or dropout
        and spiking layers, in any order and nesting, with a readout at most at the end.
    segments : int or "sqrt", default "sqrt"
        Number of segments; no more than there are steps.

    Raises
    ------
    InputError
        For a layer that looks across time, which cannot be cut. Layers that know no time belong inside `OverTime`.
        When called: for batch normalisation in training mode, whose statistics are those of the whole sequence.

    References
    ----------
    Chen et al. (2016), arXiv:1604.06174; Gruslys et al. (2016), arXiv:1606.03401.

    Examples
    --------
    >>> from spikeneuro.nn import LIF, RateReadout
    >>> stack = nn.Sequential(nn.Linear(3, 8), LIF(8), nn.Linear(8, 2), LIF(2), RateReadout())
    >>> x = torch.rand(100, 4, 3)
    >>> torch.allclose(Recompute(stack)(x), stack(x))
    True
    """

    def __init__(self, layers: nn.Module, segments: int | str = "sqrt") -> None:
        super().__init__()
        self.layers = layers
        self.segments = check_segments(segments)
        _elements(layers)  # raises for what cannot be cut

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the stack.

        Parameters
        ----------
        x : Tensor
            Sequence, (time, batch, *features).

        Returns
        -------
        Tensor
            Sequence, (time, batch, *other features), or what the readout at the end makes of it.
        """
        return in_segments(self.layers, x, self.segments)

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"segments={self.segments!r}"


def in_segments(layers: nn.Module | Sequence[nn.Module], x: Tensor, segments: int | str = "sqrt") -> Tensor:
    """Run `layers` on `x` as `Recompute` does, which see.

    Parameters
    ----------
    layers : nn.Module or sequence of nn.Module
        One layer, an `nn.Sequential` or the layers themselves.
    x : Tensor
        Sequence, (time, batch, *features).
    segments : int or "sqrt"
        Number of segments.

    Returns
    -------
    Tensor
        Output of the layers.

    Raises
    ------
    InputError
        As for `Recompute`.
    """
    elements = _elements(layers)
    if x.dim() < 3 or x.shape[0] == 0:
        raise InputError(
            f"Recompute expected (time, batch, *features) with at least one step, got {tuple(x.shape)}; "
            "signals go through an encoder first."
        )
    _check_statistics(elements)
    pieces = x.split(_lengths(x.shape[0], check_segments(segments)))
    states: Sequence[Any] = [None] * len(elements)
    last = elements[-1]
    summarised = isinstance(last, Readout) and not last.sequence
    outputs: list[Tensor] = []
    for piece in pieces:
        if torch.is_grad_enabled():
            output, states = checkpoint(_run, elements, piece, states, use_reentrant=False)
        else:
            output, states = _run(elements, piece, states)
        outputs = [output] if summarised else [*outputs, output]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def check_segments(segments: int | str) -> int | str:
    """Return `segments` if it is a positive integer or "sqrt"."""
    if isinstance(segments, str):
        if segments != "sqrt":
            raise InputError(f"segments must be a number or 'sqrt', got {segments!r}.")
        return segments
    return int(check_number(segments, "segments", low=1, integer=True))


def _run(elements: Sequence[nn.Module], x: Tensor, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
    """One segment: output, and the state of each layer after it."""
    after: list[Any] = []
    for element, state in zip(elements, states, strict=True):
        if isinstance(element, SpikingLayer | Readout):
            carry = Carry(state)
            x = element(x, carry)
            after.append(carry.state)
        else:
            x = element(x)
            after.append(None)
    return x, after


def _lengths(steps: int, segments: int | str) -> list[int]:
    """Lengths of the segments, as equal as can be."""
    wanted = round(math.sqrt(steps)) if isinstance(segments, str) else segments
    count = min(max(wanted, 1), steps)
    return [steps // count + (index < steps % count) for index in range(count)]


def _elements(layers: nn.Module | Sequence[nn.Module]) -> list[nn.Module]:
    """Layers of a stack in their order; raises for one that cannot be cut in time."""
    if isinstance(layers, nn.Module):
        named = list(_flat(layers, ""))
    else:
        named = [pair for index, layer in enumerate(layers) for pair in _flat(layer, str(index))]
    if not named:
        raise InputError("Recompute needs at least one layer, got none.")
    for position, (name, element) in enumerate(named):
        where = f"{type(element).__name__}" + (f" (layer {name})" if name else "")
        if isinstance(element, Readout) and position < len(named) - 1:
            raise InputError(f"Recompute: the readout {where} must be the last layer of the stack.")
        if not (isinstance(element, SpikingLayer | OverTime | Readout) or _is_stepwise(element)):
            raise InputError(
                f"Recompute cannot cut {where} in time; put a layer that knows no time inside nn.OverTime, "
                "and leave one that looks across time outside the stack."
            )
    return [element for _, element in named]


def _flat(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for child, inner in module.named_children():
            yield from _flat(inner, f"{name}.{child}" if name else child)
    else:
        yield name, module


def _is_stepwise(module: nn.Module) -> bool:
    # Normalisation over trailing axes needs sizes of its own, so that it cannot reach the time axis unnoticed.
    if isinstance(module, nn.Flatten):
        return module.start_dim >= 2
    return isinstance(module, (*STEPWISE, nn.LayerNorm, nn.RMSNorm))


def _check_statistics(elements: Sequence[nn.Module]) -> None:
    for element in elements:
        for inner in element.modules():
            if isinstance(inner, _BATCH_NORMS) and (inner.training or inner.running_mean is None):
                raise InputError(
                    f"Recompute: {type(inner).__name__} in training mode takes its statistics over the whole sequence, "
                    "which segments do not see; use nn.LayerNorm, or GroupNorm inside OverTime."
                )
