"""Layers that know no time, applied to sequences."""

from torch import Tensor, nn

from spikeneuro.errors import InputError


class OverTime(nn.Module):
    """Apply a module to every step at once: time is folded into the batch and unfolded again.

    For layers that know no time and take one batch axis (Conv, BatchNorm, pooling, Flatten). `nn.Linear` needs it not.

    Parameters
    ----------
    module : nn.Module
        Maps (batch, *features) to (batch, *other features).

    Examples
    --------
    >>> import torch
    >>> OverTime(nn.Conv1d(2, 4, 3))(torch.zeros(10, 5, 2, 8)).shape
    torch.Size([10, 5, 4, 6])
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output for every step.

        Parameters
        ----------
        x : Tensor
            Sequence, (time, batch, *features).

        Returns
        -------
        Tensor
            Sequence, (time, batch, *other features).

        Raises
        ------
        InputError
            If `x` has no feature axis, or the module changes the number of samples.
        """
        if x.dim() < 3:
            raise InputError(
                f"OverTime expected (time, batch, *features), got {tuple(x.shape)}; "
                "signals go through an encoder first."
            )
        y = self.module(x.flatten(0, 1))
        if y.shape[0] != x.shape[0] * x.shape[1]:
            raise InputError(
                f"OverTime's module must keep the batch axis: it made {tuple(y.shape)} "
                f"of {tuple(x.flatten(0, 1).shape)}."
            )
        return y.unflatten(0, (x.shape[0], x.shape[1]))
