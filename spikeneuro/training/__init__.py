"""Estimators in the manner of scikit-learn that train any registered model."""

from spikeneuro.training.estimators import NeuroClassifier, NeuroRegressor
from spikeneuro.training.firing import firing, recorded_spikes
from spikeneuro.training.health import health
from spikeneuro.training.health_report import HealthReport, LayerHealth
from spikeneuro.training.losses import MaskedCrossEntropy, rate_penalty
from spikeneuro.training.memory import MemoryEstimate, predict_memory
from spikeneuro.training.scaling import ChannelScaler
from spikeneuro.training.windowed import Windowed

__all__ = [
    "ChannelScaler",
    "HealthReport",
    "LayerHealth",
    "MaskedCrossEntropy",
    "MemoryEstimate",
    "NeuroClassifier",
    "NeuroRegressor",
    "Windowed",
    "firing",
    "health",
    "predict_memory",
    "rate_penalty",
    "recorded_spikes",
]
