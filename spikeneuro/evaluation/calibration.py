"""Does a stated probability mean what it says? Calibration error, reliability curve, temperature."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from spikeneuro._validation import check_choice, check_finite, check_number
from spikeneuro.errors import InputError
from spikeneuro.evaluation.metrics import METRICS
from spikeneuro.evaluation.outcome import make_outcome

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Observed frequency against stated probability in bins, empty bins left out.

    Parameters
    ----------
    edges : ndarray, shape (n_bins + 1,)
        Borders of the bins; a bin holds its upper border.
    confidence, frequency : ndarray, shape (filled bins,)
        Mean stated probability, and share of the samples for which it came true.
    count : ndarray of int, shape (filled bins,)
        Samples.
    """

    edges: FloatArray
    confidence: FloatArray
    frequency: FloatArray
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Mean over the samples of the distance between frequency and confidence of their bin."""
        return float(np.average(np.abs(self.frequency - self.confidence), weights=self.count))


def reliability_curve(
    came_true: Any, probability: Any, n_bins: int = 15, strategy: str = "uniform"
) -> ReliabilityCurve:
    """Observed frequency of events against their stated probability.

    Parameters
    ----------
    came_true : array-like of bool, shape (n,)
        Whether the event happened.
    probability : array-like, shape (n,)
        Stated probability, in [0, 1].
    n_bins : int
        Number of bins.
    strategy : {"uniform", "quantile"}
        Bins of equal width, or with equal numbers of samples (ties stay in one bin).

    Returns
    -------
    ReliabilityCurve
        One point per bin that has samples.
    """
    check_choice(strategy, ("uniform", "quantile"), "strategy")
    check_number(n_bins, "n_bins", low=1, integer=True)
    stated = check_finite(np.asarray(probability, dtype=np.float64), "probability")
    event = np.asarray(came_true, dtype=np.float64)
    if stated.ndim != 1 or event.shape != stated.shape or not stated.size:
        raise InputError(f"came_true {event.shape} and probability {stated.shape} must be of one length, not empty.")
    if stated.min() < 0 or stated.max() > 1 or not np.isin(event, (0, 1)).all():
        raise InputError("probability must lie in [0, 1] and came_true must be true or false.")
    grid = np.linspace(0, 1, n_bins + 1)
    edges = grid if strategy == "uniform" else np.quantile(stated, grid)
    place = np.searchsorted(edges[1:-1], stated)
    count = np.bincount(place, minlength=n_bins)
    full = count > 0
    confidence = np.bincount(place, weights=stated, minlength=n_bins)[full] / count[full]
    frequency = np.bincount(place, weights=event, minlength=n_bins)[full] / count[full]
    return ReliabilityCurve(edges, confidence, frequency, count[full])


def expected_calibration_error(y_true: Any, proba: Any, n_bins: int = 15, strategy: str = "uniform") -> float:
    """Distance between how sure a classifier is and how often it is right.

    ``ECE = Σ_b n_b / n · |accuracy_b - confidence_b|`` over bins b of the probability of the predicted class.

    Parameters
    ----------
    y_true : array-like of int, shape (n,) or (n, times)
        Classes 0..k-1; with two axes labels per step, -1 ignored.
    proba : array-like, shape (n, k), (n, k, times), or (n,) for the second of two classes
        Probabilities.
    n_bins : int
        Number of bins.
    strategy : {"uniform", "quantile"}
        Bins of equal width, or with equal numbers of samples.

    Returns
    -------
    float
        In [0, 1]; biased upwards when there are few samples per bin.

    References
    ----------
    Guo et al., 2017, arXiv:1706.04599; Naeini et al., 2015, doi:10.1609/aaai.v29i1.9602.

    Examples
    --------
    >>> round(expected_calibration_error([1, 1, 1, 0], [0.75, 0.75, 0.75, 0.75]), 6)
    0.0
    """
    return top_label_curve(y_true, proba, n_bins, strategy).error


def top_label_curve(y_true: Any, proba: Any, n_bins: int = 15, strategy: str = "uniform") -> ReliabilityCurve:
    """Reliability curve of the predicted class: accuracy against its probability.

    Parameters
    ----------
    y_true, proba : array-like
        Classes and probabilities, see `expected_calibration_error`.
    n_bins : int
        Number of bins.
    strategy : {"uniform", "quantile"}
        Bins of equal width, or with equal numbers of samples.

    Returns
    -------
    ReliabilityCurve
        One point per bin that has samples.
    """
    outcome = make_outcome("steps" if np.ndim(y_true) == 2 else "classification", y_true, proba=proba)
    assert outcome.proba is not None
    return reliability_curve(outcome.y_true == outcome.y_pred, outcome.proba.max(axis=1), n_bins, strategy)


def brier_score(y_true: Any, proba: Any) -> float:
    """Mean squared distance of the probabilities from the truth; see `metrics.compute` for the equation.

    Parameters
    ----------
    y_true, proba : array-like
        Classes and probabilities, see `expected_calibration_error`.

    Returns
    -------
    float
        In [0, 1] for two classes, in [0, 2] for more; 0 is best.
    """
    outcome = make_outcome("steps" if np.ndim(y_true) == 2 else "classification", y_true, proba=proba)
    value, _ = METRICS["brier"].function(outcome)
    assert value is not None
    return value


@dataclass(frozen=True)
class Temperature:
    """One number that divides logits so that the probabilities fit the validation part.

    Parameters
    ----------
    value : float
        T; above 1 the classifier was too sure of itself.
    on_bound : bool
        The fit ended at the edge of the range searched: the validation part does not determine T
        (for instance every sample in it is classified correctly).
    """

    value: float
    on_bound: bool

    def apply(self, logits: Any) -> FloatArray:
        """Probabilities softmax(logits / T) over the second axis, shape as `logits`."""
        return special.softmax(np.asarray(logits, dtype=np.float64) / self.value, axis=1)


def fit_temperature(logits: Any, y_true: Any, bounds: tuple[float, float] = (0.05, 20.0)) -> Temperature:
    """Temperature that minimises the log loss of softmax(logits / T).

    Parameters
    ----------
    logits : array-like, shape (n, k) or (n, k, times)
        Outputs of the model on the *validation* part; test samples must not be used.
    y_true : array-like of int, shape (n,) or (n, times)
        Classes 0..k-1; -1 ignored for steps.
    bounds : (float, float)
        Range searched.

    Returns
    -------
    Temperature
        With `apply`, which gives the probabilities of other logits.

    References
    ----------
    Guo et al., 2017, arXiv:1706.04599.

    Examples
    --------
    >>> logits = [[3.0, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 0.0]]
    >>> scaling = fit_temperature(logits, [0, 0, 0, 1])  # three quarters are right: T = 3 / ln 3
    >>> round(float(scaling.apply(logits)[0, 0]), 4)
    0.75
    """
    low, high = bounds
    check_number(low, "bounds[0]", low=0.0, closed="neither")
    check_number(high, "bounds[1]", low=low, closed="neither")
    steps = np.ndim(y_true) == 2
    outcome = make_outcome("steps" if steps else "classification", y_true, decision=logits)
    scores = outcome.decision
    assert scores is not None
    given = np.arange(len(outcome)), outcome.y_true

    def loss(log_t: float) -> float:
        scaled = scores / np.exp(log_t)
        return float(np.mean(special.logsumexp(scaled, axis=1) - scaled[given]))

    # The loss is convex in 1/T, hence has one minimum in log T; where it is flat up to an edge, T is undetermined.
    edges = float(np.log(low)), float(np.log(high))
    found = optimize.minimize_scalar(loss, bounds=edges, method="bounded", options={"xatol": 1e-8})
    edge = min(edges, key=loss)
    on_bound = loss(edge) <= float(found.fun) + 1e-9
    return Temperature(float(np.exp(edge if on_bound else found.x)), on_bound)
