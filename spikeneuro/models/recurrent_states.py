"""States of a network's recurrent neurons, for readouts of one's own, and how much of the past they tell."""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.models.inputs import check_signal
from spikeneuro.models.layered_snn import LayeredSNN
from spikeneuro.nn import RecurrentLIF
from spikeneuro.reservoir.memory_capacity import MemoryCapacity, memory_capacity_of

STATES = ("membrane", "trace")


class RecurrentStatesSNN(LayeredSNN):
    """Base of networks with one recurrent layer whose states are looked at; see `LayeredSNN` for the parameters."""

    @property
    @abstractmethod
    def recurrent(self) -> RecurrentLIF:
        """The recurrent layer."""

    @torch.no_grad()
    def states(self, x: Tensor, kind: str = "membrane", tau_trace: float | None = None) -> tuple[Tensor, Tensor]:
        """Return the state of the recurrent neurons after each step, for readouts of one's own.

        Parameters
        ----------
        x : Tensor
            (batch, n_chans, times).
        kind : {"membrane", "trace"}, default "membrane"
            Membrane potentials after the reset, or spikes filtered by ``exp(-dt / tau_trace)``.
        tau_trace : float, optional
            Time constant of the filter in the network's unit, the same for all; by default the neurons' mean one.

        Returns
        -------
        states, spikes : Tensor
            (steps, batch, hidden) each.
        """
        check_choice(kind, STATES, "kind")
        check_signal(x, self.n_chans, None)
        mode = self.training
        self.eval()
        try:
            current = self.norms[0](self.linears[0](self.encoder(x)))
            result = self.recurrent.run(current, record=("membrane",))
        finally:
            self.train(mode)
        if kind == "membrane":
            return result.traces["membrane"], result.spikes
        tau = float(self.recurrent.tau_mem.mean()) if tau_trace is None else tau_trace
        check_number(tau, "tau_trace", low=0.0, closed="neither")
        keep = math.exp(-self.recurrent.dt / tau)
        trace, traces = torch.zeros_like(result.spikes[0]), []
        for spikes in result.spikes:
            trace = keep * trace + spikes
            traces.append(trace)
        return torch.stack(traces), result.spikes

    def memory_capacity(
        self,
        max_delay: int = 50,
        *,
        kind: str = "membrane",
        tau_trace: float | None = None,
        input_scale: float = 1.0,
        random_state: Any = None,
        **options: Any,
    ) -> MemoryCapacity:
        """Measure how much of its past input the network's state tells, and what it costs in spikes.

        The same random input goes into every channel.

        Parameters
        ----------
        max_delay : int, default 50
            Largest delay in samples.
        kind, tau_trace
            As for `states`.
        input_scale : float, default 1
            Factor of the input.
        random_state : int, RandomState or None
            Draws the input.
        **options
            Those of `spikeneuro.reservoir.memory_capacity_of` and `spikeneuro.reservoir.memory_capacity`.

        Returns
        -------
        MemoryCapacity
            Its `effective` is spikes a step for each unit of memory.
        """
        every = self.encoder.steps_per_sample

        def driven(signal: Any) -> tuple[Any, Any]:
            like = self.recurrent.weight
            x = input_scale * torch.as_tensor(signal, dtype=like.dtype, device=like.device)
            states, spikes = self.states(x.expand(1, self.n_chans, -1), kind, tau_trace)
            counted = spikes[:, 0].unflatten(0, (-1, every)).sum(1)
            return states[every - 1 :: every, 0].cpu().numpy(), counted.cpu().numpy()

        return memory_capacity_of(driven, max_delay, random_state=random_state, **options)
