"""Memory of a training step, predicted before it is run."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeCopyMode,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.nn import functional

from spikeneuro import registry
from spikeneuro._random import scoped_seed
from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.training.base import NeuroEstimator
from spikeneuro.training.estimators import NeuroClassifier
from spikeneuro.training.firing import recorded_rates
from spikeneuro.training.losses import rate_penalty
from spikeneuro.training.parameters import OPTIMIZERS, split_decay
from spikeneuro.training.storages import LiveStorages

#: Multiples in bytes in which torch hands out memory of a GPU.
_GPU_BLOCK = 512
_MIB = 2**20

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training needs, besides the program itself and the data set.

    Parameters
    ----------
    parameters : int
        Parameters and buffers of the network.
    best : int
        Copy of the best epoch's parameters and buffers that an estimator keeps.
    gradients : int
        Gradients of the parameters.
    optimizer : int
        State of the optimiser.
    inputs : int
        One batch.
    saved : int
        What the forward pass keeps for the backward pass, the output included.
    peak : int
        Most that is held at one time in a training step or in the evaluation of a batch; not the sum of the others,
        which do not all exist at once.
    """

    parameters: int
    best: int
    gradients: int
    optimizer: int
    inputs: int
    saved: int
    peak: int

    @property
    def activations(self) -> int:
        """Most that comes and goes within a step: the peak less parameters, optimiser and inputs."""
        return self.peak - self.parameters - self.best - self.optimizer - self.inputs

    def table(self) -> pd.DataFrame:
        """Return bytes and mebibytes of each part, the peak last."""
        parts = asdict(self)
        return pd.DataFrame(
            {"bytes": parts.values(), "MiB": [size / _MIB for size in parts.values()]}, index=list(parts)
        )

    def __str__(self) -> str:
        return "\n".join(f"{name:12}{size / _MIB:12.2f} MiB" for name, size in asdict(self).items())


class Step(NamedTuple):
    """All that a training step consists of."""

    module: nn.Module
    shape: tuple[int, ...]
    loss: Callable[[Tensor], Tensor]
    optimizer: MakeOptimizer | None
    penalty: float = 0.0
    band: tuple[float, float] = (0.0, 1.0)
    best: bool = False


def predict_memory(
    model: Any,
    X: ArrayLike | Tensor | Sequence[int],
    y: ArrayLike | None = None,
    *,
    n_outputs: int | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    optimizer: str | MakeOptimizer | None = "adamw",
) -> MemoryEstimate:
    """Predict the memory of training, without running anything and without the memory.

    Forward pass, backward pass and optimiser go through torch's fake tensors, which have shapes but no content, while
    every tensor's beginning and end is followed; then an evaluation of the same batch. Counted are the bytes of
    tensors. The program itself, the data set in memory, and what an allocator keeps for later come on top.

    Parameters
    ----------
    model : nn.Module, NeuroClassifier or NeuroRegressor
        A network, or an estimator, fitted or not, whose own settings then apply (batch size, optimiser, loss ...).
    X : array-like, Tensor or sequence of int
        For a network one batch as it takes it, for an estimator the training data; or only their shape.
    y : array-like, optional
        Labels, for a classifier: how many classes there are, and whether every step has one.
    n_outputs : int, optional
        Number of classes, in place of `y`.
    loss : callable, optional
        For a network: maps its output to the loss, by default the mean of the output.
    optimizer : str or callable, optional
        For a network: "adamw", "adam", "sgd", or a function that makes one of the parameters; None for gradients only.

    Returns
    -------
    MemoryEstimate
        Bytes by part, and the peak.

    Raises
    ------
    InputError
        For data the model does not take, a classifier without `y` and `n_outputs`, and a network that looks at values
        to decide what to compute.

    Examples
    --------
    >>> from spikeneuro import models, training
    >>> def peak(recompute):
    ...     net = models.create("recurrent-snn", n_chans=4, n_times=2000, n_outputs=2, sfreq=250.0, hidden=256,
    ...                         norm="layer", recompute=recompute)
    ...     return training.predict_memory(net, (32, 4, 2000)).peak
    >>> peak(None) > 10 * peak("sqrt")
    True
    """
    shape, dtype = _shape(X)
    if isinstance(model, NeuroEstimator):
        step = _of_estimator(model, shape, y, n_outputs)
    elif isinstance(model, nn.Module):
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[check_choice(optimizer, OPTIMIZERS, "optimizer")]
        step = Step(model, shape, Tensor.mean if loss is None else loss, optimizer)
    else:
        raise InputError(
            f"predict_memory needs a torch module, a NeuroClassifier or a NeuroRegressor, got {type(model).__name__}."
        )
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        fake = copy.deepcopy(step.module)
    try:
        with mode:
            return follow(step._replace(module=fake), dtype)
    except (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException) as error:
        raise InputError(
            f"{type(step.module).__name__} decides by values what it computes ({error}), so its memory can only be "
            "measured, not predicted."
        ) from error


