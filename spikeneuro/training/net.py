"""The skorch net inside the estimators: batches from memory, penalised loss, health and best weights."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from torch import Tensor
from torch.utils.data import Dataset

from spikeneuro import _several
from spikeneuro.errors import InputError
from spikeneuro.training.firing import firing, is_spiking, recorded_rates
from spikeneuro.training.losses import IGNORED, rate_penalty


class Samples(Dataset[tuple[Any, Tensor]]):
    """Inputs and targets held in memory as two tensors; inputs of several modalities as a dict of tensors."""

    def __init__(self, X: Any, y: Tensor) -> None:
        self.X, self.y = X, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Any) -> tuple[Any, Tensor]:
        return _several.take(self.X, index), self.y[index]


class Batches:
    """Batches of nearly equal size cut from `Samples` by indexing, without workers or collation.

    Equal sizes matter: a last batch of one sample would break batch normalisation.
    """

    def __init__(
        self, dataset: Samples, batch_size: int, shuffle: bool = False, generator: torch.Generator | None = None
    ) -> None:
        self.dataset, self.batch_size, self.shuffle, self.generator = dataset, batch_size, shuffle, generator

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        count = len(self.dataset)
        order = torch.randperm(count, generator=self.generator) if self.shuffle else torch.arange(count)
        for index in order.tensor_split(len(self)):
            yield self.dataset[index]


class SpikingNet(NeuralNet):
    """`skorch.NeuralNet` whose loss adds the firing-rate penalty while training.

    Parameters
    ----------
    rate_penalty : float
        Weight of the penalty; 0 switches it off.
    rate_band : (float, float)
        Rates in spikes per step that cost nothing.
    """

    def __init__(
        self, *args: Any, rate_penalty: float = 0.0, rate_band: tuple[float, float] = (0.01, 0.2), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rate_penalty = rate_penalty
        self.rate_band = rate_band

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **kwargs: Any) -> "SpikingNet":
        """Train, and remember an interruption by the user: skorch itself would swallow it and call the net trained."""
        self.interrupted_ = False
        try:
            super().fit_loop(X, y, epochs, **kwargs)
        except KeyboardInterrupt:
            stoppers = [callback for _, callback in self.callbacks_ if isinstance(callback, EarlyStopping)]
            self.interrupted_ = not any(stopper.misses_ == stopper.patience for stopper in stoppers)
            raise
        return self

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Output for a batch; several modalities go to the module as the dict they are, not as arguments by name."""
        if not _several.is_several(x):
            return super().infer(x, **fit_params)
        return self.module_(_several.moved(x, self.device), **fit_params)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        if not self.rate_penalty:
            return super().train_step_single(batch, **fit_params)
        with recorded_rates(self.module_) as rates:
            self._rates_of_step = rates
            try:
                return super().train_step_single(batch, **fit_params)
            finally:
                del self._rates_of_step

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False) -> Tensor:
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        if training and not torch.isfinite(loss):
            raise InputError(
                f"training diverged: the loss became {loss.item()} in epoch {len(self.history)}; "
                "lower the learning rate (lr=) or clip gradients (gradient_clip=)."
            )
        if training and self.rate_penalty:
            loss = loss + self.rate_penalty * rate_penalty(self._rates_of_step.values(), self.rate_band)
        return loss


class TrainingRecord(Callback):
    """Writes accuracy (classification), gradient norm by layer and, for spiking nets, firing to the history."""

    def __init__(self, classification: bool) -> None:
        self.classification = classification

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:  # noqa: ARG002
        self.hits_ = {True: [0, 0], False: [0, 0]}
        self.gradients_: dict[str, list[float]] = {}

    def on_grad_computed(self, net: NeuralNet, named_parameters: Any, **kwargs: Any) -> None:  # noqa: ARG002
        squares: dict[str, float] = {}
        for name, parameter in named_parameters:
            if parameter.grad is not None:
                layer = name.rpartition(".")[0]
                squares[layer] = squares.get(layer, 0.0) + float(parameter.grad.pow(2).sum())
        for layer, square in squares.items():
            self.gradients_.setdefault(layer, []).append(math.sqrt(square))

    def on_batch_end(self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any) -> None:  # noqa: ARG002
        if not self.classification:
            return
        target = batch[1]
        scored = target != IGNORED
        hits = self.hits_[training]
        hits[0] += int(((kwargs["y_pred"].argmax(1) == target) & scored).sum())
        hits[1] += int(scored.sum())

    def on_epoch_end(self, net: NeuralNet, dataset_valid: Samples | None = None, **kwargs: Any) -> None:
        for training, (right, scored) in self.hits_.items():
            if scored:
                net.history.record(f"{'train' if training else 'valid'}_accuracy", right / scored)
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])
        net.history.record("gradient_norm", {name: float(np.mean(v)) for name, v in self.gradients_.items()})
        if is_spiking(net.module_):
            source = dataset_valid if dataset_valid is not None else kwargs["dataset_train"]
            sample = _several.moved(_several.take(source.X, slice(net.batch_size)), net.device)
            net.history.record("firing", firing(net.module_, [sample]))
