"""Hyperparameters of a candidate that the harness gives itself are refused before anything runs."""

import numpy as np
import pytest

from spikeneuro.bench import estimators
from spikeneuro.bench.suite import Candidate
from spikeneuro.data import Recordings
from spikeneuro.errors import InputError


@pytest.mark.parametrize(
    ("model", "name"),
    [("bandpower-lda", "task"), ("bandpower-lda", "random_state"), ("cnn1d", "n_times"), ("recurrent-snn", "sfreq")],
)
def test_what_the_recordings_decide_is_no_hyperparameter(model, name):
    X = np.random.default_rng(0).normal(size=(6, 2, 128))
    data = Recordings(X, [0, 1] * 3, {"subject": list("abcdef")}, 64.0, ["C3", "C4"])
    with pytest.raises(InputError, match=f"candidate 'x': params: '{name}' follows from the recordings"):
        estimators.check(Candidate("x", model, {name: 3}), data, "classification")
