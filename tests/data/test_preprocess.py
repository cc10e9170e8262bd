import mne
import numpy as np
import pytest
from scipy import signal

from spikeneuro.data import Preprocessing, Recordings
from spikeneuro.errors import InputError

T = np.arange(1024) / 256.0


def power(x, frequency):
    frequencies, density = signal.periodogram(x, 256.0)
    return density[..., np.argmin(np.abs(frequencies - frequency))]


def test_band_pass_keeps_the_band_and_loses_the_rest():
    X = sum(np.sin(2 * np.pi * f * T) for f in (1.0, 10.0, 50.0))[None, None]
    clean, sfreq = Preprocessing(low=5.0, high=30.0).apply_array(X, 256.0)
    assert sfreq == 256.0
    assert power(clean, 10.0) == pytest.approx(power(X, 10.0), rel=0.05)
    assert (power(clean, 50.0) < 1e-4 * power(X, 50.0)).all()
    notched, _ = Preprocessing(notch=[50.0]).apply_array(X, 256.0)
    assert power(notched, 50.0) < 0.02 * power(X, 50.0)
    assert power(notched, 10.0) == pytest.approx(power(X, 10.0), rel=0.05)


def test_resampling_equals_the_signal_at_the_new_times():
    X = np.sin(2 * np.pi * 8.0 * T)[None, None]
    clean, sfreq = Preprocessing(resample=128.0).apply_array(X, 256.0)
    assert sfreq == 128.0
    np.testing.assert_allclose(clean[0, 0, 50:-50], np.sin(2 * np.pi * 8.0 * np.arange(512) / 128.0)[50:-50], atol=5e-3)


def test_references_are_means():
    X = np.random.default_rng(0).normal(size=(2, 3, 100))
    names = ["C3", "Cz", "C4"]
    average, _ = Preprocessing(reference="average").apply_array(X, 100.0, names)
    np.testing.assert_allclose(average, X - X.mean(axis=1, keepdims=True))
    named, _ = Preprocessing(reference=["Cz", "C4"]).apply_array(X, 100.0, names)
    np.testing.assert_allclose(named, X - X[:, 1:].mean(axis=1, keepdims=True))
    raw = mne.io.RawArray(X[0], mne.create_info(names, 100.0, "eeg"), verbose="ERROR")
    np.testing.assert_allclose(Preprocessing(reference="average").apply(raw)[0].get_data(), average[0])
    np.testing.assert_array_equal(raw.get_data(), X[0])  # the original is left alone


def test_recordings_keep_their_table_and_change_rate():
    X = np.random.default_rng(0).normal(size=(4, 2, 400))
    recordings = Recordings(X, [0, 1, 0, 1], {"subject": list("aabb")}, 200.0, ["C3", "C4"])
    clean = Preprocessing(high=30.0, resample=100.0).apply_recordings(recordings)
    assert clean.X.shape == (4, 2, 200)
    assert clean.sfreq == 100.0
    assert clean.metadata.equals(recordings.metadata)
    ragged = Recordings([X[0], X[1, :, :300]], [0, 1], {"subject": ["a", "b"]}, 200.0, ["C3", "C4"])
    lengths = [x.shape[1] for x in Preprocessing(resample=100.0).apply_recordings(ragged).X]
    assert lengths == [200, 150]


def test_one_recording_never_sees_another():
    X = np.random.default_rng(0).normal(size=(3, 2, 400))
    steps = Preprocessing(low=2.0, high=30.0, reference="average", resample=100.0)
    together, _ = steps.apply_array(X, 200.0)
    alone, _ = steps.apply_array(X[1:2], 200.0)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-12)


def test_ica_removes_eye_movements_and_keeps_the_rest():
    rng = np.random.default_rng(0)
    n = 256 * 30
    names = ["Fp1", "Fp2", "C3", "Cz", "C4", "O1"]
    sources = rng.laplace(size=(5, n))
    blink = np.zeros(n)
    for centre in range(400, n - 400, 900):
        blink[centre - 100 : centre + 100] += np.hanning(200) * 40
    mixing = rng.normal(size=(6, 5))
    eyes = np.array([1.0, 0.9, 0.2, 0.15, 0.2, 0.05])
    brain = mixing @ sources
    raw = mne.io.RawArray((brain + eyes[:, None] * blink) * 1e-6, mne.create_info(names, 256.0, "eeg"), verbose="ERROR")
    filtered = Preprocessing(low=1.0, high=40.0).apply(raw)[0].get_data()
    clean = Preprocessing(low=1.0, high=40.0, ica=6, eog=["Fp1", "Fp2"]).apply(raw)[0].get_data()
    reference = mne.filter.filter_data(blink, 256.0, 1.0, 40.0, verbose="ERROR")
    before, after = (abs(np.corrcoef(x[0], reference)[0, 1]) for x in (filtered, clean))
    assert before > 0.8
    assert after < 0.3
    truth = mne.filter.filter_data(brain[5] * 1e-6, 256.0, 1.0, 40.0, verbose="ERROR")
    assert np.corrcoef(clean[5], truth)[0, 1] > 0.9


MISTAKES = [
    ({"low": 30.0, "high": 8.0}, "band from low=30 to high=8 Hz is empty"),
    ({"low": -1.0}, "low must lie in"),
    ({"reference": "mastoid"}, "reference='mastoid' is unknown"),
    ({"ica": 5}, "ica needs eog"),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES)
def test_mistakes_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(**settings)


def test_steps_that_cannot_be_done_are_refused():
    X = np.zeros((1, 2, 100))
    with pytest.raises(InputError, match="half the sampling rate"):
        Preprocessing(notch=[60.0]).apply_array(X, 100.0)
    with pytest.raises(InputError, match="reference: no channel 'A1'"):
        Preprocessing(reference=["A1"]).apply_array(X, 100.0, ["C3", "C4"])
    with pytest.raises(InputError, match="ica needs a continuous recording"):
        Preprocessing(ica=2, eog=["Fp1"]).apply_array(X, 100.0)
    labels = np.random.default_rng(0).integers(0, 2, (2, 50))
    steps = Recordings(np.random.default_rng(0).normal(size=(2, 1, 50)), labels, {"s": [1, 2]}, 10.0, modality="ecg")
    with pytest.raises(InputError, match="per-step labels"):
        Preprocessing(resample=5.0).apply_recordings(steps)
