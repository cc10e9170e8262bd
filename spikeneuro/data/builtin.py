"""Sources that need no files of the user: three simulators, and scikit-learn's digits."""

from collections.abc import Callable
from typing import Any

import numpy as np

from spikeneuro._validation import suggestion
from spikeneuro.data.recordings import Recordings
from spikeneuro.data.simulate_eeg import simulate_motor_imagery
from spikeneuro.data.simulate_fmri import block_fmri
from spikeneuro.data.simulate_modalities import simulate_where_when
from spikeneuro.errors import InputError


def digits() -> Recordings:
    """Read the 1797 real handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Returns
    -------
    Recordings
        Images ``(1797, 1, 8, 8)`` float32 in [0, 1]; column ``image``. Writers are not known.

    References
    ----------
    Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998,
    doi:10.24432/C50P49.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    return Recordings(
        source.images[:, None].astype(np.float32) / np.float32(16),
        source.target,
        {"image": np.arange(len(source.target))},
        None,
        modality="image",
        description="scikit-learn digits (UCI optical recognition of handwritten digits, test part)",
    )


#: Built-in sources by name.
BUILTIN: dict[str, Callable[..., Recordings]] = {
    "simulated-motor-imagery": simulate_motor_imagery,
    "simulated-block-fmri": block_fmri,
    "simulated-where-when": simulate_where_when,
    "digits": digits,
}


def load_builtin(name: str, **params: Any) -> Recordings:
    """Make or read the recordings of a built-in source.

    Parameters
    ----------
    name : str
        Key of `BUILTIN`.
    **params
        Arguments of the source.

    Returns
    -------
    Recordings
        What the source gives.

    Raises
    ------
    InputError
        If the name or a parameter is unknown.

    Examples
    --------
    >>> len(load_builtin("digits"))
    1797
    """
    import inspect

    if name not in BUILTIN:
        raise InputError(f"built-in data {name!r} is unknown; {suggestion(name, BUILTIN)}")
    source = BUILTIN[name]
    known = list(inspect.signature(source).parameters)
    if "study" in known:  # passed on to the writer of files
        from spikeneuro.data.simulate_fmri import simulate_block_fmri

        writer = set(inspect.signature(simulate_block_fmri).parameters) - {"folder"}
        known = sorted((set(known) - {"study"}) | writer)
    wrong = next((key for key in params if key not in known), None)
    if wrong is not None:
        raise InputError(f"{name} has no parameter {wrong!r}; {suggestion(wrong, known)}")
    return source(**params)
