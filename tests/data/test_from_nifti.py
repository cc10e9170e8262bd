import gzip

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.svm import LinearSVC

from spikeneuro.data import from_nifti
from spikeneuro.data._volumes import from_events, from_labels
from spikeneuro.errors import DataNotFoundError, InputError

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
EVENTS = pd.DataFrame(
    {"onset": [4.0, 16.0, 28.0], "duration": [8.0, 8.0, 8.0], "trial_type": ["face", "house", "face"]}
)
PLAIN = {"detrend": False, "standardize": False, "hrf_shift": 0.0}


def image(data=None, tr=2.0, unit="sec", affine=AFFINE, seed=0):
    if data is None:
        data = np.random.default_rng(seed).normal(100, 10, size=(4, 5, 3, 20)).astype(np.float32)
    result = nib.Nifti1Image(data, affine)
    result.header.set_xyzt_units("mm", unit)
    if data.ndim == 4:
        result.header.set_zooms((4.0, 4.0, 4.0, tr))
    return result


def atlas_of(codes, dtype=np.int32):
    data = np.zeros((4, 5, 3), dtype)
    for i, code in enumerate(codes):
        data[i] = code
    return nib.Nifti1Image(data, AFFINE)


MASK = nib.Nifti1Image(np.pad(np.ones((2, 3, 1), np.uint8), 1)[:4, :5, :3], AFFINE)
INSIDE = np.asarray(MASK.dataobj).astype(bool)


def test_volumes_are_the_voxels_at_the_times_of_events():
    source = image()
    recordings = from_nifti(source, events=EVENTS, mask=MASK, **PLAIN)
    volumes = [2, 3, 4, 5, 8, 9, 10, 11, 14, 15, 16, 17]
    np.testing.assert_allclose(recordings.X, source.get_fdata()[INSIDE].T[volumes], rtol=1e-6)
    assert recordings.label_names == ("face", "house")
    assert recordings.y.tolist() == [0] * 4 + [1] * 4 + [0] * 4
    assert recordings.metadata["volume"].tolist() == volumes
    assert recordings.metadata["onset"].tolist() == [2.0 * v for v in volumes]
    assert set(recordings.metadata["duration"]) == {2.0}
    assert recordings.metadata["trial"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert recordings.modality == "features"


def test_labels_move_with_the_haemodynamic_shift():
    recordings = from_nifti(image(), events=EVENTS, mask=MASK, **{**PLAIN, "hrf_shift": 5.0})
    # Volumes that start within [onset + 5, onset + 13), in seconds; the run ends at 40 s.
    assert recordings.metadata["volume"].tolist() == [5, 6, 7, 8, 11, 12, 13, 14, 17, 18, 19]


def test_blocks_and_series_come_from_the_same_volumes():
    source = image()
    signals = source.get_fdata()[INSIDE].T
    blocks = from_nifti(source, events=EVENTS, mask=MASK, samples="blocks", **PLAIN)
    np.testing.assert_allclose(blocks.X[1], signals[8:12].mean(axis=0), rtol=1e-6)
    series = from_nifti(source, events=EVENTS, mask=MASK, samples="series", **PLAIN)
    assert series.X.shape == (3, INSIDE.sum(), 4)
    assert series.sfreq == 0.5
    np.testing.assert_allclose(series.X[1], signals[8:12].T, rtol=1e-6)
    longer = from_nifti(source, events=EVENTS, mask=MASK, samples="series", duration=12.0, **PLAIN)
    np.testing.assert_allclose(longer.X[1], signals[8:14].T, rtol=1e-6)
    durations = [set(recordings.metadata["duration"]) for recordings in (blocks, series, longer)]
    assert durations == [{8.0}, {8.0}, {12.0}]
    with pytest.raises(InputError, match="do not lie within the run"):
        from_nifti(source, events=EVENTS, mask=MASK, samples="series", duration=30.0, **PLAIN)
    uneven = EVENTS.assign(duration=[8.0, 6.0, 8.0])
    with pytest.raises(InputError, match=r"blocks differ in length \(3 to 4 volumes\); give duration"):
        from_nifti(source, events=uneven, mask=MASK, samples="series", **PLAIN)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_atlas_codes_survive_every_dtype(dtype):
    source = image()
    recordings = from_nifti(source, events=EVENTS, atlas=atlas_of([3455, 130, 7, 300], dtype), **PLAIN)
    assert recordings.names == ("7", "130", "300", "3455")
    data = source.get_fdata()
    for k, plane in enumerate([2, 1, 3, 0]):
        np.testing.assert_allclose(recordings.X[0, k], data[plane, ..., 2].mean(), rtol=1e-5)
        np.testing.assert_allclose(recordings.positions[k], [plane * 0.004, 0.008, 0.004])


def test_unsigned_bytes_are_not_wrapped():
    recordings = from_nifti(image(), targets=[1.0], atlas=atlas_of([255, 128, 127, 1], np.uint8))
    assert recordings.names == ("1", "127", "128", "255")


def test_region_names_replace_codes():
    names = {3: "left", 9: "right", 11: "unused"}
    recordings = from_nifti(image(), targets=["x"], atlas=atlas_of([3, 9]), region_names=names)
    assert recordings.names == ("left", "right")
    with pytest.raises(InputError, match="region 9 has no entry in region_names"):
        from_nifti(image(), targets=["x"], atlas=atlas_of([3, 9]), region_names={3: "left"})


def test_each_run_is_cleaned_by_itself():
    first, second = image(seed=1), image(seed=2)
    settings = {"mask": MASK, "samples": "blocks", "hrf_shift": 0.0, "metadata": {"subject": ["a", "b"], "run": [1, 1]}}
    both = from_nifti([first, second], events=[EVENTS, EVENTS], **settings)
    loud = image(second.get_fdata().astype(np.float32) * 50, seed=2)
    other = from_nifti([first, loud], events=[EVENTS, EVENTS], **settings)
    np.testing.assert_array_equal(both.X[:3], other.X[:3])
    assert both.units("run").tolist() == ["a/1"] * 3 + ["b/1"] * 3


def test_standardisation_is_the_z_score_of_the_run_or_of_its_rest():
    source = image()
    signals = source.get_fdata()[INSIDE].T
    run = from_nifti(source, targets=[0.5], mask=MASK, detrend=False)
    np.testing.assert_allclose(run.X[0].T, (signals - signals.mean(0)) / signals.std(0, ddof=1), atol=1e-3)
    volumes = from_nifti(source, events=EVENTS, mask=MASK, **{**PLAIN, "standardize": "rest"})
    rest = signals[[0, 1, 6, 7, 12, 13, 18, 19]]
    expected = (signals - rest.mean(0)) / rest.std(0, ddof=1)
    np.testing.assert_allclose(volumes.X, expected[volumes.metadata["volume"]], atol=1e-4)


def test_confounds_and_trends_are_regressed_out():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(20, 2))
    design = np.column_stack([np.ones(20), np.arange(20.0), noise])
    data = (np.random.default_rng(0).normal(size=(60, 4)) @ design.T * 3 + 500).reshape(4, 5, 3, 20)
    explained = from_nifti(image(data), targets=[0.0], mask=MASK, confounds=[noise], standardize=False)
    raw = from_nifti(image(data), targets=[0.0], mask=MASK, detrend=False, standardize=False)
    assert np.abs(explained.X).max() < 1e-3 * np.ptp(raw.X)


