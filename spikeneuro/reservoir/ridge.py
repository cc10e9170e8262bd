"""Linear readout trained in closed form."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError

Array = NDArray[Any]

#: Penalties tried by generalised cross-validation, as multiples of the mean eigenvalue of the states' scatter.
GRID = 10.0 ** np.arange(-9, 4)


class RidgeReadout:
    r"""Ridge regression whose sums may be gathered piece by piece, in double precision.

    .. math:: W = Y X^T (X X^T + \alpha I)^{-1}

    with states X (features, samples) and targets Y (outputs, samples), both centred: the constant
    :math:`b = \bar y - W \bar x` is not penalised. With ``alpha="gcv"`` the penalty is the one of a grid that minimises
    the generalised cross-validation error :math:`n \lVert Y - \hat Y \rVert^2 / (n - \operatorname{tr} H)^2` summed
    over the outputs (or of each output), where H maps targets to predictions. Between neighbouring time steps, whose
    states are alike, that error is too small, and the penalty with it.

    Parameters
    ----------
    alpha : float or "gcv"
        The penalty, from 0, or how to find it.
    per_output : bool, default False
        Whether a penalty is found for each output, rather than one for all.

    Attributes
    ----------
    coef_ : ndarray, shape (outputs, features)
        W.
    intercept_ : ndarray, shape (outputs,)
        b.
    alpha_ : ndarray, shape (outputs,)
        The penalties used.
    """

    def __init__(self, alpha: float | str = "gcv", *, per_output: bool = False) -> None:
        if isinstance(alpha, str):
            check_choice(alpha, ("gcv",), "alpha")
        else:
            check_number(alpha, "alpha", low=0.0, high=np.inf, closed="left")
        self.alpha = alpha
        self.per_output = per_output
        self._samples = 0
        self._sums: tuple[Array, ...] | None = None

    def gather(self, states: Array, targets: Array) -> Self:
        """Add samples: states ``(samples, features)``, targets ``(samples, outputs)``."""
        found = (
            states.sum(axis=0), targets.sum(axis=0), states.T @ states, states.T @ targets, (targets**2).sum(axis=0),
        )  # fmt: skip
        self._sums = found if self._sums is None else tuple(a + b for a, b in zip(self._sums, found, strict=True))
        self._samples += len(states)
        return self

    def solve(self) -> Self:
        """Find the weights from what was gathered."""
        if self._sums is None:
            raise InputError("there is no sample to train the readout on.")
        n = self._samples
        states, targets, scatter, cross, power = self._sums
        mean, level = states / n, targets / n
        scatter = scatter - n * np.outer(mean, mean)
        cross = cross - n * np.outer(mean, level)
        power = power - n * level**2
        if not isinstance(self.alpha, str):
            weights = _solved(scatter, cross, float(self.alpha))
            return self._finished(weights.T, mean, level, np.full(len(level), float(self.alpha)))
        values, vectors = linalg.eigh(scatter)
        values = np.maximum(values, 0.0)
        rotated = vectors.T @ cross

        def residuals(alpha: float) -> Array:
            return power - ((values + 2 * alpha) / (values + alpha) ** 2) @ rotated**2

        best = self._least_gcv(values, residuals, n)
        return self._finished((vectors @ (rotated / np.add.outer(values, best))).T, mean, level, best)

    def fit(self, states: Array, targets: Array) -> Self:
        """Find the weights for all samples at once, by whichever of the two forms is smaller.

        Parameters
        ----------
        states : ndarray, shape (samples, features)
            Features may outnumber samples.
        targets : ndarray, shape (samples, outputs)
            What to predict.

        Returns
        -------
        RidgeReadout
            Itself.
        """
        n, features = states.shape
        if features <= n:
            return self.gather(states, targets).solve()
        mean, level = states.mean(axis=0), targets.mean(axis=0)
        centred, rest = states - mean, targets - level
        kernel = centred @ centred.T
        if not isinstance(self.alpha, str):
            # the centred kernel always has a zero eigenvalue: without a penalty, the weights of least norm
            dual = _solved(kernel, rest, float(self.alpha)) if self.alpha > 0 else linalg.pinvh(kernel) @ rest
            return self._finished(dual.T @ centred, mean, level, np.full(len(level), float(self.alpha)))
        values, vectors = linalg.eigh(kernel)
        values = np.maximum(values, 0.0)
        rotated = vectors.T @ rest

        def residuals(alpha: float) -> Array:
            return ((alpha / (values + alpha)) ** 2) @ rotated**2

        best = self._least_gcv(values, residuals, n)
        dual = vectors @ (rotated / np.add.outer(values, best))
        return self._finished(dual.T @ centred, mean, level, best)

    def predict(self, states: Array) -> Array:
        """Outputs ``(..., outputs)`` for states ``(..., features)``."""
        return states @ self.coef_.T + self.intercept_

    def _least_gcv(self, values: Array, residuals: Callable[[float], Array], n: int) -> Array:
        """Penalty of each output with the least error of generalised cross-validation."""
        kept = values > 1e-12 * values.max(initial=0.0)  # rounding leaves traces in directions that hold nothing
        grid = GRID * (values[kept].mean() if kept.any() else 1.0)
        errors = []
        for alpha in grid:
            # the constant takes one degree of freedom
            left = n - 1 - float((values / (values + alpha)).sum())
            errors.append(residuals(alpha) / max(left, 1e-9 * n) ** 2)
        table = np.stack(errors)
        if not self.per_output:
            table = np.broadcast_to(table.sum(axis=1, keepdims=True), table.shape)
        return grid[table.argmin(axis=0)]

    def _finished(self, weights: Array, mean: Array, level: Array, alpha: Array) -> Self:
        self.coef_, self.intercept_, self.alpha_ = weights, level - weights @ mean, alpha
        self._sums = None
        return self


def _solved(matrix: Array, right: Array, alpha: float) -> Array:
    try:
        return linalg.solve(matrix + alpha * np.eye(len(matrix)), right, assume_a="pos")
    except linalg.LinAlgError as error:
        raise InputError(
            f"alpha={alpha:g} is too small: the states do not determine the readout; give a larger one, or alpha='gcv'."
        ) from error
