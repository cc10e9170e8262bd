"""NeuCube: a brain-shaped reservoir of spiking neurons that learns by spike timing, and a readout of its spikes."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from spikeneuro._random import derive_seed, scoped_seed
from spikeneuro._validation import check_choice, check_finite, check_number, user_errors
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.reservoir.coordinates import TEMPLATE
from spikeneuro.reservoir.desnn import DeSNN, DeSNNRegressor
from spikeneuro.reservoir.liquid import own_readout
from spikeneuro.reservoir.neucube_events import fitted_encoder, input_events
from spikeneuro.reservoir.neucube_maps import CubeMaps
from spikeneuro.reservoir.neucube_network import CubeNetworkSource
from spikeneuro.reservoir.neucube_places import CubePlaces
from spikeneuro.reservoir.neucube_wiring import warn_of_activity
from spikeneuro.reservoir.ranks import FirstSpikes
from spikeneuro.reservoir.signals import as_signals

Array = NDArray[Any]

TASKS = ("classification", "regression")
NEGATIVE = ("zero", "mirror", "none")


def _gives_probabilities(estimator: "NeuCube") -> bool:
    return estimator.task == "classification" and hasattr(
        getattr(estimator, "readout_", estimator._new_readout()), "predict_proba"
    )


class NeuCube(CubePlaces, CubeMaps, CubeNetworkSource, TransformerMixin, BaseEstimator):
    r"""NeuCube: spiking neurons at places in the brain, wired by distance, that learn the paths of the input spikes.

    Each channel feeds the neuron nearest to its place in the brain, its negative spikes a twin of that neuron at the
    same place. A neuron j that is no input gathers the spikes of the step before,

    .. math::

        p_j &= P_j[t-1] + \sum_i w_{ij} \, s_i[t-1], \qquad s_j[t] = H(p_j - \theta) \\
        P_j[t] &= 0 \text{ if it spikes, else } \max(0, p_j - \lambda)

    with H(0) = 1. After a spike it is deaf for `refractory` steps: what arrives is lost. Neurons within `radius` are
    connected in one direction (`spikeneuro.reservoir.small_world`): :math:`w = \pm r \, c / D` with r uniform in
    [0, 1), one in five negative; nothing leads to input neurons, and what leaves them is :math:`2 |w|`.

    `fit` runs the training samples through the cube in their order, `rounds` times, each from rest. When neuron j
    spikes in step t and i did last in step t' < t, the connection from i to j gains :math:`\eta / (t - t')`; it loses
    as much when i spikes in step t and j did last in t'. Each spike pairs once only with the other side of a synapse,
    two in one step do not, and spikes of inputs weaken nothing unless `inputs_lose`: this is
    `spikeneuro.plasticity.HyperbolicSTDP` with ``offset=0, coincident="neither"``. In round k,
    :math:`\eta = 0.1 \, rate / \sqrt k`, and weights stay within :math:`\pm limit`. Labels play no part. Then
    the weights are frozen, the samples run once more, and the readout learns from their spikes. `predict`,
    `transform` and the maps never change a weight, and each sample is treated by itself.

    Parameters
    ----------
    positions : array_like, shape (channels, 3), optional
        Places of the channels: MNI millimetres for ``neurons="brain"``. From `electrode_positions`, `roi_positions`,
        `bundled_positions` or your own measurement. Either these or `names`.
    names : sequence of str, optional
        Electrodes, whose places are looked up in `montage`; for EEG.
    montage : str, default "standard_1005"
        Built-in montage of MNE.
    neurons : {"brain", "box", "channels"} or array_like, shape (n, 3)
        Where neurons stand: a grid in the MNI152 brain; 10 x 10 x 10 around `positions`, for inputs that are in no
        standard space; one at each place of a channel, such as the voxels of a region, of which `n_inputs` are fed; or
        places of your own.
    n_inputs : int, optional
        Channels that feed the cube, all by default: those whose mean over time tells the targets of the training
        samples best apart (largest F). Needs `fit`, as `learn` has no labels.
    spacing : float, default 10
        Distance of neurons in the brain, in millimetres: 10 for 1879 neurons, 4.5 for 20 626.
    encoder : None, str, Encoder or "spikes"
        Code of the signals, by default NeuCube's own, ``DeltaEncoder(strict=True)``, whose threshold is fitted to the
        training samples. On features feed the inputs, off features their twins. With "spikes" the samples are spikes
        already: 1, -1 and 0.
    task : {"classification", "regression"}
        What the readout predicts.
    readout : scikit-learn estimator, optional
        By default `DeSNN` or `DeSNNRegressor`, with dense ranks for ties. Other estimators of three-dimensional input
        get spikes (n, steps, neurons), all others firing rates (n, neurons).
    radius : float, default 2.5
        Greatest distance of connected neurons, in units of the (median) distance of neighbours.
    inhibitory : float, default 0.2
        Probability that a connection is inhibitory.
    max_weight : float, default 0.1
        Largest initial weight, before those of inputs are doubled.
    negative : {"zero", "mirror", "none"}
        First weights of the twins: 0, as in NeuCube, so that they have an effect only once they have learned; those of
        the positive inputs; or no twins: negative spikes are left out.
    leak : float, default 0.002
        Loss of potential a step, in [0, inf).
    threshold : float, default 0.5
        Potential of a spike.
    refractory : int, default 6
        Steps without input after a spike.
    rate : float, default 0.01
        Rate of learning. What is learned adds up over steps and samples: many of them want a smaller one.
    rounds : int, default 1
        Passes over the training samples; 0 leaves the cube as drawn.
    limit : float, default 2
        Largest magnitude that learning gives to a weight.
    inputs_lose : bool, default False
        Whether a spike of an input weakens its connections to neurons that spiked before. In NeuCube it does not.
    random_state : int, RandomState or None
        Draws signs, magnitudes and directions of the connections.

    Attributes
    ----------
    cube_ : Cube
        Neurons (``positions``, ``inputs``, ``negative_inputs``) and connections (``sender``, ``receiver``,
        ``initial``, ``weight``); ``cube_.matrix()`` gives the weights as sparse ``[receiver, sender]``.
    channels_ : ndarray of int, shape (inputs,)
        Channels that feed the cube; the maps count inputs in this order.
    positions_ : ndarray, shape (inputs, 3)
        Places of these channels.
    input_distance_ : ndarray, shape (inputs,)
        How far each is from the neuron it feeds.
    encoder_ : Encoder or None
        The fitted code.
    readout_ : scikit-learn estimator
        The fitted readout.
    classes_ : ndarray
        Labels.
    n_chans_ : int
        Channels.

    Raises
    ------
    InputError
        Without places, for unknown electrodes, places in metres or outside the brain, a number of channels other than
        that of the places, NaN, parameters out of range, and training samples without any spike.

    Notes
    -----
    A warning says when the cube is silent or nearly saturated on the training samples.
    Long-distance connections that NeuCube can draw while learning (probability 0 by default) are left out. A sample of
    1000 steps through 20 626 neurons takes well under a second. Samples pass one by one, and of each only the rates, or
    for deSNN the first spikes and counts, are kept; `spikes`, and other readouts that take spikes, need a byte for each
    sample, neuron and step.

    References
    ----------
    Kasabov (2014), Neural Netw. 52:62-76, doi:10.1016/j.neunet.2014.01.006.
    Kasabov et al. (2016), Neural Netw. 78:1-14, doi:10.1016/j.neunet.2015.09.011.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.normal(size=(40, 4, 128))
    >>> X[y == 1, :2] = X[y == 1, :2].cumsum(axis=-1)
    >>> cube = NeuCube(names=["C3", "C4", "O1", "O2"], spacing=20, random_state=0).fit(X[:20], y[:20])
    >>> cube.score(X[20:], y[20:]) > 0.8
    True
    """

    def __init__(
        self,
        positions: ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
        montage: str = TEMPLATE,
        neurons: str | ArrayLike = "brain",
        n_inputs: int | None = None,
        spacing: float = 10.0,
        encoder: str | Encoder | None = None,
        task: str = "classification",
        readout: Any = None,
        radius: float = 2.5,
        inhibitory: float = 0.2,
        max_weight: float = 0.1,
        negative: str = "zero",
        leak: float = 0.002,
        threshold: float = 0.5,
        refractory: int = 6,
        rate: float = 0.01,
        rounds: int = 1,
        limit: float = 2.0,
        inputs_lose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.positions = positions
        self.names = names
        self.montage = montage
        self.neurons = neurons
        self.n_inputs = n_inputs
        self.spacing = spacing
        self.encoder = encoder
        self.task = task
        self.readout = readout
        self.radius = radius
        self.inhibitory = inhibitory
        self.max_weight = max_weight
        self.negative = negative
        self.leak = leak
        self.threshold = threshold
        self.refractory = refractory
        self.rate = rate
        self.rounds = rounds
        self.limit = limit
        self.inputs_lose = inputs_lose
        self.random_state = random_state

    def learn(self, X: ArrayLike) -> Self:
        """Draw the cube and let it learn from samples, without labels and without a readout.

        Parameters
        ----------
        X : array_like, shape (n, channels, times)
            Training samples: signals in any unit, or spikes with ``encoder="spikes"``.

        Returns
        -------
        self
            Enough for `spikes`, `transform` and the maps.
        """
        self._check_parameters()
        signals = self._signals(X, reset=True)
        if self.n_inputs is not None:
            raise InputError(f"n_inputs={self.n_inputs} chooses channels by their labels; use fit(X, y).")
        return self._learn(signals, np.arange(signals.shape[1]))

    def _learn(self, signals: Array, channels: NDArray[np.intp]) -> Self:
        places = self._places(signals.shape[1])
        self.n_chans_, self.channels_, self.positions_ = signals.shape[1], channels, places[channels]
        self.seed_ = derive_seed(self.random_state)
        self.encoder_ = fitted_encoder(self.encoder, signals[:, channels])
        self.cube_ = self._draw(places)
        events = self._events(signals)
        if not events.any():
            raise InputError("the training samples give no spike at all; lower the threshold of the encoder.")
        for number in range(1, self.rounds + 1):
            self.cube_.learn(events, 0.1 * self.rate / number**0.5)
        return self

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Let the cube learn from the samples alone, freeze it, then train the readout.

        Parameters
        ----------
        X : array_like, shape (n, channels, times)
            Training samples.
        y : array_like, shape (n,)
            Labels or numbers.

        Returns
        -------
        self
            Ready for `predict`.
        """
        self._check_parameters()
        signals = self._signals(X, reset=True)
        targets = self._targets(y, len(signals))
        self._learn(signals, self._best_channels(signals, targets))
        features = self._features(X)
        seen = features.counts / features.n_times if isinstance(features, FirstSpikes) else features
        warn_of_activity(seen, self.cube_)
        self.readout_ = self._new_readout().fit(features, targets)
        return self

    def spikes(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Spikes of all neurons, ``(n, steps, neurons)``, negative input neurons last."""
        check_is_fitted(self, "cube_")
        events = self._events(self._signals(X))
        out = np.empty((*events.shape[:2], self.cube_.n_neurons), dtype=np.bool_)
        for place, fired in enumerate(self.cube_.run(events)):
            out[place] = fired
        return out

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Firing rates ``(n, neurons)``: spikes a step."""
        return np.stack([fired.mean(axis=0) for fired in self._runs(X)])

    def _runs(self, X: ArrayLike) -> Iterator[NDArray[np.bool_]]:
        check_is_fitted(self, "cube_")
        return self.cube_.run(self._events(self._signals(X)))

    def predict(self, X: ArrayLike) -> Array:
        """Labels or numbers, ``(n,)``."""
        check_is_fitted(self, "readout_")
        return np.asarray(self.readout_.predict(self._features(X)))

    @available_if(_gives_probabilities)
    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities ``(n, classes)``, where the readout gives them; for `DeSNN` shares of the votes."""
        check_is_fitted(self, "readout_")
        return np.asarray(self.readout_.predict_proba(self._features(X)))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of right labels, or the coefficient of determination."""
        measure = accuracy_score if self.task == "classification" else r2_score
        with user_errors():
            return float(measure(y, self.predict(X), sample_weight=sample_weight))

    def _features(self, X: ArrayLike) -> Array | FirstSpikes:
        """What the readout gets."""
        readout = self._new_readout()
        if type(readout) in (DeSNN, DeSNNRegressor):
            return FirstSpikes.of(self._runs(X))
        tags = get_tags(readout).input_tags
        return self.spikes(X) if tags.three_d_array and not tags.two_d_array else self.transform(X)

    def _new_readout(self) -> Any:
        if self.readout is not None:
            return own_readout(self.readout)
        return DeSNN(ties="dense") if self.task == "classification" else DeSNNRegressor(ties="dense")

    def _targets(self, y: Any, n: int) -> Array:
        if y is None:
            raise InputError(
                "requires y to be passed, but the target y is None (NeuCube); without labels use learn(X)."
            )
        targets = np.asarray(y)
        if targets.shape != (n,):
            raise InputError(f"X has {n} samples, but y has shape {targets.shape}.")
        with user_errors():
            if self.task == "regression":
                return check_finite(targets.astype(np.float64), "y")
            check_classification_targets(targets)
        self.classes_ = np.unique(targets)
        if len(self.classes_) < 2:
            raise InputError(f"y holds one class only ({self.classes_.tolist()[0]!r}); a classifier needs two.")
        return targets

    def _check_parameters(self) -> None:
        check_choice(self.task, TASKS, "task")
        check_choice(self.negative, NEGATIVE, "negative")
        for name in ("radius", "max_weight", "threshold", "limit"):
            check_number(getattr(self, name), name, low=0.0, closed="neither")
        for name in ("leak", "rate"):
            check_number(getattr(self, name), name, low=0.0)
        for name in ("refractory", "rounds"):
            check_number(getattr(self, name), name, low=0, integer=True)
        if self.n_inputs is not None:
            check_number(self.n_inputs, "n_inputs", low=1, integer=True)
        if self.max_weight * 2 > self.limit:
            raise InputError(f"limit={self.limit:g} must be at least twice max_weight={self.max_weight:g}.")

    def _signals(self, X: ArrayLike, *, reset: bool = False) -> Array:
        signals = as_signals(X)
        if signals.dtype == object:
            raise InputError("the samples differ in length; cut windows of one length first.")
        if not reset and signals.shape[1] != self.n_chans_:
            raise InputError(
                f"NeuCube was fitted on {self.n_chans_} channels, got samples of shape {signals.shape[1:]}."
            )
        return signals

    def _events(self, signals: Array) -> NDArray[np.bool_]:
        with scoped_seed(self.seed_):
            return input_events(signals[:, self.channels_], self.encoder_, signed=self.negative != "none")

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions; a classifier or a regressor, whichever the task says."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        if self.task == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags
