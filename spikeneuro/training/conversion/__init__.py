"""Conversion of trained networks to spiking ones, and what it costs in accuracy, layer by layer."""

from spikeneuro.training.conversion.calibration import StepsCalibration, accuracy_over_steps, calibrate_steps
from spikeneuro.training.conversion.convert import convert
from spikeneuro.training.conversion.estimator import convert_estimator
from spikeneuro.training.conversion.folding import fold_batchnorm
from spikeneuro.training.conversion.layers import IntegrateAndFire, SpikingMaxPool
from spikeneuro.training.conversion.network import ConvertedNetwork, ConvertedResult, ConvertedState
from spikeneuro.training.conversion.offsets import correct_offsets
from spikeneuro.training.conversion.qcfs import QCFS, with_qcfs
from spikeneuro.training.conversion.report import conversion_report

__all__ = [
    "QCFS", "ConvertedNetwork", "ConvertedResult", "ConvertedState", "IntegrateAndFire", "SpikingMaxPool",
    "StepsCalibration", "accuracy_over_steps", "calibrate_steps", "conversion_report", "convert", "convert_estimator",
    "correct_offsets", "fold_batchnorm", "with_qcfs",
]  # fmt: skip
