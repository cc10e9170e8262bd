"""Neurons with the settings of a publication, ready to use."""

from typing import Any

import torch
from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.nn.adaptive_lif import AdaptiveLIF
from spikeneuro.nn.lif import RecurrentLIF
from spikeneuro.ops import surrogates

__all__ = ["lsnn", "srnn"]


def lsnn(n_neurons: int, *, n_adaptive: int | None = None, dt: float = 0.001, **options: Any) -> AdaptiveLIF:
    r"""Recurrent layer of LSNN: adaptive neurons beside plain ones.

    Membrane 20 ms, adaptation 200 ms, threshold 0.01 rising by 1.6 per unit of adaptation, no connections of a neuron
    with itself, weights normal with variance 1 / n, and the surrogate :math:`0.3 \max(0, 1 - |u - \theta_t| /
    \theta_t) / \theta_t`. For sequential MNIST the authors took ``tau_adapt=0.7``, kappa 1.8 and ``refractory=5``.

    Their program compares the membrane of the step before with the threshold of this one, which their equations do not;
    ``spike_timing="next_step"`` does so, too. The layer runs as a loop in torch, because its surrogate follows the
    adapted threshold. Where another surrogate will do, `RecurrentLIF` with ``gain="1-beta"`` and
    ``reset_timing="next_step"`` has these neurons, connected to themselves, on the fast backends.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    n_adaptive : int, optional
        How many of them adapt, the last ones; all by default.
    dt : float, default 0.001
        Length of a step in seconds.
    **options
        Those of `AdaptiveLIF`, in place of the above. A number for kappa is that of the neurons that adapt.

    Returns
    -------
    AdaptiveLIF
        The layer.

    Raises
    ------
    InputError
        If `n_adaptive` is above `n_neurons`, and as for `AdaptiveLIF`.

    References
    ----------
    Bellec et al. (2018), arXiv:1803.09574.

    Examples
    --------
    >>> layer = lsnn(220, n_adaptive=100, tau_adapt=0.7, kappa=1.8, refractory=5)
    >>> layer.kappa.unique(return_counts=True)
    (tensor([0.0000, 1.8000]), tensor([120, 100]))
    """
    n_neurons = int(check_number(n_neurons, "n_neurons", low=1, integer=True))
    settings: dict[str, Any] = {
        "tau_mem": 0.02, "tau_adapt": 0.2, "threshold": 0.01, "kappa": 1.6, "recurrent": True,
        "self_connections": False, "surrogate": surrogates.Triangle(height=0.3), "relative_surrogate": True,
    } | options  # fmt: skip
    if n_adaptive is not None:
        plain = n_neurons - int(check_number(n_adaptive, "n_adaptive", low=0, high=n_neurons, integer=True))
        kappa = torch.as_tensor(settings["kappa"], dtype=torch.float64).expand(n_neurons).clone()
        kappa[:plain] = 0.0
        settings["kappa"] = kappa
    return AdaptiveLIF(n_neurons, dt=dt, **settings)


def srnn(
    n_neurons: int, *, dt: float = 0.004, generator: torch.Generator | None = None, **options: Any
) -> RecurrentLIF:
    """Recurrent layer of SRNN: adaptive neurons whose two time constants are learned, each neuron's its own.

    Threshold 0.01 rising by 1.8 per unit of adaptation, adaptation starting at 0.01, ``gain="1-beta"``, a reset in the
    next step by the threshold then in effect, multi-Gaussian surrogate: settings of `RecurrentLIF`, which runs them on
    every backend. Recurrent weights start uniform with variance 1 / n, that of the authors' orthogonal ones. Time
    constants start normal, in steps: 20 with deviation 5 for the membrane, 150 with deviation 10 for the adaptation, as
    for the Heidelberg digits, whose steps were 4 ms; none below one step. Here they are learned as their logarithm and
    stay positive; the authors learned the time constants themselves, and started the membrane at random.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    dt : float, default 0.004
        Length of a step in seconds.
    generator : torch.Generator, optional
        Where the time constants are drawn from; torch's global one by default, as for weights.
    **options
        Those of `RecurrentLIF`, in place of the above.

    Returns
    -------
    RecurrentLIF
        The layer.

    Raises
    ------
    InputError
        As for `RecurrentLIF`.

    References
    ----------
    Yin, Corradi and Bohté (2021), doi:10.1038/s42256-021-00397-w.

    Examples
    --------
    >>> layer = srnn(128, generator=torch.Generator().manual_seed(0))
    >>> bool((layer.membrane_decay.tau.mean() - 0.08).abs() < 0.004)
    True
    """
    n_neurons = int(check_number(n_neurons, "n_neurons", low=1, integer=True))

    def drawn(mean: float, deviation: float) -> Tensor:
        steps = mean + deviation * torch.randn(n_neurons, generator=generator, dtype=torch.float64)
        return dt * steps.clamp(min=1.0)

    settings: dict[str, Any] = {
        "tau_mem": drawn(20.0, 5.0), "tau_adapt": drawn(150.0, 10.0), "threshold": 0.01, "kappa": 1.8,
        "adaptation_start": 0.01, "gain": "1-beta", "reset_timing": "next_step", "recurrent_scale": 3.0**0.5,
        "surrogate": "multi_gaussian", "learn": ("tau_mem", "tau_adapt"),
    } | options  # fmt: skip
    return RecurrentLIF(n_neurons, dt=dt, **settings)
