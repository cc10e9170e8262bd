"""One label per time step from leaky traces of events: the plain rival of recurrent networks."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import as_signals
from spikeneuro.models.classical.features import Standardise

Array = NDArray[Any]

#: Seconds; at 250 Hz these are 4, 16, 64 and 256 steps, from one wave of a heart beat to a whole beat.
TIME_CONSTANTS = (0.016, 0.064, 0.256, 1.024)


class LeakyTraces(TransformerMixin, BaseEstimator):
    r"""Exponentially fading memory of every channel at several time constants.

    Computes :math:`r_\tau[t] = e^{-\Delta t / \tau}\, r_\tau[t-1] + x[t]` with :math:`r_\tau[-1] = 0` and
    :math:`\Delta t = 1 / sfreq`: the membrane of a leaky integrator that never fires. It looks only at the past.

    Parameters
    ----------
    sfreq : float
        Sampling rate in hertz.
    time_constants : sequence of float
        Time constants in seconds.

    Attributes
    ----------
    n_chans_ : int
        Channels seen in `fit`. Nothing else is learned.

    Raises
    ------
    InputError
        If a time constant is not positive or the samples have another shape.

    Examples
    --------
    >>> import numpy as np
    >>> LeakyTraces(1.0, (1 / np.log(2),)).fit_transform(np.array([[[1.0, 0.0, 1.0]]])).round(6).tolist()
    [[[1.0, 0.5, 1.25]]]
    """

    def __init__(self, sfreq: float, time_constants: Sequence[float] = TIME_CONSTANTS) -> None:
        self.sfreq = sfreq
        self.time_constants = time_constants

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Check the parameters against samples of shape ``(n, channels, times)``."""
        check_number(self.sfreq, "sfreq", low=0, closed="neither")
        if len(self.time_constants) == 0:
            raise InputError("time_constants is empty; give at least one, in seconds.")
        for number, tau in enumerate(self.time_constants):
            check_number(tau, f"time_constants[{number}]", low=0, closed="neither")
        self.n_chans_ = as_signals(X).shape[1]
        return self

    def transform(self, X: Any) -> Array:
        """Traces ``(n, channels * time constants, times)``: all channels at the first constant, then at the second."""
        from scipy.signal import lfilter

        check_is_fitted(self)
        X = as_signals(X)
        if X.shape[1] != self.n_chans_:
            raise InputError(f"X has {X.shape[1]} channels, but fit saw {self.n_chans_}.")
        decays = [np.exp(-1 / (self.sfreq * tau)) for tau in self.time_constants]
        one = np.ones(1, dtype=X.dtype)
        return np.concatenate([lfilter(one, np.array([1, -d], dtype=X.dtype), X, axis=-1) for d in decays], axis=1)

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class TraceClassifier(ClassifierMixin, BaseEstimator):
    r"""Logistic regression on the leaky traces of every time step.

    With :math:`r[t]` the traces of `LeakyTraces`, standardised by the labelled training steps, the classes of step t
    have the probabilities :math:`\operatorname{softmax}(W r[t] + b)`.

    Parameters
    ----------
    sfreq : float
        Sampling rate in hertz.
    time_constants : sequence of float
        Time constants in seconds.
    C : float
        Inverse strength of the penalty on the weights.
    max_steps : int, optional
        Train on this many labelled steps, drawn at random; by default on all.
    max_iter : int
        Most iterations of the solver.
    random_state : int, RandomState or None
        Draws the steps.

    Attributes
    ----------
    classes_ : ndarray of int
        Labels seen in training, -1 left out.
    traces_, scaler_, model_ : estimators
        The fitted parts.

    Raises
    ------
    InputError
        If `y` is not ``(n, times)`` integers, or its labelled steps hold fewer than two classes.

    Examples
    --------
    >>> import numpy as np
    >>> X = (np.random.default_rng(0).random((6, 1, 50)) < 0.2).astype(float)
    >>> model = TraceClassifier(100.0, (0.02, 0.05)).fit(X, X[:, 0].astype(int))
    >>> model.predict(X).shape, model.predict_proba(X).shape
    ((6, 50), (6, 2, 50))
    """

    def __init__(
        self,
        sfreq: float,
        time_constants: Sequence[float] = TIME_CONSTANTS,
        *,
        C: float = 1.0,
        max_steps: int | None = None,
        max_iter: int = 500,
        random_state: Any = None,
    ) -> None:
        self.sfreq = sfreq
        self.time_constants = time_constants
        self.C = C
        self.max_steps = max_steps
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Train on ``X (n, channels, times)`` and ``y (n, times)``; steps labelled -1 are left out."""
        from sklearn.linear_model import LogisticRegression

        X = as_signals(X)
        labels = _step_labels(y, X.shape)
        self.traces_ = LeakyTraces(self.sfreq, self.time_constants)
        traces = self.traces_.fit_transform(X)
        sample, step = np.nonzero(labels >= 0)
        classes = np.unique(labels[sample, step])
        if len(classes) < 2:
            raise InputError(f"the labelled steps of y hold only {classes.tolist()}; at least two classes are needed.")
        if self.max_steps is not None and self.max_steps < len(sample):
            check_number(self.max_steps, "max_steps", low=2, integer=True)
            chosen = check_random_state(self.random_state).choice(len(sample), int(self.max_steps), replace=False)
            sample, step = sample[chosen], step[chosen]
        self.scaler_ = Standardise()
        steps = self.scaler_.fit_transform(traces[sample, :, step])
        self.model_ = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(steps, labels[sample, step])
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probabilities ``(n, classes, times)``."""
        check_is_fitted(self)
        traces = self.traces_.transform(X)
        n, _, n_times = traces.shape
        steps = self.scaler_.transform(traces.transpose(0, 2, 1).reshape(n * n_times, -1))
        return self.model_.predict_proba(steps).reshape(n, n_times, -1).transpose(0, 2, 1)

    def predict(self, X: Any) -> Array:
        """Most probable class of every step, shape ``(n, times)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the labelled steps that are right; `sample_weight` weighs whole sequences."""
        X = as_signals(X)
        labels = _step_labels(y, X.shape)
        weight = np.broadcast_to(np.ones(len(X)) if sample_weight is None else sample_weight, len(X))
        weight = (labels >= 0) * weight[:, np.newaxis]
        if not weight.any():
            raise InputError("y labels no step (all are -1): there is nothing to score.")
        return float(np.average(self.predict(X) == labels, weights=weight))

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions, a label for every step."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags


