"""Rate code: intensity as the probability of a spike in each step."""

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders.base import IntensityEncoder
from spikeneuro.errors import InputError


class RateEncoder(IntensityEncoder):
    """Rate code: every step spikes independently with a probability that follows the intensity.

    With intensity u in [0, 1] (see `low`, `high`),

    - ``bernoulli``: ``P(spike) = clamp(gain u + offset, 0, 1)``;
    - ``poisson``: ``P(spike) = f_max dt u``, a Poisson process of rate ``f_max u`` in Hz at first order in dt.

    Output shape: ``(times K, batch, channels)``, images ``(K, batch, channels, height, width)``. The decoded
    intensity is the observed frequency put back through the formula; its standard error is
    ``sqrt(P (1 - P) / K) / gain`` (Poisson: ``/ (f_max dt)``), so K = 100 steps still leave 5 % of the range.

    In training mode every trial of a batch gets numbers of its own. After ``encoder.eval()`` all trials get the same
    ones, so that what a network predicts from a trial does not depend on what else is in the batch.

    Uniform numbers are drawn in time order, on the generator's device (CPU by default, so that a seed gives the same
    spikes on every device), and for that reason snnTorch's ``spikegen.rate``, which draws from the global generator
    only, is not used.

    Parameters
    ----------
    steps_per_sample : int, default=1
        K.
    mode : {"bernoulli", "poisson"}
        Which probability.
    gain, offset : float, optional
        Of the Bernoulli mode; 1 and 0 by default.
    f_max, dt : float, optional
        Of the Poisson mode: rate at u = 1 in Hz (default 100), and duration of one step in seconds (default 0.001;
        ``1 / (sfreq K)`` for a signal). ``f_max dt`` must not exceed 1.
    random_state : int, optional
        The same input then gives the same spikes at every call. With None, spikes are drawn from torch's global
        generator, as dropout is, and change from call to call. A `generator` given to the call goes before both.
    low, high, quantile : float, optional
        Input range, see `IntensityEncoder`.

    References
    ----------
    Dayan and Abbott (2001), Theoretical Neuroscience, section 1.4 (homogeneous Poisson process).

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import RateEncoder
    >>> encoder = RateEncoder(1000, low=0, high=1, random_state=0)
    >>> spikes = encoder(torch.tensor([[[0.25]]]))
    >>> spikes.shape, abs(spikes.mean().item() - 0.25) < 0.05
    (torch.Size([1000, 1, 1]), True)
    """

    random = True

    def __init__(
        self,
        steps_per_sample: int = 1,
        mode: str = "bernoulli",
        *,
        gain: float | None = None,
        offset: float | None = None,
        f_max: float | None = None,
        dt: float | None = None,
        random_state: int | None = None,
        low: float | None = None,
        high: float | None = None,
        quantile: float = 0.0,
    ) -> None:
        super().__init__(steps_per_sample, low=low, high=high, quantile=quantile)
        self.mode = check_choice(mode, ("bernoulli", "poisson"), "mode")
        foreign = {"f_max": f_max, "dt": dt} if mode == "bernoulli" else {"gain": gain, "offset": offset}
        for name, value in foreign.items():
            if value is not None:
                raise InputError(f"{name}={value!r} has no meaning in mode {mode!r}.")
        if mode == "bernoulli":
            self.gain = check_number(1.0 if gain is None else gain, "gain", low=0, closed="neither")
            self.offset = check_number(0.0 if offset is None else offset, "offset", low=-1, high=1)
        else:
            f_max = check_number(100.0 if f_max is None else f_max, "f_max", low=0, closed="neither")
            dt = check_number(0.001 if dt is None else dt, "dt", low=0, closed="neither")
            if f_max * dt > 1:
                raise InputError(f"f_max * dt = {f_max:g} Hz * {dt:g} s is above 1 and no probability; use more steps.")
            self.gain, self.offset = f_max * dt, 0.0
        if random_state is not None:
            check_number(random_state, "random_state", low=0, integer=True)
        self.random_state = random_state

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Encode whole signals or images; see `Encoder.forward`.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times) or (batch, channels, height, width)
            Finite values.
        generator : torch.Generator, optional
            Where the uniform numbers come from; it is advanced.

        Returns
        -------
        Tensor of shape (steps, batch, channels) or (steps, batch, channels, height, width)
            Zeros and ones.
        """
        if generator is None and self.random_state is not None:
            generator = torch.Generator().manual_seed(self.random_state)
        return self._finished(self._draw(self._time_first(x), generator), x)

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode one piece of a longer signal; the state is that of the random generator.

        Parameters
        ----------
        x : Tensor of shape (batch, channels, times)
            The next piece.
        state : Tensor, optional
            As returned by the call before. None starts from `random_state`, or from a seed drawn for the purpose.

        Returns
        -------
        spikes : Tensor of shape (steps, batch, channels)
            Zeros and ones; pieces give the same as the whole.
        state : Tensor
            State of the generator after this piece.
        """
        generator = torch.Generator()
        if state is not None:
            generator.set_state(state)
        elif self.random_state is not None:
            generator.manual_seed(self.random_state)
        else:
            generator.manual_seed(int(torch.randint(2**62, ())))
        return self(x, generator), generator.get_state()

    def _draw(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        probability = (self.gain * self._intensity(x) + self.offset).clamp(0, 1).unsqueeze(1)
        n_draws = x.shape[1] if self.training else 1  # trials of the batch
        shape = (x.shape[0], self.steps_per_sample, n_draws, *x.shape[2:])
        device = torch.device("cpu") if generator is None else generator.device
        uniform = torch.rand(shape, dtype=x.dtype, device=device, generator=generator)
        return (uniform.to(x.device) < probability).to(x.dtype)

    def _encode(self, x: Tensor) -> Tensor:
        return self._draw(x, None)

    def _decode(self, codes: Tensor) -> Tensor:
        frequency = codes.mean(dim=1).squeeze(3)
        return self._value(((frequency - self.offset) / self.gain).clamp(0, 1))

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}, mode={self.mode!r}"
