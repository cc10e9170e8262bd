"""Recordings, loaders, simulators, splits and the leakage audit."""

from spikeneuro.data._checks import encode_labels
from spikeneuro.data._root import data_root
from spikeneuro.data.audit import AuditReport, audit, sample_hashes
from spikeneuro.data.from_bids import from_bids
from spikeneuro.data.from_images import from_idx, from_image_folder
from spikeneuro.data.from_mne import from_mne
from spikeneuro.data.from_moabb import from_moabb
from spikeneuro.data.from_nifti import from_nifti
from spikeneuro.data.from_timeseries import from_timeseries
from spikeneuro.data.preprocess import Preprocessing
from spikeneuro.data.recordings import Recordings
from spikeneuro.data.splits import (
    BlockedSplit,
    Fold,
    GivenSplit,
    LeaveGroupsOut,
    RandomLeakySplit,
    StratifiedLeakyKFold,
    WithinGroups,
    folds,
    inner_split,
    make_splitter,
)

__all__ = [
    "AuditReport", "BlockedSplit", "Fold", "GivenSplit", "LeaveGroupsOut", "Preprocessing", "RandomLeakySplit",
    "Recordings", "StratifiedLeakyKFold", "WithinGroups", "audit", "data_root", "encode_labels", "folds", "from_bids",
    "from_idx", "from_image_folder", "from_mne", "from_moabb", "from_nifti", "from_timeseries", "inner_split",
    "make_splitter", "sample_hashes",
]  # fmt: skip
