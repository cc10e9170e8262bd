"""Signals to feature vectors, each a scikit-learn transformer."""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from spikeneuro._validation import check_choice, check_number, user_errors
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import as_signals, refuse_constant

Array = NDArray[Any]

#: The usual EEG rhythms in hertz, the beta band in two halves.
BANDS: tuple[tuple[float, float], ...] = ((1, 4), (4, 8), (8, 13), (13, 20), (20, 30), (30, 45))


def check_band(band: Any, sfreq: float, name: str = "band") -> tuple[float, float]:
    """`band` as (low, high) in hertz with 0 <= low < high <= sfreq / 2."""
    if not isinstance(band, Sequence) or isinstance(band, str) or len(band) != 2:
        raise InputError(f"{name} must be (low, high) in hertz, got {band!r}.")
    low = float(check_number(band[0], f"{name}[0]", low=0))
    high = float(check_number(band[1], f"{name}[1]", low=0, high=sfreq / 2))
    if low >= high:
        raise InputError(f"{name} must rise, got {low:g} to {high:g} Hz.")
    return low, high


class BandPower(TransformerMixin, BaseEstimator):
    r"""Log power of every channel in frequency bands, from Welch's spectrum.

    Computes :math:`\ln \overline{P_c(f)}`, the mean over the bins with :math:`low \le f < high` of the power spectral
    density :math:`P_c` (V²/Hz for signals in volts), which is averaged over half-overlapping Hann segments.

    Parameters
    ----------
    sfreq : float
        Sampling rate in hertz.
    bands : sequence of (low, high)
        Bands in hertz, up to half the sampling rate.
    segment : float
        Length of the segments in seconds; the resolution is its reciprocal.

    Attributes
    ----------
    n_chans_, n_times_ : int
        Sizes of the samples seen in `fit`. Nothing else is learned.

    Raises
    ------
    InputError
        If a sample is shorter than a segment, a band holds no bin of the spectrum or exceeds half the sampling rate,
        or a channel of a sample is constant (its power is 0).

    References
    ----------
    Welch (1967), IEEE Trans. Audio Electroacoust. 15(2):70-73, doi:10.1109/TAU.1967.1161901.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(500) / 125
    >>> X = np.sin(2 * np.pi * 10 * t)[None, None] + 1e-3 * np.sin(2 * np.pi * 25 * t)
    >>> power = BandPower(125.0, bands=((8, 13), (20, 30))).fit_transform(X)
    >>> bool(power[0, 0] > power[0, 1] + 10)
    True
    """

    def __init__(self, sfreq: float, bands: Sequence[Sequence[float]] = BANDS, segment: float = 2.0) -> None:
        self.sfreq = sfreq
        self.bands = bands
        self.segment = segment

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Check the parameters against samples of shape ``(n, channels, times)``."""
        check_number(self.sfreq, "sfreq", low=0, closed="neither")
        check_number(self.segment, "segment", low=0, closed="neither")
        X = as_signals(X)
        if len(self.bands) == 0:
            raise InputError("bands is empty; give at least one (low, high) in hertz.")
        length = self._segment_length()
        if X.shape[-1] < length:
            raise InputError(
                f"X has {X.shape[-1]} times, {X.shape[-1] / self.sfreq:g} s, less than a Welch segment of "
                f"{self.segment:g} s; shorten segment or lengthen the windows."
            )
        frequencies = np.fft.rfftfreq(length, 1 / self.sfreq)
        for number, band in enumerate(self.bands):
            low, high = check_band(band, self.sfreq, f"bands[{number}]")
            if not ((frequencies >= low) & (frequencies < high)).any():
                raise InputError(
                    f"bands[{number}], {low:g} to {high:g} Hz, holds no bin of the spectrum, which has one every "
                    f"{frequencies[1]:g} Hz; widen the band or lengthen segment={self.segment:g} s."
                )
        self.n_chans_, self.n_times_ = X.shape[1:]
        return self

    def transform(self, X: Any) -> Array:
        """Features ``(n, channels * bands)``: all bands of the first channel, then of the second."""
        from scipy.signal import welch

        check_is_fitted(self)
        X = as_signals(X)
        if X.shape[1:] != (self.n_chans_, self.n_times_):
            raise InputError(f"X has samples of shape {X.shape[1:]}, but fit saw {(self.n_chans_, self.n_times_)}.")
        refuse_constant(X)
        frequencies, density = welch(X.astype(np.float64, copy=False), self.sfreq, nperseg=self._segment_length())
        bins = [(frequencies >= low) & (frequencies < high) for low, high in self.bands]
        power = np.stack([density[..., chosen].mean(axis=-1) for chosen in bins], axis=-1)
        return np.log(power).reshape(len(X), -1)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> Array:
        """Names such as ``"Cz 8-13 Hz"``; channels are numbered when no names are given."""
        check_is_fitted(self)
        channels = [f"channel{c}" for c in range(self.n_chans_)] if input_features is None else list(input_features)
        if len(channels) != self.n_chans_:
            raise InputError(f"input_features has {len(channels)} names for {self.n_chans_} channels.")
        return np.array([f"{c} {low:g}-{high:g} Hz" for c in channels for low, high in self.bands], dtype=object)

    def _segment_length(self) -> int:
        return round(self.segment * self.sfreq)

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class BandPass(TransformerMixin, BaseEstimator):
    """Zero-phase Butterworth band-pass of every channel, sample by sample; nothing is learned.

    Edges of a sample are filtered with odd reflection; filtering the continuous recording before cutting it is better
    where it is available.

    Parameters
    ----------
    sfreq : float
        Sampling rate in hertz.
    band : (low, high)
        Pass band in hertz, strictly between 0 and half the sampling rate.
    order : int
        Order of the filter, applied forwards and backwards.

    Raises
    ------
    InputError
        If the band is impossible or a sample is too short for the filter.

    Examples
    --------
    >>> import numpy as np
    >>> slow, fast = (np.sin(2 * np.pi * f * np.arange(640) / 160) for f in (2, 12))
    >>> passed = BandPass(160.0, (8, 30)).fit_transform((slow + fast)[None, None])[0, 0]
    >>> bool(np.abs(passed - fast)[100:-100].max() < 0.02)
    True
    """

    def __init__(self, sfreq: float, band: Sequence[float], order: int = 4) -> None:
        self.sfreq = sfreq
        self.band = band
        self.order = order

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Check the parameters against samples of shape ``(n, channels, times)``."""
        self._sections()
        as_signals(X)
        return self

    def transform(self, X: Any) -> Array:
        """Filtered signals, same shape, as float64."""
        from scipy.signal import sosfiltfilt

        X = as_signals(X)
        sections = self._sections()
        with user_errors():  # SciPy names the least length
            return sosfiltfilt(sections, X.astype(np.float64, copy=False), axis=-1)

    def _sections(self) -> Array:
        from scipy.signal import butter

        check_number(self.sfreq, "sfreq", low=0, closed="neither")
        check_number(self.order, "order", low=1, high=12, integer=True)
        low, high = check_band(self.band, self.sfreq)
        if low == 0 or high == self.sfreq / 2:
            raise InputError(f"band must lie strictly between 0 and {self.sfreq / 2:g} Hz, got {low:g} to {high:g} Hz.")
        return butter(self.order, (low, high), btype="bandpass", fs=self.sfreq, output="sos")

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions; nothing is learned."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags


