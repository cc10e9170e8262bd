"""Liquid networks: closed-form continuous-time (CfC) and liquid time-constant (LTC) networks, from `ncps`."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from spikeneuro._optional import require
from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_dropout, check_signal, check_sizes, check_task
from spikeneuro.models.recurrent_ann import strided_front

MODES = ("default", "pure", "no_gate")


class _LiquidNetwork(nn.Module):
    """Optional strided convolution, one recurrent layer, linear readout; subclasses give the cell."""

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None,
        task: str,
        hidden: int,
        downsample: int | str,
        readout: str,
        drop_prob: float,
        mixed_memory: bool,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, hidden=hidden)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs, self.sfreq = n_chans, n_times, n_outputs, sfreq
        self.task, self.hidden = check_task(task), hidden
        self.readout_mode = check_choice(readout, ("mean", "last"), "readout")
        self.front, self.stride = strided_front(n_chans, hidden, n_times, downsample, task)
        self.width = n_chans if self.stride == 1 else hidden
        cells = require("ncps.torch.lstm", "liquid")
        self.memory: nn.Module | None = cells.LSTMCell(self.width, hidden) if mixed_memory else None
        self.cell = self._cell()
        self.dropout = nn.Dropout(drop_prob)
        self.head = nn.Linear(hidden, n_outputs)

    def _cell(self) -> nn.Module:
        raise NotImplementedError

    def forward(self, x: Tensor, spans: Any = None) -> Tensor:
        """Logits of signals.

        Parameters
        ----------
        x : Tensor
            (batch, channels, times).
        spans : Tensor or array_like, optional
            Time since the sample before, (batch, times) or (times,), positive, 1 being the regular step; for signals
            sampled at irregular times. By default 1 everywhere.

        Returns
        -------
        Tensor
            (batch, n_outputs), or (batch, n_outputs, times) for steps.
        """
        check_signal(x, self.n_chans, None if self.task == "steps" else self.n_times)
        elapsed = None if spans is None else self._checked_spans(spans, x)
        if self.front is not None:
            x = self.front(x)
        states = torch.stack(self._states(x.permute(2, 0, 1), elapsed), dim=1)  # (batch, times, hidden)
        if self.task == "steps":
            return self.head(self.dropout(states)).transpose(1, 2)
        summary = states.mean(dim=1) if self.readout_mode == "mean" else states[:, -1]
        return self.head(self.dropout(summary))

    def _states(self, x: Tensor, spans: Tensor | None) -> list[Tensor]:
        h = x.new_zeros((x.shape[1], self.hidden))
        c = torch.zeros_like(h)
        states = []
        for t, u in enumerate(x.unbind(0)):
            if self.memory is not None:
                h, c = self.memory(u, (h, c))
            _, h = self.cell(u, h, 1.0 if spans is None else spans[:, t, None])
            states.append(h)
        return states

    def _checked_spans(self, spans: Any, x: Tensor) -> Tensor:
        if self.stride > 1:
            raise InputError(f"spans need every sample to be a step, but downsample is {self.stride}; use 1.")
        spans = torch.as_tensor(spans, dtype=x.dtype, device=x.device)
        if spans.shape not in ((x.shape[0], x.shape[2]), (x.shape[2],)):
            raise InputError(
                f"spans must be (batch, times) or (times,) as the signal of shape {tuple(x.shape)}, got "
                f"{tuple(spans.shape)}."
            )
        if not bool(((spans > 0) & (spans < torch.inf)).all()):
            raise InputError("spans must be positive and finite: each is the time since the sample before.")
        return spans.expand(x.shape[0], x.shape[2])


class CfC(_LiquidNetwork):
    r"""Closed-form continuous-time network.

    With z the output of a small network (the backbone) on input and state :math:`[u_t, h_{t-1}]`, each step computes

    .. math::

        f_1 = \tanh(W_1 z + b_1), \quad f_2 = \tanh(W_2 z + b_2), \quad
        g = \sigma((W_a z + b_a) \, \Delta t + W_b z + b_b), \quad
        h_t = f_1 \, (1 - g) + g \, f_2

    an approximation in closed form of a neuron whose time constant depends on its input. ``mode="no_gate"`` takes
    :math:`h_t = f_1 + g f_2`; ``mode="pure"`` :math:`h_t = A - A \, e^{-\Delta t (|w_\tau| + |f|)} \, f` with
    :math:`f = W_1 z + b_1`. With mixed memory an LSTM cell renews the state before each step. The logits are a linear
    function of the state, of its mean over time or of its last value. The cell is that of `ncps`.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples. With ``task="steps"`` other lengths are accepted as well.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Sampling frequency in hertz. Part of the common vocabulary; not used, the regular step is the unit of time.
    task : {"classification", "regression", "steps"}, default "classification"
        With "steps" the network labels every time step: output ``(batch, n_outputs, times)``.
    hidden : int, default 32
        Units of the state.
    mode : {"default", "pure", "no_gate"}
        Form of the update.
    mixed_memory : bool, default False
        Whether an LSTM cell precedes each step, for long dependencies.
    backbone_units : int, default 64
        Width of the backbone.
    backbone_layers : int, default 1
        Layers of the backbone, 0 for none.
    downsample : int or "auto", default "auto"
        Stride of a learned convolution in front, as in `spikeneuro.models.recurrent_ann.LSTM`.
    readout : {"mean", "last"}, default "mean"
        What the readout sees. Not used with ``task="steps"``.
    drop_prob : float, default 0.25
        Dropout before the readout.

    Raises
    ------
    InputError
        If a size is not positive, an option is unknown, an input does not have the shape ``(batch, n_chans, n_times)``,
        or spans do not fit it.
    MissingDependencyError
        If `ncps` is not installed.

    References
    ----------
    Hasani et al. (2022), Nat. Mach. Intell. 4:992-1003, doi:10.1038/s42256-022-00556-7.

    Examples
    --------
    >>> model = CfC(n_chans=4, n_times=100, n_outputs=2)
    >>> model(torch.zeros(3, 4, 100)).shape
    torch.Size([3, 2])
    >>> model(torch.zeros(3, 4, 100), spans=torch.rand(3, 100) + 0.5).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        task: str = "classification",
        hidden: int = 32,
        mode: str = "default",
        mixed_memory: bool = False,
        backbone_units: int = 64,
        backbone_layers: int = 1,
        downsample: int | Literal["auto"] = "auto",
        readout: str = "mean",
        drop_prob: float = 0.25,
    ) -> None:
        self._mode = check_choice(mode, MODES, "mode")
        check_sizes(backbone_units=backbone_units)
        layers = int(check_number(backbone_layers, "backbone_layers", low=0, integer=True))
        self._backbone = {"backbone_units": backbone_units, "backbone_layers": layers}
        super().__init__(n_chans, n_times, n_outputs, sfreq, task, hidden, downsample, readout, drop_prob, mixed_memory)

    def _cell(self) -> nn.Module:
        return require("ncps.torch", "liquid").CfCCell(self.width, self.hidden, mode=self._mode, **self._backbone)


