"""Layers of which converted networks are made, beside those of torch and `spikeneuro.nn`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro import ops
from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.nn import LIF, Carry, LIFResult, OverTime


class IntegrateAndFire(LIF):
    r"""Integrate-and-fire neurons without leak, for a rate code.

    .. math::

        u_t = v_{t-1} + x_t, \quad s_t = H(u_t \ge \theta), \quad v_t = u_t - \theta \, s_t,
        \quad v_0 = initial \cdot \theta

    Under a constant input x and for ``initial`` not below 0, the spikes after T steps are
    :math:`\mathrm{clip}(\lfloor x T / \theta + initial \rfloor, 0, T)`: with ``initial=0.5`` the rate is x / θ, clipped
    to [0, 1] and rounded to the nearest multiple of 1 / T.

    Parameters
    ----------
    threshold : float, default 1
        Threshold θ, above 0.
    initial : float or Tensor, default 0.5
        Membrane before the first step, in thresholds: below 1, and a number not below 0 (a tensor, which broadcasts to
        the neurons, may be: it makes up for neurons that fire too often).
    **options
        ``surrogate``, ``backend``, ``dtype`` and ``device`` of `spikeneuro.nn.LIF`.

    Raises
    ------
    InputError
        For a number out of range.

    References
    ----------
    Diehl et al. (2015), doi:10.1109/IJCNN.2015.7280696; Rueckauer et al. (2017), doi:10.3389/fnins.2017.00682 (reset
    by subtraction); Bu et al. (2022), arXiv:2303.04347 (membrane that starts at half the threshold).

    Examples
    --------
    >>> neurons = IntegrateAndFire(threshold=1.0)
    >>> neurons(torch.full((4, 1, 1), 0.5)).flatten().tolist()
    [1.0, 0.0, 1.0, 0.0]
    """

    initial: Tensor

    def __init__(self, threshold: float = 1.0, initial: float | Tensor = 0.5, **options: Any) -> None:
        check_number(threshold, "threshold", low=0.0, closed="neither")
        if not isinstance(initial, Tensor):
            check_number(initial, "initial", low=0.0, high=1.0, closed="left")
        elif not bool((initial < 1).all()):  # NaN is not below 1 either
            raise InputError(f"initial must be below 1 threshold everywhere, got up to {initial.max().item():g}.")
        super().__init__((), beta=1.0, threshold=threshold, reset="subtract", comparison=">=", dt=1.0, **options)
        self.register_buffer("initial", torch.as_tensor(initial).to(self._get("threshold")))

    def run(
        self,
        x: Tensor,
        state: Any = None,
        record: Sequence[str] = (),
        *,
        mask: Tensor | None = None,
    ) -> LIFResult:
        """Run a piece of a sequence and return its state and traces, as `LIF.run`; see there.

        Parameters
        ----------
        x : Tensor
            Input current, (time, batch, *features).
        state : LIFState, optional
            State before the first step; by default the membrane is at ``initial * threshold``.
        record : sequence of str
            Traces to return.
        mask : Tensor, optional
            Rhythm, 0 (OFF) or 1 (ON).

        Returns
        -------
        LIFResult
            Spikes, final state, traces.
        """
        if state is None or state.v is None:
            start = (self.initial * self._get("threshold")).expand(x.shape[1:])
            state = (state or ops.LIFState())._replace(v=start.to(x))
        return super().run(x, state, record, mask=mask)

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        initial = f"{self.initial.item():g}" if self.initial.dim() == 0 else f"<{tuple(self.initial.shape)}>"
        return f"threshold={self._get('threshold').item():g}, initial={initial}"


class SpikingMaxPool(nn.Module):
    r"""Max pooling of spikes whose rate is the maximum of the rates, exactly, after any number of steps.

    With :math:`n_t` the spikes a neuron has emitted up to step t, and W the neurons of a window,

    .. math:: s_t = H\big(\max_{W} n_t - \max_{W} n_{t-1}\big)

    A count grows by at most one a step, and so does the maximum. (The maximum of the spikes themselves would fire
    whenever any of the window does, which is too often.)

    Parameters
    ----------
    pool : nn.Module
        Max pooling of torch, on (batch, *features).

    Examples
    --------
    >>> pool = SpikingMaxPool(nn.MaxPool1d(2))
    >>> spikes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).reshape(3, 1, 1, 2)
    >>> pool(spikes).flatten().tolist()
    [1.0, 0.0, 1.0]
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = OverTime(pool)

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Return the pooled spikes.

        Parameters
        ----------
        x : Tensor
            Spikes, (time, batch, *features).
        carry : Carry, optional
            Where the counts so far are found and left.

        Returns
        -------
        Tensor
            Spikes, (time, batch, *pooled features).
        """
        counts, before = (None, None) if carry is None or carry.state is None else carry.state
        pooled = []
        # Step by step: a sum along the slowest axis in one call takes several times as long.
        for spikes in x.split(1):
            counts = spikes if counts is None else counts + spikes
            pooled.append(self._pooled(counts))
        most = torch.cat(pooled)
        if before is None:
            before = torch.zeros_like(most[:1])
        if carry is not None:
            carry.state = counts, most[-1:]
        previous = torch.cat([before, most[:-1]])
        # A comparison, so that the result is known to be spikes; the derivative is that of the difference.
        grown = (most > previous).to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            difference = most - previous
            grown = grown + (difference - difference.detach())
        return grown

    def _pooled(self, counts: Tensor) -> Tensor:
        if counts.dim() != 5:
            pooled: Tensor = self.pool(counts)
            return pooled
        # torch pools images on a CPU ten times as fast with the channels innermost.
        inner = counts[0].contiguous(memory_format=torch.channels_last)
        pooled = self.pool.module(inner).contiguous()
        return pooled.unsqueeze(0)


class ChannelAffine(nn.Module):
    """Each channel times a number plus a number: batch normalisation that no layer before it can take in.

    Parameters
    ----------
    scale, bias : Tensor
        (channels,).
    """

    def __init__(self, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(scale), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) -> the same."""
        shape = (-1, *[1] * (x.dim() - 2))
        return x * self.weight.reshape(shape) + self.bias.reshape(shape)


