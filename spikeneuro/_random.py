"""Randomness as an argument. The only place where a global seed is set, and only inside a scope."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def scoped_seed(seed: int | None) -> Iterator[None]:
    """Run third-party code that draws from the global generators under `seed`, then restore them.

    Parameters
    ----------
    seed : int or None
        Seed of torch's and NumPy's global generators inside the scope; with None they are left alone.
    """
    import torch

    if seed is None:
        yield
        return
    numpy_state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002


def derive_seed(random_state: int | np.random.RandomState | None) -> int:
    """Integer seed from what scikit-learn calls `random_state`: itself, drawn from it, or fresh."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(random_state.randint(2**31))
