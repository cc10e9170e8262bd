"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real recordings, or a skip that says how to provide it."""
    folder = os.environ.get("SPIKENEURO_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real recordings are read from the folder named by SPIKENEURO_DATA, which is not set")
    return Path(folder)
