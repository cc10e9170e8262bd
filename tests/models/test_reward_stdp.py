"""A classifier that learns from reward alone: against its equations by hand, on data it can learn, and its mistakes."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning

from spikeneuro import energy
from spikeneuro.encoders import DirectEncoder, RateEncoder
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.reward_stdp import RewardSTDPClassifier
from spikeneuro.plasticity import PairSTDP


def blobs(n=60, classes=3, features=12, shift=2.0, seed=0):
    """Features, every third of which is higher in one class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(n, features)) + shift * (np.arange(features) % classes == y[:, None]), y


def small(**options):
    return RewardSTDPClassifier(random_state=0, **{"pool": 3, "epochs": 15, "n_steps": 20, **options})


def test_reward_alone_teaches_and_its_absence_does_not():
    X, y = blobs()
    learned = small(epochs=25).fit(X[:45], y[:45])
    assert learned.score(X[45:], y[45:]) >= 0.7
    assert np.mean(learned.rewards_[-5:]) > np.mean(learned.rewards_[:2]) + 0.3
    shuffled = np.random.default_rng(1).permutation(y[:45])  # the same rewards on average, but of nothing
    assert small(epochs=25).fit(X[:45], shuffled).score(X[45:], y[45:]) < 0.65


def test_one_batch_changes_the_weights_by_reward_times_eligibility():
    """One step of code, one sample: all by hand."""
    X, y = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0, 1])
    model = RewardSTDPClassifier(
        1, encoder=RateEncoder(6, gain=1.0, low=0.0, high=1.0), scale="none", epochs=1, batch_size=1, drive=0.7,
        inhibition=0.0, reward="sign", rate=0.01, tau_eligibility=4.0, random_state=1,
        rule=PairSTDP(a_plus=1.0, a_minus=0.0, tau_plus=5.0, dt=1.0),
    )  # fmt: skip
    told: list = []
    network = {}

    class Watched(RewardSTDPClassifier):
        def _learn(self, x, y, total):
            network["before"] = self.network_.layer.synapses.weight.detach().clone()
            network["total"] = total
            encode = self.network_.encode
            self.network_.encode = lambda batch: told.append(encode(batch)) or told[-1]
            super()._learn(x, y, total)
            del self.network_.encode

    watched = Watched(**model.get_params()).fit(X, y)
    weight, total = network["before"].double(), network["total"]
    for pre in told[:2]:  # the code is certain: x = 1 spikes at every step
        sample = 0 if pre[0, 0, 0] else 1
        assert pre.mean() == 0.5
        v, trace = torch.zeros(2, dtype=torch.double), torch.zeros(4, dtype=torch.double)
        eligible, counts = torch.zeros(2, 4, dtype=torch.double), torch.zeros(2)
        for now in pre[:, 0].double():
            trace = math.exp(-1 / 5.0) * trace + now
            v = math.exp(-1 / 10.0) * v + weight @ now
            spikes = (v > 1).double()
            v = v - spikes
            counts += spikes
            eligible = math.exp(-1 / 4.0) * eligible + spikes[:, None] * trace
        assert counts[0] != counts[1], "a tie would be decided by chance"
        reward = 1.0 if int(counts.argmax()) == sample else -1.0
        weight = (weight + 0.01 * total / 4 * reward * eligible).clamp(0.0, 10 * total / 4)
        weight = weight * (total / weight.sum(1, keepdim=True))
    torch.testing.assert_close(watched.network_.layer.synapses.weight.double(), weight, rtol=1e-4, atol=1e-5)


def test_same_seed_same_answer_whatever_else_is_asked():
    X, y = blobs(36)
    first, second = small().fit(X, y), small().fit(X, y)
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    torch.manual_seed(5)
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    before = first.network_.layer.synapses.weight.clone()
    first.predict(X)
    assert torch.equal(first.network_.layer.synapses.weight, before)  # inference never changes a weight
    assert np.allclose(first.predict_proba(X).sum(1), 1.0)
    assert clone(first).get_params().keys() == first.get_params().keys()


def test_a_prediction_depends_on_its_own_sample_alone():
    X, y = blobs(36, shift=0.5)
    model = small(epochs=2).fit(X, y)
    together = model.predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X[::-1])[::-1], together)
    np.testing.assert_array_equal(model.predict_proba(X[7:9]), together[7:9])


def test_a_sample_is_shown_again_only_if_its_code_draws_and_the_ledger_counts_it():
    X, y = blobs(30)
    once, thrice = (small(epochs=2, n_votes=n).fit(X, y) for n in (1, 3))
    assert energy.count(thrice, X[:8]).acs == pytest.approx(3 * energy.count(once, X[:8]).acs, rel=0.1)
    signals = np.cumsum(X[:, None], axis=2)
    certain = [small(epochs=2, encoder="delta", n_steps=1, n_votes=n).fit(signals, y) for n in (1, 3)]
    np.testing.assert_array_equal(*(model.predict_proba(signals) for model in certain))
    assert energy.count(certain[0], signals[:8]).acs == energy.count(certain[1], signals[:8]).acs


def test_signals_and_other_codes():
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    X = np.cumsum(rng.normal(size=(24, 3, 30)), axis=2) * (1 + y)[:, None, None]
    model = small(encoder="delta", n_steps=1, epochs=3, scale="sample").fit(X, y)
    assert model.predict(X).shape == (24,)
    with pytest.raises(InputError, match="DirectEncoder gives no spikes"):
        small(encoder=DirectEncoder()).fit(X, y)


def test_pipeline_is_counted_by_the_ledger():
    X, y = blobs(30)
    pipeline = create("reward-stdp", n_chans=1, n_times=12, n_outputs=3, random_state=0, pool=2, epochs=2).fit(X, y)
    ledger = energy.count(pipeline[-1], X[:4])
    assert ledger.macs == 0
    assert ledger.acs > 0
    assert 0 < ledger.spike_rate < 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": 0}, "pool must lie in"),
        ({"rate": -1.0}, "rate must lie in"),
        ({"reward": "errors"}, "reward='errors' is unknown; did you mean 'error'"),
        ({"reward_memory": 1.0}, "reward_memory must lie in"),
        ({"drive": 1e-6}, "no neuron ever fired"),
    ],
)
def test_mistakes_are_named(options, message):
    X, y = blobs(24)
    with pytest.raises(InputError, match=message):
        small(**options).fit(X, y)


def test_wrong_data_are_named():
    X, y = blobs(24)
    with pytest.raises(InputError, match="NaN"):
        small().fit(np.where(X > 3, np.nan, X), y)
    with pytest.raises(InputError, match="only 1 class"):
        small().fit(X, np.zeros(24))
    with pytest.raises(InputError, match="24 samples but y 20 labels"):
        small().fit(X, y[:20])
    with pytest.raises(InputError, match="has 11 channels, but the classifier was fitted on 12"):
        small(epochs=1).fit(X, y).predict(X[:, :11])
    with pytest.raises(InputError, match="inhomogeneous"):
        small().fit([np.zeros((2, 5)), np.zeros((2, 6))], [0, 1])
    with pytest.raises(InputError, match="'poool'"):
        create("reward-stdp", n_chans=1, n_times=12, n_outputs=3, poool=2)


def test_labels_in_a_column_are_labels():
    X, y = blobs(30)
    flat = small(epochs=3).fit(X, y)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        column = small(epochs=3).fit(X, y[:, None])
    np.testing.assert_array_equal(column.predict_proba(X), flat.predict_proba(X))
    assert column.rewards_ == flat.rewards_
