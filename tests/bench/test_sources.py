"""Recordings kept in memory are those of the data that the environment names now."""

from spikeneuro.bench.sources import load_recordings
from spikeneuro.bench.suite import load_suite

ADAPTER = '''
import os
from pathlib import Path

import numpy as np

from spikeneuro.data import Recordings


def load():
    """A number from a file."""
    value = float(Path(os.environ["SPIKENEURO_DATA"], "value").read_text())
    return Recordings(np.full((2, 3), value), np.array([0, 1]), {"subject": [0, 1]}, None, modality="features")
'''


def test_another_data_root_is_read_anew(make_suite, tmp_path, monkeypatch):
    path = make_suite()
    path.write_text(path.read_text().replace("data.py:blobs", "rooted.py:load"))
    (path.parent / "rooted.py").write_text(ADAPTER)
    source = load_suite(path).experiments[0].data
    values, kept = [], []
    for name in ("first", "second", "first"):
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        (root / "value").write_text("1" if name == "first" else "2")
        monkeypatch.setenv("SPIKENEURO_DATA", str(root))
        kept.append(load_recordings(source))
        values.append(kept[-1].X[0, 0])
    assert values == [1, 2, 1]
    assert kept[0] is kept[2]  # kept in memory all the same
