"""What every pipeline checks first: that the samples and labels can be used, said before any mathematics."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from spikeneuro._validation import check_choice, check_finite, user_errors
from spikeneuro.errors import InputError
from spikeneuro.reservoir.signals import as_equal_signals, as_ragged, gathered, is_ragged

Array = NDArray[Any]

#: Numbers that stay as they are; all others become the first.
_FLOATS = [np.float64, np.float32]


def as_signals(X: Any, name: str = "X") -> Array:
    """`X` as finite floats of shape ``(n, channels, times)``; ``(n, times)`` is one channel.

    Raises
    ------
    InputError
        If the shape is another, or a value is NaN or infinite.
    """
    return as_equal_signals(X, name, _FLOATS)


def refuse_constant(X: Array, name: str = "X") -> None:
    """Raise if a channel of a sample does not move; its power is 0 and its logarithm and correlation undefined."""
    flat = X.max(axis=-1) == X.min(axis=-1)
    if flat.any():
        sample, channel = (int(i) for i in np.argwhere(flat)[0])
        raise InputError(
            f"{name}[{sample}], channel {channel} is constant ({int(flat.sum())} such channel(s) in all); "
            "drop or interpolate the channel, or drop the sample."
        )


def check_classes(y: Any, n_outputs: int | None = None) -> Array:
    """`y` as labels of at least two classes, and of at most `n_outputs`."""
    if y is None:
        raise InputError("classification requires y to be passed, but the target y is None.")
    with user_errors():
        check_classification_targets(y)
        labels = np.asarray(y)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise InputError(f"y holds only 1 class, {classes.tolist()}; a classifier needs samples of at least two.")
    if n_outputs is not None and len(classes) > n_outputs:
        raise InputError(f"y holds {len(classes)} classes but n_outputs={n_outputs}.")
    return labels


class InputCheck(TransformerMixin, BaseEstimator):
    """Pass samples on unchanged, or say what is wrong with them.

    Parameters
    ----------
    task : {"classification", "regression"}
        For classification, `y` must hold at least two classes.
    n_chans, n_times, n_outputs : int, optional
        Sizes promised when the pipeline was built; other sizes are refused. Features ``(n, features)`` count as one
        channel of ``n_times`` samples. `n_outputs` is an upper limit, because a training part may miss a class.
    in_chans, image_size : int (or (height, width)), optional
        Sizes of images, likewise.
    ragged : bool
        Allow a list or a one-dimensional object array of ``(channels, times_i)`` arrays.
    min_samples : int
        Samples needed for training.

    Attributes
    ----------
    shape_ : tuple of int
        Shape of one sample; ``(channels,)`` for ragged input, whose lengths may differ.

    Raises
    ------
    InputError
        From `fit` and `transform`: sizes that differ, NaN, too few samples, or a single class.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(4, 2, 8))
    >>> InputCheck(n_chans=2).fit_transform(X, [0, 1, 0, 1]).shape
    (4, 2, 8)
    """

    def __init__(
        self,
        task: str = "classification",
        *,
        n_chans: int | None = None,
        n_times: int | None = None,
        n_outputs: int | None = None,
        in_chans: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        ragged: bool = False,
        min_samples: int = 1,
    ) -> None:
        self.task = task
        self.n_chans = n_chans
        self.n_times = n_times
        self.n_outputs = n_outputs
        self.in_chans = in_chans
        self.image_size = image_size
        self.ragged = ragged
        self.min_samples = min_samples

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the training part and remember the shape of a sample."""
        check_choice(self.task, ("classification", "regression"), "task")
        X = self._checked(X, reset=True)
        self._check_sizes(X)
        if len(X) < self.min_samples:
            raise InputError(f"n_samples={len(X)} for training, but this pipeline needs at least {self.min_samples}.")
        if self.task == "classification":
            check_classes(y, self.n_outputs)
        self.shape_ = _sample_shape(X)
        return self

    def transform(self, X: Any) -> Array:
        """Check samples against what was trained on; returns them as an array of floats."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        if _sample_shape(X) != self.shape_:
            raise InputError(f"X has samples of shape {_sample_shape(X)}, but the training part had {self.shape_}.")
        return X

    def _checked(self, X: Any, *, reset: bool) -> Array:
        X = gathered(X)
        if is_ragged(X):
            return self._checked_ragged(X)
        with user_errors():
            X = validate_data(self, X, reset=reset, allow_nd=True, ensure_all_finite=False, dtype=_FLOATS)
        return check_finite(X)

    def _checked_ragged(self, X: Array) -> Array:
        if not self.ragged:
            raise InputError("X holds signals of different lengths; cut windows of one length first.")
        return as_ragged(X, dtype=_FLOATS)

    def _check_sizes(self, X: Array) -> None:
        size = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        image = self.in_chans is not None or size is not None
        if image and X.ndim != 4:
            raise InputError(
                f"the pipeline was built for images (n, channels, height, width), but X has shape {X.shape}."
            )
        sizes: list[tuple[str, Any, Any]] = []
        if X.ndim == 4:
            sizes = [("in_chans", self.in_chans, X.shape[1]), ("image_size", size and tuple(size), X.shape[2:])]
        elif X.dtype == object:
            sizes = [("n_chans", self.n_chans, len(X[0]))]
        else:
            n_chans, n_times = X.shape[1:] if X.ndim == 3 else (1, X.shape[1])
            sizes = [("n_chans", self.n_chans, n_chans), ("n_times", self.n_times, n_times)]
        for name, promised, got in sizes:
            if promised is not None and got != promised:
                raise InputError(f"the pipeline was built with {name}={promised}, but X has {got} (shape {X.shape}).")

    def __sklearn_tags__(self) -> Tags:
        """One-, two- and more-dimensional input; labels are needed to check them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = self.task == "classification"
        return tags


def _sample_shape(X: Array) -> tuple[int, ...]:
    return (len(X[0]),) if X.dtype == object else X.shape[1:]
