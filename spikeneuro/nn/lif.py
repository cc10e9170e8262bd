"""Leaky integrate-and-fire layers, feed-forward and recurrent."""

from typing import Any

import torch
from torch import nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.nn.lif_layer import LIFLayer, Recurrence

__all__ = ["LIF", "LIFLayer", "Recurrence", "RecurrentLIF"]


class LIF(LIFLayer):
    r"""Leaky integrate-and-fire neurons, each on its own.

    In continuous time :math:`\tau_{mem} \, dv/dt = -(v - v_{rest}) + R \, i(t)`, with a spike and a reset whenever v
    crosses the threshold. Computed, with :math:`\beta = \exp(-dt / \tau_{mem})`, is

    .. math::

        i_t &= \alpha \, i_{t-1} + x_t \\
        a_t &= \rho \, a_{t-1} + (1 - \rho) \, s_{t-1} \\
        u_t &= v_{rest} + \beta \, (v_{t-1} - v_{rest}) + gain \cdot i_t \\
        s_t &= H(u_t - \theta_t), \quad \theta_t = \theta + \kappa \, a_t \\
        v_t &= u_t - \theta_t \, s_t

    the last line being the default reset; ``reset_timing="next_step"`` takes :math:`\theta_t \, s_{t-1}` from
    :math:`u_t` instead. The backward pass replaces the derivative of H by the surrogate's.
    Without `tau_syn` or `alpha` the current is the input; without `kappa` the threshold is constant.

    Parameters
    ----------
    shape : int or sequence of int
        Shape that broadcasts to the features: ``128`` for (time, batch, 128), ``(16, 1, 1)`` for feature maps of 16
        channels, ``()`` for any.
    tau_mem : float, Tensor or Heterogeneity, default 0.02
        Membrane time constant in seconds, above 0. As all numbers here, one for all neurons or a tensor that
        broadcasts to `shape`.
    dt : float, default 0.004
        Length of a step in seconds.
    beta : float, Tensor or Heterogeneity, optional
        Membrane decay per step in [0, 1], in place of `tau_mem` and used bit for bit.
    tau_syn, alpha : float, Tensor or Heterogeneity, optional
        Time constant in seconds, or decay per step, of the synaptic current.
    threshold, v_rest, v_reset : float, Tensor or Heterogeneity
        Threshold, resting potential, and potential after a reset to "zero". Dimensionless.
    gain : float, Tensor, Heterogeneity or "1-beta", default 1
        Factor of the current; ``"1-beta"`` makes a constant input x settle at x.
    reset : {"subtract", "zero", "none"}
        What a spike does to the membrane.
    reset_timing : {"same_step", "next_step"}
        When; "next_step" is snnTorch's default, and that of LSNN and SRNN.
    detach_reset : bool, default False
        Whether the reset carries no gradient.
    comparison : {">", ">="}
        Whether a membrane exactly at the threshold fires; ">=" as in SpikingJelly.
    zero_discards_input : bool, default False
        With a reset to zero in the next step: also discard the input of that step, as snnTorch's Synaptic does.
    refractory : int, default 0
        Steps after a spike without another one.
    refractory_integrates : bool, default True
        Whether input is integrated meanwhile.
    tau_adapt, rho : float, Tensor or Heterogeneity, optional
        Time constant in seconds, or decay per step, of the adaptation.
    kappa : float, Tensor or Heterogeneity, optional
        Rise of the threshold per unit of adaptation.
    adaptation_start : float, default 0
        Adaptation before the first step.
    preserve_reset : bool, default False
        With a rhythm or a mask: whether a reset due in an OFF step waits for the next ON step, or is lost.
    rhythm : Rhythm, MixRhythm or ThresholdOscillation, optional
        When each neuron is ON; kept as ``layer.rhythm``, fixed, the same for every sample. Running in pieces goes on
        where the rhythm was.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Derivative of the spike, a name or an object of `spikeneuro.ops.surrogates`.
    learn : str or sequence of str
        Numbers to learn: "tau_mem" or "beta", "tau_syn" or "alpha", "tau_adapt" or "rho", "threshold", "v_rest",
        "v_reset", "gain", "kappa". Time constants are learned as their logarithm, decays as their logit.
    backend : {"auto", "reference", "numba", "triton"}
        "auto" takes the fastest that can do it; one that is named never gives way to another.
    dtype, device : optional
        As for torch's layers.

    Raises
    ------
    InputError
        For a number out of range or of a shape that does not broadcast, and for options that do not go together.

    References
    ----------
    Gerstner et al. (2014), Neuronal Dynamics, chapter 1; Neftci et al. (2019), doi:10.1109/MSP.2019.2931595.

    Examples
    --------
    >>> layer = LIF(1, beta=0.8)
    >>> layer(torch.full((8, 1, 1), 0.4)).flatten().tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    """

    def recurrence(self) -> Recurrence:
        """Return no connections."""
        return Recurrence()


class RecurrentLIF(LIFLayer):
    r"""Leaky integrate-and-fire neurons, connected all to all.

    As `LIF`, with the current

    .. math:: i_t = \alpha \, i_{t-1} + x_t + W \, s_{t-1-delay} + b

    Parameters
    ----------
    n_neurons : int
        Number of neurons; input is (time, batch, n_neurons).
    bias : bool, default True
        Whether there is a constant input b, learned.
    delay : int, default 0
        Additional steps before a spike reaches the other neurons.
    recurrent_scale : float, default 1
        W starts uniform between ± recurrent_scale / sqrt(n_neurons), b at 0.
    **options
        Those of `LIF`.

    Raises
    ------
    InputError
        As for `LIF`.

    Examples
    --------
    >>> layer = RecurrentLIF(3)
    >>> layer(torch.zeros(5, 2, 3)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(
        self, n_neurons: int, *, bias: bool = True, delay: int = 0, recurrent_scale: float = 1.0, **options: Any
    ) -> None:
        super().__init__(n_neurons, **options)
        if len(self.shape) != 1:
            raise InputError(f"n_neurons must be an integer, got {n_neurons!r}.")
        self.delay = int(check_number(delay, "delay", low=0, integer=True))
        self.recurrent_scale = float(check_number(recurrent_scale, "recurrent_scale", low=0.0))
        place = {"dtype": options.get("dtype"), "device": options.get("device")}
        self.weight = nn.Parameter(torch.empty(n_neurons, n_neurons, **place))
        self.bias = nn.Parameter(torch.empty(n_neurons, **place)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the recurrent weights anew from torch's global generator."""
        bound = self.recurrent_scale / self.shape[0] ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def recurrence(self) -> Recurrence:
        """Return the recurrent weights, bias and delay."""
        return Recurrence(self.weight, self.bias, self.delay)
