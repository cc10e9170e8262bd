"""Numbers and sentences of the report, against hand-made tables."""

import numpy as np
import pandas as pd
import pytest

from spikeneuro.bench import wording
from spikeneuro.report import words
from spikeneuro.report.plots.drawing import label_points
from spikeneuro.report.style import figure_style, to_svg

EXPERIMENT = {"scorer": "accuracy", "unit": "subject", "classes": {"a": 10, "b": 10}, "task": "classification",
              "n_folds": 5}  # fmt: skip


def table(**columns) -> pd.DataFrame:
    frame = pd.DataFrame({
        "candidate": ["snn", "cnn", "svm"], "spiking": [True, False, False], "kind": ["network", "network", "pipeline"],
        "score": [0.70, 0.80, 0.75], "low": [0.6, 0.7, 0.65], "high": [0.8, 0.9, 0.85], "n_units": [10, 10, 10],
        "rival": "cnn", "difference": [-0.1, np.nan, -0.05], "difference_low": [-0.2, np.nan, -0.1],
        "difference_high": [0.01, np.nan, 0.02], "p": [0.03, np.nan, 0.2], "energy_j": [2e-9, 8e-9, np.nan],
        "dense_energy_j": [8e-9, 8e-9, np.nan], "n_common": [10, 0, 10], "n_seeds": 1, "seed_sd": np.nan,
    })  # fmt: skip
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0004, "< 0.001"), (0.001, "0.001"), (0.0468, "0.047"), (1.0, "1.000"), (None, "\N{EN DASH}")]
)
def test_p_values(value, text) -> None:
    assert wording.p_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (12.345, "12.3"), (0.0012345, "0.00123"), (0, "0"), (-5.5, "\N{MINUS SIGN}5.50")],
)
def test_significant_digits(value, text) -> None:
    assert wording.significant(value) == text


def test_correction_decides_what_is_called_significant() -> None:
    text = words.verdict(EXPERIMENT, table())
    assert "p = 0.030, p = 0.060 after Holm's correction for 2 comparisons: not significant" in text
    assert "0.100 worse" in text


def test_lower_is_better_turns_worse_into_better() -> None:
    text = words.verdict({**EXPERIMENT, "scorer": "mae"}, table())
    assert "0.100 better" in text
    assert "Best non-spiking candidate: cnn" in text  # the summary's rival, whatever the order


@pytest.mark.parametrize(("n_units", "hopeless"), [(5, True), (6, False)])
def test_test_that_cannot_reach_five_percent_is_named(n_units, hopeless) -> None:
    # 2 of 2^5 sign patterns are 0.0625, of 2^6 0.03125
    text = words.verdict(EXPERIMENT, table(n_common=n_units))
    assert ("cannot tell them apart" in text) is hopeless


def test_one_seed_speaks_of_these_networks_and_three_show_their_spread() -> None:
    one = words.verdict(EXPERIMENT, table())
    assert "speaks of these trained networks" in one
    assert "The rival was selected by its score on the same test data, which favours it." in one
    three = words.verdict(EXPERIMENT, table(n_seeds=3, seed_sd=[0.012, 0.034, 0.01]))
    assert "these trained networks" not in three
    assert (
        "Standard deviation of the score between seeds, which the test does not contain: snn 0.012, cnn 0.034" in three
    )


def test_nothing_is_significant_of_one_fold_and_one_seed() -> None:
    text = words.verdict({**EXPERIMENT, "n_folds": 1}, table(p=[0.0001, np.nan, 0.2]))
    assert "significant" not in text
    assert "compares two trained networks" in text
    assert "significant at the 5 % level" in words.verdict(EXPERIMENT, table(p=[0.0001, np.nan, 0.2]))


def test_energy_is_never_praised_without_the_score() -> None:
    counted = table().dropna(subset=["energy_j"])
    text = words.energy_verdict(EXPERIMENT, counted)
    assert "accuracy 0.700) is modelled at 2.00 nJ" in text
    assert "4.0 times less energy if both skip zero inputs, as much energy if neither does" in text
    assert "No non-spiking network here scores as well for as little energy" in text
    assert "inside the interval" not in text
    close = words.energy_verdict(EXPERIMENT, counted.assign(energy_j=[8e-9, 2e-9], score=[0.70, 0.69]))
    assert "But cnn needs 2.00 nJ, and its score, 0.690, lies inside the interval of snn" in close
    cheap = words.energy_verdict(EXPERIMENT, counted.assign(energy_j=[8e-9, 2e-9]))
    assert "4.0 times more energy" in cheap
    assert "The spiking network is not cheaper for what it achieves: cnn scores 0.800 for 2.00 nJ" in cheap


@pytest.mark.parametrize(("unit", "units"), [("subject", "subjects"), ("study", "studies"), ("day", "days")])
def test_plural(unit, units) -> None:
    assert wording.plural(unit) == units


def test_labels_do_not_cover_each_other() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.add_subplot()
        points = [(1.0, 0.5), (1.01, 0.5), (1.0, 0.505), (1.3, 0.8)]
        axes.plot(*zip(*points, strict=True), "o")
        label_points(axes, points, ["first network", "second network", "third network", "fourth"])
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_figures_hold_text_as_text_and_dollars_as_dollars() -> None:
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure()
        figure.add_subplot().set_title("<b>$x_1 costs $5</b>")
    svg = to_svg(figure, 'a "quoted" <b>')
    assert "&lt;b&gt;$x_1 costs $5&lt;/b&gt;" in svg
    assert 'aria-label="a &quot;quoted&quot; &lt;b&gt;"' in svg
    assert to_svg(figure, "again").split(">", 1)[1] == svg.split(">", 1)[1]


def test_findings_of_the_audit_are_said_with_the_one_about_the_units() -> None:
    leaky = [f"fold {k}: leaks; to accept that, give allow_leak='why'." for k in range(3)]
    units = "6 of 6 units of subject are in training and in test"
    audit = {"checked": ["rows"], "unchecked": [], "findings": [*leaky, units], "allowed": "on purpose"}
    assert words.audited({"audit": audit})[1] == f"found: fold 0: leaks; {units} (4 findings in all)"
    assert words.audited({"audit": {"findings": [units]}}) == [f"found: {units}"]
