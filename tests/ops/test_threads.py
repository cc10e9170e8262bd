"""Shares of work on several threads: each block once, errors raised, on OpenMP and on the pool."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import sklearn
import torch

from spikeneuro.ops import threads
from spikeneuro.ops.numba_threads import share_out

if not sys.platform.startswith("linux"):
    pytest.skip("threads are numbered and put to sleep by calls of Linux here", allow_module_level=True)
_libc = ctypes.CDLL(None)
thread_number = _libc.gettid
thread_number.restype, thread_number.argtypes = ctypes.c_int, ()
sleep = _libc.usleep
sleep.restype, sleep.argtypes = ctypes.c_int, (ctypes.c_uint,)


@pytest.fixture(params=["openmp", "pool"])
def kind(request, monkeypatch):
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: 0)
    elif not threads._openmp():
        pytest.skip("torch's OpenMP runtime cannot be reached here")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield request.param
    torch.set_num_threads(before)


@numba.njit
def _mark(first, last, offset, times, names):
    for k in range(first, last):
        times[k + offset] += 1
        names[k + offset] = thread_number()


@numba.njit(nogil=True)
def mark(team, first, last, offset, times, names):
    if not share_out(_mark, team, first, last, (offset, times, names)):
        raise MemoryError


@numba.njit
def _linger(first, last, names):
    for k in range(first, last):
        sleep(50_000)  # long enough for the others to begin
        names[k] = thread_number()


@numba.njit(nogil=True)
def linger(team, first, last, names):
    if not share_out(_linger, team, first, last, (names,)):
        raise MemoryError


@numba.njit
def _hoard(first, _last, sizes, done):
    done[first] = np.empty(sizes[first], np.uint8).size


@numba.njit(nogil=True)
def hoard(team, first, last, sizes, done):
    if not share_out(_hoard, team, first, last, (sizes, done)):
        raise MemoryError


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("n_blocks", [0, 1, 2, 3, 10])
def test_every_block_is_run_once(n_blocks):
    times, names = np.zeros(15, np.int64), np.zeros(15, np.int64)
    threads.run_blocks(mark, n_blocks, 2, times, names)
    np.testing.assert_array_equal(times, [0, 0, *[1] * n_blocks, *[0] * (13 - n_blocks)])


@pytest.mark.usefixtures("kind")
def test_work_is_shared_between_threads():
    names = np.zeros(3, np.int64)
    threads.run_blocks(linger, 3, names)
    assert len(set(names.tolist())) == 3


@pytest.mark.usefixtures("kind")
def test_a_share_for_which_memory_is_short_is_told_and_the_others_are_run():
    sizes, done = np.array([5, 2**60, 7]), np.zeros(3, np.int64)
    with pytest.raises(MemoryError):
        threads.run_blocks(hoard, 3, sizes, done)
    np.testing.assert_array_equal(done, [5, 0, 7])
    threads.run_blocks(hoard, 3, np.array([5, 6, 7]), done)  # and the threads are there for the next
    np.testing.assert_array_equal(done, [5, 6, 7])


@pytest.mark.usefixtures("kind")
def test_little_work_stays_in_the_calling_thread():
    times, names = np.zeros(9, np.int64), np.zeros(9, np.int64)
    threads.run_blocks(mark, 9, 0, times, names, work=10)
    assert set(names.tolist()) == {thread_number()}


OTHER_RUNTIME = """
import os
import torch
import sklearn.cluster  # brings an OpenMP runtime of its own
from spikeneuro import nn

torch.set_num_threads(3)
(torch.ones(400, 400) @ torch.ones(400, 400)).exp().sum()
nn.LIF((64,), beta=0.9, backend="numba")(torch.ones(2, 2, 64))  # on one thread, after all imports
before = len(os.listdir("/proc/self/task"))
nn.LIF((64,), beta=0.9, backend="numba")(torch.ones(100, 32, 64))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.parametrize("preloaded", [False, True])
def test_kernels_run_on_the_threads_that_torch_has_whatever_else_is_loaded(preloaded):
    if not threads._openmp():
        pytest.skip("torch's OpenMP runtime cannot be reached here")
    environment = dict(os.environ)
    if preloaded:
        others = sorted((Path(sklearn.__file__).parents[1] / "scikit_learn.libs").glob("libgomp*"))
        if not others:
            pytest.skip("this scikit-learn brings no OpenMP runtime of its own")
        environment["LD_PRELOAD"] = str(others[0])
    done = subprocess.run(
        [sys.executable, "-c", OTHER_RUNTIME], capture_output=True, text=True, check=True, env=environment
    )
    assert int(done.stdout) == 0
