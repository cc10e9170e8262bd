"""A split that was published, and that puts the same people on both sides, is refused."""

import numpy as np
import pandas as pd
import pytest

from spikeneuro.data.auditing import audit
from spikeneuro.data.splits import GivenSplit, LeaveGroupsOut, folds
from spikeneuro.errors import LeakageError


def test_the_published_split_of_dementia_slices_shares_all_its_subjects(data_root):
    index = pd.read_csv(data_root / "images" / "alzheimer_mri_4class" / "index.csv")
    y = index["label"].to_numpy()
    [given] = folds(index, y, GivenSplit(column="kaggle_split"), unit="subject")
    with pytest.raises(LeakageError, match="200 units of subject are in training and in test"):
        audit(index, given)
    made = folds(index, y, LeaveGroupsOut("subject", n_splits=4, stratify=True, random_state=0))
    for fold in made:
        assert audit(index, fold).clean
        share = np.bincount(y[fold.test], minlength=4) / len(fold.test)
        assert share == pytest.approx(np.bincount(y) / len(y), abs=0.02)
