"""deSNN: a readout that learns each sample in one pass, from the order of first spikes and the spikes that follow."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from spikeneuro._validation import check_choice, check_finite, check_number, user_errors
from spikeneuro.errors import InputError
from spikeneuro.reservoir.ranks import TIES, FirstSpikes, first_of, first_spike_ranks
from spikeneuro.reservoir.votes import VOTES, needs_one_more, neighbour_votes

FORMS = ("static", "membrane")

_CHUNK = 2**26  # spikes looked at in one go: 64 MB of bytes
_ROUNDING = 1e-9  # relative difference that a sum of weights in another order may have

Floats = NDArray[np.float64]
Steps = NDArray[np.int32]


class _RankOrderReadout(TransformerMixin, BaseEstimator):
    """What classifier and regressor share: weights of samples, distances to training samples, votes."""

    def __init__(
        self,
        form: str = "static",
        *,
        mod: float = 0.8,
        drift_up: float = 0.005,
        drift_down: float = 0.005,
        alpha: float = 1.0,
        first_rank: int = 0,
        ties: str = "min",
        threshold_ratio: float = 1.0,
        n_neighbors: int | None = None,
        vote: str = "distance",
        sigma: float = 1.0,
    ) -> None:
        self.form = form
        self.mod = mod
        self.drift_up = drift_up
        self.drift_down = drift_down
        self.alpha = alpha
        self.first_rank = first_rank
        self.ties = ties
        self.threshold_ratio = threshold_ratio
        self.n_neighbors = n_neighbors
        self.vote = vote
        self.sigma = sigma

    def transform(self, X: ArrayLike) -> Floats:
        """Synaptic weights that the spikes of each sample would give an output neuron.

        Parameters
        ----------
        X : array-like of shape (samples, time, neurons)
            Spikes, 0 or 1.

        Returns
        -------
        ndarray, shape (samples, neurons)
            Weights, zero for silent neurons; features for any other scikit-learn readout.
        """
        check_is_fitted(self)
        return self._weights(*self._summary(X, reset=False))

    def weights_of(self, X: ArrayLike) -> Floats:
        """Weights as `transform` gives them, of spikes of any size, without training samples."""
        return clone(self)._weights_anew(X)

    def _weights_anew(self, X: ArrayLike) -> Floats:
        self._check_parameters()
        return self._weights(*self._summary(X, reset=True))

    def _learn(self, X: ArrayLike, y: Any) -> None:
        self._check_parameters()
        first, counts = self._summary(X, reset=True)
        if y is None:
            raise InputError(f"requires y to be passed, but the target y is None ({type(self).__name__}).")
        if np.shape(y) != (len(first),):
            raise InputError(f"X has {len(first)} samples, but y has shape {np.shape(y)}.")
        k = self.n_voters
        if k + needs_one_more(self.vote) > len(first):
            needed = f"more than that with vote={self.vote!r}" if needs_one_more(self.vote) else "at least as many"
            raise InputError(f"n_neighbors={k} needs {needed} training samples, got {len(first)}.")
        if not counts.any():
            raise InputError("X holds no spike at all; raise the input of the network that made it.")
        self.weights_ = self._weights(first, counts)
        arrival = self._arrival(first)
        self.psp_max_ = (arrival * self.weights_).sum(axis=1)
        if self.form == "membrane" and not (self.psp_max_ > 0).any():
            raise InputError(
                f"no output neuron can fire: drift_down={self.drift_down:g} has made the largest potential of each "
                "negative; lower it, or use form='static'."
            )

    def _check_parameters(self) -> None:
        check_choice(self.form, FORMS, "form")
        check_choice(self.ties, TIES, "ties")
        check_choice(self.vote, VOTES, "vote")
        check_number(self.mod, "mod", low=0, high=1, closed="neither")
        check_number(self.drift_up, "drift_up", low=0)
        check_number(self.drift_down, "drift_down", low=0)
        check_number(self.alpha, "alpha", low=0, closed="neither")
        check_number(self.first_rank, "first_rank", low=0, high=1, integer=True)
        check_number(self.threshold_ratio, "threshold_ratio", low=0, high=1, closed="right")
        check_number(self.sigma, "sigma", low=0, closed="neither")
        if self.n_neighbors is not None:
            check_number(self.n_neighbors, "n_neighbors", low=1, integer=True)

    @property
    def n_voters(self) -> int:
        """Neighbours that vote."""
        return self.n_neighbors or (3 if self.form == "static" else 1)

    def _summary(self, X: ArrayLike | FirstSpikes, reset: bool) -> tuple[Steps, Steps]:
        """Step of the first spike and number of spikes, each ``(samples, neurons)``: all that the weights depend on."""
        if isinstance(X, FirstSpikes):
            self._check_size(X.shape, reset)
            return X.first, X.counts
        spikes = np.asarray(X.detach().cpu() if hasattr(X, "detach") else X)
        if spikes.ndim != 3 or 0 in spikes.shape:
            raise InputError(
                f"{type(self).__name__} takes spikes (samples, time, neurons), got shape {spikes.shape}; a layer's "
                "(time, batch, neurons) is turned by swapaxes(0, 1)."
            )
        if spikes.dtype.kind not in "biuf":
            raise InputError(f"{type(self).__name__} takes spikes of 0 and 1, got dtype {spikes.dtype}.")
        self._check_size(spikes.shape, reset)
        return self._looked_up(spikes)

    def _check_size(self, shape: tuple[int, ...], reset: bool) -> None:
        if reset:
            self.n_times_in_, self.n_features_in_ = shape[1:]
        elif shape[1:] != (self.n_times_in_, self.n_features_in_):
            swapped = shape[:0:-1] == (self.n_times_in_, self.n_features_in_)
            hint = "time and neurons look swapped" if swapped else "drift makes weights of other lengths differ"
            raise InputError(f"{type(self).__name__} was fitted on {self.n_times_in_} steps of {self.n_features_in_} "
                             f"neurons, got samples of shape {shape[1:]}; {hint}.")  # fmt: skip

    def _looked_up(self, spikes: NDArray[Any]) -> tuple[Steps, Steps]:
        shape = spikes.shape
        first, counts = np.empty((2, shape[0], shape[2]), dtype=np.int32)
        step = max(1, _CHUNK // (shape[1] * shape[2]))
        for start in range(0, len(spikes), step):
            piece = spikes[start : start + step]
            fired = piece.astype(bool)
            if piece.dtype.kind != "b" and (piece != fired).any():
                check_finite(piece, "X")
                raise InputError(f"spikes must be 0 or 1, got {float(piece[piece != fired][0]):g} in sample {start} or "
                                 "later; counts and potentials are no spikes.")  # fmt: skip
            counts[start : start + step] = fired.sum(axis=1)
            first[start : start + step] = first_of(fired)
        return first, counts

    def _arrival(self, first: Steps) -> Floats:
        """``mod ** rank`` of each neuron's first spike, 0 for silent neurons."""
        return np.asarray(self.mod ** first_spike_ranks(first, self.n_times_in_, self.ties))

    def _weights(self, first: Steps, counts: Steps) -> Floats:
        later = np.maximum(counts - 1, 0)
        silent_after = self.n_times_in_ - 1 - first - later
        weights = self.alpha * self.mod**self.first_rank * self._arrival(first)
        weights += self.drift_up * later - self.drift_down * silent_after
        return np.where(counts > 0, weights, 0.0)

    def _distances(self, X: ArrayLike) -> Floats:
        """From every sample to every training sample: between weights, or the latency of its output neuron."""
        check_is_fitted(self)
        first, counts = self._summary(X, reset=False)
        if self.form == "static":
            return np.asarray(cdist(self._weights(first, counts), self.weights_))
        return self._latencies(first)

    def _latencies(self, first: Steps) -> Floats:
        """When the output neuron of each training sample reaches its threshold, and by how much; see `DeSNN`."""
        n_times, thresholds = self.n_times_in_, self.threshold_ratio * self.psp_max_
        able = thresholds > 0
        latency = np.full((len(first), len(thresholds)), np.inf)
        for row, (steps, arrival) in enumerate(zip(first, self._arrival(first), strict=True)):
            order = np.argsort(steps, kind="stable")
            order = order[steps[order] < n_times]
            ratio = np.zeros((1, able.sum()))
            ends = np.array([n_times])
            if len(order):
                potential = np.cumsum(arrival[order, None] * self.weights_[able][:, order].T, axis=0)
                last = np.flatnonzero(np.diff(steps[order], append=n_times))  # all spikes of a step arrive together
                ratio, ends = potential[last] / thresholds[able], steps[order][last]
            reached = ratio >= 1 - _ROUNDING
            when = reached.argmax(axis=0)
            at_reach = np.maximum(ratio[when, np.arange(ratio.shape[1])], 1.0)
            latency[row, able] = np.where(reached.any(axis=0), ends[when] + 1 / at_reach, n_times + 2 - ratio[-1])
        return latency

    def _votes(self, X: ArrayLike) -> Floats:
        """Weight of every training sample for every sample, rows of sum 1."""
        distance = self._distances(X)
        k = min(self.n_voters, int(np.isfinite(distance[0]).sum()))
        return np.asarray(neighbour_votes(distance, k, self.vote, self.sigma))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = True
        return tags


