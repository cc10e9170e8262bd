"""QCFS: the activation whose values are rates of integrate-and-fire neurons, and networks that train with it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError

#: Start of the threshold in the published code.
THETA = 8.0

_AVERAGE: dict[type[nn.Module], Any] = {
    nn.MaxPool1d: nn.AvgPool1d,
    nn.MaxPool2d: nn.AvgPool2d,
    nn.MaxPool3d: nn.AvgPool3d,
}
_ADAPTIVE: dict[type[nn.Module], Any] = {
    nn.AdaptiveMaxPool1d: nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool2d: nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool3d: nn.AdaptiveAvgPool3d,
}


class QCFS(nn.Module):
    r"""Quantisation, clip, floor, shift: what integrate-and-fire neurons can say in L steps.

    .. math:: h(x) = \theta \, \mathrm{clip}\big(\lfloor x L / \theta + 1/2 \rfloor / L, \, 0, \, 1\big)

    The derivative of the floor is taken to be 1: by x it is 1 between 0 and θ and 0 outside, by θ it is
    :math:`(h(x) - x) / \theta` between them and 1 above.

    Parameters
    ----------
    levels : int, default 8
        L. The paper takes 4 for CIFAR-10, 8 for CIFAR-100 and ImageNet.
    theta : float, default 8
        Start of the learned threshold θ, above 0.

    Raises
    ------
    InputError
        For a number out of range.

    References
    ----------
    Bu et al. (2022), Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking neural networks,
    arXiv:2303.04347.

    Examples
    --------
    >>> QCFS(levels=4, theta=1.0)(torch.tensor([-1.0, 0.1, 0.3, 0.4, 3.0])).tolist()
    [0.0, 0.0, 0.25, 0.5, 1.0]
    """

    def __init__(self, levels: int = 8, theta: float = THETA) -> None:
        super().__init__()
        self.levels = int(check_number(levels, "levels", low=1, integer=True))
        self.theta = nn.Parameter(torch.tensor(float(check_number(theta, "theta", low=0.0, closed="neither"))))

    def forward(self, x: Tensor) -> Tensor:
        """Return the quantised activation, same shape."""
        share = (x / self.theta).clamp(0.0, 1.0) * self.levels
        # The value is that of the floor, the gradient that of what is floored.
        rounded = share + (torch.floor(share + 0.5) - share).detach()
        return self.theta * rounded / self.levels

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"levels={self.levels}, theta={self.theta.detach().item():g}"


def with_qcfs(
    model: nn.Module,
    levels: int = 8,
    *,
    theta: float | None = None,
    calibration_data: Any = None,
    average_pooling: bool = False,
) -> nn.Module:
    """Copy a network with `QCFS` in place of every `torch.nn.ReLU`, ready to be trained or trained further.

    Parameters
    ----------
    model : nn.Module
        Network with ReLU modules.
    levels : int, default 8
        Levels L of the activations.
    theta : float, optional
        Start of all thresholds; 8, as published, unless there is calibration data.
    calibration_data : Tensor or array, optional
        Samples from which each threshold starts at the 99.9th percentile of its ReLU's non-zero outputs: for a network
        that was trained with ReLU and is to be tuned.
    average_pooling : bool, default False
        Whether max pooling becomes average pooling, as in the paper. Converted max pooling keeps the maximum of the
        rates, but a maximum also picks the largest error.

    Returns
    -------
    nn.Module
        The copy, in the mode the original is in; the original is left as it is.

    Raises
    ------
    InputError
        If there is no ReLU module, or both starts of the thresholds are given.

    Examples
    --------
    >>> with_qcfs(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), levels=4)[1]
    QCFS(levels=4, theta=8)
    """
    check_number(levels, "levels", low=1, integer=True)
    if theta is not None and calibration_data is not None:
        raise InputError("give theta or calibration_data, not both: each says where the thresholds start.")
    start = THETA if theta is None else theta
    if isinstance(model, nn.ReLU):
        raise InputError("the model is a single ReLU; there is nothing to train.")
    changed = copy.deepcopy(model)
    names: dict[str, QCFS] = {}
    for path, parent in list(changed.named_modules()):
        # Not named_children(), which leaves out the second place of a module used twice.
        for name, child in list(parent._modules.items()):
            if isinstance(child, nn.ReLU):
                names[f"{path}.{name}".lstrip(".")] = new = QCFS(levels, start)
                parent.register_module(name, new)
            elif average_pooling and child is not None and (pool := averaged(child)) is not None:
                parent.register_module(name, pool)
    if not names:
        raise InputError(
            f"{type(model).__name__} has no torch.nn.ReLU module to replace; functions such as torch.relu are not "
            "seen, make them modules."
        )
    changed.train(model.training)
    place = next(model.parameters(), None)
    if place is not None:
        changed.to(device=place.device, dtype=place.dtype)
    if calibration_data is not None:
        _start_at_percentile(model, names, calibration_data)
    return changed


def _start_at_percentile(model: nn.Module, names: dict[str, QCFS], data: Any) -> None:
    from spikeneuro.training.conversion.normalisation import activation_scales
    from spikeneuro.training.conversion.tracing import as_samples, trace

    samples = as_samples(data, model)
    graph = trace(model, samples)
    scales = activation_scales(graph, samples, method="percentile")
    by_path: dict[str, float] = {}
    for name, scale in scales.items():  # an activation called twice needs room for the larger
        by_path[graph[name].where] = max(scale, by_path.get(graph[name].where, 0.0))
    with torch.no_grad():
        for path, activation in names.items():
            if path in by_path:
                activation.theta.fill_(by_path[path])


def averaged(pool: nn.Module) -> nn.Module | None:
    """Average pooling over the windows of a max pooling; None for other modules."""
    kind = _AVERAGE.get(type(pool))
    if kind is not None:
        if pool.dilation not in (1, (1,), (1, 1), (1, 1, 1)):
            raise InputError(f"average pooling has no dilation, so {pool} cannot become one.")
        return kind(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
    kind = _ADAPTIVE.get(type(pool))
    return None if kind is None else kind(pool.output_size)
