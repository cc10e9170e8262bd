"""Liquid state machine: a fixed recurrent network of spiking neurons, with a readout of its traces."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from spikeneuro._random import scoped_seed
from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.nn import LeakyReadout, RecurrentLIF
from spikeneuro.nn.decay import Value
from spikeneuro.reservoir.base import CLASSIFIES, IGNORED, STEPWISE, ReservoirEstimator
from spikeneuro.reservoir.liquid import Liquid, as_encoder, branch, columns, default_readout, linear_layer, own_readout
from spikeneuro.reservoir.pooling import POOLINGS, Pooling
from spikeneuro.reservoir.signals import batches, n_channels
from spikeneuro.reservoir.wiring import (
    MAASS_PROBABILITY,
    MAASS_STRENGTH,
    dale_weights,
    distance_connectivity,
    grid,
    neuron_kinds,
)

Array = NDArray[Any]

TAU_UNITS = ("seconds", "steps")


def _reads(method: str) -> Any:
    def has(estimator: "LiquidStateMachine") -> bool:
        return estimator.task in CLASSIFIES and hasattr(getattr(estimator, "readout_", estimator._readout()), method)

    return has


class LiquidStateMachine(ReservoirEstimator):
    r"""Liquid state machine: excitatory and inhibitory spiking neurons on a grid, wired by distance, never trained.

    The encoded signal :math:`z_t` drives leaky integrate-and-fire neurons (`spikeneuro.nn.RecurrentLIF`),

    .. math::

        u_t &= \beta \, u_{t-1} + W_{in} z_t + W s_{t-1-d}, \qquad s_t = H(u_t - \theta), \qquad
        u_t \leftarrow (1 - s_t) \, u_t \\
        r_t &= \kappa \, r_{t-1} + (1 - \kappa) \, s_t

    and a readout, any scikit-learn estimator, sees the traces r, pooled over time or at every step. Neurons stand on a
    three-dimensional grid; the probability of a connection is
    :math:`C \exp(-(D / \lambda)^2)` with C by the kinds of the two neurons, and weights obey Dale's law
    (`spikeneuro.reservoir.distance_connectivity`, `spikeneuro.reservoir.dale_weights`). Everything is computed in
    double precision, so that rounding, which differs with the batch, hardly ever moves a spike.

    Of the source this keeps the wiring, the probabilities, the ratios of the strengths and the readout of filtered
    spikes. It leaves out short-term plasticity of the synapses, the background current and its noise, and has one
    delay and one refractory period for all.

    Parameters
    ----------
    n_neurons : int, default 135
        Number of neurons.
    task : {"classification", "regression", "steps", "series"}
        One label a sample; one or several numbers a sample; one label a step; one or several numbers a step.
    sfreq : float, optional
        Sampling frequency in hertz; needed with ``tau_unit="seconds"``.
    encoder : str or Encoder, default "direct"
        Code of the scaled signal, by name or the object; a copy of it is fitted.
    readout : scikit-learn estimator, optional
        Trained on the features; by default standardised features and logistic regression, or ridge for numbers.
    tau_unit : {"seconds", "steps"}
        Unit of the time constants, of `delay` and of `refractory`. Count in steps where sampling is slow (fMRI).
    tau_mem : float, Tensor or Heterogeneity, optional
        Membrane time constant, one for all or one for each neuron; default 0.03 seconds, or 10 steps. An object of
        `spikeneuro.nn.heterogeneity` is in the same unit.
    tau_syn : float, optional
        Time constant of the synaptic current; by default a spike acts at once.
    tau_trace : float, optional
        Time constant of the traces; default 0.03 seconds, or 10 steps. At 0 the readout sees the spikes themselves, and
        ``pooling="mean"`` is the firing rate.
    refractory : float, default 0
        Time after a spike without another one, rounded to steps.
    delay : float, default 0
        Time that spikes take beyond one step, rounded to steps.
    shape : (int, int, int), optional
        Grid; by default near a cube.
    inhibitory : float, default 0.2
        Share of inhibitory neurons.
    probability : float or mapping, optional
        C, as for `spikeneuro.reservoir.distance_connectivity`; by default that of the source.
    length : float, default 2
        Lambda in units of the grid.
    recurrent_scale : float, default 0.2
        Mean weight between excitatory neurons, in thresholds; the others are larger or smaller by `MAASS_STRENGTH`.
    input_scale : float, optional
        Largest input weight, in thresholds. A spike raises the membrane by its weight; of codes that are no spikes, a
        constant input of 1 settles the membrane at it. By default 1 for spikes and 6 for the others.
    input_connectivity : float, default 0.3
        Share of the neurons that a feature of the code reaches.
    input_signs : {"mixed", "excitatory"}
        Whether input weights have either sign, which a signed code needs, or are positive.
    pooling : {"mean", "moments", "last", "sampled", "all"}
        Features of a sample: mean trace, mean and standard deviation, last trace, traces at `n_points` times evenly
        spaced up to the last, or all traces one after another. Not used where every step has an output.
    n_points : int, default 4
        For ``pooling="sampled"``.
    washout : int, default 0
        First samples of the signal left out of pooling and of training.
    max_steps : int, optional
        For "steps" and "series": train the readout on this many steps, drawn at random; by default on all.
    scale : {"standard", "sample", "none"}
        Channels are brought to mean 0 and deviation 1 over the training part, within each sample, or left as they are.
    random_state : int, RandomState or None
        Draws kinds, connections, weights, the steps of `max_steps`, and what a random code draws.

    Attributes
    ----------
    reservoir_ : torch.nn.Module
        Encoder, input weights, neurons and trace.
    kinds_ : ndarray of int8, shape (n_neurons,)
        +1 excitatory, -1 inhibitory.
    positions_ : ndarray, shape (n_neurons, 3)
        Places on the grid.
    readout_ : scikit-learn estimator
        The fitted readout.
    classes_ : ndarray
        Labels, for the two tasks that have them.
    n_chans_ : int
        Channels seen in `fit`.

    Raises
    ------
    InputError
        For a parameter out of range, a missing `sfreq`, and for signals or targets of the wrong shape.

    References
    ----------
    Maass, Natschläger and Markram (2002), Neural Comput. 14(11):2531-2560, doi:10.1162/089976602760407955.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = rng.normal(size=(60, 2, 100)) * (1 + y)[:, None, None]
    >>> liquid = LiquidStateMachine(sfreq=250.0, random_state=0).fit(X[:40], y[:40])
    >>> liquid.score(X[40:], y[40:]) > 0.9
    True
    """

    def __init__(
        self,
        n_neurons: int = 135,
        *,
        task: str = "classification",
        sfreq: float | None = None,
        encoder: str | Encoder = "direct",
        readout: Any = None,
        tau_unit: str = "seconds",
        tau_mem: Value | None = None,
        tau_syn: float | None = None,
        tau_trace: float | None = None,
        refractory: float = 0,
        delay: float = 0,
        shape: tuple[int, int, int] | None = None,
        inhibitory: float = 0.2,
        probability: float | Mapping[str, float] | None = None,
        length: float = 2.0,
        recurrent_scale: float = 0.2,
        input_scale: float | None = None,
        input_connectivity: float = 0.3,
        input_signs: str = "mixed",
        pooling: str = "mean",
        n_points: int = 4,
        washout: int = 0,
        max_steps: int | None = None,
        scale: str = "standard",
        random_state: Any = None,
    ) -> None:
        self.n_neurons = n_neurons
        self.task = task
        self.sfreq = sfreq
        self.encoder = encoder
        self.readout = readout
        self.tau_unit = tau_unit
        self.tau_mem = tau_mem
        self.tau_syn = tau_syn
        self.tau_trace = tau_trace
        self.refractory = refractory
        self.delay = delay
        self.shape = shape
        self.inhibitory = inhibitory
        self.probability = probability
        self.length = length
        self.recurrent_scale = recurrent_scale
        self.input_scale = input_scale
        self.input_connectivity = input_connectivity
        self.input_signs = input_signs
        self.pooling = pooling
        self.n_points = n_points
        self.washout = washout
        self.max_steps = max_steps
        self.scale = scale
        self.random_state = random_state

    def spikes(self, X: ArrayLike) -> Array:
        """Spikes of all neurons, ``(n, neurons, steps)``; all signals of one length.

        Parameters
        ----------
        X : array_like, shape (n, channels, times)
            Signals.

        Returns
        -------
        ndarray of bool
            As many steps as the encoder makes of the samples.
        """
        check_is_fitted(self, "reservoir_")
        signals = self._same_length(self._checked(X, reset=False), "spikes")
        parts = []
        for _, batch in batches(signals, self._width()):
            with torch.no_grad(), scoped_seed(self.seed_):
                fired = self.reservoir_.spikes(torch.from_numpy(self.scale_(batch)))
            parts.append(fired.bool().permute(1, 2, 0).numpy())
        return np.concatenate(parts)

    def predict(self, X: ArrayLike) -> Array:
        """Labels or numbers in the shape of the targets.

        Parameters
        ----------
        X : array_like, shape (n, channels, times), or object array of (channels, times_i)
            Signals.

        Returns
        -------
        ndarray
            ``(n,)``, ``(n, targets)``, ``(n, times)``, ``(n, targets, times)``.
        """
        check_is_fitted(self, "targets_shape_")
        outputs = self._outputs(self._checked(X, reset=False))
        if self.task in CLASSIFIES:
            return self.classes_[outputs[:, 0].astype(np.intp)]
        return outputs if self.targets_shape_ else outputs[:, 0]

    @available_if(_reads("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities ``(n, classes)`` or ``(n, classes, times)``, where the readout gives them."""
        return self._read(self._ready(X), "predict_proba")

    @available_if(_reads("decision_function"))
    def decision_function(self, X: ArrayLike) -> Array:
        """Decision values of the readout, ``(n, classes)``, of two ``(n,)``; for steps ``(n, classes, times)``."""
        values = self._read(self._ready(X), "decision_function")
        if values.shape[1] > 1:
            return values
        return values[:, 0] if self.task == "classification" else np.concatenate([-values, values], axis=1)

    def _ready(self, X: ArrayLike) -> Array:
        check_is_fitted(self, "targets_shape_")
        return self._checked(X, reset=False)

    def _draw(self, X: Array, seed: int) -> nn.Module:
        check_choice(self.input_signs, ("mixed", "excitatory"), "input_signs")
        check_number(self.recurrent_scale, "recurrent_scale", low=0.0)
        if self.input_scale is not None:
            check_number(self.input_scale, "input_scale", low=0.0)
        check_number(self.input_connectivity, "input_connectivity", low=0.0, high=1.0, closed="right")
        encoder = self._encoder(X)
        dt = self._step(encoder)
        neurons = self._neurons(dt, seed)
        weight = self._input_weights(encoder.out_features(n_channels(X)), seed)
        weight *= (6.0 if encoder.graded else 1.0) if self.input_scale is None else self.input_scale
        if encoder.graded:
            weight *= (1 - neurons.beta.numpy()).reshape(-1, 1)
        trace = None
        tau = self._default(self.tau_trace)
        if tau != 0:
            trace = LeakyReadout(sequence=True, tau_mem=tau, dt=dt, dtype=torch.float64)
        return Liquid(encoder, weight, neurons, trace)

    def _encoder(self, X: Array) -> Encoder:
        encoder = as_encoder(self.encoder)
        # lengths may differ, and no encoder minds where one signal ends: all are fitted on end to end
        joined = np.concatenate([self.scale_(signal[np.newaxis])[0] for signal in X], axis=1)
        return encoder.fit(joined[np.newaxis] if X.dtype == object else self.scale_(X))

    def _step(self, encoder: Encoder) -> float:
        """Length of a step in the unit of the time constants."""
        if check_choice(self.tau_unit, TAU_UNITS, "tau_unit") == "steps":
            return 1.0
        if self.sfreq is None:
            raise InputError(
                "sfreq is missing: time constants are in seconds (or count them in steps with tau_unit='steps'); "
                "give the sampling frequency in hertz."
            )
        rate = check_number(self.sfreq, "sfreq", low=0.0, closed="neither")
        return 1.0 / (rate * encoder.steps_per_sample)

    def _default(self, tau: Any) -> Any:
        return (0.03 if self.tau_unit == "seconds" else 10.0) if tau is None else tau

    def _neurons(self, dt: float, seed: int) -> RecurrentLIF:
        n = int(check_number(self.n_neurons, "n_neurons", low=1, integer=True))
        # four independent draws: changing one setting leaves what the others draw as it was
        self.kinds_ = neuron_kinds(n, self.inhibitory, random_state=branch(seed, 0))
        self.positions_ = grid(n, self.shape)
        probability = MAASS_PROBABILITY if self.probability is None else self.probability
        connections = distance_connectivity(
            self.positions_, self.kinds_, probability=probability, length=self.length, random_state=branch(seed, 1)
        )
        weights = dale_weights(connections, self.kinds_, strength=MAASS_STRENGTH, random_state=branch(seed, 2))
        counts = {}
        for name in ("refractory", "delay"):
            counts[name] = round(check_number(getattr(self, name), name, low=0.0) / dt)
        neurons = RecurrentLIF(
            n, bias=False, tau_mem=self._default(self.tau_mem), tau_syn=self.tau_syn, dt=dt, reset="zero",
            dtype=torch.float64, **counts,
        )  # fmt: skip
        with torch.no_grad():
            neurons.weight.copy_(torch.from_numpy(self.recurrent_scale * weights.toarray()))
        return neurons

    def _input_weights(self, n_features: int, seed: int) -> Array:
        generator, shape = np.random.default_rng(branch(seed, 3)), (self.n_neurons, n_features)
        weight = generator.random(shape) * (generator.random(shape) < self.input_connectivity)
        return weight * generator.choice([-1.0, 1.0], shape) if self.input_signs == "mixed" else weight

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice(self.pooling, POOLINGS, "pooling")
        if self.max_steps is not None:
            check_number(self.max_steps, "max_steps", low=2, integer=True)

    def _pooling(self) -> nn.Module:
        return Pooling(self.pooling, self.washout, self.n_points)

    def _width(self) -> int:
        return 4 * int(self.reservoir_.n_units) * int(self.reservoir_.encoder.steps_per_sample)

    def _readout(self) -> Any:
        if self.readout is None:
            return default_readout(classifies=self.task in CLASSIFIES)
        return own_readout(self.readout)

    def _train(self, X: Array, targets: Array) -> None:
        if self.task in STEPWISE:
            features, wanted = self._step_rows(X, targets)
        else:
            features, wanted = self._features(X), targets
        if not features.any():
            warnings.warn("no neuron of the liquid spikes on the training samples; raise input_scale.", stacklevel=3)
        if wanted.ndim == 2 and wanted.shape[1] == 1:
            wanted = wanted[:, 0]
        self.readout_ = self._readout().fit(features, wanted)

    def _step_rows(self, X: Array, targets: Array) -> tuple[Array, Array]:
        """States and targets of the labelled steps, or of some of them."""
        kept = targets[:, :1] == targets[:, :1] if targets.ndim == 3 else (targets != IGNORED)[:, np.newaxis]
        kept = kept[:, 0] & (np.arange(targets.shape[-1]) >= self.washout)
        sample, step = np.nonzero(kept)
        if self.max_steps is not None and self.max_steps < len(sample):
            drawn = np.random.default_rng(branch(self.seed_, 4)).choice(len(sample), self.max_steps, replace=False)
            sample, step = sample[np.sort(drawn)], step[np.sort(drawn)]
        rows, wanted = [], []
        for index, batch in batches(X, self._width()):
            states = self._run(batch)
            for position, number in enumerate(index):
                chosen = step[sample == number]
                rows.append(states[chosen, position])
                wanted.append(targets[number][..., chosen].T)
        return np.concatenate(rows), np.concatenate(wanted)

    def _outputs(self, X: Array) -> Array:
        return self._read(X, "predict")

    def _read(self, X: Array, method: str) -> Array:
        """What a method of the readout gives, ``(n, outputs)`` or ``(n, outputs, times)``."""
        read = getattr(self.readout_, method)
        if self.task not in STEPWISE:
            return columns(read(self._features(X)))
        parts = []
        for _, batch in batches(X, self._width()):
            states = self._run(batch)
            values = columns(read(states.reshape(-1, states.shape[-1])))
            parts.append(values.reshape(*states.shape[:2], -1).transpose(1, 2, 0))
        return np.concatenate(parts)

    def _head(self) -> tuple[Array, Array]:
        return linear_layer(self.readout_)
