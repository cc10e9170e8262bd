"""The time loop of the cube, spike by spike.

The engine of `spikeneuro.ops` cannot express it: the leak is a constant that is subtracted, not a factor; the potential
is clipped at zero; neurons in their refractory period lose their input without a trace; and weights change within the
loop. So it has a loop of its own, compiled by numba, which no other module of this package's reservoirs imports.

Work is done where a spike is: each spike visits the connections of its neuron, and a step without spikes only leaks.
Everything is float32 and summed in the order of the sending neurons, so that a result never depends on the machine.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_njit: Any = numba.njit  # numba has no type hints

#: No spike yet.
_NEVER = -1


@_njit(cache=True, nogil=True)
def run_sample(
    events: NDArray[Any],  # (steps, inputs), spikes of the input neurons
    inputs: NDArray[Any],  # numbers of the input neurons
    is_input: NDArray[Any],
    out_start: NDArray[Any],  # connections that leave neuron i: out_start[i] to out_start[i + 1]
    target: NDArray[Any],
    weight: NDArray[Any],  # changed only where learns
    in_start: NDArray[Any],  # connections that reach neuron j: in_edge[in_start[j] : in_start[j + 1]]
    in_edge: NDArray[Any],
    source: NDArray[Any],
    leak: Any,
    threshold: Any,
    refractory: int,
    learns: bool,
    never_lose: NDArray[Any],  # neurons whose spikes weaken none of their connections
    rate: Any,
    limit: Any,
    spikes: NDArray[Any],  # written: (steps, neurons)
    potential: NDArray[Any],  # written: (neurons,), after the last step
) -> None:
    """One sample from rest; see `spikeneuro.reservoir.NeuCube` for the equations."""
    n = len(is_input)
    waiting = np.zeros(n, dtype=np.int32)
    last = np.full(n, _NEVER, dtype=np.int32)
    fired = np.empty(n, dtype=np.int32)
    drive = np.zeros(n, dtype=np.float32)
    zero = np.float32(0.0)
    potential[:] = zero
    count = 0
    for step in range(len(events)):
        _deliver(fired[:count], out_start, target, weight, drive)
        for place in range(len(inputs)):
            if events[step, place]:
                spikes[step, inputs[place]] = True
        count = 0
        for neuron in range(n):
            if is_input[neuron]:
                fires = spikes[step, neuron]
            elif waiting[neuron] > 0:
                waiting[neuron] -= 1
                fires = False
            else:
                raised = potential[neuron] + drive[neuron]
                fires = raised >= threshold
                if fires:
                    potential[neuron] = zero
                    waiting[neuron] = refractory
                else:
                    potential[neuron] = max(zero, np.float32(raised - leak))
            drive[neuron] = zero
            if fires:
                spikes[step, neuron] = True
                fired[count] = neuron
                count += 1
        if learns:
            _learn(
                step, fired[:count], last, never_lose, out_start, target, weight, in_start, in_edge, source, rate, limit
            )
        for place in range(count):
            last[fired[place]] = step


@_njit(cache=True, nogil=True)
def _deliver(
    fired: NDArray[Any], out_start: NDArray[Any], target: NDArray[Any], weight: NDArray[Any], drive: NDArray[Any]
) -> None:
    """Add the weights of all connections that leave `fired`, in the order of the senders."""
    for sender in fired:
        for edge in range(out_start[sender], out_start[sender + 1]):
            drive[target[edge]] += weight[edge]


@_njit(cache=True, nogil=True)
def _learn(
    step: int,
    fired: NDArray[Any],
    last: NDArray[Any],
    never_lose: NDArray[Any],
    out_start: NDArray[Any],
    target: NDArray[Any],
    weight: NDArray[Any],
    in_start: NDArray[Any],
    in_edge: NDArray[Any],
    source: NDArray[Any],
    rate: Any,
    limit: Any,
) -> None:
    """Connections that helped a spike grow, those whose spike comes after that of their target shrink.

    A spike that one of the other side has followed before is used, which the last spikes of both tell.
    """
    for neuron in fired:
        for place in range(in_start[neuron], in_start[neuron + 1]):
            edge = in_edge[place]
            before = last[source[edge]]
            if before != _NEVER and last[neuron] <= before:
                change = np.float32(rate / np.float32(step - before))
                weight[edge] = min(limit, np.float32(weight[edge] + change))
    for neuron in fired:
        if never_lose[neuron]:
            continue
        for edge in range(out_start[neuron], out_start[neuron + 1]):
            before = last[target[edge]]
            if before != _NEVER and last[neuron] <= before:
                change = np.float32(rate / np.float32(step - before))
                weight[edge] = max(-limit, np.float32(weight[edge] - change))
