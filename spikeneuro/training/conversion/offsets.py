"""Initial membranes that make up for the mean error of each channel."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.training.conversion.convert import folded_graph
from spikeneuro.training.conversion.graph import Graph
from spikeneuro.training.conversion.layers import IntegrateAndFire
from spikeneuro.training.conversion.network import ConvertedNetwork
from spikeneuro.training.conversion.normalisation import BATCH
from spikeneuro.training.conversion.report import check_conversion
from spikeneuro.training.conversion.tracing import as_samples

#: How far a membrane may begin from its threshold, in thresholds: one spike more or less.
LOWEST, HIGHEST = -0.5, 0.999


def correct_offsets(
    ann: nn.Module, snn: ConvertedNetwork, data: Any, *, steps: int | None = None, batch_size: int = BATCH
) -> ConvertedNetwork:
    r"""Shift the initial membranes of each channel so that its mean rate stands for the mean activation.

    Spikes that arrive unevenly make layers fire too much or too little on average. Layer by layer, from the first on,
    the membrane before the first step becomes

    .. math:: v_0^c \leftarrow \mathrm{clip}\Big(v_0^c + \frac{T}{\lambda} \big\langle a_c - \lambda r_c \big\rangle,
        \; -0.5, \; 1^-\Big)

    in thresholds, where the mean is over samples and the positions of channel c, a is the original's activation and r
    the rate after T steps with the layers before it corrected already. It costs no operation.

    Parameters
    ----------
    ann : nn.Module
        The original network.
    snn : ConvertedNetwork
        What it was converted to; it is left as it is.
    data : Tensor or array
        Samples, (n, ...), of those the network was trained on.
    steps : int, optional
        Steps T for which the means shall agree; `snn.steps` by default. With more steps the shift matters less, as
        does what it makes up for.
    batch_size : int
        Samples run at once.

    Returns
    -------
    ConvertedNetwork
        A copy with other initial membranes, which runs `steps` steps.

    Raises
    ------
    InputError
        If `snn` is no conversion of `ann`, or for data that are empty or not finite.

    References
    ----------
    Li et al. (2021), A free lunch from ANN: towards efficient, accurate spiking neural networks calibration,
    arXiv:2106.06984 (bias and potential correction).

    Examples
    --------
    >>> from spikeneuro.training import convert, correct_offsets
    >>> network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> x = torch.rand(50, 4)
    >>> snn = correct_offsets(network, convert(network, x, steps=4), x)
    >>> snn.layers["1"].initial.shape
    torch.Size([16])
    """
    steps = int(check_number(snn.steps if steps is None else steps, "steps", low=1, integer=True))
    check_number(batch_size, "batch_size", low=1, integer=True)
    samples = as_samples(data, snn, "data")
    graph = folded_graph(ann, samples)
    check_conversion(ann, snn, graph, samples)
    made = copy.deepcopy(snn)
    made.steps = steps
    wanted = _means(graph, {info.source for info in snn.neurons.values()}, samples, batch_size)
    for name, info in made.neurons.items():
        neurons = made.layers[name]
        assert isinstance(neurons, IntegrateAndFire)
        error = wanted[info.source] / info.scale - _rate(made, name, samples, batch_size)
        neurons.initial = (neurons.initial + steps * error.to(neurons.initial)).clamp(LOWEST, HIGHEST)
    return made


def _channel_mean(values: Tensor) -> Tensor:
    """Mean over samples and positions, with as many axes as one sample has."""
    positions = tuple(range(2, values.dim()))
    return values.double().mean((0, *positions), keepdim=True)[0]


def _means(graph: Graph, names: set[str], samples: Tensor, batch_size: int) -> dict[str, Tensor]:
    """Mean value of every channel of these nodes."""
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for batch in samples.split(batch_size):
            for node, values in graph.values(batch):
                if node.name in names:
                    mean = _channel_mean(values[node.name]) * (len(batch) / len(samples))
                    found[node.name] = found[node.name] + mean if node.name in found else mean
    return found


def _rate(snn: ConvertedNetwork, name: str, samples: Tensor, batch_size: int) -> Tensor:
    """Mean rate of every channel of a layer of neurons."""
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for batch in samples.split(batch_size):
            rates = snn.rates(batch)[name]
            total = total.to(rates.device) + _channel_mean(rates) * (len(batch) / len(samples))
    return total