class DeSNN(ClassifierMixin, _RankOrderReadout):
    r"""Dynamic evolving spiking neural network: a classifier of spike trains that learns in one pass.

    Each training sample gets an output neuron. Its synapse from input neuron j has the weight

    .. math::

        w_j = \alpha\, m^{r_j + r_0} + d_{up}\, (n_j - 1) - d_{down}\, (T - 1 - t_j - (n_j - 1)),

    with :math:`t_j` the step of j's first spike, :math:`r_j` its rank among the first spikes (0 for the earliest),
    :math:`n_j` the number of its spikes and T the number of steps: set at the first spike, raised by each later spike,
    lowered by each step without one. A neuron that never fires has weight 0. Nothing bounds the weights.

    - ``static`` (deSNNs): a new sample is turned into weights, too, and the `n_neighbors` training samples with the
      nearest weights (Euclidean) vote for its class.
    - ``membrane`` (deSNNm): the first spikes of a new sample, modulated by their own rank, raise the potentials
      :math:`P_i(t) = \sum_{j: t_j \le t} m^{r_j} w_{ij}` of the output neurons. The first to reach
      :math:`\theta_i = C\, P_i^{max}` decides, :math:`P_i^{max}` the potential that its own training sample gives it.
      Of those that reach it in one step, that of the largest :math:`P_i / \theta_i` comes first; if none does,
      likewise. With `n_neighbors` k the first k vote. Output neurons whose :math:`P_i^{max}` is not positive never do.

    Votes of the neighbours at distance d are :math:`\max d - (d - \min d)` (``distance``), :math:`e^{-d^2 / 2\sigma^2}`
    (``gaussian``), :math:`e^{-d / 2\sigma^2 D}` with D the distance of the neighbour k + 1, the nearest that does not
    vote (``relative``, that of NeuCube's program), or equal (``uniform``); in the membrane form d is the latency, in
    steps. All neighbours as near as the last of the k vote. Between classes of equal votes the first in order wins.

    Parameters
    ----------
    form : {"static", "membrane"}
        How a new sample is compared.
    mod : float, default=0.8
        Modulation factor m, in (0, 1).
    drift_up, drift_down : float, default=0.005
        At least 0. They add up over time: 200 silent steps take away a whole first spike.
    alpha : float, default=1.0
        Weight of the earliest first spike.
    first_rank : {0, 1}, default=0
        Where ranks begin in the weights: 0 as published, 1 as in NeuCube.
    ties : {"min", "dense", "average", "index"}
        Rank of neurons that fire first in the same step, see `first_spike_ranks`. With many neurons and few steps most
        are ties, and ``dense``, which has as many ranks as steps, keeps more weights apart from zero.
    threshold_ratio : float, default=1.0
        C of the membrane form, in (0, 1]. Smaller values decide earlier.
    n_neighbors : int, optional
        Neighbours that vote: 3 for the static form, 1 (the first to fire, as published) for the membrane form.
    vote : {"distance", "gaussian", "relative", "uniform"}
        Weights of the neighbours; "relative" needs more training samples than `n_neighbors`.
    sigma : float, default=1.0
        Width of "gaussian", in the unit of the distance, and of "relative", which has none.

    Attributes
    ----------
    classes_ : ndarray
        Class labels.
    weights_ : ndarray, shape (training samples, neurons)
        Synaptic weights of the output neurons.
    psp_max_ : ndarray, shape (training samples,)
        Largest potential of each.
    n_times_in_, n_features_in_ : int
        Steps and neurons of a sample.

    Raises
    ------
    InputError
        For input other than 0 and 1 of shape (samples, time, neurons), training data without any spike, other sizes in
        `predict` than in `fit`, one class only.

    References
    ----------
    Kasabov, Dhoble, Nuntalid and Indiveri (2013), doi:10.1016/j.neunet.2012.11.014.
    Thorpe and Gautrais (1998), doi:10.1007/978-1-4615-4831-7_19 (rank order).
    Kasabov (2007), doi:10.1016/j.patrec.2006.08.007 (votes by distance).

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro.reservoir import DeSNN
    >>> early, late = np.zeros((2, 10, 3))
    >>> early[[1, 2, 3], [2, 0, 1]] = 1
    >>> late[[1, 2, 3], [1, 0, 2]] = 1
    >>> readout = DeSNN(drift_up=0, drift_down=0, n_neighbors=1).fit([early, late], ["2-0-1", "1-0-2"])
    >>> readout.weights_[0].round(4).tolist(), round(float(readout.psp_max_[0]), 4)
    ([0.8, 0.64, 1.0], 2.0496)
    >>> readout.predict([late])
    array(['1-0-2'], dtype='<U5')
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> "DeSNN":
        """Give every training sample its output neuron.

        Parameters
        ----------
        X : array-like of shape (samples, time, neurons)
            Spikes, 0 or 1.
        y : array-like of shape (samples,)
            Labels.

        Returns
        -------
        DeSNN
            The readout itself.
        """
        self._learn(X, y)
        with user_errors():
            check_classification_targets(y)
        self.classes_, self._codes = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y holds one class only ({self.classes_.tolist()[0]!r}); a classifier needs two.")
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Share of the votes for each class, ``(samples, classes)``."""
        return np.asarray(self._votes(X) @ self.voted_values())

    def voted_values(self) -> Floats:
        """What each training sample votes for: 1 in the column of its class, ``(training samples, classes)``."""
        check_is_fitted(self)
        return np.asarray(np.eye(len(self.classes_))[self._codes])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class with the most votes."""
        # votes that are equal but for rounding are a tie, which the first class wins
        return self.classes_[self.predict_proba(X).round(12).argmax(axis=1)]


class DeSNNRegressor(RegressorMixin, _RankOrderReadout):
    """Dynamic evolving spiking neural network that predicts a number: the mean over the neighbours, by their votes.

    Parameters, attributes and errors are those of `DeSNN`.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro.reservoir import DeSNNRegressor
    >>> X = np.tril(np.ones((4, 6, 4)), k=-1)  # neuron j fires from step j + 1 on
    >>> X[1:] = X[1:, :, [1, 0, 3, 2]]
    >>> DeSNNRegressor(n_neighbors=1).fit(X[:2], [3.0, 5.0]).predict(X[2:])
    array([5., 5.])
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> "DeSNNRegressor":
        """Give every training sample its output neuron, as `DeSNN.fit` with a number per sample."""
        self._learn(X, y)
        with user_errors():
            self._targets = check_finite(np.asarray(y, dtype=np.float64), "y")
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Mean of the neighbours' targets, weighted by their votes."""
        return np.asarray(self._votes(X) @ self._targets)

    def voted_values(self) -> Floats:
        """What each training sample votes for: its target, ``(training samples, 1)``."""
        check_is_fitted(self)
        return np.asarray(self._targets[:, np.newaxis])
