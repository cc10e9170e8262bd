"""Recordings of different lengths: train on windows, predict the recording."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.metaestimators import available_if

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError


def _has(method: str) -> Any:
    return available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), method))


class Windowed(MetaEstimatorMixin, BaseEstimator):
    r"""Fit an estimator on windows of each recording and average its predictions over a recording's windows.

    A recording of :math:`T` times gives :math:`1 + \lfloor (T - L) / S \rfloor` windows of length L at steps of S
    times, spread evenly over the recording when `max_windows` allows fewer. Windows of one recording stay together
    in the inner validation split, and every recording weighs the same in the score, so that a recording's length
    never reaches the model.

    Parameters
    ----------
    estimator : estimator
        Classifier or regressor for ``(samples, channels, times)``.
    length : int
        Window length L in samples; no recording may be shorter.
    step : int, optional
        Step S in samples; `length` when omitted.
    max_windows : int, optional
        Most windows taken from one recording.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    classes_ : ndarray
        Class labels (classifiers).

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro import NeuroClassifier
    >>> from spikeneuro.training import Windowed
    >>> rng = np.random.default_rng(0)
    >>> X = np.empty(20, dtype=object)
    >>> X[:] = [rng.normal(size=(3, 40 + 2 * i)) for i in range(20)]
    >>> y = np.tile([0, 1], 10)
    >>> clf = Windowed(NeuroClassifier("cnn1d", sfreq=1.0, max_epochs=2, random_state=0), length=32, step=16)
    >>> clf.fit(X, y).predict_proba(X).shape
    (20, 2)
    """

    def __init__(self, estimator: Any, length: int, step: int | None = None, max_windows: int | None = None) -> None:
        self.estimator = estimator
        self.length = length
        self.step = step
        self.max_windows = max_windows

    def windows(self, X: ArrayLike) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Windows of all recordings, and for each window the index of its recording."""
        if isinstance(X, dict):
            raise InputError("windows are cut from one array or list of recordings, got a dict of modalities.")
        check_number(self.length, "length", low=1, integer=True)
        step = self.length if self.step is None else self.step
        check_number(step, "step", low=1, integer=True)
        cut: list[NDArray[Any]] = []
        owner: list[int] = []
        for index, recording in enumerate(np.asarray(X) if not isinstance(X, list) else X):
            times = recording.shape[-1]
            if times < self.length:
                raise InputError(f"recording {index} has {times} times, fewer than the window length {self.length}.")
            starts = np.arange(0, times - self.length + 1, step)
            if self.max_windows is not None and len(starts) > self.max_windows:
                starts = starts[np.linspace(0, len(starts) - 1, self.max_windows).round().astype(int)]
            cut.extend(recording[..., start : start + self.length] for start in starts)
            owner.extend([index] * len(starts))
        if not cut:
            raise InputError("X holds no recording.")
        return np.stack(cut), np.asarray(owner)

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> "Windowed":
        """Fit on windows of `X`; `groups` default to the recordings themselves."""
        cut, owner = self.windows(X)
        labels = np.asarray(y)
        if len(labels) != owner[-1] + 1:
            raise InputError(f"X has {owner[-1] + 1} recordings, but y has {len(labels)} labels.")
        owners = owner if groups is None else np.asarray(groups)[owner]
        self.estimator_ = clone(self.estimator).fit(cut, labels[owner], groups=owners)
        if hasattr(self.estimator_, "classes_"):
            self.classes_ = self.estimator_.classes_
        # What the wrapped estimator knows of its training, in terms of recordings.
        for name in ("train_index_", "validation_index_"):
            setattr(self, name, np.unique(owner[getattr(self.estimator_, name)]))
        return self

    def _average(self, X: ArrayLike, method: str) -> NDArray[Any]:
        cut, owner = self.windows(X)
        values = getattr(self.estimator_, method)(cut)
        total = np.zeros((owner[-1] + 1, *values.shape[1:]))
        np.add.at(total, owner, values)
        return total / np.bincount(owner).reshape(-1, *[1] * (values.ndim - 1))

    @_has("predict_proba")
    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Mean of the windows' class probabilities."""
        return self._average(X, "predict_proba")

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class of highest mean probability, or mean of the windows' predictions."""
        if hasattr(self, "classes_"):
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        return self._average(X, "predict")

    def network_input(self, X: ArrayLike) -> Any:
        """Windows of `X` as the network sees them."""
        return self.estimator_.network_input(self.windows(X)[0])

    @property
    def net_(self) -> Any:
        """The trained net of the fitted estimator."""
        return self.estimator_.net_

    @property
    def history_(self) -> list[dict[str, Any]]:
        """Training history of the fitted estimator."""
        return self.estimator_.history_

    @property
    def health_(self) -> dict[str, Any]:
        """Training health of the fitted estimator."""
        return self.estimator_.health_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = self.estimator.__sklearn_tags__()
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = inner.classifier_tags
        tags.regressor_tags = inner.regressor_tags
        return tags
