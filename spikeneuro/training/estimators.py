"""`NeuroClassifier` and `NeuroRegressor`: scikit-learn estimators that train any network of the registry."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor, nn

from spikeneuro import _several
from spikeneuro._random import derive_seed
from spikeneuro.errors import InputError
from spikeneuro.training.base import NeuroEstimator
from spikeneuro.training.losses import IGNORED, MaskedCrossEntropy


class NeuroClassifier(ClassifierMixin, NeuroEstimator):
    """Train a network to classify signals, images, feature vectors, several of these at once, or single time steps.

    In ``fit``, part of the training samples is set aside for validation (whole groups when `groups` is given), the
    scaler and the model's encoder are fitted on what remains, and the network is trained by surrogate-gradient
    backpropagation through time, or plain backpropagation for a non-spiking model.

    Parameters
    ----------
    model : str or callable
        Name in the registry (`spikeneuro.models.names`) or a class with the same vocabulary:
        ``n_chans, n_times, n_outputs, sfreq`` for signals, ``in_chans, image_size, n_outputs`` for images,
        ``modalities, n_outputs`` for several.
    sfreq : float or dict of float, optional
        Sampling rate in hertz, handed to the model; by modality, where there are several.
    scale : {"standard", "robust", "sample", "none"} or dict
        How channels are scaled; see `ChannelScaler`. By modality, where there are several ("standard" if not named).
    max_epochs, batch_size : int
        Passes over the training part, 0 for the network as it is initialised; samples per step. Batches are of nearly
        equal size.
    optimizer : {"adamw", "adam", "sgd"}
        Optimiser; further options as ``optimizer__name=value``.
    lr, weight_decay : float
        Highest learning rate, and weight decay.
    schedule : {"cosine", "one-cycle", "constant"}
        Learning-rate schedule, stepped every batch.
    gradient_clip : float or None
        Largest norm of the gradient.
    validation_fraction : float or None
        Share of the samples (or groups) set aside; None trains on everything.
    monitor : str
        What chooses the best epoch: ``valid_loss`` or ``valid_accuracy``.
    patience : int or None
        Epochs without improvement after which training ends; None trains for `max_epochs`.
    restore_best : bool
        Whether the weights of the best epoch are put back at the end.
    class_weight : dict, "balanced" or None
        Weight of each class in the loss; "balanced" is inverse to its frequency in the training part.
    label_smoothing : float
        Share of the target spread over all classes.
    rate_penalty : float
        Weight of the penalty on neurons whose rate leaves `rate_band` (spiking models).
    rate_band : (float, float)
        Rates in spikes per neuron and step that cost nothing.
    callbacks : sequence of skorch callbacks
        Run after the estimator's own.
    device : str
        Torch device.
    verbose : int
        1 prints a line per epoch.
    random_state : int, RandomState or None
        Decides the inner split, initialisation, dropout, and the order of batches; global generators are untouched.
    **passed_on
        ``module__x`` to the model, ``optimizer__x`` to the optimiser, ``net__x`` to `skorch.NeuralNet`.

    Attributes
    ----------
    classes_ : ndarray
        Class labels.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    history_ : list of dict
        One entry per epoch: losses, accuracies, learning rate, gradient norm and firing by layer.
    health_ : dict
        Firing (rate, dead and saturated neurons) by layer and gradient norms after training.
    train_index_, validation_index_ : ndarray of int
        Which samples trained and which validated.

    Raises
    ------
    InputError
        For data that cannot be trained on (NaN, one class, a constant channel, wrong axes), unknown names, and a loss
        that diverges.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro import NeuroClassifier
    >>> X = np.random.default_rng(0).normal(size=(40, 3, 64))
    >>> y = np.repeat(["rest", "task"], 20)
    >>> X[y == "task"] *= 3
    >>> clf = NeuroClassifier("cnn1d", sfreq=64, max_epochs=3, random_state=0).fit(X, y)
    >>> clf.predict_proba(X).shape
    (40, 2)
    """

    _MONITORS = ("valid_loss", "valid_accuracy")

    def __init__(
        self,
        model: str | Callable[..., nn.Module] = "spiking-eegnet",
        *,
        sfreq: float | Mapping[str, float | None] | None = None,
        scale: str | Mapping[str, str] = "standard",
        max_epochs: int = 30,
        batch_size: int = 32,
        optimizer: str = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        schedule: str = "cosine",
        gradient_clip: float | None = 1.0,
        validation_fraction: float | None = 0.2,
        monitor: str = "valid_loss",
        patience: int | None = None,
        restore_best: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        label_smoothing: float = 0.0,
        rate_penalty: float = 0.0,
        rate_band: tuple[float, float] = (0.01, 0.2),
        callbacks: Sequence[Any] = (),
        device: str = "cpu",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
        **passed_on: Any,
    ) -> None:
        super().__init__(
            model, sfreq=sfreq, scale=scale, max_epochs=max_epochs, batch_size=batch_size, optimizer=optimizer, lr=lr,
            weight_decay=weight_decay, schedule=schedule, gradient_clip=gradient_clip,
            validation_fraction=validation_fraction, monitor=monitor, patience=patience, restore_best=restore_best,
            rate_penalty=rate_penalty, rate_band=rate_band, callbacks=callbacks, device=device, verbose=verbose,
            random_state=random_state, **passed_on,
        )  # fmt: skip
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing

    def fit(
        self, X: ArrayLike | Mapping[str, ArrayLike], y: ArrayLike, groups: ArrayLike | None = None
    ) -> "NeuroClassifier":
        """Train on ``X``.

        Parameters
        ----------
        X : array-like of shape (samples, channels, times), (samples, channels, height, width) or (samples, features)
            Signals in volts (or what the scaler makes comparable), images or features; or a dict of such arrays by
            modality, for a model that takes several, in which a sample without a modality is NaN throughout.
        y : array-like of shape (samples,) or (samples, times)
            Labels; one per time step with -1 where there is none, for a model that labels steps.
        groups : array-like of shape (samples,), optional
            Subject (or run, recording ...) of each sample: the validation part then holds whole groups.

        Returns
        -------
        self : NeuroClassifier
        """
        self.check_parameters()
        checked = self._check_input(X, reset=True)
        labels = self._check_labels(y, checked)
        codes = np.searchsorted(self.classes_, labels)
        if self.steps_:
            codes = np.where(labels == IGNORED, IGNORED, codes)
        codes = codes.astype(np.int64)
        seed = derive_seed(self.random_state)
        task = "steps" if self.steps_ else "classification"
        self._split(codes, groups, seed, task)
        criterion = MaskedCrossEntropy(self._class_weights(codes[self.train_index_]), self.label_smoothing)
        self._train(checked, codes, len(self.classes_), criterion, seed, task)
        return self

    def _check_labels(self, y: ArrayLike, X: Any) -> NDArray[Any]:
        if y is None:
            raise InputError(f"requires y to be passed, but the target y is None ({type(self).__name__}).")
        labels = np.asarray(y)
        self.steps_ = labels.ndim == 2 and labels.shape[1] > 1
        if not self.steps_:
            labels = column_or_1d(labels, warn=True)
        elif _several.is_several(X):
            raise InputError("y has a label per time step, which no model of several modalities predicts.")
        elif labels.shape[1] != X.shape[-1]:
            raise InputError(f"y has {labels.shape[1]} steps, but X has {X.shape[-1]} times.")
        if len(labels) != _several.n_samples(X):
            raise InputError(f"X has {_several.n_samples(X)} samples, but y has {len(labels)} labels.")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise InputError(f"Input y contains NaN or infinity, first at {np.argwhere(~np.isfinite(labels))[0]}.")
        check_classification_targets(labels.ravel())
        self.classes_ = np.unique(labels)
        if self.steps_:
            self.classes_ = self.classes_[self.classes_ != IGNORED]
        if len(self.classes_) < 2:
            raise InputError(
                f"y holds one class only ({self.classes_.tolist()[0]!r}); a classifier needs at least two."
            )
        return labels

    def _class_weights(self, codes: NDArray[np.int64]) -> Tensor | None:
        if self.class_weight is None:
            return None
        if self.class_weight == "balanced":
            counts = np.bincount(codes[codes != IGNORED], minlength=len(self.classes_))
            return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)
        if isinstance(self.class_weight, str):
            raise InputError(f"class_weight={self.class_weight!r} is unknown; use 'balanced', a dict or None.")
        unknown = set(self.class_weight) - set(self.classes_.tolist())
        if unknown:
            raise InputError(f"class_weight names {sorted(unknown)}, but the classes are {self.classes_.tolist()}.")
        negative = {label: weight for label, weight in self.class_weight.items() if not weight >= 0}
        if negative:
            raise InputError(f"class_weight must not be negative, got {negative}.")
        return torch.tensor([float(self.class_weight.get(label, 1.0)) for label in self.classes_.tolist()])

    def decision_function(self, X: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.float32]:
        """Logits ``(samples, classes)``, or ``(samples,)`` (second minus first) for two classes; steps add an axis."""
        logits = self._forward(X).numpy()
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.float32]:
        """Softmax of the logits: ``(samples, classes)`` or ``(samples, classes, times)``."""
        return self._forward(X).double().softmax(dim=1).numpy()

    def predict(self, X: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[Any]:
        """Most probable class of each sample, or of each step."""
        best = self._forward(X).argmax(dim=1).numpy()
        return self.classes_[best]

    def score(
        self, X: ArrayLike | Mapping[str, ArrayLike], y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Accuracy; over the labelled steps where labels are per step."""
        if np.ndim(y) == 1 or np.shape(y)[1] == 1:
            return float(super().score(X, y, sample_weight))
        labelled = np.asarray(y) != IGNORED
        return float((self.predict(X) == np.asarray(y))[labelled].mean())