class Flatten(TransformerMixin, BaseEstimator):
    """Samples of any shape as vectors: ``(n, a, b, ...)`` to ``(n, a * b * ...)``, last axis fastest.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten().fit_transform(np.zeros((5, 1, 8, 8))).shape
    (5, 64)
    """

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Remember the number of features of a sample."""
        X = self._checked(X, reset=True)
        self.shape_ = X.shape[1:]
        return self

    def transform(self, X: Any) -> Array:
        """Vectors ``(n, features)``; two-dimensional input passes unchanged."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        if X.shape[1:] != self.shape_:
            raise InputError(f"X has samples of shape {X.shape[1:]}, but fit saw {self.shape_}.")
        return X.reshape(len(X), -1)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> Array:
        """Names ``x0``, ``x1``, ...; names given to two-dimensional input are kept."""
        check_is_fitted(self)
        size = int(np.prod(self.shape_))
        if input_features is not None and len(input_features) == size:
            return np.asarray(input_features, dtype=object)
        return np.array([f"x{i}" for i in range(size)], dtype=object)

    def _checked(self, X: Any, *, reset: bool) -> Array:
        with user_errors():
            return validate_data(self, X, reset=reset, allow_nd=True, dtype=[np.float64, np.float32])

    def __sklearn_tags__(self) -> Tags:
        """Input of two and more dimensions."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class Standardise(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Subtract the mean and divide by the standard deviation of the training part.

    Parameters
    ----------
    scope : {"feature", "all"}
        ``"feature"``: each feature by its own mean and deviation (features of different units). ``"all"``: one mean
        and one deviation over everything, which keeps the proportions between features (pixels, voxels, volts) and
        does not blow up features that hardly vary.

    Attributes
    ----------
    mean_, scale_ : ndarray, shape (features,) or (1,)
        What is subtracted and what is divided by; a deviation of 0 is replaced by 1.

    Examples
    --------
    >>> import numpy as np
    >>> Standardise("all").fit_transform(np.array([[0.0, 2.0], [0.0, 2.0]])).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(self, scope: str = "feature") -> None:
        self.scope = scope

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Measure mean and deviation of features ``(n, features)``."""
        check_choice(self.scope, ("feature", "all"), "scope")
        X = self._checked(X, reset=True)
        # Float64 sums: the mean of a million float32 pixels would be off in the third digit.
        mean, deviation = (
            np.atleast_1d(measure(X, axis=0 if self.scope == "feature" else None, dtype=np.float64))
            for measure in (np.mean, np.std)
        )
        # A constant feature leaves rounding noise in the deviation, not an exact 0.
        tiny = deviation <= 10 * np.finfo(X.dtype).eps * np.abs(mean)
        if tiny.any() and self.scope == "all":
            warnings.warn("all values of X are equal: nothing to scale.", UserWarning, stacklevel=2)
        self.mean_, self.scale_ = mean, np.where(tiny, 1.0, deviation)
        return self

    def transform(self, X: Any) -> Array:
        """Scaled features, same shape and precision."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        return ((X - self.mean_) / self.scale_).astype(X.dtype, copy=False)

    def _checked(self, X: Any, *, reset: bool) -> Array:
        with user_errors():
            return validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
