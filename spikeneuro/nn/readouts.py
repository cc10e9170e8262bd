"""From sequences to one value per class: what stands at the end of a spiking model.

All map (time, batch, features) to (batch, features) and have no state. Those with a leaky integrator compute

    v[t] = beta * v[t-1] + (1 - beta) * x[t],        beta = exp(-dt / tau_mem)

so that a constant input x settles at x, whatever the time constant.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.nn.decay import Decay, Value


def _check(x: Tensor, layer: nn.Module) -> None:
    if x.dim() != 3 or x.shape[0] == 0:
        raise InputError(
            f"{type(layer).__name__} expected (time, batch, features) with at least one step, got {tuple(x.shape)}; "
            "flatten feature maps first, for instance with OverTime(nn.Flatten())."
        )


class RateReadout(nn.Module):
    """Mean over time: with spikes, the firing rate per step.

    Examples
    --------
    >>> RateReadout()(torch.tensor([[[1.0]], [[0.0]]]))
    tensor([[0.5000]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over time of (time, batch, features)."""
        _check(x, self)
        return x.mean(0)


class _Integrator(nn.Module, ABC):
    """Leaky integrator without spikes, the base of the readouts below.

    Parameters
    ----------
    n_features : int, optional
        Number of features; needed only for values per feature.
    tau_mem : float, Tensor or Heterogeneity, default 0.1
        Time constant in seconds.
    dt : float, default 0.004
        Length of a step in seconds.
    beta : float, Tensor or Heterogeneity, optional
        Decay per step in [0, 1], in place of `tau_mem` and used bit for bit.
    learn : bool, default False
        Whether the time constant (or `beta`) is learned.
    dtype, device : optional
        As for torch's layers.
    """

    def __init__(
        self,
        n_features: int | None = None,
        *,
        tau_mem: Value = 0.1,
        dt: float = 0.004,
        beta: Value | None = None,
        learn: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        names = ("tau_mem", "beta")
        self.decay = Decay(
            None if beta is not None else tau_mem, beta, dt=dt, names=names,
            shape=() if n_features is None else (n_features,),
            learn=(names[beta is not None] if learn else None), dtype=dtype, device=device,
        )  # fmt: skip

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return one value per feature."""

    def check_input(self, x: Tensor) -> None:
        """Raise unless `x` is (time, batch, features) as declared."""
        _check(x, self)
        if self.n_features is not None and x.shape[2] != self.n_features:
            raise InputError(f"{type(self).__name__} expected (time, batch, {self.n_features}), got {tuple(x.shape)}.")

    def integrate(self, x: Tensor) -> Tensor:
        """Return the integrator's membrane at every step, (time, batch, features)."""
        self.check_input(x)
        beta = self.decay()
        # A LIF neuron that cannot fire is a leaky integrator: the fused kernels serve here too.
        output = ops.lif(
            x, beta=beta, gain=1.0 - beta, threshold=x.new_full((), torch.inf), settings=ops.LIFSettings(reset="none")
        )
        return output.potential

    def powers(self, x: Tensor) -> Tensor:
        """Return ``(1 - beta) * beta**k`` for k = 0 .. time - 1, broadcasting to (time, batch, features)."""
        self.check_input(x)
        beta = self.decay()
        k = torch.arange(x.shape[0], dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
        return (1.0 - beta) * beta**k


class LeakyReadout(_Integrator):
    """Mean over time of a leaky integrator, or its whole course.

    The mean is computed as the weighted sum over time that it is: the input of step s enters with weight
    ``sum over t >= s of (1 - beta) * beta**(t - s) / steps``.

    Parameters
    ----------
    n_features : int, optional
        Number of features; needed only for values per feature.
    sequence : bool, default False
        Return the membrane of every step, (time, batch, features), for labels per step.
    tau_mem, dt, beta, learn, dtype, device
        Time constant in seconds (default 0.1), step in seconds, decay per step in place of the time constant, whether
        it is learned, and torch's usual two.

    Examples
    --------
    >>> LeakyReadout(beta=0.5)(torch.ones(2, 1, 1))
    tensor([[0.6250]])
    """

    def __init__(
        self,
        n_features: int | None = None,
        *,
        sequence: bool = False,
        tau_mem: Value = 0.1,
        dt: float = 0.004,
        beta: Value | None = None,
        learn: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(n_features, tau_mem=tau_mem, dt=dt, beta=beta, learn=learn, dtype=dtype, device=device)
        self.sequence = sequence

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean membrane (batch, features), or with `sequence` that of every step."""
        if self.sequence:
            return self.integrate(x)
        weights = self.powers(x).cumsum(0).flip(0)
        return (weights * x).sum(0) / x.shape[0]


class LastReadout(_Integrator):
    """Membrane of a leaky integrator after the last step.

    Parameters
    ----------
    n_features, tau_mem, dt, beta, learn, dtype, device
        As for `LeakyReadout`.

    Examples
    --------
    >>> LastReadout(beta=0.5)(torch.ones(2, 1, 1))
    tensor([[0.7500]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the last membrane, (batch, features)."""
        return (self.powers(x).flip(0) * x).sum(0)


class MaxMembraneReadout(_Integrator):
    """Largest membrane over time of a leaky integrator.

    Parameters
    ----------
    n_features, tau_mem, dt, beta, learn, dtype, device
        As for `LeakyReadout`.

    References
    ----------
    Cramer et al. (2022), doi:10.1109/TNNLS.2020.3044364.

    Examples
    --------
    >>> MaxMembraneReadout(beta=0.5)(torch.tensor([[[1.0]], [[0.0]]]))
    tensor([[0.5000]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the maximum over time, (batch, features)."""
        return self.integrate(x).amax(0)
