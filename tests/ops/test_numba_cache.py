"""Kernels kept on disk are those of the sources as they are now."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spikeneuro import ops

PROGRAM = """
import numpy as np
from spikeneuro.ops import numba_forward
from spikeneuro.ops.numba_arguments import Choice, Layout, Numbers, Rhythm, State, Team

row = lambda value: np.array([value], np.float32)
numbers = Numbers(row(0), row(1), row(1), row(0), row(0), row(0), row(0), row(0), np.empty((0, 0), np.float32), row(0))
choice = Choice(0, False, False, False, False, 0, True, False, False, False, False, False, False, 0)
groups = np.ones((1, 1), np.uint8)
rhythm = Rhythm(np.ones((1, 1), np.float32), groups, groups, False)
state = State(row(0), row(0), row(0), row(0), row(0), np.zeros((1, 1), np.float32))
x = np.ones((2, 1), np.float32)
s, u, none = np.zeros_like(x), np.zeros_like(x), np.empty((0, 1), np.float32)
kernel = numba_forward.forward
kernel(Team(0, 1), 0, 1, Layout(1, 1, 1, 2**24), choice, numbers, rhythm, x, state, s, u, none, none)
print(int(s.sum()), sum(kernel.stats.cache_hits.values()))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The compiled files alone, in a package of the same name, with a cache of their own."""
    folder = tmp_path / "spikeneuro" / "ops"
    folder.mkdir(parents=True)
    (tmp_path / "spikeneuro" / "__init__.py").touch()
    (folder / "__init__.py").touch()
    for file in Path(ops.__file__).parent.glob("numba_*.py"):
        if file.name != "numba_backend.py":
            shutil.copy(file, folder)
    return folder


def run(folder: Path) -> list[int]:
    """Spikes of a membrane that touches the threshold twice, and whether the kernel came from the disk."""
    root = folder.parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    return [int(number) for number in done.stdout.split()]


def test_an_edit_in_a_function_that_a_kernel_calls_is_compiled(copied) -> None:
    assert run(copied) == [0, 0]
    assert run(copied) == [0, 1]  # kept, so the change below has something to outdate
    steps = copied / "numba_steps.py"
    text = steps.read_text()
    assert "(u > th)" in text
    steps.write_text(text.replace("(u > th)", "(u >= th)"))
    assert run(copied) == [2, 0]
