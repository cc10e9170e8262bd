"""Pipelines on samples taken as plain vectors: signals, images and features alike.

Where several take the same arguments they mean the same: ``n_chans, n_times`` describe signals and features,
``in_chans, image_size`` images; sizes that are given are checked. ``scaling`` is ``"feature"`` (each feature
standardised by the training part), ``"all"`` (one mean and deviation for all, which keeps the proportions between
pixels), ``"none"``, or None for the usual choice: ``"all"`` for images, ``"feature"`` for everything else.
"""

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from spikeneuro._validation import check_choice, check_number
from spikeneuro.models.classical.checks import InputCheck
from spikeneuro.models.classical.features import Flatten, Standardise


def build_logistic_regression(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    in_chans: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    scaling: str | None = None,
    C: float = 1.0,
    class_weight: Any = None,
    max_iter: int = 1000,
    task: str = "classification",
    random_state: Any = None,
) -> Pipeline:
    """Multinomial logistic regression on the flattened samples.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of signals or features.
    sfreq : optional
        Not used.
    in_chans, image_size : int, optional
        Sizes of images.
    scaling : {"feature", "all", "none"}, optional
        See the module's description.
    C : float
        Inverse strength of the penalty on the weights.
    class_weight : "balanced", dict or None
        Weights of the classes.
    max_iter : int
        Most iterations of the solver.
    task : {"classification"}
        What it is trained for.
    random_state : int, RandomState or None
        Given to the solver.

    Returns
    -------
    sklearn.pipeline.Pipeline

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = build_logistic_regression(in_chans=1, image_size=8, n_outputs=10)
    >>> model.fit(X[:400].reshape(-1, 1, 8, 8), y[:400]).score(X[400:].reshape(-1, 1, 8, 8), y[400:]) > 0.85
    True
    """
    check_choice(task, ("classification",), "task")
    model = LogisticRegression(C=C, class_weight=class_weight, max_iter=max_iter, random_state=random_state)
    return _flat(model, task, n_chans, n_times, n_outputs, in_chans, image_size, scaling)


def build_ridge(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    in_chans: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    scaling: str | None = "all",
    alpha: float = 100.0,
    class_weight: Any = None,
    task: str = "classification",
    random_state: Any = None,
) -> Pipeline:
    """Ridge classification or regression on the flattened samples.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of signals or features.
    sfreq : optional
        Not used.
    in_chans, image_size : int, optional
        Sizes of images.
    scaling : {"feature", "all", "none"}, optional
        See the module's description; by default ``"all"``, which suits correlations.
    alpha : float
        Strength of the penalty on the weights, for features of unit variance.
    class_weight : "balanced", dict or None
        Weights of the classes (classification only).
    task : {"classification", "regression"}
        What it is trained for.
    random_state : int, RandomState or None
        Given to the solver.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Hoerl and Kennard (1970), Technometrics 12(1):55-67, doi:10.1080/00401706.1970.10488634.
    """
    if _either(task) == "classification":
        model = RidgeClassifier(alpha=alpha, class_weight=class_weight, random_state=random_state)
    else:
        model = Ridge(alpha=alpha, random_state=random_state)
    return _flat(model, task, n_chans, n_times, n_outputs, in_chans, image_size, scaling)


def build_linear_svm(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    in_chans: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    scaling: str | None = "all",
    C: float = 1.0,
    class_weight: Any = None,
    max_iter: int = 10_000,
    task: str = "classification",
    random_state: Any = None,
) -> Pipeline:
    """Linear support vector machine on the flattened samples (several classes: one against the rest).

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of signals or features.
    sfreq : optional
        Not used.
    in_chans, image_size : int, optional
        Sizes of images.
    scaling : {"feature", "all", "none"}, optional
        See the module's description; by default ``"all"``, which leaves voxels that were standardised within their
        run in proportion.
    C : float
        Inverse strength of the penalty.
    class_weight : "balanced", dict or None
        Weights of the classes (classification only).
    max_iter : int
        Most iterations of the solver.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : int, RandomState or None
        Order of the solver's coordinates.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Cortes and Vapnik (1995), Mach. Learn. 20:273-297, doi:10.1007/BF00994018.
    """
    common = {"C": C, "max_iter": max_iter, "random_state": random_state, "dual": "auto"}
    classify = _either(task) == "classification"
    model = LinearSVC(class_weight=class_weight, **common) if classify else LinearSVR(**common)
    return _flat(model, task, n_chans, n_times, n_outputs, in_chans, image_size, scaling)


