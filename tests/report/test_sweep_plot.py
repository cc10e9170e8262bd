"""The figure of a sweep: one panel per measure, in the order of the setting, with intervals and lines."""

import numpy as np
import pytest

from spikeneuro.errors import InputError
from spikeneuro.report import plots


def test_measures_are_drawn_in_the_order_of_the_setting():
    figure = plots.sweep(
        "duty",
        [0.5, 0.05, 1.0],
        {"accuracy": [0.8, 0.9, 0.2], "spikes a sample": [40, 4, 90]},
        intervals={"accuracy": [(0.75, 0.85), (0.88, 0.92), (0.1, 0.3)]},
        lines={"accuracy": {"LSTM": 0.7, "GRU": 0.75}},
        log=True,
    )
    accuracy, spikes = figure.axes
    np.testing.assert_allclose(accuracy.get_lines()[0].get_xydata(), [[0.05, 0.9], [0.5, 0.8], [1.0, 0.2]])
    np.testing.assert_allclose(spikes.get_lines()[0].get_ydata(), [4, 40, 90])
    (band,) = accuracy.collections
    edge = band.get_paths()[0].vertices
    assert edge[np.isclose(edge[:, 0], 0.05), 1].min() == 0.88
    assert edge[np.isclose(edge[:, 0], 1.0), 1].max() == 0.3
    assert not spikes.collections
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["LSTM", "GRU"]
    assert [tick.get_text() for tick in spikes.get_xticklabels()] == ["0.05", "0.5", "1"]
    assert accuracy.get_xlabel() == "duty"


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="'accuracy' has 1 values, but 'duty' has 2"):
        plots.sweep("duty", [0.1, 1.0], {"accuracy": [0.5]})
    with pytest.raises(InputError, match="'spikes' is none of the measures"):
        plots.sweep("duty", [0.1], {"accuracy": [0.5]}, lines={"spikes": {"GRU": 1.0}})
    with pytest.raises(InputError, match="nothing to draw"):
        plots.sweep("duty", [], {})
