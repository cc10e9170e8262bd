"""BSA: the rule by a plain loop, exact inversion of what is a sum of filters, the fitted threshold, its presets."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal as sps

from spikeneuro.encoders import BSAEncoder
from spikeneuro.encoders.bsa import FILTERS
from spikeneuro.errors import InputError

UNIT = {"low": 0.0, "high": 1.0}


def plain_bsa(s, h, threshold):
    """Decisions about samples 0 ... T - L by the book: one number at a time."""
    s, spikes = list(s), []
    for t in range(len(s) - len(h) + 1):
        e1 = sum(abs(s[t + k] - h[k]) for k in range(len(h)))
        e2 = sum(abs(s[t + k]) for k in range(len(h)))
        spikes.append(int(e1 <= e2 - threshold))
        if spikes[-1]:
            for k in range(len(h)):
                s[t + k] -= h[k]
    return spikes, s


def smooth(shape, seed):
    """Low-pass noise mapped to [0, 1]."""
    noise = np.random.default_rng(seed).normal(size=shape)
    x = sps.sosfiltfilt(sps.butter(2, 0.05, output="sos"), noise, axis=-1)
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize("fir", [*FILTERS, [0.4, 0.3, 0.2, -0.1, 0.1]])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.8])
def test_spikes_are_the_plain_loop_delayed(fir, threshold):
    x = smooth((3, 2, 60), 0)
    encoder = BSAEncoder(fir, threshold, **UNIT)
    spikes, left = encoder.run(torch.as_tensor(x))
    taps = encoder.taps.tolist()
    assert spikes[: encoder.delay].sum() == 0
    used = encoder.threshold_.double().item()  # held in float32
    for b, c in itertools.product(range(3), range(2)):
        expected, rest = plain_bsa(x[b, c].tolist(), taps, used)
        assert spikes[encoder.delay :, b, c].int().tolist() == expected
        np.testing.assert_allclose(left[:, b, c], rest[len(rest) - len(taps) + 1 :], atol=1e-12)


def test_presets_are_windowed_sinc_low_passes():
    """Taps worked out from the definition: sinc of the cutoff times a Hamming window, scaled to gain 1 at zero."""
    for name, (length, cutoff) in FILTERS.items():
        n = np.arange(length) - (length - 1) / 2
        taps = cutoff * np.sinc(cutoff * n) * np.hamming(length)
        np.testing.assert_allclose(BSAEncoder(name, 0.5, **UNIT).taps, taps / taps.sum(), rtol=1e-12)
    assert FILTERS == {"length-3-cut-0.8": (3, 0.8), "length-7-cut-0.05": (7, 0.05), "length-7-cut-0.8": (7, 0.8)}


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, (40,)), st.sampled_from([(0.2, 0.5, 0.3), (0.1, 0.2, 0.4, 0.2, 0.1), (0.6, 0.4)]))
def test_a_sum_of_shifted_filters_comes_back_exactly(fired, taps):
    """With taps above zero and a threshold just below their sum, only a full filter is taken away: by induction over
    time the spikes are those that made the signal."""
    made = np.convolve(fired[: 40 - len(taps) + 1], taps)
    encoder = BSAEncoder(taps, sum(taps) - taps[0], **UNIT)
    spikes = encoder(torch.as_tensor(made).reshape(1, 1, -1))
    assert spikes[encoder.delay :].flatten().bool().tolist() == fired[: 40 - len(taps) + 1].tolist()
    np.testing.assert_allclose(encoder.decode(spikes).flatten(), made, atol=1e-12)


def test_decoding_is_the_convolution_in_the_units_of_the_input():
    x = 5 + 20 * smooth((2, 1, 50), 1)
    encoder = BSAEncoder(steps_per_sample=3).fit(x)
    spikes = encoder(torch.as_tensor(x))
    assert spikes.shape == (150, 2, 1)
    decoded = encoder.decode(spikes)
    low, high = encoder.low_.double().item(), encoder.high_.double().item()
    for b in range(2):
        train = spikes[::3, b, 0].numpy()[encoder.delay :]
        expected = np.convolve(train, encoder.taps.numpy())
        np.testing.assert_allclose(decoded[b, 0].numpy(), low + (high - low) * expected, rtol=1e-6)


def test_decoded_signal_and_what_is_left_make_the_signal():
    x = torch.as_tensor(smooth((1, 1, 80), 2))
    encoder = BSAEncoder("length-7-cut-0.05", 0.5, **UNIT)
    spikes = encoder(x)
    _, rest = plain_bsa(x.flatten().tolist(), encoder.taps.tolist(), 0.5)
    np.testing.assert_allclose((x - encoder.decode(spikes)).flatten(), rest, atol=1e-12)


def test_fitted_threshold_is_the_best_of_the_grid_for_each_channel():
    x = np.concatenate([smooth((4, 1, 120), 3), np.random.default_rng(3).random((4, 1, 120))], axis=1)
    encoder = BSAEncoder().fit(x)
    taps, largest = encoder.taps.tolist(), encoder.taps.abs().sum().item()
    for c in range(2):
        low, high = x[:, c].min(), x[:, c].max()
        errors = []
        for share in np.linspace(0, 1, 21):
            error = 0.0
            for trial in x[:, c]:
                spikes, _ = plain_bsa(((trial - low) / (high - low)).tolist(), taps, share * largest)
                error += ((np.convolve(spikes, taps) - (trial - low) / (high - low)) ** 2).mean()
            errors.append(error)
        assert encoder.threshold_[c].item() == pytest.approx(np.argmin(errors) / 20 * largest, rel=1e-6)
    assert encoder.threshold_[0] != encoder.threshold_[1]


def test_round_trip_error():
    """Held-out smooth signals come back within a tenth of their range; the fit matters, and so does the filter."""
    train, test = smooth((8, 1, 400), 4), torch.as_tensor(smooth((4, 1, 400), 5))

    def error(encoder):
        decoded = encoder.decode(encoder(test))
        return (decoded - test)[..., 10:-10].square().mean().sqrt().item()

    fitted = error(BSAEncoder().fit(train))
    assert fitted < 0.1
    assert error(BSAEncoder(threshold=0.0).fit(train)) > 2 * fitted
    assert error(BSAEncoder("length-3-cut-0.8").fit(train)) > 2 * fitted


def test_silence_and_short_signals():
    encoder = BSAEncoder(**UNIT, threshold=0.5)
    assert encoder(torch.zeros(1, 2, 30)).sum() == 0
    assert encoder(torch.ones(1, 2, 6)).shape == (6, 1, 2)  # shorter than the filter: no decision yet
    assert encoder(torch.ones(1, 2, 6)).sum() == 0
    with pytest.raises(InputError, match=r"at least 7 samples.*\(4, 2, 6\)"):
        BSAEncoder().fit(np.random.default_rng(0).random((4, 2, 6)))


def test_given_numbers_are_kept_by_fit():
    encoder = BSAEncoder(threshold=0.25).fit(smooth((3, 2, 30), 6))
    assert encoder.threshold_.item() == 0.25
    assert encoder.low_.shape == (2,)
    half = BSAEncoder(**UNIT)
    assert not half.fitted
    with pytest.raises(InputError, match="does not know its threshold"):
        half(torch.zeros(1, 1, 20))
    assert half.fit(smooth((3, 2, 30), 6)).threshold_.shape == (2,)
    assert half.low_.item() == 0.0


@pytest.mark.parametrize("fir", ["length-7", [0.0, 0.0], [1.0], [0.5, np.nan], [[1.0, 2.0]], ["a", "b"], 3])
def test_unusable_filters_are_refused(fir):
    with pytest.raises(InputError, match="fir") as caught:
        BSAEncoder(fir)
    assert "\n" not in str(caught.value)


def test_state_of_another_shape_is_refused():
    encoder = BSAEncoder([0.5, 0.5], 0.3, **UNIT)
    for shape in ((1, 2), (1, 2, 2), (2, 1, 2)):
        with pytest.raises(InputError, match=r"\(1 to 1, batch, channels\).*\(1, 2\)"):
            encoder.run(torch.zeros(1, 2, 4), torch.zeros(shape))


def test_images_are_refused():
    with pytest.raises(InputError, match="which an image has not"):
        BSAEncoder(threshold=0.5, **UNIT)(torch.zeros(1, 1, 8, 8))
