"""Fitted estimators whose network is converted."""

import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from spikeneuro.errors import InputError
from spikeneuro.training.base import NeuroEstimator
from spikeneuro.training.conversion.convert import convert
from spikeneuro.training.firing import firing


def convert_estimator(estimator: NeuroEstimator, X: ArrayLike, y: ArrayLike | None = None, **options: Any) -> Any:
    """Copy a fitted estimator, with its network converted to a spiking one.

    The copy predicts, scores, is counted by the ledger and examined by `health` as any fitted estimator; its scaler is
    that of the original. Fitting it again trains the original network anew: conversion belongs after training.

    Parameters
    ----------
    estimator : NeuroClassifier or NeuroRegressor
        Fitted.
    X : array-like
        Samples to calibrate on, as `predict` takes them, of those the estimator was trained on.
    y : array-like, optional
        Their labels, for ``steps="calibrated"`` of a classifier.
    **options
        Those of `convert`.

    Returns
    -------
    NeuroClassifier or NeuroRegressor
        The copy; ``net_.module_`` is the `ConvertedNetwork`, `health_` its firing on `X`.

    Raises
    ------
    InputError
        As for `convert`; if the estimator is not fitted on, or trained by, this package; for unknown labels.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro import NeuroClassifier
    >>> from spikeneuro.training import convert_estimator
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> clf = NeuroClassifier("mlp", max_epochs=5, random_state=0).fit(X, y)
    >>> spiking = convert_estimator(clf, X, steps=64)
    >>> spiking.predict(X).shape
    (60,)
    """
    if not isinstance(estimator, NeuroEstimator):
        raise InputError(
            f"convert_estimator takes a fitted NeuroClassifier or NeuroRegressor, got {type(estimator).__name__}; "
            "convert takes torch modules."
        )
    check_is_fitted(estimator)
    inputs = estimator.network_input(X)
    labels = None if y is None else _codes(estimator, y)
    made = copy.copy(estimator)
    made.net_ = copy.deepcopy(estimator.net_)
    made.net_.module_ = convert(estimator.net_.module_, inputs, labels=labels, **options)
    batches = (batch.to(made.device) for batch in inputs.split(made.batch_size))
    made.health_ = {**estimator.health_, "firing": firing(made.net_.module_, batches)}
    return made


def _codes(estimator: Any, y: ArrayLike) -> Any:
    classes = getattr(estimator, "classes_", None)
    if classes is None or estimator.steps_:
        raise InputError("y holds the classes of samples, which this estimator does not predict; leave it out.")
    labels = np.asarray(y)
    unknown = sorted(set(labels.ravel().tolist()) - set(classes.tolist()))
    if unknown:
        raise InputError(f"y holds {unknown[0]!r}, but the estimator's classes are {classes.tolist()}.")
    return np.searchsorted(classes, labels)
