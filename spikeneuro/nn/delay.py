"""Delays on the way to a layer: axons of different lengths."""

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError


class Delay(nn.Module):
    """Whole steps by which each feature arrives later: ``y[t] = x[t - steps]``, 0 before the first input arrives.

    Put it before the weights for axonal delays (each input its own), behind them for dendritic ones (each neuron its
    own). Delays inside a recurrent layer are the `delay` of `RecurrentLIF`.

    Parameters
    ----------
    steps : int or Tensor
        Delay in steps, at least 0: one for all, or a tensor of integers that broadcasts to the features.

    Raises
    ------
    InputError
        For delays that are not whole or negative.

    Examples
    --------
    >>> x = torch.arange(1.0, 5.0).reshape(4, 1, 1).expand(4, 1, 2)
    >>> Delay(torch.tensor([0, 2]))(x)[:, 0].tolist()
    [[1.0, 0.0], [2.0, 0.0], [3.0, 1.0], [4.0, 2.0]]
    """

    steps: Tensor

    def __init__(self, steps: int | Tensor) -> None:
        super().__init__()
        if not isinstance(steps, Tensor):
            steps = torch.tensor(int(check_number(steps, "steps", low=0, integer=True)))
        if steps.is_floating_point() or steps.dtype == torch.bool or steps.is_complex() or steps.numel() == 0:
            raise InputError(f"steps must hold integers, got {steps.dtype} of shape {tuple(steps.shape)}.")
        if int(steps.min()) < 0:
            raise InputError(f"steps must be at least 0, got {int(steps.min())}.")
        self.register_buffer("steps", steps.detach().clone().long())
        self.longest = int(steps.max())

    def forward(self, x: Tensor) -> Tensor:
        """Return the delayed sequence, (time, batch, *features) as it came in."""
        return self.run(x)[0]

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Delay a piece of a sequence.

        Parameters
        ----------
        x : Tensor
            Input, (time, batch, *features).
        state : Tensor, optional
            What is still on its way, from the `run` of the piece before; nothing by default.

        Returns
        -------
        delayed : Tensor
            Same shape as `x`.
        state : Tensor
            What is on its way now: the last inputs, (longest delay, batch, *features).

        Raises
        ------
        InputError
            For an input that `steps` does not broadcast to, or a state of another shape.
        """
        features, mine = tuple(x.shape[2:]), tuple(self.steps.shape)
        fits = len(mine) <= len(features) and all(
            a in (1, b) for a, b in zip(reversed(mine), reversed(features), strict=False)
        )
        if x.dim() < 3 or not fits:
            raise InputError(f"steps of shape {mine} do not broadcast to the features of an input {tuple(x.shape)}.")
        expected = (self.longest, *x.shape[1:])
        if state is None:
            state = x.new_zeros(expected)
        elif tuple(state.shape) != expected or state.dtype != x.dtype:
            raise InputError(
                f"the state must be {x.dtype} of shape {expected} for an input {tuple(x.shape)}, "
                f"got {state.dtype} of shape {tuple(state.shape)}."
            )
        line, n = torch.cat((state, x)), x.shape[0]
        if self.steps.dim() == 0:
            return line[:n], line[n:]
        time = torch.arange(n, device=x.device).reshape(n, *[1] * (x.dim() - 1))
        return torch.gather(line, 0, (time + self.longest - self.steps).expand(x.shape)), line[n:]

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"up to {self.longest} steps"
