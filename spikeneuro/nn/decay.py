"""Time constants and the decays per step that follow from them, fixed or learnable."""

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.nn.heterogeneity import Heterogeneity

Value = float | Tensor | Heterogeneity


def values(value: Value, name: str, shape: tuple[int, ...], device: torch.device | str | None) -> Tensor:
    """`value` as a finite tensor that broadcasts to `shape`, in double precision: conversion comes last."""
    drawn = value(shape) if isinstance(value, Heterogeneity) else value
    try:
        tensor = torch.as_tensor(drawn, dtype=torch.float64, device=device).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be a number, a tensor or a nn.heterogeneity object, got {value!r}.") from error
    if not torch.isfinite(tensor).all():
        raise InputError(f"{name} holds values that are NaN or infinite: {tensor.flatten()[:4].tolist()} ...")
    fits = tensor.dim() <= len(shape) and all(
        mine in (1, theirs) for mine, theirs in zip(reversed(tensor.shape), reversed(shape), strict=False)
    )
    if shape and not fits:
        raise InputError(f"{name} of shape {tuple(tensor.shape)} does not broadcast to the layer's shape {shape}.")
    return tensor


class Decay(nn.Module):
    r"""Decay per step, :math:`\beta = \exp(-dt / \tau)`, or given as it is.

    Learnable, it is held as :math:`\log \tau` (so that tau stays positive) or as the logit of beta (so that beta stays
    between 0 and 1).

    Parameters
    ----------
    tau : float, Tensor or Heterogeneity, optional
        Time constant in the unit of `dt`, above 0.
    decay : float, Tensor or Heterogeneity, optional
        Decay per step in [0, 1], used bit for bit unless it is learnable. Exactly one of both is given.
    dt : float
        Length of a step.
    names : tuple of str
        What the layer calls the two, for messages.
    shape : tuple of int
        Shape of the layer.
    learn : str, optional
        Which of the two names is learnable, if any.
    dtype, device : optional
        As for torch's layers.
    """

    def __init__(
        self,
        tau: Value | None,
        decay: Value | None,
        *,
        dt: float,
        names: tuple[str, str],
        shape: tuple[int, ...],
        learn: str | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        check_number(dt, "dt", low=0.0, closed="neither")
        self.dt, self.names, self.learn = float(dt), names, learn
        kind = torch.get_default_dtype() if dtype is None else dtype
        given, name = (tau, names[0]) if decay is None else (decay, names[1])
        if given is None:
            raise InputError(f"{names[0]} or {names[1]} must be given.")
        if learn is not None and learn != name:
            raise InputError(f"learn={learn!r} needs {learn} to be given, but {name} is; use learn={name!r}.")
        tensor = values(given, name, shape, device)
        self._check_range(tensor, name, learnable=learn is not None)
        if learn is None:
            self.register_buffer("fixed", (tensor if name == names[1] else torch.exp(-self.dt / tensor)).to(kind))
        elif name == names[0]:
            self.log_tau = nn.Parameter(tensor.log().to(kind))
        else:
            self.logit = nn.Parameter(torch.logit(tensor).to(kind))

    def _check_range(self, tensor: Tensor, name: str, *, learnable: bool) -> None:
        low, high = float(tensor.min()), float(tensor.max())
        if name == self.names[0]:
            if low <= 0:
                raise InputError(f"{name} is a time constant and must be above 0, got {low!r}.")
        elif low < 0 or high > 1 or (learnable and (low == 0 or high == 1)):
            ends = "strictly between 0 and 1 to be learnable" if learnable else "in [0, 1]"
            raise InputError(f"{name} is a decay per step and must lie {ends}, got {low!r} to {high!r}.")

    def forward(self) -> Tensor:
        """Return the decay per step now in effect."""
        if self.learn is None:
            return self.get_buffer("fixed")
        if self.learn == self.names[0]:
            return torch.exp(-self.dt * torch.exp(-self.log_tau))
        return torch.sigmoid(self.logit)

    @property
    def tau(self) -> Tensor:
        """Time constant now in effect, in the unit of `dt`; infinite where the decay is 1."""
        if self.learn == self.names[0]:
            return self.log_tau.exp()
        return -self.dt / self().log()

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"dt={self.dt:g}" + (f", learn={self.learn!r}" if self.learn else "")
