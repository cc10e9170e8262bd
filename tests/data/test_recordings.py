from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeneuro.data import Recordings, data_root, encode_labels
from spikeneuro.errors import DataNotFoundError, InputError

RNG = np.random.default_rng(0)


def make(n=6, channels=3, times=40, y=None, **changes):
    table = {"subject": [f"S{i // 2}" for i in range(n)], "run": [1 + i % 2 for i in range(n)]}
    fields = {
        "X": RNG.normal(size=(n, channels, times)) * 1e-5,
        "y": [i % 2 for i in range(n)] if y is None else y,
        "metadata": table,
        "sfreq": 20.0,
        "names": ["C3", "Cz", "C4"][:channels],
    }
    return Recordings(**{**fields, **changes})


def ragged(lengths=(30, 50, 40)):
    X = [RNG.normal(size=(2, length)) for length in lengths]
    return Recordings(X, [0, 1, 0], {"subject": ["a", "b", "c"]}, 0.5, ["r1", "r2"], modality="fmri")


def two_modalities():
    X = {"eeg": RNG.normal(size=(4, 2, 100)), "fmri": RNG.normal(size=(4, 3, 10))}
    return Recordings(
        X,
        [0, 1, 0, 1],
        {"subject": ["a", "a", "b", "b"]},
        {"eeg": 50.0, "fmri": 5.0},
        {"eeg": ["C3", "C4"], "fmri": ["r1", "r2", "r3"]},
        modality={"eeg": "eeg", "fmri": "fmri"},
    )


def images():
    return Recordings(RNG.random((4, 1, 8, 8)), [0, 1, 0, 1], {"file": list("abcd")}, modality="image")


def steps():
    y = RNG.integers(-1, 3, (4, 30))
    y[0, :3] = [0, 1, 2]
    return Recordings(RNG.normal(size=(4, 2, 30)), y, {"subject": list("aabb")}, 10.0, ["x", "y"], modality="ecg")


def features():
    return Recordings(RNG.normal(size=(4, 7)), [0.5, 1.0, 2.0, 3.0], {"subject": list("abcd")}, modality="features")


KINDS = {
    "signals": make,
    "ragged": ragged,
    "dict": two_modalities,
    "images": images,
    "steps": steps,
    "features": features,
}


@pytest.mark.parametrize("kind", KINDS)
def test_saving_and_loading_gives_the_same_recordings(kind, tmp_path):
    recordings = KINDS[kind]()
    path = recordings.save(tmp_path / "some" / "where")
    again = Recordings.load(path)
    assert again.fingerprint == recordings.fingerprint
    assert repr(again) == repr(recordings)
    pd.testing.assert_frame_equal(again.metadata, recordings.metadata, check_dtype=False)
    assert [p.name for p in path.parent.iterdir()] == ["where.npz"]


@pytest.mark.parametrize("kind", KINDS)
def test_select_takes_rows_of_everything(kind):
    recordings = KINDS[kind]()
    index = [2, 0]
    chosen = recordings.select(index)
    mask = np.isin(np.arange(len(recordings)), index)
    assert recordings.select(mask).fingerprint == recordings.select([0, 2]).fingerprint
    np.testing.assert_array_equal(chosen.y, recordings.y[index])
    assert chosen.metadata.to_dict("list") == recordings.metadata.iloc[index].to_dict("list")
    parts = recordings.X if isinstance(recordings.X, dict) else {"": recordings.X}
    new = chosen.X if isinstance(chosen.X, dict) else {"": chosen.X}
    for key in parts:
        for position, row in enumerate(index):
            np.testing.assert_array_equal(new[key][position], parts[key][row])


def test_text_says_what_is_there():
    text = repr(make(simulated=True))
    assert "eeg, 6 samples x 3 channels x 40 times at 20 Hz" in text
    assert "classification: 0 3, 1 3" in text
    assert "3 subjects" in text
    assert text.endswith("simulated)")
    assert "30 to 50 times" in repr(ragged())
    assert "1 x 8 x 8 pixels" in repr(images())


