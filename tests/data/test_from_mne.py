import lzma

import mne
import numpy as np
import pandas as pd
import pytest

from spikeneuro.data import Preprocessing, Recordings, from_bids, from_mne, from_moabb
from spikeneuro.data._edf import check_edf
from spikeneuro.errors import DataNotFoundError, InputError

CLASSES = {"left": "T1", "right": "T2"}


def raw_of(sfreq=100.0, names=("C3", "Cz", "C4"), seconds=20, seed=0, labels=("T1", "T2", "T0", "T1")):
    info = mne.create_info(list(names), sfreq, "eeg")
    data = np.random.default_rng(seed).normal(size=(len(names), int(seconds * sfreq))) * 1e-5
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    raw.set_annotations(mne.Annotations([1.0 + 4 * i for i in range(len(labels))], 1.0, list(labels)))
    return raw


@pytest.fixture(scope="module")
def s001(data_root, tmp_path_factory):
    """Two runs of a real subject as EDF, in the folders where MNE and MOABB look for them."""
    root = tmp_path_factory.mktemp("mne")
    folder = root / "MNE-eegbci-data" / "files" / "eegmmidb" / "1.0.0" / "S001"
    folder.mkdir(parents=True)
    for source in sorted((data_root / "eeg" / "eegmmidb_s001").glob("*.edf.xz")):
        if source.name[5:7] in ("04", "08", "12"):
            (folder / source.stem).write_bytes(lzma.decompress(source.read_bytes()))
    return root, folder


def test_raw_is_cut_at_its_events():
    raw = raw_of()
    recordings = from_mne(raw, event_id=CLASSES, tmin=-0.5, tmax=2.0, metadata={"subject": "S1"})
    assert recordings.X.shape == (3, 3, 250)
    assert recordings.label_names == ("left", "right")
    assert recordings.y.tolist() == [0, 1, 0]
    assert recordings.metadata["onset"].tolist() == [1.0, 5.0, 13.0]
    assert recordings.metadata["duration"].tolist() == [2.5] * 3
    for epoch, start in zip(recordings.X, (50, 450, 1250), strict=True):
        np.testing.assert_array_equal(epoch, raw.get_data()[:, start : start + 250])


def test_event_arrays_equal_annotations():
    raw = raw_of()
    events, codes = mne.events_from_annotations(raw, verbose="ERROR")
    by_code = from_mne(raw, event_id={"left": codes["T1"], "right": [codes["T2"]]}, events=events, tmax=1.0)
    by_text = from_mne(raw, event_id=CLASSES, tmax=1.0)
    assert by_code.fingerprint == by_text.fingerprint


@pytest.mark.parametrize("by_events", [False, True])
def test_events_follow_resampling(by_events):
    raw = raw_of()
    impulses = np.zeros((3, 2000))
    impulses[:, [100, 500, 900, 1300]] = 1e-3
    raw = mne.io.RawArray(impulses, raw.info, verbose="ERROR").set_annotations(raw.annotations)
    events, codes = mne.events_from_annotations(raw, verbose="ERROR")
    extra = {"events": events, "event_id": {"left": codes["T1"], "right": codes["T2"]}} if by_events else {}
    settings = {"event_id": CLASSES, "tmin": -0.5, "tmax": 0.5, "preprocessing": Preprocessing(resample=50.0), **extra}
    recordings = from_mne(raw, **settings)
    assert recordings.sfreq == 50.0
    assert (np.abs(recordings.X[:, 0]).argmax(axis=1) == 25).all()


def test_epochs_are_taken_as_they_are():
    raw = raw_of()
    events, codes = mne.events_from_annotations(raw, verbose="ERROR")
    table = pd.DataFrame({"difficulty": [3, 1, 2, 9]})
    epochs = mne.Epochs(raw, events, codes, 0, 1, baseline=None, metadata=table, preload=True, verbose="ERROR")
    recordings = from_mne(epochs, metadata={"subject": "S1"})
    np.testing.assert_array_equal(recordings.X, epochs.get_data(copy=True))
    assert recordings.label_names == ("T0", "T1", "T2")
    assert recordings.metadata["difficulty"].tolist() == [3, 1, 2, 9]
    chosen = from_mne(epochs, event_id={"move": ["T1", "T2"]}, metadata={"subject": "S1"})
    assert len(chosen) == 3
    assert chosen.metadata["difficulty"].tolist() == [3, 1, 9]


def test_several_sources_are_joined_with_channels_in_one_order():
    first, second = raw_of(seed=1), raw_of(seed=2, names=("C4", "C3", "Cz"))
    recordings = from_mne([first, second], event_id=CLASSES, tmax=1.0, metadata=[{"subject": "a"}, {"subject": "b"}])
    assert recordings.metadata["subject"].tolist() == ["a"] * 3 + ["b"] * 3
    np.testing.assert_array_equal(recordings.X[3], second.get_data(["C3", "Cz", "C4"])[:, 100:200])
    swapped = from_mne([first, second], event_id=[CLASSES, {"left": "T2", "right": "T1"}], tmax=1.0)
    assert swapped.y.tolist() == [0, 1, 0, 1, 0, 1]


