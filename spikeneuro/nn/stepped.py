"""Neurons outside the leaky integrate-and-fire family: one step in plain torch, the loop over time made of it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.nn.base import LIFResult, SpikingLayer
from spikeneuro.nn.decay import Value, values
from spikeneuro.nn.rhythm import Modulation, bound
from spikeneuro.nn.rhythm_pattern import RhythmPattern, begin, end, mask_for


class SteppedLayer(SpikingLayer):
    """Base of neurons that are written as one step.

    Who derives from it gives `resting_state` and `step`. The layer then maps whole sequences, runs in pieces, records
    traces and differentiates as every spiking layer does. It runs as a loop in plain torch, on any device.

    Parameters
    ----------
    shape : int or sequence of int
        Shape that broadcasts to the features: ``128``, ``(16, 1, 1)``, or ``()`` for any.
    dt : float, optional
        Length of a step in seconds, for a rhythm that is given in seconds or hertz.
    rhythm : Rhythm or MixRhythm, optional
        When each neuron is ON; for layers that have a `masked_step`.
    dtype, device : optional
        As for torch's layers: where the numbers of `set_number` are kept.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> from spikeneuro import ops
    >>> class State(NamedTuple):
    ...     membrane: Tensor
    >>> class Integrator(SteppedLayer):
    ...     def resting_state(self, x):
    ...         return State(torch.zeros_like(x))
    ...
    ...     def step(self, x, state):
    ...         u = state.membrane + x
    ...         s = ops.spike(u - 1.0)
    ...         return s, State(u - s)
    >>> Integrator(1)(torch.full((5, 1, 1), 0.7)).flatten().tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        dt: float | None = None,
        rhythm: Modulation | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(shape)
        self._place: dict[str, Any] = {"dtype": dtype or torch.get_default_dtype(), "device": device}
        self.rhythm = bound(rhythm, self.shape, dt, device)
        if self.rhythm is not None and not isinstance(self.rhythm, RhythmPattern):
            raise InputError(f"{type(self).__name__} takes a Rhythm or MixRhythm, got {type(rhythm).__name__}.")
        if self.rhythm is not None:
            self._check_masked()

    @abstractmethod
    def resting_state(self, x: Tensor) -> Any:
        """Return the state before the first step: a named tuple of tensors.

        Parameters
        ----------
        x : Tensor
            A step of zeros, (batch, *features), for its shape, dtype and device.

        Returns
        -------
        NamedTuple
            The state; its fields are the traces that can be recorded.
        """

    @abstractmethod
    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the spikes of one step and the state after it.

        Parameters
        ----------
        x : Tensor
            Input of the step, (batch, *features).
        state : NamedTuple
            State before it.

        Returns
        -------
        spikes : Tensor
            0 and 1, (batch, *features); `spikeneuro.ops.spike` gives them a surrogate derivative.
        state : NamedTuple
            State after it.
        """

    def masked_step(self, x: Tensor, state: Any, on: Tensor) -> tuple[Tensor, Any]:  # noqa: ARG002
        """Return the spikes of one step in which some neurons are OFF, and the state after it.

        A layer that can be given a rhythm overrides this: where OFF, the membrane keeps its value and there is no
        spike, neither in what is returned nor in what the rest of the state is computed from.

        Parameters
        ----------
        x : Tensor
            Input of the step, (batch, *features).
        state : NamedTuple
            State before it.
        on : Tensor
            True where ON, broadcasts to `x`.

        Returns
        -------
        spikes : Tensor
            0 and 1, (batch, *features).
        state : NamedTuple
            State after it.

        Raises
        ------
        InputError
            If the layer has no such step.
        """
        raise self._no_off_steps()

    def _no_off_steps(self) -> InputError:
        return InputError(f"{type(self).__name__} knows no OFF steps; write its masked_step to give it a rhythm.")

    def _check_masked(self) -> None:
        if type(self).masked_step is SteppedLayer.masked_step:
            raise self._no_off_steps()

    def observe(self, state: Any) -> dict[str, Tensor]:
        """Return what can be recorded of a state, by name; the fields of the state unless a layer says otherwise."""
        fields: dict[str, Tensor] = state._asdict()
        return fields

    def set_number(self, name: str, value: Value) -> None:
        """Keep a number, or one per neuron, as a buffer of that name.

        Parameters
        ----------
        name : str
            Name of the attribute, and in messages.
        value : float, Tensor or Heterogeneity
            Finite, broadcasts to the layer's shape.

        Raises
        ------
        InputError
            For values that are not finite or do not broadcast.
        """
        tensor = values(value, name, self.shape, self._place["device"])
        self.register_buffer(name, tensor.to(self._place["dtype"]))

    def run(self, x: Tensor, state: Any = None, record: Sequence[str] = (), *, mask: Tensor | None = None) -> LIFResult:
        """Run a piece of a sequence and return its state and traces.

        Two pieces run one after the other, the second from the state of the first, equal the whole.

        Parameters
        ----------
        x : Tensor
            Input, (time, batch, *features), in the unit of the layer.
        state : NamedTuple, optional
            State before the first step, from an earlier `run`; at rest by default. With a rhythm, a `RhythmState`.
        record : sequence of str
            Traces to return, each the value after its step: "spikes" and what `observe` names.
        mask : Tensor, optional
            Who is ON (1) and OFF (0), broadcasts to `x`; for layers with a `masked_step` and no rhythm of their own.

        Returns
        -------
        LIFResult
            Spikes, final state, traces.

        Raises
        ------
        InputError
            For an input or state of the wrong shape or dtype, or an unknown trace.
        """
        self.check_input(x)
        self._check_dtype(x)
        rest = self.resting_state(x.new_zeros(x.shape[1:]))
        passed, state = begin(self.rhythm, state)
        state = rest if state is None else self._checked(state, rest)
        on = self._on(mask_for(self.rhythm, x, passed, mask), x)
        names = (record,) if isinstance(record, str) else tuple(record)
        for name in names:
            check_choice(name, ("spikes", *self.observe(rest)), "record")
        observed = [name for name in names if name != "spikes"]
        spikes: list[Tensor] = []
        courses: dict[str, list[Tensor]] = {name: [] for name in observed}
        # Unbound once: differentiating x[t] would allocate a gradient of the whole sequence at every step.
        for t, x_t in enumerate(x.unbind(0)):
            s, state = self.step(x_t, state) if on is None else self.masked_step(x_t, state, on[t])
            spikes.append(s)
            if observed:
                seen = self.observe(state)
                for name in observed:
                    courses[name].append(seen[name])
        stacked = torch.stack(spikes) if spikes else torch.zeros_like(x)
        last = self.observe(state)
        traces = {name: stacked if name == "spikes" else _stacked(courses[name], last[name]) for name in names}
        return LIFResult(stacked, end(self.rhythm, state, passed + len(x)), traces)

    def _on(self, mask: Tensor | None, x: Tensor) -> Tensor | None:
        """Mask as truth values in the shape of `x`."""
        if mask is None:
            return None
        self._check_masked()
        try:
            return mask.to(torch.bool).expand(x.shape)
        except RuntimeError as error:
            raise InputError(
                f"a mask of shape {tuple(mask.shape)} does not broadcast to the input {tuple(x.shape)}."
            ) from error

    def _check_dtype(self, x: Tensor) -> None:
        if not x.is_floating_point():
            raise InputError(f"{type(self).__name__} expected a floating-point input, got {x.dtype}; use x.float().")
        for name, number in (*self.named_buffers(), *self.named_parameters()):
            if number.is_floating_point() and (number.dtype != x.dtype or number.device != x.device):
                raise InputError(
                    f"{name} of {type(self).__name__} is {number.dtype} on {number.device} but the input is {x.dtype} "
                    f"on {x.device}; convert one of them with .to(...)."
                )

    def _checked(self, state: Any, rest: Any) -> Any:
        """`state`, if it is of the kind that the layer's own is."""
        fields = getattr(state, "_fields", None)
        if fields != rest._fields:
            raise InputError(
                f"the state of {type(self).__name__} has the parts {', '.join(rest._fields)}; got "
                f"{type(state).__name__}" + (f" with {', '.join(fields)}." if fields else ".")
            )
        for name, given, expected in zip(fields, state, rest, strict=True):
            if given.shape != expected.shape or given.dtype != expected.dtype or given.device != expected.device:
                raise InputError(
                    f"the state's {name} must be {expected.dtype} of shape {tuple(expected.shape)} on "
                    f"{expected.device}, got {given.dtype} of shape {tuple(given.shape)} on {given.device}."
                )
        return state


def _stacked(course: list[Tensor], like: Tensor) -> Tensor:
    """Steps along a new first axis, also if there are none."""
    return torch.stack(course) if course else like.new_zeros((0, *like.shape))
