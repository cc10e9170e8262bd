"""NeuCube as a pipeline: the samples are checked, then `spikeneuro.reservoir.NeuCube` does the rest."""

import inspect
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline, make_pipeline

from spikeneuro._validation import check_choice, suggestion
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import InputCheck
from spikeneuro.reservoir import NeuCube


def build_neucube(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    positions: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    task: str = "classification",
    random_state: Any = None,
    **hyperparameters: Any,
) -> Pipeline:
    """NeuCube with a deSNN readout.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; those that are given are checked.
    sfreq : optional
        Not used: leak and refractory period count in steps.
    positions : array_like, shape (n_chans, 3), optional
        Places of the channels in MNI millimetres, see `spikeneuro.reservoir.roi_positions` and
        `spikeneuro.reservoir.bundled_positions`. Training without these and without `names` is refused: there is no
        place that a channel could be given by default.
    names : sequence of str, optional
        Electrodes, instead of `positions`.
    task : {"classification", "regression"}
        What it is trained for.
    random_state : int, RandomState or None
        Draws the connections.
    **hyperparameters
        Those of `spikeneuro.reservoir.NeuCube`.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Kasabov (2014), Neural Netw. 52:62-76, doi:10.1016/j.neunet.2014.01.006.

    Examples
    --------
    >>> build_neucube(2, 100, 2, names=["C3", "C4"], rounds=2)[-1].rounds
    2
    """
    check_choice(task, ("classification", "regression"), "task")
    known = inspect.signature(NeuCube).parameters
    for given in hyperparameters:
        if given not in known:
            raise InputError(f"model 'neucube' has no parameter {given!r}; {suggestion(given, known)}")
    check = InputCheck(task, n_chans=n_chans, n_times=n_times, n_outputs=n_outputs)
    cube = NeuCube(positions, names=names, task=task, random_state=random_state, **hyperparameters)
    return make_pipeline(check, cube)
