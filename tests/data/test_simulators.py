import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from mne.decoding import CSP
from nilearn.glm.first_level import FirstLevelModel
from scipy import signal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline

from spikeneuro.data import (
    BUILTIN,
    Preprocessing,
    from_nifti,
    load_builtin,
    simulate_block_fmri,
    simulate_motor_imagery,
)
from spikeneuro.errors import InputError


@pytest.fixture(scope="module")
def imagery():
    return simulate_motor_imagery()


def band_power(recordings, low, high):
    frequencies, density = signal.welch(recordings.X, recordings.sfreq, nperseg=128)
    return density[..., (frequencies >= low) & (frequencies <= high)].mean(axis=-1)


def leave_one_subject_out(model, X, recordings):
    groups = recordings.metadata["subject"]
    return cross_val_score(model, X, recordings.y, groups=groups, cv=LeaveOneGroupOut()).mean()


def test_imagery_is_what_it_says(imagery):
    assert imagery.X.shape == (320, 32, 256)
    assert imagery.simulated
    assert "simulated" in repr(imagery)
    assert imagery.label_names == ("left_hand", "right_hand")
    assert (imagery.metadata.groupby("subject").size() == 40).all()
    assert [np.bincount(imagery.y[imagery.metadata["subject"] == s]).tolist() for s in ("S01", "S08")] == [[20, 20]] * 2
    spread = imagery.X.std(axis=(0, 2))
    assert ((spread > 3e-6) & (spread < 5e-5)).all()  # scalp EEG is some ten microvolts


def test_rhythm_weakens_opposite_to_the_hand(imagery):
    power = np.log(band_power(imagery, 8, 13))
    c3, c4 = imagery.names.index("C3"), imagery.names.index("C4")
    subjects = imagery.metadata["subject"].to_numpy()
    shifts = []
    for subject in np.unique(subjects):
        mine = subjects == subject
        right, left = mine & (imagery.y == 1), mine & (imagery.y == 0)
        lateral = power[:, c3] - power[:, c4]
        shifts.append(lateral[right].mean() - lateral[left].mean())
    assert np.mean(shifts) < -0.3
    assert (np.array(shifts) < 0).mean() >= 0.75


def test_background_falls_with_frequency_and_blinks_are_frontal(imagery):
    density = [band_power(imagery, low, low + 3).mean() for low in (2, 30, 50)]
    assert density[0] > 5 * density[1] > 5 * density[2] * 0.5
    quiet = simulate_motor_imagery(2, 20, blink_rate=0.0)
    loud = simulate_motor_imagery(2, 20, blink_rate=1.0)
    slow = band_power(loud, 1, 3).mean(axis=0) / band_power(quiet, 1, 3).mean(axis=0)
    assert slow[quiet.names.index("Fp1")] > 5 * slow[quiet.names.index("Oz")]


def test_imagery_can_be_learned_but_not_trivially(imagery):
    X = Preprocessing(low=8.0, high=30.0).apply_recordings(imagery).X
    score = leave_one_subject_out(make_pipeline(CSP(6, reg="ledoit_wolf"), LinearDiscriminantAnalysis()), X, imagery)
    assert 0.7 < score < 0.92


def test_without_desynchronisation_there_is_nothing_to_learn():
    recordings = simulate_motor_imagery(desynchronisation=0.0)
    features = np.log(band_power(recordings, 8, 13))
    score = leave_one_subject_out(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), features, recordings)
    assert abs(score - 0.5) < 3 * np.sqrt(0.25 / len(recordings))


def test_seed_decides_everything_and_subjects_do_not_depend_on_their_number():
    small = simulate_motor_imagery(2, 6)
    assert simulate_motor_imagery(2, 6).fingerprint == small.fingerprint
    assert simulate_motor_imagery(2, 6, random_state=1).fingerprint != small.fingerprint
    np.testing.assert_array_equal(simulate_motor_imagery(3, 6).X[:12], small.X)


def test_imagery_mistakes_are_named():
    for change, message in (
        ({"n_subjects": 0}, "n_subjects"),
        ({"n_trials": 2.5}, "n_trials must be an integer"),
        ({"sfreq": 20.0}, "sfreq"),
        ({"desynchronisation": 1.5}, "desynchronisation"),
        ({"montage": "biosemi3"}, "montage 'biosemi3' is unknown"),
        ({"montage": "EGI_256"}, "no C3 and C4"),
    ):
        with pytest.raises(InputError, match=message):
            simulate_motor_imagery(**{"n_subjects": 1, "n_trials": 2, **change})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fmri")
    return folder, simulate_block_fmri(folder, 2, n_runs=1, effect_percent=1.0)


