"""Predictions of anything that predicts: scikit-learn estimators by their methods, torch networks by their logits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor
from torch import nn

from spikeneuro._random import scoped_seed
from spikeneuro.errors import InputError

Array = NDArray[Any]
#: Metrics that judge probabilities or scores, not decisions.
_GRADED = ("roc_auc", "log_loss", "brier")


class Predicted:
    """Predictions for all samples.

    Parameters
    ----------
    y_pred : ndarray
        Classes or values.
    proba, decision : ndarray or None
        Probabilities or decision values, where they were asked for.
    """

    def __init__(self, y_pred: Array, proba: Array | None = None, decision: Array | None = None) -> None:
        self.y_pred, self.proba, self.decision = y_pred, proba, decision


class Predictor:
    """A model, its task and its classes, and how to ask it.

    Parameters
    ----------
    ask : callable
        From samples to `Predicted`.
    task : {"classification", "regression", "steps"}
        What it predicts.
    labels : list or None
        Classes in the order of the columns of its probabilities; None for a regression.
    """

    def __init__(self, ask: Callable[[Any], Predicted], task: str, labels: list[Any] | None) -> None:
        self.ask, self.task, self.labels = ask, task, labels


class Calling(NamedTuple):
    """How a torch network is called: classes of its outputs, samples in a batch, their axis, and a seed."""

    classes: Sequence[Any] | None
    batch_size: int
    batch_axis: int
    seed: int


def predictor_of(model: Any, X: Any, y: Array, metric: str | None, calling: Calling) -> tuple[Predictor, Predicted]:
    """How to ask `model`, and its predictions for the samples as they are."""
    if isinstance(model, nn.Module):
        return _of_module(model, X, y.ndim == 2, calling)
    classes = calling.classes
    if not callable(getattr(model, "predict", None)):
        raise InputError(
            f"model must be a fitted estimator with predict or a torch module, got {type(model).__name__}."
        )
    if classes is not None:
        raise InputError("classes are for torch modules; an estimator knows its own.")
    labels = getattr(model, "classes_", None)
    classifies = labels is not None or is_classifier(model)
    if not classifies and not is_regressor(model):
        raise InputError(f"{type(model).__name__} is neither a classifier (it has no classes_) nor a regressor.")
    wants = _GRADED if classifies else ()

    def ask(samples: Any) -> Predicted:
        graded = {}
        if metric in wants:
            if hasattr(model, "predict_proba"):
                graded["proba"] = np.asarray(model.predict_proba(samples))
            elif hasattr(model, "decision_function"):
                graded["decision"] = np.asarray(model.decision_function(samples))
        return Predicted(np.asarray(model.predict(samples)), **graded)

    first = ask(X)
    if first.y_pred.shape not in (y.shape, (*y.shape, 1)):
        raise InputError(f"the model predicts shape {first.y_pred.shape}, but y has shape {y.shape}.")
    if not classifies:
        return Predictor(ask, "regression", None), first
    names = np.unique(np.concatenate([y, first.y_pred], axis=None)) if labels is None else labels
    return Predictor(ask, "steps" if y.ndim == 2 else "classification", np.asarray(names).tolist()), first


def _of_module(module: nn.Module, X: Any, steps: bool, calling: Calling) -> tuple[Predictor, Predicted]:
    classes, axis = calling.classes, calling.batch_axis
    parameter = next(module.parameters(), torch.empty(0))

    def logits(samples: Array) -> Array:
        if samples.dtype == object:
            raise InputError("a torch module takes samples of one length; cut the recordings into windows first.")
        whole = torch.as_tensor(np.ascontiguousarray(samples))
        whole = whole.to(parameter.dtype) if whole.is_floating_point() else whole
        # A network that draws (rate codes) gets the same numbers for every control.
        with torch.no_grad(), scoped_seed(calling.seed), _evaluating(module):
            batches = (batch.movedim(0, axis).to(parameter.device) for batch in whole.split(calling.batch_size))
            found = torch.cat([module(batch).cpu() for batch in batches])
        if len(found) != len(whole) or found.ndim > 2 + steps or (steps and found.ndim < 3):
            wanted = "(samples, classes, times)" if steps else "(samples, classes) or values (samples,)"
            raise InputError(
                f"the network gave shape {tuple(found.shape)} for {len(whole)} samples; expected logits {wanted}."
            )
        return np.asarray(found.double().numpy())

    values = logits(X)
    if values.ndim == 1 or values.shape[1:] == (1,):
        if classes is not None:
            raise InputError("classes are given, but the network has one output, a value.")
        predictor = Predictor(lambda samples: Predicted(logits(samples).reshape(-1)), "regression", None)
        return predictor, Predicted(values.reshape(-1))
    names = np.arange(values.shape[1]) if classes is None else np.asarray(list(classes))
    if len(names) != values.shape[1]:
        raise InputError(f"the network has {values.shape[1]} outputs but classes has {len(names)}.")

    def decide(found: Array) -> Predicted:
        proba = np.exp(found - found.max(axis=1, keepdims=True))
        return Predicted(names[found.argmax(axis=1)], proba / proba.sum(axis=1, keepdims=True))

    task = "steps" if steps else "classification"
    return Predictor(lambda samples: decide(logits(samples)), task, names.tolist()), decide(values)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the scope, each module's own mode after it."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def module_of(model: Any) -> nn.Module | None:
    """The torch network inside a fitted estimator, if there is one."""
    for _ in range(8):  # pipelines in searches in wrappers; deeper than that nobody nests
        if isinstance(model, nn.Module):
            return model
        steps = getattr(model, "steps", None)
        inner = next(
            (
                value
                for value in (
                    getattr(model, name, None) for name in ("module_", "net_", "best_estimator_", "estimator_")
                )
                if value is not None
            ),
            None,
        )
        model = steps[-1][1] if steps else inner
        if model is None:
            return None
    return None
