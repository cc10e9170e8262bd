"""Shares of work on several threads: each block once, errors raised, on OpenMP and on the pool."""

import threading

import pytest
import torch

from spikeneuro.ops import threads


@pytest.fixture(params=["openmp", "pool"])
def kind(request, monkeypatch):
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("torch's OpenMP runtime cannot be reached here")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("n_blocks", [0, 1, 2, 3, 10])
def test_every_block_is_run_once(n_blocks):
    lock, seen = threading.Lock(), []

    def kernel(first, last, offset):
        with lock:
            seen.extend(range(first + offset, last + offset))

    threads.run_blocks(kernel, n_blocks, 100)
    assert sorted(seen) == list(range(100, 100 + n_blocks))


def test_work_is_shared_between_threads(kind):
    barrier, names = threading.Barrier(3, timeout=20), set()

    def kernel(_first, _last):
        barrier.wait()  # passes only if three threads are here at once
        names.add(threading.get_ident())

    threads.run_blocks(kernel, 3)
    assert len(names) == 3


@pytest.mark.usefixtures("kind")
def test_an_error_in_a_share_is_raised():
    def kernel(first, _last):
        if first > 0:
            raise ValueError(f"share from {first}")

    with pytest.raises(ValueError, match="share from"):
        threads.run_blocks(kernel, 9)
    threads.run_blocks(lambda *_: None, 9)  # and the threads are there for the next


@pytest.mark.usefixtures("kind")
def test_little_work_stays_in_the_calling_thread():
    names = set()
    threads.run_blocks(lambda *_: names.add(threading.get_ident()), 9, work=10)
    assert names == {threading.get_ident()}