def follow(step: Step, dtype: torch.dtype | None = None) -> MemoryEstimate:
    """Go through two training steps and an evaluation of ``step.module``, which changes, and count.

    On a network of real tensors this measures, on one of fake tensors it predicts.
    """
    module = step.module
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    held = [*module.parameters(), *module.buffers()]
    like = next((tensor for tensor in held if tensor.is_floating_point()), torch.empty(0))
    x = torch.zeros(step.shape, dtype=dtype or like.dtype, device=like.device)
    live = LiveStorages(_GPU_BLOCK if x.is_cuda else 1)
    for tensor in held:
        live.add(tensor)
    of_parameters = live.now
    copies = [tensor.detach().clone() for tensor in held] if step.best else []
    for tensor in copies:
        live.add(tensor)
    of_copies = live.now - of_parameters
    live.add(x)
    of_inputs = live.now - of_parameters - of_copies
    optimizer = step.optimizer(parameters) if step.optimizer is not None and parameters else None
    module.train()
    saved = of_optimizer = 0
    with live:
        # The second step has the optimiser's state from its beginning.
        for _ in range(2):
            module.zero_grad(set_to_none=True)
            before = live.now
            value = _loss(step, x)
            saved = live.now - before
            if value.requires_grad:
                value.backward()
            del value
            gradients = sum(p.grad.untyped_storage().nbytes() for p in parameters if p.grad is not None)
            held_before = live.now
            if optimizer is not None:
                optimizer.step()
            of_optimizer += live.now - held_before
        module.eval()
        with torch.no_grad():
            module(x)
    return MemoryEstimate(of_parameters, of_copies, gradients, of_optimizer, of_inputs, saved, live.peak)


def _loss(step: Step, x: Tensor) -> Tensor:
    if not step.penalty:
        return step.loss(step.module(x))
    with recorded_rates(step.module) as rates:
        value = step.loss(step.module(x))
        return value + step.penalty * rate_penalty(rates.values(), step.band)


def _shape(X: Any) -> tuple[tuple[int, ...], torch.dtype | None]:
    """Shape of the data, and their type where it is that of a floating tensor."""
    if isinstance(X, dict):
        raise InputError("the memory of a network on several modalities cannot be predicted yet; measure it instead.")
    if isinstance(X, Tensor):
        return tuple(X.shape), X.dtype if X.is_floating_point() else None
    sizes = tuple(X) if isinstance(X, (tuple, list)) and all(np.ndim(size) == 0 for size in X) else np.shape(X)
    if len(sizes) < 2:
        raise InputError(f"X must be data or their shape with two or more axes, got {sizes}.")
    return tuple(int(check_number(size, "a size in the shape X", low=1, integer=True)) for size in sizes), None


def _of_estimator(estimator: NeuroEstimator, shape: tuple[int, ...], y: Any, n_outputs: int | None) -> Step:
    """What `fit` of an estimator would do with data of this shape."""
    estimator.check_parameters()
    blank = clone(estimator)
    blank.input_shape_ = shape[1:]
    sizes, adds_channel = blank._takes(len(shape))
    classifies = isinstance(estimator, NeuroClassifier)
    steps = classifies and y is not None and np.ndim(y) == 2 and np.shape(y)[1] > 1
    outputs = _count_outputs(y, n_outputs, steps) if classifies else 1
    task = "steps" if steps else "classification" if classifies else "regression"
    options = {**blank._task_option(task), **blank._options("module__")}
    build = registry.entry(blank.model).build if isinstance(blank.model, str) else blank.model
    with scoped_seed(0):
        module = build(n_outputs=outputs, **sizes, **options).to(blank.device)
        example = torch.randn(min(shape[0], 8), *shape[1:])
        encoder = getattr(module, "encoder", None)
        if encoder is not None:
            # What a code learns changes the values that come out, not their number.
            encoder.fit(example.unsqueeze(1) if adds_channel else example)
    held_out = blank.validation_fraction or 0.0
    training = max(1, shape[0] - math.ceil(shape[0] * held_out))
    batch = math.ceil(training / math.ceil(training / blank.batch_size))
    return Step(
        module,
        (batch, *((1,) if adds_channel else ()), *shape[1:]),
        _cross_entropy if classifies else _squared_error,
        partial(_estimators_optimizer, blank),
        blank.rate_penalty,
        blank.rate_band,
        bool(blank.restore_best and held_out),
    )


def _count_outputs(y: Any, n_outputs: int | None, steps: bool) -> int:
    if n_outputs is not None:
        return int(check_number(n_outputs, "n_outputs", low=2, integer=True))
    if y is None:
        raise InputError("a classifier's memory depends on the number of classes; give y or n_outputs.")
    classes = np.unique(np.asarray(y))
    return int((classes != -1).sum()) if steps else len(classes)


def _estimators_optimizer(estimator: NeuroEstimator, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return split_decay(
        OPTIMIZERS[estimator.optimizer], [{"params": list(parameters)}], lr=estimator.lr,
        weight_decay=estimator.weight_decay, **estimator._options("optimizer__"),
    )  # fmt: skip


def _cross_entropy(logits: Tensor) -> Tensor:
    target = torch.zeros(logits.shape[:1] + logits.shape[2:], dtype=torch.long, device=logits.device)
    return functional.cross_entropy(logits, target)


def _squared_error(output: Tensor) -> Tensor:
    return functional.mse_loss(output, torch.zeros_like(output))
