"""Products and networks of which only some connections exist: a spike costs one accumulate a connection it travels.

`spikeneuro::sparse_linear` is a product like any other, over the synapses that are listed. `spikeneuro::cube` is a
whole network of neurons: every spike of a step is delivered in the next one along each connection that leaves its
neuron (dense: every neuron spikes in every step). A neuron that is no input then costs, per step, one comparison (is it
in its refractory period?) and, if it is, one subtraction (of the period); else one addition (what arrived) and one
comparison (with the threshold), and where it does not spike one subtraction (of the leak) and one comparison (with
zero). Dense counts charge all of that in every step. Input neurons pass on what they are given, at no cost.

`spikeneuro::rank_order_weights` forms the weights of deSNN while spikes arrive: one comparison a spike (is it the
first?), one multiplication a first spike (the modulation, brought forward), and one addition a step from then on (the
drift, up or down). Dense counts charge all of that to every neuron in every step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikeneuro.energy.products import product_cost
from spikeneuro.energy.provenance import Kind
from spikeneuro.energy.rules import Call, Cost, Rule
from spikeneuro.ops.counts import OperationCounts


def _fan_out(ends: Tensor, neurons: int) -> Tensor:
    """How many connections leave each neuron."""
    return torch.bincount(ends.long(), minlength=neurons)


def _sparse_linear(call: Call) -> Cost:
    x, weight = call.arg("x"), call.arg("weight")
    fan_out = _fan_out(call.arg("pre"), x.shape[-1])
    rows = x.numel() // x.shape[-1]
    effective = int(((x != 0).reshape(rows, -1).sum(0) * fan_out).sum())
    return product_cost(call, x, weight, rows * len(weight), effective, OperationCounts())


def _cube(call: Call) -> Cost:
    events, fired = call.arg("events"), call.outputs[0]
    steps, samples, neurons = fired.shape
    fan_out = _fan_out(call.arg("sender"), neurons)
    inside = torch.ones(neurons, dtype=torch.bool)
    inside[call.arg("inputs").long()] = False
    inner = fired[:, :, inside].bool()
    n, spikes = inner.numel(), int(inner.sum())
    refractory, leaks = int(call.arg("refractory")), bool(call.arg("leak"))
    # a spike in step t keeps its neuron deaf for the steps t + 1 to t + refractory that there are
    left = torch.arange(steps - 1, -1, -1).clamp(max=refractory)
    deaf = int((inner.sum((1, 2)) * left).sum())
    active, below = n - deaf, n - deaf - spikes
    waits = refractory > 0
    dense = OperationCounts(
        acs=steps * samples * len(call.arg("weight")),
        additions=n * (waits + 1 + leaks),
        comparisons=n * (waits + 2),
        state_updates=n,
    )
    effective = OperationCounts(
        acs=int((fired[:-1].sum((0, 1)) * fan_out).sum()),
        additions=deaf + active + below * leaks,
        comparisons=n * waits + active + below,
        state_updates=active,
    )
    moved = _cube_memory(call, n, events.numel(), samples * len(call.arg("weight")))
    return Cost(dense + moved, effective + moved, kind=Kind.BINARY, spikes=(spikes, n))


def _cube_memory(call: Call, n: int, events: int, connections: int) -> OperationCounts:
    """Events, states and spikes at every step; weight and receiver of each connection once a sample, 4 bytes each."""
    states = n * (1 + (call.arg("refractory") > 0))
    width = call.arg("events").element_size()
    return OperationCounts(
        reads=events + states + 2 * connections,
        writes=states + n,
        read_bytes=events * width + 4 * states + 8 * connections,
        write_bytes=4 * states + n * width,
    )


def _rank_order_weights(call: Call) -> Cost:
    spikes = call.arg("spikes").bool()
    steps, per_step = len(spikes), spikes[0].numel()
    fires = spikes.any(0)
    first = spikes.int().argmax(0)
    later = int((steps - 1 - first)[fires].sum())
    dense = OperationCounts(comparisons=steps * per_step, multiplications=per_step, additions=(steps - 1) * per_step)
    effective = OperationCounts(comparisons=int(spikes.sum()), multiplications=int(fires.sum()), additions=later)
    return Cost(dense, effective)


RULES: dict[str, Rule] = {
    "spikeneuro::sparse_linear": Rule(_sparse_linear, "product"),
    "spikeneuro::cube": Rule(_cube, "own"),
    "spikeneuro::rank_order_weights": Rule(_rank_order_weights, "reduce"),
}
