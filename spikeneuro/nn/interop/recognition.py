"""Recognising foreign modules and refusing those that have no equal here."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro.errors import InputError
from spikeneuro.ops.surrogates import Surrogate

#: Where the derivatives of surrogates are compared. No multiple of a simple fraction, so that none of its points lies
#: on the edge of a rectangle or triangle, where conventions differ.
_GRID = (-2.0033, 2.0071, 251)


@dataclass(frozen=True)
class Target:
    """Where and how the converted layers run.

    Parameters
    ----------
    backend : str
        Backend of the neurons.
    dtype : torch.dtype
        Of all numbers.
    device : torch.device
        Of all numbers.
    recast : bool
        Whether copied layers are converted to `dtype`; if not they keep theirs.
    """

    backend: str
    dtype: torch.dtype
    device: torch.device
    recast: bool

    def options(self) -> dict[str, Any]:
        """Return keyword arguments for a LIF layer."""
        return {"backend": self.backend, "dtype": self.dtype, "device": self.device}


def origin(module: nn.Module) -> tuple[str, str]:
    """Package and name of the class of `module`, which tell a framework's own class from a user's subclass."""
    return type(module).__module__.partition(".")[0], type(module).__name__


def refusal(where: str, module: nn.Module, reason: str) -> InputError:
    """Error that says which module is refused, and why."""
    return InputError(f"{where} ({type(module).__name__}) cannot be converted: {reason}.")


def number(value: float | Tensor) -> Tensor:
    """`value` in double precision, which holds every float exactly; a single one without axes."""
    tensor = torch.as_tensor(value, dtype=torch.float64).detach().clone()
    return tensor.reshape(()) if tensor.numel() == 1 else tensor


def joint_shape(numbers: Iterable[Tensor]) -> tuple[int, ...]:
    """Shape to which all `numbers` broadcast; () for single ones, which fit any features."""
    return tuple(torch.broadcast_shapes(*(tensor.shape for tensor in numbers)))


def closure(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function made by another one remembers of it."""
    return dict(inspect.getclosurevars(function).nonlocals)


def verify_surrogate(
    function: Callable[[Tensor], Tensor], surrogate: Surrogate, *, inclusive: bool, where: str, module: nn.Module
) -> Surrogate:
    """Return `surrogate` if the foreign `function` is the step forward and has its derivative backward.

    Names alone are not trusted: the meaning of a parameter has changed between versions of a framework.

    Parameters
    ----------
    function : callable
        Of the membrane minus the threshold.
    surrogate : Surrogate
        What its name and parameters say it is.
    inclusive : bool
        Whether a membrane at the threshold is to fire.
    where : str
        For the message.
    module : nn.Module
        For the message.

    Returns
    -------
    Surrogate
        The same.

    Raises
    ------
    InputError
        If the function differs from the surrogate, forward or backward.
    """
    with torch.enable_grad():
        x = torch.cat([torch.linspace(*_GRID, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])
        x.requires_grad_()
        spikes = function(x)
        gradient = torch.autograd.grad(spikes.sum(), x)[0] if spikes.requires_grad else torch.zeros_like(x)
    if not torch.equal(spikes.detach().to(x.dtype), (x >= 0 if inclusive else x > 0).to(x.dtype)):
        relation = ">=" if inclusive else ">"
        raise refusal(where, module, f"its surrogate function does not give 1 where membrane {relation} threshold")
    if not torch.allclose(gradient, surrogate.gradient(x.detach()), rtol=1e-6, atol=1e-9):
        raise refusal(where, module, f"its surrogate gradient is not the {surrogate!r} that its name and options say")
    return surrogate