def changed(recordings, field):
    X = recordings.X.copy()
    X[3, 1, 7] += 1e-9
    table = recordings.metadata.assign(subject=["S0", "S0", "S1", "S1", "S2", "SX"])
    new = {
        "X": {"X": X},
        "y": {"y": [1, *recordings.y[1:]]},
        "metadata": {"metadata": table},
        "sfreq": {"sfreq": 21.0},
        "names": {"names": ["C3", "Cz", "Pz"]},
        "label_names": {"label_names": ["a", "b"]},
    }[field]
    fields = {f: getattr(recordings, f) for f in ("X", "y", "metadata", "sfreq", "names")}
    return Recordings(**{**fields, **new})


@pytest.mark.parametrize("field", ["X", "y", "metadata", "sfreq", "names", "label_names"])
def test_fingerprint_sees_every_field(field):
    recordings = make()
    assert changed(recordings, field).fingerprint != recordings.fingerprint
    assert make(X=recordings.X).fingerprint == recordings.fingerprint


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 25), step=st.integers(1, 25), n_times=st.integers(25, 60), rate=st.sampled_from([1.0, 20.0])
)
def test_windows_equal_slicing(length, step, n_times, rate):
    X = np.random.default_rng(n_times).normal(size=(3, 2, n_times))
    recordings = Recordings(X, [0, 1, 0], {"subject": list("abc")}, rate, ["p", "q"], modality="signal")
    cut = recordings.windows(length / rate, step / rate)
    starts = [s for s in range(n_times) if s % step == 0 and s + length <= n_times]
    assert len(cut) == 3 * len(starts)
    for k, (i, start) in enumerate((i, s) for i in range(3) for s in starts):
        np.testing.assert_array_equal(cut.X[k], X[i, :, start : start + length])
        row = cut.metadata.iloc[k]
        assert (row["recording"], row["subject"], cut.y[k]) == (i, "abc"[i], [0, 1, 0][i])
        assert row["onset"] == pytest.approx(start / rate)


def test_windows_of_ragged_recordings_and_of_different_repetition_times():
    cut = ragged().windows(20.0)  # 10 volumes at 0.5 Hz
    assert cut.X.shape == (3 + 5 + 4, 2, 10)
    assert cut.metadata["recording"].tolist() == [0] * 3 + [1] * 5 + [2] * 4
    series = [RNG.normal(size=(2, 20)), RNG.normal(size=(2, 40))]
    table = {"subject": ["a", "b"], "tr": [2.0, 1.0]}
    cut = Recordings(series, [0, 1], table, None, ["r1", "r2"], modality="fmri").windows(20.0)
    assert [x.shape[1] for x in cut.X] == [10, 10, 20, 20]


def test_windows_keep_step_labels_with_their_samples():
    recordings = steps()
    cut = recordings.windows(0.5)
    np.testing.assert_array_equal(cut.y[1], recordings.y[0, 5:10])
    np.testing.assert_array_equal(cut.X[1], recordings.X[0, :, 5:10])


def test_windows_of_windows_keep_the_first_recording_and_add_up_onsets():
    twice = make(times=80).windows(2.0).windows(1.0)
    assert twice.metadata["recording"].tolist() == [i for i in range(6) for _ in range(4)]
    assert twice.metadata["onset"].tolist() == [0.0, 1.0, 2.0, 3.0] * 6


def test_windows_of_two_modalities_stay_aligned():
    cut = two_modalities().windows(1.0)
    assert cut.X["eeg"].shape == (8, 2, 50)
    assert cut.X["fmri"].shape == (8, 3, 5)
    assert cut.part("fmri").sfreq == 5.0


def test_windows_of_two_modalities_that_drift_apart_are_refused():
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(2, 1, 600)), "b": rng.normal(size=(2, 1, 768))}
    recordings = Recordings(X, [0, 1], {"subject": ["s", "t"]}, {"a": 100.0, "b": 128.0}, modality="signal")
    # 0.33 s are 33 steps of the one, and 42 of the other, which last 0.328125 s: 17 windows later 0.031875 s
    with pytest.raises(InputError, match=r"every 0.33 s .* 0.0319 s apart"):
        recordings.windows(0.33)
    assert len(recordings.windows(0.25)) == 2 * 24
    # a rounding that does not add up is none
    assert len(recordings.windows(5.999)) == 2


