"""Classical rivals on signals, each built by a function that returns an unfitted scikit-learn estimator.

All take ``n_chans, n_times, n_outputs, sfreq`` as networks do, check what they are given against them, and learn
whatever they learn (scalers, filters, means) in `fit` alone. ``predict_proba`` exists where the model has
probabilities (discriminant analysis, logistic regression, forest, nearest neighbour); ridge and support vector
machines have a ``decision_function`` instead, whose values are no probabilities.
"""

from collections.abc import Sequence
from typing import Any

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from spikeneuro._optional import require
from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.models.classical.cca import CanonicalCorrelationClassifier
from spikeneuro.models.classical.checks import InputCheck
from spikeneuro.models.classical.features import BANDS, BandPass, BandPower, Standardise
from spikeneuro.models.classical.spatial import CommonSpatialPatterns, TangentVectors


def build_bandpower_lda(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float = 250.0,
    *,
    bands: Sequence[Sequence[float]] = BANDS,
    segment: float = 2.0,
    task: str = "classification",
    random_state: Any = None,  # noqa: ARG001
) -> Pipeline:
    """Welch log band power, standardised, and linear discriminant analysis with Ledoit-Wolf shrinkage.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; when given, other sizes are refused.
    sfreq : float
        Sampling rate in hertz.
    bands : sequence of (low, high)
        Bands in hertz.
    segment : float
        Welch segments in seconds.
    task : {"classification"}
        What it is trained for.
    random_state : optional
        Not used: nothing is random.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Ledoit and Wolf (2004), J. Multivar. Anal. 88(2):365-411, doi:10.1016/S0047-259X(03)00096-4.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(20, 4, 500))
    >>> y = np.repeat([0, 1], 10)
    >>> build_bandpower_lda(4, 500, 2, 125.0).fit(X, y).predict_proba(X).shape
    (20, 2)
    """
    check_choice(task, ("classification",), "task")
    return make_pipeline(
        _input(task, n_chans, n_times, n_outputs),
        BandPower(sfreq, bands, segment),
        Standardise(),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    )


def build_bandpower_forest(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float = 250.0,
    *,
    bands: Sequence[Sequence[float]] = BANDS,
    segment: float = 2.0,
    n_trees: int = 300,
    task: str = "classification",
    random_state: Any = None,
) -> Pipeline:
    """Welch log band power and a random forest.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; when given, other sizes are refused.
    sfreq : float
        Sampling rate in hertz.
    bands : sequence of (low, high)
        Bands in hertz.
    segment : float
        Welch segments in seconds.
    n_trees : int
        Trees of the forest.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : int, RandomState or None
        Draws bootstrap samples and split candidates.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Breiman (2001), Mach. Learn. 45:5-32, doi:10.1023/A:1010933404324.
    """
    forest = {"classification": RandomForestClassifier, "regression": RandomForestRegressor}[_either(task)]
    return make_pipeline(
        _input(task, n_chans, n_times, n_outputs),
        BandPower(sfreq, bands, segment),
        forest(n_estimators=n_trees, random_state=random_state),
    )


def build_csp_lda(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float = 250.0,
    *,
    band: Sequence[float] | None = None,
    n_components: int | None = None,
    reg: Any = "ledoit_wolf",
    task: str = "classification",
    random_state: Any = None,  # noqa: ARG001
) -> Pipeline:
    """Common spatial patterns and linear discriminant analysis with Ledoit-Wolf shrinkage.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; when given, other sizes are refused.
    sfreq : float
        Sampling rate in hertz.
    band : (low, high), optional
        Band-pass in hertz applied to each sample first; not needed for recordings filtered before they were cut.
    n_components : int, optional
        Filters kept; by default 6, or all where there are fewer channels.
    reg : {"ledoit_wolf", "oas", "shrunk", "empirical"} or float
        Estimator of the class covariances.
    task : {"classification"}
        What it is trained for.
    random_state : optional
        Not used: nothing is random.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Blankertz et al. (2008), IEEE Signal Process. Mag. 25(1):41-56, doi:10.1109/MSP.2008.4408441.
    """
    check_choice(task, ("classification",), "task")
    return make_pipeline(
        _input(task, n_chans, n_times, n_outputs),
        *_filter(sfreq, band),
        CommonSpatialPatterns(n_components, reg),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    )


