"""Latency code: the stronger the input, the earlier its one spike."""

import math

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders.base import IntensityEncoder, spike_at
from spikeneuro.errors import InputError


class LatencyEncoder(IntensityEncoder):
    """Latency code: each sample spikes once within its K steps, the stronger the earlier.

    With intensity u in [0, 1] and n = K - 1, the spike comes at the step nearest to

    - ``linear``: ``t = n (1 - u)``;
    - ``log``: ``t = n (1 - ln(1 + alpha u) / ln(1 + alpha))``, equal ratios at equal distances for u >> 1/alpha;
      ``alpha = expm1(n)`` is SpikingJelly's code;
    - ``rc``: ``t = tau ln(u / (u - threshold))``, when a leaky membrane charged by the constant current u reaches the
      threshold; snnTorch's logarithmic code, with `tau` in steps.

    All three are functions of the value alone. snnTorch's ``spikegen.latency`` is not used because its normalisation
    to a number of steps divides by the latest time *in the batch*, so that the spikes of one trial would depend on
    the others. Output shape: ``(times K, batch, channels)``, images ``(K, batch, channels, height, width)``.

    Decoding is exact up to the rounding of t: for ``linear`` within ``1 / (2 (K - 1))`` of the range; a silent value
    is decoded as u = 0.

    Parameters
    ----------
    steps_per_sample : int, default=16
        K, at least 2.
    mode : {"linear", "log", "rc"}
        Which law.
    clip : bool, default=False
        Leave silent what is below `threshold`, and (``rc``) what would fire after the last step. Without it, such
        values fire in the last step.
    threshold : float, default=0.01
        In (0, 1), intensity.
    alpha : float, default=99
        Compression of ``log``; 99 spreads two decades over the window.
    tau : float, optional
        Time constant of ``rc`` in steps; by default ``n / ln 2``, with which u = 2 threshold fires last.
    low, high, quantile : float, optional
        Input range, see `IntensityEncoder`.

    References
    ----------
    Thorpe, Delorme and Van Rullen (2001), doi:10.1016/S0893-6080(01)00083-1.
    Eshraghian et al. (2023), doi:10.1109/JPROC.2023.3308088 (the ``rc`` law).

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import LatencyEncoder
    >>> encoder = LatencyEncoder(5, low=0, high=1)
    >>> encoder(torch.tensor([[[1.0, 0.5]]])).flatten().tolist()
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        steps_per_sample: int = 16,
        mode: str = "linear",
        *,
        clip: bool = False,
        threshold: float = 0.01,
        alpha: float = 99.0,
        tau: float | None = None,
        low: float | None = None,
        high: float | None = None,
        quantile: float = 0.0,
    ) -> None:
        super().__init__(steps_per_sample, low=low, high=high, quantile=quantile)
        check_number(steps_per_sample, "steps_per_sample", low=2, integer=True)
        self.mode = check_choice(mode, ("linear", "log", "rc"), "mode")
        self.clip = clip
        self.threshold = check_number(threshold, "threshold", low=0, high=1, closed="neither")
        self.alpha = check_number(alpha, "alpha", low=0, high=1e30, closed="right")
        if tau is not None and mode != "rc":
            raise InputError(f"tau={tau!r} has no meaning in mode {mode!r}.")
        last = steps_per_sample - 1
        self.tau = last / math.log(2) if tau is None else check_number(tau, "tau", low=0, closed="neither")

    def _encode(self, x: Tensor) -> Tensor:
        intensity = self._intensity(x)
        last = self.steps_per_sample - 1
        times = self._times(intensity).round()
        fires = torch.ones_like(times, dtype=torch.bool)
        if self.clip:
            fires = (intensity >= self.threshold) & (times <= last)
        return spike_at(times.clamp(max=last), self.steps_per_sample, fires, x.dtype)

    def _times(self, intensity: Tensor) -> Tensor:
        """Exact spike times in steps, before rounding; infinite for what never reaches the ``rc`` threshold."""
        last = self.steps_per_sample - 1
        if self.mode == "linear":
            return last * (1 - intensity)
        if self.mode == "log":
            return last * (1 - torch.log1p(self.alpha * intensity) / math.log1p(self.alpha))
        excess = (intensity - self.threshold).clamp(min=0)
        return self.tau * torch.log(intensity.clamp(min=self.threshold) / excess)

    def _decode(self, codes: Tensor) -> Tensor:
        times = codes.argmax(dim=1).to(codes.dtype).squeeze(3)
        fired = codes.amax(dim=1).squeeze(3) > 0
        early = 1 - times / (self.steps_per_sample - 1)
        if self.mode == "linear":
            intensity = early
        elif self.mode == "log":
            intensity = torch.expm1(early * math.log1p(self.alpha)) / self.alpha
        else:
            intensity = (self.threshold / -torch.expm1(-times / self.tau)).clamp(max=1)
        return self._value(torch.where(fired, intensity, torch.zeros_like(intensity)))

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}, mode={self.mode!r}"
