"""From a trained network to a spiking one: scales, weights, wiring."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.nn import OverTime
from spikeneuro.training.conversion.calibration import calibrate_steps
from spikeneuro.training.conversion.checking import check_equivalence
from spikeneuro.training.conversion.folding import affine_of, fold_batchnorm, with_weights
from spikeneuro.training.conversion.graph import Graph, Node
from spikeneuro.training.conversion.layers import ChannelAffine, IntegrateAndFire, Rescale, SpikingMaxPool
from spikeneuro.training.conversion.network import ConvertedNetwork, SpikingLayerInfo, Wire
from spikeneuro.training.conversion.normalisation import BATCH, activation_scales
from spikeneuro.training.conversion.tracing import as_samples, trace

FORMS = ("weights", "thresholds")


def convert(
    model: nn.Module,
    calibration_data: Any,
    *,
    method: str = "percentile",
    percentile: float = 99.9,
    steps: int | str = 32,
    form: str = "weights",
    initial: float = 0.5,
    spiking_pooling: bool = False,
    labels: Any = None,
    tolerance: float | None = None,
    batch_size: int = BATCH,
) -> ConvertedNetwork:
    r"""Convert a trained network with ReLU or `QCFS` activations to a spiking one.

    Batch normalisation is folded, dropout left out, and every activation becomes a layer of `IntegrateAndFire`
    neurons whose rate times λ stands for the activation. With :math:`\lambda^{l}` the scale of layer l (1 for the
    input and the output), the two forms are

    .. math::

        \text{weights:}\quad & W^l \leftarrow W^l \lambda^{l-1} / \lambda^l, \quad b^l \leftarrow b^l / \lambda^l,
        \quad \theta^l = 1 \\
        \text{thresholds:}\quad & W^l \leftarrow W^l, \quad b^l \leftarrow b^l / \lambda^{l-1},
        \quad \theta^l = \lambda^l / \lambda^{l-1}

    and emit the same spikes, but for rounding where a membrane meets its threshold exactly. Spikes are 0 or 1, biases
    enter at every step. Average pooling, flattening and means act
    on the spikes as they are; max pooling becomes `SpikingMaxPool`; where the branches of a sum have different scales,
    one is multiplied by their ratio.

    Parameters
    ----------
    model : nn.Module
        Trained network of one input and one output. It is left as it is; its hooks are not taken over.
    calibration_data : Tensor or array
        Samples as the network takes them, of those it was trained on.
    method : {"percentile", "max", "qcfs"}
        λ: a percentile of the activation's non-zero values, its maximum, or the learned threshold. Activations that
        are QCFS take their threshold under every method; "qcfs" insists that all are.
    percentile : float, default 99.9
        For that method, in (0, 100].
    steps : int or "calibrated", default 32
        Steps T, or the fewest that `calibrate_steps` finds sufficient on the calibration data.
    form : {"weights", "thresholds"}
        Where the scales go.
    initial : float, default 0.5
        Membrane before the first step in thresholds: 0.5 rounds rates to the nearest that T steps allow, 0 (as Diehl
        and Rueckauer have it) rounds down.
    spiking_pooling : bool, default False
        Whether averages are taken by neurons, so that the layer after them gets spikes and needs no multiplications,
        at the price of another rounding.
    labels : array-like, optional
        Classes of the calibration data, for ``steps="calibrated"``.
    tolerance : float, optional
        For ``steps="calibrated"``; see `calibrate_steps`.
    batch_size : int
        Samples run at once in calibration.

    Returns
    -------
    ConvertedNetwork
        Takes what the original takes and returns the mean output of T steps.

    Raises
    ------
    InputError
        For a layer that has no spiking form (its name is in the message), calibration data that are missing, empty or
        not finite, or an activation that is zero on all of them.

    References
    ----------
    Diehl et al. (2015), doi:10.1109/IJCNN.2015.7280696 (maximum, threshold balancing); Rueckauer et al. (2017),
    doi:10.3389/fnins.2017.00682 (percentile, biases, batch normalisation, reset by subtraction); Bu et al. (2022),
    arXiv:2303.04347 (QCFS, initial membrane).

    Examples
    --------
    >>> import torch
    >>> network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> x = torch.rand(50, 4)
    >>> spiking = convert(network, x, method="max", steps=1000)
    >>> bool((spiking(x) - network(x)).abs().max() < 0.02)
    True
    """
    check_choice(form, FORMS, "form")
    check_number(initial, "initial", low=0.0, high=1.0, closed="left")
    check_number(batch_size, "batch_size", low=1, integer=True)
    if isinstance(steps, str):
        check_choice(steps, ("calibrated",), "steps")
    else:
        check_number(steps, "steps", low=1, integer=True)
        if labels is not None or tolerance is not None:
            raise InputError("labels and tolerance choose the steps; give steps='calibrated', or leave them out.")
    samples = as_samples(calibration_data, model)
    graph = folded_graph(model, samples)
    scales = activation_scales(graph, samples, method=method, percentile=percentile, batch_size=batch_size)
    if not scales:
        raise InputError(f"{type(model).__name__} has no ReLU or QCFS activation, so there is nothing to convert.")
    builder = _Builder(graph, dict(scales), form, float(initial), spiking_pooling)
    converted = builder.build(1 if isinstance(steps, str) else int(steps))
    converted.to(samples).eval()
    check_equivalence(model, graph, converted, samples[:3])
    if isinstance(steps, str):
        found = calibrate_steps(model, converted, samples, labels, tolerance=tolerance, batch_size=batch_size)
        converted.steps = found.steps
    return converted


def folded_graph(model: nn.Module, samples: Tensor) -> Graph:
    """Graph of a network whose batch normalisation has been folded."""
    return trace(fold_batchnorm(model, samples), samples)


class _Builder:
    """Turns nodes into layers and keeps the books: the scale each value carries, and what is the same at every step."""

    def __init__(
        self, graph: Graph, scales: dict[str, float], form: str, initial: float, spiking_pooling: bool
    ) -> None:
        self.graph, self.lambdas, self.form = graph, scales, form
        self.initial, self.spiking_pooling = initial, spiking_pooling
        self.layers: dict[str, nn.Module] = {}
        self.wires: list[Wire] = []
        self.neurons: dict[str, SpikingLayerInfo] = {}
        #: What is read in place of a node's value: the name of a layer, and the scale its values carry.
        self.carried: dict[str, tuple[str, float]] = {"input": ("input", 1.0)}
        self.spikes: set[str] = set()
        self.targets = self._targets()

    def _targets(self) -> dict[str, float]:
        """Scale that each value should carry in the form of normalised weights: that of the neurons it drives."""
        last = self.graph.nodes[-1].name
        targets: dict[str, float] = {last: 1.0}
        for node in reversed(self.graph.nodes):
            wanted = targets.get(node.name, 1.0)
            if node.role == "activation":
                wanted = self.lambdas[node.name]
            elif node.role == "linear":
                continue
            for name in node.inputs:
                targets.setdefault(name, wanted)
        return targets

    def build(self, steps: int) -> ConvertedNetwork:
        for node in self.graph.nodes[1:]:
            getattr(self, f"_{node.role}")(node)
        name, scale = self.carried[self.graph.nodes[-1].name]
        self._rescaled(name, scale, 1.0, "output")
        return ConvertedNetwork(self.layers, self.wires, self.neurons, steps)

    def _add(self, name: str, layer: nn.Module, inputs: tuple[str, ...], moves: bool = False) -> str:
        while name in self.layers or name == "input":
            name += "_"
        static = not moves and all(self._is_static(source) for source in inputs)
        self.layers[name] = layer
        self.wires.append(Wire(name, inputs, static))
        return name

    def _is_static(self, name: str) -> bool:
        return name == "input" or next(wire.static for wire in self.wires if wire.name == name)

    def _rescaled(self, name: str, scale: float, wanted: float, beside: str) -> str:
        if math.isclose(scale, wanted, rel_tol=1e-12):
            return name
        return self._add(f"{beside}_scale", Rescale(scale / wanted), (name,))

    def _linear(self, node: Node) -> None:
        source, scale = self.carried[node.inputs[0]]
        linear: Any = node.module
        bias = None if linear.bias is None else linear.bias.detach()
        weight, after = linear.weight.detach(), scale
        if self.form == "weights":
            after = self.targets.get(node.name, 1.0)
            weight = weight * (scale / after)
        made = with_weights(linear, weight, None if bias is None else bias / after)
        layer = made if isinstance(made, nn.Linear) else OverTime(made)
        self.carried[node.name] = self._add(node.name, layer, (source,)), after

    def _affine(self, node: Node) -> None:
        source, scale = self.carried[node.inputs[0]]
        factor, shift = affine_of(node.module, node.where)
        after = scale
        if self.form == "weights":
            after = self.targets.get(node.name, 1.0)
            factor = factor * (scale / after)
        layer = OverTime(ChannelAffine(factor, shift / after))
        self.carried[node.name] = self._add(node.name, layer, (source,)), after

    def _activation(self, node: Node) -> None:
        source, scale = self.carried[node.inputs[0]]
        after = self.lambdas[node.name]
        threshold = after / scale
        if self.form == "weights":
            source, threshold = self._rescaled(source, scale, after, node.name), 1.0
        self._fire(node, source, threshold, after)

    def _fire(self, node: Node, source: str, threshold: float, scale: float, name: str = "") -> None:
        # In double precision until the network as a whole gets its own.
        neurons = IntegrateAndFire(threshold, self.initial, dtype=torch.float64)
        name = self._add(name or node.name, neurons, (source,), moves=True)
        self.neurons[name] = SpikingLayerInfo(node.name, node.where, scale)
        self.carried[node.name] = name, scale
        self.spikes.add(name)

    def _shape(self, node: Node) -> None:
        source, scale = self.carried[node.inputs[0]]
        name = self._add(node.name, OverTime(copy.deepcopy(node.module)), (source,))
        self.carried[node.name] = name, scale
        if source in self.spikes:
            self.spikes.add(name)

    def _average(self, node: Node) -> None:
        source, scale = self.carried[node.inputs[0]]
        name = self._add(node.name, OverTime(copy.deepcopy(node.module)), (source,))
        self.carried[node.name] = name, scale
        if self.spiking_pooling and source in self.spikes:
            self._fire(node, name, 1.0, scale, f"{node.name}_spikes")

    def _max(self, node: Node) -> None:
        source, scale = self.carried[node.inputs[0]]
        if source not in self.spikes and not self._is_static(source):
            raise InputError(
                f"max pooling {node.where!r} pools values that are no spikes; put the activation before it, which "
                "gives the same, or use average pooling."
            )
        if self._is_static(source):
            self.carried[node.name] = self._add(node.name, OverTime(copy.deepcopy(node.module)), (source,)), scale
            return
        name = self._add(node.name, SpikingMaxPool(copy.deepcopy(node.module)), (source,))
        self.carried[node.name] = name, scale
        self.spikes.add(name)

    def _sum(self, node: Node) -> None:
        after = self.targets.get(node.name, 1.0) if self.form == "weights" else self.carried[node.inputs[0]][1]
        sources = tuple(self._rescaled(*self.carried[name], after, f"{node.name}_{name}") for name in node.inputs)
        self.carried[node.name] = self._add(node.name, copy.deepcopy(node.module), sources), after