def test_baseline_rejection_and_positions():
    raw = raw_of()
    raw.set_montage("biosemi32")
    data = raw.get_data()
    data[:, 1320] += 1e-3
    loud = mne.io.RawArray(data, raw.info, verbose="ERROR").set_annotations(raw.annotations)
    recordings = from_mne(loud, event_id=CLASSES, tmin=-1, tmax=1, baseline=(None, 0), reject={"eeg": 5e-4})
    assert recordings.metadata["trial"].tolist() == [0, 1]
    assert np.abs(recordings.X[:, :, :101].mean(axis=2)).max() < 1e-18
    assert recordings.positions[0, 0] < 0 < recordings.positions[2, 0]  # C3 left, C4 right


MISTAKES = [
    ({"event_id": None}, "event_id is needed"),
    ({"tmax": None}, "tmax"),
    ({"event_id": {"left": "T7"}}, "none of the wanted events occurs; it has T0, T1, T2"),
    ({"event_id": {"left": "T1", "right": "T3"}}, "no epoch of class 'right'"),
    ({"event_id": {"left": "T1", "right": "T1"}}, "one event to two classes"),
    ({"tmax": 100.0}, "no epoch of the classes left, right remains"),
    ({"picks": ["C3", "Fz"]}, "picks"),
    ({"picks": "meg"}, "picks"),
    ({"metadata": [{}, {}]}, "metadata holds 2 entries for 1 sources"),
    ({"preprocessing": Preprocessing(high=60.0)}, "high=60 Hz is not below half"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message) as caught:
        from_mne(raw_of(), **{"event_id": CLASSES, "tmax": 1.0, **change})
    assert "\n" not in str(caught.value)


def test_sources_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"sampling rates differ: source 0 has 100 Hz, source 1 has 128 Hz"):
        from_mne([raw_of(), raw_of(128.0)], event_id=CLASSES, tmax=1.0)
    same = from_mne([raw_of(), raw_of(128.0)], event_id=CLASSES, tmax=1.0, preprocessing=Preprocessing(resample=64.0))
    assert same.X.shape == (6, 3, 64)
    with pytest.raises(InputError, match="channels differ between source 0 and source 1: Cz, Pz"):
        from_mne([raw_of(), raw_of(names=("C3", "Pz", "C4"))], event_id=CLASSES, tmax=1.0)
    with pytest.raises(InputError, match="expected MNE Epochs, Raw or a file, got dict"):
        from_mne({}, event_id=CLASSES, tmax=1.0)
    with pytest.raises(DataNotFoundError, match="absent.edf"):
        from_mne("absent.edf", event_id=CLASSES, tmax=1.0)


def test_real_edf_is_read_in_volts(s001):
    _, folder = s001
    files = [folder / "S001R04.edf", folder / "S001R08.edf"]
    recordings = from_mne(
        files,
        event_id=CLASSES,
        tmin=0.5,
        tmax=3.5,
        preprocessing=Preprocessing(low=8.0, high=30.0),
        metadata=[{"subject": "S001", "run": run} for run in (4, 8)],
    )
    assert recordings.X.shape == (30, 64, 480)
    assert 1e-5 < np.abs(recordings.X).max() < 1e-3
    assert recordings.metadata["run"].tolist() == [4] * 15 + [8] * 15
    raw = mne.io.read_raw_edf(files[1], preload=True, verbose="ERROR").filter(8, 30, verbose="ERROR")
    start = raw.time_as_index(recordings.metadata["onset"].iloc[15] + 0.5)[0]
    np.testing.assert_allclose(recordings.X[15], raw.get_data()[:, start : start + 480], atol=1e-12)


def test_truncated_edf_is_refused_although_mne_reads_it(s001, tmp_path):
    _, folder = s001
    content = (folder / "S001R04.edf").read_bytes()
    for cut, message in ((1_000_000, "truncated: 1000000 bytes"), (300, "not a complete EDF header")):
        path = tmp_path / f"cut{cut}.edf"
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=message) as caught:
            from_mne(path, event_id=CLASSES, tmax=1.0)
        assert path.name in str(caught.value)
    mne.io.read_raw_edf(tmp_path / "cut1000000.edf", preload=True, verbose="ERROR")  # no error: why the check exists
    (tmp_path / "long.edf").write_bytes(content + b"\r\n")
    with pytest.raises(InputError, match="longer than its header says"):
        check_edf(tmp_path / "long.edf")
    # A recorder that was interrupted leaves the number of records at -1; whole records are then accepted.
    open_ended = content[:236] + b"-1      " + content[244:]
    (tmp_path / "open.edf").write_bytes(open_ended)
    check_edf(tmp_path / "open.edf")
    (tmp_path / "open.edf").write_bytes(open_ended[:-10])
    with pytest.raises(InputError, match="truncated within a data record"):
        check_edf(tmp_path / "open.edf")


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "x_raw.fif").write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(InputError, match=r"x_raw.fif: MNE cannot read it") as caught:
        from_mne(tmp_path / "x_raw.fif", event_id=CLASSES, tmax=1.0)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def bids_folder(tmp_path_factory):
    mne_bids = pytest.importorskip("mne_bids")
    root = tmp_path_factory.mktemp("bids")
    for number, subject in enumerate(("01", "02")):
        for run in ("1", "2"):
            path = mne_bids.BIDSPath(subject=subject, run=run, task="imagery", datatype="eeg", root=root)
            raw = raw_of(seed=10 * number + int(run))
            raw.info["line_freq"] = 50.0
            mne_bids.write_raw_bids(raw, path, format="BrainVision", allow_preload=True, verbose="ERROR")
    return root


