"""The figure of a conversion shows the numbers of its report."""

import numpy as np
import torch
from torch import nn

from spikeneuro.report import plots
from spikeneuro.report.style import to_svg
from spikeneuro.training import accuracy_over_steps, conversion_report, convert


def test_bars_and_curve_are_those_of_the_report():
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.rand(30, 4), torch.randint(0, 3, (30,))
    snn = convert(ann, x, percentile=95)
    report = conversion_report(ann, snn, x, steps=8)
    curve = accuracy_over_steps(ann, snn, x, y, max_steps=16)
    figure = plots.conversion(report.to_dict("records"), curve.to_dict("list"), curve.attrs["ann_accuracy"])
    errors, steps = figure.axes
    heights = np.array([bar.get_height() for bar in errors.patches]).reshape(4, 3)
    names = ["clipping_rms", "quantisation_rms", "unevenness_rms", "total_rms"]
    np.testing.assert_allclose(heights.T, report[names])
    assert [label.get_text() for label in errors.get_xticklabels()] == ["1", "3", "output"]
    np.testing.assert_allclose(steps.lines[0].get_ydata(), curve["accuracy"])
    assert steps.lines[1].get_ydata()[0] == curve.attrs["ann_accuracy"]
    assert "mathdefault" not in to_svg(figure, "conversion")
    without = plots.conversion(report.to_dict("records"), accuracy_over_steps(ann, snn, x, max_steps=4).to_dict("list"))
    assert without.axes[1].get_ylabel() == "output error"
    assert len(plots.conversion(report.to_dict("records")).axes) == 1
