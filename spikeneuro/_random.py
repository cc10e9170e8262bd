"""Randomness as an argument. The only place where a global seed is set, and only inside a scope."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from spikeneuro.errors import InputError


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
    """Integer seed from what scikit-learn calls `random_state`: itself, drawn from it, or fresh.

    Raises
    ------
    InputError
        For anything else, such as a negative number, a string, or NumPy's newer Generator, which scikit-learn does not
        take either.
    """
    if isinstance(random_state, (int, np.integer)):
        if random_state < 0:
            raise InputError(f"random_state must not be negative, got {random_state}.")
        return int(random_state)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if not isinstance(random_state, np.random.RandomState):
        raise InputError(
            f"random_state must be an integer, a numpy.random.RandomState or None, got {type(random_state).__name__}; "
            "of a Generator pass a number it draws: int(rng.integers(2**31))."
        )
    return int(random_state.randint(2**31))
