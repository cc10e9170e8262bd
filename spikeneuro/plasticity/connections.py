"""Connections: views on the weights between two groups of neurons, which a rule of plasticity changes.

A connection knows which synapse joins which two neurons, and nothing of learning; a rule knows how the spikes on both
sides of a synapse change it, and nothing of how synapses are arranged. Any rule goes with any connection.
"""

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor

from spikeneuro.errors import InputError

Constant = float | Tensor


class Connection(ABC):
    """Base of all connections: weights, their bounds, and the arrangement of the synapses.

    Constants of rules and bounds are numbers, or tensors with as many axes as the weights that broadcast over them.

    Parameters
    ----------
    weight : Tensor
        Weights; not copied: learning changes this tensor, a module's parameter for example.
    low, high : float or Tensor
        Bounds of the weights.
    """

    def __init__(self, weight: Tensor, low: Constant, high: Constant) -> None:
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            kind = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
            raise InputError(f"{type(self).__name__} needs weights as a floating-point tensor, got {kind}.")
        self.weight = weight
        self.low = self.over_weights(self.constant(low, "low", finite=False))
        self.high = self.over_weights(self.constant(high, "high", finite=False))
        if bool((torch.as_tensor(self.high) <= torch.as_tensor(self.low)).any()):
            raise InputError(f"high must be above low for every synapse, got low={low!r} and high={high!r}.")

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, int]:
        """Number of neurons, or of channels, after and before the synapses."""

    @abstractmethod
    def check(self, pre: Tensor, post: Tensor) -> None:
        """Raise unless `pre` and `post` are (time, batch, *features) that the synapses join."""

    @abstractmethod
    def correlate(self, post: Tensor, pre: Tensor, *, keep_batch: bool = False) -> Tensor:
        """Sum of the products ``post * pre`` at every synapse, over time, batch and shared positions.

        Parameters
        ----------
        post, pre : Tensor
            Values per neuron, (time, batch, *features).
        keep_batch : bool, default False
            Whether each sample keeps its own sum.

        Returns
        -------
        Tensor
            Of the weights' shape, or (batch, *weights' shape).
        """

    @abstractmethod
    def at_synapses(self, value: Tensor, side: str) -> Tensor:
        """Values per neuron (batch, *features), laid out so that those of both sides broadcast at each synapse."""

    @abstractmethod
    def sum_positions(self, value: Tensor) -> Tensor:
        """Values at the synapses (batch, ...), summed over positions that share a weight: (batch, *weights' shape)."""

    def over_weights(self, constant: Constant) -> Constant:
        """Return a constant so that it broadcasts to the weights as they are stored."""
        return constant

    @abstractmethod
    def align(self, constant: Tensor) -> Tensor:
        """Return a constant so that it broadcasts to what `at_synapses` gives."""

    @abstractmethod
    def per_neuron(self, constant: Tensor, side: str) -> Tensor | None:
        """Return a constant as one value per neuron of a side, or None if it differs between that neuron's synapses."""

    @abstractmethod
    def incoming(self, value: Tensor) -> Tensor:
        """Sum of values per synapse (weights' shape) over the synapses of each neuron after them, (neurons,)."""

    @abstractmethod
    def spread(self, value: Tensor) -> Tensor:
        """Values per neuron after the synapses, (neurons,), so that they broadcast over the weights."""

    def constant(self, value: Constant, name: str, *, finite: bool = True) -> Constant:
        """Return a number, or a tensor on the weights' device, if it can be a constant of this connection's synapses.

        Parameters
        ----------
        value : float or Tensor
            The constant.
        name : str
            What it is called, for the message.
        finite : bool, default True
            Whether it must be finite.

        Returns
        -------
        float or Tensor
            As the weights' dtype if it is a tensor.

        Raises
        ------
        InputError
            For something else, NaN, or a shape that does not fit.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float, Tensor)):
            shown = repr(value) if isinstance(value, (bool, str)) else type(value).__name__
            raise InputError(
                f"{name} must be a number or a tensor over the weights, got {shown}; "
                "draw from a nn.heterogeneity object by calling it with a shape."
            )
        tensor = torch.as_tensor(value, dtype=torch.float64)
        if bool(tensor.isnan().any()) or (finite and not bool(torch.isfinite(tensor).all())):
            raise InputError(f"{name} holds values that are NaN or infinite: {tensor.flatten()[:4].tolist()}.")
        if tensor.dim() == 0:
            return float(tensor)
        self._check_shape(tensor, name)
        return cast("Tensor", value).to(self.weight)

    def _check_shape(self, tensor: Tensor, name: str) -> None:
        shape = tuple(self.weight.shape)
        fits = tensor.dim() == len(shape) and all(a in (1, b) for a, b in zip(tensor.shape, shape, strict=True))
        if not fits:
            raise InputError(
                f"{name} of shape {tuple(tensor.shape)} does not broadcast over weights {shape}; "
                f"give {len(shape)} axes, each of that length or 1."
            )

    def restrict(self, change: Tensor) -> Tensor:
        """Return a change of the weights without that of synapses that do not exist."""
        return change

    def check_weights(self) -> None:
        """Raise if a weight is not finite or lies outside its bounds."""
        weight = self.weight.detach()
        if not bool(torch.isfinite(weight).all()):
            raise InputError(f"{int((~torch.isfinite(weight)).sum())} weights are NaN or infinite.")
        outside = self.restrict(((weight < self.low) | (weight > self.high)).to(weight.dtype))
        if bool(outside.any()):
            raise InputError(
                f"{int(outside.sum())} of {weight.numel()} weights lie outside their bounds "
                f"({_shown(self.low)} to {_shown(self.high)}; they run from {float(weight.min()):g} to "
                f"{float(weight.max()):g}): draw them within, with draw_(), or give other bounds."
            )

    @torch.no_grad()
    def draw_(self, low: float, high: float, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, uniformly between two numbers; synapses that do not exist stay as they are.

        Parameters
        ----------
        low, high : float
            Ends of the range, within the bounds.
        generator : torch.Generator, optional
            Where to draw from; torch's global generator by default.

        Raises
        ------
        InputError
            If the range is empty or leaves the bounds.
        """
        inside = bool((torch.as_tensor(low) >= torch.as_tensor(self.low)).all()) and bool(
            (torch.as_tensor(high) <= torch.as_tensor(self.high)).all()
        )
        if not low < high or not inside:
            raise InputError(
                f"draw_ needs low < high within the bounds {_shown(self.low)} to {_shown(self.high)}, "
                f"got {low!r} and {high!r}."
            )
        place = "cpu" if generator is None else generator.device  # so that a seed gives the same weights on any device
        drawn = torch.rand(self.weight.shape, generator=generator, dtype=self.weight.dtype, device=place)
        self._write(low + (high - low) * drawn.to(self.weight.device))

    @torch.no_grad()
    def _write(self, weight: Tensor) -> None:
        """Give the synapses that exist these weights, held within the bounds. Called by learners only."""
        self.weight.copy_(self.where_there(self.bounded(weight), self.weight))

    def bounded(self, weight: Tensor) -> Tensor:
        """Return weights held within the bounds."""
        if isinstance(self.low, Tensor) or isinstance(self.high, Tensor):
            return torch.minimum(torch.maximum(weight, self._like(self.low)), self._like(self.high))
        return weight.clamp(self.low, self.high)

    def where_there(self, weight: Tensor, other: Tensor) -> Tensor:
        """Return `weight` for synapses that exist, `other` for those that do not."""
        del other
        return weight

    def _like(self, value: Constant) -> Tensor:
        return torch.as_tensor(value, dtype=self.weight.dtype, device=self.weight.device)