class LTC(_LiquidNetwork):
    r"""Liquid time-constant network.

    Neurons with conductance-based synapses, of the input and among themselves,

    .. math::

        c \, \dot v_i = g_i (\bar v_i - v_i) + \sum_j w_{ij} \, \sigma(\gamma_{ij} (v_j - \mu_{ij})) \, (E_{ij} - v_i)

    so that what a neuron hears sets its time constant. Each sample takes `unfolds` steps of the fused implicit-explicit
    scheme

    .. math::

        v \leftarrow \frac{(n c / \Delta t) \, v + g \bar v + \sum w \, \sigma(\cdot) \, E}
                          {n c / \Delta t + g + \sum w \, \sigma(\cdot) + 10^{-8}}

    with n = `unfolds`, which is stable for any :math:`\Delta t`. Capacitances, conductances and weights are kept
    positive by a softplus. The logits are a linear function of the neurons' potentials, of their mean over time or of
    their last value. The cell is that of `ncps`.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples. With ``task="steps"`` other lengths are accepted as well.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Sampling frequency in hertz. Part of the common vocabulary; not used, the regular step is the unit of time.
    task : {"classification", "regression", "steps"}, default "classification"
        With "steps" the network labels every time step: output ``(batch, n_outputs, times)``.
    hidden : int, default 16
        Neurons. The work of a step grows with their square, and nearly all of it is sigmoids.
    unfolds : int, default 6
        Steps of the solver for each sample.
    mixed_memory : bool, default False
        Whether an LSTM cell precedes each step, for long dependencies.
    downsample : int or "auto", default "auto"
        Stride of a learned convolution in front, as in `spikeneuro.models.recurrent_ann.LSTM`.
    readout : {"mean", "last"}, default "mean"
        What the readout sees. Not used with ``task="steps"``.
    drop_prob : float, default 0.25
        Dropout before the readout.

    Raises
    ------
    InputError
        If a size is not positive, an option is unknown, an input does not have the shape ``(batch, n_chans, n_times)``,
        or spans do not fit it.
    MissingDependencyError
        If `ncps` is not installed.

    References
    ----------
    Hasani et al. (2021), Proc. AAAI 35(9):7657-7666, doi:10.1609/aaai.v35i9.16936.

    Examples
    --------
    >>> model = LTC(n_chans=4, n_times=100, n_outputs=6, task="steps")
    >>> model(torch.zeros(3, 4, 100)).shape
    torch.Size([3, 6, 100])
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        task: str = "classification",
        hidden: int = 16,
        unfolds: int = 6,
        mixed_memory: bool = False,
        downsample: int | Literal["auto"] = "auto",
        readout: str = "mean",
        drop_prob: float = 0.25,
    ) -> None:
        check_sizes(unfolds=unfolds)
        self._unfolds = unfolds
        super().__init__(n_chans, n_times, n_outputs, sfreq, task, hidden, downsample, readout, drop_prob, mixed_memory)

    def _cell(self) -> nn.Module:
        wiring = require("ncps.wirings", "liquid").FullyConnected(self.hidden)
        cell = require("ncps.torch", "liquid").LTCCell(
            wiring,
            self.width,
            output_mapping=None,  # the readout is linear in the potentials already
            ode_unfolds=self._unfolds,
            implicit_param_constraints=True,
        )
        for name in ("sparsity_mask", "sensory_sparsity_mask"):
            mask = getattr(cell, name).detach()
            delattr(cell, name)
            cell.register_buffer(name, mask)  # never trained; ncps keeps it among the parameters
        cell._params = _Live(cell)
        return cell


class _Live:
    """Parameters of a cell by name, as they are now; the dictionary of ncps would keep those from before a move."""

    def __init__(self, cell: nn.Module) -> None:
        self.cell = cell

    def __getitem__(self, name: str) -> Any:
        return getattr(self.cell, name)
