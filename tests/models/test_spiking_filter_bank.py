"""The spiking filter bank: where its filters start, what its squares hold, what it learns and costs."""

import numpy as np
import pytest
import torch

from spikeneuro import NeuroClassifier, energy
from spikeneuro._random import scoped_seed
from spikeneuro.errors import InputError
from spikeneuro.models.spiking_filter_bank import SpikingFilterBank

SFREQ = 128.0


def build(**options):
    with scoped_seed(0):
        return SpikingFilterBank(**{"n_chans": 2, "n_times": 256, "n_outputs": 2, "sfreq": SFREQ, **options})


def rhythms(frequencies, n, n_times=256, noise=1.0):
    """Two channels of noise with a rhythm in the first, its phase drawn for each trial."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % len(frequencies)
    seconds = np.arange(n_times) / SFREQ
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    X = noise * rng.normal(size=(n, 2, n_times))
    X[:, 0] += np.sin(2 * np.pi * np.array(frequencies)[y, None] * seconds + phase)
    return X, y


def test_filters_start_at_frequencies_spaced_evenly_on_a_logarithmic_scale():
    model = build(n_filters=9, band=(4.0, 40.0), kernel_duration=2.0)
    spectrum = np.abs(np.fft.rfft(model.bank[0].weight.detach()[:, 0].numpy(), 4096))
    peaks = np.fft.rfftfreq(4096, 1 / SFREQ)[spectrum.argmax(1)]
    np.testing.assert_allclose(peaks, np.geomspace(4, 40, 9), rtol=0.02)


def test_frequencies_stay_below_what_the_sampling_rate_holds():
    model = build(sfreq=64.0, band=(4.0, 100.0), kernel_duration=2.0)
    spectrum = np.abs(np.fft.rfft(model.bank[0].weight.detach()[:, 0].numpy(), 4096))
    assert np.fft.rfftfreq(4096, 1 / 64)[spectrum.argmax(1)].max() == pytest.approx(0.4 * 64, rel=0.02)


def test_power_is_largest_in_the_filter_of_the_rhythm():
    """Of a sum of sines of equal size, each sample having one, the filter that starts at its frequency answers most."""
    frequencies = np.geomspace(4, 40, 6)
    model = build(n_chans=1, n_filters=6, kernel_duration=1.0).eval()
    with torch.no_grad():
        model.spatial[0].weight.fill_(1.0)
        seconds = torch.arange(256) / SFREQ
        x = torch.stack([torch.sin(2 * torch.pi * float(f) * seconds + 0.3) for f in frequencies])[:, None]
        power = model.bank(model.spatial(x)).square().mean(2)
    assert power.argmax(1).tolist() == [0, 1, 2, 3, 4, 5]


def test_rhythms_of_any_phase_are_told_apart():
    X, y = rhythms((10.0, 17.0), 160)
    clf = NeuroClassifier(
        "spiking-filter-bank", sfreq=SFREQ, max_epochs=20, lr=0.01, validation_fraction=None, random_state=0
    ).fit(X[:120], y[:120])
    assert clf.score(X[120:], y[120:]) > 0.9


def test_only_the_filters_and_the_gain_multiply():
    """Everything behind the first neurons adds up what spikes bring; the readout takes rates, which are numbers."""
    model = build(n_filters=6, hidden=5, n_bins=2).eval()
    x = torch.randn(4, 2, 256, generator=torch.Generator().manual_seed(0))
    ledger = energy.count(model, x)
    table = ledger.table().set_index("module")
    steps, kernel = 64, 127
    assert ledger.dense.macs == 256 * 2 * 6 + 6 * steps * kernel + 2 * 5 * 2
    taps_on_the_signal = sum(min(4 * step + 64, 256) - max(4 * step - 63, 0) for step in range(steps))
    assert table.loc["bank.0", "macs"] == 6 * taps_on_the_signal
    assert ledger.dense.acs == steps * 6 * 5
    assert ledger.acs == table.loc["mixture", "acs"] == 5 * table.loc["first", "spikes"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sfreq": None}, "sfreq is missing"),
        ({"n_times": 100}, "needs n_times of at least 127 at 128 Hz"),
        ({"n_times": 256, "stride": 128, "n_bins": 4}, "at least 385"),
        ({"sfreq": 2.0}, "use recurrent-snn with tau_unit='steps'"),
        ({"band": (60.0, 70.0)}, "begins above 0.4 times the sampling frequency"),
        ({"band": (8.0, 4.0)}, "band"),
        ({"kernel_duration": 0.0}, "kernel_duration"),
        ({"stride": 0}, "stride"),
    ],
)
def test_unusable_settings_are_refused_in_a_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        build(**options)
    assert "\n" not in str(error.value)


def test_swapped_axes_are_named():
    with pytest.raises(InputError, match="channels and times look swapped"):
        build()(torch.zeros(3, 256, 2))
