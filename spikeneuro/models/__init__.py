"""Complete networks and classical pipelines, spiking and not, behind one registry."""

from typing import Any

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
    return entry(name).build(**parameters)
