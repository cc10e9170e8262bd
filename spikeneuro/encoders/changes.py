"""What the codes of change share: a threshold, fitted or given, on and off spikes, a start, and the way back."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.encoders.base import Encoder
from spikeneuro.errors import InputError


class ChangeEncoder(Encoder):
    """Base of the codes of change: compares each sample with a reference and emits on (up) and off (down) spikes.

    Features of channel c: ``2 c`` on, ``2 c + 1`` off (only ``c``, on, with ``off=False``).

    Parameters
    ----------
    threshold : float, optional
        Smallest change that spikes, in the units of the input, for all channels. By default `fit` learns one for each
        channel: the mean over trials of ``mean|d| + factor * std|d|``, d the differences of successive samples.
    factor : float, default=0.5
        Of that rule.
    off : bool, default=True
        Whether to emit off spikes, too.
    padding : bool, default=True
        Reference of the first sample: itself (True), so that it never spikes, or zero (False).
    steps_per_sample : int, default=1
        K.
    """

    takes_images = False
    fitted_buffers: ClassVar[tuple[str, ...]] = ("threshold_",)
    threshold_: Tensor | None

    def __init__(
        self,
        threshold: float | None = None,
        *,
        factor: float = 0.5,
        off: bool = True,
        padding: bool = True,
        steps_per_sample: int = 1,
    ) -> None:
        super().__init__(steps_per_sample)
        self.factor = check_number(factor, "factor", low=0)
        self.off, self.padding = off, padding
        self.features_per_channel = 2 if off else 1
        self.given_threshold = threshold is not None
        if threshold is not None:
            self.threshold_ = torch.tensor(float(check_number(threshold, "threshold", low=0, closed="neither")))

    def _learn(self, X: NDArray[Any]) -> None:
        name = f"{type(self).__name__}.fit"
        if X.shape[2] < 2:
            raise InputError(f"{name} needs at least two samples in time to see a change, got shape {X.shape}.")
        if self.given_threshold:
            return
        threshold = np.zeros(X.shape[1])
        for trial in X:  # one at a time: the differences of a whole data set would double its memory
            change = np.abs(self._deviations(trial.astype(np.float64)))
            threshold += change.mean(axis=1) + self.factor * change.std(axis=1)
        threshold /= len(X)
        flat = np.flatnonzero(threshold == 0)
        if flat.size:
            raise InputError(
                f"{name}: channel {flat[0]} (of {flat.size} such) is constant, its threshold would be zero; "
                "drop it, or give threshold=."
            )
        device = None if self.threshold_ is None else self.threshold_.device
        self.threshold_ = torch.as_tensor(threshold, dtype=torch.get_default_dtype(), device=device)

    def _deviations(self, trial: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the threshold is compared with, for a training trial ``(channels, times)``."""
        return np.diff(trial, axis=1)

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode one piece of a longer signal; pieces give the same spikes as the whole.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            The next piece.
        state : Tensor of shape (batch, channels), optional
            Reference that the call before returned: the last sample (delta), the baseline (step-forward).

        Returns
        -------
        spikes : Tensor of shape (times K, batch, 2 channels)
            Zeros and ones; ``channels`` features with ``off=False``.
        state : Tensor of shape (batch, channels)
            Reference after this piece.
        """
        on_off, state = self._advance(self._time_first(x), state)
        return self._finished(on_off, x), state

    def _encode(self, x: Tensor) -> Tensor:
        return self._advance(x, None)[0]

    def _advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        threshold, state = self._threshold(x), self._reference(x, state)
        on_off, state = self._changes(x.detach(), threshold, state.detach().to(x))
        return on_off[..., : self.features_per_channel].flatten(3), state

    def _reference(self, x: Tensor, state: Tensor | None) -> Tensor:
        """What the first sample is compared with: the checked `state`, or the start."""
        if state is None:
            return x[0] if self.padding else torch.zeros_like(x[0])
        if state.shape != x.shape[1:]:
            raise InputError(
                f"{type(self).__name__}: the state has shape {tuple(state.shape)}, "
                f"but the input needs (batch, channels) = {tuple(x.shape[1:])}."
            )
        return state

    def _in_first_step(self, on_off: Tensor) -> Tensor:
        """Spikes of samples ``(times, ...)`` in the first of their K steps, ``(times, K, ...)``."""
        on_off = on_off.unsqueeze(1)
        if self.steps_per_sample == 1:
            return on_off
        silent = on_off.new_zeros(len(on_off), self.steps_per_sample - 1, *on_off.shape[2:])
        return torch.cat([on_off, silent], dim=1)

    @abstractmethod
    def _changes(self, x: Tensor, threshold: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """On and off spikes ``(times, K, batch, channels, 2)`` and the reference after the last sample."""

    def decode(self, spikes: Tensor, start: Tensor | None = None) -> Tensor:
        """Reconstruct the reference that the spikes tell: each on spike adds the threshold, each off spike takes it.

        Parameters
        ----------
        spikes : Tensor of shape (times K, batch, 2 channels)
            What the encoder returned.
        start : Tensor of shape (batch, channels), optional
            Reference before the first sample; zero by default, which with ``padding=True`` leaves the signal relative
            to its first sample.

        Returns
        -------
        Tensor of shape (batch, channels, times)
            The reconstruction, in the units of the input.
        """
        values = self._batch_first(self._decode(self._split(spikes)))
        return values if start is None else values + start.to(values).unsqueeze(2)

    def _decode(self, codes: Tensor) -> Tensor:
        if not self.off:
            raise InputError(f"{type(self).__name__} without off spikes (off=False) cannot be decoded.")
        if codes.ndim != 5:
            raise InputError(f"{type(self).__name__}.decode takes (steps, batch, features), not images.")
        net = (codes[..., 0] - codes[..., 1]).sum(dim=1)
        return self._reconstruct(net, self._threshold(net))

    def _reconstruct(self, net: Tensor, threshold: Tensor) -> Tensor:
        """Signal from the on minus off spikes of each sample, both ``(times, batch, channels)``, started from zero."""
        return threshold * net.cumsum(dim=0)

    def _threshold(self, like: Tensor) -> Tensor:
        if self.threshold_ is None:
            raise InputError(
                f"{type(self).__name__} does not know its threshold; call fit on training data first, "
                "or give threshold=."
            )
        self._check_channels(self.threshold_, like)
        return self.threshold_.to(like)

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}, off={self.off}, padding={self.padding}"