class Dense(Connection):
    """Every neuron joined to every other: weights (post, pre), as those of `torch.nn.Linear`.

    Parameters
    ----------
    weight : Tensor
        Weights, (post, pre); not copied.
    low, high : float or Tensor, default without bound
        Bounds; a tensor with (post, pre) axes holds, for example, inhibitory columns at or below 0.
    exists : Tensor, optional
        True where there is a synapse, (post, pre); the other weights are never changed.

    Raises
    ------
    InputError
        For weights that are not a floating-point matrix, and bounds that do not fit.

    Examples
    --------
    >>> linear = torch.nn.Linear(4, 3, bias=False)
    >>> Dense(linear.weight, low=-1.0, high=1.0).sizes
    (3, 4)
    """

    def __init__(
        self,
        weight: Tensor,
        low: Constant = -torch.inf,
        high: Constant = torch.inf,
        exists: Tensor | None = None,
    ) -> None:
        super().__init__(weight, low, high)
        if weight.dim() != 2:
            raise InputError(f"Dense needs weights (post, pre), got {tuple(weight.shape)}.")
        if exists is not None and exists.shape != weight.shape:
            raise InputError(f"exists must be of the weights' shape {tuple(weight.shape)}, got {tuple(exists.shape)}.")
        self.exists = None if exists is None else exists.to(weight.device, torch.bool)

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of neurons after and before the synapses."""
        return self.weight.shape[0], self.weight.shape[1]

    def check(self, pre: Tensor, post: Tensor) -> None:
        check_trains(pre, post, (self.sizes[1],), (self.sizes[0],))

    def correlate(self, post: Tensor, pre: Tensor, *, keep_batch: bool = False) -> Tensor:
        if keep_batch:
            return torch.einsum("tbo,tbi->boi", post, pre)
        return post.flatten(0, 1).T @ pre.flatten(0, 1)

    def at_synapses(self, value: Tensor, side: str) -> Tensor:
        return value.unsqueeze(-2) if side == "pre" else value.unsqueeze(-1)

    def sum_positions(self, value: Tensor) -> Tensor:
        return value

    def align(self, constant: Tensor) -> Tensor:
        return constant

    def per_neuron(self, constant: Tensor, side: str) -> Tensor | None:
        if side == "pre":
            return constant[0] if constant.shape[0] == 1 else None
        return constant[:, 0] if constant.shape[1] == 1 else None

    def incoming(self, value: Tensor) -> Tensor:
        return value.sum(1)

    def spread(self, value: Tensor) -> Tensor:
        return value[:, None]

    def restrict(self, change: Tensor) -> Tensor:
        return change if self.exists is None else change * self.exists

    def where_there(self, weight: Tensor, other: Tensor) -> Tensor:
        return weight if self.exists is None else torch.where(self.exists, weight, other)


def check_trains(pre: Tensor, post: Tensor, pre_shape: tuple[int, ...], post_shape: tuple[int, ...]) -> None:
    """Raise unless both are trains (time, batch, *features) of these features and of equal time and batch."""
    for name, train, shape in (("pre", pre, pre_shape), ("post", post, post_shape)):
        if train.dim() != 2 + len(shape) or tuple(train.shape[2:]) != shape:
            expected = ", ".join(map(str, shape))
            raise InputError(f"{name} must be (time, batch, {expected}), got {tuple(train.shape)}.")
    if pre.shape[:2] != post.shape[:2]:
        raise InputError(
            f"pre and post must share time and batch, got {tuple(pre.shape[:2])} and {tuple(post.shape[:2])}."
        )


def _shown(value: Constant) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{float(value.min()):g}..{float(value.max()):g}"
