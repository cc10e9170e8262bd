"""Spiking networks: equivalences, streaming, clocks, learning."""

import pytest
import torch

from spikeneuro import encoders
from spikeneuro._random import scoped_seed
from spikeneuro.encoders import DeltaEncoder, DirectEncoder, Encoder
from spikeneuro.errors import InputError
from spikeneuro.models import create
from spikeneuro.models.mlp import SpikingMLP
from spikeneuro.models.recurrent_snn import RecurrentSNN
from spikeneuro.models.spiking_cnn2d import SpikingCNN2d
from spikeneuro.models.spiking_eegnet import SpikingEEGNet


class Held(Encoder):
    """The direct code under another class, so that no shortcut for constant current applies."""

    graded = True

    def _encode(self, x):
        return x.unsqueeze(1).expand(-1, self.steps_per_sample, *(-1 for _ in x.shape[1:]))

    def _decode(self, codes):
        return codes[:, 0].squeeze(3)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_spatial_filters_first_compute_what_temporal_filters_first_do():
    """Two linear stages commute when the maps of a temporal filter share it."""
    sizes = {"n_chans": 5, "n_times": 128, "n_outputs": 2, "sfreq": 64.0, "n_filters": 4, "depth": 2}
    spatial = SpikingEEGNet(**sizes).double().eval()
    temporal = SpikingEEGNet(**sizes, first="temporal").double().eval()
    in_time, in_space = temporal.filters[1].weight, temporal.filters[3].weight  # (4, 1, 1, 33), (8, 1, 5, 1)
    with torch.no_grad():
        spatial.filters[0].weight.copy_(in_space[:, 0])
        spatial.filters[2].weight.copy_(in_time[:, 0].repeat_interleave(2, dim=0))
    x = randn(3, 5, 128)
    # the normalisations are fresh: each divides by sqrt(1 + eps), the same in both orders
    torch.testing.assert_close(spatial.filters(x), temporal.filters(x), rtol=1e-10, atol=1e-12)


def test_spatial_filters_first_need_fewer_products():
    n_chans, n_times, maps, n_filters, kernel = 19, 500, 16, 8, 63
    spatial = n_times * maps * (n_chans + kernel)
    temporal = n_times * n_filters * n_chans * kernel + n_times * maps * n_chans
    model = SpikingEEGNet(n_chans, n_times, 2, 125.0)
    assert spatial == n_times * (model.filters[0].weight.numel() + model.filters[2].weight.numel())
    assert temporal > 7 * spatial


def test_constant_current_is_convolved_once_with_the_same_result():
    sizes = {"in_chans": 1, "image_size": 12, "n_outputs": 3, "filters": (4, 5)}
    with scoped_seed(0):
        once = SpikingCNN2d(**sizes, encoder=DirectEncoder(4)).double().eval()
        each = SpikingCNN2d(**sizes, encoder=Held(4)).double().eval()
    each.load_state_dict(once.state_dict())
    x = randn(3, 1, 12, 12)
    torch.testing.assert_close(once(x), each(x), rtol=1e-12, atol=1e-12)


