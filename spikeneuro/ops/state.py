"""What the neuron op is told and what it carries: settings, parameters, state and output."""

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.ops.surrogates import SURROGATES, FastSigmoid, Surrogate

RESETS = ("subtract", "zero", "none")
TIMINGS = ("same_step", "next_step")
COMPARISONS = (">", ">=")


@dataclass(frozen=True)
class LIFSettings:
    """Choices of the LIF recurrence that are not numbers per neuron.

    Parameters
    ----------
    reset : {"subtract", "zero", "none"}
        What a spike does to the membrane.
    reset_timing : {"same_step", "next_step"}
        Whether it does so in the step of the spike or one step later (snnTorch's default).
    detach_reset : bool
        Whether the reset carries no gradient.
    comparison : {">", ">="}
        Whether a membrane exactly at the threshold fires; ``">="`` as in SpikingJelly.
    zero_discards_input : bool
        With ``reset="zero"`` and ``reset_timing="next_step"``: the reset also wipes the input of its step, as in
        snnTorch's Synaptic, RLeaky and Lapicque.
    refractory : int
        Steps after a spike in which the neuron cannot fire.
    refractory_integrates : bool
        Whether input is integrated meanwhile.
    preserve_reset : bool
        Whether a pending reset waits for the next ON step of the rhythm; False loses it, as in the published code.
    surrogate : Surrogate
        Derivative of the spike.

    Attributes
    ----------
    text : str
        The settings in one line.
    """

    reset: str = "subtract"
    reset_timing: str = "same_step"
    detach_reset: bool = False
    comparison: str = ">"
    zero_discards_input: bool = False
    refractory: int = 0
    refractory_integrates: bool = True
    preserve_reset: bool = False
    surrogate: Surrogate = field(default_factory=FastSigmoid)
    #: The settings in one line, from which `from_text` makes them again: what the op takes in each call.
    text: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        check_choice(self.reset, RESETS, "reset")
        check_choice(self.reset_timing, TIMINGS, "reset_timing")
        check_choice(self.comparison, COMPARISONS, "comparison")
        check_number(self.refractory, "refractory", low=0, integer=True)
        if self.zero_discards_input and (self.reset, self.reset_timing) != ("zero", "next_step"):
            raise InputError(
                "zero_discards_input=True belongs to reset='zero' with reset_timing='next_step', "
                f"got reset={self.reset!r} with reset_timing={self.reset_timing!r}."
            )
        object.__setattr__(self, "text", self._written())

    def _written(self) -> str:
        if SURROGATES.get(self.surrogate.name) is not type(self.surrogate):
            raise InputError(
                f"surrogate {self.surrogate!r} is not one of spikeneuro's ({', '.join(SURROGATES)}), which alone the "
                "kernels know; write the neuron as a step with ops.spike to use one of your own."
            )
        values = [getattr(self, choice.name) for choice in dataclasses.fields(self)[:-2]]  # before the surrogate
        numbers = ",".join(repr(value) for value in self.surrogate.parameters)
        return " ".join(map(str, [*values, self.surrogate.name, numbers]))

    @staticmethod
    @functools.lru_cache(maxsize=256)
    def from_text(text: str) -> "LIFSettings":
        """Return the settings that `text` holds.

        Parameters
        ----------
        text : str
            The attribute of that name.

        Returns
        -------
        LIFSettings
            Equal to those the text is of.
        """
        reset, timing, detach, comparison, discards, refractory, integrates, preserve, name, numbers = text.split(" ")
        surrogate = SURROGATES[name](*(float(number) for number in numbers.split(",")))
        return LIFSettings(
            reset, timing, detach == "True", comparison, discards == "True", int(refractory), integrates == "True",
            preserve == "True", surrogate,
        )  # fmt: skip

    @property
    def delayed(self) -> bool:
        """Whether a spike resets the membrane one step later."""
        return self.reset_timing == "next_step" and self.reset != "none"


class LIFParameters(NamedTuple):
    """Numbers of the LIF recurrence: tensors that broadcast over the features, None for a part that is off.

    Parameters
    ----------
    beta : Tensor
        Decay of the membrane per step.
    gain : Tensor
        Factor of the current in the membrane.
    threshold : Tensor
        Firing threshold without adaptation.
    v_rest : Tensor
        Membrane at rest.
    v_reset : Tensor
        Membrane after a reset to "zero".
    alpha : Tensor, optional
        Decay of the synaptic current per step.
    rho : Tensor, optional
        Decay of the adaptation per step.
    kappa : Tensor, optional
        Rise of the threshold per unit of adaptation.
    weight : Tensor, optional
        Recurrent weights, (neurons after, neurons before).
    bias : Tensor, optional
        Constant recurrent input, (neurons,).
    """

    beta: Tensor
    gain: Tensor
    threshold: Tensor
    v_rest: Tensor
    v_reset: Tensor
    alpha: Tensor | None = None
    rho: Tensor | None = None
    kappa: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None


class LIFState(NamedTuple):
    """What a LIF layer carries from one step to the next: tensors (batch, *features), None for a part that is off.

    Parameters
    ----------
    v : Tensor, optional
        Membrane; None means at rest.
    current : Tensor, optional
        Synaptic current.
    adaptation : Tensor, optional
        Adaptation variable.
    history : Tensor, optional
        Last spikes, oldest first, (delay + 1, batch, *features).
    pending : Tensor, optional
        1 where a reset is still due.
    refractory : Tensor, optional
        Refractory steps left.
    """

    v: Tensor | None = None
    current: Tensor | None = None
    adaptation: Tensor | None = None
    history: Tensor | None = None
    pending: Tensor | None = None
    refractory: Tensor | None = None

    def detach(self) -> "LIFState":
        """Return the same state cut from the graph, for truncated back-propagation."""
        return LIFState(*(None if part is None else part.detach() for part in self))


class LIFOutput(NamedTuple):
    """Result of the neuron op.

    Parameters
    ----------
    spikes : Tensor
        0 and 1, (time, batch, *features).
    potential : Tensor, optional
        Membrane before the same-step reset, same shape, if asked for.
    state : LIFState
        State after the last step.
    current : Tensor, optional
        Synaptic current of every step, if asked for.
    adaptation : Tensor, optional
        Adaptation of every step, if asked for.
    """

    spikes: Tensor
    potential: Tensor | None
    state: LIFState
    current: Tensor | None = None
    adaptation: Tensor | None = None
