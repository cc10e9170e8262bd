"""Layers of echo-state networks: what they compute, and how their weights are drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from spikeneuro._validation import check_finite, check_number
from spikeneuro.errors import InputError

Array = NDArray[Any]


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "identity": _identity}


def effective_spectral_radius(W: ArrayLike, leak: float = 1.0) -> float:
    r"""Spectral radius of the linearised update of leaky units, :math:`\rho((1 - a) I + a W)`.

    Below 1, a network of tanh units forgets its initial state around rest, which is the usual condition for a reservoir
    to be stable; a deep one is if the largest of its layers' is below 1.

    Parameters
    ----------
    W : array_like, shape (units, units)
        Recurrent weights.
    leak : float, default 1
        The a of the update, in (0, 1].

    Returns
    -------
    float
        The radius.

    References
    ----------
    Jaeger et al. (2007), doi:10.1016/j.neunet.2007.04.016; Gallicchio, Micheli and Pedrelli (2017),
    doi:10.1016/j.neucom.2016.12.089.

    Examples
    --------
    >>> round(effective_spectral_radius([[0.0, 0.5], [0.5, 0.0]], leak=0.4), 3)
    0.8
    """
    matrix = np.asarray(W, dtype=np.float64)
    return float(np.abs(np.linalg.eigvals((1 - leak) * np.eye(len(matrix)) + leak * matrix)).max())


class EchoLayer(nn.Module):
    """Leaky units driven by an input and by each other: ``x[t] = (1 - a) x[t-1] + a f(W_in u[t] + W x[t-1] + b)``.

    Parameters
    ----------
    W_in, W, bias : ndarray
        Weights (units, inputs) and (units, units), constants (units,).
    leak : float
        a.
    activation : str
        f, a key of `ACTIVATIONS`.
    """

    W_in: Tensor
    W: Tensor
    bias: Tensor

    def __init__(self, W_in: Array, W: Array, bias: Array, leak: float, activation: str) -> None:
        super().__init__()
        for name, value in (("W_in", W_in), ("W", W), ("bias", bias)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        self.leak, self.activation = leak, activation

    def forward(self, u: Tensor, start: Tensor | None = None) -> Tensor:
        """(times, batch, inputs) -> states (times, batch, units), from zero or from `start` (batch, units)."""
        f, a = ACTIVATIONS[self.activation], self.leak
        weights = self.W.T.contiguous()
        drive = u @ self.W_in.T + self.bias
        x = drive.new_zeros(drive.shape[1:]) if start is None else start
        states = []
        for step in drive.unbind(0):
            new = f(torch.addmm(step, x, weights))
            x = new if a == 1.0 else (1.0 - a) * x + a * new
            states.append(x)
        return torch.stack(states)


class EchoReservoir(nn.Module):
    """Layers one above the other, each driven by the one below; their states side by side.

    Parameters
    ----------
    layers : list of EchoLayer
        From the input upwards.
    """

    def __init__(self, layers: Sequence[EchoLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.n_units = sum(len(layer.W) for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> states (times, batch, units of all layers)."""
        x = x.permute(2, 0, 1)
        states = []
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        return torch.cat(states, dim=2) if len(states) > 1 else states[0]


@dataclass(frozen=True)
class LayerDrawing:
    """How the weights of one layer are drawn; see `EchoStateNetwork` for the parameters."""

    n_units: int
    n_inputs: int
    spectral_radius: float
    leak: float
    connectivity: float
    input_scaling: float
    input_connectivity: float
    bias_scaling: float
    activation: str

    def drawn(
        self,
        generator: np.random.Generator,
        W: ArrayLike | None = None,
        W_in: ArrayLike | None = None,
        bias: ArrayLike | None = None,
    ) -> EchoLayer:
        """Layer with these weights, those that are given as they are."""
        check_number(self.n_units, "n_units", low=1, integer=True)
        check_number(self.leak, "leak", low=0.0, high=1.0, closed="right")
        check_number(self.spectral_radius, "spectral_radius", low=0.0)
        for name in ("input_scaling", "bias_scaling"):
            check_number(getattr(self, name), name, low=0.0)
        for name in ("connectivity", "input_connectivity"):
            check_number(getattr(self, name), name, low=0.0, high=1.0, closed="right")
        recurrent = self._recurrent(generator) if W is None else _given(W, "W", 2)
        n = len(recurrent)
        into = self._input(generator, n) if W_in is None else _given(W_in, "W_in", 2)
        constant = (
            generator.uniform(-self.bias_scaling, self.bias_scaling, n) if bias is None else _given(bias, "bias", 1)
        )
        if recurrent.shape != (n, n) or into.shape != (n, self.n_inputs) or constant.shape != (n,):
            raise InputError(
                f"W {recurrent.shape}, W_in {into.shape} and bias {constant.shape} do not fit {n} units with "
                f"{self.n_inputs} inputs; their shapes are (units, units), (units, inputs) and (units,)."
            )
        return EchoLayer(into, recurrent, constant, float(self.leak), self.activation)

    def _recurrent(self, generator: np.random.Generator) -> Array:
        n = self.n_units
        weights = generator.standard_normal((n, n)) * (generator.random((n, n)) < self.connectivity)
        radius = effective_spectral_radius(weights)
        if radius < 1e-6:  # far below any that a network with cycles has
            raise InputError(
                f"{n} units with connectivity={self.connectivity:g} have no cycles to scale to a spectral radius; "
                "raise connectivity or the number of units."
            )
        return weights * (self.spectral_radius / radius)

    def _input(self, generator: np.random.Generator, n: int) -> Array:
        shape = n, self.n_inputs
        signs = generator.choice([-1.0, 1.0], size=shape) * (generator.random(shape) < self.input_connectivity)
        return signs * self.input_scaling / max(1.0, self.input_connectivity * self.n_inputs) ** 0.5


def _given(value: ArrayLike, name: str, axes: int) -> Array:
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.ndim != axes:
        raise InputError(f"{name} must have {axes} axes, got shape {matrix.shape}.")
    return check_finite(matrix, name)
