"""Reused memory: nothing that is still shown is given out again, in any thread or process."""

import gc
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
import torch

from spikeneuro import ops
from spikeneuro.errors import InputError
from spikeneuro.ops import buffers

SHAPE = (64, 2048)  # half a megabyte: above the smallest buffer that is kept


@pytest.fixture(autouse=True)
def _empty_pool():
    before = buffers.limit()
    buffers.set_limit(0)
    buffers.set_limit(before)
    yield
    buffers.set_limit(before)


def test_memory_returns_when_the_last_view_is_gone():
    tensor = torch.from_numpy(buffers.empty(SHAPE, np.float32))
    view, place = tensor[3:5], tensor.data_ptr()
    del tensor
    assert buffers.idle_bytes() == 0
    kept = view.numpy()
    del view
    assert buffers.idle_bytes() == 0
    del kept
    gc.collect()
    assert buffers.idle_bytes() >= np.prod(SHAPE) * 4
    again = buffers.empty(SHAPE, np.float32)
    assert abs(again.ctypes.data - place) < 4096  # the same memory, perhaps from another place of the page
    assert buffers.idle_bytes() == 0


def test_arrays_alive_together_never_overlap():
    arrays = [buffers.empty(SHAPE, np.float32) for _ in range(6)]
    for k, array in enumerate(arrays):
        array[...] = k
    assert [float(array.min()) for array in arrays] == [float(array.max()) for array in arrays] == list(range(6))


def test_limit_lets_the_oldest_go():
    buffers.set_limit(600_000)
    first, second = buffers.empty(SHAPE, np.float32), buffers.empty(SHAPE, np.float64)
    del first, second
    assert buffers.idle_bytes() <= 600_000
    buffers.set_limit(0)
    assert buffers.idle_bytes() == 0
    with pytest.raises(InputError, match="n_bytes"):
        buffers.set_limit(-1)


def test_small_arrays_are_left_to_the_allocator():
    array = buffers.empty((10,), np.float32)
    del array
    assert buffers.idle_bytes() == 0


def test_results_of_threads_do_not_mix():
    def run(seed):
        x = torch.rand(40, 4, 1100, generator=torch.Generator().manual_seed(seed))
        return [float(ops.lif(x, beta=0.9).spikes.double().sum()) for _ in range(5)]

    with multiprocessing.pool.ThreadPool(4) as pool:
        found = pool.map(run, range(8))
    assert all(len(set(sums)) == 1 for sums in found)
    assert len({sums[0] for sums in found}) == 8


@pytest.mark.skipif(not hasattr(multiprocessing, "get_context") or sys.platform == "win32", reason="no fork here")
def test_a_forked_process_has_memory_of_its_own():
    # In a fresh process: a result that is alive at the fork, then both sides compute at once.
    code = (
        "import os, numpy as np, torch\n"
        "from spikeneuro import ops\n"
        "torch.set_num_threads(1)\n"
        "def run(scale): return ops.lif(torch.full((50, 16, 512), scale), beta=0.9).spikes\n"
        "run(0.5); alive = run(0.05); before = alive.numpy().copy()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    fine = all((run(3.0).numpy() == 1).all() for _ in range(20)) and (alive.numpy() == before).all()\n"
        "    alive.numpy()[...] = 7; os._exit(0 if fine else 1)\n"
        "mine = all((run(0.05).numpy() == before).all() for _ in range(20))\n"
        "status = os.waitpid(child, 0)[1]\n"
        "assert status == 0 and mine and (alive.numpy() == before).all(), (status, mine)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
