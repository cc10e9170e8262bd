"""Estimators in the manner of scikit-learn that train any registered model."""

from spikeneuro.training.estimators import NeuroClassifier, NeuroRegressor
from spikeneuro.training.health import firing, recorded_spikes
from spikeneuro.training.losses import MaskedCrossEntropy, rate_penalty
from spikeneuro.training.scaling import ChannelScaler
from spikeneuro.training.windowed import Windowed

__all__ = [
    "ChannelScaler",
    "MaskedCrossEntropy",
    "NeuroClassifier",
    "NeuroRegressor",
    "Windowed",
    "firing",
    "rate_penalty",
    "recorded_spikes",
]
