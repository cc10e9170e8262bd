"""Population code: overlapping Gaussian receptive fields, each firing the earlier the better it matches."""

import math

import torch
from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.encoders.base import IntensityEncoder, spike_at
from spikeneuro.errors import InputError


class PopulationEncoder(IntensityEncoder):
    """Gaussian receptive fields: m neurons a channel share out its range and fire early near their centre.

    With intensity u in [0, 1] (the range is ``I_min = low``, ``I_max = high``) and fields i = 1 ... m,

    - centre ``c_i = (2 i - 3) / (2 (m - 2))``, so that the outermost lie half a spacing outside the range;
    - width ``sigma = 1 / (gamma (m - 2))``;
    - activation ``g_i = exp(-(u - c_i)**2 / (2 sigma**2))``;
    - one spike at the step nearest to ``(K - 1) (1 - g_i)``, none where ``g_i < cutoff``.

    Time layout: sample t takes the steps t K ... t K + K - 1, and all m fields of a channel fire (or stay silent)
    within them. With K = 1 a spike says only that a field is active. Output shape: ``(times K, batch, channels m)``,
    feature ``c m + i`` being field i (from 0) of channel c; images ``(K, batch, channels m, height, width)``.

    Decoding takes the activations of the two strongest neighbouring fields from their latencies, whose log-ratio is
    linear in u; it needs K > 1 and ``cutoff <= exp(-gamma**2 / 2)``, with which two neighbours always fire. Its
    error comes from the rounding of the latencies and falls as 1/K.

    Parameters
    ----------
    steps_per_sample : int, default=11
        K; 11 gives Bohte's ten intervals.
    n_fields : int, default=6
        Number m of fields, at least 3.
    gamma : float, default=1.5
        Spacing of the centres in units of sigma.
    cutoff : float, default=0.1
        In [0, 1): weakest activation that fires.
    low, high, quantile : float, optional
        Input range, see `IntensityEncoder`.

    References
    ----------
    Bohte, Kok and La Poutre (2002), doi:10.1016/S0925-2312(01)00658-0.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import PopulationEncoder
    >>> encoder = PopulationEncoder(11, n_fields=4, low=0, high=1)
    >>> encoder(torch.tensor([[[0.25]]])).argmax(0).tolist()  # centres -0.25, 0.25, 0.75, 1.25; the last is silent
    [[7, 0, 7, 0]]
    """

    def __init__(
        self,
        steps_per_sample: int = 11,
        *,
        n_fields: int = 6,
        gamma: float = 1.5,
        cutoff: float = 0.1,
        low: float | None = None,
        high: float | None = None,
        quantile: float = 0.0,
    ) -> None:
        super().__init__(steps_per_sample, low=low, high=high, quantile=quantile)
        self.features_per_channel = int(check_number(n_fields, "n_fields", low=3, integer=True))
        self.gamma = check_number(gamma, "gamma", low=0, closed="neither")
        self.cutoff = check_number(cutoff, "cutoff", low=0, high=1, closed="left")
        self.spacing = 1 / (n_fields - 2)
        self.sigma = self.spacing / gamma

    def _centres(self, like: Tensor) -> Tensor:
        return (torch.arange(self.features_per_channel, dtype=like.dtype, device=like.device) - 0.5) * self.spacing

    def activations(self, x: Tensor) -> Tensor:
        """Graded activations g of the fields, before they become latencies.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times) or (batch, channels, height, width)
            Finite values.

        Returns
        -------
        Tensor of shape (times, batch, channels, m) or (1, batch, channels, m, height, width)
            Values in [0, 1].
        """
        intensity = self._intensity(self._time_first(x))
        return self._activations(intensity)

    def _activations(self, intensity: Tensor) -> Tensor:
        centres = self._centres(intensity).view(-1, *(1 for _ in intensity.shape[3:]))
        distance = intensity.unsqueeze(3) - centres
        return torch.exp(-(distance**2) / (2 * self.sigma**2))

    def _encode(self, x: Tensor) -> Tensor:
        strength = self._activations(self._intensity(x)).flatten(2, 3)
        times = ((self.steps_per_sample - 1) * (1 - strength)).round()
        return spike_at(times, self.steps_per_sample, strength >= self.cutoff, x.dtype)

    def _decode(self, codes: Tensor) -> Tensor:
        last = self.steps_per_sample - 1
        if last == 0 or self.cutoff > math.exp(-(self.gamma**2) / 2):
            raise InputError(
                f"PopulationEncoder can be decoded with steps_per_sample > 1 and cutoff <= exp(-gamma**2 / 2) = "
                f"{math.exp(-(self.gamma**2) / 2):.3f}, got {self.steps_per_sample} and {self.cutoff:g}."
            )
        codes = codes.movedim(4, -1)
        fired = codes.amax(dim=1) > 0
        strength = (1 - codes.argmax(dim=1).to(codes.dtype) / last).clamp(min=max(self.cutoff, 0.25 / last))
        log_strength = torch.where(fired, strength, torch.zeros_like(strength)).log()
        best = (log_strength[..., :-1] + log_strength[..., 1:]).argmax(dim=-1, keepdim=True)
        left, right = log_strength.gather(-1, best).squeeze(-1), log_strength.gather(-1, best + 1).squeeze(-1)
        middle = self._centres(codes)[best.squeeze(-1)] + self.spacing / 2
        intensity = middle + (right - left) * self.sigma**2 / self.spacing
        return self._value(intensity.clamp(0, 1))

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}, gamma={self.gamma:g}, cutoff={self.cutoff:g}"
