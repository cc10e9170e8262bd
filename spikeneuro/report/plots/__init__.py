"""Figures made from results: each function takes plain values and returns a matplotlib figure.

Figures are made without pyplot, so that nothing global is touched and nothing needs closing. Every function takes
``figure``, an empty figure to draw into instead of a new one: in a notebook, ``scores(..., figure=plt.figure())``.
"""

from spikeneuro.report.plots.conversion import conversion
from spikeneuro.report.plots.health import health
from spikeneuro.report.plots.overview import overview
from spikeneuro.report.plots.predictions import calibration, confusions, predicted_against_true
from spikeneuro.report.plots.results import accuracy_energy, scores
from spikeneuro.report.plots.rhythms import rhythm
from spikeneuro.report.plots.training import firing, learning_curves, raster

__all__ = [
    "accuracy_energy", "calibration", "confusions", "conversion", "firing", "health", "learning_curves", "overview",
    "predicted_against_true", "raster", "rhythm", "scores",
]  # fmt: skip
