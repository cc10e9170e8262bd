"""The estimator: what it learns, that inference leaves it alone, what it says to mistakes, and its maps."""

import pickle
import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spikeneuro.encoders import BSAEncoder
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.reservoir import DeSNN, DeSNNRegressor, NeuCube, brain_grid, bundled_positions
from spikeneuro.reservoir.neucube_maps import source_shares

NAMES = ["C3", "C4", "O1", "O2"]


def samples(n=24, seed=0, times=100):
    """Two classes: which of two channels leads the other by three samples, in volts."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = random.normal(size=(n, 4, times + 3))
    lead = random.normal(size=(n, times + 3)).cumsum(axis=1)
    for i, label in enumerate(y):
        X[i, label, :-3] += 2 * lead[i, 3:]
        X[i, 1 - label, 3:] += 2 * lead[i, :-3]
    return 1e-5 * X[:, :, :times], y


def small(**options):
    return NeuCube(**{"names": NAMES, "spacing": 20.0, "random_state": 0} | options)


@pytest.fixture(scope="module")
def fitted():
    return small(rate=0.05, negative="mirror").fit(*samples())


def test_learning_changes_weights_and_nothing_else_does(fitted):
    changed = fitted.connections()
    assert (changed["change"] != 0).any()
    np.testing.assert_array_equal(changed["weight"] - changed["initial"], changed["change"])
    kept = fitted.cube_.weight.copy()
    X, y = samples(seed=1)
    fitted.predict(X), fitted.predict_proba(X), fitted.transform(X), fitted.spikes(X), fitted.score(X, y)
    fitted.traffic(X), fitted.input_traffic(X), fitted.clusters(X), fitted.activation(X)
    np.testing.assert_array_equal(fitted.cube_.weight, kept)


def test_labels_do_not_enter_the_cube(fitted):
    X, y = samples()
    other = clone(fitted).fit(X, 1 - y)
    np.testing.assert_array_equal(other.cube_.weight, fitted.cube_.weight)
    np.testing.assert_array_equal(clone(fitted).learn(X).cube_.weight, fitted.cube_.weight)


def test_same_result_for_any_split_into_batches(fitted):
    X, _ = samples(seed=1)
    whole = fitted.predict_proba(X)
    for pieces in (2, 5, len(X)):
        parts = [fitted.predict_proba(part) for part in np.array_split(X, pieces)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(fitted.transform(X[::-1])[::-1], fitted.transform(X))
    np.testing.assert_array_equal(fitted.transform(X), fitted.spikes(X).mean(axis=1))


def test_same_seed_same_cube_and_pickled_the_same(fitted):
    X, y = samples()
    again = clone(fitted).fit(X, y)
    np.testing.assert_array_equal(again.spikes(X), fitted.spikes(X))
    assert not np.array_equal(clone(fitted).set_params(random_state=1).fit(X, y).cube_.initial, fitted.cube_.initial)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))


def test_unit_of_the_signal_does_not_matter(fitted):
    X, y = samples()
    np.testing.assert_array_equal(clone(fitted).fit(1e6 * X, y).spikes(1e6 * X), fitted.spikes(X))


def test_rounds_and_rate_zero():
    X, y = samples()
    for options in ({"rounds": 0}, {"rate": 0.0}):
        cube = small(**options).fit(X, y).cube_
        np.testing.assert_array_equal(cube.weight, cube.initial)
    # two rounds: the second at the rate divided by the root of 2, from the weights of the first
    one = small().learn(X)
    two = small(rounds=2).learn(X)
    one.cube_.learn(one._events(X), 0.1 * 0.01 / np.sqrt(2))
    np.testing.assert_array_equal(two.cube_.weight, one.cube_.weight)


def test_any_readout_and_regression():
    X, y = samples()
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    rates = small(readout=linear).fit(X, y)
    cube = small().learn(X)
    np.testing.assert_array_equal(rates.predict(X), clone(linear).fit(cube.transform(X), y).predict(cube.transform(X)))
    spikes = small(readout=DeSNN(form="membrane")).fit(X, y)
    expected = DeSNN(form="membrane").fit(cube.spikes(X), y)
    np.testing.assert_array_equal(spikes.predict_proba(X), expected.predict_proba(cube.spikes(X)))
    number = small(task="regression").fit(X, y + 0.5)
    own = DeSNNRegressor(ties="dense").fit(cube.spikes(X), y + 0.5)
    np.testing.assert_array_equal(number.predict(X), own.predict(cube.spikes(X)))
    assert number.score(X, y + 0.5) > 0
    assert not hasattr(number, "predict_proba")


def test_the_default_readout_and_the_maps_never_hold_the_spikes_of_all_samples():
    X, y = samples(n=60, times=1000)
    cube = small(spacing=15.0, rounds=0).fit(X[:10], y[:10])
    of_one = 1000 * cube.cube_.n_neurons
    for use in (cube.predict, cube.transform, cube.activation, cube.spike_counts):
        use(X[:1])
        tracemalloc.start()
        use(X)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 0.5 * len(X) * of_one, use.__name__


def test_spikes_given_as_they_are():
    X = np.random.default_rng(0).integers(-1, 2, size=(6, 4, 50))
    cube = small(encoder="spikes").learn(X)
    found = cube.spikes(X)
    np.testing.assert_array_equal(found[..., cube.cube_.inputs], (X > 0).transpose(0, 2, 1))
    np.testing.assert_array_equal(found[..., cube.cube_.negative_inputs], (X < 0).transpose(0, 2, 1))
    with pytest.raises(InputError, match="1, -1 and 0 only"):
        cube.spikes(0.5 * X)


def test_bsa_feeds_the_positive_inputs_only():
    X, _ = samples()
    cube = small(encoder=BSAEncoder()).learn(X)
    spikes = cube.spikes(X)
    assert spikes[..., cube.cube_.inputs].any()
    assert not spikes[..., cube.cube_.negative_inputs].any()
    with pytest.raises(InputError, match="gives numbers"):
        small(encoder="direct").learn(X)


def test_neurons_stand_in_the_brain_near_their_channels(fitted):
    cube = fitted.cube_
    assert len(cube.positions) == len(brain_grid(20.0)) + 4
    np.testing.assert_allclose(
        np.linalg.norm(cube.positions[cube.inputs] - fitted.positions_, axis=1), fitted.input_distance_
    )
    assert fitted.positions_[0, 0] < 0 < fitted.positions_[1, 0]  # C3 left, C4 right
    assert cube.positions[cube.inputs[2], 1] < -60  # O1 at the back


def test_box_for_inputs_that_are_in_no_standard_space():
    X, _ = samples()
    places = np.random.default_rng(0).random((4, 3))
    cube = NeuCube(places, neurons="box", random_state=0).learn(X).cube_
    assert len(cube.positions) == 1004
    assert (cube.positions.min(axis=0) <= places.min(axis=0)).all()
    own = NeuCube(places, neurons=np.random.default_rng(1).random((50, 3)), random_state=0).learn(X)
    assert len(own.cube_.positions) == 54


@pytest.mark.slow
def test_twenty_thousand_neurons():
    X, _ = samples(n=4, times=300)
    cube = small(spacing=4.5).learn(X)
    assert cube.cube_.n_neurons > 20_000
    assert cube.transform(X).shape == (4, cube.cube_.n_neurons)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": None}, "got neither"),
        ({"positions": np.zeros((4, 3))}, "got both"),
        ({"names": ["C3", "C4", "O1", "EOG"]}, "'EOG' is not in montage"),
        ({"names": ["C3", "C4", "O1", "c3"]}, "occurs 2 times"),
        ({"names": ["C3", "C4", "O1"]}, "X has 4 channels, but names holds 3"),
        ({"montage": "standard_1006"}, "montage='standard_1006' is unknown"),
        ({"names": None, "positions": bundled_positions("power_2011")}, "X has 4 channels, but positions holds 264"),
        ({"names": None, "positions": 0.05 * np.eye(4, 3)}, "millimetres"),
        ({"names": None, "positions": 500 * np.eye(4, 3)}, "space and unit"),
        ({"names": None, "positions": np.full((4, 3), np.nan)}, "NaN"),
        ({"names": None, "positions": np.zeros((4, 2))}, "shape"),
        ({"neurons": "cortex"}, "neurons='cortex' is unknown"),
        ({"neurons": np.eye(3)}, "4 inputs do not fit into 3 neurons"),
        ({"negative": "same"}, "negative='same' is unknown"),
        ({"threshold": 0.0}, "threshold must lie in"),
        ({"refractory": 1.5}, "refractory must be an integer"),
        ({"limit": 0.1}, "at least twice max_weight"),
        ({"task": "steps"}, "task='steps' is unknown"),
        ({"readout": LogisticRegression}, "got LogisticRegression"),
    ],
)
def test_mistakes_in_parameters(options, message):
    with pytest.raises(InputError, match=message) as caught:
        small(**options).fit(*samples())
    assert "\n" not in str(caught.value)


def test_mistakes_in_data(fitted):
    X, y = samples()
    with pytest.raises(NotFittedError):
        small().predict(X)
    with pytest.raises(InputError, match="requires y"):
        small().fit(X, None)
    with pytest.raises(InputError, match="one class"):
        small().fit(X, np.zeros_like(y))
    with pytest.raises(InputError, match="y has shape"):
        small().fit(X, y[:-1])
    with pytest.raises(InputError, match="continuous"):
        small().fit(X, y + np.linspace(0, 0.5, len(y)))
    with pytest.raises(InputError, match="could not convert"):
        small(task="regression").fit(X, np.array(["a", "b"])[y])
    with pytest.raises(InputError, match="inconsistent numbers"):
        fitted.score(X, y[:-1])
    with pytest.raises(InputError, match="fitted on 4 channels, got samples"):
        fitted.predict(X.transpose(0, 2, 1))
    broken = X.copy()
    broken[0, 0, 0] = np.nan
    for call in (fitted.predict, lambda bad: small().fit(bad, y)):
        with pytest.raises(InputError, match="NaN"):
            call(broken)
    with pytest.raises(InputError, match="no spike at all"):
        small(encoder="spikes").fit(np.zeros_like(X), y)
    with pytest.raises(InputError, match="fitted on 100 steps"):
        fitted.predict(X[:, :, :50])


def test_a_silent_sample_is_predicted_and_a_silent_cube_is_reported(fitted):
    X, y = samples()
    constant = np.ones((2, 4, 100))
    assert not fitted.spikes(constant).any()
    assert fitted.predict(constant).shape == (2,)
    with pytest.warns(UserWarning, match="no neuron beyond the inputs spikes"):
        small(threshold=50.0).fit(X, y)
    with pytest.warns(UserWarning, match=r"of 0.143 that the refractory period allows"):
        small(rate=1.0, negative="mirror", threshold=0.05).fit(X, y)


def test_refitting_with_other_channels():
    X, y = samples()
    model = small().fit(X, y)
    model.set_params(names=NAMES[:2]).fit(X[:, :2], y)
    assert model.predict(X[:, :2]).shape == y.shape


def test_shares_are_absorbing_probabilities():
    random = np.random.default_rng(0)
    A = random.random((9, 9)) * (random.random((9, 9)) < 0.5)
    A[4] = 0  # nothing reaches neuron 4
    sources = [0, 3]
    found = source_shares(csr_array(A), sources)
    inner = [i for i in range(9) if i not in sources]
    rows = A[inner] / np.maximum(A[inner].sum(axis=1, keepdims=True), 1e-300)
    ends = np.linalg.solve(np.eye(len(inner)) - rows[:, inner], rows[:, sources])
    total = ends.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        found[inner], np.divide(ends, total, out=np.zeros_like(ends), where=total > 0), atol=1e-6
    )
    assert not found[4].any()
    np.testing.assert_array_equal(found[sources], np.eye(2))


def test_maps_count_what_the_spikes_say(fitted):
    X, _ = samples(seed=1)
    spikes, cube = fitted.spikes(X), fitted.cube_
    np.testing.assert_array_equal(fitted.spike_counts(X), spikes.sum(axis=1))
    activation = fitted.activation(X, bins=4)
    np.testing.assert_allclose(activation[1], spikes[:, 25:50].mean(axis=(0, 1)))
    sent = fitted.traffic(X, by="spikes")
    edge = 17
    assert sent[cube.receiver[edge], cube.sender[edge]] == spikes[..., cube.sender[edge]].sum() / len(X)
    strength = fitted.traffic(X).sum()
    assert strength == pytest.approx((spikes.sum(axis=(0, 1))[cube.sender] * np.abs(cube.weight)).sum() / len(X))
    cluster, between = fitted.clusters(X), fitted.input_traffic(X)
    np.testing.assert_array_equal(cluster[cube.inputs], np.arange(4))
    np.testing.assert_array_equal(cluster[cube.negative_inputs], np.arange(4))
    assert set(cluster) <= {-1, 0, 1, 2, 3}
    assert between.shape == (4, 4)
    assert 0 < between.sum() <= strength * (1 + 1e-6)
    with pytest.raises(InputError, match="bins=101"):
        fitted.activation(X, bins=101)
    with pytest.raises(InputError, match="by='weight' is unknown"):
        fitted.traffic(X, by="weight")


def test_traffic_follows_the_driving_channel():
    """Only channel 0 spikes: all traffic comes from it, and all neurons it reaches are its own."""
    X = np.zeros((2, 4, 80))
    X[:, 0, ::2] = 1
    cube = small(encoder="spikes").learn(X)
    traffic = cube.input_traffic(X)
    assert traffic[0, 0] > 0
    assert traffic.sum() == pytest.approx(traffic[0, 0])
    assert set(cube.clusters(X)) == {-1, 0, 1, 2, 3}


def test_pipeline_asks_for_places():
    X, y = samples()
    with pytest.raises(InputError, match="needs names="):
        create("neucube", n_chans=4, n_times=100, n_outputs=2, sfreq=250.0).fit(X, y)
    with pytest.raises(InputError, match="has no parameter 'spacin'; did you mean 'spacing'"):
        create("neucube", n_chans=4, n_times=100, n_outputs=2, sfreq=250.0, spacin=3)
    model = create("neucube", n_chans=4, n_times=100, n_outputs=2, sfreq=250.0, names=NAMES, random_state=0)
    assert model.fit(X, y).predict(X).shape == y.shape
