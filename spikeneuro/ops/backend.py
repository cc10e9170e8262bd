"""What every fast backend of the neuron op takes and gives.

A backend is a module with two functions, called from inside the registered ops, where tensors are plain:

- ``forward(call) -> LIFOutput``
- ``backward(gradients, saved, call, wanted) -> list of Tensor``

`wanted` holds one bool for each of input, parameters (in the order of `LIFParameters`) and parts of the state (in the
order of `LIFState`); the list holds as many gradients, of shape (0,) where none is wanted.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from torch import Tensor

from spikeneuro.ops.state import LIFOutput, LIFParameters, LIFSettings, LIFState


class Call(NamedTuple):
    """One run of the neuron op.

    Parameters
    ----------
    x : Tensor, optional
        Input, (time, batch, *features); None in the backward pass of neurons that do not need it.
    parameters : LIFParameters
        Numbers of the recurrence, in the dtype of `x`.
    mask : Tensor, optional
        Rhythm, nonzero where ON; broadcasts to `x`.
    state : LIFState
        State before the first step, None for a part at rest.
    settings : LIFSettings
        Choices of the recurrence.
    delay : int
        Additional steps of the recurrent connections.
    keep_potential : bool
        Whether the membrane of neurons that are OFF is wanted as well; where it is not, it is left undefined.
    keep_current, keep_adaptation : bool
        Whether to return these for every step.
    backend : str
        Name of the backend.
    """

    x: Tensor | None
    parameters: LIFParameters
    mask: Tensor | None
    state: LIFState
    settings: LIFSettings
    delay: int
    keep_potential: bool
    keep_current: bool
    keep_adaptation: bool
    backend: str

    @property
    def adapts(self) -> bool:
        """Whether the threshold adapts."""
        return self.parameters.rho is not None and self.parameters.kappa is not None

    @property
    def recurrent(self) -> bool:
        """Whether the layer is connected with itself."""
        return self.parameters.weight is not None

    @property
    def history_steps(self) -> int:
        """Number of past steps whose spikes belong to the state."""
        return self.delay + 1 if self.recurrent else int(self.adapts)

    @property
    def plain(self) -> bool:
        """Whether the spikes of a step follow from its membrane, threshold and mask, so that none must be saved."""
        late = self.settings.delayed and (self.adapts or self.mask is not None)
        return not (self.recurrent or self.settings.refractory or late)


class Gradients(NamedTuple):
    """Gradients of the op's outputs, None where nothing depends on one."""

    spikes: Tensor | None
    potential: Tensor | None
    v: Tensor | None
    current: Tensor | None
    adaptation: Tensor | None
    history: Tensor | None
    pending: Tensor | None
    currents: Tensor | None
    adaptations: Tensor | None


class Saved(NamedTuple):
    """What the forward pass kept: outputs of the op, None where the backward pass does not need one."""

    potential: Tensor
    spikes: Tensor | None
    currents: Tensor | None
    adaptations: Tensor | None


Forward = Callable[[Call], LIFOutput]
Backward = Callable[[Gradients, Saved, Call, Sequence[bool]], list[Tensor]]

_MODULES = {"numba": "spikeneuro.ops.numba_backend", "triton": "spikeneuro.ops.triton_backend"}


def load(name: str) -> tuple[Forward, Backward]:
    """Functions of a fast backend; imports its compiler only now."""
    module = import_module(_MODULES[name])
    return module.forward, module.backward
