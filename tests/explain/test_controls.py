"""Controls of the input and inside a network: what they keep is kept exactly, what they take is gone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from spikeneuro.encoders import StepForwardEncoder
from spikeneuro.errors import InputError
from spikeneuro.explain import CONTROLS, HIDDEN_CONTROLS, apply_control, shuffled_layers, time_layers
from spikeneuro.models import create
from spikeneuro.nn import LIF, RateReadout, RecurrentLIF

signals = hnp.arrays(np.float64, (3, 2, 17), elements=st.floats(-9, 9, width=32))


@settings(max_examples=30, deadline=None)
@given(signals, st.integers(0, 99))
def test_every_permutation_keeps_the_values_of_each_channel(x, seed):
    for name in ("time-shuffled", "time-shuffled-by-channel", "segments-permuted", "time-reversed"):
        changed = apply_control(x, name, random_state=seed)
        assert np.array_equal(np.sort(changed, axis=-1), np.sort(x, axis=-1))
        assert changed.shape == x.shape
        assert changed.dtype == x.dtype


@settings(max_examples=30, deadline=None)
@given(signals, st.integers(0, 99))
def test_shuffled_times_keep_what_occurs_together(x, seed):
    for name in ("time-shuffled", "segments-permuted", "time-reversed"):
        changed = apply_control(x, name, random_state=seed)
        for before, after in zip(x, changed, strict=True):
            assert sorted(map(tuple, before.T)) == sorted(map(tuple, after.T))


def test_shuffled_by_channel_takes_coincidence():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(50, 1, 200)), 2, axis=1)
    kept, taken = (apply_control(x, name) for name in ("time-shuffled", "time-shuffled-by-channel"))
    assert np.array_equal(kept[:, 0], kept[:, 1])
    across = [np.corrcoef(sample)[0, 1] for sample in taken]
    assert abs(np.mean(across)) < 4 / np.sqrt(50 * 200)


def test_each_sample_is_shuffled_by_itself_and_by_the_seed():
    x = np.tile(np.arange(40.0), (6, 1, 1))
    changed = apply_control(x, "time-shuffled", random_state=3)
    assert len({tuple(sample.ravel()) for sample in changed}) == 6
    assert np.array_equal(changed, apply_control(x, "time-shuffled", random_state=3))
    assert not np.array_equal(changed, apply_control(x, "time-shuffled", random_state=4))
    assert np.array_equal(x, np.tile(np.arange(40.0), (6, 1, 1))), "the input was changed"


def test_shuffled_orders_are_uniform():
    """All 6 orders of 3 times come equally often: chi-square over 6000 samples."""
    changed = apply_control(np.tile(np.arange(3), (6000, 1, 1)), "time-shuffled", random_state=1)[:, 0]
    _, counts = np.unique(changed, axis=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # 0.999 quantile with 5 degrees of freedom


@pytest.mark.parametrize(("times", "n_segments"), [(16, 4), (17, 4), (8, 8), (5, 2)])
def test_segments_stay_whole_and_do_not_stay_in_place(times, n_segments):
    x = np.tile(np.arange(times), (40, 1, 1))
    changed = apply_control(x, "segments-permuted", n_segments=n_segments)[:, 0]
    pieces = {tuple(piece) for piece in np.array_split(np.arange(times), n_segments)}
    starts = {piece[0]: len(piece) for piece in pieces}
    for sample in changed:
        assert sample.tolist() != list(range(times))
        place = 0
        while place < times:
            length = starts[sample[place]]
            assert tuple(sample[place : place + length]) in pieces
            place += length


def test_mean_and_reverse_are_what_they_say():
    x = np.random.default_rng(1).normal(size=(4, 3, 11)).astype(np.float32)
    np.testing.assert_array_equal(apply_control(x, "time-reversed"), x[..., ::-1])
    mean = apply_control(x, "time-mean")
    np.testing.assert_allclose(mean, np.repeat(x.mean(-1, keepdims=True), 11, axis=-1), rtol=1e-6, atol=1e-7)
    assert (np.ptp(mean, axis=-1) == 0).all()
    spikes = np.eye(4, dtype=np.uint8)[None]
    assert apply_control(spikes, "time-mean").tolist() == np.full((1, 4, 4), 0.25).tolist()


@pytest.mark.parametrize("name", CONTROLS)
def test_axes_types_and_ragged_recordings(name):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 2, 16))
    there = apply_control(x, name, random_state=5)
    np.testing.assert_array_equal(
        apply_control(x.swapaxes(1, 2), name, time_axis=1, random_state=5).swapaxes(1, 2), there
    )
    tensor = apply_control(torch.as_tensor(x), name, random_state=5)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), there)
    ragged = apply_control([x[0], x[1, :, :9]], name, random_state=5)
    assert [recording.shape for recording in ragged] == [(2, 16), (2, 9)]
    np.testing.assert_array_equal(ragged[0], there[0])
    np.testing.assert_array_equal(np.sort(apply_control(x[:, 0], name)), np.sort(apply_control(x, name)[:, 0]))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.zeros((2, 1, 9)), {"control": "shufled"}, "control='shufled' is unknown"),
        (np.full((2, 1, 9), np.nan), {}, "NaN or infinite"),
        (np.zeros((0, 1, 9)), {}, "without an empty axis"),
        (np.zeros(9), {}, "without an empty axis"),
        (np.array([["a", "b"]]), {}, "real numbers"),
        (np.zeros((2, 1, 9)), {"time_axis": 0}, "axis of the samples"),
        (np.zeros((2, 1, 9)), {"time_axis": 3}, "time_axis must lie in"),
        (np.zeros((2, 1, 9)), {"control": "segments-permuted", "n_segments": 10}, "cannot be cut from 9 times"),
        (np.zeros((2, 1, 9)), {"n_segments": 1}, "n_segments must lie in"),
        ([np.zeros((1, 5)), np.full((1, 6), np.inf)], {}, "recording 1 holds"),
        ([np.zeros((1, 5)), np.zeros(6)], {}, "arrays \\(channels, times\\)"),
    ],
)
def test_bad_input_is_refused(x, options, message):
    with pytest.raises(InputError, match=message) as caught:
        apply_control(x, **{"control": "time-shuffled", **options})
    assert "\n" not in str(caught.value)


# inside a network


@pytest.mark.parametrize("by_neuron", [True, False])
@pytest.mark.parametrize("kind", [LIF, RecurrentLIF])
def test_hidden_shuffling_keeps_every_count(by_neuron, kind):
    layer = kind(7, beta=0.9)
    x = torch.rand(60, 5, 7, generator=torch.Generator().manual_seed(0))
    plain = layer(x)
    with shuffled_layers(layer, [kind.__name__], by_neuron=by_neuron, random_state=1) as calls:
        confused = layer(x)
    assert calls == {kind.__name__: 1}
    assert torch.equal(confused.sum(0), plain.sum(0))
    assert not torch.equal(confused, plain)
    assert torch.equal(layer(x), plain), "the hook stayed"
    together = sorted(map(tuple, confused[:, 0].tolist())) == sorted(map(tuple, plain[:, 0].tolist()))
    assert together == (not by_neuron)


def test_hidden_shuffling_takes_feature_maps_and_draws_by_its_seed():
    layer, x = LIF((2, 1, 1), beta=0.5), torch.rand(30, 3, 2, 4, 4) * 2
    state = torch.get_rng_state()
    found = []
    for seed in (0, 0, 1):
        with shuffled_layers(layer, ["LIF"], random_state=seed):
            found.append(layer(x))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(found[0].sum(0), layer(x).sum(0))


def test_time_layers_are_spiking_layers_and_encoders():
    network = create("recurrent-snn", n_chans=3, n_times=40, n_outputs=2, sfreq=100.0, n_layers=2)
    assert time_layers(network) == ["encoder", "neurons.0", "neurons.1"]
    assert time_layers(nn.LSTM(3, 4)) == []
    encoder = StepForwardEncoder(threshold=0.3)
    x = torch.randn(4, 2, 30)
    with shuffled_layers(encoder, ["StepForwardEncoder"]):
        assert torch.equal(encoder(x).sum(0), StepForwardEncoder(threshold=0.3)(x).sum(0))


def test_hooks_go_when_the_network_fails():
    network = nn.Sequential(LIF(3, beta=0.9), nn.Linear(4, 2))
    with pytest.raises(RuntimeError), shuffled_layers(network, ["0"]):
        network(torch.rand(5, 2, 3))
    assert not network[0]._forward_hooks


def test_layers_that_cannot_be_shuffled_are_refused():
    network = nn.Sequential(LIF(3, beta=0.9), RateReadout())
    with pytest.raises(InputError, match="layer='1.0' is unknown"), shuffled_layers(network, ["1.0"]):
        pass
    with pytest.raises(InputError, match="must be a list of names"), shuffled_layers(network, "0"):
        pass
    with pytest.raises(InputError, match=r"layer '1' gives shape \(2, 3\)"), shuffled_layers(network, ["1"]):
        network(torch.rand(5, 2, 3))
    lstm = nn.LSTM(3, 4)
    with pytest.raises(InputError, match="gives tuple"), shuffled_layers(lstm, ["LSTM"]):
        lstm(torch.rand(5, 2, 3))
    pieces = create("recurrent-snn", n_chans=3, n_times=40, n_outputs=2, sfreq=100.0, recompute=4, norm="layer")
    with pytest.raises(InputError, match="in pieces of time"), shuffled_layers(pieces, ["neurons.0"]):
        pieces(torch.randn(2, 3, 40))


def test_tables_are_complete():
    assert set(CONTROLS).isdisjoint(HIDDEN_CONTROLS)
    for control in CONTROLS.values():
        assert control.title
        assert control.keeps
        assert control.removes
