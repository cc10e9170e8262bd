"""Rhythms: objects that say when each neuron of a layer is ON, given to the layer; fixed, the same for every sample."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.nn.rhythm_pattern import RhythmPattern, RhythmWarning

UNITS = ("steps", "seconds", "hertz")
ROUNDINGS = ("round", "ceil", "none")
ARRANGEMENTS = ("ramp", "drawn")
#: Frequency bands of EEG in hertz.
BANDS = {"delta": (0.5, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0), "gamma": (30.0, 80.0)}

#: One number for all neurons, a range over the neurons, or a tensor with a value per neuron.
Range = float | Sequence[float] | Tensor | NDArray[np.float64]


class Modulation(ABC):
    """Base of what can be given to a layer as its rhythm."""

    @abstractmethod
    def bind(self, shape: tuple[int, ...], dt: float | None = None) -> nn.Module:
        """Return the modulation of a layer of this shape and length of a step."""


@dataclass(frozen=True, eq=False)
class Rhythm(Modulation):
    r"""Neurons that are ON during a part of their cycle and OFF during the rest.

    .. math:: m_t = 1 \text{ where } (t - delay) \bmod cycle < on, \quad on = rounding(duty \cdot cycle)

    Given to a layer, ``LIF(64, rhythm=Rhythm(cycle=(10, 100), duty=(0.01, 0.1)))``. Where :math:`m_t = 0` the membrane
    keeps its value, no spike is emitted, and the gradient passes unchanged from :math:`v_t` to :math:`v_{t-1}`;
    synaptic current and adaptation run on. It is never trained, and the same for every sample.

    `cycle` and `duty` are a number for all neurons, a range ``(first, last)``, or a tensor with a value per neuron. A
    range is spread evenly over the neurons in their order, as published: cycle, duty and phase then rise together with
    the neuron's number. With ``across="drawn"`` each is drawn by itself instead.

    Parameters
    ----------
    cycle : float, (float, float) or Tensor
        Length of the cycle in `unit`; with "hertz" its frequency, at most that of a cycle of two steps.
    duty : float, (float, float) or Tensor
        Share of the cycle that is ON, in [0, 1].
    phase : float or Tensor, default 0
        A number p spreads the delays of the first ON part from 0 to ``int(p * longest cycle)`` steps over the neurons;
        p in [0, 1]. A tensor gives the delay of each neuron, in steps, or in seconds with "seconds" and "hertz".
    unit : {"steps", "seconds", "hertz"}, default "steps"
        Unit of `cycle`.
    dt : float, optional
        Length of a step in seconds, needed with "seconds" and "hertz"; the same as the layer's.
    rounding : {"round", "ceil", "none"}, default "round"
        How cycle and ON time become whole steps: to the nearest, a half to the even number, as published for permuted
        sequential MNIST and DVS gestures; or up, as for the others. "none" leaves them as they are, so that a frequency
        is kept exactly over any time, while single cycles differ by a step. Delays are rounded to the nearest.
    min_on : {0, 1}, default 0
        Least number of ON steps in a cycle. With 0, as published, a small duty can round to neurons that are never ON.
    across : {"ramp", "drawn"}, default "ramp"
        Whether ranges are spread in the order of the neurons or drawn uniformly.
    wrap : bool, default False
        Whether a delay of a whole cycle or more is taken modulo the cycle. As published it is not: such a neuron starts
        its cycle without delay.
    generator : torch.Generator, optional
        Where values are drawn from when a layer is built; torch's global one by default, as for weights.

    Raises
    ------
    InputError
        For values out of range, a missing `dt`, or options that do not go together.

    Warns
    -----
    RhythmWarning
        When a layer is built, if its neurons are all ON at every step, so that nothing is modulated, or if some are
        never ON.

    See Also
    --------
    MixRhythm : The other mask of the publication.

    References
    ----------
    Yan et al. (2025), doi:10.1038/s41467-025-63771-x.

    Examples
    --------
    >>> pattern = Rhythm(cycle=(1, 50), duty=(0.1, 0.5), phase=0.5, rounding="ceil").bind((64,))
    >>> round(pattern.on_fraction(784), 4)
    0.3483
    """

    cycle: Range
    duty: Range
    phase: float | Tensor = 0.0
    unit: str = "steps"
    dt: float | None = None
    rounding: str = "round"
    min_on: int = 0
    across: str = "ramp"
    wrap: bool = False
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        check_choice(self.unit, UNITS, "unit")
        check_choice(self.rounding, ROUNDINGS, "rounding")
        check_choice(self.across, ARRANGEMENTS, "across")
        check_number(self.min_on, "min_on", low=0, high=1, integer=True)
        if (self.unit == "steps") != (self.dt is None):
            needs = "is not used" if self.unit == "steps" else "is needed"
            raise InputError(f"dt {needs} with unit={self.unit!r}, got dt={self.dt!r}.")
        if self.dt is not None:
            check_number(self.dt, "dt", low=0.0, closed="neither")
        if self.unit == "hertz":
            check_values(self.cycle, "cycle", 0.0, 0.5 / (self.dt or 1.0), above=True)
        else:
            check_values(self.cycle, "cycle", self.dt or 1.0, np.inf)
        check_values(self.duty, "duty", 0.0, 1.0)
        if isinstance(self.phase, Tensor | np.ndarray):
            check_values(self.phase, "phase", 0.0, np.inf)
        else:
            check_number(self.phase, "phase", low=0.0, high=1.0)

    @classmethod
    def from_band(cls, band: str, *, dt: float, duty: Range = 0.5, **options: Any) -> "Rhythm":
        """Return the rhythm whose frequencies span a band of EEG, kept exactly over time.

        Parameters
        ----------
        band : {"delta", "theta", "alpha", "beta", "gamma"}
            0.5 to 4, 4 to 8, 8 to 13, 13 to 30 or 30 to 80 Hz.
        dt : float
            Length of a step in seconds.
        duty : float, (float, float) or Tensor, default 0.5
            Share of the cycle that is ON.
        **options
            Those of `Rhythm`.

        Returns
        -------
        Rhythm
            With ``unit="hertz"`` and ``rounding="none"`` unless options say otherwise.

        Raises
        ------
        InputError
            For an unknown band, or one that steps of `dt` are too long for.

        Examples
        --------
        >>> Rhythm.from_band("theta", dt=0.004).bind((5,)).cycle
        tensor([62.5000, 50.0000, 41.6667, 35.7143, 31.2500])
        """
        span = BANDS[check_choice(band, BANDS, "band")]
        return cls(**{"cycle": span, "unit": "hertz", "rounding": "none"} | options, duty=duty, dt=dt)

    def bind(self, shape: tuple[int, ...], dt: float | None = None) -> RhythmPattern:
        """Lay the rhythm out over the neurons of a layer.

        Parameters
        ----------
        shape : tuple of int
            Shape of the layer: ``(neurons,)``, ``(channels, 1, 1)``, or ``()`` for one pattern.
        dt : float, optional
            Length of the layer's step in seconds.

        Returns
        -------
        RhythmPattern
            The layer's mask, and its statistics.

        Raises
        ------
        InputError
            If values per neuron do not fit the shape, or the layer's step is of another length.
        """
        check_step(self.dt, dt)
        n = math.prod(shape)
        cycle = self._in_steps(self._values(self.cycle, "cycle", n))
        longest = float(cycle.max())
        cycle = np.maximum(self._whole(cycle), 1.0)
        on = self._whole(self._values(self.duty, "duty", n) * cycle)
        if self.min_on:
            on = np.maximum(on, 1.0)
        if self.rounding == "none" and bool((on < 1.0).any()):
            raise InputError(
                f"rounding='none' needs at least one ON step a cycle, got duty * cycle = {on.min():.3g} steps; "
                "raise the duty or take min_on=1."
            )
        delay = self._delays(n, longest)
        delay = delay % cycle if self.wrap else np.where(delay < cycle, delay, 0.0)
        pattern = RhythmPattern(torch.from_numpy(cycle), torch.from_numpy(on), torch.from_numpy(delay), shape)
        _warn(pattern)
        return pattern

    def _in_steps(self, cycle: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.dt is None:
            return cycle
        seconds = 1.0 / cycle if self.unit == "hertz" else cycle
        steps: NDArray[np.float64] = np.round(seconds / self.dt, 9)  # 0.028 s / 0.004 s is 7, not 7.000000000000001
        return steps

    def _values(self, given: Range, name: str, n: int) -> NDArray[np.float64]:
        return spread(given, name, n, self.across, self.generator)

    def _whole(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.rounding == "none":
            return steps
        whole: NDArray[np.float64] = np.round(steps) if self.rounding == "round" else np.ceil(steps)
        return whole

    def _delays(self, n: int, longest: float) -> NDArray[np.float64]:
        if isinstance(self.phase, Tensor | np.ndarray):
            delay = spread(self.phase, "phase", n) / (self.dt or 1.0)
        elif self.across == "ramp":
            delay = np.linspace(0, int(self.phase * longest), n)
        else:
            latest = int(self.phase * longest)
            delay = torch.randint(latest + 1, (n,), generator=self.generator).double().numpy()
        return delay if self.rounding == "none" else np.round(delay)


@dataclass(frozen=True)
class MixRhythm(Modulation):
    """Neurons that are ON for one step of every cycle, short and long cycles side by side.

    The lengths from `shortest` to `longest` follow each other over the neurons, and again from the start: neuron k has
    cycle ``shortest + k mod n`` of the n lengths, and begins ``k div n`` steps late. This is the older mask, with which
    the publication's networks label the waves of an ECG. There the delayed masks are rolled over the whole recording,
    so that its end enters at the start; here every neuron keeps its cycle, which can differ in the first steps.

    Parameters
    ----------
    shortest, longest : int
        Range of the cycles in steps, at least 1.

    Raises
    ------
    InputError
        For lengths below 1 or in the wrong order.

    References
    ----------
    Yan et al. (2025), doi:10.1038/s41467-025-63771-x.

    Examples
    --------
    >>> MixRhythm(1, 3).bind((5,)).mask(6)[:, 0].int().T
    tensor([[1, 1, 1, 1, 1, 1],
            [1, 0, 1, 0, 1, 0],
            [1, 0, 0, 1, 0, 0],
            [1, 1, 1, 1, 1, 1],
            [0, 1, 0, 1, 0, 1]], dtype=torch.int32)
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        check_number(self.shortest, "shortest", low=1, integer=True)
        check_number(self.longest, "longest", low=self.shortest, integer=True)

    def bind(self, shape: tuple[int, ...], dt: float | None = None) -> RhythmPattern:  # noqa: ARG002
        """Lay the rhythm out over the neurons of a layer; see `Rhythm.bind`."""
        number = torch.arange(math.prod(shape))
        lengths = self.longest - self.shortest + 1
        cycle = self.shortest + number % lengths
        pattern = RhythmPattern(cycle, torch.ones_like(cycle), number // lengths % cycle, shape)
        _warn(pattern)
        return pattern


def bound(rhythm: Modulation | None, shape: tuple[int, ...], dt: float | None, device: Any = None) -> nn.Module | None:
    """Modulation of a layer from what it was given."""
    if rhythm is None:
        return None
    if not isinstance(rhythm, Modulation):
        raise InputError(f"rhythm must be a Rhythm or another modulation, got {type(rhythm).__name__}.")
    return rhythm.bind(shape, dt).to(device)


def check_step(own: float | None, layers: float | None) -> None:
    """Raise if rhythm and layer count time differently."""
    if own is not None and layers is not None and not math.isclose(own, layers, rel_tol=1e-6):
        raise InputError(f"the rhythm has dt={own!r} and its layer dt={layers!r}; give both the same.")


def check_values(given: Any, name: str, low: Any, high: float, *, above: bool = False) -> None:
    """Raise for numbers outside [low, high], or (low, high] with `above`, or a range that is none."""
    closed = "right" if above else "both"
    if isinstance(given, Tensor | np.ndarray):
        flat = as_doubles(given)
        if not flat.size or not np.isfinite(flat).all():
            raise InputError(f"{name} must be finite values, one per neuron, got {flat.size} of them.")
        check_number(float(flat.min()), f"the least of {name}", low=low, high=high, closed=closed)
        check_number(float(flat.max()), f"the largest of {name}", low=low, high=high, closed=closed)
        return
    if isinstance(given, str) or (isinstance(given, Sequence) and len(given) != 2):
        raise InputError(f"{name} must be a number, a range (first, last), or a tensor of values, got {given!r}.")
    for value in given if isinstance(given, Sequence) else (given,):
        check_number(value, name, low=low, high=high, closed=closed)
        if not math.isfinite(value):
            raise InputError(f"{name} must be finite, got {value!r}.")


def as_doubles(given: Tensor | NDArray[np.float64]) -> NDArray[np.float64]:
    """Values in double precision; those of lower precision as the decimal numbers they stand for.

    0.1 in single precision is a little more than 0.1 in double: of ten steps it would be rounded up to two.
    """
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()
    flat = np.asarray(given).ravel()
    if flat.dtype in (np.float16, np.float32):
        flat = flat.astype(str)
    doubles: NDArray[np.float64] = flat.astype(np.float64)
    return doubles


def spread(
    given: Range, name: str, n: int, across: str = "ramp", generator: torch.Generator | None = None
) -> NDArray[np.float64]:
    """One value per neuron of n, in double precision as in the published programs."""
    if isinstance(given, Tensor | np.ndarray):
        values = as_doubles(given)
        if values.size != n:
            raise InputError(f"{name} has {values.size} values for a layer of {n} neurons.")
        return values
    first, last = given if isinstance(given, Sequence) else (given, given)
    if across == "ramp":
        return np.linspace(first, last, n)
    drawn = torch.rand(n, generator=generator, dtype=torch.float64).numpy()
    return np.asarray(first + (last - first) * drawn)


def _warn(pattern: RhythmPattern) -> None:
    dead, n = pattern.dead, pattern.n_neurons
    if len(pattern.always_on) == n:
        warnings.warn(
            "rhythm: the mean ON fraction is 1: every neuron is ON at every step, so that nothing is modulated; "
            "take a smaller duty, or rounding='round'.",
            RhythmWarning,
            stacklevel=2,
        )
    elif len(dead):
        shown = ", ".join(str(int(k)) for k in dead[:10]) + (", ..." if len(dead) > 10 else "")
        warnings.warn(
            f"rhythm: {len(dead)} of {n} neurons are never ON ({shown}); take min_on=1, rounding='ceil' or a larger "
            "duty, unless that is meant.",
            RhythmWarning,
            stacklevel=2,
        )
