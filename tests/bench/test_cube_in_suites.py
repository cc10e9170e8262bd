"""A suite gives the cube the places that the recordings know, and refuses it where they know none."""

import numpy as np
import pandas as pd
import pytest

from spikeneuro.bench import estimators
from spikeneuro.bench.measure import operations
from spikeneuro.bench.suite import Candidate
from spikeneuro.data import Recordings
from spikeneuro.errors import InputError

ELECTRODES = ("F3", "F4", "O1", "O2")


def recordings(modality="eeg", names=ELECTRODES, positions=None, n=12, times=60):
    random = np.random.default_rng(0)
    y = np.arange(n) % 2
    X = 1e-5 * random.normal(size=(n, len(names), times))
    X[y == 1, :2] = X[y == 1, :2].cumsum(axis=-1)
    table = pd.DataFrame({"subject": [f"S{i % 3}" for i in range(n)]})
    return Recordings(X, y, table, 100.0, names, modality=modality, positions=positions)


def built(data, **params):
    return estimators.build(Candidate("cube", "neucube", params), data, "classification", 0)


def test_electrodes_come_with_their_names():
    data = recordings()
    estimators.check(Candidate("cube", "neucube", {"spacing": 20.0}), data, "classification")
    model = built(data, spacing=20.0).fit(data.X, data.y)
    frontal, occipital = model[-1].positions_[:2], model[-1].positions_[2:]
    assert (frontal[:, 1] > 20).all()
    assert (occipital[:, 1] < -80).all()
    counted = operations(model[-1], data.X)
    assert counted["acs"] > 0
    assert counted["energy_j"] > 0


def test_voxels_come_with_their_places_in_millimetres():
    places = np.stack([0.003 * np.arange(6.0), np.zeros(6), np.zeros(6)], axis=1)
    data = recordings("fmri", [f"v{i}" for i in range(6)], places)
    model = built(data, neurons="channels", n_inputs=2, readout="linear", encoder={"name": "delta", "factor": 0.1})
    cube = model.fit(data.X, data.y)[-1]
    assert set(cube.channels_.tolist()) <= set(range(6))
    assert len(cube.channels_) == 2
    np.testing.assert_allclose(cube.positions_, 1000 * places[cube.channels_])
    np.testing.assert_allclose(cube.cube_.positions[:6], 1000 * places)
    assert cube.encoder_.factor == 0.1
    assert cube.input_traffic(data.X).shape == (2, 2)


def test_what_a_candidate_says_itself_counts():
    data = recordings()
    model = built(data, names=["C3", "C4", "P3", "P4"], spacing=20.0).fit(data.X, data.y)
    assert (np.abs(model[-1].positions_[:2, 1]) < 35).all()


def test_inputs_are_the_channels_that_tell_most():
    X = np.random.default_rng(0).normal(size=(30, 5, 40))
    y = np.arange(30) % 3
    X[:, 3] += 2 * y[:, np.newaxis]
    X[:, 1] += (y == 1)[:, np.newaxis]
    X[:, 4] = 7.0  # constant: without variance no F
    from spikeneuro.reservoir import NeuCube

    places = np.random.default_rng(1).random((5, 3))
    cube = NeuCube(places, neurons="channels", n_inputs=2, random_state=0).fit(X, y)
    assert cube.channels_.tolist() == [1, 3]
    with pytest.raises(InputError, match="use fit"):
        cube.learn(X)
    with pytest.raises(InputError, match="n_inputs=6 is more than the 5 channels"):
        NeuCube(places, neurons="channels", n_inputs=6).fit(X, y)
    with pytest.raises(InputError, match="no neuron beside the inputs"):
        NeuCube(places[:4], neurons="channels").fit(X[:, :4], y)


PLACES = np.zeros((4, 3))


@pytest.mark.parametrize(
    ("data", "params", "message"),
    [
        (recordings(names=("F3", "F4", "O1", "EOG")), {}, "'EOG' is not in montage"),
        (recordings(names=("F3", "F4", "O1", "f3")), {}, "occurs 2 times"),
        (recordings(), {"montage": "standard_9999"}, "is unknown"),
        (recordings(names=("a", "b", "c", "d"), modality="fmri"), {}, "places of the fmri channels"),
        (recordings("fmri", positions=np.where(np.eye(4, 3) > 0, np.nan, 0.0)), {}, "places of the fmri channels"),
        (recordings("fmri", positions=PLACES), {}, "do not tell their space"),
        (recordings(), {"readout": "svm"}, "readout='svm' is unknown"),
        (recordings(), {"readout": {"form": "static"}}, "needs its name"),
        (recordings(), {"readout": {"name": "desnn", "mood": 1}}, "did you mean 'mod'"),
        (recordings(), {"encoder": {"factor": 1}}, "needs its name"),
        (recordings(), {"encoder": {"name": "delta", "facto": 1}}, "did you mean 'factor'"),
        (recordings(), {"interpolate": 0}, "interpolate must"),
    ],
)
def test_mistakes_are_found_before_anything_is_fitted(data, params, message):
    with pytest.raises(InputError, match=message) as caught:
        estimators.check(Candidate("cube", "neucube", params), data, "classification")
    assert "\n" not in str(caught.value)


def test_wrong_samples():
    data = recordings()
    model = built(data, spacing=20.0)
    with pytest.raises(InputError, match="n_chans=4"):
        model.fit(data.X[:, :3], data.y)
    holes = data.X.copy()
    holes[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        model.fit(holes, data.y)
    with pytest.raises(InputError, match="only 1 class"):
        model.fit(data.X, np.zeros(len(data.X), dtype=int))
    with pytest.raises(InputError, match="is constant, its threshold would be zero"):
        model.fit(np.zeros_like(data.X), data.y)
    high = built(data, spacing=20.0, encoder={"name": "delta", "threshold": 1.0})
    with pytest.raises(InputError, match="no spike at all"):
        high.fit(data.X, data.y)


def test_interpolation_passes_through_the_samples():
    from spikeneuro.models.classical.neucube import Interpolation

    X = np.random.default_rng(0).normal(size=(2, 3, 5))
    Y = Interpolation(4).fit_transform(X)
    assert Y.shape == (2, 3, 17)
    np.testing.assert_allclose(Y[..., ::4], X)
    np.testing.assert_allclose(Y[..., 2], X[..., :2].mean(axis=-1))
    np.testing.assert_array_equal(Interpolation(3).fit_transform(X[..., :1]), X[..., :1])
