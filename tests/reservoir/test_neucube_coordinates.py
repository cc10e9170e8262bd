"""Coordinates against published tables and closed forms; nothing is invented."""

import socket

import nibabel
import numpy as np
import pytest
from nilearn import datasets

from spikeneuro.errors import InputError
from spikeneuro.reservoir import box_grid, brain_grid, bundled_positions, electrode_positions, roi_positions

# Projections of 10-20 electrodes to the cortex, MNI, means over 17 people: Okamoto et al. (2004). The package does not
# use them; two other programs hold the same numbers.
MEASURED = {
    "Fp1": (-21.5, 70.2, -0.1), "Fz": (0.6, 40.9, 53.9), "F3": (-35.5, 49.4, 32.4), "F7": (-54.8, 33.9, -3.5),
    "Cz": (0.8, -14.7, 73.9), "C3": (-52.2, -16.4, 57.8), "C4": (54.1, -18.0, 57.5), "T3": (-70.2, -21.3, -10.7),
    "T4": (71.9, -25.2, -8.2), "Pz": (0.2, -62.1, 64.5), "P3": (-39.5, -76.3, 47.4), "O1": (-26.8, -100.2, 12.8),
    "O2": (24.1, -100.5, 14.1), "T5": (-61.5, -65.3, 1.1),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_electrodes_lie_where_they_were_measured():
    found = electrode_positions(list(MEASURED))
    distance = np.linalg.norm(found - np.array(list(MEASURED.values())), axis=1)
    assert distance.max() < 15
    assert distance.mean() < 8


def test_electrodes_lie_on_the_brain():
    mask = datasets.load_mni152_brain_mask(resolution=2)
    voxels = np.linalg.inv(mask.affine)[:3, :3] @ electrode_positions(["Cz", "T7", "Oz", "Fp2"]).T
    voxels = np.rint(voxels + np.linalg.inv(mask.affine)[:3, 3:]).astype(int)
    assert np.asarray(mask.dataobj)[tuple(voxels)].all()


def test_other_caps_are_aligned():
    names = ["Cz", "C3", "Fp1", "O1", "T7", "C4"]
    for montage in ("biosemi64", "easycap-M1"):
        assert np.linalg.norm(electrode_positions(names, montage) - electrode_positions(names), axis=1).max() < 20
    np.testing.assert_array_equal(electrode_positions(names, "standard_1020"), electrode_positions(names))
    np.testing.assert_array_equal(electrode_positions(names, "colin27_1005"), electrode_positions(names))
    np.testing.assert_array_equal(electrode_positions([n.upper() for n in names]), electrode_positions(names))
    assert electrode_positions(["E1", "E128"], "GSN-HydroCel-128").shape == (2, 3)


@pytest.mark.parametrize(
    ("names", "montage", "message"),
    [
        (["Cz", "C33"], "standard_1005", "'C33' is not in montage"),
        (["E1"], "standard_1005", "Rename the channel"),
        (["Cz", "CZ"], "standard_1005", "occurs 2 times"),
        ("Cz", "standard_1005", "single string"),
        ([], "standard_1005", "list of electrodes"),
        ([1, 2], "standard_1005", "list of electrodes"),
        (None, "standard_1005", "list of electrodes, got \\[None\\]"),
        (["EEG FP1-Ref"], "standard_1005", "did you mean 'Fp1'"),
        (["C3.."], "standard_1005", "did you mean 'C3'"),
        (["channel"], "standard_1005", "its 343 names are like"),
        (["Cz"], "biosemi65", "did you mean 'biosemi64'"),
    ],
)
def test_wrong_electrodes(names, montage, message):
    with pytest.raises(InputError, match=message) as caught:
        electrode_positions(names, montage)
    assert len(str(caught.value)) < 300


def atlas(shape=(6, 6, 6)):
    values = np.zeros(shape, dtype=np.int16)
    values[1:3, 1, 1], values[4, 4, 2:5], values[0, 5, 5] = 3, 1, 7
    affine = np.array([[-2.0, 0, 0, 10], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
    return nibabel.Nifti1Image(values, affine)


def test_regions_are_the_means_of_their_voxels(tmp_path):
    expected = [[10 - 8, -20 + 8, 5 + 9], [10 - 3, -20 + 2, 5 + 3], [10, -20 + 10, 5 + 15]]
    np.testing.assert_allclose(roi_positions(atlas()), expected)
    np.testing.assert_allclose(roi_positions(atlas(), labels=[7, 1]), [expected[2], expected[0]])
    nibabel.save(atlas(), tmp_path / "atlas.nii.gz")
    np.testing.assert_allclose(roi_positions(tmp_path / "atlas.nii.gz", n_rois=3), expected)


def test_maps_are_weighted():
    values = np.zeros((4, 4, 4, 2))
    values[0, 0, 0, 0], values[2, 0, 0, 0], values[1, 1, 1, 1] = 1.0, 3.0, 0.2
    np.testing.assert_allclose(roi_positions(nibabel.Nifti1Image(values, np.eye(4))), [[1.5, 0, 0], [1, 1, 1]])
    values[..., 1] = 0
    with pytest.raises(InputError, match="map 2 of the atlas has no positive voxel"):
        roi_positions(nibabel.Nifti1Image(values, np.eye(4)))


def test_wrong_atlases(tmp_path):
    with pytest.raises(InputError, match="48 regional signals, but 3 regions"):
        roi_positions(atlas(), n_rois=48)
    with pytest.raises(InputError, match="no region 2"):
        roi_positions(atlas(), labels=[1, 2])
    with pytest.raises(InputError, match="cannot be read"):
        roi_positions(tmp_path / "absent.nii.gz")
    with pytest.raises(InputError, match="whole numbers"):
        roi_positions(nibabel.Nifti1Image(np.random.default_rng(0).random((3, 3, 3)), np.eye(4)))
    with pytest.raises(InputError, match="no region: all voxels are 0"):
        roi_positions(nibabel.Nifti1Image(np.zeros((3, 3, 3)), np.eye(4)))
    with pytest.raises(InputError, match="three or four dimensions"):
        roi_positions(nibabel.Nifti1Image(np.zeros((3, 3)), np.eye(4)))


def test_tables_are_those_of_nilearn_and_others_are_refused():
    for name, fetch, count in [
        ("power_2011", datasets.fetch_coords_power_2011, 264),
        ("dosenbach_2010", datasets.fetch_coords_dosenbach_2010, 160),
        ("seitzman_2018", datasets.fetch_coords_seitzman_2018, 300),
    ]:
        found = bundled_positions(name)
        assert found.shape == (count, 3)
        np.testing.assert_array_equal(found[5], [fetch().rois[axis].iloc[5] for axis in "xyz"])
        assert np.abs(found).max() < 120
    with pytest.raises(InputError, match="not bundled.*fetch_atlas"):
        bundled_positions("harvard_oxford")


def test_grid_in_the_brain():
    points = brain_grid(10.0)
    assert not (points % 10).any()
    volume = len(points)  # in cubic centimetres
    mask = datasets.load_mni152_brain_mask(resolution=2)
    assert volume == pytest.approx(8e-3 * np.asarray(mask.dataobj).sum(), rel=0.02)
    with pytest.raises(InputError, match="spacing"):
        brain_grid(1.0)


def test_box_holds_its_inputs():
    places = np.random.default_rng(0).normal(size=(20, 3)) * [1, 5, 0.1]
    box = box_grid(places)
    assert len(np.unique(box, axis=0)) == 1000
    assert (box.min(axis=0) <= places.min(axis=0) + 1e-12).all()
    assert (box.max(axis=0) >= places.max(axis=0) - 1e-12).all()
    np.testing.assert_allclose(box[1] - box[0], [0, 0, np.ptp(places[:, 1]) / 9])
    assert np.ptp(box_grid([[1.0, 2, 3]]), axis=0).tolist() == [9, 9, 9]
    with pytest.raises(InputError, match="single point"):
        box_grid(places, (10, 1, 10))
