"""The scaler the estimators own: fitted on the inner training part, so that no model ever sees volts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError

SCALES = ("standard", "robust", "sample", "none")

#: Median absolute deviation of a standard normal variable, which makes "robust" agree with "standard" on Gaussian data.
_MAD_OF_NORMAL = 0.6744897501960817


class ChannelScaler(TransformerMixin, BaseEstimator):
    r"""Centre and scale each channel: :math:`z = (x - c) / s`.

    Parameters
    ----------
    method : {"standard", "robust", "sample", "none"}
        ``standard``: mean and standard deviation of each channel over samples and times (of each feature, for
        two-dimensional data); ``robust``: median and scaled median absolute deviation, which artefacts hardly move;
        ``sample``: mean and standard deviation of each channel within each sample, which needs no fitting and
        removes differences of amplitude between people; ``none``: leave the data alone (events, counts).

    Attributes
    ----------
    center_, scale_ : ndarray of shape (channels,)
        What is subtracted and divided by (absent for ``sample`` and ``none``).

    Raises
    ------
    InputError
        When a channel of a signal or image is constant over the whole training part: it carries nothing and
        usually means a dead electrode. Constant features of two-dimensional data get scale 1.
    """

    def __init__(self, method: str = "standard") -> None:
        self.method = method

    def fit(self, X: NDArray[Any], y: Any = None) -> "ChannelScaler":  # noqa: ARG002
        """Learn centre and scale from ``X`` of shape ``(samples, channels, ...)``."""
        check_choice(self.method, SCALES, "scale")
        self.fitted_ = True
        axes = (0, *range(2, X.ndim))
        flat = np.ptp(X, axis=axes) == 0
        if X.ndim > 2 and flat.any():
            raise InputError(
                f"channel(s) {np.flatnonzero(flat).tolist()} of X are constant over the training samples; "
                "drop or interpolate them first."
            )
        if self.method in ("sample", "none"):
            return self
        if self.method == "standard":
            center, scale = X.mean(axis=axes, dtype=np.float64), X.std(axis=axes, dtype=np.float64)
        else:
            center = np.median(X, axis=axes)
            deviation = np.abs(X - center.reshape(-1, *[1] * (X.ndim - 2)))
            scale = np.median(deviation, axis=axes) / _MAD_OF_NORMAL
        self.center_ = center
        # A constant feature may keep a rounding error for its deviation.
        self.scale_ = np.where(scale > 1e-12 * np.abs(center), scale, 1.0)
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Scaled copy of `X`, as float32."""
        if self.method == "none":
            return np.asarray(X, dtype=np.float32)
        if self.method == "sample":
            axes = tuple(range(2, X.ndim)) if X.ndim > 2 else (1,)
            scale = X.std(axis=axes, keepdims=True, dtype=np.float64)
            return ((X - X.mean(axis=axes, keepdims=True)) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
        shape = (-1, *[1] * (X.ndim - 2))
        return ((X - self.center_.reshape(shape)) / self.scale_.reshape(shape)).astype(np.float32)
