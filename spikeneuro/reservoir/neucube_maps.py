"""What a cube has learned and how spikes travel in it: tables and arrays, to be drawn elsewhere."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.utils.validation import check_is_fitted

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.reservoir.neucube_wiring import Cube

Array = NDArray[Any]

#: What a connection carries: spikes sent, or spikes times the magnitude of the weight.
BY = ("strength", "spikes")
_TOLERANCE = 1e-9
_MOST_PASSES = 10_000


def source_shares(matrix: csr_array, sources: ArrayLike) -> Array:
    """How much of what reaches each neuron comes from each source, along all paths.

    With A the traffic of the connections ``[receiver, sender]``, rows divided by their sums, the shares F solve
    ``F = A F`` with the unit vectors held at the sources: the probability that a walk backward, along the connections
    by which spikes came, ends at each source.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
        Traffic, not negative.
    sources : array_like of int, shape (k,)
        Neurons where spikes come from; what reaches them does not count.

    Returns
    -------
    ndarray, shape (n, k)
        Rows of sum 1, or 0 for neurons that nothing from a source reaches.

    Examples
    --------
    >>> traffic = csr_array(np.array([[0.0, 0, 0], [0, 0, 0], [3, 1, 0]]))
    >>> source_shares(traffic, [0, 1]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.75, 0.25]]
    """
    places = np.asarray(sources, dtype=np.intp)
    n = matrix.shape[0]
    incoming = np.asarray(matrix.sum(axis=1)).ravel()
    incoming[places] = 0.0
    scale = np.divide(1.0, incoming, out=np.zeros(n), where=incoming > 0)
    steps = csr_array(matrix.multiply(scale[:, np.newaxis]))
    shares = np.zeros((n, len(places)))
    shares[places, np.arange(len(places))] = 1.0
    held = shares[places].copy()
    for _ in range(_MOST_PASSES):
        following = steps @ shares
        following[places] = held
        moved = np.abs(following - shares).max(initial=0.0)
        shares = following
        if moved < _TOLERANCE:
            break
    total = shares.sum(axis=1, keepdims=True)
    # loops that no source feeds keep nothing; rounding keeps the others from exactly 1
    return np.asarray(np.divide(shares, total, out=np.zeros_like(shares), where=total > 1e-6))


class CubeMaps:
    """Interpretation of a fitted cube; part of `spikeneuro.reservoir.NeuCube`."""

    cube_: Cube
    channels_: NDArray[np.intp]

    def _runs(self, X: ArrayLike) -> Iterator[NDArray[np.bool_]]:
        """Spikes of all neurons, ``(steps, neurons)``, of one sample after the other."""
        raise NotImplementedError

    def connections(self) -> pd.DataFrame:
        """All connections, and what learning changed.

        Returns
        -------
        DataFrame
            One row for each: ``sender``, ``receiver``, ``initial``, ``weight`` and their difference ``change``.
        """
        check_is_fitted(self, "cube_")
        cube = self.cube_
        return pd.DataFrame(
            {
                "sender": cube.sender,
                "receiver": cube.receiver,
                "initial": cube.initial,
                "weight": cube.weight,
                "change": cube.weight - cube.initial,
            }
        )

    def spike_counts(self, X: ArrayLike) -> NDArray[np.int64]:
        """Spikes of each neuron in each sample, ``(n, neurons)``."""
        return np.stack([fired.sum(axis=0) for fired in self._runs(X)])

    def activation(self, X: ArrayLike, bins: int = 10) -> NDArray[np.float64]:
        """Activation over time: firing rates in consecutive parts of the samples.

        Parameters
        ----------
        X : array_like, shape (n, channels, times)
            Samples; take those of one class for its map.
        bins : int, default 10
            Parts, as equal as the steps allow.

        Returns
        -------
        ndarray, shape (bins, neurons)
            Spikes a step, averaged over the samples.
        """
        check_number(bins, "bins", low=1, integer=True)
        total, n = np.zeros(1), 0
        for fired in self._runs(X):
            total, n = total + fired, n + 1
        by_step = total / n
        if bins > len(by_step):
            raise InputError(f"bins={bins} is more than the {len(by_step)} steps of a sample.")
        return np.stack([part.mean(axis=0) for part in np.array_split(by_step, bins)])

    def input_activation(self, X: ArrayLike, bins: int = 10) -> NDArray[np.float64]:
        """Activation of the inputs: spikes a step of each channel that feeds the cube, of either sign.

        Parameters
        ----------
        X : array_like, shape (n, channels, times)
            Samples.
        bins : int, default 10
            Parts, as equal as the steps allow.

        Returns
        -------
        ndarray, shape (bins, inputs)
            In the order of `channels_`.
        """
        rates, cube = self.activation(X, bins), self.cube_
        twins = rates[:, cube.negative_inputs] if len(cube.negative_inputs) else 0.0
        return np.asarray(rates[:, cube.inputs] + twins)

    def traffic(self, X: ArrayLike, by: str = "strength") -> csr_array:
        """Spike traffic of the connections.

        Parameters
        ----------
        X : array_like, shape (n, channels, times)
            Samples.
        by : {"strength", "spikes"}
            Spikes sent times the magnitude of the weight, or spikes sent; inhibitory connections count as others.

        Returns
        -------
        csr_array, shape (neurons, neurons)
            ``[receiver, sender]``, mean over the samples.
        """
        check_choice(by, BY, "by")
        sent = self.spike_counts(X).mean(axis=0)[self.cube_.sender]
        return self.cube_.matrix(sent * np.abs(self.cube_.weight) if by == "strength" else sent)

    def clusters(self, X: ArrayLike, by: str = "strength") -> NDArray[np.intp]:
        """Which input each neuron belongs to: the channel from which most of its spike traffic comes.

        Traffic is followed backward along all paths, see `source_shares`; a channel's positive and negative neurons
        count as one.

        Returns
        -------
        ndarray of int, shape (neurons,)
            Input (place in `channels_`), the first of equal ones; -1 for neurons that no traffic reaches.
        """
        return self._clusters(self.traffic(X, by))

    def input_traffic(self, X: ArrayLike, by: str = "strength") -> NDArray[np.float64]:
        """Who drives whom: spike traffic between the clusters of the channels.

        Returns
        -------
        ndarray, shape (inputs, inputs)
            In the order of `channels_`, ``[receiver, sender]``: traffic from the cluster of one channel to that of
            another, mean over the samples; on the diagonal the traffic within.
        """
        traffic = self.traffic(X, by)
        cluster = self._clusters(traffic)
        edges = traffic.tocoo()
        ends = cluster[edges.row], cluster[edges.col]
        inside = (ends[0] >= 0) & (ends[1] >= 0)
        total = np.zeros((len(self.channels_),) * 2)
        np.add.at(total, (ends[0][inside], ends[1][inside]), edges.data[inside])
        return total

    def _clusters(self, traffic: csr_array) -> NDArray[np.intp]:
        cube = self.cube_
        shares = source_shares(traffic, np.concatenate([cube.inputs, cube.negative_inputs]))
        by_channel = shares.reshape(len(shares), -1, len(self.channels_)).sum(axis=1)
        return np.where(by_channel.any(axis=1), by_channel.argmax(axis=1), -1)
