"""What `random_state` may be: scikit-learn's three kinds, and one line for anything else."""

import numpy as np
import pytest

from spikeneuro._random import derive_seed
from spikeneuro.errors import InputError
from spikeneuro.models import create


def test_seeds_are_themselves_drawn_or_fresh():
    assert derive_seed(7) == derive_seed(np.int64(7)) == 7
    assert derive_seed(np.random.RandomState(3)) == np.random.RandomState(3).randint(2**31)
    assert 0 <= derive_seed(None) < 2**31


@pytest.mark.parametrize("given", [np.random.default_rng(0), "0", 1.5, -1])
@pytest.mark.parametrize("name", ["echo-state", "liquid-state-machine", "neucube", "reward-stdp"])
def test_what_is_no_random_state_is_refused(given, name):
    X, y = np.random.default_rng(0).normal(size=(8, 2, 30)), np.arange(8) % 2
    places = {"names": ["C3", "C4"]} if name == "neucube" else {}
    with pytest.raises(InputError, match="random_state") as caught:
        create(name, n_chans=2, n_times=30, n_outputs=2, sfreq=100.0, random_state=given, **places).fit(X, y)
    assert "\n" not in str(caught.value)
