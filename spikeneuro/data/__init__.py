"""Recordings, loaders, simulators, splits and the leakage audit."""

from spikeneuro.data._checks import encode_labels
from spikeneuro.data._root import data_root
from spikeneuro.data.audit import AuditReport, audit, sample_hashes
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
    "AuditReport", "BlockedSplit", "Fold", "GivenSplit", "LeaveGroupsOut", "RandomLeakySplit", "Recordings",
    "StratifiedLeakyKFold", "WithinGroups", "audit", "data_root", "encode_labels", "folds", "inner_split",
    "make_splitter", "sample_hashes",
]  # fmt: skip
