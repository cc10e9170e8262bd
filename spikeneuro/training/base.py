"""What classifier and regressor share: input checks, the inner split, the scaler, and one skorch net."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import EarlyStopping, GradientNormClipping
from skorch.helper import predefined_split
from torch import Tensor, nn

from spikeneuro import _several, registry
from spikeneuro._random import scoped_seed
from spikeneuro._validation import check_finite, suggestion
from spikeneuro.data.splits import inner_split
from spikeneuro.errors import InputError
from spikeneuro.training.firing import firing, is_spiking
from spikeneuro.training.losses import MaskedCrossEntropy
from spikeneuro.training.modalities import ModalityScaler, check_modalities, refuse_swapped_axes, sizes_of
from spikeneuro.training.net import Batches, Samples, SpikingNet, TrainingRecord
from spikeneuro.training.parameters import OPTIMIZERS, check_parameters, check_passed_on, split_decay
from spikeneuro.training.scaling import ChannelScaler
from spikeneuro.training.schedules import make_schedule

_PASSED_ON = ("module__", "optimizer__", "net__")


class NeuroEstimator(BaseEstimator):
    """Base of `NeuroClassifier` and `NeuroRegressor`; not for use by itself."""

    #: What the best epoch can be chosen by.
    _MONITORS: ClassVar[tuple[str, ...]] = ("valid_loss",)

    def __init__(
        self,
        model: str | Callable[..., nn.Module] = "spiking-eegnet",
        *,
        sfreq: float | Mapping[str, float | None] | None = None,
        scale: str | Mapping[str, str] = "standard",
        max_epochs: int = 30,
        batch_size: int = 32,
        optimizer: str = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        schedule: str = "cosine",
        gradient_clip: float | None = 1.0,
        validation_fraction: float | None = 0.2,
        monitor: str = "valid_loss",
        patience: int | None = None,
        restore_best: bool = True,
        rate_penalty: float = 0.0,
        rate_band: tuple[float, float] = (0.01, 0.2),
        callbacks: Sequence[Any] = (),
        device: str = "cpu",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
        **passed_on: Any,
    ) -> None:
        self.model = model
        self.sfreq: Any = sfreq
        self.scale: Any = scale
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.gradient_clip = gradient_clip
        self.validation_fraction = validation_fraction
        self.monitor = monitor
        self.patience = patience
        self.restore_best = restore_best
        self.rate_penalty = rate_penalty
        self.rate_band = rate_band
        self.callbacks = callbacks
        self.device = device
        self.verbose = verbose
        self.random_state = random_state
        for name, value in passed_on.items():
            setattr(self, name, value)

    # Parameters passed on are as much parameters as the named ones: scikit-learn must clone and list them. As in
    # scikit-learn, storing never fails; `fit` refuses the names nobody takes.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name, those passed on to the module, the optimiser and the net included."""
        return {**super().get_params(deep), **self._passed_on()}

    def set_params(self, **params: Any) -> "NeuroEstimator":
        """Set parameters by name; names with the prefixes ``module__``, ``optimizer__`` and ``net__`` are passed on."""
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def _passed_on(self) -> dict[str, Any]:
        named = set(self._get_param_names())
        return {
            name: value
            for name, value in vars(self).items()
            if name not in named and not name.startswith("_") and not name.endswith("_")
        }

    def _options(self, prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value for name, value in self._passed_on().items() if name.startswith(prefix)
        }

    # Input

    def check_parameters(self) -> None:
        """Raise for the first parameter that `fit` would refuse, before there are data.

        Raises
        ------
        InputError
            The message names the parameter and what was received.
        """
        for name in self._passed_on():
            if not name.startswith(_PASSED_ON):
                raise InputError(
                    f"unknown parameter {name!r}; {suggestion(name, self._get_param_names())} "
                    f"Names that begin with {', '.join(_PASSED_ON)} are passed on."
                )
        own = {name: getattr(self, name) for name in self._get_param_names()}
        check_parameters(own, self._MONITORS)
        check_passed_on(self.optimizer, self._options("optimizer__"))

    def _check_input(self, X: Any, reset: bool) -> Any:
        """`X` checked: an array, or a dict of arrays by modality."""
        several = _several.is_several(X)
        if not reset and several != isinstance(self.input_shape_, Mapping):
            fitted = f"the modalities {', '.join(self.input_shape_)}" if not several else "one array"
            raise InputError(
                f"X is {'a dict of modalities' if several else 'one array'}, but {type(self).__name__} was fitted on "
                f"{fitted}."
            )
        if not several:
            return self._check_array(X, reset)
        checked = check_modalities(X, None if reset else self.input_shape_, least=2 if reset else 1)
        if reset:
            for name, part in checked.items():
                refuse_swapped_axes(part.shape, _several.rate_of(self.sfreq, name), f"X[{name!r}]")
            self.input_shape_: Any = {name: part.shape[1:] for name, part in checked.items()}
        return checked

    def _check_array(self, X: ArrayLike, reset: bool) -> NDArray[np.float32]:
        if isinstance(self.scale, Mapping) or isinstance(self.sfreq, Mapping):
            raise InputError("scale and sfreq by modality need X as a dict of modalities, got one array.")
        if isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim == 1 and len(X) and np.ndim(X[0]) == 2:
            raise InputError("X holds recordings of different lengths; wrap the estimator in training.Windowed.")
        self._check_axes(getattr(X, "shape", ()), reset)
        checked: NDArray[Any] = validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric",
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
        if checked.ndim > 4:
            raise InputError(
                f"X has shape {checked.shape}; expected (samples, features), (samples, channels, times) or "
                "(samples, channels, height, width)."
            )
        check_finite(checked)
        if reset:
            self.input_shape_ = checked.shape[1:]
        elif checked.shape[1:] != self.input_shape_:
            raise InputError(
                f"X has samples of shape {checked.shape[1:]}, but {type(self).__name__} was fitted on "
                f"{self.input_shape_}."
            )
        return checked

    def _check_axes(self, shape: tuple[int, ...], reset: bool) -> None:
        """Refuse signals whose channels and times are in each other's place, as far as that can be told."""
        if len(shape) != 3:
            return
        _, chans, times = shape
        if not reset and (times, chans) == self.input_shape_ and times != chans:
            raise InputError(
                f"X has samples of shape {shape[1:]}, but {type(self).__name__} was fitted on {self.input_shape_}: "
                "channels and times look swapped; use X.transpose(0, 2, 1)."
            )
        if reset:
            refuse_swapped_axes(shape, self.sfreq, "X")

    def _takes(self, ndim: int | None) -> tuple[dict[str, Any], bool]:
        """Sizes to build the model with for data of this many dimensions, and whether to add a channel axis.

        None stands for several modalities.
        """
        shape = self.input_shape_
        row = registry.entry(self.model) if isinstance(self.model, str) else None
        inputs = ("signal", "image") if row is None else row.inputs
        if row is not None and row.kind == "pipeline":
            raise InputError(
                f"{row.name!r} is a scikit-learn pipeline, not a network; use models.create({row.name!r})."
            )
        if ndim is None and (row is None or "several" in inputs):
            return {"modalities": sizes_of(shape, self.sfreq)}, False
        if ndim == 4 and "image" in inputs:
            return {"in_chans": shape[0], "image_size": tuple(shape[1:])}, False
        if ndim == 3 and "signal" in inputs:
            return {"n_chans": shape[0], "n_times": shape[1], "sfreq": self.sfreq}, False
        if ndim == 2 and "features" in inputs:
            return {"n_chans": 1, "n_times": shape[0], "sfreq": self.sfreq}, False
        if ndim == 2 and "signal" in inputs:
            return {"n_chans": 1, "n_times": shape[0], "sfreq": self.sfreq}, True
        name = row.name if row else self.model
        if "several" in inputs:
            raise InputError(f"model {name!r} takes a dict of modalities, got one array of samples of shape {shape}.")
        raise InputError(f"model {name!r} takes {' or '.join(inputs)} input, got samples of shape {shape}.")

    def network_input(self, X: ArrayLike | Mapping[str, ArrayLike]) -> Any:
        """`X` as the network sees it: scaled, float32, with a channel axis; a tensor ``(batch, ...)``, or a dict."""
        check_is_fitted(self)
        return self._to_tensor(self._check_input(X, reset=False))

    def _to_tensor(self, X: Any) -> Any:
        scaled = _several.each(lambda x: torch.from_numpy(np.ascontiguousarray(x)), self.scaler_.transform(X))
        return scaled.unsqueeze(1) if self.adds_channel_ else scaled

    # Training

    def _train(self, X: Any, y: NDArray[Any], n_outputs: int, criterion: nn.Module, seed: int, task: str) -> None:
        several = _several.is_several(X)
        sizes, self.adds_channel_ = self._takes(None if several else X.ndim)
        options = {**self._task_option(task), **self._options("module__")}
        scaler = ModalityScaler(self.scale) if several else ChannelScaler(self.scale)
        of_train = _several.take(X, self.train_index_)
        self.scaler_: Any = scaler.fit(of_train)
        train = Samples(self._to_tensor(of_train), torch.from_numpy(y[self.train_index_]))
        valid = None
        if len(self.validation_index_):
            held_out = self._to_tensor(_several.take(X, self.validation_index_))
            valid = Samples(held_out, torch.from_numpy(y[self.validation_index_]))
        with scoped_seed(seed):
            build = registry.entry(self.model).build if isinstance(self.model, str) else self.model
            module = build(n_outputs=n_outputs, **sizes, **options)
            if self.rate_penalty and not is_spiking(module):
                raise InputError(
                    f"rate_penalty={self.rate_penalty:g} needs a spiking model; {self.model!r} has no spikes."
                )
            encoder = getattr(module, "encoder", None)
            if encoder is not None:
                encoder.fit(train.X)
            self.net_ = self._net(module, criterion, train, valid, torch.Generator().manual_seed(seed))
            if self.max_epochs:
                self.net_.fit(train, None)
                if self.net_.interrupted_:
                    raise KeyboardInterrupt
            else:
                self.net_.initialize()
            self.history_ = [{k: v for k, v in row.items() if k != "batches"} for row in self.net_.history]
            self.health_ = self._health(valid or train)
        self.seed_ = seed

    def _task_option(self, task: str) -> dict[str, str]:
        """The model's `task`, where its labels decide it: one label per step, or not."""
        if not isinstance(self.model, str):
            return {}
        row = registry.entry(self.model)
        if task == "steps" and "steps" not in row.tasks:
            able = ", ".join(registry.names(task="steps", kind="network"))
            raise InputError(f"y has a label per time step, which {row.name!r} cannot predict; use one of: {able}.")
        asked = self._options("module__").get("task")
        if asked is not None and (asked == "steps") != (task == "steps"):
            raise InputError(f"module__task={asked!r} does not fit y, which holds one label per "
                             f"{'step' if task == 'steps' else 'sample'}.")  # fmt: skip
        return {"task": task} if "steps" in row.tasks else {}

    def _split(self, y: NDArray[Any], groups: ArrayLike | None, seed: int, task: str) -> None:
        """Set aside the validation part: whole groups when given, else samples in proportion to their class."""
        if groups is not None and len(np.asarray(groups)) != len(y):
            raise InputError(f"groups has {len(np.asarray(groups))} entries for {len(y)} samples.")
        self.train_index_, self.validation_index_ = np.arange(len(y)), np.arange(0)
        if self.validation_fraction is not None:
            labels = None if groups is None else np.asarray(groups)
            self.train_index_, self.validation_index_ = inner_split(
                labels, y, self.validation_fraction, seed, task=task
            )

    def _net(
        self, module: nn.Module, criterion: nn.Module, train: Samples, valid: Samples | None, shuffling: torch.Generator
    ) -> SpikingNet:
        total_steps = self.max_epochs * len(Batches(train, self.batch_size))
        callbacks = [
            TrainingRecord(classification=isinstance(criterion, MaskedCrossEntropy)),
            None if self.gradient_clip is None else GradientNormClipping(self.gradient_clip),
            make_schedule(self.schedule, self.lr, total_steps),
            None if valid is None else EarlyStopping(
                self.monitor, patience=self.patience or self.max_epochs + 1, threshold=0,
                lower_is_better=not self.monitor.endswith("accuracy"), load_best=self.restore_best,
            ),
            *self.callbacks,
        ]  # fmt: skip
        return SpikingNet(
            module,
            criterion=criterion,
            optimizer=partial(split_decay, OPTIMIZERS[self.optimizer]),
            lr=self.lr,
            optimizer__weight_decay=self.weight_decay,
            **{f"optimizer__{name}": value for name, value in self._options("optimizer__").items()},
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_train__generator=shuffling,
            iterator_valid=Batches,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=[callback for callback in callbacks if callback is not None],
            device=self.device,
            verbose=self.verbose,
            rate_penalty=self.rate_penalty,
            rate_band=self.rate_band,
            **self._options("net__"),
        )

    def _health(self, samples: Samples) -> dict[str, Any]:
        """Firing by layer on validation (or training) data, and gradient norm by layer over the last epoch."""
        module = self.net_.module_
        batches = (_several.moved(batch, self.device) for batch in _several.batches(samples.X, self.batch_size))
        return {
            "firing": firing(module, batches) if is_spiking(module) else {},
            "gradient_norm": self.history_[-1]["gradient_norm"] if self.history_ else {},
            "epochs": len(self.history_),
        }

    def _forward(self, X: Any) -> Tensor:
        inputs = self.network_input(X)
        module = self.net_.module_.eval()
        outputs = []
        for batch in _several.batches(inputs, self.batch_size):
            # A model may draw when it predicts (rate codes): each batch starts from the same seed, and encoders then
            # draw once for all samples, so that a sample's output is the same at every call and in every batch.
            with torch.no_grad(), scoped_seed(self.seed_):
                outputs.append(module(_several.moved(batch, self.device)).cpu())
        return torch.cat(outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = False
        return tags
