"""Spike traces: what a synapse remembers of the spikes on one of its sides."""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

KINDS = ("sum", "nearest", "elapsed")


class Trace(NamedTuple):
    r"""A memory of the spikes of one side, as a rule declares it.

    With :math:`\lambda = \exp(-dt / \tau)` and the spikes s, the value before and after the spikes of step t are

    .. math::

        x^-_t &= \lambda \, x^+_{t-1} \\
        x^+_t &= x^-_t + s_t \quad \text{("sum")}, \qquad x^+_t = \max(x^-_t, s_t) \quad \text{("nearest")}

    so that "sum" sums over all earlier spikes and "nearest" knows the last one only. "elapsed" counts the steps since
    the last spike: infinite before the first, 0 at a spike.

    Parameters
    ----------
    side : {"pre", "post"}
        Whose spikes.
    kind : {"sum", "nearest", "elapsed"}
        What is remembered.
    tau : float or Tensor
        Time constant in seconds, a number or a tensor that broadcasts over the weights; not used by "elapsed".
    """

    side: str
    kind: str
    tau: float | Tensor = math.inf


def at_rest(kind: str, like: Tensor) -> Tensor:
    """Value after the spikes of a step long ago."""
    return torch.full_like(like, math.inf) if kind == "elapsed" else torch.zeros_like(like)


def before(kind: str, value: Tensor, decay: Tensor) -> Tensor:
    """Value one step later, before its spikes."""
    return value + 1.0 if kind == "elapsed" else value * decay


def after(kind: str, value: Tensor, spikes: Tensor) -> Tensor:
    """Value after the spikes of its step."""
    if kind == "sum":
        return value + spikes
    if kind == "nearest":
        return torch.maximum(value, spikes)
    return value.masked_fill(spikes > 0, 0.0)


def scan(kind: str, spikes: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """Values before and after the spikes of every step of a sequence that starts from rest, (time, ...) each.

    The loop over time does this alone, in place; everything made of traces is computed for all steps at once.
    """
    values = spikes.clone()
    steps = values.unbind(0)
    if kind == "elapsed":
        steps[0].copy_(after(kind, at_rest(kind, steps[0]), steps[0]))
    for last, now in pairwise(steps):
        if kind == "sum":
            now.addcmul_(last, decay)
        else:
            now.copy_(after(kind, before(kind, last, decay), now))
    earlier = torch.cat([at_rest(kind, spikes[:1]), values[:-1]])
    return before(kind, earlier, decay), values
