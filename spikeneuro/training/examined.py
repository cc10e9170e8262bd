"""A network with data, targets and loss as it takes them: from a module, or from a fitted estimator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from spikeneuro import _several
from spikeneuro._validation import check_finite
from spikeneuro.errors import InputError
from spikeneuro.training.base import NeuroEstimator
from spikeneuro.training.estimators import NeuroClassifier, NeuroRegressor
from spikeneuro.training.losses import IGNORED, MaskedCrossEntropy
from spikeneuro.training.windowed import Windowed

#: Maps output and target of a batch to their mean loss.
Loss = Callable[[Tensor, Tensor], Tensor]


class Examined(NamedTuple):
    """A network with what it is examined on; `sfreq` in hertz and `seed` are None where unknown.

    Inputs and sampling rates of several modalities are dicts.
    """

    module: nn.Module
    inputs: Any
    target: Tensor | None
    loss: Loss
    sfreq: Any
    seed: int | None


def as_examined(model: Any, X: Any, y: Any, batch_axis: int) -> Examined:
    """The network of `model`, with `X` and `y` checked and as the network and its loss take them."""
    if isinstance(model, (NeuroEstimator, Windowed)):
        return _of_estimator(model, X, y, batch_axis)
    if not isinstance(model, nn.Module):
        raise InputError(
            "health needs a torch module or a fitted NeuroClassifier, NeuroRegressor or Windowed, got "
            f"{type(model).__name__}."
        )
    inputs = _several.each(lambda part: _as_input(model, part), X)
    for part in inputs.values() if _several.is_several(inputs) else [inputs]:
        if part.ndim <= batch_axis:
            raise InputError(f"X has shape {tuple(part.shape)}, which has no axis {batch_axis} of samples.")
    target = None if y is None else torch.as_tensor(np.asarray(y) if not isinstance(y, Tensor) else y)
    _check_count(samples_along(inputs, batch_axis), target)
    own = getattr(model, "sfreq", None)
    return Examined(model, inputs, target, _default_loss, float(own) if own else None, None)


def _of_estimator(estimator: Any, X: Any, y: Any, batch_axis: int) -> Examined:
    if batch_axis:
        raise InputError(f"an estimator takes samples along axis 0, got batch_axis={batch_axis}.")
    check_is_fitted(estimator)
    fitted = estimator.estimator_ if isinstance(estimator, Windowed) else estimator
    inputs = estimator.network_input(X)
    target = None
    if y is not None:
        labels = np.asarray(y)
        if len(labels) != _several.n_samples(X):
            raise InputError(f"X has {_several.n_samples(X)} samples, but y has {len(labels)} labels.")
        if isinstance(estimator, Windowed):
            labels = labels[estimator.windows(X)[1]]
        target = _encoded(fitted, labels)
    net = fitted.net_
    return Examined(net.module_, inputs, target, net.criterion_, fitted.sfreq, fitted.seed_)


def _encoded(estimator: Any, labels: NDArray[Any]) -> Tensor:
    """Targets as the estimator's loss takes them."""
    if isinstance(estimator, NeuroRegressor):
        scaled = (labels.astype(np.float64) - estimator.target_mean_) / estimator.target_scale_
        return torch.from_numpy(check_finite(scaled, "y").astype(np.float32)[:, None])
    assert isinstance(estimator, NeuroClassifier)
    ignored = (labels == IGNORED) if estimator.steps_ else np.zeros(labels.shape, dtype=bool)
    unknown = ~(np.isin(labels, estimator.classes_) | ignored)
    if unknown.any():
        raise InputError(
            f"y holds {labels[unknown][0]!r}, which the classifier was not fitted on; its classes are "
            f"{estimator.classes_.tolist()}."
        )
    codes = np.searchsorted(estimator.classes_, labels)
    codes[ignored] = IGNORED
    return torch.from_numpy(codes.astype(np.int64))


def samples_along(inputs: Any, axis: int) -> int:
    """Number of samples of a tensor, or of a dict of them."""
    first = next(iter(inputs.values())) if _several.is_several(inputs) else inputs
    return int(first.shape[axis])


def _as_input(module: nn.Module, X: Any) -> Tensor:
    if isinstance(X, Tensor):
        inputs = X.detach()
    else:
        kinds = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
        inputs = torch.as_tensor(np.asarray(X)).to(next(kinds, torch.float32))
    check_finite(inputs.cpu().numpy())
    return inputs


def _check_count(samples: int, target: Tensor | None) -> None:
    if samples == 0:
        raise InputError("X holds no sample.")
    if target is not None and (target.ndim == 0 or len(target) != samples):
        raise InputError(f"X has {samples} samples, but y has {len(target) if target.ndim else 0} labels.")


def _default_loss(output: Tensor, target: Tensor) -> Tensor:
    if target.is_floating_point():
        if output.shape != target.shape:
            raise InputError(f"the output has shape {tuple(output.shape)}, y {tuple(target.shape)}; give a loss.")
        return functional.mse_loss(output, target.to(output.dtype))
    if output.ndim != target.ndim + 1 or output.shape[0] != target.shape[0]:
        raise InputError(
            f"the output has shape {tuple(output.shape)}; labels of shape {tuple(target.shape)} need (batch, classes) "
            "or (batch, classes, times). Give a loss that fits."
        )
    return MaskedCrossEntropy()(output, target)
