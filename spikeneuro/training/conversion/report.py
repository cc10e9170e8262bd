"""What conversion loses, layer by layer, taken apart into its three causes."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.training.conversion.convert import folded_graph
from spikeneuro.training.conversion.graph import Graph
from spikeneuro.training.conversion.layers import IntegrateAndFire
from spikeneuro.training.conversion.network import ConvertedNetwork, SpikingLayerInfo
from spikeneuro.training.conversion.normalisation import BATCH
from spikeneuro.training.conversion.tracing import as_samples
from spikeneuro.training.firing import SATURATED_ABOVE

#: Causes of the error, which add up to it.
CAUSES = ("clipping", "quantisation", "unevenness")


def conversion_report(
    ann: nn.Module, snn: ConvertedNetwork, data: Any, *, steps: int | None = None, batch_size: int = BATCH
) -> pd.DataFrame:
    r"""Error of each layer of a converted network after T steps, by cause, and its firing rates.

    With a the original's activation, z the original's input to it, λ the layer's scale, r the rate of the neuron and
    :math:`Q_T(z) = \lambda \, \mathrm{clip}(\lfloor z T / \lambda + v_0 \rfloor / T, 0, 1)` what a neuron says that
    gets exactly z at every step and starts at :math:`v_0` thresholds,

    .. math::

        \underbrace{\lambda r - a}_{\text{total}} =
        \underbrace{\min(a, \lambda) - a}_{\text{clipping}} +
        \underbrace{Q_T(z) - \min(a, \lambda)}_{\text{quantisation}} +
        \underbrace{\lambda r - Q_T(z)}_{\text{unevenness}}

    Clipping is there because no rate exceeds one spike a step, quantisation because T steps allow T + 1 rates.
    Unevenness is the rest: input that comes unevenly in time makes a neuron fire although the sum does not warrant it,
    or leaves too little time to fire, and what reaches the layer has the errors of the layers before it.

    Parameters
    ----------
    ann : nn.Module
        The original network.
    snn : ConvertedNetwork
        What it was converted to.
    data : Tensor or array
        Samples, (n, ...).
    steps : int, optional
        Steps T; `snn.steps` by default.
    batch_size : int
        Samples run at once.

    Returns
    -------
    DataFrame
        One row for every layer of neurons, in order, and a last one for the output. ``layer``: its name in the
        original; ``neurons``; ``scale``: λ; ``activation``: root mean square of a; ``clipping``, ``quantisation``,
        ``unevenness``, ``total``: mean signed errors in the original's unit, of which the first three add up to the
        last; the same with ``_rms``: root mean square relative to ``activation``; ``clipped``: share of activations
        above λ; ``rate``: spikes per neuron and step; ``dead``, ``saturated``: shares of neurons that never fired, and
        that fired in more than 95 % of the steps. What does not apply to the output is NaN; all its error counts as
        unevenness.

    Raises
    ------
    InputError
        If `snn` is no conversion of `ann`, or for data that are empty or not finite.

    Examples
    --------
    >>> from spikeneuro.training import convert, conversion_report
    >>> network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> x = torch.rand(50, 4)
    >>> report = conversion_report(network, convert(network, x), x, steps=8)
    >>> report["layer"].tolist(), bool(report["unevenness_rms"][0] < 1e-6)
    (['1', 'output'], True)
    """
    if not isinstance(snn, ConvertedNetwork):
        raise InputError(f"snn must be what convert returns, got {type(snn).__name__}.")
    steps = int(check_number(snn.steps if steps is None else steps, "steps", low=1, integer=True))
    check_number(batch_size, "batch_size", low=1, integer=True)
    samples = as_samples(data, snn, "data")
    graph = folded_graph(ann, samples)
    check_conversion(ann, snn, graph, samples)
    tallies = {name: _Tally(info, _initial(snn, name), steps) for name, info in snn.neurons.items()}
    by_source = {info.source: name for name, info in snn.neurons.items()}
    output = _Tally(SpikingLayerInfo(graph.nodes[-1].name, "output", 1.0), None, steps)
    with torch.no_grad():
        for batch in samples.split(batch_size):
            counts: dict[str, Tensor] = {}
            answer = snn.average(batch, steps, counts)
            final = batch
            for node, values in graph.values(batch):
                final = values[node.name]
                if node.name in by_source:
                    name = by_source[node.name]
                    # An average is its own input; what an activation reads is the node before it.
                    exact = values[node.inputs[0]] if node.role == "activation" else final
                    tallies[name].add(final, exact, counts[name] / steps)
            output.add_output(final, answer)
    return pd.DataFrame([*(tally.row() for tally in tallies.values()), output.row()])


def check_conversion(ann: nn.Module, snn: ConvertedNetwork, graph: Graph, samples: Tensor) -> None:
    """Raise unless every layer of neurons has its counterpart in the graph, and the outputs are of one shape."""
    unknown = [info.where for info in snn.neurons.values() if info.source not in graph]
    if unknown:
        raise InputError(
            f"snn has a layer {unknown[0]!r} that {type(ann).__name__} has not; it is no conversion of it."
        )
    with torch.no_grad():
        *_, (last, values) = graph.values(samples[:1])
        expected, found = values[last.name].shape, snn.average(samples[:1], 1).shape
    if expected != found:
        raise InputError(
            f"snn gives {tuple(found)} for one sample and {type(ann).__name__} {tuple(expected)}: it is no conversion "
            "of it."
        )


def _initial(snn: ConvertedNetwork, name: str) -> Tensor:
    neurons = snn.layers[name]
    assert isinstance(neurons, IntegrateAndFire)
    return neurons.initial


class _Tally:
    """Sums over samples of one layer."""

    def __init__(self, info: SpikingLayerInfo, initial: Tensor | None, steps: int) -> None:
        self.info, self.initial, self.steps = info, initial, steps
        self.sums = dict.fromkeys((*CAUSES, "total"), 0.0)
        self.squares = dict.fromkeys((*CAUSES, "total"), 0.0)
        self.size = self.clipped = 0.0
        self.count = self.samples = 0
        self.fired: Tensor | None = None

    def add(self, activation: Tensor, exact: Tensor, rate: Tensor) -> None:
        scale, steps = self.info.scale, self.steps
        assert self.initial is not None
        # In the network's own precision, as QCFS computes it: what lies on an edge falls to the same side.
        level = (exact / scale * steps + self.initial).floor().clamp(0, steps).double()
        activation, rate = activation.double(), rate.double()
        within = activation.clamp(max=scale)
        rounded = scale * level / steps
        parts = (within - activation, rounded - within, scale * rate - rounded, scale * rate - activation)
        self._take(activation, dict(zip((*CAUSES, "total"), parts, strict=True)))
        self.clipped += float((activation > scale).sum())
        total = rate.sum(0)
        self.fired = total if self.fired is None else self.fired + total

    def add_output(self, expected: Tensor, found: Tensor) -> None:
        error = found.double() - expected.double()
        self._take(expected.double(), {"unevenness": error, "total": error})

    def _take(self, activation: Tensor, parts: dict[str, Tensor]) -> None:
        for name, part in parts.items():
            self.sums[name] += float(part.sum())
            self.squares[name] += float(part.square().sum())
        self.size += float(activation.square().sum())
        self.count += activation.numel()
        self.samples += len(activation)

    def row(self) -> dict[str, Any]:
        nan, fired = float("nan"), self.fired
        rates = None if fired is None else fired / self.samples
        return {
            "layer": self.info.where,
            "neurons": self.count // self.samples,
            "scale": nan if rates is None else self.info.scale,
            "activation": (self.size / self.count) ** 0.5,
            **{name: total / self.count for name, total in self.sums.items()},
            **{f"{name}_rms": (total / self.size) ** 0.5 if self.size else nan for name, total in self.squares.items()},
            "clipped": nan if rates is None else self.clipped / self.count,
            "rate": nan if rates is None else float(rates.mean()),
            "dead": nan if rates is None else float((rates == 0).double().mean()),
            "saturated": nan if rates is None else float((rates > SATURATED_ABOVE).double().mean()),
        }
