"""Classical rivals of the networks: scikit-learn pipelines and the transformers they are made of."""

from spikeneuro.models.classical.cca import CanonicalCorrelationClassifier
from spikeneuro.models.classical.checks import InputCheck
from spikeneuro.models.classical.connectivity import Connectivity
from spikeneuro.models.classical.features import BandPass, BandPower, Flatten, Standardise
from spikeneuro.models.classical.spatial import (
    CommonSpatialPatterns,
    TangentVectors,
    transductive_euclidean_alignment,
)
from spikeneuro.models.classical.traces import LeakyTraces, TraceClassifier

__all__ = [
    "BandPass",
    "BandPower",
    "CanonicalCorrelationClassifier",
    "CommonSpatialPatterns",
    "Connectivity",
    "Flatten",
    "InputCheck",
    "LeakyTraces",
    "Standardise",
    "TangentVectors",
    "TraceClassifier",
    "transductive_euclidean_alignment",
]
