"""Burst codes: strong input makes spikes follow each other fast."""

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders.base import IntensityEncoder
from spikeneuro.errors import InputError

_EDGE = 1e-6  # intensities this near to a boundary count as on it, whatever their last bit says


class BurstEncoder(IntensityEncoder):
    """Burst code, by a threshold that grows within a burst, or by number and interval of the spikes.

    With intensity u in [0, 1], every sample by itself:

    - ``threshold``: a membrane integrates u in each of the K steps, ``v = v + u``, and spikes where
      ``v >= g v_th``; then ``v = v - g v_th``. The gain g is 1 after silence and multiplied by `beta` after each spike,
      so that a burst gets rid of charge fast. A spike is worth ``g v_th``; the decoder works g out from the train and
      returns ``sum(g v_th s) / K``, short of u by exactly ``v_end / K``;
    - ``isi``: ``N = ceil(n_max u)`` spikes from the first step on, ``ceil(isi_max - (isi_max - isi_min) u)`` steps
      apart. Decoded from both to within ``1 / (2 n_max)``.

    Output shape: ``(times K, batch, channels)``, images ``(K, batch, channels, height, width)``.

    Parameters
    ----------
    steps_per_sample : int, optional
        K. By default 16 (``threshold``) or the least that holds every burst (``isi``), below which it may not be.
    mode : {"threshold", "isi"}
        Which form.
    v_th : float, default=0.125
        Threshold at g = 1, of the threshold form.
    beta : float, default=2
        Growth of the threshold in a burst, above 1.
    n_max : int, default=5
        Most spikes in a burst, of the interval form.
    isi_min, isi_max : int
        Shortest and longest interval in steps; 2 and 6 by default.
    low, high, quantile : float, optional
        Input range, see `IntensityEncoder`.

    References
    ----------
    Park et al. (2019), doi:10.1145/3316781.3317822 (threshold form).
    Guo et al. (2021), doi:10.3389/fnins.2021.638474 (interval form).

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import BurstEncoder
    >>> BurstEncoder(mode="isi", n_max=3, isi_min=1, isi_max=3, low=0, high=1)(torch.tensor([[[1.0, 0.2]]])).flatten()
    tensor([1., 1., 1., 0., 0., 1., 0., 0., 0., 0.])
    """

    def __init__(
        self,
        steps_per_sample: int | None = None,
        mode: str = "threshold",
        *,
        v_th: float = 0.125,
        beta: float = 2.0,
        n_max: int = 5,
        isi_min: int = 2,
        isi_max: int = 6,
        low: float | None = None,
        high: float | None = None,
        quantile: float = 0.0,
    ) -> None:
        check_choice(mode, ("threshold", "isi"), "mode")
        check_number(n_max, "n_max", low=1, integer=True)
        check_number(isi_min, "isi_min", low=1, integer=True)
        check_number(isi_max, "isi_max", low=isi_min, integer=True)
        shortest = 1 if mode == "threshold" else _longest_burst(n_max, isi_min, isi_max)
        steps = max(shortest, 16 if mode == "threshold" else 1) if steps_per_sample is None else steps_per_sample
        super().__init__(steps, low=low, high=high, quantile=quantile)
        if steps < shortest:
            raise InputError(
                f"steps_per_sample={steps} cuts bursts off; with these intervals it must be >= {shortest}."
            )
        self.mode = mode
        self.v_th = check_number(v_th, "v_th", low=0, closed="neither")
        self.beta = check_number(beta, "beta", low=1, closed="neither")
        self.n_max, self.isi_min, self.isi_max = n_max, isi_min, isi_max

    def _encode(self, x: Tensor) -> Tensor:
        intensity = self._intensity(x)
        return self._by_threshold(intensity) if self.mode == "threshold" else self._by_interval(intensity)

    def _by_threshold(self, intensity: Tensor) -> Tensor:
        membrane, threshold = torch.zeros_like(intensity), torch.full_like(intensity, self.v_th)
        spikes = []
        for _ in range(self.steps_per_sample):
            membrane = membrane + intensity
            spike = (membrane >= threshold).to(intensity.dtype)
            membrane = membrane - spike * threshold
            threshold = torch.where(spike > 0, self.beta * threshold, self.v_th)
            spikes.append(spike)
        return torch.stack(spikes, dim=1)

    def _by_interval(self, intensity: Tensor) -> Tensor:
        number = (self.n_max * (intensity - _EDGE)).ceil()
        interval = self.isi_max - ((self.isi_max - self.isi_min) * (intensity + _EDGE)).floor()
        step = torch.arange(self.steps_per_sample, dtype=intensity.dtype, device=intensity.device)
        step = step.view(-1, *(1 for _ in intensity.shape[1:]))
        number, interval = number.unsqueeze(1), interval.unsqueeze(1)
        return ((step % interval == 0) & (step < number * interval)).to(intensity.dtype)

    def _decode(self, codes: Tensor) -> Tensor:
        codes = codes.squeeze(4)
        return self._value(self._charge(codes) if self.mode == "threshold" else self._from_interval(codes))

    def _charge(self, codes: Tensor) -> Tensor:
        threshold = torch.full_like(codes[:, 0], self.v_th)
        total = torch.zeros_like(threshold)
        for spike in codes.unbind(1):
            total = total + spike * threshold
            threshold = torch.where(spike > 0, self.beta * threshold, self.v_th)
        return total / self.steps_per_sample

    def _from_interval(self, codes: Tensor) -> Tensor:
        """Middle of the intensities that give this number of spikes at this interval."""
        number = codes.sum(dim=1)
        low, high = (number - 1) / self.n_max, number / self.n_max
        spread = self.isi_max - self.isi_min
        if spread and self.n_max > 1:
            interval = codes[:, 1:].argmax(dim=1) + 1  # the first spike is in the first step
            several = number > 1
            low = torch.where(several, torch.maximum(low, (self.isi_max - interval) / spread), low)
            high = torch.where(several, torch.minimum(high, (self.isi_max - interval + 1) / spread), high)
        return torch.where(number > 0, (low + high) / 2, torch.zeros_like(low))

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}, mode={self.mode!r}"


def _longest_burst(n_max: int, isi_min: int, isi_max: int) -> int:
    """Steps from the first to the last spike of the longest burst any intensity gives, both included."""
    # N spikes need u > (N - 1) / n_max, and the interval only shrinks as u grows; integers, as floats miss the edges
    spread = isi_max - isi_min
    return 1 + max((n - 1) * (isi_max - spread * (n - 1) // n_max) for n in range(1, n_max + 1))
