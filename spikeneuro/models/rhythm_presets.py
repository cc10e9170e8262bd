"""Settings of rhythm-snn as released with the publication, benchmark by benchmark."""

import copy
import math
from typing import Any

from spikeneuro._validation import check_choice
from spikeneuro.ops.surrogates import Rectangle

__all__ = ["published"]

_PLAIN: dict[str, Any] = {
    "hidden": (64, 256, 256), "recurrent": False, "tau_unit": "steps", "threshold": 0.3, "reset": "zero",
    "reset_timing": "next_step", "surrogate": Rectangle(width=0.4), "learn_tau": False, "norm": "none",
    "drop_prob": 0.0,
}  # fmt: skip
_ADAPTIVE: dict[str, Any] = {
    "tau_unit": "steps", "kappa": 1.8, "adaptation_start": 0.01, "threshold": 0.01, "gain": "1-beta",
    "reset_timing": "next_step", "recurrent_scale": 3.0**0.5, "surrogate": "multi_gaussian", "norm": "none",
    "drop_prob": 0.0,
}  # fmt: skip
_SEQUENTIAL: dict[str, Any] = {"cycle": (1, 50), "duty": (0.1, 0.5), "phase": 0.5, "rounding": "ceil"}
_PERMUTED: dict[str, Any] = {
    "cycle": ((10, 100), (20, 100), (30, 100)), "duty": (0.01, 0.1), "phase": 0.5, "rounding": "round",
}  # fmt: skip


def _decay(beta: float) -> tuple[float, float]:
    """Range of one time constant, in steps, of a decay per step."""
    tau = -1.0 / math.log(beta)
    return tau, tau


PRESETS: dict[str, dict[str, Any]] = {
    "s-mnist": _PLAIN | _SEQUENTIAL | {"tau": _decay(0.5)},
    "s-mnist-adaptive": _ADAPTIVE | _SEQUENTIAL | {
        "hidden": (64, 256, 256), "recurrent": (True, True, False), "tau": (10.0, 30.0), "tau_adapt": (650.0, 750.0),
    },
    "ps-mnist": _PLAIN | _PERMUTED | {"tau": _decay(0.9)},
    "ps-mnist-adaptive": _ADAPTIVE | _PERMUTED | {
        "hidden": (64, 256, 256), "recurrent": (True, True, False), "tau": (3.0, 7.0), "tau_adapt": (650.0, 750.0),
    },
    "dvs-gesture": _ADAPTIVE | {
        "hidden": (512, 512), "recurrent": (False, True), "cycle": (1, 50), "duty": (0.1, 0.5), "phase": 0.5,
        "rounding": "round", "tau": (10.0, 30.0), "tau_adapt": (100.0, 300.0), "drop_prob": 0.1, "readout": "last",
    },
    "shd": {
        "hidden": (64, 64), "recurrent": False, "cycle": (10, 60), "duty": (0.15, 0.99), "phase": 0.3,
        "rounding": "ceil", "tau_unit": "steps", "tau": (1.44, 55.0), "gain": "1-beta", "reset_timing": "next_step",
        "surrogate": "multi_gaussian", "norm": "none", "readout": "leaky", "drop_prob": 0.0,
    },
    "ecg-waves": {key: value for key, value in _ADAPTIVE.items() if key not in ("kappa", "adaptation_start")} | {
        "task": "steps", "hidden": 36, "rhythm": "mix", "cycle": (1, 2), "tau": (20.0, 20.0),
    },
}  # fmt: skip


def published(name: str) -> dict[str, Any]:
    """Return the hyperparameters with which a benchmark was released.

    Of the programs' own settings, with these differences. Time constants that they drew from normal distributions are
    log-spaced over about two deviations on either side; they are learned as their logarithm. Initial weights are
    uniform. Membranes start at rest, not at random.

    ===================  =====================================================  ==================================
    name                 network                                                how it was trained
    ===================  =====================================================  ==================================
    s-mnist              784 pixels, 1-64-256-256-10, decay 0.5                 Adam 5e-3, x 0.8 every 10 of 150
    s-mnist-adaptive     the same, adaptive, recurrent in layers 1 and 2        Adam 5e-4, 150 epochs of batch 256
    ps-mnist             pixels permuted, decay 0.9                             Adam 5e-3, x 0.8 every 10 of 150
    ps-mnist-adaptive    the same, adaptive, recurrent in layers 1 and 2        Adam 1e-2
    dvs-gesture          500 frames of 2 x 32 x 32, 512-512 recurrent, -11      Adam 3e-2, cosine, 30 epochs
    shd                  1000 bins of 700 channels, 64-64-20                    Adam 1e-2, x 0.5 every 35 of 100
    ecg-waves            4 event channels, 36 recurrent, 6 labels per step      Adam 1e-2, x 0.75 every 100 of 250
    ===================  =====================================================  ==================================

    Left out is what the network here has no part for: in "dvs-gesture" the two polarities have a first layer each; in
    "shd" neurons have eight dendritic branches; in "ecg-waves" the six outputs are adaptive neurons with a rhythm of
    their own (cycles of 1 to 3 steps), here leaky integrators.

    Three released settings are missing because their masks are all ones: speech commands and the dendritic network on
    the ECG (cycles of 10 to 50 steps, duty 0.95 to 1) and the language model (duty 0.95 to 0.99). With rounding up, the
    ON time equals the cycle wherever cycle times (1 - duty) is below one step, which is everywhere; those networks are
    their unmodulated selves, and what they gain does not come from the rhythm. `spikeneuro.nn.Rhythm` warns of it.

    Parameters
    ----------
    name : str
        One of the above.

    Returns
    -------
    dict
        Hyperparameters of `RhythmSNN`.

    Raises
    ------
    InputError
        For an unknown name.

    References
    ----------
    Yan et al. (2025), doi:10.1038/s41467-025-63771-x, and the programs released with it.

    Examples
    --------
    >>> import warnings
    >>> import torch
    >>> from spikeneuro.models import create
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # the published rounding leaves 47 neurons silent
    ...     model = create("rhythm-snn", n_chans=1, n_times=784, n_outputs=10, **published("ps-mnist"))
    >>> [len(layer.rhythm.dead) for layer in model.neurons]
    [9, 24, 14]
    """
    return copy.deepcopy(PRESETS[check_choice(name, PRESETS, "name")])
