"""Linear memory capacity: how much of its past input a network's state still tells."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeneuro._random import derive_seed
from spikeneuro._validation import check_choice, check_finite, check_number
from spikeneuro.errors import InputError
from spikeneuro.reservoir.ridge import RidgeReadout

Array = NDArray[Any]


@dataclass(frozen=True)
class MemoryCapacity:
    """What `memory_capacity` finds.

    Attributes
    ----------
    total : float
        Sum over the delays.
    delays : ndarray of int
        Delays in steps.
    by_delay : ndarray
        Capacity of each delay; at most 1, about 0 where nothing is remembered, and then as often below as above it.
    n_train, n_test : int
        Steps the readouts were trained and tested on.
    spikes_per_step : float or None
        Mean number of spikes of all neurons together in a step; None where they were not given.
    """

    total: float
    delays: Array = field(repr=False)
    by_delay: Array = field(repr=False)
    n_train: int
    n_test: int
    spikes_per_step: float | None = None

    @property
    def effective(self) -> float | None:
        """Spikes a step for each unit of memory, smaller is better: `spikes_per_step` over `total`.

        None without spikes, infinite where nothing is remembered.
        """
        if self.spikes_per_step is None:
            return None
        return self.spikes_per_step / self.total if self.total > 0 else float("inf")


def memory_capacity(
    states: ArrayLike,
    u: ArrayLike,
    max_delay: int,
    *,
    first_delay: int = 0,
    washout: int = 100,
    test_size: float = 0.5,
    alpha: float | str = "gcv",
    spikes: ArrayLike | None = None,
) -> MemoryCapacity:
    r"""Linear memory capacity of recorded states.

    For every delay d a ridge readout of the state at time t is trained to give :math:`u[t-d]`, on the first part of the
    steps; on the last part, which it has not seen, its output :math:`\hat u_d` is compared with the truth:

    .. math:: MC = \sum_{d} r_d^2, \qquad
              r_d^2 = 1 - (1 - \operatorname{corr}^2(u[t-d], \hat u_d[t])) \frac{m - 1}{m - 2}

    over m test steps. The factor takes away the :math:`1/(m-1)` that the squared correlation of unrelated series has on
    average, which summed over many delays would pass for memory. Between training and test lie `max_delay` steps, so
    that no value of u is a target in both. What remains is a bias downwards: readouts trained on few steps are worse
    than the best ones. Give at least ten training steps for each state.

    For independent inputs a network of n linear units has :math:`MC \le n` over all delays from 0, reached by a delay
    line.

    Parameters
    ----------
    states : array_like, shape (steps, units)
        State after each step; of spiking neurons a filtered trace or a membrane.
    u : array_like, shape (steps,)
        Input, independent and identically distributed: correlations within it would count as memory.
    max_delay : int
        Largest delay in steps.
    first_delay : int, default 0
        Smallest delay; 1 leaves out the present input, as the sum in the source does.
    washout : int, default 100
        First steps left out.
    test_size : float, default 0.5
        Share of the remaining steps for the test.
    alpha : float or "gcv", default "gcv"
        Penalty of the readouts; by default chosen for each delay on the training part.
    spikes : array_like, shape (steps,) or (steps, neurons), optional
        Spikes of each step, for `MemoryCapacity.effective`.

    Returns
    -------
    MemoryCapacity
        Total, and capacity by delay.

    Raises
    ------
    InputError
        If shapes do not fit, values are not finite, the input is constant, or too few steps remain.

    References
    ----------
    Jaeger (2002), Short term memory in echo state networks, GMD report 152, doi:10.24406/publica-fhg-291107.

    Examples
    --------
    >>> u = np.random.default_rng(0).uniform(-1, 1, 2000)
    >>> states = np.stack([np.roll(u, d) for d in range(5)], axis=1)
    >>> round(memory_capacity(states, u, max_delay=20, alpha=1e-6).total, 1)
    5.0
    """
    x, drive = _checked(states, u)
    max_delay = int(check_number(max_delay, "max_delay", low=0, integer=True))
    first_delay = int(check_number(first_delay, "first_delay", low=0, high=max_delay, integer=True))
    washout = int(check_number(washout, "washout", low=0, integer=True))
    check_number(test_size, "test_size", low=0.0, high=1.0, closed="neither")
    start = max(washout, max_delay)
    n_test = round((len(drive) - start - max_delay) * test_size)
    n_train = len(drive) - start - max_delay - n_test
    if n_train < 10 or n_test < 10:
        raise InputError(
            f"{len(drive)} steps leave {max(n_train, 0)} for training and {max(n_test, 0)} for the test after "
            f"{start} of washout and a gap of {max_delay}; give more steps or a smaller max_delay."
        )
    train, test = np.arange(start, start + n_train), np.arange(len(drive) - n_test, len(drive))
    delays = np.arange(first_delay, max_delay + 1)
    targets = np.stack([drive[train - d] for d in delays], axis=1)
    truths = np.stack([drive[test - d] for d in delays], axis=1)
    by_delay = _adjusted(truths, _predicted(x[train], targets, x[test], alpha))
    counted = None if spikes is None else _spikes_per_step(spikes, len(drive), start)
    return MemoryCapacity(float(by_delay.sum()), delays, by_delay, n_train, n_test, counted)


def memory_capacity_of(
    reservoir: Any,
    max_delay: int = 100,
    *,
    n_steps: int = 4000,
    input_distribution: str = "uniform",
    random_state: Any = None,
    **options: Any,
) -> MemoryCapacity:
    """Drive a network with independent random input and measure its memory capacity.

    Parameters
    ----------
    reservoir : EchoStateNetwork, DeepEchoStateNetwork, LiquidStateMachine or callable
        An estimator, of which a copy is initialised for one channel without training (its readout plays no part, and
        an initialised one of one channel is used as it is); or a function from an input of shape ``(1, 1, n_steps)``
        (one sample, one channel) to the states ``(n_steps, units)``, or to a pair of these and the spikes
        ``(n_steps, neurons)``.
    max_delay : int, default 100
        Largest delay in steps.
    n_steps : int, default 4000
        Length of the input.
    input_distribution : {"uniform", "normal"}
        Uniform between -1 and 1, or standard normal.
    random_state : int, RandomState or None
        Draws the input.
    **options
        Those of `memory_capacity`.

    Returns
    -------
    MemoryCapacity
        With `MemoryCapacity.effective` for spiking networks.

    Raises
    ------
    InputError
        As for `memory_capacity`, and for a reservoir of more than one channel.

    Examples
    --------
    >>> from spikeneuro.reservoir import EchoStateNetwork
    >>> network = EchoStateNetwork(50, input_scaling=0.1, random_state=0)
    >>> 10 < memory_capacity_of(network, 60, random_state=0).total < 50
    True
    """
    n_steps = int(check_number(n_steps, "n_steps", low=1, integer=True))
    generator = np.random.default_rng(derive_seed(random_state))
    if check_choice(input_distribution, ("uniform", "normal"), "input_distribution") == "uniform":
        u = generator.uniform(-1.0, 1.0, n_steps)
    else:
        u = generator.standard_normal(n_steps)
    states, spikes = _driven(reservoir, u[np.newaxis, np.newaxis])
    return memory_capacity(states, u, max_delay, spikes=spikes, **options)


def _driven(reservoir: Any, signal: Array) -> tuple[Any, Any]:
    if not hasattr(reservoir, "initialise"):
        if not isinstance(reservoir, Callable):  # type: ignore[arg-type]  # an abstract class, checked by protocol
            raise InputError(
                f"reservoir must be an estimator of spikeneuro.reservoir or a function of the input, got "
                f"{type(reservoir).__name__}."
            )
        result = reservoir(signal)
        return result if isinstance(result, tuple) else (result, None)
    if not hasattr(reservoir, "reservoir_"):
        from sklearn.base import clone

        reservoir = clone(reservoir).initialise(signal)
    states = reservoir.states(signal)[0].T
    return states, reservoir.spikes(signal)[0].T if hasattr(reservoir, "spikes") else None


def _checked(states: ArrayLike, u: ArrayLike) -> tuple[Array, Array]:
    x, drive = np.asarray(states, dtype=np.float64), np.asarray(u, dtype=np.float64)
    if drive.ndim != 1 or x.ndim != 2 or len(x) != len(drive):
        raise InputError(
            f"states must be (steps, units) and u (steps,) of the same steps, got shapes {x.shape} and {drive.shape}."
        )
    check_finite(x, "states")
    if not np.ptp(check_finite(drive, "u")) > 0:
        raise InputError("u is constant: there is nothing to remember.")
    return x, drive


def _predicted(train: Array, targets: Array, test: Array, alpha: float | str) -> Array:
    mean, scale = train.mean(axis=0), train.std(axis=0)
    active = scale > 1e-12 * max(float(scale.max(initial=0.0)), 1e-300)
    if not active.any():  # a silent network remembers nothing
        return np.zeros((len(test), targets.shape[1]))
    train, test = ((part[:, active] - mean[active]) / scale[active] for part in (train, test))
    # a penalty for each delay: the recent past is told clearly, the remote past through noise
    return RidgeReadout(alpha, per_output=True).fit(train, targets).predict(test)


def _adjusted(truth: Array, predicted: Array) -> Array:
    """Squared correlations of the columns, less what chance gives."""
    m = len(truth)
    a, b = truth - truth.mean(axis=0), predicted - predicted.mean(axis=0)
    power = (a**2).sum(axis=0) * (b**2).sum(axis=0)
    squared = np.divide((a * b).sum(axis=0) ** 2, power, out=np.zeros(len(power)), where=power > 0)
    silent = power <= 0
    return np.where(silent, 0.0, 1 - (1 - squared) * (m - 1) / (m - 2))


def _spikes_per_step(spikes: ArrayLike, n_steps: int, start: int) -> float:
    counted = np.asarray(spikes, dtype=np.float64)
    if counted.ndim not in (1, 2) or len(counted) != n_steps:
        raise InputError(f"spikes must be (steps,) or (steps, neurons) with {n_steps} steps, got {counted.shape}.")
    return float(counted[start:].sum() / (n_steps - start))
