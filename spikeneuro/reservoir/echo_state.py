"""Echo-state networks: fixed random networks of rate units in one or several layers, with a ridge readout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.reservoir.base import CLASSIFIES, IGNORED, STEPWISE, ReservoirEstimator
from spikeneuro.reservoir.echo_layers import ACTIVATIONS, EchoReservoir, LayerDrawing, effective_spectral_radius
from spikeneuro.reservoir.pooling import POOLINGS, Pooling
from spikeneuro.reservoir.ridge import RidgeReadout
from spikeneuro.reservoir.signals import batches, n_channels

Array = NDArray[Any]


def _classifies(estimator: "_EchoState") -> bool:
    return estimator.task in CLASSIFIES


class _EchoState(ReservoirEstimator):
    """What networks of one and of several layers share: the readout."""

    pooling: str
    n_points: int
    alpha: float | str
    activation: str

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice(self.activation, ACTIVATIONS, "activation")
        check_choice(self.pooling, POOLINGS, "pooling")

    def _pooling(self) -> nn.Module:
        return Pooling(self.pooling, self.washout, self.n_points)

    @property
    def effective_spectral_radius_(self) -> float:
        """Largest `effective_spectral_radius` of the layers; at 1 or above, old input may never be forgotten."""
        check_is_fitted(self, "reservoir_")
        return max(effective_spectral_radius(layer.W.numpy(), layer.leak) for layer in self.reservoir_.layers)

    def _train(self, X: Array, targets: Array) -> None:
        readout = RidgeReadout(self.alpha)
        if self.task not in STEPWISE:
            numbers = _signs(targets, len(self.classes_)) if self.task == "classification" else targets
            self.readout_ = readout.fit(self._features(X), numbers)
            return
        for index, batch in batches(X, self._width()):
            states, wanted = self._run(batch)[self.washout :], targets[index][..., self.washout :]
            if self.task == "series":
                readout.gather(states.reshape(-1, states.shape[-1]), np.concatenate(wanted.transpose(2, 0, 1)))
            else:
                labelled = wanted.T != IGNORED
                readout.gather(states[labelled], _signs(wanted.T[labelled], len(self.classes_)))
        self.readout_ = readout.solve()

    def _outputs(self, X: Array) -> Array:
        if self.task not in STEPWISE:
            return self.readout_.predict(self._features(X))
        parts = [self.readout_.predict(self._run(batch)).transpose(1, 2, 0) for _, batch in batches(X, self._width())]
        return np.concatenate(parts)

    @available_if(_classifies)
    def decision_function(self, X: ArrayLike) -> Array:
        """Outputs of the readout, trained to be 1 for the right class and -1 for the others.

        Parameters
        ----------
        X : array_like, shape (n, channels, times), or object array of (channels, times_i)
            Signals.

        Returns
        -------
        ndarray
            ``(n, classes)``, of two classes ``(n,)``; for steps ``(n, classes, times)``, also of two.
        """
        check_is_fitted(self, "targets_shape_")
        outputs = self._outputs(self._checked(X, reset=False))
        if outputs.shape[1] > 1:
            return outputs
        return outputs[:, 0] if self.task == "classification" else np.concatenate([-outputs, outputs], axis=1)

    def _head(self) -> tuple[Array, Array]:
        return self.readout_.coef_, self.readout_.intercept_


def _signs(numbers: Array, n_classes: int) -> Array:
    """+1 for the class and -1 for the others; of two classes one column is enough."""
    if n_classes == 2:
        return np.where(numbers == 1, 1.0, -1.0)[:, np.newaxis]
    return np.where(numbers[:, np.newaxis] == np.arange(n_classes), 1.0, -1.0)


class EchoStateNetwork(_EchoState):
    r"""Echo-state network: a fixed random recurrent network, read out by ridge regression.

    .. math::

        x_t &= (1 - a) \, x_{t-1} + a \, f(W_{in} u_t + W x_{t-1} + b), \qquad x_{-1} = 0 \\
        W_{out} &= Y X^T (X X^T + \alpha I)^{-1}

    Only the readout is trained, in closed form and double precision: on the pooled states of each sample, or on the
    state of every step (``task="steps"`` or ``"series"``). Labels are coded as +1 for the class and -1 for the others.

    Weights that are drawn: W normal with the given share of connections, scaled to the spectral radius; the entries of
    W_in :math:`\pm` `input_scaling` :math:`/ \sqrt{k}` with equal probability, where a unit has k inputs on average (so
    that the drive does not grow with the number of channels); b uniform between ± `bias_scaling`.

    Parameters
    ----------
    n_units : int, default 300
        Units of the reservoir.
    task : {"classification", "regression", "steps", "series"}
        One label a sample; one or several numbers a sample; one label a step; one or several numbers a step.
    spectral_radius : float, default 0.9
        Largest magnitude of an eigenvalue of W.
    leak : float, default 1
        The a of the update, in (0, 1]: a unit forgets over about 1 / a steps.
    connectivity : float, default 0.1
        Share of the entries of W that are not zero.
    input_scaling : float, default 1
        Strength of the input.
    input_connectivity : float, default 1
        Share of the entries of W_in that are not zero.
    bias_scaling : float, default 0.2
        Largest constant of a unit; without any, the mean of the states hardly tells the power of a symmetric signal.
    activation : {"tanh", "identity"}
        f.
    pooling : {"mean", "moments", "last", "sampled", "all"}
        Features of a sample: mean state, mean and standard deviation, last state, states at `n_points` times evenly
        spaced up to the last, or all states one after another. Not used where every step has an output.
    n_points : int, default 4
        For ``pooling="sampled"``.
    washout : int, default 0
        First steps left out of pooling and of training.
    alpha : float or "gcv", default "gcv"
        Penalty of the readout; "gcv" finds it on the training part by generalised cross-validation.
    scale : {"standard", "sample", "none"}
        Channels are brought to mean 0 and deviation 1 over the training part, within each sample, or left as they are.
    W, W_in, bias : array_like, optional
        Weights and constants to use as they are, in place of drawn ones.
    random_state : int, RandomState or None
        Draws the weights.

    Attributes
    ----------
    reservoir_ : torch.nn.Module
        The reservoir.
    readout_ : RidgeReadout
        The readout: `coef_`, `intercept_` and the penalty used, `alpha_`.
    classes_ : ndarray
        Labels, for the two tasks that have them.
    n_chans_ : int
        Channels seen in `fit`.

    Raises
    ------
    InputError
        For a parameter out of range, weights that do not fit together, a drawn W without cycles (its spectral radius is
        0), and for signals or targets of the wrong shape.

    References
    ----------
    Jaeger (2001), The "echo state" approach to analysing and training recurrent neural networks, GMD report 148,
    doi:10.24406/publica-fhg-291111; Lukoševičius (2012), doi:10.1007/978-3-642-35289-8_36.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> t = np.arange(100) / 100
    >>> X = np.sin(2 * np.pi * (5 + 6 * y)[:, None, None] * t) + 0.5 * rng.normal(size=(60, 1, 100))
    >>> network = EchoStateNetwork(100, pooling="moments", random_state=0).fit(X[:40], y[:40])
    >>> network.score(X[40:], y[40:]) > 0.9
    True
    """

    def __init__(
        self,
        n_units: int = 300,
        *,
        task: str = "classification",
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        connectivity: float = 0.1,
        input_scaling: float = 1.0,
        input_connectivity: float = 1.0,
        bias_scaling: float = 0.2,
        activation: str = "tanh",
        pooling: str = "mean",
        n_points: int = 4,
        washout: int = 0,
        alpha: float | str = "gcv",
        scale: str = "standard",
        W: ArrayLike | None = None,
        W_in: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_units = n_units
        self.task = task
        self.spectral_radius = spectral_radius
        self.leak = leak
        self.connectivity = connectivity
        self.input_scaling = input_scaling
        self.input_connectivity = input_connectivity
        self.bias_scaling = bias_scaling
        self.activation = activation
        self.pooling = pooling
        self.n_points = n_points
        self.washout = washout
        self.alpha = alpha
        self.scale = scale
        self.W = W
        self.W_in = W_in
        self.bias = bias
        self.random_state = random_state

    def _draw(self, X: Array, seed: int) -> nn.Module:
        layer = LayerDrawing(
            self.n_units, n_channels(X), self.spectral_radius, self.leak, self.connectivity, self.input_scaling,
            self.input_connectivity, self.bias_scaling, self.activation,
        )  # fmt: skip
        return EchoReservoir([layer.drawn(np.random.default_rng(seed), self.W, self.W_in, self.bias)])


class DeepEchoStateNetwork(_EchoState):
    r"""Deep echo-state network: reservoirs one above the other, all of whose states are read out together.

    .. math::

        x^{(l)}_t = (1 - a_l) \, x^{(l)}_{t-1} + a_l \tanh(W_{in}^{(l)} x^{(l-1)}_t + W^{(l)} x^{(l)}_{t-1} + b^{(l)}),
        \qquad x^{(0)}_t = u_t

    Readout, tasks and the drawing of each layer are those of `EchoStateNetwork`. It is stable around rest if
    :math:`\max_l \rho((1 - a_l) I + a_l W^{(l)}) < 1`, which is `effective_spectral_radius_`.

    Parameters
    ----------
    n_units : int or sequence of int, default 100
        Units of each layer; this and what follows, one for all layers or one for each.
    n_layers : int, default 3
        Number of layers.
    task : {"classification", "regression", "steps", "series"}
        As for `EchoStateNetwork`.
    spectral_radius : float or sequence of float, default 0.9
        Largest magnitude of an eigenvalue of W.
    leak : float or sequence of float, default 0.5
        The a of the update, in (0, 1].
    connectivity : float or sequence of float, default 0.1
        Share of the entries of W that are not zero.
    input_scaling : float, default 1
        Strength of the input into the first layer.
    inter_scaling : float, default 1
        Strength of the input that the other layers get from the one below.
    input_connectivity : float or sequence of float, default 1
        Share of the entries of W_in that are not zero.
    bias_scaling : float or sequence of float, default 0.2
        Largest constant of a unit.
    activation : {"tanh", "identity"}
        f.
    pooling : {"mean", "moments", "last", "sampled", "all"}
        Features of a sample, as for `EchoStateNetwork`.
    n_points : int, default 4
        For ``pooling="sampled"``.
    washout : int, default 0
        First steps left out of pooling and of training.
    alpha : float or "gcv", default "gcv"
        Penalty of the readout.
    scale : {"standard", "sample", "none"}
        Scaling of the channels.
    W, W_in, bias : sequence of array_like, optional
        Weights and constants of each layer to use as they are.
    random_state : int, RandomState or None
        Draws the weights.

    Attributes
    ----------
    reservoir_, readout_, classes_, n_chans_
        As for `EchoStateNetwork`.

    Raises
    ------
    InputError
        As for `EchoStateNetwork`, and if a sequence does not hold one value for each layer.

    References
    ----------
    Gallicchio, Micheli and Pedrelli (2017), Neurocomputing 268:87-99, doi:10.1016/j.neucom.2016.12.089.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> u = rng.uniform(-1, 1, size=(1, 1, 600))
    >>> past = np.roll(u[:, 0], 3)
    >>> network = DeepEchoStateNetwork(50, 2, task="series", input_scaling=0.1, leak=1.0, washout=50, random_state=0)
    >>> network.fit(u, past).score(u, past) > 0.99
    True
    """

    def __init__(
        self,
        n_units: int | Sequence[int] = 100,
        n_layers: int = 3,
        *,
        task: str = "classification",
        spectral_radius: float | Sequence[float] = 0.9,
        leak: float | Sequence[float] = 0.5,
        connectivity: float | Sequence[float] = 0.1,
        input_scaling: float = 1.0,
        inter_scaling: float = 1.0,
        input_connectivity: float | Sequence[float] = 1.0,
        bias_scaling: float | Sequence[float] = 0.2,
        activation: str = "tanh",
        pooling: str = "mean",
        n_points: int = 4,
        washout: int = 0,
        alpha: float | str = "gcv",
        scale: str = "standard",
        W: Sequence[ArrayLike] | None = None,
        W_in: Sequence[ArrayLike] | None = None,
        bias: Sequence[ArrayLike] | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_units = n_units
        self.n_layers = n_layers
        self.task = task
        self.spectral_radius = spectral_radius
        self.leak = leak
        self.connectivity = connectivity
        self.input_scaling = input_scaling
        self.inter_scaling = inter_scaling
        self.input_connectivity = input_connectivity
        self.bias_scaling = bias_scaling
        self.activation = activation
        self.pooling = pooling
        self.n_points = n_points
        self.washout = washout
        self.alpha = alpha
        self.scale = scale
        self.W = W
        self.W_in = W_in
        self.bias = bias
        self.random_state = random_state

    def _draw(self, X: Array, seed: int) -> nn.Module:
        check_number(self.n_layers, "n_layers", low=1, integer=True)
        generator, width, layers = np.random.default_rng(seed), n_channels(X), []
        names = ("n_units", "spectral_radius", "leak", "connectivity", "input_connectivity", "bias_scaling")
        own = {name: self._per_layer(name) for name in names}
        given = [None if value is None else self._per_layer(name) for name, value in self._matrices()]
        for index in range(self.n_layers):
            numbers = {name: column[index] for name, column in own.items()}
            strength = self.input_scaling if index == 0 else self.inter_scaling
            drawing = LayerDrawing(n_inputs=width, input_scaling=strength, activation=self.activation, **numbers)
            layers.append(drawing.drawn(generator, *(None if column is None else column[index] for column in given)))
            width = len(layers[-1].W)
        return EchoReservoir(layers)

    def _matrices(self) -> tuple[tuple[str, Any], ...]:
        return ("W", self.W), ("W_in", self.W_in), ("bias", self.bias)

    def _per_layer(self, name: str) -> list[Any]:
        value = getattr(self, name)
        if not isinstance(value, (list, tuple, np.ndarray)):
            return [value] * self.n_layers
        if len(value) != self.n_layers:
            raise InputError(f"{name} must hold one entry for each of the {self.n_layers} layers, got {len(value)}.")
        return list(value)
