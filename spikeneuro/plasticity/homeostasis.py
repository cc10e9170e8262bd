"""Homeostasis: what keeps weights and firing in their range while a rule changes them. Any of it goes with any rule."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Connection

OCCASIONS = ("step", "sequence")


@dataclass(frozen=True, kw_only=True)
class Homeostasis(ABC):
    """Base of what a learner applies besides its rule.

    Parameters
    ----------
    every : {"step", "sequence"}
        When it is applied: after each step, or after each sequence given to the learner.
    """

    every: str = "sequence"

    def __post_init__(self) -> None:
        check_choice(self.every, OCCASIONS, "every")

    @abstractmethod
    def apply(self, connection: Connection, neurons: nn.Module | None, spikes: Tensor, dt: float) -> None:
        """Change weights or neurons. Called by learners only.

        Parameters
        ----------
        connection : Connection
            The synapses.
        neurons : torch.nn.Module, optional
            The neurons after them, where the learner has a layer.
        spikes : Tensor
            Their spikes since the last time, (time, batch, *features).
        dt : float
            Length of a step in seconds.
        """


@dataclass(frozen=True, kw_only=True)
class Normalisation(Homeostasis):
    r"""Scaling of each neuron's incoming weights to a given sum.

    .. math:: w_{ji} \leftarrow w_{ji} \, \frac{total}{\sum_k |w_{jk}|}

    Neurons whose weights are all 0 keep them. The bounds hold afterwards, so that the sum falls short where they bind.
    Negative bounds and weights are scaled alike.

    Parameters
    ----------
    total : float or Tensor
        Sum of the absolute weights of each neuron (each output channel of a convolution), above 0; or one sum for each
        of them, (neurons,), at least 0. Diehl and Cook's network has 78.4 for 784 inputs and weights up to 1.
    every : {"step", "sequence"}, default "sequence"
        When.

    References
    ----------
    Diehl and Cook (2015), doi:10.3389/fncom.2015.00099; Lazar, Pipa and Triesch (2009), doi:10.3389/neuro.10.023.2009
    (at every step, in a recurrent layer).
    """

    total: float | Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.total, Tensor):
            check_number(self.total, "total", low=0.0, closed="neither")
        elif self.total.dim() != 1 or not bool((torch.isfinite(self.total) & (self.total >= 0)).all()):
            raise InputError(
                f"total must be a number above 0, or finite sums (neurons,) of at least 0, got a tensor "
                f"{tuple(self.total.shape)} from {float(self.total.min()):g} to {float(self.total.max()):g}."
            )

    def apply(self, connection: Connection, neurons: nn.Module | None, spikes: Tensor, dt: float) -> None:
        del neurons, spikes, dt
        weight = connection.weight.detach()
        sums = connection.incoming(connection.restrict(weight).abs())
        if isinstance(self.total, Tensor) and self.total.shape != sums.shape:
            raise InputError(f"total holds {len(self.total)} sums, but there are {len(sums)} neurons.")
        total = torch.as_tensor(self.total).to(sums)
        factor = torch.where(sums > 0, total / sums.clamp(min=torch.finfo(weight.dtype).tiny), 1.0)
        connection._write(weight * connection.spread(factor))


@dataclass(frozen=True, kw_only=True)
class SynapticScaling(Homeostasis):
    r"""Multiplication of a neuron's incoming weights that brings its rate towards a target.

    .. math:: w \leftarrow w \left(1 + \beta \, T \, (r_{target} - r)\right)

    for a rate r in the last T seconds, averaged over the batch (and over the positions of a feature map); the integral
    part of van Rossum's controller is left out. The factor is at least 0.

    Parameters
    ----------
    target : float
        Rate in spikes per second, at least 0.
    beta : float, default 0.01
        Speed, per spike.
    every : {"step", "sequence"}, default "sequence"
        When.

    References
    ----------
    Turrigiano et al. (1998), doi:10.1038/36103; van Rossum, Bi and Turrigiano (2000),
    doi:10.1523/JNEUROSCI.20-23-08812.2000.
    """

    target: float
    beta: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.target, "target", low=0.0)
        check_number(self.beta, "beta", low=0.0)

    def apply(self, connection: Connection, neurons: nn.Module | None, spikes: Tensor, dt: float) -> None:
        del neurons
        per_neuron = spikes.flatten(3).mean(-1) if spikes.dim() > 3 else spikes
        count = per_neuron.sum(0).mean(0)  # spikes of each neuron in the time given
        factor = (1.0 + self.beta * (self.target * dt * len(spikes) - count)).clamp(min=0.0)
        connection._write(connection.weight.detach() * connection.spread(factor))


@dataclass(frozen=True, kw_only=True)
class WeightDecay(Homeostasis):
    r"""Decay of all weights towards 0, :math:`w \leftarrow w \, e^{-T / \tau}`.

    Parameters
    ----------
    tau : float
        Time constant in seconds, above 0. BindsNET's ``weight_decay`` of d per step is ``-dt / log(1 - d)``.
    every : {"step", "sequence"}, default "step"
        When.
    """

    tau: float
    every: str = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.tau, "tau", low=0.0, closed="neither")

    def apply(self, connection: Connection, neurons: nn.Module | None, spikes: Tensor, dt: float) -> None:
        del neurons
        connection._write(connection.weight.detach() * math.exp(-dt * len(spikes) / self.tau))


@dataclass(frozen=True, kw_only=True)
class ThresholdHomeostasis(Homeostasis):
    r"""Thresholds that rise with a neuron's spikes, so that all neurons come to take part (intrinsic plasticity).

    .. math:: \theta \leftarrow base + e^{-T / \tau} (\theta - base) + \eta \, (n - r_{target} T)

    with n the neuron's spikes in the last T seconds, averaged over the batch. It needs a learner of a layer, and
    neurons with a threshold each: ``LIF(..., threshold=torch.ones(n))``. Thresholds are kept from sequence to
    sequence.

    Parameters
    ----------
    increment : float, default 0.05
        Rise per spike.
    tau : float, optional
        Time constant in seconds of the return to `base`; by default there is none.
    base : float, default 1
        Threshold at rest.
    target : float, default 0
        Rate in spikes per second at which a threshold stays where it is; it falls below that rate. 0 with a `tau` is
        the rule of Diehl and Cook (1e4 s, and 0.05 mV with a threshold 13 mV above rest).
    low : float, default 0
        Thresholds never fall below.
    every : {"step", "sequence"}, default "step"
        When.

    References
    ----------
    Diehl and Cook (2015), doi:10.3389/fncom.2015.00099; Querlioz et al. (2013), doi:10.1109/TNANO.2013.2250995.
    """

    increment: float = 0.05
    tau: float | None = None
    base: float = 1.0
    target: float = 0.0
    low: float = 0.0
    every: str = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.increment, "increment", low=0.0)
        if self.tau is not None:
            check_number(self.tau, "tau", low=0.0, closed="neither")
        check_number(self.base, "base")
        check_number(self.target, "target", low=0.0)
        check_number(self.low, "low")

    def apply(self, connection: Connection, neurons: nn.Module | None, spikes: Tensor, dt: float) -> None:
        del connection
        threshold = self.threshold_of(neurons, spikes)
        time = dt * len(spikes)
        count = spikes.sum(0).mean(0)
        shared = [axis for axis, size in enumerate(threshold.shape) if size == 1 and count.shape[axis] > 1]
        if shared:
            count = count.mean(shared, keepdim=True)
        kept = 1.0 if self.tau is None else math.exp(-time / self.tau)
        new = self.base + kept * (threshold - self.base) + self.increment * (count - self.target * time)
        threshold.copy_(new.clamp(min=self.low))

    def threshold_of(self, neurons: nn.Module | None, spikes: Tensor) -> Tensor:
        """Return the thresholds of the neurons, if they have one each."""
        threshold = getattr(neurons, "threshold", None)
        features = tuple(spikes.shape[2:])
        if not isinstance(threshold, Tensor) or isinstance(threshold, nn.Parameter):
            raise InputError("ThresholdHomeostasis needs a layer of neurons whose threshold is not learned otherwise.")
        if threshold.dim() != len(features) or threshold.shape[0] != features[0]:
            raise InputError(
                f"ThresholdHomeostasis needs a threshold for each of the neurons {features}, got "
                f"{tuple(threshold.shape)}; give the layer threshold=torch.ones({features[0]}, ...)."
            )
        return threshold
