"""Scaler, losses, batches, schedules and windows, each against an independent answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from spikeneuro import NeuroClassifier
from spikeneuro.errors import InputError
from spikeneuro.training import ChannelScaler, MaskedCrossEntropy, Windowed, rate_penalty
from spikeneuro.training.net import Batches, Samples


def test_standard_scaler_equals_scikit_learn_per_channel():
    X = np.random.default_rng(0).normal(3, 2, size=(10, 4, 30))
    flat = X.transpose(0, 2, 1).reshape(-1, 4)
    expected = StandardScaler().fit_transform(flat).reshape(10, 30, 4).transpose(0, 2, 1)
    np.testing.assert_allclose(ChannelScaler().fit_transform(X), expected, atol=1e-5)


def test_robust_scaler_agrees_on_gaussian_data_and_ignores_an_artefact():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 1, 2000))
    X[0, 0, :100] = 1e4
    scaler = ChannelScaler("robust").fit(X)
    assert scaler.scale_[0] == pytest.approx(1, abs=0.02)
    assert scaler.center_[0] == pytest.approx(0, abs=0.02)


def test_sample_scaling_is_free_of_amplitude():
    X = np.random.default_rng(0).normal(size=(5, 3, 40))
    scaler = ChannelScaler("sample").fit(X)
    np.testing.assert_allclose(scaler.transform(X), scaler.transform(X * 7 + 2), atol=1e-5)


def test_masked_cross_entropy_is_the_mean_over_labelled_steps():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(3, 4, 5)))
    target = torch.from_numpy(rng.integers(-1, 4, size=(3, 5)))
    terms = [
        -torch.log_softmax(logits[b, :, t], 0)[target[b, t]] for b in range(3) for t in range(5) if target[b, t] >= 0
    ]
    torch.testing.assert_close(MaskedCrossEntropy()(logits, target), torch.stack(terms).mean())


def test_rate_penalty_by_hand():
    spikes = torch.zeros(10, 2, 2)
    spikes[:, :, 1] = 1
    # rates 0 and 1 against the band 0.1 to 0.4: squares 0.01 and 0.36, mean 0.185
    assert float(rate_penalty([spikes], (0.1, 0.4))) == pytest.approx(0.185)


@given(count=st.integers(2, 200), size=st.integers(1, 64))
@settings(deadline=None, max_examples=50)
def test_batches_cover_everything_once_and_are_even(count, size):
    data = Samples(torch.arange(count), torch.arange(count))
    seen = [batch[0] for batch in Batches(data, size, shuffle=True, generator=torch.Generator().manual_seed(0))]
    lengths = [len(batch) for batch in seen]
    assert sorted(torch.cat(seen).tolist()) == list(range(count))
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


def test_a_batch_without_a_labelled_step_costs_nothing():
    logits = torch.zeros(2, 3, 4, requires_grad=True)
    loss = MaskedCrossEntropy()(logits, torch.full((2, 4), -1))
    loss.backward()
    assert float(loss) == 0
    assert not logits.grad.any()


def test_weight_decay_spares_time_constants():
    """A thousand steps without gradient shrink the weights by (1 - lr wd)^1000 and leave log tau and biases alone."""
    from spikeneuro.nn import LIF
    from spikeneuro.training.parameters import split_decay

    net = torch.nn.Sequential(torch.nn.Linear(3, 4), LIF(4, tau_mem=0.02, dt=0.004, learn="tau_mem"))
    before = {name: value.clone() for name, value in net.named_parameters()}
    optimizer = split_decay(torch.optim.AdamW, [{"params": list(net.parameters())}], lr=0.01, weight_decay=0.1)
    for _ in range(1000):
        for parameter in net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for name, value in net.named_parameters():
        expected = before[name] * (0.999**1000 if value.ndim == 2 else 1.0)
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=0)


def ragged(lengths):
    X = np.empty(len(lengths), dtype=object)
    X[:] = [np.arange(2 * n, dtype=float).reshape(2, n) for n in lengths]
    return X


@given(lengths=st.lists(st.integers(10, 60), min_size=1, max_size=6), step=st.integers(1, 12), most=st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_windows_are_the_formula(lengths, step, most):
    windows, owner = Windowed(None, 10, step).windows(ragged(lengths))
    np.testing.assert_array_equal(np.bincount(owner), [1 + (n - 10) // step for n in lengths])
    assert windows.shape[1:] == (2, 10)
    assert np.all(np.diff(windows, axis=-1) == 1)
    capped = np.bincount(Windowed(None, 10, step, most).windows(ragged(lengths))[1])
    assert capped.max() <= most


def test_windowed_averages_the_windows():
    rng = np.random.default_rng(0)
    X = np.empty(16, dtype=object)
    X[:] = [rng.normal(size=(2, 40 + 8 * (i % 3))) for i in range(16)]
    y = np.tile([0, 1], 8)
    clf = Windowed(NeuroClassifier("cnn1d", sfreq=1.0, max_epochs=2, random_state=0), 32, 8).fit(X, y)
    windows, owner = clf.windows(X)
    inner = clf.estimator_.predict_proba(windows)
    np.testing.assert_allclose(clf.predict_proba(X)[3], inner[owner == 3].mean(axis=0))
    assert set(clf.train_index_).isdisjoint(clf.validation_index_)
    with pytest.raises(InputError, match="recording 1 has 12 times"):
        clf.predict(ragged([40, 12]))
