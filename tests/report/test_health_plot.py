"""The health figure shows what the report holds."""

import numpy as np
import pytest
import torch
from torch import nn

from spikeneuro import training
from spikeneuro.nn import LIF, RateReadout
from spikeneuro.report import plots
from spikeneuro.report.style import to_svg


def network(depth):
    torch.manual_seed(0)
    layers = [part for _ in range(depth) for part in (nn.Linear(6, 6), LIF(6, beta=0.5))]
    return nn.Sequential(*layers, RateReadout())


def report(depth, *, labels=True, sfreq=200.0):
    x = 6 * torch.rand(50, 8, 6)
    y = torch.randint(0, 6, (8,)) if labels else None
    return training.health(network(depth), x, y, batch_axis=1, sfreq=sfreq)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_row_per_layer_with_the_numbers_of_the_report(depth):
    found = report(depth)
    figure = plots.health(found.to_dict()["layers"], "a title")
    panels = np.array(figure.axes).reshape(depth, 3)
    assert figure.get_suptitle() == "a title"
    for row, layer in zip(panels, found.layers, strict=True):
        assert row[0].get_xlabel() == row[2].get_xlabel() == "time (s)"
        assert row[0].get_ylabel() == "rate (spikes per s)"
        assert layer.name in row[0].get_title(loc="left")
        np.testing.assert_allclose(row[0].lines[0].get_ydata(), layer.rate_over_time * 200)
        np.testing.assert_allclose(row[0].lines[0].get_xdata(), (np.arange(50) + 0.5) / 200)
        assert sum(patch.get_height() for patch in row[1].patches) == 6  # every neuron is in one bar
        assert row[2].get_yscale() == "log"
        current, spikes = (line.get_ydata() for line in row[2].lines)
        np.testing.assert_allclose(current[np.isfinite(current)], layer.gradient_current[layer.gradient_current > 0])
        np.testing.assert_allclose(spikes, np.where(layer.gradient_spikes > 0, layer.gradient_spikes, np.nan))
    svg = to_svg(figure, "health")
    assert "mathdefault" not in svg


def test_steps_where_time_is_not_known_and_no_gradients_without_labels():
    figure = plots.health(report(1, labels=False, sfreq=None).to_dict()["layers"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["step", "rate of a neuron (spikes per step)"]
    assert figure.axes[0].get_ylabel() == "rate (spikes per step)"


def test_dead_and_saturated_neurons_have_their_own_bars():
    x = torch.zeros(10, 1, 8)
    x[:, :, :2] = 2.0
    x[::2, :, 2] = 2.0
    layers = training.health(LIF(8, beta=0.0), x, batch_axis=1).to_dict()["layers"]
    axes = plots.health(layers).axes[1]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["dead: 5 (62.5 %)", "saturated: 2 (25 %)"]
    left = [patch.get_height() for patch in axes.patches if patch.get_x() < -1e-9]
    assert left == [5]
    assert sum(patch.get_height() for patch in axes.patches if patch.get_x() >= 0.949) == 2


def test_what_has_no_place_on_the_axis_is_said():
    layer = {
        "layer": "one", "neurons": 2, "dt": None, "rates": [0.0, 0.5], "rate_over_time": [0.5, 0.0, 0.25, 0.25],
        "gradient_current_over_time": [None, 0.0, 1e-3, 2e-3], "gradient_spikes_over_time": [None] * 4,
    }  # fmt: skip
    axes = plots.health([layer]).axes[2]
    assert axes.get_title(loc="left").splitlines() == [
        "by its input current: NaN or infinite at 1 of 4 steps",
        "by its input current: 0 at 1 of 4 steps",
        "by its spikes: NaN or infinite at 4 of 4 steps",
    ]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [np.nan, np.nan, 1e-3, 2e-3])
