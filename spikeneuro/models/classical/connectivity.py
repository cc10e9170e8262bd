"""Functional connectivity of regions as a feature vector, whatever the length of the recording."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC, SVR
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from spikeneuro._validation import check_choice, check_finite
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import InputCheck

Array = NDArray[Any]

#: Correlations are cut here before Fisher's transform, which is infinite at 1 (two regions with equal series).
_LARGEST = 1 - 1e-6


def correlation(x: Array) -> Array:
    """Pearson correlations between the rows of `x`, shape ``(rows, times)``; 0 for a row that is constant.

    A region without coverage has a constant series: its correlation is undefined, and 0 (no relation known) is put
    in its place. The diagonal is 1, that of constant rows 0.

    Examples
    --------
    >>> import numpy as np
    >>> correlation(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0]])).round(6).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    x = np.asarray(x, dtype=np.float64)
    constant = x.max(axis=1) == x.min(axis=1)
    centred = x - x.mean(axis=1, keepdims=True)
    # Largest value first, so that squares of tiny or huge units neither vanish nor overflow.
    centred /= np.where(constant, 1.0, np.abs(centred).max(axis=1))[:, np.newaxis]
    norm = np.sqrt((centred**2).sum(axis=1))
    unit = np.where(constant[:, np.newaxis], 0.0, centred / np.where(constant, 1.0, norm)[:, np.newaxis])
    return np.clip(unit @ unit.T, -1.0, 1.0)


class Connectivity(TransformerMixin, BaseEstimator):
    r"""Correlations between all pairs of regions, Fisher-z transformed.

    Computes :math:`z_{ij} = \operatorname{artanh}(r_{ij})` for :math:`i < j`, where :math:`r_{ij}` is Pearson's
    correlation of the series of regions i and j. :math:`|r|` is cut at :math:`1 - 10^{-6}`; a region that is constant
    (no coverage) has :math:`r = 0` with every other.

    Parameters
    ----------
    kind : {"fisher-z", "correlation"}
        Whether to apply Fisher's transform.

    Attributes
    ----------
    n_regions_ : int
        Regions seen in `fit`. Nothing else is learned, and the length of a recording never reaches the features.

    Raises
    ------
    InputError
        If a recording has fewer than 3 time points, another number of regions, or values that are not finite.

    References
    ----------
    Fisher (1915), Biometrika 10(4):507-521, doi:10.1093/biomet/10.4.507.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> X = np.empty(2, dtype=object)
    >>> X[0], X[1] = random.normal(size=(4, 78)), random.normal(size=(4, 316))
    >>> Connectivity().fit_transform(X).shape
    (2, 6)
    """

    def __init__(self, kind: Literal["fisher-z", "correlation"] = "fisher-z") -> None:
        self.kind = kind

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Remember the number of regions of ``(n, regions, times)`` or a ragged object array of recordings."""
        check_choice(self.kind, ("fisher-z", "correlation"), "kind")
        if len(X) == 0:
            raise InputError("X is empty; at least one recording is needed.")
        self.n_regions_ = len(_recording(X[0], 0, None))
        if self.n_regions_ < 2:
            raise InputError(f"connectivity needs at least two regions, X has {self.n_regions_}.")
        return self

    def transform(self, X: Any) -> Array:
        """Features ``(n, regions * (regions - 1) / 2)``, upper triangle row by row."""
        check_is_fitted(self)
        upper = np.triu_indices(self.n_regions_, k=1)
        features = np.empty((len(X), len(upper[0])))
        for i, item in enumerate(X):
            features[i] = correlation(_recording(item, i, self.n_regions_))[upper]
        return np.arctanh(np.clip(features, -_LARGEST, _LARGEST)) if self.kind == "fisher-z" else features

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names such as ``"10-11"``; regions are numbered when no names are given."""
        check_is_fitted(self)
        regions = range(self.n_regions_) if input_features is None else list(input_features)
        if len(regions) != self.n_regions_:
            raise InputError(f"input_features has {len(regions)} names for {self.n_regions_} regions.")
        rows, columns = np.triu_indices(self.n_regions_, k=1)
        return np.array([f"{regions[i]}-{regions[j]}" for i, j in zip(rows, columns, strict=True)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions or ragged."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def build_connectivity_ridge(
    n_chans: int | None = None,
    n_times: int | None = None,  # noqa: ARG001
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    alpha: float = 100.0,
    kind: Literal["fisher-z", "correlation"] = "fisher-z",
    task: str = "classification",
    random_state: Any = None,
) -> Pipeline:
    """Correlations between regions, Fisher-z transformed, and ridge classification or regression.

    Parameters
    ----------
    n_chans, n_outputs : int, optional
        Sizes of the data; when given, other sizes are refused.
    n_times, sfreq : optional
        Not used: recordings may differ in length and rate, and neither reaches the features.
    alpha : float
        Strength of the penalty on the weights.
    kind : {"fisher-z", "correlation"}
        Whether to apply Fisher's transform.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : int, RandomState or None
        Given to the solver.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Dadi et al. (2019), NeuroImage 192:115-134, doi:10.1016/j.neuroimage.2019.02.062.
    """
    ridge = {"classification": RidgeClassifier, "regression": Ridge}[
        check_choice(task, ("classification", "regression"), "task")
    ]
    return make_pipeline(
        InputCheck(task, n_chans=n_chans, n_outputs=n_outputs, ragged=True),
        Connectivity(kind),
        ridge(alpha=alpha, random_state=random_state),
    )


def build_connectivity_svm(
    n_chans: int | None = None,
    n_times: int | None = None,  # noqa: ARG001
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    C: float = 1.0,
    kernel: str = "rbf",
    kind: Literal["fisher-z", "correlation"] = "fisher-z",
    task: str = "classification",
    random_state: Any = None,  # noqa: ARG001
) -> Pipeline:
    """Correlations between regions, Fisher-z transformed, and a support vector machine.

    Parameters
    ----------
    n_chans, n_outputs : int, optional
        Sizes of the data; when given, other sizes are refused.
    n_times, sfreq : optional
        Not used: recordings may differ in length and rate, and neither reaches the features.
    C : float
        Inverse strength of the penalty.
    kernel : {"linear", "rbf", "poly", "sigmoid"}
        Kernel of the machine.
    kind : {"fisher-z", "correlation"}
        Whether to apply Fisher's transform.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : optional
        Not used: nothing is random.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Abraham et al. (2017), NeuroImage 147:736-745, doi:10.1016/j.neuroimage.2016.10.045.
    """
    check_choice(kernel, ("linear", "rbf", "poly", "sigmoid"), "kernel")
    machine = {"classification": SVC, "regression": SVR}[check_choice(task, ("classification", "regression"), "task")]
    return make_pipeline(
        InputCheck(task, n_chans=n_chans, n_outputs=n_outputs, ragged=True),
        Connectivity(kind),
        machine(C=C, kernel=kernel),
    )


def _recording(item: Any, index: int, n_regions: int | None) -> Array:
    item = np.asarray(item)
    if item.ndim != 2 or item.dtype.kind not in "fiu":
        raise InputError(f"X[{index}] must have shape (regions, times), got {item.shape} of {item.dtype}.")
    if n_regions is not None and len(item) != n_regions:
        raise InputError(f"X[{index}] has {len(item)} regions, but fit saw {n_regions}.")
    if item.shape[1] < 3:
        raise InputError(f"X[{index}] has {item.shape[1]} time points; a correlation needs at least 3.")
    return check_finite(item, f"X[{index}]")
