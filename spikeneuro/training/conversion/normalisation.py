"""How large the activations of each layer are on calibration data: what one spike shall stand for."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.training.conversion.graph import Graph
from spikeneuro.training.conversion.qcfs import QCFS

METHODS = ("max", "percentile", "qcfs")
#: Samples run at once.
BATCH = 64


class Percentile:
    r"""Percentile of all non-zero values that pass by, exact, while only the largest are kept.

    The percentile is that of NumPy: with n values, a linear interpolation at rank :math:`(n - 1) p / 100`.

    Parameters
    ----------
    percentile : float
        p in [0, 100].
    total : int
        Most values there can be.
    """

    def __init__(self, percentile: float, total: int) -> None:
        self.percentile = percentile
        self.kept = min(total, math.ceil((1 - percentile / 100) * (total - 1)) + 2)
        self.count = 0
        self.largest: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Take values into account."""
        values = values[values != 0].flatten()
        self.count += len(values)
        pool = values if self.largest is None else torch.cat([self.largest, values])
        self.largest = pool.topk(min(self.kept, len(pool))).values

    @property
    def value(self) -> float | None:
        """The percentile; None if all values were zero."""
        if self.largest is None or not self.count:
            return None
        rank = (self.count - 1) * self.percentile / 100
        from_top = self.count - 1 - rank
        high, low = math.floor(from_top), math.ceil(from_top)
        top = self.largest.double()
        share = low - from_top
        return float(share * top[high] + (1 - share) * top[low]) if low != high else float(top[high])


def activation_scales(
    graph: Graph, samples: Tensor, *, method: str = "percentile", percentile: float = 99.9, batch_size: int = BATCH
) -> Mapping[str, float]:
    """Scale λ of each activation: what a spike at every step stands for.

    Parameters
    ----------
    graph : Graph
        The network.
    samples : Tensor
        Calibration data.
    method : {"max", "percentile", "qcfs"}
        The largest activation, a percentile of the non-zero activations, or the learned thresholds.
    percentile : float
        For that method, in (0, 100].
    batch_size : int
        Samples run at once.

    Returns
    -------
    dict of str to float
        λ by name of the activation's node.

    Raises
    ------
    InputError
        If an activation is zero for every sample, is no QCFS where the method asks for it, or its threshold is not
        above 0.
    """
    check_choice(method, METHODS, "method")
    check_number(percentile, "percentile", low=0.0, high=100.0, closed="right")
    learned = _learned(graph, insist=method == "qcfs")
    names = {node.name: node.where for node in graph.nodes if node.role == "activation"}
    found: dict[str, Percentile] = {}
    if len(learned) < len(names):
        found = _watched(
            graph, samples, names.keys() - learned.keys(), 100.0 if method == "max" else percentile, batch_size
        )
    scales: dict[str, float] = {}
    for name, where in names.items():
        value = learned[name] if name in learned else found[name].value
        if value is None:
            raise InputError(
                f"{where!r} is zero for all {len(samples)} calibration samples, so its scale is unknown; give more "
                "samples, or train a network without dead layers."
            )
        scales[name] = value
    return scales


def _learned(graph: Graph, *, insist: bool) -> dict[str, float]:
    """Thresholds of the activations that have learned one; all must have if `insist`."""
    learned: dict[str, float] = {}
    for node in graph.nodes:
        if isinstance(node.module, QCFS):
            learned[node.name] = theta = float(node.module.theta.detach())
            if theta <= 0:
                raise InputError(f"the threshold theta of {node.where!r} is {theta:g}; QCFS needs one above 0.")
        elif node.role == "activation" and insist:
            raise InputError(
                f"method='qcfs' needs QCFS activations, {node.where!r} is {type(node.module).__name__}; train "
                "with_qcfs(model), or use method='percentile'."
            )
    return learned


def _watched(
    graph: Graph, samples: Tensor, names: Collection[str], percentile: float, batch_size: int
) -> dict[str, Percentile]:
    """Percentile of the values of each of these nodes over the samples."""
    found: dict[str, Percentile] = {}
    with torch.no_grad():
        for batch in samples.split(batch_size):
            for node, values in graph.values(batch):
                if node.name in names:
                    output = values[node.name]
                    if node.name not in found:
                        found[node.name] = Percentile(percentile, len(samples) * output[0].numel())
                    found[node.name].add(output)
    return found
