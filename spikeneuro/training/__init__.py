"""Estimators in the manner of scikit-learn that train any registered model."""

from spikeneuro.training.conversion import (
    QCFS,
    ConvertedNetwork,
    ConvertedResult,
    ConvertedState,
    IntegrateAndFire,
    SpikingMaxPool,
    StepsCalibration,
    accuracy_over_steps,
    calibrate_steps,
    conversion_report,
    convert,
    convert_estimator,
    correct_offsets,
    fold_batchnorm,
    with_qcfs,
)
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
    "ConvertedNetwork",
    "ConvertedResult",
    "ConvertedState",
    "HealthReport",
    "IntegrateAndFire",
    "LayerHealth",
    "MaskedCrossEntropy",
    "MemoryEstimate",
    "NeuroClassifier",
    "NeuroRegressor",
    "QCFS",
    "SpikingMaxPool",
    "StepsCalibration",
    "Windowed",
    "accuracy_over_steps",
    "calibrate_steps",
    "conversion_report",
    "convert",
    "convert_estimator",
    "correct_offsets",
    "firing",
    "fold_batchnorm",
    "health",
    "predict_memory",
    "rate_penalty",
    "recorded_spikes",
    "with_qcfs",
]