def build_trace_lr(
    n_chans: int | None = None,  # noqa: ARG001
    n_times: int | None = None,  # noqa: ARG001
    n_outputs: int | None = None,  # noqa: ARG001
    sfreq: float = 250.0,
    *,
    time_constants: Sequence[float] = TIME_CONSTANTS,
    C: float = 1.0,
    max_steps: int | None = None,
    max_iter: int = 500,
    task: str = "steps",
    random_state: Any = None,
) -> TraceClassifier:
    """Leaky traces of the events at several time constants, and logistic regression on every time step.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; found in the training part.
    sfreq : float
        Sampling rate in hertz.
    time_constants : sequence of float
        Time constants in seconds.
    C : float
        Inverse strength of the penalty on the weights.
    max_steps : int, optional
        Train on this many labelled steps, drawn at random.
    max_iter : int
        Most iterations of the solver.
    task : {"steps"}
        What it is trained for: one label per time step, -1 to ignore a step.
    random_state : int, RandomState or None
        Draws the steps.

    Returns
    -------
    TraceClassifier

    Examples
    --------
    >>> build_trace_lr(4, 1301, 6, 250.0, C=0.5).C
    0.5
    """
    check_choice(task, ("steps",), "task")
    return TraceClassifier(
        sfreq, time_constants, C=C, max_steps=max_steps, max_iter=max_iter, random_state=random_state
    )


def _step_labels(y: Any, shape: tuple[int, ...]) -> Array:
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu" or labels.shape != (shape[0], shape[2]):
        raise InputError(
            f"y must hold one integer per time step (-1 = ignore), shape {(shape[0], shape[2])}, "
            f"got {labels.dtype} of shape {labels.shape}."
        )
    return labels.astype(np.int64)
