"""Phase codes: the place of a spike in a cycle carries its value."""

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders.base import IntensityEncoder, spike_at


class PhaseEncoder(IntensityEncoder):
    """Phase code: binary digits over the phases of a cycle, or one spike at a phase of an oscillation.

    With intensity u in [0, 1] and P = `period` steps,

    - ``weighted``: phase j of each cycle spikes if binary digit j of u is 1, so that
      ``u ~ sum_j 2**-(j+1) s[j]``, j = 0 ... P-1, for u in [0, 1 - 2**-P] (larger values are held there). The
      decoded intensity is within ``2**-P``. `weights` holds what a spike of each step is worth;
    - ``oscillation``: one spike a cycle at phase ``2 pi (1 - u)`` of a carrier, i.e. in step ``floor(P (1 - u))``,
      the last step for u = 0. Decoded to the middle of the step: within ``1 / (2 P)``. A carrier of f Hz
      has ``P = 1 / (f dt)`` steps.

    Each cycle is repeated `cycles` times, K = period * cycles. Output shape: ``(times K, batch, channels)``, images
    ``(K, batch, channels, height, width)``. A network that reads weighted spikes without their weights (as ordinary
    LIF layers do) gets something else than the value: digits count alike.

    Parameters
    ----------
    period : int, default=8
        P: binary digits (at most 24), or steps of a carrier cycle.
    mode : {"weighted", "oscillation"}
        Which code.
    cycles : int, default=1
        How often each cycle is repeated.
    low, high, quantile : float, optional
        Input range, see `IntensityEncoder`.

    References
    ----------
    Kim et al. (2018), doi:10.1016/j.neucom.2018.05.087 (weighted spikes).
    Hopfield (1995), doi:10.1038/376033a0 (phase of an oscillation).

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import PhaseEncoder
    >>> PhaseEncoder(4, low=0, high=1)(torch.tensor([[[0.75]]])).flatten().tolist()
    [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        period: int = 8,
        mode: str = "weighted",
        *,
        cycles: int = 1,
        low: float | None = None,
        high: float | None = None,
        quantile: float = 0.0,
    ) -> None:
        check_choice(mode, ("weighted", "oscillation"), "mode")
        limit = 24 if mode == "weighted" else 10**6  # float32 holds 24 binary digits
        check_number(period, "period", low=1, high=limit, integer=True)
        check_number(cycles, "cycles", low=1, integer=True)
        super().__init__(period * cycles, low=low, high=high, quantile=quantile)
        self.mode, self.period, self.cycles = mode, period, cycles

    @property
    def weights(self) -> Tensor:
        """What a weighted spike of each of the K steps is worth, shape ``(K,)``; a cycle adds up to the intensity."""
        one_cycle = 2.0 ** -(torch.arange(self.period, dtype=torch.get_default_dtype()) + 1)
        return one_cycle.repeat(self.cycles)

    def _encode(self, x: Tensor) -> Tensor:
        intensity = self._intensity(x)
        cycle = self._digits(intensity) if self.mode == "weighted" else self._one_spike(intensity)
        return cycle.repeat(1, self.cycles, *(1 for _ in x.shape[1:]))

    def _digits(self, intensity: Tensor) -> Tensor:
        number = (intensity * 2**self.period).floor().clamp(max=2**self.period - 1)
        place = 2.0 ** torch.arange(self.period - 1, -1, -1, dtype=number.dtype, device=number.device)
        place = place.view(-1, *(1 for _ in intensity.shape[1:]))
        return (number.unsqueeze(1) % (2 * place) >= place).to(intensity.dtype)

    def _one_spike(self, intensity: Tensor) -> Tensor:
        times = (self.period * (1 - intensity)).floor().clamp(max=self.period - 1)
        return spike_at(times, self.period, torch.ones_like(times, dtype=torch.bool), intensity.dtype)

    def _decode(self, codes: Tensor) -> Tensor:
        codes = codes.squeeze(4)
        if self.mode == "weighted":
            return self._value(torch.einsum("tk...,k->t...", codes, self.weights.to(codes)) / self.cycles)
        phase = (codes[:, : self.period].argmax(dim=1).to(codes.dtype) + 0.5) / self.period
        return self._value(1 - phase)

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}, mode={self.mode!r}, period={self.period}, cycles={self.cycles}"
