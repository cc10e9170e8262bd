"""Parts of a liquid state machine: the network as one module, and its readout."""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from spikeneuro import encoders
from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.nn import EventLinear, LeakyReadout, RecurrentLIF

Array = NDArray[Any]


class Liquid(nn.Module):
    """Encoder, input weights, recurrent neurons, traces of their spikes; nothing of it is trained.

    Parameters
    ----------
    encoder : Encoder
        Signals to the steps of the network.
    weight : ndarray, shape (neurons, features)
        Input weights.
    neurons : RecurrentLIF
        The neurons, their weights set.
    trace : LeakyReadout, optional
        Filter of the spikes; without one the states are the spikes, averaged over the steps of a sample.
    """

    def __init__(self, encoder: Encoder, weight: Array, neurons: RecurrentLIF, trace: LeakyReadout | None) -> None:
        super().__init__()
        self.encoder, self.neurons, self.trace = encoder, neurons, trace
        self.input = EventLinear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.input.weight.copy_(torch.from_numpy(weight))
        self.requires_grad_(False)
        self.n_units = weight.shape[0]

    def spikes(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> spikes (steps, batch, neurons)."""
        return self.neurons(self.input(encoded(self.encoder, x)))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> states (times, batch, neurons), those at the end of each sample."""
        k, spikes = self.encoder.steps_per_sample, self.spikes(x)
        if self.trace is None:
            return spikes if k == 1 else spikes.unflatten(0, (-1, k)).mean(1)
        return self.trace(spikes)[k - 1 :: k]


def as_encoder(given: Any) -> Encoder:
    """Encoder of that name, or a copy of the object, in double precision."""
    if isinstance(given, str):
        return encoders.create(given).double().eval()
    if not isinstance(given, Encoder):
        raise InputError(
            f"encoder must be a name or an Encoder, got {type(given).__name__}; names: {', '.join(encoders.names())}."
        )
    return copy.deepcopy(given).double().eval()


def encoded(encoder: Encoder, x: Tensor) -> Tensor:
    """Code (steps, batch, features) of signals, that of each as if it were alone.

    A code that draws at random draws the same numbers at every call and, in evaluation mode, for every signal: else its
    spikes, and with them what is predicted, would depend on what else is in the batch.
    """
    with torch.random.fork_rng(devices=(), enabled=encoder.random):  # the generator is afterwards as it was before
        return encoder(x)


def own_readout(given: Any) -> Any:
    """A copy of a readout, not trained."""
    if isinstance(given, type) or not (hasattr(given, "fit") and hasattr(given, "get_params")):
        what = given.__name__ if isinstance(given, type) else repr(given)
        raise InputError(f"readout must be a scikit-learn estimator, such as LogisticRegression(), got {what}.")
    return clone(given)


def default_readout(*, classifies: bool) -> Pipeline:
    """Logistic regression or ridge on standardised features."""
    if classifies:
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 17)))


def linear_layer(readout: Any) -> tuple[Array, Array]:
    """Weights (outputs, features) and constants of a linear readout, standardisation before it included.

    Raises
    ------
    InputError
        If the readout is anything else.
    """
    steps = [step for _, step in readout.steps] if isinstance(readout, Pipeline) else [readout]
    *before, model = steps
    if not hasattr(model, "coef_") or any(type(step) is not StandardScaler for step in before):
        raise InputError(
            f"the readout {type(model).__name__} is no linear model on (standardised) traces, the only kind that "
            "becomes a layer; count reservoir_ alone."
        )
    weights, constants = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    for scaler in reversed(before):
        mean = 0.0 if scaler.mean_ is None else scaler.mean_
        weights = weights if scaler.scale_ is None else weights / scaler.scale_
        constants = constants - weights @ np.broadcast_to(mean, weights.shape[1])
    return weights, constants


def columns(values: Array) -> Array:
    """One column for a single output a sample."""
    return values[:, np.newaxis] if values.ndim == 1 else values


def branch(seed: int, number: int) -> int:
    """Seed of one of several independent draws."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
