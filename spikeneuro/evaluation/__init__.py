"""Metrics, calibration and statistics."""

from spikeneuro.evaluation.calibration import (
    ReliabilityCurve,
    Temperature,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
    top_label_curve,
)
from spikeneuro.evaluation.metrics import METRICS, Metric, compute, confusion, names_for, step_counts
from spikeneuro.evaluation.outcome import Outcome, make_outcome
from spikeneuro.evaluation.statistics import (
    Interval,
    PairedTest,
    bootstrap_interval,
    corrected_resampled_t,
    holm,
    mcnemar_exact,
    paired_permutation_test,
    wilson_interval,
)
from spikeneuro.evaluation.summary import Comparison, Estimate, compare, summarise
from spikeneuro.evaluation.units import Predictions, UnitScores, average_units, unit_scores, unit_scores_over

__all__ = [
    "METRICS", "Comparison", "Estimate", "Interval", "Metric", "Outcome", "PairedTest", "Predictions",
    "ReliabilityCurve", "Temperature", "UnitScores", "average_units", "bootstrap_interval", "brier_score", "compare",
    "compute", "confusion", "corrected_resampled_t", "expected_calibration_error", "fit_temperature", "holm",
    "make_outcome", "mcnemar_exact", "names_for", "paired_permutation_test", "reliability_curve", "step_counts",
    "summarise", "top_label_curve", "unit_scores", "unit_scores_over", "wilson_interval",
]  # fmt: skip
