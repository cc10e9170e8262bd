"""The fused CPU backend: from tensors to the compiled kernels and back.

Importing this module imports numba; `spikeneuro.ops` does so only when a kernel is used.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeneuro.errors import InputError
from spikeneuro.ops import numba_kernels, numba_recurrent
from spikeneuro.ops.state import RESETS, LIFOutput, LIFParameters, LIFSettings, LIFState
from spikeneuro.ops.threads import run_blocks

_MODES = {"none": 0, "subtract": 1, "zero": 2}
assert set(_MODES) == set(RESETS)
_WIDTH = 1024  # columns of a block: its working arrays fill about half of a 48 KiB first-level cache
_NUMBERS = ("beta", "gain", "threshold", "v_rest", "v_reset", "alpha")


class Gradients(NamedTuple):
    """Gradients of the op's outputs; None where nothing depends on one."""

    spikes: Tensor | None
    potential: Tensor | None
    v: Tensor | None
    current: Tensor | None
    history: Tensor | None
    pending: Tensor | None
    currents: Tensor | None


class Saved(NamedTuple):
    """What the forward pass kept."""

    potential: Tensor
    spikes: Tensor | None
    currents: Tensor | None
    x: Tensor | None


class _Numbers(NamedTuple):
    """Parameters as the kernels take them."""

    rows: NDArray[Any]  # (6, period)
    cut: NDArray[Any]  # (period,): the value that the membrane must exceed
    period: int


def forward(
    x: Tensor, parameters: LIFParameters, settings: LIFSettings, state: LIFState, *, keep_current: bool
) -> LIFOutput:
    """Run the fused forward kernel.

    Parameters
    ----------
    x : Tensor
        Input, (time, batch, *features), float32 or float64 on the CPU.
    parameters : LIFParameters
        Numbers of the recurrence, without adaptation.
    settings : LIFSettings
        Choices of the recurrence, without refractory period.
    state : LIFState
        State before the first step; None parts are at rest.
    keep_current : bool
        Whether to return the current of every step.

    Returns
    -------
    LIFOutput
        As the reference gives it.
    """
    steps, one = x.shape[0], x.shape[1:]
    recurrent = parameters.weight is not None
    numbers = _numbers(parameters, settings, one[1:], x, recurrent)
    kind = numbers.rows.dtype
    s, u = (np.empty(tuple(x.shape), kind) for _ in range(2))
    currents = np.empty(tuple(x.shape), kind) if keep_current else np.empty((1, *one), kind)
    v = _state(state.v, one, kind, parameters.v_rest)
    i, r = _state(state.current, one, kind), _state(state.pending, one, kind)
    choice = (_MODES[settings.reset], settings.delayed, parameters.alpha is not None, keep_current)
    if recurrent:
        assert parameters.weight is not None
        history = _state(None if state.history is None else state.history[-1], one, kind)
        bias = _state(parameters.bias, one[1:], kind)
        outgoing = _array(parameters.weight.t())
        run_blocks(
            numba_recurrent.forward, one[0], *choice, _array(x), outgoing, bias, numbers.rows, numbers.cut,
            v, i, r, history, s, u, currents,
        )  # fmt: skip
    else:
        n_blocks, width = _blocks(one.numel(), numbers.period)
        run_blocks(
            numba_kernels.forward, n_blocks, numbers.period, width, *choice, _array(x).reshape(steps, -1),
            numbers.rows, numbers.cut, v.reshape(-1), i.reshape(-1), r.reshape(-1),
            s.reshape(steps, -1), u.reshape(steps, -1), currents.reshape(len(currents), -1),
        )  # fmt: skip
    spikes = torch.from_numpy(s)
    return LIFOutput(
        spikes,
        torch.from_numpy(u),
        LIFState(
            v=torch.from_numpy(v),
            current=torch.from_numpy(i) if parameters.alpha is not None else None,
            history=spikes[-1:].clone() if recurrent else None,
            pending=torch.from_numpy(r) if settings.delayed else None,
        ),
        torch.from_numpy(currents) if keep_current else None,
    )


