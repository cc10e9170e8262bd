"""The three public functions."""

import torch
from torch import nn

from spikeneuro import ops
from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.nn.interop.containers import Framework, Place, Walk, called_with_sequences, home_of
from spikeneuro.nn.interop.norse_neurons import Norse
from spikeneuro.nn.interop.recognition import Target
from spikeneuro.nn.interop.snntorch_neurons import SnnTorch
from spikeneuro.nn.interop.spikingjelly_neurons import SpikingJelly


def from_snntorch(module: nn.Module, *, backend: str = "auto", dtype: torch.dtype | None = None) -> nn.Module:
    r"""Layer or network equal to one of snnTorch: same spikes, same gradients, or a refusal that says why.

    Converted are ``Leaky``, ``Synaptic``, ``Lapicque``, ``RLeaky`` and ``RSynaptic`` (connected by a linear layer or
    one to one) with their resets, learnable thresholds and decays, and those of its surrogates that have an equal
    here; ``nn.Sequential`` of them (``init_hidden=True``) and of torch's layers. ``Leaky``, for example, is

    .. math:: U_t = \beta \, U_{t-1} + x_t - \theta \, S_{t-1}, \quad S_t = H(U_t - \theta)

    Weights and numbers are copied bit for bit: training one network leaves the other alone. Where snnTorch is called
    once per step and keeps its state until it is reset, the result takes a whole sequence, starts from rest, leaves
    nothing behind, and returns the spikes alone; membranes are given by ``layer.run(x, record="potential")``.

    Parameters
    ----------
    module : nn.Module
        Neurons of snnTorch, or a network made of them.
    backend : str
        Backend of the neurons, see `LIF`.
    dtype : torch.dtype, optional
        Of all numbers; by default that of the module's parameters.

    Returns
    -------
    nn.Module
        Takes (time, batch, \*features) and gives spikes of that layout.

    Raises
    ------
    InputError
        For a class, option or surrogate that has no equal here.

    References
    ----------
    Eshraghian et al. (2023), doi:10.1109/JPROC.2023.3308088.

    Examples
    --------
    >>> import snntorch
    >>> layer = from_snntorch(snntorch.Leaky(beta=0.8))
    >>> layer(torch.full((8, 1, 1), 0.4)).flatten().tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    """
    return _convert(module, SnnTorch(), backend, dtype)


def from_spikingjelly(module: nn.Module, *, backend: str = "auto", dtype: torch.dtype | None = None) -> nn.Module:
    r"""Layer or network equal to one of SpikingJelly: same spikes, same gradients, or a refusal that says why.

    Converted are ``LIFNode``, ``IFNode``, ``ParametricLIFNode`` and ``CUBALIFNode`` with soft and hard reset, in
    either step mode; those of its surrogates that have an equal here; ``nn.Sequential``, ``MultiStepContainer`` and
    ``SeqToANNContainer`` of them, of its layers and of torch's. ``LIFNode``, for example, is

    .. math:: H_t = V_{t-1} + (x_t - (V_{t-1} - V_{reset})) / \tau, \quad S_t = H(H_t - \theta \ge 0)

    and becomes a `LIF` with ``beta = 1 - 1 / tau``, ``gain = 1 / tau`` and ``comparison=">="``. Summed in another
    order, membranes differ in the last bit. Weights are copied; the result takes a whole sequence, starts from rest
    and leaves nothing behind.

    Parameters
    ----------
    module : nn.Module
        Neurons of SpikingJelly, or a network made of them.
    backend : str
        Backend of the neurons, see `LIF`.
    dtype : torch.dtype, optional
        Of all numbers; by default that of the module's parameters, or torch's default.

    Returns
    -------
    nn.Module
        Takes (time, batch, \*features) and gives spikes of that layout.

    Raises
    ------
    InputError
        For a class, option or surrogate that has no equal here.

    References
    ----------
    Fang et al. (2023), doi:10.1126/sciadv.adi1480.
    """
    return _convert(module, SpikingJelly(), backend, dtype)


def from_norse(module: nn.Module, *, backend: str = "auto", dtype: torch.dtype | None = None) -> nn.Module:
    r"""Layer or network equal to one of Norse: same spikes, same gradients, or a refusal that says why.

    Converted are ``LIF``, ``LIFCell``, ``LIFRecurrent``, ``LIFRecurrentCell``, ``LIFBoxCell``, ``IAF``, ``IAFCell``
    and the integrators ``LI``, ``LICell``, ``LIBoxCell`` and ``LILinearCell``; ``SequentialState`` and ``Lift`` of them
    and of torch's layers. ``LIF``, for example, is

    .. math::

        I_t &= (1 - dt / \tau_{syn}) \, I_{t-1} + x_t \\
        v_t &= v_{t-1} + (v_{leak} - v_{t-1} + I_t) \, dt / \tau_{mem}, \quad S_t = H(v_t - \theta)

    and becomes a `LIF` with ``alpha = 1 - dt / tau_syn``, ``beta = 1 - dt / tau_mem`` and ``gain = dt / tau_mem``.
    Summed in another order, membranes differ in the last bit. Weights are copied; the result takes a whole sequence,
    starts from rest, leaves nothing behind, and returns no state.

    Parameters
    ----------
    module : nn.Module
        Neurons of Norse, or a network made of them.
    backend : str
        Backend of the neurons, see `LIF`.
    dtype : torch.dtype, optional
        Of all numbers; by default that of the module's parameters, or torch's default.

    Returns
    -------
    nn.Module
        Takes (time, batch, \*features) and gives spikes, or an integrator's membranes, of that layout.

    Raises
    ------
    InputError
        For a class, option or surrogate that has no equal here.

    References
    ----------
    Pehle and Pedersen (2021), Norse, doi:10.5281/zenodo.4422025.
    """
    return _convert(module, Norse(), backend, dtype)


def _convert(module: nn.Module, framework: Framework, backend: str, dtype: torch.dtype | None) -> nn.Module:
    check_choice(backend, ops.BACKENDS, "backend")
    if not isinstance(module, nn.Module):
        raise InputError(f"expected a module of {framework.name}, got {type(module).__name__}.")
    home = home_of(module) or (torch.get_default_dtype(), torch.device("cpu"))
    target = Target(backend, home[0] if dtype is None else dtype, home[1], recast=dtype is not None)
    sequences = called_with_sequences(module, framework) or False
    return Walk(framework, target).convert(module, Place("the module", sequences))