def test_constant_features_are_multiplied_once_with_the_same_result():
    once = SpikingMLP(1, 7, 3, hidden=(6, 5), encoder=DirectEncoder(8)).double().eval()
    each = SpikingMLP(1, 7, 3, hidden=(6, 5), encoder=Held(8)).double().eval()
    each.load_state_dict(once.state_dict())
    x = randn(4, 7)
    torch.testing.assert_close(once(x), each(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(once(x), once(x.unsqueeze(1)))


@pytest.mark.parametrize("readout", ["rate", "leaky", "max", "last", "steps"])
@pytest.mark.parametrize(
    "encoder", [DirectEncoder(), DirectEncoder(3), DeltaEncoder(threshold=0.4, steps_per_sample=2)]
)
def test_pieces_equal_the_whole(readout, encoder):
    choice = {"task": "steps"} if readout == "steps" else {"readout": readout}
    with scoped_seed(1):
        model = RecurrentSNN(3, 40, 2, 100.0, hidden=12, n_layers=2, encoder=encoder, **choice).double().eval()
    x = randn(2, 3, 40)
    whole = model(x)
    at_once = model.run(x)
    torch.testing.assert_close(at_once.output, whole, rtol=1e-9, atol=1e-11)
    assert any(spikes.any() for spikes in at_once.spikes)
    state, outputs = None, []
    for piece in x.split([1, 13, 2, 24], dim=-1):
        result = model.run(piece, state)
        state = result.state
        outputs.append(result.output)
    together = torch.cat(outputs, dim=-1) if readout == "steps" else outputs[-1]
    torch.testing.assert_close(together, whole, rtol=1e-9, atol=1e-11)
    assert state.n_steps == 40 * encoder.steps_per_sample


def test_streaming_needs_evaluation_mode():
    with pytest.raises(InputError, match=r"model\.eval\(\)"):
        RecurrentSNN(3, 40, 2, 100.0).run(torch.zeros(1, 3, 40))


def test_labels_of_steps_do_not_see_the_future():
    model = RecurrentSNN(2, 50, 3, 100.0, task="steps", n_layers=2).double().eval()
    x = randn(2, 2, 50)
    changed = x.clone()
    changed[..., 30:] += 5
    before, after = model(x), model(changed)
    assert torch.equal(before[..., :30], after[..., :30])
    assert not torch.allclose(before[..., 30:], after[..., 30:])


def test_time_constants_follow_the_sampling_rate():
    model = SpikingEEGNet(4, 500, 2, 125.0)
    tau = model.first.tau_mem
    torch.testing.assert_close(tau[[0, -1]], torch.tensor([0.008, 0.08]), rtol=1e-4, atol=0)
    ratio = tau[1:] / tau[:-1]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-3, atol=0)
    assert model.first.dt == pytest.approx(1 / 125)
    assert model.second.dt == pytest.approx(4 / 125)  # after pooling by 4
    torch.testing.assert_close(model.second.tau_mem[[0, -1]], torch.tensor([0.03, 0.4]), rtol=1e-4, atol=0)
    doubled = SpikingEEGNet(4, 500, 2, 125.0, encoder=DirectEncoder(2))
    assert doubled.first.dt == pytest.approx(1 / 250)
    assert doubled.second.dt == pytest.approx(8 / 250)


def test_time_constants_in_steps_ignore_the_sampling_rate():
    slow = RecurrentSNN(4, 60, 2, 0.5, tau_unit="steps")
    none = RecurrentSNN(4, 60, 2, None, tau_unit="steps")
    assert slow.neurons[0].dt == none.neurons[0].dt == 1.0
    torch.testing.assert_close(slow.neurons[0].tau_mem[[0, -1]], torch.tensor([1.0, 50.0]), rtol=1e-4, atol=0)


def test_parameter_count_by_hand():
    # spatial 19*16, temporal 16*63, separable 16*15 + 16*16, three norms of 2*16, readout 16*4 bins to 2 with bias
    expected = 19 * 16 + 16 * 63 + 16 * 15 + 16 * 16 + 3 * 32 + (64 * 2 + 2)
    assert sum(p.numel() for p in SpikingEEGNet(19, 500, 2, 125.0).parameters()) == expected
    # input 4*32, norm 2*32, recurrence 32*32, membrane time constants 32, head 32*6 + 6, readout time constants 6
    model = RecurrentSNN(4, 100, 6, 250.0, task="steps", hidden=32)
    assert sum(p.numel() for p in model.parameters()) == 4 * 32 + 64 + 32 * 32 + 32 + 32 * 6 + 6 + 6


@pytest.mark.parametrize("name", encoders.names())
def test_every_encoder_drives_the_signal_models(name):
    x = randn(2, 3, 128).float()
    for model in ("spiking-eegnet", "recurrent-snn"):
        network = create(model, n_chans=3, n_times=128, n_outputs=2, sfreq=64.0, encoder=name)
        network.encoder.fit(x)
        assert network(x).shape == (2, 2)


@pytest.mark.parametrize("name", encoders.names(images=True))
def test_every_image_encoder_drives_the_image_model(name):
    x = randn(2, 1, 12, 12).float()
    network = SpikingCNN2d(1, 12, 2, filters=(4, 4), encoder=name)
    network.encoder.fit(x)
    assert network(x).shape == (2, 2)


def test_an_encoder_that_takes_no_images_is_refused():
    with pytest.raises(InputError, match="image"):
        SpikingCNN2d(1, 12, 2, encoder=DeltaEncoder(threshold=0.1))(torch.zeros(1, 1, 12, 12))


def two_rhythms(count, seed):
    """Noise with a 6 Hz or an 18 Hz rhythm of random phase, 2 s at 64 Hz, three channels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    t = torch.arange(128) / 64.0
    phase = 6.28 * torch.rand(count, 1, 1, generator=generator)
    hertz = torch.where(y == 0, 6.0, 18.0).reshape(-1, 1, 1)
    return torch.sin(6.2832 * hertz * t + phase) + 0.5 * torch.randn(count, 3, 128, generator=generator), y


@pytest.mark.parametrize("name", ["spiking-eegnet", "recurrent-snn"])
def test_learns_which_rhythm(name):
    x, y = two_rhythms(96, 0)
    with scoped_seed(0):
        model = create(name, n_chans=3, n_times=128, n_outputs=2, sfreq=64.0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(12):
            for index in torch.randperm(96).split(32):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[index]), y[index]).backward()
                optimizer.step()
    x_new, y_new = two_rhythms(64, 1)
    with torch.no_grad():
        accuracy = (model.eval()(x_new).argmax(1) == y_new).float().mean()
    assert accuracy > 0.85


def test_eegnet_for_slow_signals_is_refused_with_the_way_out():
    with pytest.raises(InputError, match="tau_unit='steps'"):
        SpikingEEGNet(4, 100, 2, 0.5)


def test_too_short_windows_name_the_minimum():
    with pytest.raises(InputError, match="at least 16"):
        SpikingEEGNet(4, 15, 2, 125.0)
    assert SpikingEEGNet(4, 16, 2, 125.0).eval()(torch.zeros(1, 4, 16)).shape == (1, 2)


def test_missing_sampling_rate_is_explained():
    with pytest.raises(InputError, match="sfreq"):
        SpikingEEGNet(4, 100, 2)
    with pytest.raises(InputError, match="tau_unit='steps'"):
        RecurrentSNN(4, 100, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "delat"}, "did you mean 'delta'"),
        ({"encoder": 3}, "name or an Encoder"),
        ({"surrogate": "fast-sigmoid"}, "fast_sigmoid"),
        ({"tau_unit": "ms"}, "tau_unit"),
        ({"norm": "group"}, "norm"),
        ({"readout": "mean"}, "readout"),
        ({"task": "regresion"}, "regression"),
        ({"tau": (0.5, 0.1)}, "high"),
    ],
)
def test_mistyped_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        RecurrentSNN(4, 100, 2, 100.0, **options)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("spiking-eegnet", "tau_first"),
        ("spiking-filter-bank", "tau_second"),
        ("spiking-filter-bank", "band"),
        ("recurrent-snn", "tau"),
        ("rhythm-snn", "tau"),
    ],
)
@pytest.mark.parametrize("value", [0.1, (0.1,), "ab", (0.1, "x")])
def test_ranges_that_are_no_pairs_are_refused_by_name(name, option, value):
    with pytest.raises(InputError, match=rf"^{option}(\[1\])? must be "):
        create(name, n_chans=2, n_times=256, n_outputs=2, sfreq=128.0, **{option: value})
