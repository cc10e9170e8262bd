"""Recordings, loaders, simulators, splits and the leakage audit."""

from spikeneuro.data._checks import encode_labels
from spikeneuro.data._root import data_root
from spikeneuro.data.recordings import Recordings

__all__ = ["Recordings", "data_root", "encode_labels"]
