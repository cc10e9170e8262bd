"""Moving-window code: spikes where a signal leaves the band around the mean of its recent past."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.encoders.changes import ChangeEncoder
from spikeneuro.errors import InputError


class MovingWindowEncoder(ChangeEncoder):
    """Moving-window code: each sample is compared with the mean of those before it.

    With ``B[t]`` the mean of the `window` samples before t (of those there are, near the start), the on feature of a
    channel spikes where ``x[t] > B[t] + threshold``, the off feature where ``x[t] < B[t] - threshold``. The mean takes
    out slow drift and single-sample noise alike, both of which trouble `DeltaEncoder`; a window of one sample is the
    delta code (but for ties, which do not spike here). A sample of a lasting step keeps spiking until the window has
    passed over it. With K > 1 steps a sample, the spike comes in the first of them. Output shape:
    ``(times K, batch, 2 channels)``, feature ``2 c`` on and ``2 c + 1`` off of channel c. Images, which do not change,
    are refused.

    Decoding runs the rule backward: ``y[t] = mean(y[t-window..t-1]) + threshold * (on - off)``. What stays within the
    band is lost, so the error has no bound.

    Parameters
    ----------
    threshold : float, optional
        Half the width of the band, in the units of the input, for all channels. By default `fit` learns one for each
        channel on training data: the mean over trials of ``mean|d| + factor * std|d|``, d the deviations of the samples
        from the mean of those before them.
    window : int, default=5
        Samples in the mean, at least one. Its length in seconds is ``window / sfreq``.
    factor : float, default=0.5
        Of the rule for the threshold.
    off : bool, default=True
        Whether to emit off spikes, too.
    padding : bool, default=True
        Compare the first sample with itself (True: it never spikes) or with zero (False).
    steps_per_sample : int, default=1
        K.

    References
    ----------
    Petro, Kasabov and Kiss (2020), doi:10.1109/TNNLS.2019.2906158.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import MovingWindowEncoder
    >>> spikes = MovingWindowEncoder(threshold=0.5, window=2)(torch.tensor([[[0.0, 0.2, 1.0, 1.0, 0.0]]]))
    >>> spikes[:, 0].tolist()  # on, off
    [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """

    def __init__(
        self,
        threshold: float | None = None,
        *,
        window: int = 5,
        factor: float = 0.5,
        off: bool = True,
        padding: bool = True,
        steps_per_sample: int = 1,
    ) -> None:
        super().__init__(threshold, factor=factor, off=off, padding=padding, steps_per_sample=steps_per_sample)
        self.window = int(check_number(window, "window", low=1, integer=True))

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode one piece of a longer signal; pieces give the same spikes as the whole.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            The next piece.
        state : Tensor of shape (n, batch, channels), optional
            The samples before the piece that the call before returned, `window` of them or all there were.

        Returns
        -------
        spikes : Tensor
            As from calling the encoder.
        state : Tensor of shape (n, batch, channels)
            The samples that the next piece is compared with.
        """
        return super().run(x, state)

    def _reference(self, x: Tensor, state: Tensor | None) -> Tensor:
        if state is None:
            return x[:0]
        if state.ndim != 3 or state.shape[1:] != x.shape[1:] or not 1 <= len(state) <= self.window:
            raise InputError(
                f"{type(self).__name__}: the state has shape {tuple(state.shape)}, but the input needs "
                f"(1 to {self.window}, batch, channels) with (batch, channels) = {tuple(x.shape[1:])}."
            )
        return state

    def _changes(self, x: Tensor, threshold: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        mean = self._means(x, reference)
        on_off = torch.stack([x > mean + threshold, x < mean - threshold], dim=-1).to(x.dtype)
        return self._in_first_step(on_off), torch.cat([reference, x])[-self.window :].clone()

    def _means(self, x: Tensor, earlier: Tensor) -> Tensor:
        """Mean of the samples before each, ``(times, batch, channels)``."""
        signal, n = torch.cat([earlier, x]), len(earlier)
        # summed lag by lag, in one order for every sample, so that pieces and the whole agree to the last bit
        total = torch.zeros_like(x)
        for lag in range(1, self.window + 1):
            first = max(0, lag - n)  # the first sample that has one so long before it
            if first < len(x):
                total[first:] += signal[n + first - lag : n + len(x) - lag]
        there = (torch.arange(n, n + len(x), device=x.device).clamp(1, self.window)).to(x.dtype)
        mean = total / there.view(-1, 1, 1)
        if n == 0 and self.padding:
            mean[0] = x[0]
        return mean

    def _deviations(self, trial: NDArray[np.float64]) -> NDArray[np.float64]:
        away = trial - trial[:, :1]  # a constant channel then sums to exactly zero
        sums = np.cumsum(np.pad(away, ((0, 0), (1, 0))), axis=1)
        ends = np.arange(1, trial.shape[1])
        starts = np.maximum(ends - self.window, 0)
        deviations: NDArray[np.float64] = away[:, 1:] - (sums[:, ends] - sums[:, starts]) / (ends - starts)
        return deviations

    def _reconstruct(self, net: Tensor, threshold: Tensor) -> Tensor:
        values: list[Tensor] = []
        for step in net.unbind(0):
            recent = values[-self.window :]
            mean = torch.stack(recent).mean(0) if recent else torch.zeros_like(step)
            values.append(mean + threshold * step)
        return torch.stack(values)

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}, window={self.window}"
