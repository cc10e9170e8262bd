"""Search of distributions by Bayesian optimisation: one trial after the other, each written down."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikeneuro._files import write_atomic
from spikeneuro._random import scoped_seed
from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.training.search.distributions import Range

Array = NDArray[Any]

DIRECTIONS = ("maximize", "minimize")
METHODS = ("bayesian", "random")

#: Points at which the expected improvement is looked at: anywhere, and near the best trials.
N_CANDIDATES = 512
N_NEAR = 256
_FORMAT = 1


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes
    ----------
    number : int
        Its number, from 0.
    point : tuple of float
        Where in the space it is, between 0 and 1.
    values : dict
        What to try, by the names of the space: distributions and numbers.
    score : float or None
        What came of it; None before.
    """

    number: int
    point: tuple[float, ...]
    values: dict[str, Any]
    score: float | None = None


class DistributionSearch:
    r"""Bayesian optimisation over distributions of neuron parameters.

    A Gaussian process with the kernel `spikeneuro.training.search.kernel.WassersteinMatern` is fitted to all trials,
    and the next one is where the improvement over the best is expected to be largest,
    :math:`E[\max(f - f_{best}, 0)]`. Distances within each member of the space are measured in units of the
    root-mean-square distance of two of its points, so that members of different units can be added. The first trials
    are spread evenly (a scrambled Sobol sequence).

    What is proposed depends on the space, the seed and the trials before, and on nothing else: a search that was
    interrupted goes on as if it had not been.

    Parameters
    ----------
    space : mapping of str to Range
        What to search, by name: `GammaRange`, `MixtureRange`, `NumberRange`.
    direction : {"maximize", "minimize"}, default "maximize"
        What is good.
    n_initial : int, optional
        Trials before the process is used; default twice the dimensions of the space and one.
    method : {"bayesian", "random"}, default "bayesian"
        With "random" all points are drawn uniformly, to compare at equal effort.
    seed : int, default 0
        Draws the points.
    path : str or Path, optional
        File that holds the trials: read at the start if there is one, written whole after every trial.

    Raises
    ------
    InputError
        For an empty space or one with something else in it, a number out of range, and for a file that belongs to
        another search.
    MissingDependencyError
        On the first proposal of the process, if botorch (extra ``search``) is missing.

    References
    ----------
    Chakraborty and Mukhopadhyay (2023), doi:10.3389/fnins.2023.994517; Ament et al. (2023), arXiv:2310.20708 (the
    logarithm of expected improvement).

    Examples
    --------
    >>> from spikeneuro.training.search import GammaRange
    >>> search = DistributionSearch({"tau": GammaRange((0.01, 0.2), (1.0, 30.0))}, n_initial=3)
    >>> best = search.run(lambda tau: -abs(tau.mean - 0.05), n_trials=4)
    >>> len(search.trials), best.score == max(trial.score for trial in search.trials)
    (4, True)
    """

    def __init__(
        self,
        space: Mapping[str, Range],
        *,
        direction: str = "maximize",
        n_initial: int | None = None,
        method: str = "bayesian",
        seed: int = 0,
        path: str | Path | None = None,
    ) -> None:
        if not isinstance(space, Mapping) or not space:
            raise InputError("space must name one or more ranges, such as {'tau': GammaRange((0.01, 0.1))}.")
        for name, part in space.items():
            if not isinstance(part, Range):
                raise InputError(f"space[{name!r}] must be a range such as GammaRange, got {type(part).__name__}.")
        self.space = dict(space)
        self.direction = check_choice(direction, DIRECTIONS, "direction")
        self.method = check_choice(method, METHODS, "method")
        self.seed = int(check_number(seed, "seed", low=0, integer=True))
        self.dimensions = sum(part.dimensions for part in self.space.values())
        n_initial = 2 * self.dimensions + 1 if n_initial is None else n_initial
        self.n_initial = int(check_number(n_initial, "n_initial", low=2, integer=True))
        self.path = None if path is None else Path(path)
        self._trials: list[Trial] = []
        self._spread: Array | None = None
        if self.path is not None and self.path.exists():
            self._read(self.path)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials that have a score, in their order."""
        return tuple(self._trials)

    @property
    def best(self) -> Trial:
        """The best trial so far; of equals the first."""
        if not self._trials:
            raise InputError("the search has no trial yet; call run, or ask and tell.")
        return max(self._trials, key=self._goodness)

    def run(self, objective: Callable[..., float], n_trials: int) -> Trial:
        """Try until there are `n_trials` trials, those read from the file included.

        Parameters
        ----------
        objective : callable
            Called with the members of the space by name; returns the score. Score on validation data, never on those
            of the test.
        n_trials : int
            How many trials there shall be.

        Returns
        -------
        Trial
            The best.
        """
        n_trials = int(check_number(n_trials, "n_trials", low=1, integer=True))
        while len(self._trials) < n_trials:
            trial = self.ask()
            self.tell(trial, objective(**trial.values))
        return self.best

    def ask(self) -> Trial:
        """Return the next trial to make; the same one until `tell` is called.

        Returns
        -------
        Trial
            Without a score.
        """
        number = len(self._trials)
        if self.method == "random":
            point = np.random.default_rng((self.seed, number)).random(self.dimensions)
        elif number < self.n_initial:
            point = _sobol(self.dimensions, self.n_initial, self.seed)[number]
        else:
            point = self._most_promising(number)
        return Trial(number, tuple(map(float, point)), self._values(point))

    def tell(self, trial: Trial, score: float) -> None:
        """Add what came of a trial, and write all down.

        Parameters
        ----------
        trial : Trial
            What `ask` returned.
        score : float
            Its score, finite.

        Raises
        ------
        InputError
            If the trial is not the next one, or the score is no finite number.
        """
        if trial.number != len(self._trials):
            raise InputError(f"trial {trial.number} is not the next one, which is {len(self._trials)}; ask for it.")
        try:
            number = float(score)
        except (TypeError, ValueError) as error:
            raise InputError(f"the score of trial {trial.number} must be a number, got {score!r}.") from error
        if not math.isfinite(number):
            raise InputError(f"the score of trial {trial.number} is {number}, with {trial.values}; give a finite one.")
        self._trials.append(Trial(trial.number, trial.point, trial.values, number))
        if self.path is not None:
            write_atomic(self.path, json.dumps(self._state(), indent=1))

    def embed(self, points: Array) -> Array:
        """Return the embeddings of points, by which the process compares them.

        Parameters
        ----------
        points : ndarray, shape (n, dimensions)
            Between 0 and 1.

        Returns
        -------
        ndarray, shape (n, features)
            Quantiles of the members one after the other, each in units of its spread.
        """
        if self._spread is None:
            self._spread = self._measured_spread()
        parts = self._embedded(np.asarray(points, dtype=np.float64))
        return np.concatenate([part / unit for part, unit in zip(parts, self._spread, strict=True)], axis=1)

    def _embedded(self, points: Array) -> list[Array]:
        parts, start = [], 0
        for part in self.space.values():
            own = points[:, start : start + part.dimensions]
            parts.append(np.stack([part.embed(point) for point in own]))
            start += part.dimensions
        return parts

    def _measured_spread(self) -> Array:
        """Root-mean-square distance of two points of each member of the space."""
        parts = self._embedded(_sobol(self.dimensions, 128, 0))
        return np.array([math.sqrt(2.0 * float(part.var(axis=0).sum())) for part in parts])

    def _most_promising(self, number: int) -> Array:
        from spikeneuro.training.search.kernel import fitted, log_expected_improvement

        points = np.array([trial.point for trial in self._trials])
        goodness = np.array([self._goodness(trial) for trial in self._trials])
        deviation = float(goodness.std()) or 1.0
        scores = torch.as_tensor((goodness - goodness.mean()) / deviation)
        candidates = self._candidates(points[np.argsort(-goodness, kind="stable")[:4]], number)
        sizes = [part.shape[1] for part in self._embedded(points[:1])]
        with scoped_seed(self.seed):
            model = fitted(torch.as_tensor(self.embed(points)), scores, sizes)
            gain = log_expected_improvement(model, torch.as_tensor(self.embed(candidates)), float(scores.max()))
        return candidates[int(gain.argmax())]

    def _candidates(self, best: Array, number: int) -> Array:
        generator = np.random.default_rng((self.seed, number))
        anywhere = _sobol(self.dimensions, N_CANDIDATES, int(generator.integers(2**31)))
        # near the best ones, at distances from a hundredth of the range to a third
        reach = 10.0 ** generator.uniform(-2.0, -0.5, (N_NEAR, 1))
        around = best[generator.integers(len(best), size=N_NEAR)]
        near = around + reach * generator.standard_normal((N_NEAR, self.dimensions))
        return np.concatenate([anywhere, np.clip(near, 0.0, 1.0)])

    def _goodness(self, trial: Trial) -> float:
        assert trial.score is not None
        return trial.score if self.direction == "maximize" else -trial.score

    def _values(self, point: Array) -> dict[str, Any]:
        values, start = {}, 0
        for name, part in self.space.items():
            values[name] = part.at(point[start : start + part.dimensions])
            start += part.dimensions
        return values

    def _settings(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "space": {name: repr(part) for name, part in self.space.items()},
            "direction": self.direction,
            "method": self.method,
            "n_initial": self.n_initial,
            "seed": self.seed,
        }

    def _state(self) -> dict[str, Any]:
        trials = [{"point": trial.point, "score": trial.score} for trial in self._trials]
        return {**self._settings(), "trials": trials}

    def _read(self, path: Path) -> None:
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            found = {name: state.get(name) for name in self._settings()}
            trials = [(np.array(row["point"], dtype=np.float64), float(row["score"])) for row in state["trials"]]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} holds no state of a search ({type(error).__name__}); choose another.") from error
        for name, value in self._settings().items():
            if found[name] != value:
                raise InputError(
                    f"{path} is of another search: its {name} is {found[name]!r}, not {value!r}; choose another path."
                )
        for number, (point, score) in enumerate(trials):
            if point.shape != (self.dimensions,) or not math.isfinite(score):
                raise InputError(f"{path} holds a trial {number} that does not fit the space; choose another path.")
            self._trials.append(Trial(number, tuple(map(float, point)), self._values(point), score))


def _sobol(dimensions: int, n: int, seed: int) -> Array:
    engine = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed)
    return engine.draw(n, dtype=torch.float64).numpy()
