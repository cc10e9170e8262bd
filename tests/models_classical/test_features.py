"""Band power, filters, flattening and scaling against SciPy, scikit-learn and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from spikeneuro.errors import InputError
from spikeneuro.models.classical import BandPass, BandPower, Flatten, InputCheck, Standardise

SFREQ = 128.0


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(5, 3, 512))


def test_power_of_a_sine_is_half_its_squared_amplitude():
    t = np.arange(1024) / SFREQ
    X = 3.0 * np.sin(2 * np.pi * 10 * t)[None, None]
    mean_density = np.exp(BandPower(SFREQ, bands=((8, 13),)).fit_transform(X))[0, 0]
    bins = np.sum((np.fft.rfftfreq(256, 1 / SFREQ) >= 8) & (np.fft.rfftfreq(256, 1 / SFREQ) < 13))
    # Density times width of the bins is power: A^2 / 2.
    assert mean_density * bins * 0.5 == pytest.approx(4.5, rel=1e-3)


def test_white_noise_has_density_two_variances_per_sampling_rate():
    X = 0.7 * np.random.default_rng(1).normal(size=(200, 1, 1024))
    density = np.exp(BandPower(SFREQ).fit_transform(X)).mean(axis=0)
    np.testing.assert_allclose(density, 2 * 0.49 / SFREQ, rtol=0.03)


def test_bands_match_a_spectrum_by_hand(noise):
    window = signal.get_window("hann", 256)
    segments = np.stack([noise[1, 2, i : i + 256] for i in (0, 128, 256)])
    segments = (segments - segments.mean(axis=1, keepdims=True)) * window
    density = (np.abs(np.fft.rfft(segments)) ** 2).mean(axis=0) / (SFREQ * (window**2).sum())
    density[1:-1] *= 2
    frequencies = np.arange(129) * 0.5
    expected = [np.log(density[(frequencies >= a) & (frequencies < b)].mean()) for a, b in ((4, 8), (8, 13))]
    features = BandPower(SFREQ, bands=((4, 8), (8, 13))).fit_transform(noise)
    np.testing.assert_allclose(features[1, 4:6], expected, rtol=1e-10)


@given(st.floats(1e-7, 1e3))
def test_scaling_a_signal_adds_to_log_power(factor):
    X = np.random.default_rng(2).normal(size=(2, 2, 256))
    model = BandPower(SFREQ).fit(X)
    np.testing.assert_allclose(model.transform(factor * X), model.transform(X) + 2 * np.log(factor), atol=1e-8)


def test_names_follow_the_features(noise):
    model = BandPower(SFREQ, bands=((8, 13), (13, 30))).fit(noise)
    names = model.get_feature_names_out(["C3", "Cz", "C4"])
    assert names.tolist()[:3] == ["C3 8-13 Hz", "C3 13-30 Hz", "Cz 8-13 Hz"]
    assert len(names) == model.transform(noise).shape[1]
    with pytest.raises(InputError, match="2 names for 3 channels"):
        model.get_feature_names_out(["C3", "Cz"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segment": 10.0}, "512 times, 4 s, less than a Welch segment of 10 s"),
        ({"bands": ((8.1, 8.9),), "segment": 1.0}, "holds no bin of the spectrum, which has one every 1 Hz"),
        ({"bands": ((8.1, 8.4),)}, "holds no bin of the spectrum, which has one every 0.5 Hz"),
        ({"bands": ((30, 90),)}, r"bands\[0\]\[1\] must lie in \[0, 64\]"),
        ({"bands": ((13, 8),)}, "must rise, got 13 to 8 Hz"),
        ({"bands": ()}, "bands is empty"),
        ({"bands": (8,)}, r"bands\[0\] must be \(low, high\)"),
        ({"sfreq": 0.0}, "sfreq must lie in"),
        ({"segment": "2"}, "segment must be a number"),
    ],
)
def test_impossible_bands_are_refused(noise, options, message):
    with pytest.raises(InputError, match=message):
        BandPower(**{"sfreq": SFREQ} | options).fit(noise)


def test_unusable_signals_are_refused(noise):
    model = BandPower(SFREQ).fit(noise)
    flat = noise.copy()
    flat[3, 1] = 7.0
    with pytest.raises(InputError, match=r"X\[3\], channel 1 is constant"):
        model.transform(flat)
    flat[2, 0, 5] = np.nan
    with pytest.raises(InputError, match=r"NaN or infinite, the first at index \(2, 0, 5\)"):
        model.transform(flat)
    with pytest.raises(InputError, match=r"shape \(2, 512\), but fit saw \(3, 512\)"):
        model.transform(noise[:, :2])
    with pytest.raises(InputError, match="must have shape"):
        BandPower(SFREQ).fit(noise[None])


def test_band_pass_keeps_what_is_inside_and_its_phase():
    t = np.arange(2048) / SFREQ
    inside, below, above = (np.sin(2 * np.pi * f * t) for f in (12, 2, 50))
    passed = BandPass(SFREQ, (8, 30)).fit_transform((inside + below + above)[None, None])[0, 0]
    np.testing.assert_allclose(passed[300:-300], inside[300:-300], atol=0.01)


@pytest.mark.parametrize("band", [(0, 30), (8, 64), (30, 8), 8, (8, 30, 40)])
def test_impossible_filters_are_refused(noise, band):
    with pytest.raises(InputError, match="band"):
        BandPass(SFREQ, band).fit(noise)


def test_too_short_for_the_filter(noise):
    with pytest.raises(InputError, match="padlen"):
        BandPass(SFREQ, (8, 30)).fit_transform(noise[..., :20])


@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3), (4, 1, 5, 7)])
def test_flatten_is_the_c_order_of_numpy(shape):
    X = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_array_equal(Flatten().fit_transform(X), X.reshape(4, -1))
    with pytest.raises(InputError):
        Flatten().fit(X).transform(X[..., :-1])


def test_standardise_equals_scikit_learn_and_survives_constant_features():
    X = np.random.default_rng(0).normal(5, [1e-6, 1, 1e6], size=(50, 3))
    np.testing.assert_allclose(Standardise().fit_transform(X), StandardScaler().fit_transform(X), rtol=1e-9)
    X[:, 1] = 0.1 + 0.2  # a constant that is no exact binary number
    assert np.abs(Standardise().fit_transform(X)[:, 1]).max() < 1e-12
    whole = Standardise("all").fit_transform(X)
    assert whole.mean() == pytest.approx(0, abs=1e-12)
    assert whole.std() == pytest.approx(1)


def test_float32_stays_and_a_large_offset_is_measured_right():
    X = (np.random.default_rng(0).normal(size=(20000, 8)) + 1000).astype(np.float32)
    scaled = Standardise("all").fit_transform(X)
    assert scaled.dtype == np.float32
    assert abs(float(scaled.mean(dtype=float))) < 1e-3


@pytest.mark.parametrize("estimator", [Flatten(), Standardise(), Standardise("all"), InputCheck()], ids=repr)
def test_scikit_learn_checks(estimator):
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(results) >= 45
    assert [r["check_name"] for r in results if r["status"] == "failed"] == []
    assert sum(r["status"] == "passed" for r in results) >= 45


def test_input_check_names_what_differs():
    X = np.zeros((4, 3, 10))
    y = [0, 1, 0, 1]
    for options, message in [
        ({"n_chans": 2}, "n_chans=2, but X has 3"),
        ({"n_times": 11}, "n_times=11, but X has 10"),
        ({"n_outputs": 1}, "2 classes but n_outputs=1"),
        ({"min_samples": 5}, "n_samples=4 for training"),
        ({"task": "classify"}, "did you mean 'classification'"),
        ({"in_chans": 1}, "built for images"),
    ]:
        with pytest.raises(InputError, match=message):
            InputCheck(**options).fit(X, y)
    with pytest.raises(InputError, match=r"image_size=\(9, 9\), but X has \(10, 10\)"):
        InputCheck(image_size=9).fit(np.zeros((4, 1, 10, 10)), y)
    with pytest.raises(InputError, match="only 1 class"):
        InputCheck().fit(X, [1, 1, 1, 1])
    with pytest.raises(InputError, match="Unknown label type"):
        InputCheck().fit(X, [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(InputError, match="requires y"):
        InputCheck().fit(X)
    with pytest.raises(InputError, match=r"X has samples of shape \(3, 9\)"):
        InputCheck().fit(X, y).transform(X[..., :9])
    ragged = np.empty(2, dtype=object)
    ragged[0], ragged[1] = np.zeros((3, 4)), np.zeros((3, 5))
    with pytest.raises(InputError, match="different lengths"):
        InputCheck().fit(ragged, [0, 1])
    ragged[1] = np.full((3, 5), np.nan)
    with pytest.raises(InputError, match=r"X\[1\] holds 15 value"):
        InputCheck(ragged=True).fit(ragged, [0, 1])
