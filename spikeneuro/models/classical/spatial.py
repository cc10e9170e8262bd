"""Spatial filters, covariance geometry, and alignment of subjects."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from spikeneuro._optional import require
from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import as_signals, check_classes, refuse_constant

Array = NDArray[Any]

_USUAL_COMPONENTS = 6


class CommonSpatialPatterns(TransformerMixin, BaseEstimator):
    r"""Log power of the signals after spatial filters that tell the classes apart (through MNE's CSP).

    For two classes with covariances :math:`C_1, C_2`, the filters solve
    :math:`C_1 w = \lambda (C_1 + C_2) w`; the features are :math:`\ln \overline{(w^T X)^2}` of those with
    :math:`\lambda` farthest from 1/2. Several classes are treated by approximate joint diagonalisation.

    Parameters
    ----------
    n_components : int, optional
        Filters kept; by default 6, or all where there are fewer channels.
    reg : {"ledoit_wolf", "oas", "shrunk", "empirical"} or float
        How class covariances are estimated; a float is a fixed shrinkage in [0, 1].

    Attributes
    ----------
    csp_ : mne.decoding.CSP
        The fitted filters and patterns.
    scale_ : float
        Standard deviation of the training signals, which they are divided by.

    Raises
    ------
    InputError
        If there are more components than channels, fewer than two classes, or a channel is constant.

    References
    ----------
    Koles, Lazar and Zhou (1990), Brain Topography 2(4):275-284, doi:10.1007/BF01129656;
    Blankertz et al. (2008), IEEE Signal Process. Mag. 25(1):41-56, doi:10.1109/MSP.2008.4408441.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> X = random.normal(size=(20, 3, 200))
    >>> X[:10, 0] *= 3
    >>> features = CommonSpatialPatterns(2).fit_transform(X, np.repeat([0, 1], 10))
    >>> features.shape
    (20, 2)
    """

    def __init__(self, n_components: int | None = None, reg: Any = "ledoit_wolf") -> None:
        self.n_components = n_components
        self.reg = reg

    def fit(self, X: Any, y: Any) -> Self:
        """Find the filters from ``X (n, channels, times)`` and labels ``y (n,)``."""
        import mne

        X = as_signals(X)
        labels = check_classes(y)
        if len(labels) != len(X):
            raise InputError(f"X has {len(X)} samples but y has {len(labels)}.")
        refuse_constant(X)
        if isinstance(self.reg, str):
            check_choice(self.reg, ("ledoit_wolf", "oas", "shrunk", "empirical"), "reg")
        else:
            check_number(self.reg, "reg", low=0, high=1)
        n_chans = X.shape[1]
        if self.n_components is None:
            kept = min(_USUAL_COMPONENTS, n_chans)
        else:
            kept = int(check_number(self.n_components, "n_components", low=1, high=n_chans, integer=True))
        # Covariances of signals in volts are near 1e-11, where the solver's absolute tolerances no longer hold.
        self.scale_ = float(X.std(dtype=np.float64))
        self.csp_ = mne.decoding.CSP(n_components=kept, reg=self.reg, log=True)
        with mne.use_log_level("error"):
            self.csp_.fit(X.astype(np.float64) / self.scale_, labels)
        self.n_chans_ = n_chans
        return self

    def transform(self, X: Any) -> Array:
        """Features ``(n, n_components)``."""
        check_is_fitted(self)
        X = as_signals(X)
        if X.shape[1] != self.n_chans_:
            raise InputError(f"X has {X.shape[1]} channels, but fit saw {self.n_chans_}.")
        refuse_constant(X)
        return self.csp_.transform(X.astype(np.float64) / self.scale_)

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions and labels."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags


class TangentVectors(TransformerMixin, BaseEstimator):
    r"""Covariance of each sample as a vector in the tangent space at the training mean (through pyRiemann).

    With :math:`C_i` the regularised covariance of sample i and :math:`\bar C` the Riemannian mean of the training
    covariances, computes the upper triangle of :math:`\ln(\bar C^{-1/2} C_i \bar C^{-1/2})`, off-diagonal entries
    times :math:`\sqrt 2`. The vectors do not change when all signals are multiplied by a constant.

    Parameters
    ----------
    covariance : {"oas", "lwf", "scm"}
        Estimator of the covariances: oracle approximating shrinkage, Ledoit-Wolf, or the plain sample covariance.

    Attributes
    ----------
    tangent_ : pyriemann.tangentspace.TangentSpace
        The fitted mean, on signals divided by `scale_`.
    scale_ : float
        Standard deviation of the training signals.

    Raises
    ------
    InputError
        If a channel is constant, or a covariance is singular (``"scm"`` with fewer times than channels).
    MissingDependencyError
        If pyRiemann is not installed.

    References
    ----------
    Barachant et al. (2012), IEEE Trans. Biomed. Eng. 59(4):920-928, doi:10.1109/TBME.2011.2172210.
    """

    def __init__(self, covariance: str = "oas") -> None:
        self.covariance = covariance

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Find the mean covariance of ``X (n, channels, times)``."""
        tangentspace = require("pyriemann.tangentspace", "eeg")
        check_choice(self.covariance, ("oas", "lwf", "scm"), "covariance")
        X = as_signals(X)
        self.scale_ = float(X.std(dtype=np.float64)) or 1.0
        self.n_chans_ = X.shape[1]
        self.tangent_ = tangentspace.TangentSpace(metric="riemann").fit(self._covariances(X))
        return self

    def transform(self, X: Any) -> Array:
        """Features ``(n, channels * (channels + 1) / 2)``."""
        check_is_fitted(self)
        X = as_signals(X)
        if X.shape[1] != self.n_chans_:
            raise InputError(f"X has {X.shape[1]} channels, but fit saw {self.n_chans_}.")
        return self.tangent_.transform(self._covariances(X))

    def _covariances(self, X: Array) -> Array:
        estimation = require("pyriemann.estimation", "eeg")
        refuse_constant(X)
        matrices = estimation.Covariances(estimator=self.covariance).fit_transform(X.astype(np.float64) / self.scale_)
        smallest = np.linalg.eigvalsh(matrices)
        singular = np.flatnonzero(smallest[:, 0] <= smallest[:, -1] * X.shape[1] * np.finfo(np.float64).eps)
        if singular.size:
            raise InputError(
                f"the covariance of X[{int(singular[0])}] is singular ({singular.size} sample(s) are); use "
                "covariance='oas', longer windows, or fewer channels."
            )
        return matrices

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def transductive_euclidean_alignment(X: Any, groups: Any) -> Array:
    r"""Whiten every subject by the mean covariance of its own trials, the test subject's unlabelled ones included.

    Computes :math:`\bar R_g^{-1/2} X_i` for the trials i of group g, with
    :math:`\bar R_g = \frac{1}{n_g} \sum_{i \in g} X_i X_i^T / T`. Directions without variance (a common average
    reference) are set to 0.

    No label is used, but all trials of a test subject are: scores after it are **transductive** and must be named so.
    They do not hold for a subject of whom no trials were recorded before.

    Parameters
    ----------
    X : array_like, shape (n, channels, times)
        Signals, in any unit.
    groups : array_like, shape (n,)
        Subject (or subject and session) of each trial.

    Returns
    -------
    ndarray, shape (n, channels, times)
        Signals without unit, whose mean covariance is the identity in every group.

    Raises
    ------
    InputError
        If lengths differ or a channel of a trial is constant.

    References
    ----------
    He and Wu (2020), IEEE Trans. Biomed. Eng. 67(2):399-410, doi:10.1109/TBME.2019.2913914.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(6, 2, 50)) * np.array([[1.0], [0.01]])
    >>> aligned = transductive_euclidean_alignment(X, ["a", "a", "a", "b", "b", "b"])
    >>> (np.einsum("nct,ndt->cd", aligned[:3], aligned[:3]) / 150).round(6).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    X = as_signals(X)
    refuse_constant(X)
    groups = np.asarray(groups)
    if groups.shape != (len(X),):
        raise InputError(f"groups must hold one entry for each of the {len(X)} samples, got shape {groups.shape}.")
    aligned = np.empty(X.shape, dtype=X.dtype)
    for group in np.unique(groups):
        members = groups == group
        trials = X[members].astype(np.float64)
        mean = np.einsum("nct,ndt->cd", trials, trials) / (len(trials) * X.shape[-1])
        aligned[members] = _inverse_root(mean) @ trials
    return aligned


def _inverse_root(matrix: Array) -> Array:
    """Symmetric :math:`R^{-1/2}` on the range of `matrix`, 0 outside it."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > values[-1] * len(matrix) * np.finfo(np.float64).eps
    values, vectors = values[kept], vectors[:, kept]
    return (vectors / np.sqrt(values)) @ vectors.T