def build_pca_svm(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    in_chans: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    scaling: str | None = None,
    n_components: float = 30,
    C: float = 1.0,
    kernel: str = "rbf",
    task: str = "classification",
    random_state: Any = None,
) -> Pipeline:
    """Principal components of the flattened samples and a support vector machine.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of signals or features.
    sfreq : optional
        Not used.
    in_chans, image_size : int, optional
        Sizes of images.
    scaling : {"feature", "all", "none"}, optional
        See the module's description.
    n_components : int or float
        Components kept, or (below 1) the share of variance they must hold.
    C : float
        Inverse strength of the penalty.
    kernel : {"linear", "rbf", "poly", "sigmoid"}
        Kernel of the machine.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : int, RandomState or None
        Used where the components are found by a randomised solver.

    Returns
    -------
    sklearn.pipeline.Pipeline
    """
    check_choice(kernel, ("linear", "rbf", "poly", "sigmoid"), "kernel")
    whole = n_components >= 1
    check_number(n_components, "n_components", low=0, closed="neither", integer=whole)
    machine = {"classification": SVC, "regression": SVR}[_either(task)]
    parts = make_pipeline(PCA(n_components, random_state=random_state), machine(C=C, kernel=kernel))
    least = int(n_components) if whole else 2
    return _flat(parts, task, n_chans, n_times, n_outputs, in_chans, image_size, scaling, min_samples=least)


def build_nearest_neighbour(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    in_chans: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    scaling: str | None = "none",
    n_neighbors: int = 1,
    task: str = "classification",
    random_state: Any = None,  # noqa: ARG001
) -> Pipeline:
    """The label of the nearest training sample (Euclidean distance).

    A detector of leakage as much as a classifier: high scores under a random split and chance under a grouped one
    say that it recognises whose sample it is.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of signals or features.
    sfreq : optional
        Not used.
    in_chans, image_size : int, optional
        Sizes of images.
    scaling : {"feature", "all", "none"}, optional
        See the module's description; by default none.
    n_neighbors : int
        Neighbours that vote.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : optional
        Not used: nothing is random.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Cover and Hart (1967), IEEE Trans. Inf. Theory 13(1):21-27, doi:10.1109/TIT.1967.1053964.
    """
    check_number(n_neighbors, "n_neighbors", low=1, integer=True)
    neighbours = {"classification": KNeighborsClassifier, "regression": KNeighborsRegressor}[_either(task)]
    model = neighbours(n_neighbors)
    return _flat(model, task, n_chans, n_times, n_outputs, in_chans, image_size, scaling, min_samples=int(n_neighbors))


def _flat(
    model: BaseEstimator,
    task: str,
    n_chans: int | None,
    n_times: int | None,
    n_outputs: int | None,
    in_chans: int | None,
    image_size: int | tuple[int, int] | None,
    scaling: str | None,
    min_samples: int = 1,
) -> Pipeline:
    """Check, flatten, scale, then `model`."""
    image = in_chans is not None or image_size is not None
    if scaling is None:
        scaling = "all" if image else "feature"
    check_choice(scaling, ("feature", "all", "none"), "scaling")
    check = InputCheck(
        task,
        n_chans=n_chans,
        n_times=n_times,
        n_outputs=n_outputs,
        in_chans=in_chans,
        image_size=image_size,
        min_samples=min_samples,
    )
    scaler = [] if scaling == "none" else [Standardise(scaling)]
    last = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    return make_pipeline(check, Flatten(), *scaler, *last)


def _either(task: str) -> str:
    return check_choice(task, ("classification", "regression"), "task")
