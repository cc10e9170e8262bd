"""The pictures of a cube show its numbers, at their places."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from spikeneuro.errors import InputError
from spikeneuro.report import plots

PLACES = np.array([[-40.0, 0, 40], [40, 0, 40], [0, -80, 10], [0, 50, 10], [20, 20, 20]])
CONNECTIONS = pd.DataFrame(
    {"sender": [0, 1, 2, 3], "receiver": [4, 4, 0, 1], "change": [0.1, -0.4, 0.0, 0.2], "weight": [1.0, 2, 3, 4]}
)


def lines(axes):
    (found,) = [item for item in axes.collections if isinstance(item, LineCollection)]
    return found


@pytest.mark.parametrize("brain", [True, False])
def test_largest_changes_are_drawn_at_their_places(brain):
    figure = plots.cube_connections(
        CONNECTIONS, PLACES, most=2, inputs={"C3": 0, "C4": 1}, brain=brain, title="Learned"
    )
    views = [axes for axes in figure.axes if any(isinstance(item, LineCollection) for item in axes.collections)][:3]
    for axes, kept in zip(views, ([1, 2], [0, 2], [0, 1]), strict=True):
        drawn = lines(axes)
        np.testing.assert_allclose(drawn.get_array(), [0.2, -0.4])  # the largest last, so on top
        np.testing.assert_allclose(drawn.get_segments()[1], PLACES[[1, 4]][:, kept])
        assert drawn.norm.vmin == -0.4
        assert drawn.norm.vmax == 0.4
    texts = {text.get_text() for axes in views for text in axes.texts}
    assert {"C3", "C4"} <= texts
    assert "Learned" in {text.get_text() for text in figure.texts}
    assert "change of weight" in {axes.get_ylabel() for axes in figure.axes}


def test_page_that_can_be_turned_holds_the_connections():
    page = plots.cube_connections_html(CONNECTIONS, PLACES, inputs={"Zed9": 0})
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "Zed9" in page
    assert "connectomeInfo" in page


@pytest.mark.parametrize("places", [None, PLACES[:3]])
def test_traffic_is_drawn_without_its_diagonal(places):
    traffic = np.array([[9.0, 0.5, 0], [0.1, 9, 0], [2, 0, 9]])
    figure = plots.cube_traffic(traffic, ["a", "b", "c"], places, title="Who drives whom")
    mesh = np.ma.filled(figure.axes[0].collections[0].get_array(), np.nan)
    expected = np.where(traffic > 0, traffic, np.nan)
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(mesh, expected)
    assert figure.axes[0].get_xlabel() == "sending cluster"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]
    if places is not None:
        assert len(figure.axes[1].patches) == 3
        assert {text.get_text() for text in figure.axes[1].texts} == {"a", "b", "c"}


def test_inputs_that_would_cover_each_other_are_moved_apart_and_others_stay():
    places = np.array([[-50.0, 0, 0], [50, 0, 0], [0, 50, 0], [1, 50, 5]])
    traffic = np.array([[0, 1.0, 0, 0], [0, 0, 1e-5, 0], [0, 0, 0, 2], [1, 0, 0, 0]])
    figure = plots.cube_traffic(traffic, list("abcd"), places, label="spikes")
    drawn = {text.get_text(): np.array(text.get_position()) for text in figure.axes[1].texts}
    np.testing.assert_allclose([drawn["a"], drawn["b"]], places[:2, :2])
    assert np.linalg.norm(drawn["c"] - drawn["d"]) > 5
    np.testing.assert_allclose((drawn["c"] + drawn["d"]) / 2, [0.5, 50])
    assert figure.axes[-1].get_ylabel() == "spikes"


def test_activity_has_a_row_a_bin_and_one_scale():
    rates = np.array([[0, 0.1, 0.2, 0, 0.1], [0.1, 0.1, 0.4, 0, 0]])
    figure = plots.cube_activity(rates, PLACES, duration=2.0)
    assert {"0 to 1 s", "1 to 2 s"} <= {text.get_text() for text in figure.texts}
    clouds = [len(item.get_offsets()) for axes in figure.axes for item in axes.collections
              if isinstance(item, PathCollection)]  # fmt: skip
    assert clouds == [3] * 6  # neurons that spike, three views of two bins
    assert "spikes a step" in {axes.get_ylabel() for axes in figure.axes}
    difference = plots.cube_activity(rates[:1] - rates[1:], PLACES, brain=False, label="difference")
    assert "difference" in {axes.get_ylabel() for axes in difference.axes}
    assert "part 1 of 1" in {text.get_text() for text in difference.texts}


def test_inputs_are_drawn_on_the_scalp():
    figure = plots.cube_input_activity(np.random.default_rng(0).random((3, 5)), ["C3", "C4", "O1", "o2", "Fz"])
    assert [axes.get_title() for axes in figure.axes[:3]] == ["part 1 of 3", "part 2 of 3", "part 3 of 3"]
    assert figure.axes[-1].get_ylabel() == "input spikes a step"
    assert plots.cube_input_activity(np.ones((2, 4)), ["C3", "C4", "O1", "O2"]).axes  # equal everywhere


def silent(connections):
    return connections.assign(change=0.0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.cube_connections(silent(CONNECTIONS), PLACES), "nothing was learned"),
        (lambda: plots.cube_connections(CONNECTIONS, PLACES[:3]), "do not fit the connections"),
        (lambda: plots.cube_connections(CONNECTIONS, PLACES, value="growth"), "no column 'growth'"),
        (lambda: plots.cube_connections(CONNECTIONS, PLACES, most=0), "most must lie"),
        (lambda: plots.cube_connections({"sender": [0, 1], "receiver": [1, 2], "change": [1.0]}, PLACES), "differ in"),
        (lambda: plots.cube_connections_html(silent(CONNECTIONS), PLACES), "nothing was learned"),
        (lambda: plots.cube_traffic(np.eye(2), ["a", "b"]), "no spike traffic"),
        (lambda: plots.cube_traffic(np.ones((2, 2)), ["a", "b", "c"]), "does not fit 3 names"),
        (lambda: plots.cube_traffic(np.ones((2, 2)), ["a", "b"], PLACES), "must have the shape"),
        (lambda: plots.cube_activity(np.ones((2, 4)), PLACES), "does not fit 5 positions"),
        (lambda: plots.cube_activity(np.zeros((2, 5)), PLACES), "no neuron spikes"),
        (lambda: plots.cube_activity(np.ones((2, 5)), PLACES, duration=0.0), "duration must"),
        (lambda: plots.cube_input_activity(np.ones((2, 4)), ["C3", "C4", "O1"]), "does not fit 3 names"),
        (lambda: plots.cube_input_activity(np.ones((2, 4)), ["C3", "C4", "O1", "EOG"]), "'EOG' is not in montage"),
        (lambda: plots.cube_input_activity(np.ones((1, 2)), ["C3", "C4"]), "at least four"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, message):
    with pytest.raises(InputError, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)