class NeuroRegressor(RegressorMixin, NeuroEstimator):
    """Train a network to predict a number, such as age.

    The target is standardised with mean and standard deviation of the inner training part; the loss is the mean
    squared error. Parameters are those of `NeuroClassifier` without class weights and label smoothing.

    Attributes
    ----------
    target_mean_, target_scale_ : float
        What the target was standardised with.
    net_, history_, health_, train_index_, validation_index_
        As for `NeuroClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro import NeuroRegressor
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> reg = NeuroRegressor("mlp", max_epochs=5, random_state=0).fit(X, X[:, 0])
    >>> reg.predict(X).shape
    (60,)
    """

    def fit(
        self, X: ArrayLike | Mapping[str, ArrayLike], y: ArrayLike, groups: ArrayLike | None = None
    ) -> "NeuroRegressor":
        """Train on `X` as for `NeuroClassifier.fit`, with one number per sample in `y`."""
        self.check_parameters()
        checked = self._check_input(X, reset=True)
        if y is None:
            raise InputError(f"requires y to be passed, but the target y is None ({type(self).__name__}).")
        target = column_or_1d(np.asarray(y), warn=True).astype(np.float64)
        if len(target) != _several.n_samples(checked):
            raise InputError(f"X has {_several.n_samples(checked)} samples, but y has {len(target)} targets.")
        if not np.isfinite(target).all():
            raise InputError(f"Input y contains NaN or infinity, first at {np.argwhere(~np.isfinite(target))[0]}.")
        seed = derive_seed(self.random_state)
        self._split(target, groups, seed, "regression")
        self.target_mean_ = float(target[self.train_index_].mean())
        self.target_scale_ = float(target[self.train_index_].std()) or 1.0
        scaled = ((target - self.target_mean_) / self.target_scale_).astype(np.float32)[:, None]
        self._train(checked, scaled, 1, nn.MSELoss(), seed, "regression")
        return self

    def predict(self, X: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Predicted target of each sample, in its own units."""
        output = self._forward(X)[:, 0].double().numpy()
        return output * self.target_scale_ + self.target_mean_
