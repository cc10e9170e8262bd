"""BSA: spikes whose convolution with a filter gives the signal back."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import firwin
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders.base import IntensityEncoder
from spikeneuro.errors import InputError

#: Low-pass filters by name: length in samples, and cutoff as a share of half the sampling rate.
FILTERS: dict[str, tuple[int, float]] = {
    "length-3-cut-0.8": (3, 0.8),
    "length-7-cut-0.05": (7, 0.05),
    "length-7-cut-0.8": (7, 0.8),
}

_GRID = np.linspace(0, 1, 21)  # thresholds tried by fit, as shares of the sum of |h|
_CALIBRATION = 16  # training trials they are tried on: one threshold per channel needs no more


class BSAEncoder(IntensityEncoder):
    r"""Bens spiker algorithm: a spike wherever taking the filter away brings the signal nearer to zero.

    With u the signal mapped to [0, 1] and h a filter of L taps, at each sample t in turn

    - ``e1 = sum_k |u[t+k] - h[k]|`` and ``e2 = sum_k |u[t+k]|``, k = 0 ... L - 1;
    - if ``e1 <= e2 - threshold``: a spike, and ``u[t+k] = u[t+k] - h[k]``.

    The signal is therefore the convolution of the spikes with h, plus what is left; `decode` computes it. There is one
    feature a channel and there are no negative spikes. Output shape: ``(times K, batch, channels)``; with K > 1 steps a
    sample, the spike comes in the first of them. Images, which have no time, are refused.

    A decision needs L samples, so it comes out with the last of them, `delay` = L - 1 samples after the one it is
    about: the first L - 1 samples are silent, ``spikes[delay * K:]`` is the published code, and pieces of a signal
    give the spikes of the whole. `decode` takes the delay back; of its last L - 1 samples, which no decision has been
    made about, only the tails of earlier spikes are known.

    `fit` learns the range of each channel, and for each channel the threshold, of 0, 0.05, ..., 1 times ``sum |h|``,
    with the least squared error of the decoded signal, on training data (16 trials of it, evenly spread). It matters:
    the error is often five times smaller than at threshold zero. The filter matters as much, since every spike adds
    h and nothing else: the smooth ``length-7-cut-0.05`` follows slow signals, while the two filters of cutoff 0.8 have
    nearly one tap and can only tell high from low.

    The residual depends on its own past, so time is a loop; each turn handles all trials and channels at once.

    Parameters
    ----------
    fir : {"length-7-cut-0.05", "length-3-cut-0.8", "length-7-cut-0.8"} or sequence of float
        The filter: a low-pass by its length in samples and its cutoff as a share of half the sampling rate (Hamming
        window, gain 1 at frequency zero), or the taps themselves.
    threshold : float, optional
        At least 0, in units of u, for all channels. By default `fit` learns one for each.
    steps_per_sample : int, default=1
        K.
    low, high, quantile : float, optional
        Input range, see `IntensityEncoder`.

    References
    ----------
    Schrauwen and Van Campenhout (2003), doi:10.1109/IJCNN.2003.1224019.
    Petro, Kasabov and Kiss (2020), doi:10.1109/TNNLS.2019.2906158.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import BSAEncoder
    >>> encoder = BSAEncoder(fir=[0.5, 0.5], threshold=0.25, low=0.0, high=1.0)
    >>> spikes = encoder(torch.tensor([[[0.5, 1.0, 0.5, 0.0]]]))
    >>> spikes.flatten().tolist(), encoder.delay
    ([0.0, 1.0, 1.0, 0.0], 1)
    >>> encoder.decode(spikes).flatten().tolist()
    [0.5, 1.0, 0.5, 0.0]
    """

    takes_images = False
    fitted_buffers: ClassVar[tuple[str, ...]] = ("low_", "high_", "threshold_")
    threshold_: Tensor | None

    def __init__(
        self,
        fir: str | Sequence[float] = "length-7-cut-0.05",
        threshold: float | None = None,
        *,
        steps_per_sample: int = 1,
        low: float | None = None,
        high: float | None = None,
        quantile: float = 0.0,
    ) -> None:
        super().__init__(steps_per_sample, low=low, high=high, quantile=quantile)
        self.fir = fir
        self.taps: Tensor
        self.register_buffer("taps", torch.as_tensor(_taps(fir), dtype=torch.float64), persistent=False)
        self.given_threshold = threshold is not None
        if threshold is not None:
            self.threshold_ = torch.tensor(float(check_number(threshold, "threshold", low=0)))

    @property
    def delay(self) -> int:
        """Samples by which a spike comes after the sample that it is about."""
        return len(self.taps) - 1

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode one piece of a longer signal; pieces give the same spikes as the whole.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            The next piece.
        state : Tensor of shape (n, batch, channels), optional
            What is left of the last `delay` samples (or of all there were), as the call before returned it.

        Returns
        -------
        spikes : Tensor of shape (times K, batch, channels)
            Zeros and ones.
        state : Tensor of shape (n, batch, channels)
            To hand to the next call.
        """
        spikes, state = self._advance(self._time_first(x), state)
        return self._finished(spikes, x), state

    def _learn(self, X: NDArray[Any]) -> None:
        if X.shape[2] <= self.delay:
            raise InputError(
                f"{type(self).__name__}.fit needs at least {self.delay + 1} samples in time, the length of its filter, "
                f"got shape {X.shape}."
            )
        super()._learn(X)
        if self.given_threshold:
            return
        chosen = np.unique(np.linspace(0, len(X) - 1, _CALIBRATION).astype(int))
        trials = torch.as_tensor(X[chosen], dtype=torch.float64, device=self.taps.device)
        u = self._intensity(trials.permute(2, 0, 1))
        errors = []
        largest = float(self.taps.abs().sum())
        for share in _GRID:
            spikes, _ = self._spikes(u, u.new_tensor(share * largest))
            errors.append((self._convolved(spikes, len(u)) - u).square().mean(dim=(0, 1)))
        best = torch.stack(errors).argmin(dim=0)
        device = None if self.threshold_ is None else self.threshold_.device
        values = torch.as_tensor(_GRID * largest, dtype=torch.get_default_dtype())
        self.threshold_ = values[best.cpu()].to(device)

    def _encode(self, x: Tensor) -> Tensor:
        return self._advance(x, None)[0]

    def _advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        u, threshold = self._intensity(x.detach()), self._threshold(x)
        if state is not None:
            if state.ndim != 3 or state.shape[1:] != u.shape[1:] or not 1 <= len(state) <= self.delay:
                raise InputError(
                    f"{type(self).__name__}: the state has shape {tuple(state.shape)}, but the input needs "
                    f"(1 to {self.delay}, batch, channels) with (batch, channels) = {tuple(u.shape[1:])}."
                )
            u = torch.cat([state.to(u), u])
        spikes, left = self._spikes(u, threshold)
        silent = x.new_zeros(len(x) - len(spikes), *x.shape[1:])
        spikes = torch.cat([silent, spikes]).unsqueeze(1)
        if self.steps_per_sample > 1:
            spikes = torch.cat([spikes, spikes.new_zeros(len(x), self.steps_per_sample - 1, *x.shape[1:])], dim=1)
        return spikes, left

    def _spikes(self, u: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """Decision about each sample that has L - 1 after it, and what is left of the last L - 1."""
        taps = self.taps.to(u).view(-1, 1, 1)
        length, spikes = len(taps), []
        window = u[:length]
        for later in u[length:].unbind(0):
            window, spike = _decide(window, taps, threshold)
            spikes.append(spike)
            window = torch.cat([window[1:], later.unsqueeze(0)])
        if len(u) < length:
            return u[:0], window.clone()
        window, spike = _decide(window, taps, threshold)
        return torch.stack([*spikes, spike]).to(u.dtype), window[1:].clone()

    def _convolved(self, decisions: Tensor, n_times: int) -> Tensor:
        """Sum of the filters that the decisions about samples 0, 1, ... stand for."""
        signal = decisions.new_zeros(n_times, *decisions.shape[1:])
        for k, tap in enumerate(self.taps.tolist()):
            signal[k : k + len(decisions)] += tap * decisions[: n_times - k]
        return signal

    def _decode(self, codes: Tensor) -> Tensor:
        if codes.ndim != 5:
            raise InputError(f"{type(self).__name__}.decode takes (steps, batch, features), not images.")
        decisions = codes.squeeze(4).sum(dim=1)
        self._threshold(decisions)  # an encoder that cannot encode yet has nothing to decode
        return self._value(self._convolved(decisions[self.delay :], len(decisions)))

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
        return f"{super().extra_repr()}, fir={self.fir!r}"


def _decide(window: Tensor, taps: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of the window after the decision about its first sample, and the decision."""
    moved = window - taps
    spike = moved.abs().sum(0) <= window.abs().sum(0) - threshold
    return torch.where(spike, moved, window), spike


def _taps(fir: Any) -> NDArray[np.float64]:
    if isinstance(fir, str):
        length, cutoff = FILTERS[check_choice(fir, FILTERS, "fir")]
        return np.asarray(firwin(length, cutoff), dtype=np.float64)
    if isinstance(fir, Tensor):
        fir = fir.detach().cpu().numpy()
    taps = np.asarray(fir)
    numeric = np.issubdtype(taps.dtype, np.number) and not np.iscomplexobj(taps)
    if taps.ndim != 1 or len(taps) < 2 or not numeric or not np.isfinite(taps).all() or not taps.any():
        raise InputError(f"fir must be one of {', '.join(FILTERS)}, or at least two finite taps that are not all zero, "
                         f"got {fir!r}.")  # fmt: skip
    return taps.astype(np.float64)
