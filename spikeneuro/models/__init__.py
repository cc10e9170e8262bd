"""Complete networks and classical pipelines, spiking and not, behind one registry."""

from typing import Any

from spikeneuro.errors import InputError
from spikeneuro.registry import entry, names

__all__ = ["create", "entry", "names"]


def create(name: str, **parameters: Any) -> Any:
    """Build the model called `name`: an untrained torch module, or an unfitted scikit-learn estimator.

    Parameters
    ----------
    name : str
        A name of `names()`.
    **parameters
        For networks on signals ``n_chans, n_times, n_outputs, sfreq`` (features: ``n_chans=1, n_times=n_features``),
        for networks on images ``in_chans, image_size, n_outputs``, and the hyperparameters of the model's class.

    Returns
    -------
    torch.nn.Module or sklearn.base.BaseEstimator

    Raises
    ------
    InputError
        If the name is unknown (the message offers the nearest one) or a parameter is missing or unknown.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.models import create
    >>> model = create("lstm", n_chans=4, n_times=100, n_outputs=2, sfreq=100.0)
    >>> model(torch.zeros(3, 4, 100)).shape
    torch.Size([3, 2])
    """
    row = entry(name)
    target = row.load()
    _check_arguments(name, target, parameters)
    return target(**parameters)


def _check_arguments(name: str, target: Any, parameters: dict[str, Any]) -> None:
    """Refuse missing and unknown parameters by name, with the nearest known one."""
    import inspect

    from spikeneuro._validation import suggestion

    known = inspect.signature(target).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for given in parameters:
        if given not in known and not open_ended:
            raise InputError(f"model {name!r} has no parameter {given!r}; {suggestion(given, known)}")
    missing = [
        key
        for key, p in known.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and key not in parameters
    ]
    if missing:
        raise InputError(f"model {name!r} needs {', '.join(missing)}.")