def test_volume_labels_split_an_image_into_runs():
    source = image()
    table = pd.DataFrame({"label": ["rest", "cat", "cat", "rest", "dog"] * 4, "run": [1] * 10 + [2] * 10})
    recordings = from_nifti(source, volume_labels=table, mask=MASK, samples="blocks", **PLAIN)
    assert recordings.metadata["run"].tolist() == [1] * 4 + [2] * 4
    assert recordings.metadata["onset"].tolist() == [2.0, 8.0, 12.0, 18.0] * 2
    signals = source.get_fdata()[INSIDE].T
    np.testing.assert_allclose(recordings.X[0], signals[1:3].mean(0), rtol=1e-6)
    np.testing.assert_allclose(recordings.X[4], signals[11:13].mean(0), rtol=1e-6)
    chosen = from_nifti(source, volume_labels=table, mask=MASK, conditions=["rest", "dog"], **PLAIN)
    assert chosen.label_names == ("rest", "dog")
    with pytest.raises(InputError, match="condition 'dogs' does not occur; did you mean 'dog'"):
        from_nifti(source, volume_labels=table, mask=MASK, conditions=["dogs"], **PLAIN)


def test_shifted_labels_start_with_rest():
    labels = from_labels(["a", "a", "b", "b"], tr=2.0, shift=4.0, rest="rest")
    assert labels.label.tolist() == ["rest", "rest", "a", "a"]
    assert labels.block.tolist() == [0, 0, 1, 1]


def test_adjacent_events_of_one_kind_stay_two_blocks():
    events = pd.DataFrame({"onset": [0.0, 4.0], "duration": [4.0, 4.0], "trial_type": ["a", "a"]})
    labels = from_events(events, 6, 2.0, 0.0, "rest", "x")
    assert [b.tolist() for b in labels.blocks(["a"])] == [[0, 1], [2, 3]]


