"""Non-spiking networks: published sizes, limits, options."""

import re

import pytest
import torch

from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.cnn2d import pooled_size, pooling_plan
from spikeneuro.models.recurrent_ann import GRU, LSTM


def count(model):
    return sum(p.numel() for p in model.parameters())


BCI = {"n_chans": 22, "n_times": 1125, "n_outputs": 4, "sfreq": 250.0}


def test_published_parameter_counts():
    """Figures of the table in Altaheri et al.'s repository for BCI IV 2a (22 channels, 4.5 s at 250 Hz, 4 classes)."""
    assert count(create("eegnet", **BCI, kernel_length=64)) == 2548
    assert count(create("shallow-fbcsp", **BCI)) == 47364
    assert count(create("atcnet", **BCI)) == 113732


def test_eegnet_at_its_published_rate_by_hand():
    model = create("eegnet", n_chans=22, n_times=256, n_outputs=4, sfreq=128.0)
    temporal, spatial, separable = 8 * 64, 16 * 22, 16 * 16 + 16 * 16
    norms, dense = 2 * (8 + 16 + 16), 16 * (256 // 4 // 8) * 4 + 4
    assert count(model) == temporal + spatial + separable + norms + dense


@pytest.mark.parametrize("name", ["eegnet", "shallow-fbcsp", "deep4", "eeg-conformer", "atcnet"])
@pytest.mark.parametrize("sfreq", [100.0, 250.0])
def test_the_minimum_length_in_the_message_is_the_minimum(name, sfreq):
    sizes = {"n_chans": 3, "n_outputs": 2, "sfreq": sfreq}
    with pytest.raises(InputError, match="at least") as caught:
        create(name, n_times=5, **sizes)
    minimum = int(re.search(r"at least (\d+)", str(caught.value)).group(1))
    model = create(name, n_times=minimum, **sizes).eval()
    assert model(torch.zeros(2, 3, minimum)).shape == (2, 2)
    with pytest.raises(InputError):
        create(name, n_times=minimum - 1, **sizes)


@pytest.mark.parametrize("name", ["shallow-fbcsp", "deep4"])
def test_one_channel_is_refused_where_nothing_can_be_filtered(name):
    with pytest.raises(InputError, match="at least 2"):
        create(name, n_chans=1, n_times=1000, n_outputs=2, sfreq=173.61)


def test_eeg_networks_need_the_sampling_rate():
    with pytest.raises(InputError, match="sfreq"):
        create("eegnet", n_chans=3, n_times=500, n_outputs=2)


@pytest.mark.parametrize(("cell", "gates"), [(LSTM, 4), (GRU, 3)])
def test_recurrent_parameters_by_hand(cell, gates):
    model = cell(5, 100, 3, hidden=16, downsample=1)
    assert count(model) == gates * 16 * (5 + 16 + 2) + 16 * 3 + 3


def test_long_signals_are_shortened_before_the_recurrence():
    assert LSTM(2, 100, 2).front is None
    assert LSTM(2, 2000, 2, task="steps").front is None
    model = LSTM(2, 2000, 2).eval()
    seen = []
    model.recurrent.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    model(torch.zeros(1, 2, 2000))
    assert 128 <= seen[0] <= 255


def test_dropping_steps_that_need_labels_is_refused():
    with pytest.raises(InputError, match="downsample=4"):
        GRU(2, 100, 2, task="steps", downsample=4)
    with pytest.raises(InputError, match="at most half"):
        GRU(2, 10, 2, downsample=6)


def test_forget_gates_start_open():
    model = LSTM(2, 100, 2, hidden=8)
    assert torch.equal(model.recurrent.bias_ih_l0[8:16], torch.ones(8))


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (33, 47), (128, 128), (176, 208), (250, 200)])
def test_pooling_leaves_a_small_map_of_any_image(size):
    height, width = pooled_size(size, pooling_plan(size, 3))
    assert 4 <= min(height, width) <= 9
    for name in ("cnn2d", "spiking-cnn2d"):
        model = create(name, in_chans=1, image_size=size, n_outputs=2, filters=(2, 2, 2)).eval()
        assert model(torch.zeros(1, 1, *size)).shape == (1, 2)


def test_even_kernels_are_refused():
    with pytest.raises(InputError, match="odd"):
        create("cnn2d", in_chans=1, image_size=28, n_outputs=2, kernel_size=4)
    with pytest.raises(InputError, match="odd"):
        create("cnn1d", n_chans=1, n_times=28, n_outputs=2, kernel_sizes=(4, 3, 3))
