"""Spiking neurons that are one operator: what their equation costs, term by term, for the parts switched on.

Per neuron and step: ``beta * v + i`` is one multiplication and one addition (no multiplication where beta is 1), the
threshold one comparison; a synaptic current adds ``alpha * i + x``, adaptation ``rho * a`` and ``theta0 + kappa * a``,
a gain other than 1 one multiplication, a resting potential other than 0 two additions. Subtracting the threshold is an
addition, dense at every step, effective where a reset happens; a reset to a value is no arithmetic. With an infinite
threshold the operator is a leaky integrator: nothing is compared and no spike is possible. Recurrent weights
are accumulates: dense from every neuron at every step, effective from those that fired. A weight of exactly 0 is no
connection, as a sparse layer has none there, and costs neither. Where a rhythm is OFF only the synaptic current and the
adaptation run on, and recurrent spikes count only if there is a current to keep them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikeneuro.energy.provenance import Kind
from spikeneuro.energy.rules import Call, Cost, Rule
from spikeneuro.ops.counts import OperationCounts
from spikeneuro.ops.state import LIFSettings


def _nonzero(tensor: Tensor) -> int:
    return int(torch.count_nonzero(tensor))


def _differs(tensor: Tensor, value: float) -> bool:
    return bool((tensor != value).any())


def _fires(call: Call) -> bool:
    return bool(torch.isfinite(call.arg("threshold")).any())


def _settings(call: Call) -> LIFSettings:
    return LIFSettings.from_text(call.arg("settings"))


def _lif(call: Call) -> Cost:
    """Cost of `spikeneuro::lif` and `spikeneuro::recurrent_lif`."""
    x, spikes = call.args[0], call.outputs[0]
    n = x.numel()
    mask = call.arg("mask")
    on = None if mask is None else (mask != 0).expand(x.shape)
    active = n if on is None else _nonzero(on)
    dense = _always(call, n, active)
    effective = dense
    reset_dense, reset_effective = _resets(call, spikes, on, active)
    dense += OperationCounts(additions=reset_dense)
    effective += OperationCounts(additions=reset_effective)
    if call.arg("rho") is not None:
        history = call.arg("history")
        before = _nonzero(spikes[:-1]) + (0 if history is None else _nonzero(history[-1]))
        dense += OperationCounts(additions=n)
        effective += OperationCounts(additions=before)
    if call.arg("weight") is not None:
        synapses = _recurrent(call, spikes, on)
        dense += OperationCounts(acs=synapses[0])
        effective += OperationCounts(acs=synapses[1])
    moved = _memory(call, n)
    if not _fires(call):
        return Cost(dense + moved, effective + moved, kind=Kind.NEUTRAL)
    return Cost(dense + moved, effective + moved, kind=Kind.BINARY, spikes=(_nonzero(spikes), n))


def _always(call: Call, n: int, active: int) -> OperationCounts:
    """What every step costs, spike or not: `n` neuron-steps, of which the membrane runs in `active`."""
    gained, rested = _differs(call.arg("gain"), 1), _differs(call.arg("v_rest"), 0)
    additions = active * (1 + 2 * rested)
    multiplications = active * (int(_differs(call.arg("beta"), 1)) + int(gained))
    comparisons = active if _fires(call) else 0
    if call.arg("weight") is not None:
        kept = n if call.arg("alpha") is not None else active
        additions += kept * (1 + (call.arg("bias") is not None))
    if call.arg("alpha") is not None:
        additions, multiplications = additions + n, multiplications + n
    if call.arg("rho") is not None:
        multiplications += n + active
        additions += active
    if _settings(call).refractory:
        comparisons, additions = comparisons + n, additions + n
    return OperationCounts(
        additions=additions, multiplications=multiplications, comparisons=comparisons, state_updates=active
    )


def _resets(call: Call, spikes: Tensor, on: Tensor | None, active: int) -> tuple[int, int]:
    """Subtractions of the threshold, dense and effective."""
    if _settings(call).reset != "subtract":
        return 0, 0
    if _settings(call).reset_timing == "same_step":
        return active, _nonzero(spikes)
    pending = call.arg("pending")
    due = torch.zeros_like(spikes[0]) if pending is None else pending
    made = 0
    for t in range(len(spikes)):
        made += _nonzero(due if on is None else due * on[t])
        keep = on is not None and _settings(call).preserve_reset
        due = torch.where(on[t], spikes[t], due) if on is not None and keep else spikes[t]
    return active, made


def _recurrent(call: Call, spikes: Tensor, on: Tensor | None) -> tuple[int, int]:
    """Accumulates of the recurrent connections, dense and effective."""
    delay = call.arg("delay", 0)
    history = call.arg("history")
    first = torch.zeros_like(spikes[:1]).expand(delay + 1, *spikes.shape[1:]) if history is None else history
    before = torch.cat([first, spikes])[: len(spikes)] != 0
    exists = call.arg("weight") != 0  # (after, before)
    if on is None or call.arg("alpha") is not None:
        fired = before.sum((0, 1))
        return spikes[..., 0].numel() * int(exists.sum()), int((fired * exists.sum(0)).sum())
    reached = on.sum((0, 1))
    arriving = before.double() @ exists.double().mT  # spikes at each neuron, exact in this precision
    return int((reached * exists.sum(1)).sum()), int((arriving * on).sum())


def _memory(call: Call, n: int) -> OperationCounts:
    """Input and states read and written at every step, parameters and recurrent connections once per sample."""
    states = 1 + sum(call.arg(name) is not None for name in ("alpha", "rho")) + (_settings(call).refractory > 0)
    names = ("beta", "gain", "threshold", "v_rest", "v_reset", "alpha", "rho", "kappa", "bias")
    parameters = sum(tensor.numel() for name in names if (tensor := call.arg(name)) is not None)
    if call.arg("weight") is not None:
        parameters += _nonzero(call.arg("weight"))
    reads = n * (1 + states) + parameters * call.samples
    writes = n * (1 + states)
    width = call.outputs[0].element_size()
    return OperationCounts(reads=reads, writes=writes, read_bytes=reads * width, write_bytes=writes * width)


RULES: dict[str, Rule] = {
    "spikeneuro::lif": Rule(_lif, "own"),
    "spikeneuro::recurrent_lif": Rule(_lif, "own"),
}