@pytest.mark.parametrize("field", ["sfreq", "names", "modality", "positions"])
def test_what_is_said_of_a_modality_that_is_not_there_is_refused(field):
    recordings = two_modalities()
    told = {**getattr(recordings, field), "egg": None}
    with pytest.raises(InputError, match=rf"{field}: there is no modality 'egg' in X; did you mean 'eeg'"):
        replace(recordings, **{field: told})


def test_names_of_modalities_are_text():
    with pytest.raises(InputError, match="names that are text, got 1"):
        Recordings({1: np.zeros((2, 1, 9)), "b": np.ones((2, 1, 9))}, [0, 1], {"subject": [0, 1]}, 9.0)


def test_windows_refuse_short_recordings_unless_told():
    with pytest.raises(InputError, match=r"X\[0\] \(subject a\) lasts 60 s"):
        ragged().windows(70.0)
    assert len(ragged().windows(70.0, short="drop")) == 2
    with pytest.raises(InputError, match="no recording is as long"):
        ragged().windows(1000.0, short="drop")
    with pytest.raises(InputError, match="under one sample"):
        ragged().windows(0.1)
    with pytest.raises(InputError, match="windows need signals"):
        images().windows(1.0)


def test_concatenation_undoes_splitting():
    recordings = make()
    halves = [recordings.select([0, 1, 2]), recordings.select([3, 4, 5])]
    assert Recordings.concatenate(halves).fingerprint == recordings.fingerprint
    assert Recordings.concatenate([ragged(), ragged()], ragged=True).ragged


def test_concatenation_refuses_to_mix():
    with pytest.raises(InputError, match="differ in sfreq: 20.0 and 25.0"):
        Recordings.concatenate([make(), make(sfreq=25.0)])
    with pytest.raises(InputError, match="differ in names"):
        Recordings.concatenate([make(), make(names=["C3", "Cz", "Pz"])])
    with pytest.raises(InputError, match="differ in shape"):
        Recordings.concatenate([make(), make(times=50)])
    with pytest.raises(InputError, match="metadata columns: site"):
        Recordings.concatenate([make(), make(metadata={"subject": ["a"] * 6, "run": [1] * 6, "site": ["x"] * 6})])


def test_units_name_runs_with_their_subject():
    recordings = make()
    assert recordings.units("subject").tolist() == ["S0", "S0", "S1", "S1", "S2", "S2"]
    assert recordings.units("run").tolist() == ["S0/1", "S0/2", "S1/1", "S1/2", "S2/1", "S2/2"]
    assert len(set(recordings.units("sample"))) == 6
    with pytest.raises(InputError, match="did you mean 'subject'"):
        recordings.units("subjects")


def broken(X, place, value):
    X = X.copy()
    X[place] = value
    return X


