"""The cube itself: neurons at their places, sparse connections, and the runs of samples through it."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.spatial import cKDTree

from spikeneuro.errors import InputError
from spikeneuro.reservoir.wiring import small_world

Array = NDArray[Any]

#: Share of the highest possible firing rate from which on a cube is called saturated.
_SATURATED = 0.8


@dataclass
class Dynamics:
    """Constants of neurons and learning; see `spikeneuro.reservoir.NeuCube`."""

    leak: float = 0.002
    threshold: float = 0.5
    refractory: int = 6
    limit: float = 2.0
    inputs_lose: bool = False


@dataclass
class Cube:
    """Neurons and connections. Connections are listed by sender, then receiver.

    Attributes
    ----------
    positions : ndarray, shape (neurons, 3)
        Places; the negative input neurons, which come last, share those of the positive ones.
    inputs, negative_inputs : ndarray of int
        Neurons that channels feed, in the order of the channels.
    sender, receiver : ndarray of int32, shape (connections,)
        Ends of each connection.
    is_input : ndarray of bool, shape (neurons,)
        Whether a neuron is an input, of either sign.
    initial, weight : ndarray of float32, shape (connections,)
        Weights as drawn, and now.
    """

    positions: Array
    inputs: Array
    negative_inputs: Array
    sender: Array
    receiver: Array
    initial: Array
    weight: Array
    dynamics: Dynamics = field(default_factory=Dynamics)

    def __post_init__(self) -> None:
        n = len(self.positions)
        self._out_start = np.searchsorted(self.sender, np.arange(n + 1)).astype(np.int64)
        self._in_edge = np.argsort(self.receiver, kind="stable").astype(np.int32)
        self._in_start = np.searchsorted(self.receiver[self._in_edge], np.arange(n + 1)).astype(np.int64)
        self._all_inputs = np.concatenate([self.inputs, self.negative_inputs]).astype(np.int32)
        self.is_input = np.zeros(n, dtype=np.bool_)
        self.is_input[self._all_inputs] = True

    @property
    def n_neurons(self) -> int:
        """All neurons, inputs included."""
        return len(self.positions)

    def matrix(self, values: Array | None = None) -> csr_array:
        """Weights, or other values of the connections, as ``[receiver, sender]``; silent connections stay listed."""
        data = self.weight if values is None else values
        n = self.n_neurons
        return csr_array(coo_array((data, (self.receiver, self.sender)), shape=(n, n)))

    def learn(self, events: Array, rate: float) -> None:
        """Run samples ``(n, steps, inputs)`` one after the other, each from rest, and change the weights."""
        for sample in events:
            self._run(sample, rate)

    def run(self, events: Array) -> Iterator[Array]:
        """Spikes ``(steps, neurons)`` of one sample after the other, each from rest; no weight changes."""
        for sample in events:
            yield self._run(sample, None)

    def _run(self, sample: Array, rate: float | None) -> Array:
        from spikeneuro.reservoir.neucube_kernel import run_sample  # numba takes its time to import

        constants, single = self.dynamics, np.float32
        spikes = np.zeros((len(sample), self.n_neurons), dtype=np.bool_)
        arguments = (
            np.ascontiguousarray(sample, dtype=np.bool_), self._all_inputs, self.is_input, self._out_start,
            self.receiver, self.weight, self._in_start, self._in_edge, self.sender, single(constants.leak),
            single(constants.threshold), int(constants.refractory),
        )  # fmt: skip
        potential = np.empty(self.n_neurons, dtype=np.float32)
        learns = rate is not None
        never_lose = self.is_input & (not constants.inputs_lose)
        run_sample(*arguments, learns, never_lose, single(rate or 0.0), single(constants.limit), spikes, potential)
        return spikes


def build(
    neurons: Array,
    inputs: Array,
    *,
    negative: str,
    radius: float,
    inhibitory: float,
    max_weight: float,
    dynamics: Dynamics,
    random_state: int,
) -> Cube:
    """Draw a cube of `neurons`, some of which are `inputs`; `radius` in their unit.

    `negative` says what the twins of the input neurons, which stand for spikes of negative sign, begin with: weights
    of 0 ("zero"), those of the positive ones ("mirror"), or that there are none ("none").
    """
    weights = small_world(
        neurons, radius=radius, inhibitory=inhibitory, max_weight=max_weight, inputs=inputs, random_state=random_state
    ).tocoo()
    n = len(neurons)
    receiver, sender, value = weights.row, weights.col, weights.data
    twins = np.array([], dtype=np.intp)
    if negative != "none":
        twins = n + np.arange(len(inputs))
        place = np.full(n, -1)
        place[inputs] = twins
        copied = place[sender] >= 0
        receiver = np.concatenate([receiver, receiver[copied]])
        value = np.concatenate([value, value[copied] * (negative == "mirror")])
        sender = np.concatenate([sender, place[sender[copied]]])
        neurons = np.concatenate([neurons, neurons[inputs]])
    order = np.lexsort((receiver, sender))
    initial = value[order].astype(np.float32)
    return Cube(
        positions=neurons, inputs=np.asarray(inputs), negative_inputs=twins,
        sender=sender[order].astype(np.int32), receiver=receiver[order].astype(np.int32),
        initial=initial, weight=initial.copy(), dynamics=dynamics,
    )  # fmt: skip


def warn_of_activity(features: Array, cube: Cube) -> None:
    """Warn of a cube that is silent, or spikes nearly as often as it can; spikes or rates, neurons last."""
    rate = features.reshape(-1, features.shape[-1])[:, ~cube.is_input].mean(axis=0)
    constants = cube.dynamics
    most = 1 / (constants.refractory + 1)
    if not rate.any():
        what = f"no neuron beyond the inputs spikes. Lower threshold={constants.threshold:g}, or raise max_weight."
    elif rate.mean() > _SATURATED * most:
        what = (
            f"neurons spike {rate.mean():.3f} times a step, of {most:.3f} that the refractory period allows. Lower "
            f"rate, or raise threshold={constants.threshold:g}."
        )
    else:
        return
    warnings.warn(f"the cube tells little about the training samples: {what}", stacklevel=3)


def spacing_of(neurons: Array) -> float:
    """Median distance of a neuron to the nearest other one."""
    if len(neurons) < 2:
        raise InputError("a cube needs at least two neurons.")
    distance = np.asarray(cKDTree(neurons).query(neurons, k=2)[0])
    return float(np.median(distance[:, 1]))


def nearest_neurons(places: Array, neurons: Array) -> tuple[Array, Array]:
    """A neuron of its own for each place, and its distance: the nearest that is free, closest pairs first."""
    if len(places) > len(neurons):
        raise InputError(f"{len(places)} inputs do not fit into {len(neurons)} neurons; take a finer spacing.")
    tree = cKDTree(neurons)
    chosen, distances = np.full(len(places), -1), np.zeros(len(places))
    taken = np.zeros(len(neurons), dtype=bool)
    near = min(8, len(neurons))
    while (chosen < 0).any():
        open_ = np.flatnonzero(chosen < 0)
        distance, candidate = (np.reshape(values, (len(open_), near)) for values in tree.query(places[open_], k=near))
        for flat in np.argsort(distance, axis=None, kind="stable"):
            row, column = divmod(int(flat), near)
            place, neuron = open_[row], candidate[row, column]
            if chosen[place] < 0 and not taken[neuron]:
                chosen[place], distances[place], taken[neuron] = neuron, distance[row, column], True
        near = min(2 * near, len(neurons))
    return chosen, distances