class Rescale(nn.Module):
    """A number times what comes in, where two scales meet.

    Parameters
    ----------
    factor : float
        The number.
    """

    factor: Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return the product."""
        return x * self.factor

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"{self.factor.item():g}"


class Sum(nn.Module):
    """Sum of the inputs: where a residual connection ends."""

    def forward(self, *terms: Tensor) -> Tensor:
        """Return the sum."""
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class BatchSize(int):
    """The number of samples of an example batch, which stands for that of any batch."""


class Apply(nn.Module):
    """A function of one tensor with fixed further arguments, such as a flattening or a mean.

    Parameters
    ----------
    function : callable or str
        Function, or name of a method of tensors.
    args, kwargs : tuple, dict
        Arguments after the tensor; a `BatchSize` is replaced by the number of samples at hand.
    """

    def __init__(self, function: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.function, self.args, self.kwargs = function, args, kwargs

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ...) -> (batch, ...)."""

        def now(value: Any) -> Any:
            if isinstance(value, BatchSize):
                return len(x)
            return type(value)(now(item) for item in value) if isinstance(value, (tuple, list)) else value

        args, kwargs = now(self.args), {name: now(value) for name, value in self.kwargs.items()}
        function = getattr(torch.Tensor, self.function) if isinstance(self.function, str) else self.function
        result = function(x, *args, **kwargs)
        if not isinstance(result, Tensor):
            raise InputError(f"{self.name} returned {type(result).__name__}, not a tensor.")
        return result

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function if isinstance(self.function, str) else getattr(self.function, "__name__", "function")

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return ", ".join([self.name, *map(repr, self.args), *(f"{k}={v!r}" for k, v in self.kwargs.items())])
