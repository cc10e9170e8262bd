"""Layers that only converted networks need: other frameworks' constraints, kept when the network is trained on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.nn.base import LIFResult
from spikeneuro.nn.decay import Decay
from spikeneuro.nn.lif import LIF, LIFLayer, Recurrence, RecurrentLIF


class ClampedDecay(Decay):
    """Learnable decay per step held as itself and limited to [0, 1] when used, as snnTorch holds it.

    Parameters
    ----------
    decay : Tensor
        The decay, also outside of [0, 1].
    dt : float
        Length of a step.
    names : tuple of str
        What the layer calls the time constant and the decay.
    shape : tuple of int
        Shape of the layer.
    dtype, device : optional
        As for torch's layers.
    """

    def __init__(
        self,
        decay: Tensor,
        *,
        dt: float,
        names: tuple[str, str],
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(None, decay.clamp(0.0, 1.0), dt=dt, names=names, shape=shape, dtype=dtype, device=device)
        del self.fixed
        self.learn = names[1]
        self.decay = nn.Parameter(decay.to(device, dtype).clone())

    def forward(self) -> Tensor:
        """Return the decay per step now in effect."""
        return self.decay.clamp(0.0, 1.0)


class OneToOneLIF(LIFLayer):
    """Leaky integrate-and-fire neurons of which each is connected to itself only; otherwise as `LIF`.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    own_weight : Tensor
        Weight of a neuron's spike on itself, one for all or one for each.
    learn_weight : bool
        Whether it is learned.
    **options
        Those of `LIF`.
    """

    own_weight: Tensor

    def __init__(self, n_neurons: int, *, own_weight: Tensor, learn_weight: bool, **options: Any) -> None:
        super().__init__(n_neurons, **options)
        weight = own_weight.to(**self._place)
        if learn_weight:
            self.own_weight = nn.Parameter(weight)
        else:
            self.register_buffer("own_weight", weight)

    def recurrence(self) -> Recurrence:
        """Return the diagonal weights."""
        return Recurrence(torch.diag(self.own_weight.expand(self.shape)))


class WithoutAutapsesLIF(RecurrentLIF):
    """`RecurrentLIF` in which no neuron is connected to itself, also not after training.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    **options
        Those of `RecurrentLIF`.
    """

    others: Tensor

    def __init__(self, n_neurons: int, **options: Any) -> None:
        super().__init__(n_neurons, **options)
        self.register_buffer("others", 1.0 - torch.eye(n_neurons, **self._place), persistent=False)

    def recurrence(self) -> Recurrence:
        """Return the weights without their diagonal."""
        return Recurrence(self.weight * self.others, self.bias, self.delay)


class _ResetOnce(LIFLayer):
    """Refuses to run where snnTorch would subtract the threshold a second time.

    With ``reset_mechanism="subtract", reset_delay=False`` snnTorch takes a membrane that is above the threshold after
    its reset for one whose reset is due, and lowers it again before it decides about the next spike. No other
    framework does so, and neither does this library.
    """

    def run(
        self, x: Tensor, state: ops.LIFState | None = None, record: Sequence[str] = (), *, mask: Tensor | None = None
    ) -> LIFResult:
        """Run a piece of a sequence; see `LIF.run`."""
        names = (record,) if isinstance(record, str) else tuple(record)
        result = super().run(x, state, tuple(dict.fromkeys((*names, "membrane"))), mask=mask)
        threshold = self._get("threshold")
        before = [] if state is None or state.v is None else [state.v]
        if any(bool((membrane > threshold).any()) for membrane in (*before, result.traces["membrane"][:-1])):
            raise InputError(
                "a membrane is still above the threshold after its reset (it had reached twice the threshold); "
                "snnTorch with reset_delay=False then resets it a second time, which this layer does not: scale the "
                "input down, use reset_mechanism='zero', or build nn.LIF, which resets once."
            )
        return result._replace(traces={name: result.traces[name] for name in names})


class ResetOnceLIF(_ResetOnce, LIF):
    """`LIF` that refuses to run where snnTorch would reset twice."""


class ResetOnceRecurrentLIF(_ResetOnce, RecurrentLIF):
    """`RecurrentLIF` that refuses to run where snnTorch would reset twice."""


class ResetOnceOneToOneLIF(_ResetOnce, OneToOneLIF):
    """`OneToOneLIF` that refuses to run where snnTorch would reset twice."""


class Integrator(nn.Module):
    r"""Leaky integrator with an optional synaptic current; returns the membrane of every step.

    .. math::

        i_t &= \alpha \, i_{t-1} + x_t \\
        v_t &= v_{rest} + \beta \, (v_{t-1} - v_{rest}) + gain \cdot i_t

    Parameters
    ----------
    beta : Tensor
        Decay of the membrane per step.
    gain : Tensor
        Factor of the current.
    v_rest : Tensor
        Membrane at rest.
    alpha : Tensor, optional
        Decay of the current per step.
    backend : str
        As in `LIF`.
    dtype, device : optional
        As for torch's layers.
    """

    beta: Tensor
    gain: Tensor
    v_rest: Tensor
    alpha: Tensor | None

    def __init__(
        self,
        *,
        beta: Tensor,
        gain: Tensor,
        v_rest: Tensor,
        alpha: Tensor | None,
        backend: str,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.backend = backend
        for name, value in (("beta", beta), ("gain", gain), ("v_rest", v_rest), ("alpha", alpha)):
            self.register_buffer(name, None if value is None else value.to(device, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return the membrane, (time, batch, *features), of the input of that shape, started from rest."""
        return self.run(x)[0]

    def run(self, x: Tensor, state: ops.LIFState | None = None) -> tuple[Tensor, ops.LIFState]:
        """Run a piece of a sequence from a given state.

        Parameters
        ----------
        x : Tensor
            Input current, (time, batch, *features).
        state : LIFState, optional
            State before the first step, from an earlier `run`; at rest by default.

        Returns
        -------
        membrane : Tensor
            Same shape as `x`.
        state : LIFState
            State after the last step.
        """
        output = ops.lif(
            x, beta=self.beta, gain=self.gain, v_rest=self.v_rest, alpha=self.alpha, state=state,
            threshold=x.new_full((), torch.inf), settings=ops.LIFSettings(reset="none"), backend=self.backend,
        )  # fmt: skip
        assert output.potential is not None
        return output.potential, output.state


class EachStep(nn.Module):
    """Normalisation with running statistics, step by step: `OverTime` would take the statistics of all steps together.

    Parameters
    ----------
    module : nn.Module
        One of torch's batch or instance normalisations. Maps (batch, *features) to (batch, *features).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Return the module's output for every step of (time, batch, *features)."""
        if self.module.training or self.module.running_mean is None:
            return torch.stack([self.module(step) for step in x])
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # running statistics know no step


class SharedDropout(nn.Module):
    """Dropout with one mask for all steps of a sequence, as SpikingJelly's.

    Parameters
    ----------
    dropout : nn.Module
        What draws the mask of one step.
    """

    def __init__(self, dropout: nn.Module) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Return (time, batch, *features) with the same features dropped in every step."""
        return x * self.dropout(torch.ones_like(x[0])) if self.training else x