def backward(
    gradients: Gradients,
    saved: Saved,
    parameters: LIFParameters,
    settings: LIFSettings,
    state: LIFState,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """Run the fused backward kernel.

    Parameters
    ----------
    gradients : Gradients
        Gradients of the outputs.
    saved : Saved
        What the forward pass kept.
    parameters : LIFParameters
        Numbers of the forward pass.
    settings : LIFSettings
        Its choices.
    state : LIFState
        Its initial state.
    wanted : sequence of bool
        Which gradients are needed: input, ten parameters, six parts of the state, in the order of their classes.

    Returns
    -------
    list of Tensor
        One gradient for each of `wanted`, of shape (0,) where it is not needed.
    """
    like = saved.potential
    steps, one, recurrent = like.shape[0], like.shape[1:], parameters.weight is not None
    numbers = _numbers(parameters, settings, one[1:], like, recurrent)
    kind = numbers.rows.dtype
    learns = any(wanted[1:7])
    # Without learnable numbers the kernel never reads the current; with them, and without a synapse, it is the input.
    kept = saved.currents if saved.currents is not None else saved.x
    needs_current = wanted[6] or (wanted[2] and (recurrent or parameters.alpha is not None))
    if needs_current and saved.currents is None:
        raise InputError("the gradients of alpha and gain need keep_current=True; spikeneuro.ops.lif sets it.")
    cur = _array(kept) if learns and kept is not None else np.zeros((1, *one), kind)
    gv, gi = _state(gradients.v, one, kind), _state(gradients.current, one, kind)
    gr = _state(None if settings.detach_reset else gradients.pending, one, kind)
    gx = np.empty(tuple(like.shape), kind)
    v0 = _state(state.v, one, kind, parameters.v_rest)
    i0, r0 = _state(state.current, one, kind), _state(state.pending, one, kind)
    choice = (
        _MODES[settings.reset], settings.delayed, settings.detach_reset, learns,
        settings.surrogate.code, np.asarray(settings.surrogate.parameters, kind),
    )  # fmt: skip
    flows = [_flow(g, one, kind) for g in (gradients.spikes, gradients.potential, gradients.currents)]
    gh = _state(None if gradients.history is None else gradients.history[-1], one, kind)
    if recurrent:
        assert parameters.weight is not None
        g_numbers = np.zeros((one[0], 6, numbers.period), kind)
        run_blocks(
            numba_recurrent.backward, one[0], *choice, _array(parameters.weight), numbers.rows, numbers.cut,
            _array(like), cur, v0, i0, r0, *flows, gv, gi, gr, gh, gx, g_numbers,
        )  # fmt: skip
    else:
        n_blocks, width = _blocks(one.numel(), numbers.period)
        g_numbers = np.zeros((-(-one.numel() // numbers.period) if learns else 1, 6, numbers.period), kind)
        flat = [a.reshape(len(a), -1) for a in (_array(like), cur)]
        run_blocks(
            numba_kernels.backward, n_blocks, numbers.period, width, *choice, numbers.rows, numbers.cut, *flat,
            v0.reshape(-1), i0.reshape(-1), r0.reshape(-1), *(f.reshape(len(f), -1) for f in flows),
            gv.reshape(-1), gi.reshape(-1), gr.reshape(-1), gx.reshape(steps, -1), g_numbers,
        )  # fmt: skip
    g_input = torch.from_numpy(gx)
    g_weight, g_bias, g_history = _recurrent_gradients(g_input, saved, parameters, state, gh, wanted)
    found: list[Tensor | None] = [
        g_input,
        *_sum_numbers(g_numbers, parameters, one[1:], wanted[1:7], state.v is None, gv),
        None, None, g_weight, g_bias,
        torch.from_numpy(gv), torch.from_numpy(gi), None, g_history, torch.from_numpy(gr), None,
    ]  # fmt: skip
    return [grad if want and grad is not None else like.new_empty(0) for grad, want in zip(found, wanted, strict=True)]


def _sum_numbers(
    g_numbers: NDArray[Any],
    parameters: LIFParameters,
    features: torch.Size,
    wanted: Sequence[bool],
    starts_at_rest: bool,
    gv: NDArray[Any],
) -> list[Tensor | None]:
    """Gradients of the six numbers, summed over the batch and over what they were broadcast to."""
    if not any(wanted):
        return [None] * len(wanted)
    total = torch.from_numpy(g_numbers).sum(0).reshape(6, -1, features.numel()).sum(1).reshape(6, *features)
    if starts_at_rest:
        total[3] += torch.from_numpy(gv).sum(0)
    given = [getattr(parameters, name) for name in _NUMBERS]
    return [
        total[k].sum_to_size(tensor.shape).clone() if want and tensor is not None else None
        for k, (tensor, want) in enumerate(zip(given, wanted, strict=True))
    ]


def _recurrent_gradients(
    g_input: Tensor,
    saved: Saved,
    parameters: LIFParameters,
    state: LIFState,
    gh: NDArray[Any],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of recurrent weights, bias and initial spikes: that of the input is that of the current's drive."""
    if parameters.weight is None:
        return None, None, None
    n, weight, bias = g_input.shape[-1], None, None
    if wanted[9]:
        assert saved.spikes is not None
        weight = g_input[1:].reshape(-1, n).t() @ saved.spikes[:-1].reshape(-1, n)
        if state.history is not None:
            weight += g_input[0].t() @ state.history[-1]
    if wanted[10] and parameters.bias is not None:
        bias = g_input.sum((0, 1)).sum_to_size(parameters.bias.shape)
    return weight, bias, torch.from_numpy(gh)[None]


def _numbers(
    parameters: LIFParameters, settings: LIFSettings, features: torch.Size, like: Tensor, recurrent: bool
) -> _Numbers:
    """Parameters spread over the features, and repeated where these are few, so that blocks are long enough."""
    n = max(features.numel(), 1)
    repeats = 1 if recurrent else max(1, 256 // n)
    tensors = [getattr(parameters, name) for name in _NUMBERS]
    rows = np.zeros((len(tensors), n * repeats), like.detach().new_empty(0).numpy().dtype)
    for row, tensor in zip(rows, tensors, strict=True):
        if tensor is not None:
            row.reshape(repeats, n)[:] = np.broadcast_to(tensor.detach().numpy(), tuple(features)).reshape(-1)
    threshold = rows[_NUMBERS.index("threshold")]
    # u >= threshold is u > the number just below it, so that one kernel serves both comparisons.
    cut = np.nextafter(threshold, np.array(-np.inf, rows.dtype)) if settings.comparison == ">=" else threshold.copy()
    return _Numbers(rows, cut, n * repeats)


def _blocks(columns: int, period: int) -> tuple[int, int]:
    """Number of blocks and their width."""
    width = min(_WIDTH, period)
    return -(-columns // period) * -(-period // width), width


def _array(tensor: Tensor) -> NDArray[Any]:
    """Contiguous array on the memory of `tensor`, copied only if it is not contiguous."""
    return tensor.detach().contiguous().numpy()


def _state(tensor: Tensor | None, shape: torch.Size, kind: Any, fill: Tensor | None = None) -> NDArray[Any]:
    """Own copy of a part of the state, which the kernels overwrite; `fill` (or zero) where it is None."""
    array = np.zeros(tuple(shape), kind)
    source = fill if tensor is None else tensor
    if source is not None:
        array[...] = source.detach().numpy()
    return array


def _flow(gradient: Tensor | None, shape: torch.Size, kind: Any) -> NDArray[Any]:
    """Gradient over time as an array of all steps, or of one row where it is constant in time or absent."""
    if gradient is None:
        return np.zeros((1, *shape), kind)
    if gradient.shape[0] > 1 and gradient.stride(0) == 0:
        gradient = gradient[:1]
    return _array(gradient)
