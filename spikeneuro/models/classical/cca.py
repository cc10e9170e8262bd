"""Steady-state visual evoked potentials by canonical correlation with sines of the stimulated frequencies."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import as_signals, refuse_constant

Array = NDArray[Any]


def sine_reference(frequency: float, n_harmonics: int, n_times: int, sfreq: float) -> Array:
    """Sines and cosines of `frequency` and its harmonics, shape ``(2 * n_harmonics, n_times)``.

    Examples
    --------
    >>> sine_reference(10.0, 2, 100, 250.0).shape
    (4, 100)
    """
    phase = 2 * np.pi * frequency * np.arange(1, n_harmonics + 1)[:, np.newaxis] * np.arange(n_times) / sfreq
    return np.concatenate([np.sin(phase), np.cos(phase)])


class CanonicalCorrelationClassifier(ClassifierMixin, BaseEstimator):
    r"""The class whose flicker frequency correlates best with the signal.

    For each frequency f the canonical correlation

    .. math:: \rho_f = \max_{a, b} \operatorname{corr}(a^T X, b^T Y_f)

    between the channels X and the reference :math:`Y_f = [\sin 2\pi h f t, \cos 2\pi h f t]_{h=1..H}` is computed
    from orthonormal bases of both (directions without variance are left out); the largest wins. Nothing is trained.

    Parameters
    ----------
    frequencies : sequence of float
        Flicker frequency of each class in hertz, in the order of the classes.
    sfreq : float
        Sampling rate in hertz.
    n_harmonics : int
        Sines per frequency, the fundamental included.
    classes : sequence, optional
        Labels in the order of `frequencies`; by default 0, 1, 2, ...

    Attributes
    ----------
    classes_ : ndarray
        Labels in the order of `frequencies`.

    Raises
    ------
    InputError
        If a harmonic reaches half the sampling rate, `y` holds a label that is not among the classes, a sample is too
        short, or a channel is constant.

    Notes
    -----
    Correlations are scores, not probabilities: there is a `decision_function` and no ``predict_proba``.

    References
    ----------
    Lin, Zhang, Wu and Gao (2006), IEEE Trans. Biomed. Eng. 53(12):2610-2614, doi:10.1109/TBME.2006.886577.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> t = np.arange(512) / 256
    >>> X = np.stack([np.sin(2 * np.pi * f * t + 1) for f in (13, 17)])[:, None] + random.normal(size=(2, 3, 512))
    >>> CanonicalCorrelationClassifier((13, 17), 256.0).fit(X, [0, 1]).predict(X).tolist()
    [0, 1]
    """

    def __init__(
        self, frequencies: Sequence[float], sfreq: float, *, n_harmonics: int = 2, classes: Sequence[Any] | None = None
    ) -> None:
        self.frequencies = frequencies
        self.sfreq = sfreq
        self.n_harmonics = n_harmonics
        self.classes = classes

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the samples ``(n, channels, times)`` and, if given, that `y` holds no class without a frequency."""
        check_number(self.sfreq, "sfreq", low=0, closed="neither")
        check_number(self.n_harmonics, "n_harmonics", low=1, integer=True)
        for number, frequency in enumerate(self.frequencies):
            # The highest harmonic must lie below the Nyquist frequency, else it is seen as another frequency.
            highest = self.sfreq / 2 / self.n_harmonics
            check_number(frequency, f"frequencies[{number}]", low=0, high=highest, closed="neither")
        if len(set(self.frequencies)) < max(2, len(self.frequencies)):
            raise InputError(f"frequencies must be at least two different values, got {list(self.frequencies)}.")
        classes = np.arange(len(self.frequencies)) if self.classes is None else np.asarray(self.classes)
        if classes.shape != (len(self.frequencies),) or len(np.unique(classes)) < len(classes):
            raise InputError(f"classes must be {len(self.frequencies)} different labels, got {classes.tolist()}.")
        X = self._checked(X)
        if y is not None:
            unknown = np.setdiff1d(y, classes)
            if len(unknown):
                raise InputError(
                    f"y holds {unknown.tolist()[:5]}, but the classes with a frequency are {classes.tolist()}."
                )
        self.classes_ = classes
        self.n_chans_ = X.shape[1]
        return self

    def correlations(self, X: Any) -> Array:
        """Canonical correlation of each sample with each frequency, shape ``(n, classes)``, in [0, 1]."""
        check_is_fitted(self)
        X = self._checked(X)
        if X.shape[1] != self.n_chans_:
            raise InputError(f"X has {X.shape[1]} channels, but fit saw {self.n_chans_}.")
        signal = _orthonormal(X)
        scores = []
        for frequency in self.frequencies:
            sines = sine_reference(frequency, self.n_harmonics, X.shape[-1], self.sfreq)
            cross = signal @ _orthonormal(sines[np.newaxis])[0].T
            scores.append(np.linalg.svd(cross, compute_uv=False)[:, 0])
        return np.clip(np.stack(scores, axis=1), 0.0, 1.0)

    def decision_function(self, X: Any) -> Array:
        """Correlations ``(n, classes)``; for two classes their difference ``(n,)``, positive for the second."""
        scores = self.correlations(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Any) -> Array:
        """Label of the frequency that correlates best."""
        best = self.correlations(X).argmax(axis=1)
        return self.classes_[best]

    def _checked(self, X: Any) -> Array:
        X = as_signals(X)
        needed = X.shape[1] + 2 * self.n_harmonics
        if X.shape[-1] <= needed:
            raise InputError(
                f"X has {X.shape[-1]} times; with {X.shape[1]} channels and {self.n_harmonics} harmonics any signal "
                f"correlates perfectly below {needed + 1}. Lengthen the windows, or check the order of the axes."
            )
        refuse_constant(X)
        return X

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions; labels are optional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = False
        return tags


def _orthonormal(X: Array) -> Array:
    """Rows of each ``(rows, times)`` matrix, centred, as an orthonormal basis; rows beyond its rank are 0."""
    X = X.astype(np.float64, copy=False)
    centred = X - X.mean(axis=-1, keepdims=True)
    centred = centred / np.abs(centred).max(axis=(-2, -1), keepdims=True)
    _, size, basis = np.linalg.svd(centred, full_matrices=False)
    # Linearly dependent channels (a common average reference) leave directions of rounding noise: they are no signal.
    kept = size > size[..., :1] * max(X.shape[-2:]) * np.finfo(np.float64).eps
    return np.where(kept[..., np.newaxis], basis, 0.0)
