"""Rules applied to connections: traces kept per neuron where that is enough, and per synapse where it is not."""

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Connection, Constant
from spikeneuro.plasticity.traces import after, at_rest, before, scan

if TYPE_CHECKING:
    from spikeneuro.plasticity.rules import STDPRule

REDUCTIONS = ("mean", "sum", "none")


class Term(NamedTuple):
    """Part of a change of weights: ``sign * amplitude * post * pre`` at every synapse.

    Parameters
    ----------
    sign : {1, -1}
        Whether it potentiates or depresses, which decides about the bound that slows it.
    amplitude : float or Tensor
        A number, or a tensor that broadcasts over the weights.
    post, pre : Tensor
        Values after and before the synapses.
    """

    sign: int
    amplitude: Constant
    post: Tensor
    pre: Tensor


class Engine:
    """A rule prepared for a connection: its constants checked, its decays computed, its layout chosen.

    Traces are kept per neuron if each time constant is the same for all synapses of the neuron; the sum over batch and
    time is then one product of matrices. Otherwise every synapse has traces of its own.

    Parameters
    ----------
    rule : STDPRule
        The rule.
    connection : Connection
        The synapses.

    Raises
    ------
    InputError
        For constants that do not fit the connection, and soft bounds without bounds.
    """

    def __init__(self, rule: "STDPRule", connection: Connection) -> None:
        self.rule, self.connection = rule, connection
        self.declared = rule.traces()
        for name, value in rule.amplitudes().items():
            connection.constant(value, name)
        for name, mu, bound in (("mu_plus", rule.mu_plus, "high"), ("mu_minus", rule.mu_minus, "low")):
            if mu and not bool(torch.isfinite(torch.as_tensor(getattr(connection, bound))).all()):
                raise InputError(f"{name}={mu!r} makes changes depend on the bound {bound!r}; give the connection one.")
        taus = {name: connection.constant(t.tau, f"tau of {name}", finite=False) for name, t in self.declared.items()}
        for name, tau in taus.items():
            if bool((torch.as_tensor(tau) <= 0).any()):
                low = float(torch.as_tensor(tau).min())
                raise InputError(f"tau of {name} is a time constant and must be above 0, got {low:g}.")
        local = {name: self._local(tau, self.declared[name].side) for name, tau in taus.items()}
        self.per_synapse = rule.per_synapse or any(tau is None for tau in local.values())
        self.decays = {name: self._decay(taus[name] if self.per_synapse else local[name]) for name in taus}

    def _local(self, tau: Constant, side: str) -> Constant | None:
        return self.connection.per_neuron(tau, side) if isinstance(tau, Tensor) else tau

    def _decay(self, tau: Constant | None) -> Tensor:
        weight = self.connection.weight
        if isinstance(tau, Tensor):
            aligned = self.connection.align(tau) if self.per_synapse else tau
            return torch.exp(-self.rule.dt / aligned.double()).to(weight)
        assert tau is not None
        return torch.tensor(math.exp(-self.rule.dt / tau), dtype=weight.dtype, device=weight.device)

    def whole(self, pre: Tensor, post: Tensor, gain: Tensor | None = None, *, keep_batch: bool = False) -> Tensor:
        """Return the change by trains from rest, the weights held; `gain` (time, batch) weighs each step's change."""
        if self.per_synapse:
            return self._step_by_step(pre, post, gain, keep_batch)
        earlier, later = {}, {}
        for name, trace in self.declared.items():
            train = pre if trace.side == "pre" else post
            earlier[name], later[name] = scan(trace.kind, train, self.decays[name])
        return self._sum(self.rule.terms(pre, post, earlier, later), gain, keep_batch)

    def _step_by_step(self, pre: Tensor, post: Tensor, gain: Tensor | None, keep_batch: bool) -> Tensor:
        shape = self.connection.weight.shape
        total, traces = pre.new_zeros((pre.shape[1], *shape) if keep_batch else shape), None
        for t in range(len(pre)):
            change, traces = self.step(
                pre[t], post[t], traces, None if gain is None else gain[t], keep_batch=keep_batch
            )
            total += change
        return total

    def step(
        self,
        pre: Tensor,
        post: Tensor,
        traces: dict[str, Tensor] | None = None,
        gain: Tensor | None = None,
        *,
        keep_batch: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the change by one step (batch, *features), and the traces after it."""
        sides = {"pre": pre, "post": post}
        if self.per_synapse:
            sides = {side: self.connection.at_synapses(train, side) for side, train in sides.items()}
        earlier, later = {}, {}
        for name, trace in self.declared.items():
            train, decay = sides[trace.side], self.decays[name]
            last = self._rest(trace.kind, train, decay) if traces is None else self._last(traces, name, train, decay)
            earlier[name] = before(trace.kind, last, decay)
            later[name] = after(trace.kind, earlier[name], train)
        terms = self.rule.terms(sides["pre"], sides["post"], earlier, later)
        if self.per_synapse:
            return self._elementwise(terms, gain, keep_batch), later
        stepped = [term._replace(post=term.post[None], pre=term.pre[None]) for term in terms]
        return self._sum(stepped, None if gain is None else gain[None], keep_batch), later

    def _shape(self, train: Tensor, decay: Tensor) -> torch.Size:
        return torch.broadcast_shapes(train.shape, decay.shape) if self.per_synapse else train.shape

    def _rest(self, kind: str, train: Tensor, decay: Tensor) -> Tensor:
        return at_rest(kind, train.new_empty(self._shape(train, decay)))

    def _last(self, traces: dict[str, Tensor], name: str, train: Tensor, decay: Tensor) -> Tensor:
        last, shape = traces.get(name), self._shape(train, decay)
        if last is None or last.shape != shape:
            found = f"the traces {', '.join(traces)}" if last is None else f"{tuple(last.shape)}"
            raise InputError(
                f"the state's trace {name} must be of shape {tuple(shape)}, got {found}; start another batch from rest."
            )
        return last

    def _sum(self, terms: list[Term], gain: Tensor | None, keep_batch: bool) -> Tensor:
        shape = self.connection.weight.shape
        total = terms[0].pre.new_zeros((terms[0].pre.shape[1], *shape) if keep_batch else shape)
        for term in terms:
            if not isinstance(term.amplitude, Tensor) and term.amplitude == 0:
                continue
            after_ = term.post if gain is None else term.post * _over(gain, term.post)
            total += self._scaled(self.connection.correlate(after_, term.pre, keep_batch=keep_batch), term)
        return self.connection.restrict(total)

    def _elementwise(self, terms: list[Term], gain: Tensor | None, keep_batch: bool) -> Tensor:
        total: Tensor | float = 0.0
        for term in terms:
            products = self.connection.sum_positions(term.post * term.pre)
            total = total + self._scaled(products, term)
        assert isinstance(total, Tensor)
        if gain is not None:
            total = total * _over(gain, total)
        return self.connection.restrict(total if keep_batch else total.sum(0))

    def _scaled(self, products: Tensor, term: Term) -> Tensor:
        """Products times their amplitude, with its sign, and the distance from the bound."""
        connection, rule = self.connection, self.rule
        amplitude = term.amplitude
        if isinstance(amplitude, Tensor):
            amplitude = connection.over_weights(amplitude.to(connection.weight))
        mu = rule.mu_plus if term.sign > 0 else rule.mu_minus
        if not mu:
            return products * (term.sign * amplitude)
        weight = connection.weight.detach()
        room = connection.high - weight if term.sign > 0 else weight - connection.low
        room = room.clamp_(min=0.0)
        if mu != 1.0:
            room.pow_(mu)
        return products * room.mul_(term.sign * amplitude)


def _over(gain: Tensor, values: Tensor) -> Tensor:
    """Values per sample so that they broadcast to `values`."""
    return gain.reshape(*gain.shape, *[1] * (values.dim() - gain.dim()))


def average(reduction: str, batch: int) -> float | None:
    """Factor of the sum over the batch; None if the samples are kept apart."""
    check_choice(reduction, REDUCTIONS, "reduction")
    return None if reduction == "none" else 1.0 / batch if reduction == "mean" else 1.0


def reduced(change: Tensor, factor: float | None) -> Tensor:
    """Change summed over the batch, times the factor of the reduction."""
    return change if factor in (None, 1.0) else change * factor
