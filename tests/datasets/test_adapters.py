"""The adapters of the recorded data sets: shapes, units, labels and whose each sample is, on a few subjects."""

import importlib.util
import lzma
from pathlib import Path

import nibabel
import numpy as np
import pytest

from spikeneuro.data import Recordings, audit, folds, make_splitter, sample_hashes
from spikeneuro.errors import DataNotFoundError, InputError

FOLDER = Path(__file__).parents[2] / "benchmarks" / "datasets"
ON_DISK = sorted({path.stem for path in FOLDER.glob("*.py")} - {"moabb_imagery"})  # that one may download


def adapter(name):
    spec = importlib.util.spec_from_file_location(f"adapter_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name, **params):
    recordings = adapter(name).load(**params)
    assert isinstance(recordings, Recordings)
    assert recordings.description
    assert not recordings.simulated
    return recordings


def counts(recordings):
    return dict(zip(recordings.label_names, np.bincount(recordings.y).tolist(), strict=True))


def test_every_adapter_says_what_it_is_without_data(monkeypatch, tmp_path):
    assert len(ON_DISK) == 11
    for name in ON_DISK:
        module = adapter(name)
        assert "Parameters" in module.load.__doc__
        monkeypatch.delenv("SPIKENEURO_DATA", raising=False)
        with pytest.raises(DataNotFoundError, match="SPIKENEURO_DATA is not set"):
            module.load()
        monkeypatch.setenv("SPIKENEURO_DATA", str(tmp_path))
        with pytest.raises(DataNotFoundError, match=f"{tmp_path}.* does not exist"):
            module.load()


def test_damaged_files_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKENEURO_DATA", str(tmp_path))
    for path in ("eeg/bonn/bonn_epilepsy_int16.npz", "eeg/qtdb_srnn/QTDB_train.mat"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"PK\x03\x04 not the rest of it")
    for name in ("bonn", "qtdb"):
        with pytest.raises(InputError, match="truncated or damaged"):
            adapter(name).load()


def test_a_truncated_image_of_all_runs_is_named(monkeypatch, tmp_path):
    folder = tmp_path / "fmri" / "haxby2001_sub1_slice"
    folder.mkdir(parents=True)
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(4, 4, 1, 1452)).astype(np.float32), np.eye(4))
    nibabel.save(image, folder / "bold.nii.gz")
    content = (folder / "bold.nii.gz").read_bytes()
    (folder / "bold.nii.gz").write_bytes(content[: len(content) // 2])
    monkeypatch.setenv("SPIKENEURO_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"bold\.nii\.gz: truncated, damaged or not an image"):
        adapter("haxby").load()


def test_a_truncated_file_is_named(data_root, monkeypatch, tmp_path):
    for path in ("eeg/qtdb_srnn/QTDB_train.mat", "eeg/eegmmidb_s001/S001R04.edf.xz", "eeg/eegmmidb/S002.npz"):
        content = (data_root / path).read_bytes()
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content[: len(content) // 2])
    monkeypatch.setenv("SPIKENEURO_DATA", str(tmp_path))
    for name, params in (("qtdb", {}), ("eegmmidb", {"subjects": [1]}), ("eegmmidb", {"subjects": [2]})):
        with pytest.raises(InputError, match="truncated or damaged") as raised:
            adapter(name).load(**params)
        assert "\n" not in str(raised.value)


def test_eegmat(data_root):
    recordings = load("eegmat", subjects=[0, 4], window=4.0)
    assert recordings.X.shape == (60, 19, 500)
    assert recordings.sfreq == 125
    assert counts(recordings) == {"rest": 30, "arithmetic": 30}
    assert list(dict.fromkeys(recordings.metadata["subject"])) == ["S00", "S04"]
    assert 1e-6 < recordings.X.std() < 1e-4  # volts
    arrays = np.load(data_root / "eeg/eegmat/subject04.npz")
    rest = arrays["rest"][:19, -250 - 7500 : -250] * arrays["rest_scale_uV"][:19, None] * 1e-6
    of_rest = recordings.X[(recordings.metadata["subject"] == "S04") & (recordings.y == 0)]
    np.testing.assert_allclose(np.concatenate(list(of_rest), axis=1), rest, rtol=1e-6)
    # 170 s of rest here: its last 2 s are left out, the minute before is taken.
    assert recordings.metadata["onset"][recordings.metadata["subject"] == "S04"].min() == 0
    assert np.isfinite(recordings.positions).all()
    assert 0.05 < np.linalg.norm(recordings.positions, axis=1).mean() < 0.12  # metres
    assert load("eegmat", subjects=[0], window=None, resample=64).X.shape == (2, 19, 3840)
    with pytest.raises(InputError, match="no subject 30"):
        load("eegmat", subjects=[30])


def test_eegmat_with_ecg(data_root):
    both = load("eegmat", subjects=[4, 6], ecg=True)
    alone = load("eegmat", subjects=[4, 6])
    np.testing.assert_array_equal(both.X["eeg"], alone.X)
    assert both.X["ecg"].shape == (60, 1, 500)
    assert both.modality == {"eeg": "eeg", "ecg": "ecg"}
    assert both.metadata.equals(alone.metadata)
    assert 1e-5 < both.X["ecg"].std() < 1e-2  # volts
    arrays = np.load(data_root / "eeg/eegmat/subject04.npz")
    task = arrays["task"][list(arrays["ch_names"]).index("ECG"), :7500]
    of_task = both.X["ecg"][(both.metadata["subject"] == "S04") & (both.y == 1)]
    np.testing.assert_allclose(of_task.ravel(), task * (arrays["task_scale_uV"][-1] * 1e-6), rtol=1e-5)
    # a heart beats about once a second: the spectrum of its power peaks between 40 and 180 beats a minute
    power = np.abs(np.fft.rfft((of_task.ravel() - of_task.mean()) ** 2))
    frequencies = np.fft.rfftfreq(7500, 1 / 125)
    low = (frequencies > 0.4) & (frequencies < 4)
    assert 0.67 < frequencies[low][power[low].argmax()] < 3
    assert load("eegmat", subjects=[0], ecg=True, resample=80).X["ecg"].shape[2] == 320


def test_ssvep(data_root):
    recordings = load("ssvep_exo", subjects=[3, 8], tmin=2.0, tmax=5.5)
    assert recordings.X.shape == (96, 8, 896)
    assert recordings.label_names == ("13 Hz", "17 Hz", "21 Hz")
    assert counts(recordings) == {"13 Hz": 32, "17 Hz": 32, "21 Hz": 32}
    assert len(np.unique(recordings.units("session"))) == 4  # subject 8 has a third, left out by the authors
    # The spectrum says which label is which, whatever the codes: for subject 3 the peak is plain.
    of_three = recordings.select((recordings.metadata["subject"] == "S03").to_numpy())
    power = np.abs(np.fft.rfft(of_three.X[:, :3], 2048, axis=-1)) ** 2
    bins = [round(f * 2048 / 256) for f in (13, 17, 21)]
    relative = np.stack([power[..., b] / power[..., b - 24 : b + 24].mean(axis=-1) for b in bins], axis=-1)
    assert np.mean(relative.mean(axis=1).argmax(axis=1) == of_three.y) > 0.8
    assert load("ssvep_exo", subjects=[8], excluded=True, rest=True, resample=128).X.shape[2] == 512
    assert "rest" in load("ssvep_exo", subjects=[1], rest=True, band=None).label_names


def test_eegmmidb_from_edf_and_arrays(data_root):
    recordings = load("eegmmidb", subjects=[1, 3], runs=[4, 8])
    assert recordings.X.shape == (60, 64, 480)
    assert recordings.sfreq == 160
    assert recordings.names[:2] == ("FC5", "FC3")
    assert recordings.label_names == ("left", "right")
    assert set(recordings.units("run")) == {"S001/4", "S001/8", "S003/4", "S003/8"}
    assert set(np.bincount(recordings.y)) <= {29, 30, 31}
    assert 1e-7 < recordings.X.std() < 1e-4
    spectrum = (np.abs(np.fft.rfft(recordings.X, axis=-1)) ** 2).mean(axis=(0, 1))
    frequencies = np.fft.rfftfreq(480, 1 / 160)
    inside = (frequencies >= 8) & (frequencies <= 30)
    assert spectrum[inside].sum() > 0.9 * spectrum.sum()
    aligned = load("eegmmidb", subjects=[3], runs=[4], resample=80, transductive_alignment=True)
    assert "transductive" in aligned.description
    covariance = np.einsum("nct,ndt->cd", aligned.X, aligned.X) / (len(aligned) * aligned.X.shape[-1])
    np.testing.assert_allclose(np.diag(covariance), 1, atol=0.05)
    with pytest.raises(InputError, match="no subject 1 with runs"):
        load("eegmmidb", subjects=[1], runs=[6])


def test_edf_and_arrays_are_one_data_set(data_root):
    # Without a filter both paths give whole microvolts, in the same order of channels.
    recordings = load("eegmmidb", subjects=[1, 2], runs=[4], band=None)
    microvolts = recordings.X * 1e6
    np.testing.assert_allclose(microvolts, np.round(microvolts), atol=1e-3)
    assert {15} == set(recordings.metadata["subject"].value_counts())
    np.testing.assert_allclose(np.diff(recordings.metadata["onset"][:3]), 8.3, atol=4.3)


def test_bonn(data_root):
    recordings = load("bonn", per_set=10)
    assert recordings.X.shape == (50, 1, 4097)
    assert recordings.sfreq == pytest.approx(173.61)
    deviation = [recordings.X[recordings.y == k].std(axis=-1).mean() for k in range(5)]
    assert np.argmax(deviation) == 4  # seizures are the largest
    assert recordings.metadata["segment"].is_unique
    assert "subject" not in recordings.metadata
    two = load("bonn", sets="EA", per_set=3, window=5.0)
    assert two.label_names == ("seizure", "healthy, eyes open")
    assert set(two.metadata["segment"].str[0]) == {"S", "Z"}
    assert len(two) == 6 * 4
    with pytest.raises(InputError, match="sets='AX'"):
        load("bonn", sets="AX")


def test_qtdb(data_root):
    recordings = load("qtdb", n_train=20, n_test=10)
    assert recordings.X.shape == (30, 4, 1301)
    assert recordings.task == "steps"
    assert set(np.unique(recordings.X)) == {0.0, 1.0}
    assert recordings.y.min() == -1
    assert recordings.y.max() == 5
    (fold,) = folds(recordings.metadata, recordings.y, make_splitter("given", column="split"))
    assert (len(fold.train), len(fold.test)) == (20, 10)
    whole = load("qtdb")
    unlabelled = [(whole.y[whole.metadata["split"] == part] == -1).mean() for part in ("train", "test")]
    assert unlabelled == pytest.approx([0.082, 0.104], abs=0.001)


def test_abide(data_root):
    recordings = load("abide", sites=["YALE", "NYU"])
    assert recordings.ragged or recordings.X.ndim == 3
    assert set(recordings.metadata["site"]) == {"NYU", "YALE"}
    assert recordings.metadata["subject"].is_unique
    assert recordings.X[0].shape[0] == 111
    arrays = np.load(data_root / "fmri/abide1_pcp/abide1_cpac_nofilt_noglobal_ho111_1035.npz")
    raw = (data_root / "fmri/abide1_pcp/raw_samples/NYU_0050952_rois_ho.1D").read_text().splitlines()[1:]
    values = np.array([line.split() for line in raw], dtype=float)
    row = int(np.flatnonzero(recordings.metadata["subject"] == "NYU_0050952")[0])
    # The arrays hold each series in steps of 1/64 of its deviation.
    assert np.abs(recordings.X[row].T - values).max() <= 0.01 * values.std(axis=0).max()
    everyone = load("abide")
    assert len(everyone) == len(arrays["site"]) - 1  # one series is there under two people
    assert len(np.unique(sample_hashes(everyone.X))) == len(everyone)
    assert len(load("abide", passed_quality_check=True)) == 871
    assert load("abide", sites=["CALTECH"], drop_regions=[3455]).X[0].shape[0] == 110
    with pytest.raises(InputError, match="did you mean 'NYU'"):
        load("abide", sites=["NYUU"])


def test_haxby(data_root):
    recordings = load("haxby", runs=[1, 2, 12])
    assert recordings.X.shape == (24, 530)
    assert recordings.modality == "features"
    assert counts(recordings) == dict.fromkeys(recordings.label_names, 3)
    assert set(recordings.metadata["run"]) == {1, 2, 12}
    volumes = load("haxby", samples="volumes", runs=[2], objects=["face", "house"])
    assert volumes.X.shape == (18, 530)
    lines = (data_root / "fmri/haxby2001_sub1_slice/attributes_literal.txt").read_text().split("\n")
    by_volume = [line.split()[0] for line in lines[121:242]]
    for volume, label in zip(volumes.metadata["volume"], volumes.y, strict=True):
        assert by_volume[volume] == volumes.label_names[label]
    with pytest.raises(InputError, match="no run 13"):
        load("haxby", runs=[13])


def test_ds000228(data_root):
    recordings = load("ds000228")
    assert recordings.X.shape == (155, 2016)
    assert counts(recordings) == {"child": 122, "adult": 33}
    ages = load("ds000228", target="age", children_only=True)
    assert ages.task == "regression"
    assert ages.y.max() < 18
    assert len(ages) == 122
    assert len(set(recordings.names)) == 2016
    with pytest.raises(InputError, match="target='sex' is unknown"):
        load("ds000228", target="sex")


def test_mnist(data_root):
    recordings = load("mnist", n_train=300, n_test=100)
    assert recordings.X.shape == (400, 1, 28, 28)
    assert recordings.X.max() == 1.0
    assert recordings.metadata["split"].value_counts().to_dict() == {"train": 300, "test": 100}
    assert load("mnist", n_train=300, n_test=100).fingerprint == recordings.fingerprint
    assert load("mnist", n_train=300, n_test=100, random_state=1).fingerprint != recordings.fingerprint


def test_mnist_pixel_by_pixel(data_root):
    size = {"n_train": 300, "n_test": 100}
    images, rows = load("mnist", **size), adapter("mnist").load_sequential(**size)
    assert rows.X.shape == (400, 1, 784)
    assert rows.sfreq == 1.0
    assert rows.modality == "signal"
    np.testing.assert_array_equal(rows.X[:, 0, 28 * 7 + 13], images.X[:, 0, 7, 13])  # row by row from the top
    np.testing.assert_array_equal(rows.y, images.y)
    assert rows.metadata.equals(images.metadata)
    permuted = adapter("mnist").load_sequential(**size, permutation=92916)
    # the order is one for all images, and begins as that of the published programs: RandomState(92916)
    order = np.random.RandomState(92916).permutation(784)
    for image in (0, 399):
        np.testing.assert_array_equal(permuted.X[image, 0], rows.X[image, 0, order])
    assert not np.array_equal(permuted.X, rows.X)
    assert adapter("mnist").load_sequential(**size, permutation=92916).fingerprint == permuted.fingerprint
    assert adapter("mnist").load_sequential(**size, permutation=1).fingerprint != permuted.fingerprint
    for wrong in (-1, 2**32, 1.5, "yes"):
        with pytest.raises(InputError, match="permutation"):
            adapter("mnist").load_sequential(**size, permutation=wrong)


def test_alzheimer(data_root):
    recordings = load("alzheimer", size=(26, 22), every=8)
    assert recordings.X.shape == (800, 1, 26, 22)
    assert list(counts(recordings).values()) == [400, 280, 112, 8]
    assert recordings.metadata.groupby("subject").size().eq(4).all()
    assert recordings.metadata["subject"].nunique() == 200
    # The collection's own split has every person on both sides, and the audit says so.
    fold = folds(recordings.metadata, recordings.y, make_splitter("leave-groups-out", by="subject", n_splits=4))[0]
    assert audit(recordings.metadata, fold, by=("subject",))
    paper = load("alzheimer", size=(26, 22), subset="paper")
    assert list(counts(paper).values()) == [182, 351, 182, 64]
    with pytest.raises(InputError, match="subset"):
        load("alzheimer", subset="papers")


def test_stenosis(data_root):
    recordings = load("stenosis")
    assert recordings.X.shape == (247, 1, 32, 32)
    assert counts(recordings) == {"no stenosis": 125, "stenosis": 122}
    groups = recordings.metadata["dup_group"]
    first = {group: recordings.X[groups == group] for group in groups[groups.duplicated()]}
    assert all((images == images[0]).all() for images in first.values())
    assert len(load("stenosis", distinct=True)) == 233


def test_moabb_imagery_offline(data_root, tmp_path, monkeypatch):
    """PhysionetMI reads subject 1 from MNE's folder layout, without a network."""
    pytest.importorskip("moabb")
    folder = tmp_path / "MNE-eegbci-data/files/eegmmidb/1.0.0/S001"
    folder.mkdir(parents=True)
    for source in sorted((data_root / "eeg/eegmmidb_s001").glob("*.edf.xz")):
        (folder / source.stem).write_bytes(lzma.decompress(source.read_bytes()))
    for name in ("MNE_DATA", "MNE_DATASETS_EEGBCI_PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    recordings = load("moabb_imagery", dataset="PhysionetMI", subjects=[1], resample=80)
    assert recordings.X.shape[:2] == (45, 64)
    assert recordings.sfreq == 80
    assert counts(recordings).keys() == {"left_hand", "right_hand"}
