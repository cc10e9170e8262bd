"""Codes that draw at random: a reservoir treats every sample as if it were alone, and draws by its own seed only."""

import numpy as np
import pytest
import torch

from spikeneuro import energy
from spikeneuro.encoders import RateEncoder
from spikeneuro.reservoir import LiquidStateMachine, NeuCube

pytestmark = pytest.mark.filterwarnings("ignore:the cube tells little")


def samples(n=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2, 60)), np.arange(n) % 2


MODELS = {
    "liquid": lambda encoder: LiquidStateMachine(30, sfreq=100.0, encoder=encoder, random_state=0),
    "cube": lambda encoder: NeuCube(
        names=["C3", "C4"], spacing=20.0, encoder=encoder, threshold=0.05, max_weight=0.5, random_state=0
    ),
}


@pytest.mark.parametrize("encoder", ["rate", RateEncoder(2, random_state=3)])
@pytest.mark.parametrize("name", MODELS)
def test_spikes_do_not_depend_on_the_batch(name, encoder):
    X, y = samples()
    model = MODELS[name](encoder).fit(X, y)
    together = model.spikes(X)
    assert together.any()
    alone = np.concatenate([model.spikes(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(model.spikes(X[::-1])[::-1], together)
    np.testing.assert_array_equal(model.predict(X[::-1])[::-1], model.predict(X))


@pytest.mark.parametrize("name", MODELS)
def test_the_global_generator_plays_no_part_and_is_left_alone(name):
    X, y = samples()
    torch.manual_seed(1)
    model = MODELS[name]("rate").fit(X, y)
    first = model.spikes(X)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    np.testing.assert_array_equal(model.spikes(X), first)
    assert torch.equal(torch.get_rng_state(), before)
    other = MODELS[name]("rate").set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.spikes(X), first)


def test_frequencies_are_those_of_the_code():
    """The same numbers for every sample, but independent ones for every step and channel."""
    X = np.full((3, 2, 4000), 0.3)
    encoder = RateEncoder(low=0.0, high=1.0)
    cube = NeuCube(names=["C3", "C4"], spacing=20.0, encoder=encoder, random_state=0).learn(X)
    spikes = cube.spikes(X)[..., cube.cube_.inputs].astype(float)
    np.testing.assert_allclose(spikes.mean(axis=1), 0.3, atol=4 * np.sqrt(0.21 / 4000))
    assert abs(np.corrcoef(spikes[0].T)[0, 1]) < 4 / np.sqrt(4000)


def test_the_ledger_counts_a_random_code():
    X, y = samples()
    ledger = energy.count(MODELS["liquid"]("rate").fit(X, y), X)
    assert ledger.acs > 0
