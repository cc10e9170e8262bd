"""What reservoirs share as scikit-learn estimators: tasks, targets, scaling, features, scores."""

from abc import abstractmethod
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from torch import Tensor, nn

from spikeneuro._random import derive_seed, scoped_seed
from spikeneuro._validation import check_choice, check_finite, check_number, user_errors
from spikeneuro.errors import InputError
from spikeneuro.reservoir.signals import SignalScale, as_signals, batches, n_channels, shortest, varies

Array = NDArray[Any]

#: One label a sample; one or several numbers a sample; one label a step (-1: none); one or several numbers a step.
TASKS = ("classification", "regression", "steps", "series")
CLASSIFIES = ("classification", "steps")
STEPWISE = ("steps", "series")
IGNORED = -1


class ReservoirNetwork(nn.Module):
    """A reservoir, how its states are pooled, and a linear readout: a trained estimator as one torch module.

    Parameters
    ----------
    reservoir : torch.nn.Module
        (batch, channels, times) to states (times, batch, units).
    pooling : torch.nn.Module
        States to features (batch, features); the identity for one output a step.
    head : torch.nn.Linear
        Features to outputs.
    """

    def __init__(self, reservoir: nn.Module, pooling: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.reservoir, self.pooling, self.head = reservoir, pooling, head

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> (batch, outputs), or (batch, outputs, times) for one output a step."""
        y = self.head(self.pooling(self.reservoir(x)))
        return y if y.dim() == 2 else y.permute(1, 2, 0)


class ReservoirEstimator(TransformerMixin, BaseEstimator):
    """Base of reservoirs with a trained readout; who derives draws the reservoir, pools its states and reads them.

    Attributes of the derived class that this one uses: `task`, `scale`, `washout`, `random_state`.
    """

    task: str
    scale: str
    washout: int
    random_state: Any
    reservoir_: Any

    @abstractmethod
    def _draw(self, X: Array, seed: int) -> nn.Module:
        """Reservoir for scaled signals: a module from (batch, channels, times) to states (times, batch, units)."""

    @abstractmethod
    def _pooling(self) -> nn.Module:
        """Module from states to features."""

    @abstractmethod
    def _train(self, X: Array, targets: Array) -> None:
        """Train the readout on checked signals and targets."""

    @abstractmethod
    def _head(self) -> tuple[Array, Array]:
        """Weights (outputs, features) and constants of the readout."""

    def _check_parameters(self) -> None:
        check_choice(self.task, TASKS, "task")
        check_number(self.washout, "washout", low=0, integer=True)

    def initialise(self, X: ArrayLike) -> Self:
        """Draw the reservoir for signals like these, without training a readout.

        Parameters
        ----------
        X : array_like, shape (n, channels, times), or object array of (channels, times)
            Signals: their channels count, and scale (and encoder) are fitted to them.

        Returns
        -------
        self
            With `reservoir_`, enough for `states` and `transform`.
        """
        self._check_parameters()
        signals = self._checked(X, reset=True)
        self.n_chans_ = n_channels(signals)
        self.scale_ = SignalScale(self.scale).fit(signals)
        self.seed_ = derive_seed(self.random_state)
        with scoped_seed(self.seed_):
            self.reservoir_ = self._draw(signals, self.seed_).eval()
        return self

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Draw the reservoir and train the readout; nothing else is trained.

        Parameters
        ----------
        X : array_like, shape (n, channels, times), or list or object array of (channels, times_i)
            Signals in any unit; lengths may differ where there is one output a sample.
        y : array_like
            Labels (n,), numbers (n,) or (n, targets); for "steps" integers (n, times), -1 where a step has no label;
            for "series" numbers (n, times) or (n, targets, times).

        Returns
        -------
        self
        """
        self._check_parameters()
        signals = self._checked(X, reset=True)
        if shortest(signals) <= self.washout:
            raise InputError(f"washout={self.washout} leaves nothing of signals of {shortest(signals)} times.")
        targets = self._targets(y, signals)
        if not varies(signals):
            raise InputError("every channel of X has one value throughout: there is nothing to learn from.")
        self.initialise(X)
        self._train(signals, targets)
        return self

    def states(self, X: ArrayLike) -> Array:
        """States of the reservoir, ``(n, units, times)``; all signals of one length."""
        check_is_fitted(self, "reservoir_")
        signals = self._same_length(self._checked(X, reset=False), "states")
        parts = [self._run(batch).transpose(1, 2, 0) for _, batch in batches(signals, self._width())]
        return np.concatenate(parts)

    def transform(self, X: ArrayLike) -> Array:
        """Pooled states, ``(n, features)``."""
        check_is_fitted(self, "reservoir_")
        return self._features(self._checked(X, reset=False))

    def predict(self, X: ArrayLike) -> Array:
        """Labels or numbers in the shape of the targets: ``(n,)``, ``(n, targets)``, ``(n, times)``, ..."""
        check_is_fitted(self, "targets_shape_")
        outputs = self._outputs(self._checked(X, reset=False))
        if self.task in CLASSIFIES:
            return self.classes_[outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(int)]
        return outputs if self.targets_shape_ else outputs[:, 0]

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of right labels, or the coefficient of determination.

        Steps without a label are left out, and of series the washout; labelled steps count from the first.
        """
        predicted = np.asarray(self.predict(X))
        truth = np.asarray(y)
        if truth.shape != predicted.shape:
            raise InputError(f"y must have the shape {predicted.shape}, got {truth.shape}.")
        weight = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if self.task == "classification":
            return float(np.average(predicted == truth, weights=weight))
        if self.task == "regression":
            return float(r2_score(truth, predicted, sample_weight=weight))
        if self.task == "steps":
            counted = (truth != IGNORED) * weight[:, np.newaxis]
            if not counted.any():
                raise InputError("y labels no step (all are -1): there is nothing to score.")
            return float(np.average(predicted == truth, weights=counted))
        kept = slice(self.washout, None)
        columns = [np.moveaxis(a, -1, 1)[:, kept] for a in (truth, predicted)]
        repeated = np.repeat(weight, columns[0].shape[1])
        flat = [a.reshape(len(repeated), -1) for a in columns]
        return float(r2_score(*flat, sample_weight=repeated))

    def network_input(self, X: ArrayLike) -> Tensor:
        """`X` as the reservoir sees it: scaled, ``(n, channels, times)``."""
        check_is_fitted(self, "reservoir_")
        signals = self._same_length(self._checked(X, reset=False), "network_input")
        return torch.from_numpy(self.scale_(signals))

    @property
    def net_(self) -> Any:
        """Holder of the network as one torch module, ``net_.module_``, as the energy ledger looks for it."""
        if not hasattr(self, "targets_shape_"):
            raise AttributeError(f"{type(self).__name__} is not fitted.")
        weights, constants = self._head()
        head = nn.Linear(weights.shape[1], weights.shape[0], dtype=torch.float64)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)))
            head.bias.copy_(torch.from_numpy(np.ascontiguousarray(constants)))
        pooling = nn.Identity() if self.task in STEPWISE else self._pooling()
        return SimpleNamespace(module_=ReservoirNetwork(self.reservoir_, pooling, head).eval())

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions; a classifier or a regressor, whichever the task says."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        if self.task in CLASSIFIES:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        if self.task != "classification":
            tags.target_tags.multi_output = True
        tags.target_tags.single_output = self.task not in STEPWISE
        return tags

    @abstractmethod
    def _outputs(self, X: Array) -> Array:
        """Outputs of the readout, ``(n, outputs)`` or ``(n, outputs, times)``."""

    def _features(self, X: Array) -> Array:
        pooling, rows = self._pooling(), None
        if shortest(X) <= self.washout:
            raise InputError(f"washout={self.washout} leaves nothing of signals of {shortest(X)} times.")
        for index, batch in batches(X, self._width()):
            with torch.no_grad():
                pooled = pooling(torch.from_numpy(self._run(batch))).numpy()
            rows = np.empty((len(X), pooled.shape[1])) if rows is None else rows
            if rows.shape[1] != pooled.shape[1]:
                raise InputError("signals differ in length, and so do all their states together; use another pooling.")
            rows[index] = pooled
        assert rows is not None
        return rows

    def _run(self, batch: Array) -> Array:
        """States ``(times, n, units)`` of signals of one length."""
        # codes that draw at random give the same signal the same spikes, whatever was drawn before or beside it
        with torch.no_grad(), scoped_seed(self.seed_):
            return self.reservoir_(torch.from_numpy(np.ascontiguousarray(self.scale_(batch)))).numpy()

    def _width(self) -> int:
        """Numbers that a step of one sample takes while the reservoir runs."""
        return 2 * int(self.reservoir_.n_units)

    def _checked(self, X: ArrayLike, *, reset: bool) -> Array:
        signals = as_signals(X)
        if not reset and n_channels(signals) != self.n_chans_:
            raise InputError(
                f"{type(self).__name__} was fitted on {self.n_chans_} channels, but X has {n_channels(signals)}."
            )
        if signals.dtype != object:  # feature names and the like, as scikit-learn keeps them
            with user_errors():
                validate_data(self, X, reset=reset, allow_nd=True, ensure_all_finite=False, skip_check_array=True)
        return signals

    def _same_length(self, signals: Array, what: str) -> Array:
        if signals.dtype == object:
            raise InputError(f"{what} takes signals of one length; give those of each length by themselves.")
        return signals

    def _targets(self, y: Any, X: Array) -> Array:
        """Targets of the readout: class numbers, or floats ``(n, targets)`` or ``(n, targets, times)``."""
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if self.task in STEPWISE:
            self._same_length(X, f"task={self.task!r}")
        labels = np.asarray(y)
        if len(labels) != len(X):
            raise InputError(f"y holds {len(labels)} targets for {len(X)} samples.")
        targets = self._labels(labels, X) if self.task in CLASSIFIES else self._numbers(labels, X)
        self.targets_shape_ = labels.shape[1 : labels.ndim - (self.task in STEPWISE)]
        return targets

    def _labels(self, labels: Array, X: Array) -> Array:
        if self.task == "steps":
            if labels.dtype.kind not in "iu" or labels.shape != (len(X), X.shape[-1]):
                raise InputError(
                    f"y must hold one integer per time step (-1 = ignore), shape {(len(X), X.shape[-1])}, "
                    f"got {labels.dtype} of shape {labels.shape}."
                )
            self.classes_ = np.unique(labels[labels != IGNORED])
            found = np.searchsorted(self.classes_, labels)
            numbers = np.where(labels == IGNORED, IGNORED, found)
        else:
            with user_errors():
                check_classification_targets(labels)
                labels = column_or_1d(labels, warn=True)
            self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"y holds only {len(self.classes_)} class, {self.classes_.tolist()}; a classifier needs samples of two."
            )
        return numbers

    def _numbers(self, labels: Array, X: Array) -> Array:
        with user_errors():
            numbers = labels.astype(np.float64)
        check_finite(numbers, "y")
        stepwise = self.task == "series"
        if stepwise and labels.shape[-1:] != X.shape[-1:]:
            raise InputError(f"y must hold one number per time step, {X.shape[-1]} of them, got shape {labels.shape}.")
        if labels.ndim - stepwise not in (1, 2):
            raise InputError(f"y must hold one number or one row of numbers per sample, got shape {labels.shape}.")
        return numbers if labels.ndim - stepwise == 2 else numbers[:, np.newaxis]