def test_fmri_is_real_nifti_in_mni_space(study):
    folder, files = study
    image = nib.load(files.images[0])
    assert image.shape[:3] == (20, 24, 20)
    assert image.header.get_zooms() == (8.0, 8.0, 8.0, 2.0)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert image.header["sform_code"] == 4  # MNI152
    assert image.get_data_dtype() == np.int16
    atlas = nib.load(files.atlas)
    assert np.array_equal(atlas.affine, image.affine)
    assert len(np.unique(np.asarray(atlas.dataobj))) == 25
    assert json.loads((folder / "dataset_description.json").read_text())["Simulated"] is True
    events = pd.read_csv(files.events[0], sep="\t")
    assert events.columns.tolist() == ["onset", "duration", "trial_type"]
    assert sorted(events["trial_type"].value_counts()) == [4, 4]
    assert len(pd.read_csv(files.confounds[0], sep="\t")) == image.shape[3]


def test_general_linear_model_finds_the_responses_where_they_are(study):
    _, files = study
    brain = nib.load(files.atlas)
    mask = nib.Nifti1Image((np.asarray(brain.dataobj) > 0).astype(np.uint8), brain.affine)
    model = FirstLevelModel(t_r=2.0, mask_img=mask, drift_model="cosine", signal_scaling=False)
    model.fit(files.images[0], pd.read_csv(files.events[0], sep="\t"), pd.read_csv(files.confounds[0], sep="\t"))
    z = model.compute_contrast("face - house", output_type="z_score").get_fdata()
    codes = np.asarray(brain.dataobj)
    face = np.mean([z[codes == c].mean() for c in range(101, 107)])
    house = np.mean([z[codes == c].mean() for c in range(107, 113)])
    silent = np.mean([z[codes == c].mean() for c in range(119, 125)])
    assert face > 1.0
    assert house < -1.0
    assert abs(silent) < 0.7


def test_motion_moves_the_signal_and_confounds_explain_it(tmp_path):
    settings = {"n_subjects": 1, "n_runs": 1, "noise_percent": 0.1, "effect_percent": 0.0, "motion_mm": 1.0}
    files = simulate_block_fmri(tmp_path, **settings)
    raw, clean = (
        from_nifti(files.images, targets=[0], atlas=files.atlas, standardize=False, confounds=c)
        for c in (None, files.confounds)
    )
    assert clean.X[0].var() < 0.35 * raw.X[0].var()


def test_fmri_is_reproducible_to_the_byte(study, tmp_path):
    _, files = study
    again = simulate_block_fmri(tmp_path, 1, n_runs=1, effect_percent=1.0)
    for mine, theirs in ((files.images[0], again.images[0]), (files.events[0], again.events[0])):
        assert mine.read_bytes() == theirs.read_bytes()


def test_block_fmri_can_be_learned_but_not_trivially():
    recordings = load_builtin("simulated-block-fmri", n_subjects=6)
    assert recordings.simulated
    assert recordings.X.shape == (96, 24, 10)
    assert recordings.sfreq == 0.5
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    assert 0.75 < leave_one_subject_out(model, recordings.X.mean(axis=-1), recordings) < 0.97


def test_digits_are_real():
    recordings = load_builtin("digits")
    assert recordings.X.shape == (1797, 1, 8, 8)
    assert not recordings.simulated
    assert recordings.X.max() == 1.0


def test_builtin_mistakes_are_named():
    assert sorted(BUILTIN) == ["digits", "simulated-block-fmri", "simulated-motor-imagery", "simulated-where-when"]
    with pytest.raises(InputError, match="did you mean 'digits'"):
        load_builtin("digit")
    with pytest.raises(InputError, match="has no parameter 'n_subject'; did you mean 'n_subjects'"):
        load_builtin("simulated-motor-imagery", n_subject=3)
    with pytest.raises(InputError, match="has no parameter 'n_block'; did you mean 'n_blocks'"):
        load_builtin("simulated-block-fmri", n_block=3)