def test_whole_runs_may_differ_in_length_and_repetition_time():
    short = image(np.random.default_rng(1).normal(size=(4, 5, 3, 12)).astype(np.float32))
    recordings = from_nifti([image(), short], targets=["asd", "control"], atlas=atlas_of([1, 2]))
    assert [x.shape for x in recordings.X] == [(2, 20), (2, 12)]
    assert recordings.sfreq == 0.5
    mixed = from_nifti([image(), image(tr=1.5)], targets=[1.0, 2.0], atlas=atlas_of([1, 2]))
    assert mixed.sfreq is None
    assert mixed.metadata["tr"].tolist() == [2.0, 1.5]
    with pytest.raises(InputError, match="repetition times differ"):
        from_nifti(
            [image(), image(tr=1.0)], events=[EVENTS, EVENTS.assign(onset=[1, 6, 12.0], duration=4.0)], mask=MASK
        )


@pytest.mark.parametrize(("tr", "unit", "seconds"), [(2.0, "sec", 2.0), (2000.0, "msec", 2.0), (2.0, "unknown", 2.0)])
def test_repetition_time_is_read_with_its_unit(tr, unit, seconds):
    recordings = from_nifti(image(tr=tr, unit=unit), targets=[1.0], mask=MASK)
    assert recordings.sfreq == pytest.approx(1 / seconds)


@pytest.mark.parametrize(("tr", "unit"), [(2000.0, "sec"), (0.0, "sec"), (2.0, "msec"), (720.0, "unknown")])
def test_unbelievable_repetition_times_are_refused(tr, unit):
    with pytest.raises(InputError, match="cannot be right; pass tr="):
        from_nifti(image(tr=tr, unit=unit), targets=[1.0], mask=MASK)
    assert from_nifti(image(tr=tr, unit=unit), targets=[1.0], mask=MASK, tr=2.0).sfreq == 0.5


def with_nan(place):
    data = np.random.default_rng(0).normal(size=(4, 5, 3, 20))
    data[place] = np.nan
    return image(data)


def test_values_that_are_not_finite_matter_only_inside():
    with pytest.raises(InputError, match=r"inside the mask or atlas are NaN.*voxel \(1, 1, 1\), volume 3"):
        from_nifti(with_nan((1, 1, 1, 3)), targets=[1.0], mask=MASK)
    assert len(from_nifti(with_nan((0, 0, 0, 3)), targets=[1.0], mask=MASK)) == 1


FAR = nib.Nifti1Image(np.asarray(MASK.dataobj), np.array([[4, 0, 0, 900], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1.0]]))
MISTAKES = [
    ({"mask": None}, "either mask .* or atlas"),
    ({"atlas": atlas_of([1])}, "either mask .* or atlas"),
    ({"mask": FAR}, "no signal inside|cannot extract"),
    ({"mask": image(np.random.default_rng(0).random((4, 5, 3)))}, "zeros and one other value"),
    ({"mask": None, "atlas": image(np.random.default_rng(0).random((4, 5, 3)))}, "one whole number per region"),
    ({"mask": None, "atlas": atlas_of([])}, "atlas is empty"),
    ({"mask": None, "atlas": atlas_of([-4])}, "region code -4 is negative"),
    ({"events": None}, "exactly one of"),
    ({"targets": [1]}, "exactly one of"),
    ({"samples": "runs"}, "samples='runs' needs targets"),
    ({"samples": "volume"}, "did you mean 'volumes'"),
    ({"standardize": "baseline"}, "standardize='baseline'"),
    ({"hrf_shift": -2.0}, "hrf_shift"),
    ({"events": EVENTS.drop(columns="trial_type")}, "no column 'trial_type'"),
    ({"events": EVENTS.assign(onset=[4.0, np.nan, 28.0])}, "event 1 has onset"),
    ({"events": EVENTS.assign(duration=[8.0, 0.0, 8.0])}, "event 1 has duration"),
    ({"events": EVENTS.assign(onset=[4.0, 16.0, 100.0])}, "event 2 .* covers no volume of a run of 20 volumes"),
    ({"events": EVENTS.assign(onset=[4.0, 8.0, 28.0])}, "event 1 .* overlaps"),
    ({"events": [EVENTS, EVENTS]}, "2 entries for 1 image"),
    ({"confounds": [np.zeros((19, 2))]}, "19 rows of confounds for 20 volumes"),
    ({"confounds": [np.full((20, 2), np.nan)]}, "not a number in row 0"),
    ({"metadata": {"run": [1, 2]}}, "metadata has 2 rows for 1 image"),
    ({"events": None, "volume_labels": ["a"] * 19}, "19 volume labels for 20 volumes"),
    ({"events": None, "volume_labels": ["rest"] * 20}, "no condition but 'rest' occurs"),
    ({"events": None, "targets": [1, 2]}, "targets holds 2 entries for 1 images"),
    ({"events": "absent_events.tsv"}, "absent_events.tsv: no such file"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message) as caught:
        from_nifti(image(), **{"events": EVENTS, "mask": MASK, **change})
    assert "\n" not in str(caught.value)


def test_region_outside_the_image_is_named():
    small = image(np.random.default_rng(0).normal(size=(2, 5, 3, 20)).astype(np.float32))
    with pytest.raises(InputError, match=r"region \[7, 9\] of .* has no voxel"):
        from_nifti(small, targets=[1.0], atlas=atlas_of([3, 5, 7, 9]))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("part", [0.01, 0.5, 0.99])
def test_truncated_files_are_named(tmp_path, suffix, part):
    whole = tmp_path / f"whole{suffix}"
    nib.save(image(), whole)
    content = whole.read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match=r"cut\.nii.*truncated, damaged or not an image") as caught:
        from_nifti(path, targets=[1.0], mask=MASK)
    assert "\n" not in str(caught.value)
    assert len(from_nifti(whole, targets=[1.0], mask=MASK)) == 1


