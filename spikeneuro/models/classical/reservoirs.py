"""Reservoirs as pipelines: the samples are checked, then a reservoir of `spikeneuro.reservoir` does the rest."""

import inspect
from collections.abc import Iterable
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline, make_pipeline

from spikeneuro._validation import check_choice, suggestion
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import InputCheck
from spikeneuro.nn.heterogeneity import LogUniform
from spikeneuro.reservoir import DeepEchoStateNetwork, EchoStateNetwork, LiquidStateMachine


def build_echo_state(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    pooling: str = "moments",
    task: str = "classification",
    random_state: Any = None,
    **hyperparameters: Any,
) -> Pipeline:
    """Echo-state network with a ridge readout.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; those that are given are checked.
    sfreq : optional
        Not used: `leak` counts in steps.
    pooling : {"mean", "moments", "last", "sampled", "all"}
        Features of a sample; by default mean and standard deviation of the states.
    task : {"classification", "regression", "steps"}
        What it is trained for.
    random_state : int, RandomState or None
        Draws the weights.
    **hyperparameters
        Those of `spikeneuro.reservoir.EchoStateNetwork`.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Jaeger (2001), doi:10.24406/publica-fhg-291111.

    Examples
    --------
    >>> build_echo_state(4, 100, 2, n_units=50)[-1].n_units
    50
    """
    _check(EchoStateNetwork, "echo-state", task, hyperparameters)
    model = EchoStateNetwork(pooling=pooling, task=task, random_state=random_state, **hyperparameters)
    return _checked(model, task, n_chans, n_times, n_outputs)


def build_deep_echo_state(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    pooling: str = "moments",
    task: str = "classification",
    random_state: Any = None,
    **hyperparameters: Any,
) -> Pipeline:
    """Deep echo-state network with a ridge readout.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; those that are given are checked.
    sfreq : optional
        Not used: `leak` counts in steps.
    pooling : {"mean", "moments", "last", "sampled", "all"}
        Features of a sample; by default mean and standard deviation of the states.
    task : {"classification", "regression", "steps"}
        What it is trained for.
    random_state : int, RandomState or None
        Draws the weights.
    **hyperparameters
        Those of `spikeneuro.reservoir.DeepEchoStateNetwork`.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Gallicchio, Micheli and Pedrelli (2017), doi:10.1016/j.neucom.2016.12.089.
    """
    _check(DeepEchoStateNetwork, "deep-echo-state", task, hyperparameters)
    model = DeepEchoStateNetwork(pooling=pooling, task=task, random_state=random_state, **hyperparameters)
    return _checked(model, task, n_chans, n_times, n_outputs)


def build_liquid_state_machine(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,
    *,
    pooling: str = "moments",
    tau_mem: Any = None,
    task: str = "classification",
    random_state: Any = None,
    **hyperparameters: Any,
) -> Pipeline:
    """Liquid state machine: fixed spiking neurons, logistic or ridge readout.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; those that are given are checked.
    sfreq : float, optional
        Sampling rate in hertz; needed unless ``tau_unit="steps"``.
    pooling : {"mean", "moments", "last", "sampled", "all"}
        Features of a sample; by default mean and standard deviation of the traces.
    tau_mem : float, (float, float) or others, optional
        Membrane time constant, as for the reservoir; two numbers are the shortest and the longest of neurons whose time
        constants are drawn evenly over the logarithm.
    task : {"classification", "regression", "steps"}
        What it is trained for.
    random_state : int, RandomState or None
        Draws neurons and weights.
    **hyperparameters
        Those of `spikeneuro.reservoir.LiquidStateMachine`.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Maass, Natschläger and Markram (2002), doi:10.1162/089976602760407955.
    """
    _check(LiquidStateMachine, "liquid-state-machine", task, hyperparameters)
    if isinstance(tau_mem, (list, tuple)) and len(tau_mem) == 2:
        tau_mem = LogUniform(*tau_mem)
    model = LiquidStateMachine(
        pooling=pooling, tau_mem=tau_mem, sfreq=sfreq, task=task, random_state=random_state, **hyperparameters
    )
    return _checked(model, task, n_chans, n_times, n_outputs)


def _check(reservoir: type[BaseEstimator], name: str, task: str, hyperparameters: Iterable[str]) -> None:
    check_choice(task, ("classification", "regression", "steps"), "task")
    known = inspect.signature(reservoir).parameters
    for given in hyperparameters:
        if given not in known:
            raise InputError(f"model {name!r} has no parameter {given!r}; {suggestion(given, known)}")


def _checked(
    model: BaseEstimator, task: str, n_chans: int | None, n_times: int | None, n_outputs: int | None
) -> Pipeline:
    """Check, then `model`; what it asks of labels of steps it checks itself."""
    one_label = "classification" if task == "classification" else "regression"
    check = InputCheck(one_label, n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, ragged=True)
    return make_pipeline(check, model)