def test_bids_folder_gives_every_subject_and_run(bids_folder):
    recordings = from_bids(bids_folder, task="imagery", event_id=CLASSES, tmax=1.0)
    assert len(recordings) == 12
    assert recordings.units("run").tolist() == [u for u in ("01/1", "01/2", "02/1", "02/2") for _ in range(3)]
    assert recordings.label_names == ("left", "right")
    direct = from_mne(raw_of(seed=12), event_id=CLASSES, tmax=1.0)
    np.testing.assert_allclose(
        recordings.X[9:], direct.X, atol=1e-10
    )  # BrainVision stores 0.1 microvolt steps or finer
    one = from_bids(bids_folder, task="imagery", event_id=CLASSES, tmax=1.0, subjects=["02"], runs=["2"])
    np.testing.assert_array_equal(one.X, recordings.X[9:])


def test_bids_mistakes_are_named(bids_folder, tmp_path):
    with pytest.raises(InputError, match=r"task 'imagry' is not there; did you mean 'imagery'"):
        from_bids(bids_folder, task="imagry", event_id=CLASSES, tmax=1.0)
    with pytest.raises(InputError, match="subjects '1' is not there"):
        from_bids(bids_folder, task="imagery", event_id=CLASSES, tmax=1.0, subjects=["1"])
    with pytest.raises(DataNotFoundError, match="no such folder"):
        from_bids(tmp_path / "absent", task="imagery", event_id=CLASSES, tmax=1.0)


def test_moabb_reads_real_trials_offline(s001, monkeypatch):
    pytest.importorskip("moabb")
    from moabb.datasets import PhysionetMI
    from moabb.paradigms import LeftRightImagery

    root, folder = s001
    for name in ("MNE_DATA", "MNE_DATASETS_EEGBCI_PATH"):
        monkeypatch.setenv(name, str(root))
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    paradigm = LeftRightImagery(fmin=8, fmax=30, tmin=0.5, tmax=3.5)
    dataset = PhysionetMI()
    dataset.feet_runs = []  # those runs are not needed for left against right
    recordings = from_moabb(dataset, paradigm, subjects=[1])
    assert recordings.X.shape[:2] == (45, 64)
    assert recordings.label_names == ("left_hand", "right_hand")
    assert recordings.metadata["subject"].unique().tolist() == ["1"]
    assert sorted(recordings.metadata["run"].unique()) == ["0", "1", "2"]
    assert 1e-5 < np.abs(recordings.X).max() < 1e-3  # volts
    direct = from_mne(folder / "S001R04.edf", event_id=CLASSES, tmin=0.5, tmax=3.5)
    assert recordings.y[:15].tolist() == direct.y.tolist()


def test_moabb_says_when_nothing_can_be_downloaded(tmp_path, monkeypatch):
    pytest.importorskip("moabb")
    import moabb.datasets.physionet_mi as module

    for name in ("MNE_DATA", "MNE_DATASETS_EEGBCI_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    monkeypatch.setattr(module, "BASE_URL", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(DataNotFoundError, match="not on disk and could not be downloaded") as caught:
        from_moabb("PhysionetMI", "LeftRightImagery", subjects=[1])
    assert "\n" not in str(caught.value)


def test_moabb_mistakes_are_named():
    pytest.importorskip("moabb")
    with pytest.raises(InputError, match="did you mean 'PhysionetMI'"):
        from_moabb("PhysionetM", "LeftRightImagery")
    with pytest.raises(InputError, match="did you mean 'LeftRightImagery'"):
        from_moabb("PhysionetMI", "LeftRightImagry")
    with pytest.raises(InputError, match="no subject 999"):
        from_moabb("PhysionetMI", "LeftRightImagery", subjects=[999])
    with pytest.raises(InputError, match="does not fit the paradigm"):
        from_moabb("PhysionetMI", "P300")


def test_moabb_sessions_and_runs_are_kept():
    pytest.importorskip("moabb")
    from moabb.datasets.fake import FakeDataset
    from moabb.paradigms import MotorImagery

    dataset = FakeDataset(n_subjects=2, n_sessions=2, n_runs=2, n_events=6, duration=40, seed=3)
    recordings = from_moabb(dataset, MotorImagery(n_classes=3, fmin=4, fmax=40))
    assert isinstance(recordings, Recordings)
    assert recordings.names == ("C3", "Cz", "C4")
    assert len(set(recordings.units("run"))) == 8
    assert len(set(recordings.units("session"))) == 4
    assert set(recordings.metadata["duration"]) == {recordings.X.shape[2] / recordings.sfreq}
