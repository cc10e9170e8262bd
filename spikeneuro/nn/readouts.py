"""From sequences to one value per class: what stands at the end of a spiking model.

All map (time, batch, features) to (batch, features) and keep no state between calls; `run` takes a sequence in pieces.
Those with a leaky integrator compute

    v[t] = beta * v[t-1] + (1 - beta) * x[t],        beta = exp(-dt / tau_mem)

so that a constant input x settles at x, whatever the time constant.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.nn.base import Carry
from spikeneuro.nn.decay import Decay, Value


class ReadoutState(NamedTuple):
    """What a readout carries from one piece of a sequence to the next.

    Parameters
    ----------
    membrane : Tensor, optional
        Leaky integrator after the last step, (batch, features); None without one.
    summary : Tensor, optional
        Sum of the input ("rate") or of the membrane ("leaky"), or largest membrane ("max"), so far.
    n_steps : int
        Steps so far.
    """

    membrane: Tensor | None = None
    summary: Tensor | None = None
    n_steps: int = 0


class ReadoutResult(NamedTuple):
    """What a readout's `run` gives.

    Parameters
    ----------
    output : Tensor
        As the readout's call on everything so far, (batch, features); with ``sequence=True`` of the piece.
    state : ReadoutState
        State after the last step; give it to the next `run`.
    """

    output: Tensor
    state: ReadoutState


class Readout(nn.Module, ABC):
    """Base of the readouts: a map from (time, batch, features) to (batch, features)."""

    #: Whether the output has one value per step.
    sequence = False

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Return the output of a whole sequence.

        Parameters
        ----------
        x : Tensor
            Sequence, (time, batch, features).
        carry : Carry, optional
            Makes `x` a piece of a sequence: its state is taken from here and left here, and the output is that of
            everything so far.

        Returns
        -------
        Tensor
            One value per feature, (batch, features).
        """
        if carry is None:
            return self.whole(x)
        output, carry.state = self.run(x, carry.state)
        return output

    @abstractmethod
    def whole(self, x: Tensor) -> Tensor:
        """Return the output of a whole sequence."""

    @abstractmethod
    def run(self, x: Tensor, state: ReadoutState | None = None) -> ReadoutResult:
        """Read a piece of a sequence, carrying on from `state`; pieces give what the whole gives, to rounding."""


def _check(x: Tensor, layer: nn.Module) -> None:
    if x.dim() != 3 or x.shape[0] == 0:
        raise InputError(
            f"{type(layer).__name__} expected (time, batch, features) with at least one step, got {tuple(x.shape)}; "
            "flatten feature maps first, for instance with OverTime(nn.Flatten())."
        )


class RateReadout(Readout):
    """Mean over time: with spikes, the firing rate per step.

    Examples
    --------
    >>> RateReadout()(torch.tensor([[[1.0]], [[0.0]]]))
    tensor([[0.5000]])
    """

    def whole(self, x: Tensor) -> Tensor:
        """Return the mean over time of (time, batch, features)."""
        _check(x, self)
        return x.mean(0)

    def run(self, x: Tensor, state: ReadoutState | None = None) -> ReadoutResult:
        """Return the mean over all steps so far, and what the next piece needs."""
        _check(x, self)
        total, n_steps = x.sum(0), len(x)
        if state is not None and state.summary is not None:
            total, n_steps = state.summary + total, state.n_steps + n_steps
        return ReadoutResult(total / n_steps, ReadoutState(None, total, n_steps))


class _Integrator(Readout):
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

    def check_input(self, x: Tensor) -> None:
        """Raise unless `x` is (time, batch, features) as declared."""
        _check(x, self)
        if self.n_features is not None and x.shape[2] != self.n_features:
            raise InputError(f"{type(self).__name__} expected (time, batch, {self.n_features}), got {tuple(x.shape)}.")

    def integrate(self, x: Tensor, membrane: Tensor | None = None) -> Tensor:
        """Return the integrator's membrane at every step, (time, batch, features), from 0 or from `membrane`."""
        self.check_input(x)
        beta = self.decay()
        # A LIF neuron that cannot fire is a leaky integrator: the fused kernels serve here too.
        output = ops.lif(
            x, beta=beta, gain=1.0 - beta, threshold=x.new_full((), torch.inf), settings=ops.LIFSettings(reset="none"),
            state=None if membrane is None else ops.LIFState(v=membrane),
        )  # fmt: skip
        assert output.potential is not None
        return output.potential

    def run(self, x: Tensor, state: ReadoutState | None = None) -> ReadoutResult:
        """Return the output for all steps so far (of the piece, with ``sequence``), and what the next piece needs."""
        state = ReadoutState() if state is None else state
        course = self.integrate(x, state.membrane)
        n_steps = state.n_steps + len(x)
        output, summary = self.summarise(course, state.summary, n_steps)
        return ReadoutResult(output, ReadoutState(course[-1], summary, n_steps))

    @abstractmethod
    def summarise(self, course: Tensor, summary: Tensor | None, n_steps: int) -> tuple[Tensor, Tensor | None]:
        """Output after a piece in which the membrane took `course`, and the new summary."""

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

    def whole(self, x: Tensor) -> Tensor:
        """Return the mean membrane (batch, features), or with `sequence` that of every step."""
        if self.sequence:
            return self.integrate(x)
        weights = self.powers(x).cumsum(0).flip(0)
        return (weights * x).sum(0) / x.shape[0]

    def summarise(self, course: Tensor, summary: Tensor | None, n_steps: int) -> tuple[Tensor, Tensor | None]:
        """Return mean and sum of the membrane so far, or with `sequence` its course."""
        if self.sequence:
            return course, None
        total = course.sum(0) if summary is None else summary + course.sum(0)
        return total / n_steps, total


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

    def whole(self, x: Tensor) -> Tensor:
        """Return the last membrane, (batch, features)."""
        return (self.powers(x).flip(0) * x).sum(0)

    def summarise(self, course: Tensor, summary: Tensor | None, n_steps: int) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """Return the last membrane."""
        return course[-1], None


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

    def whole(self, x: Tensor) -> Tensor:
        """Return the maximum over time, (batch, features)."""
        return self.integrate(x).amax(0)

    def summarise(self, course: Tensor, summary: Tensor | None, n_steps: int) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """Return the maximum so far, twice."""
        top = course.amax(0)
        top = top if summary is None else torch.maximum(summary, top)
        return top, top
