"""Plasticity: rules that change weights by spike times, and the synapses they change.

Rules, connections and homeostasis are independent of each other. Weights change inside `learning` only.
"""

from spikeneuro.plasticity.competition import WinnerTakeAll, lateral_inhibition
from spikeneuro.plasticity.connections import Connection, Dense
from spikeneuro.plasticity.convolutional import Convolutional
from spikeneuro.plasticity.engine import Engine, Term
from spikeneuro.plasticity.homeostasis import (
    Homeostasis,
    Normalisation,
    SynapticScaling,
    ThresholdHomeostasis,
    WeightDecay,
)
from spikeneuro.plasticity.layers import (
    Plastic,
    PlasticLayer,
    PlasticRecurrence,
    connect,
)
from spikeneuro.plasticity.learning import LayerLearner, LayerState, Learner, LearningResult, learning
from spikeneuro.plasticity.named import as_homeostasis, as_rule
from spikeneuro.plasticity.pair import HyperbolicSTDP, PairSTDP
from spikeneuro.plasticity.pretraining import STDPPretraining, pretrain
from spikeneuro.plasticity.record import Pretraining
from spikeneuro.plasticity.reward import RewardSTDP
from spikeneuro.plasticity.rules import Rule, RuleState, STDPRule
from spikeneuro.plasticity.sparse import Sparse, SparseLinear
from spikeneuro.plasticity.traces import Trace
from spikeneuro.plasticity.triplet import TripletSTDP

__all__ = [
    "Connection",
    "Convolutional",
    "Dense",
    "Engine",
    "Homeostasis",
    "HyperbolicSTDP",
    "LayerLearner",
    "LayerState",
    "Learner",
    "LearningResult",
    "Normalisation",
    "PairSTDP",
    "Plastic",
    "PlasticLayer",
    "PlasticRecurrence",
    "Pretraining",
    "RewardSTDP",
    "Rule",
    "RuleState",
    "STDPPretraining",
    "STDPRule",
    "Sparse",
    "SparseLinear",
    "SynapticScaling",
    "Term",
    "ThresholdHomeostasis",
    "Trace",
    "TripletSTDP",
    "WeightDecay",
    "WinnerTakeAll",
    "as_homeostasis",
    "as_rule",
    "connect",
    "lateral_inhibition",
    "learning",
    "pretrain",
]
