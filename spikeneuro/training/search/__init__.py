"""Search of the distributions that neurons draw their parameters from, by Bayesian optimisation."""

from spikeneuro.training.search.bayesian import DistributionSearch, Trial
from spikeneuro.training.search.distributions import (
    GammaRange,
    MixtureRange,
    NumberRange,
    Range,
    quantiles,
    wasserstein2,
)

__all__ = [
    "DistributionSearch",
    "GammaRange",
    "MixtureRange",
    "NumberRange",
    "Range",
    "Trial",
    "quantiles",
    "wasserstein2",
]
