"""What every encoder shares: axes, checks, fitting, saving, streaming, and the fitted input range."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from spikeneuro._validation import check_finite, check_number
from spikeneuro.errors import InputError

_AXES = {3: "(batch, channels, times)", 4: "(batch, channels, height, width)"}
_HALF = (torch.float16, torch.bfloat16)


class Encoder(nn.Module, ABC):
    """Turns batch-first signals or images into time-first input for a spiking network.

    A signal ``(batch, channels, times)`` becomes ``(n_steps(times), batch, out_features(channels))``; an image
    ``(batch, channels, height, width)`` becomes ``(steps_per_sample, batch, out_features(channels), height, width)``.
    Every sample of a signal takes `steps_per_sample` = K steps, so one step lasts ``dt = 1 / (sfreq * K)`` seconds;
    an image counts as a single sample. With k features a channel, feature ``channel * k + j`` belongs to ``channel``:
    ``spikes.unflatten(2, (channels, k))`` gives them apart.

    Values are 0 or 1 in the dtype of the input, except where `graded` is true; where `random` is, they are drawn, in
    training mode for each trial of the batch anew and in evaluation mode once for all of them. Encoders have no
    parameters to train and are not differentiable (a comparison has derivative zero, and no surrogate takes its place
    here), except where `graded` is true. What `fit` learns is kept in buffers whose names end in an underscore: they
    move with the module, are part of ``state_dict`` and load into an encoder that was never fitted.

    Parameters
    ----------
    steps_per_sample : int, default=1
        K, steps for each sample of a signal, or for an image.
    """

    graded: ClassVar[bool] = False
    random: ClassVar[bool] = False
    takes_images: ClassVar[bool] = True
    fitted_buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, steps_per_sample: int = 1) -> None:
        super().__init__()
        self.steps_per_sample = int(check_number(steps_per_sample, "steps_per_sample", low=1, integer=True))
        self.features_per_channel = 1
        for name in self.fitted_buffers:
            self.register_buffer(name, None)

    def n_steps(self, n_times: int = 1) -> int:
        """Steps that come out for `n_times` samples; an image is one sample."""
        return n_times * self.steps_per_sample

    def out_features(self, n_chans: int) -> int:
        """Features (for images: channels) that come out for `n_chans` channels."""
        return n_chans * self.features_per_channel

    @property
    def fitted(self) -> bool:
        """Whether everything that `fit` learns, or that was given in its place, is there."""
        return all(getattr(self, name) is not None for name in self.fitted_buffers)

    def fit(self, X: ArrayLike | Tensor, y: Any = None) -> Self:
        """Learn from training data what the code depends on; codes that depend on nothing only check the data.

        Parameters
        ----------
        X : array or Tensor of shape (n, channels, times) or (n, channels, height, width)
            Training data only: a range or threshold learned on test data leaks.
        y : object, optional
            Ignored.

        Returns
        -------
        Encoder
            The encoder itself.

        Raises
        ------
        InputError
            If the data have other axes, hold NaN or infinite values, or hold no sample.
        """
        del y
        array = self._training_array(X)
        with torch.no_grad():
            self._learn(array)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Encode whole signals or images, each from rest; nothing is remembered.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times) or (batch, channels, height, width)
            Finite values; integers are converted to the default floating dtype.

        Returns
        -------
        Tensor of shape (steps, batch, features) or (steps, batch, features, height, width)
            The encoded input, time first.
        """
        return self._finished(self._encode(self._time_first(x)), x)

    def run(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Encode one piece of a longer signal, carrying on from where the last piece ended.

        Pieces give the same spikes as the whole signal. Codes that treat every sample by itself carry no state.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            The next piece of the signal.
        state : object, optional
            What the call before returned; None at the start.

        Returns
        -------
        spikes : Tensor
            As from calling the encoder.
        state : object
            To hand to the next call; None for codes without memory.
        """
        if state is not None:
            raise InputError(f"{type(self).__name__} carries no state between pieces, got a {type(state).__name__}.")
        return self(x), None

    def decode(self, spikes: Tensor) -> Tensor:
        """Reconstruct the signal or image, in its own units, as far as the code allows.

        Parameters
        ----------
        spikes : Tensor of shape (steps, batch, features) or (steps, batch, features, height, width)
            What the encoder returned, whole samples only.

        Returns
        -------
        Tensor of shape (batch, channels, times) or (batch, channels, height, width)
            The reconstruction, in float32 at least; the class says how far it may be off.
        """
        return self._batch_first(self._decode(self._split(spikes)))

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"steps_per_sample={self.steps_per_sample}, features_per_channel={self.features_per_channel}"

    @abstractmethod
    def _encode(self, x: Tensor) -> Tensor:
        """Encode ``(times, batch, channels, ...)`` as ``(times, K, batch, features, ...)``."""

    @abstractmethod
    def _decode(self, codes: Tensor) -> Tensor:
        """Decode ``(times, K, batch, channels, k, ...)`` to ``(times, batch, channels, ...)``."""

    def _learn(self, X: NDArray[Any]) -> None:
        """Fill the fitted buffers from checked training data; nothing to learn unless overridden."""

    def _time_first(self, x: Tensor) -> Tensor:
        """Check a batch and put time in front, in float32 at least; an image gets a time axis of length one."""
        name = type(self).__name__
        if not isinstance(x, Tensor):
            raise InputError(f"{name} takes a torch.Tensor, got {type(x).__name__}; convert with torch.as_tensor(x).")
        _check_axes(tuple(x.shape), name, self.takes_images)
        if x.is_complex():
            raise InputError(f"{name} takes real values, got dtype {x.dtype}.")
        if not x.is_floating_point():
            x = x.to(torch.get_default_dtype())
        elif x.dtype in _HALF:
            x = x.float()  # half precision cannot count the steps of a long window
        if not (torch.compiler.is_compiling() or is_fake(x)):  # neither has values
            _check_finite_tensor(x, name)
        return x.permute(2, 0, 1).contiguous() if x.ndim == 3 else x.unsqueeze(0)

    @staticmethod
    def _finished(codes: Tensor, x: Tensor) -> Tensor:
        """Join samples and their steps into one time axis, in the dtype of the input."""
        spikes = codes.flatten(0, 1)
        return spikes.to(x.dtype) if x.is_floating_point() else spikes

    def _training_array(self, X: ArrayLike | Tensor) -> NDArray[Any]:
        name = f"{type(self).__name__}.fit"
        if isinstance(X, Tensor):
            X = X.detach().cpu()
            X = X.float() if X.dtype in _HALF else X
        array = np.asarray(X)
        if array.dtype == object:
            raise InputError(f"{name}: recordings of different lengths must be cut into windows of one length first.")
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
            raise InputError(f"{name} takes real numbers, got dtype {array.dtype}.")
        _check_axes(array.shape, name, self.takes_images)
        if array.dtype == bool or np.issubdtype(array.dtype, np.integer):
            array = array.astype(np.float32)  # differences of unsigned integers would wrap
        return check_finite(array, "X")

    def _check_channels(self, fitted: Tensor, x: Tensor) -> None:
        """Refuse an input whose channels are not those that a per-channel buffer was fitted on."""
        if fitted.ndim == 0:
            return
        name = type(self).__name__
        if x.ndim != 3:
            raise InputError(f"{name} was fitted on signals of {len(fitted)} channels and cannot take images.")
        if x.shape[2] != len(fitted):
            raise InputError(
                f"{name} was fitted on {len(fitted)} channels, got {x.shape[2]}; expected axes are {_AXES[3]}."
            )

    def _split(self, spikes: Tensor) -> Tensor:
        """Cut encoder output into ``(times, K, batch, channels, k, ...)``."""
        name = f"{type(self).__name__}.decode"
        steps, per_channel = self.steps_per_sample, self.features_per_channel
        if spikes.ndim not in (3, 5):
            raise InputError(
                f"{name} takes (steps, batch, features[, height, width]), got shape {tuple(spikes.shape)}."
            )
        if spikes.shape[0] == 0 or spikes.shape[0] % steps or (spikes.ndim == 5 and spikes.shape[0] != steps):
            raise InputError(f"{name}: {spikes.shape[0]} steps are not whole samples of {steps} steps.")
        if spikes.shape[2] % per_channel:
            raise InputError(f"{name}: {spikes.shape[2]} features are not whole channels of {per_channel} features.")
        spikes = spikes.float() if spikes.dtype in _HALF else spikes
        _, batch, features, *rest = spikes.shape
        return spikes.reshape(-1, steps, batch, features // per_channel, per_channel, *rest)

    @staticmethod
    def _batch_first(values: Tensor) -> Tensor:
        return values.permute(1, 2, 0) if values.ndim == 3 else values.squeeze(0)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Make room for what the saved encoder had learned, also where this one has learned nothing yet."""
        for name in self.fitted_buffers:
            saved = state_dict.get(prefix + name)
            if saved is not None:
                own = getattr(self, name)
                device = saved.device if own is None else own.device
                setattr(self, name, torch.empty_like(saved, device=device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class IntensityEncoder(Encoder):
    """Base of the codes of an intensity u in [0, 1]: owns the range that maps a value to an intensity.

    ``u = clamp((x - low) / (high - low), 0, 1)``. The range is given (`low` and `high`, one number each), or fitted on
    training data: per channel for signals, one range for all pixels of images. Values outside it are clamped.

    Parameters
    ----------
    steps_per_sample : int
        K, steps for each sample of a signal, or for an image.
    low, high : float, optional
        The range, in the units of the input; both or neither. Without them `fit` must come first.
    quantile : float, default=0.0
        In [0, 0.5): `fit` takes the quantiles `quantile` and ``1 - quantile`` as range; 0 is minimum and maximum.
    """

    fitted_buffers: ClassVar[tuple[str, ...]] = ("low_", "high_")
    low_: Tensor | None
    high_: Tensor | None

    def __init__(
        self, steps_per_sample: int, *, low: float | None = None, high: float | None = None, quantile: float = 0.0
    ) -> None:
        super().__init__(steps_per_sample)
        self.quantile = check_number(quantile, "quantile", low=0, high=0.5, closed="left")
        if (low is None) != (high is None):
            raise InputError(f"give both low and high or neither, got low={low!r}, high={high!r}.")
        self.given_range = low is not None and high is not None
        if low is not None and high is not None:
            check_number(low, "low", closed="neither")
            check_number(high, "high", low=low, closed="neither")
            self.low_, self.high_ = torch.tensor(float(low)), torch.tensor(float(high))

    def _learn(self, X: NDArray[Any]) -> None:
        if self.given_range:
            return
        signals = X.ndim == 3
        axes = (0, 2) if signals else None
        if self.quantile == 0:
            low, high = X.min(axis=axes), X.max(axis=axes)
        else:
            low, high = np.quantile(X, [self.quantile, 1 - self.quantile], axis=axes)
        flat = np.flatnonzero(~(np.atleast_1d(high) > np.atleast_1d(low)))
        if flat.size:
            where = f"channel {flat[0]} (of {flat.size} such)" if signals else "the image set"
            raise InputError(
                f"{type(self).__name__}.fit: {where} is constant at {float(np.atleast_1d(low)[flat[0]]):g} and has no "
                "range; drop it, or give low= and high=."
            )
        device = None if self.low_ is None else self.low_.device
        dtype = torch.get_default_dtype()
        self.low_ = torch.as_tensor(low, dtype=dtype, device=device)
        self.high_ = torch.as_tensor(high, dtype=dtype, device=device)

    def _range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        if self.low_ is None or self.high_ is None:
            raise InputError(
                f"{type(self).__name__} does not know the range of its input; call fit on training data first, "
                "or give low= and high=."
            )
        return self.low_.to(like), self.high_.to(like)

    def _intensity(self, x: Tensor) -> Tensor:
        low, high = self._range(x)
        self._check_channels(low, x)
        return ((x - low) / (high - low)).clamp(0, 1)

    def _value(self, intensity: Tensor) -> Tensor:
        low, high = self._range(intensity)
        self._check_channels(low, intensity)
        return low + intensity * (high - low)


def spike_at(times: Tensor, n_steps: int, fires: Tensor, dtype: torch.dtype) -> Tensor:
    """One spike at step `times` where `fires`, as ``(times.shape[0], n_steps, ...)`` zeros and ones."""
    # made by a comparison, which is how an operation ledger tells spikes from numbers
    step = torch.arange(n_steps, dtype=torch.int32, device=times.device).view(-1, *(1 for _ in times.shape[1:]))
    return ((times.to(torch.int32).unsqueeze(1) == step) & fires.unsqueeze(1)).to(dtype)


def _check_axes(shape: tuple[int, ...], name: str, images: bool) -> None:
    expected = f"{_AXES[3]} or {_AXES[4]}" if images else _AXES[3]
    if len(shape) == 4 and not images:
        raise InputError(
            f"{name} codes changes in time, which an image has not; got shape {shape}, expected {_AXES[3]}."
        )
    if len(shape) not in _AXES:
        raise InputError(f"{name} expects {expected}, got {len(shape)} axes, shape {shape}.")
    if 0 in shape:
        raise InputError(f"{name} expects {expected} without an empty axis, got shape {shape}.")


def _check_finite_tensor(x: Tensor, name: str) -> None:
    # in NumPy where possible: a check of the input is no operation of the network, and a ledger should not see it
    plain = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if np.isfinite(x.detach().numpy()).all() if plain else bool(torch.isfinite(x).all()):
        return
    bad = ~torch.isfinite(x)
    place = tuple(int(i) for i in bad.nonzero()[0])
    raise InputError(
        f"{name}: the input holds {int(bad.sum())} value(s) that are NaN or infinite, "
        f"the first at index {place}; remove or interpolate them first."
    )