def test_files_that_are_no_images_are_named(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"absent.nii.gz: no such file"):
        from_nifti(tmp_path / "absent.nii.gz", targets=[1.0], mask=MASK)
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"hello" * 200))
    with pytest.raises(InputError, match=r"text.nii.gz"):
        from_nifti(tmp_path / "text.nii.gz", targets=[1.0], mask=MASK)
    with pytest.raises(InputError, match="4 dimensions are needed"):
        from_nifti(image(np.zeros((4, 5, 3))), targets=[1.0], mask=MASK)


def test_real_block_design_is_decoded(data_root):
    folder = data_root / "fmri" / "haxby2001_sub1_slice"
    table = pd.read_csv(folder / "attributes_literal.txt", sep=" ", header=None, names=["label", "run"])
    recordings = from_nifti(
        folder / "bold.nii.gz",
        volume_labels=table,
        mask=folder / "mask.nii.gz",
        samples="blocks",
        standardize="rest",
        hrf_shift=0.0,
        metadata={"subject": ["1"]},
    )
    assert recordings.X.shape == (96, 530)
    assert np.bincount(recordings.y).tolist() == [12] * 8
    groups = recordings.metadata["run"]
    score = cross_val_score(LinearSVC(), recordings.X, recordings.y, groups=groups, cv=LeaveOneGroupOut()).mean()
    assert score == pytest.approx(0.802, abs=0.03)  # figure published with the sample


def test_real_runs_agree_with_their_volume_labels(data_root):
    folder = data_root / "fmri" / "haxby2001_sub1_slice"
    attributes = pd.read_csv(folder / "attributes_literal.txt", sep=" ", header=None, names=["label", "run"])
    for run in (1, 12):
        events = folder / "haxby2001" / "sub001" / "BOLD" / f"task001_run{run:03d}" / "bold_events.tsv"
        labels = from_events(events, 121, 2.5, 0.0, "rest", "x")
        assert labels.label.tolist() == attributes["label"][attributes["run"] == run - 1].tolist()


def test_real_samples_are_read_or_refused(data_root):
    folder = data_root / "fmri" / "small_bold_samples"
    whole = nib.Nifti1Image(np.ones((10, 10, 18), np.uint8), nib.load(folder / "nitime" / "fmri1.nii.gz").affine)
    files = [folder / "nitime" / f"fmri{i}.nii.gz" for i in (1, 2)]
    recordings = from_nifti(files, targets=["a", "b"], mask=whole)
    assert recordings.X.shape == (2, 1800, 40)
    assert recordings.sfreq == pytest.approx(1 / 1.35)
    with pytest.raises(InputError, match=r"example4d.nii.gz: .* 2000 in unit 'sec' \(milliseconds, probably\)"):
        from_nifti(folder / "nibabel" / "example4d.nii.gz", targets=[1.0], mask=whole)
    with pytest.raises(InputError, match=r"anatomical.nii: 4 dimensions"):
        from_nifti(folder / "nibabel" / "anatomical.nii", targets=[1.0], mask=whole)
