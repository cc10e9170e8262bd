"""What every spiking layer is: a map from sequences to spikes that carries no hidden state."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from spikeneuro.errors import InputError


class LIFResult(NamedTuple):
    """What a spiking layer's `run` gives.

    Parameters
    ----------
    spikes : Tensor
        0 and 1, (time, batch, *features).
    state : NamedTuple
        State after the last step, a `LIFState` or the layer's own; give it to the next `run`.
    traces : dict of str to Tensor
        What was asked for by `record`, each (time, batch, *features).
    """

    spikes: Tensor
    state: Any
    traces: dict[str, Tensor]


class Carry:
    """Where a layer that is called piece by piece finds and leaves its state: ``layer(piece, carry)``.

    A call through the module fires its hooks, which `run` does not.

    Parameters
    ----------
    state : object
        State before the first piece; None at rest.
    """

    def __init__(self, state: Any = None) -> None:
        self.state = state


class SpikingLayer(nn.Module, ABC):
    """Base of layers that emit spikes.

    ``layer(x)`` maps a whole sequence (time, batch, *features) to spikes of the same shape, starts from rest and leaves
    nothing behind. Carrying state is asked for with `run`.

    Parameters
    ----------
    shape : int or sequence of int
        Shape that broadcasts to the features: ``128``, ``(16, 1, 1)``, or ``()`` for any.
    """

    def __init__(self, shape: int | Sequence[int]) -> None:
        super().__init__()
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
            raise InputError(f"shape must be a positive integer or a tuple of them, got {shape!r}.")
        self.shape: tuple[int, ...] = sizes

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Return the spikes of a whole sequence, started from rest.

        Parameters
        ----------
        x : Tensor
            Input current, (time, batch, *features).
        carry : Carry, optional
            Makes `x` a piece of a sequence: its state is taken from here and left here.

        Returns
        -------
        Tensor
            Spikes, same shape.
        """
        if carry is None:
            return self.run(x).spikes
        result = self.run(x, carry.state)
        carry.state = result.state
        return result.spikes

    @abstractmethod
    def run(self, x: Tensor, state: Any = None, record: Sequence[str] = ()) -> LIFResult:
        """Run a piece of a sequence from a given state; see the layer."""

    def check_input(self, x: Tensor) -> None:
        """Raise if `x` is not (time, batch, *features) with features that the layer's shape broadcasts to."""
        features = tuple(x.shape[2:])
        any_shape = not self.shape
        fits = x.dim() >= 3 and (
            any_shape
            or (
                len(features) == len(self.shape)
                and all(mine in (1, theirs) for mine, theirs in zip(self.shape, features, strict=True))
            )
        )
        if not fits:
            expected = ", ".join("*features" if any_shape else str(size) for size in (self.shape or (0,)))
            raise InputError(
                f"{type(self).__name__} expected (time, batch, {expected}), got {tuple(x.shape)}; "
                "signals go through an encoder first."
            )