GOOD = RNG.normal(size=(6, 3, 40))
MISTAKES = [
    ({"X": GOOD.transpose(0, 2, 1)}, "axes look swapped"),
    ({"X": GOOD.transpose(0, 2, 1), "names": None}, "axes look swapped"),
    ({"names": ["C3", "C4"]}, "3 channels but names has 2"),
    ({"names": ["C3", "C4", "C3"]}, "duplicates: C3"),
    ({"names": "C3"}, "single text"),
    ({"X": broken(GOOD, (4, 1, 7), np.nan)}, r"X\[4\] \(subject S2, run 1\).*channel 'Cz', time index 7"),
    ({"X": broken(GOOD, (4, 1, 7), np.inf)}, "NaN or infinite"),
    ({"X": broken(GOOD, (5, 2), 0.25)}, r"X\[5\] \(subject S2, run 2\): channel 'C4' is constant"),
    ({"X": GOOD[:4]}, "4 samples but metadata has 6 rows"),
    ({"X": GOOD[0]}, "3 samples but metadata has 6"),
    ({"X": GOOD.astype(complex)}, "must hold real numbers"),
    ({"X": GOOD[:, :, :0]}, "empty axis"),
    ({"y": [0, 1, 0]}, r"y has shape \(3,\)"),
    ({"y": list("ababab")}, "encode_labels"),
    ({"y": [1, 2, 1, 2, 1, 2]}, r"classes 0..k-1, got \[1, 2\]"),
    ({"y": [0.5, np.nan, 1, 1, 1, 1]}, r"y\[1\] is NaN"),
    ({"y": [0, 1, 2, 0, 1, 2], "label_names": ["a", "b"]}, "class 2 but label_names has 2"),
    ({"y": [0.5] * 6, "label_names": ["a", "b"]}, "regression"),
    ({"y": np.zeros((6, 39), int)}, "39 time steps but X has 40"),
    ({"y": np.zeros((6, 40))}, "must hold integers"),
    ({"metadata": None}, "metadata is needed"),
    ({"metadata": {"subject": ["a", "b", None, "c", "d", "e"]}}, "'subject' is empty in row 2"),
    ({"sfreq": None}, "sfreq"),
    ({"sfreq": -1.0}, "sfreq"),
    ({"sfreq": "100"}, "sfreq must be a number"),
    ({"modality": "meg"}, "modality='meg'"),
    ({"positions": np.zeros((2, 3))}, r"shape \(3, 3\)"),
    ({"X": RNG.random((6, 8, 8, 3)), "names": None, "modality": "image"}, "channels last"),
    ({"X": [np.zeros((3, 9)), np.zeros((2, 8))] * 3}, r"X\[1\] has 2 channels but X\[0\] has 3"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message) as caught:
        make(**change)
    assert "\n" not in str(caught.value)


def test_select_refuses_what_is_no_index():
    recordings = make()
    for which, message in (([9], "index 9"), ([], "empty"), ([True], "mask has shape"), ([0.5], "integer indices")):
        with pytest.raises(InputError, match=message):
            recordings.select(which)


def test_constant_regions_are_allowed_in_fmri():
    X = np.zeros((2, 3, 10))
    X[:, :2] = RNG.normal(size=(2, 2, 10))
    assert len(Recordings(X, [0, 1], {"subject": ["a", "b"]}, 0.5, modality="fmri")) == 2


def test_damaged_archives_are_refused(tmp_path):
    path = make().save(tmp_path / "r.npz")
    content = path.read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name in ("cut.npz", "text.npz", "other.npz"):
        with pytest.raises(InputError, match=name):
            Recordings.load(tmp_path / name)
    with pytest.raises(DataNotFoundError, match="no such file"):
        Recordings.load(tmp_path / "absent.npz")
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["X0"][0, 0, 0] += 1
    np.savez(tmp_path / "edited.npz", **arrays)
    with pytest.raises(InputError, match="fingerprint"):
        Recordings.load(tmp_path / "edited.npz")


def test_saving_replaces_whole_files_only(tmp_path, monkeypatch):
    path = make().save(tmp_path / "r.npz")
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InputError, match="cannot be written .*disk full"):
        make().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_labels_are_encoded_in_order():
    y, names = encode_labels(["b", "a", "b"])
    assert (y.tolist(), names) == ([1, 0, 1], ("a", "b"))
    y, names = encode_labels([10, 2, 10])
    assert (y.tolist(), names) == ([1, 0, 1], ("2", "10"))
    y, names = encode_labels(["b", "a"], ["b", "a", "c"])
    assert (y.tolist(), names) == ([0, 1], ("b", "a", "c"))
    with pytest.raises(InputError, match="'d' is not among"):
        encode_labels(["d"], ["a"])
    with pytest.raises(InputError, match=r"labels\[1\] is missing"):
        encode_labels(["d", None])


def test_data_root_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("SPIKENEURO_DATA", raising=False)
    with pytest.raises(DataNotFoundError, match="SPIKENEURO_DATA is not set"):
        data_root()
    monkeypatch.setenv("SPIKENEURO_DATA", str(tmp_path / "absent"))
    with pytest.raises(DataNotFoundError, match="not a folder"):
        data_root()
    monkeypatch.setenv("SPIKENEURO_DATA", str(tmp_path))
    assert data_root() == tmp_path
    with pytest.raises(DataNotFoundError, match="eegmat"):
        data_root("eeg", "eegmat")


def test_windows_say_when_they_are_and_how_long():
    cut = make().windows(0.52, 0.25)  # 10 samples of 20 Hz, every 5
    assert set(cut.metadata["duration"]) == {0.5}
    np.testing.assert_allclose(np.diff(cut.metadata["onset"][cut.metadata["recording"] == 0]), 0.25)