def build_tangent_space_lr(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float = 250.0,
    *,
    band: Sequence[float] | None = None,
    covariance: str = "oas",
    C: float = 1.0,
    max_iter: int = 1000,
    task: str = "classification",
    random_state: Any = None,
) -> Pipeline:
    """Riemannian tangent space at the mean covariance, and logistic regression.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; when given, other sizes are refused.
    sfreq : float
        Sampling rate in hertz.
    band : (low, high), optional
        Band-pass in hertz applied to each sample first.
    covariance : {"oas", "lwf", "scm"}
        Estimator of the covariances.
    C : float
        Inverse strength of the penalty on the weights.
    max_iter : int
        Most iterations of the solver.
    task : {"classification"}
        What it is trained for.
    random_state : int, RandomState or None
        Given to the solver.

    Returns
    -------
    sklearn.pipeline.Pipeline

    Raises
    ------
    MissingDependencyError
        If pyRiemann is not installed.

    References
    ----------
    Barachant et al. (2012), IEEE Trans. Biomed. Eng. 59(4):920-928, doi:10.1109/TBME.2011.2172210.
    """
    check_choice(task, ("classification",), "task")
    require("pyriemann", "eeg")
    return make_pipeline(
        _input(task, n_chans, n_times, n_outputs),
        *_filter(sfreq, band),
        TangentVectors(covariance),
        LogisticRegression(C=C, max_iter=max_iter, random_state=random_state),
    )


def build_cca_ssvep(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float = 250.0,
    *,
    frequencies: Sequence[float] = (),
    n_harmonics: int = 2,
    band: Sequence[float] | None = None,
    task: str = "classification",
    random_state: Any = None,  # noqa: ARG001
) -> Pipeline:
    """Canonical correlation with sines of the flicker frequencies; nothing is trained.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; when given, other sizes are refused.
    sfreq : float
        Sampling rate in hertz.
    frequencies : sequence of float
        Flicker frequency of each class in hertz, in the order of the classes.
    n_harmonics : int
        Sines per frequency, the fundamental included.
    band : (low, high), optional
        Band-pass in hertz applied to each sample first.
    task : {"classification"}
        What it is used for.
    random_state : optional
        Not used: nothing is random.

    Returns
    -------
    sklearn.pipeline.Pipeline

    Raises
    ------
    InputError
        If there is not one frequency for each of the `n_outputs` classes.

    References
    ----------
    Lin, Zhang, Wu and Gao (2006), IEEE Trans. Biomed. Eng. 53(12):2610-2614, doi:10.1109/TBME.2006.886577.
    """
    check_choice(task, ("classification",), "task")
    if n_outputs is not None and len(frequencies) != n_outputs:
        raise InputError(
            f"frequencies={list(frequencies)} has {len(frequencies)} entries for n_outputs={n_outputs} classes; give "
            "the flicker frequency of each class in hertz."
        )
    return make_pipeline(
        _input(task, n_chans, n_times, n_outputs),
        *_filter(sfreq, band),
        CanonicalCorrelationClassifier(tuple(frequencies), sfreq, n_harmonics=n_harmonics),
    )


def _input(task: str, n_chans: int | None, n_times: int | None, n_outputs: int | None) -> InputCheck:
    return InputCheck(task, n_chans=n_chans, n_times=n_times, n_outputs=n_outputs)


def _either(task: str) -> str:
    return check_choice(task, ("classification", "regression"), "task")


def _filter(sfreq: float, band: Sequence[float] | None) -> list[BandPass]:
    check_number(sfreq, "sfreq", low=0, closed="neither")
    return [] if band is None else [BandPass(sfreq, band)]
