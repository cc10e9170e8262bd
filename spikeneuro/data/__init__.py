"""Recordings, loaders, simulators, splits and the leakage audit."""

from spikeneuro.data._checks import encode_labels
from spikeneuro.data._root import data_root
from spikeneuro.data.auditing import AuditReport, audit, sample_hashes
from spikeneuro.data.builtin import BUILTIN, digits, load_builtin
from spikeneuro.data.from_bids import from_bids
from spikeneuro.data.from_images import from_idx, from_image_folder
from spikeneuro.data.from_mne import from_mne
from spikeneuro.data.from_moabb import from_moabb
from spikeneuro.data.from_nifti import from_nifti
from spikeneuro.data.from_timeseries import from_timeseries
from spikeneuro.data.preprocess import Preprocessing
from spikeneuro.data.recordings import Recordings
from spikeneuro.data.simulate_eeg import simulate_motor_imagery
from spikeneuro.data.simulate_fmri import SimulatedStudy, simulate_block_fmri
from spikeneuro.data.simulate_modalities import simulate_where_when
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
    "AuditReport", "BUILTIN", "BlockedSplit", "Fold", "GivenSplit", "LeaveGroupsOut", "Preprocessing",
    "RandomLeakySplit", "Recordings", "SimulatedStudy", "StratifiedLeakyKFold", "WithinGroups", "audit",
    "data_root", "digits", "encode_labels", "folds", "from_bids", "from_idx", "from_image_folder", "from_mne",
    "from_moabb", "from_nifti", "from_timeseries", "inner_split", "load_builtin", "make_splitter", "sample_hashes",
    "simulate_block_fmri", "simulate_motor_imagery", "simulate_where_when",
]  # fmt: skip
