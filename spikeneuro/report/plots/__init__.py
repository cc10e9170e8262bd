"""Figures made from results: each function takes plain values and returns a matplotlib figure.

Figures are made without pyplot, so that nothing global is touched and nothing needs closing. Every function takes
``figure``, an empty figure to draw into instead of a new one: in a notebook, ``scores(..., figure=plt.figure())``.
"""

from spikeneuro.report.plots.conversion import conversion
from spikeneuro.report.plots.cube_inputs import cube_input_activity, cube_traffic
from spikeneuro.report.plots.cubes import cube_activity, cube_connections, cube_connections_html
from spikeneuro.report.plots.health import health
from spikeneuro.report.plots.overview import overview
from spikeneuro.report.plots.predictions import calibration, confusions, predicted_against_true
from spikeneuro.report.plots.results import accuracy_energy, scores
from spikeneuro.report.plots.rhythms import rhythm
from spikeneuro.report.plots.sweeps import sweep
from spikeneuro.report.plots.training import firing, learning_curves, raster

__all__ = [
    "accuracy_energy", "calibration", "confusions", "conversion", "cube_activity", "cube_connections",
    "cube_connections_html", "cube_input_activity", "cube_traffic", "firing", "health", "learning_curves", "overview",
    "predicted_against_true", "raster", "rhythm", "scores", "sweep",
]  # fmt: skip
