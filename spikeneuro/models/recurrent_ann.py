"""LSTM and GRU networks for signals."""

from typing import Literal

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_dropout, check_signal, check_sizes, check_task

#: With ``downsample="auto"`` a sequence longer than this is shortened, so that the recurrence is trainable.
AUTO_STEPS = 128


def strided_front(
    n_chans: int, hidden: int, n_times: int, downsample: int | str, task: str
) -> tuple[nn.Module | None, int]:
    """Convolution in front of a recurrent network that shortens the signal, None for stride 1, and its stride."""
    stride = _stride(downsample, n_times, task)
    if stride == 1:
        return None, 1
    convolution = nn.Conv1d(n_chans, hidden, 2 * stride, stride=stride, padding=stride // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(hidden), nn.ReLU()), stride


def _stride(downsample: int | str, n_times: int, task: str) -> int:
    if downsample == "auto":
        return 1 if task == "steps" else max(1, n_times // AUTO_STEPS)
    stride = int(check_number(downsample, "downsample", low=1, integer=True))
    if stride > 1 and task == "steps":
        raise InputError(f"downsample={stride} would drop time steps that task='steps' must label; use 1.")
    if 2 * stride > n_times:
        raise InputError(f"downsample={stride} is too much for n_times={n_times}; at most half of it.")
    return stride


class _RecurrentNetwork(nn.Module):
    """Optional strided convolution, recurrent layers, linear readout; subclasses name the cell."""

    def __init__(
        self,
        cell: type[nn.LSTM] | type[nn.GRU],
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None,
        task: str,
        hidden: int,
        n_layers: int,
        downsample: int | Literal["auto"],
        readout: str,
        drop_prob: float,
    ) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs, hidden=hidden, n_layers=n_layers)
        check_dropout(drop_prob=drop_prob)
        self.n_chans, self.n_times, self.n_outputs, self.sfreq = n_chans, n_times, n_outputs, sfreq
        self.task = check_task(task)
        self.readout_mode = check_choice(readout, ("mean", "last"), "readout")
        self.front, stride = strided_front(n_chans, hidden, n_times, downsample, task)
        width = n_chans if stride == 1 else hidden
        between = drop_prob if n_layers > 1 else 0.0
        self.recurrent = cell(width, hidden, num_layers=n_layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(drop_prob)
        self.readout = nn.Linear(hidden, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs), or (batch, n_outputs, times) for steps."""
        check_signal(x, self.n_chans, None if self.task == "steps" else self.n_times)
        if self.front is not None:
            x = self.front(x)
        hidden, _ = self.recurrent(x.transpose(1, 2).contiguous())  # (batch, times, hidden)
        if self.task == "steps":
            return self.readout(self.dropout(hidden)).transpose(1, 2)
        summary = hidden.mean(dim=1) if self.readout_mode == "mean" else hidden[:, -1]
        return self.readout(self.dropout(summary))


class LSTM(_RecurrentNetwork):
    """Long short-term memory network.

    Per layer, with ``*`` the element-wise product::

        i, f, o = sigmoid(W_x x[t] + W_h h[t-1] + b)       one set of weights each
        g       = tanh(W_x x[t] + W_h h[t-1] + b)
        c[t]    = f * c[t-1] + i * g
        h[t]    = o * tanh(c[t])

    The logits are a linear function of the hidden state, of its mean over time or of its last value.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples. With ``task="steps"`` other lengths are accepted as well.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Sampling frequency in hertz. Part of the common vocabulary; this model does not use it.
    task : {"classification", "regression", "steps"}, default "classification"
        With "steps" the network labels every time step: output ``(batch, n_outputs, times)``.
    hidden : int, default 64
        Units of each layer.
    n_layers : int, default 1
        Number of recurrent layers.
    downsample : int or "auto", default "auto"
        Stride of a learned convolution (kernel of two strides, batch normalisation, ReLU) in front, which shortens the
        sequence. "auto" brings long signals down to between 128 and 255 steps; never with ``task="steps"``.
    readout : {"mean", "last"}, default "mean"
        What the readout sees: the mean hidden state over time, or the last one. Not used with ``task="steps"``.
    drop_prob : float, default 0.25
        Dropout between layers and before the readout.

    Raises
    ------
    InputError
        If a size is not positive, an option is unknown, or an input does not have the shape
        ``(batch, n_chans, n_times)``.

    References
    ----------
    Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735.

    Examples
    --------
    >>> import torch
    >>> LSTM(n_chans=4, n_times=100, n_outputs=6, task="steps")(torch.zeros(3, 4, 100)).shape
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
        hidden: int = 64,
        n_layers: int = 1,
        downsample: int | Literal["auto"] = "auto",
        readout: str = "mean",
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__(
            nn.LSTM, n_chans, n_times, n_outputs, sfreq, task, hidden, n_layers, downsample, readout, drop_prob
        )
        for layer in range(n_layers):
            # forget gates start open, so that gradients reach far back from the first step of training
            bias = getattr(self.recurrent, f"bias_ih_l{layer}")
            with torch.no_grad():
                bias[hidden : 2 * hidden].fill_(1.0)


class GRU(_RecurrentNetwork):
    """Gated recurrent unit network.

    Per layer, with ``*`` the element-wise product::

        r, z = sigmoid(W_x x[t] + W_h h[t-1] + b)          one set of weights each
        n    = tanh(W_x x[t] + b + r * (W_h h[t-1] + b'))
        h[t] = (1 - z) * n + z * h[t-1]

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Number of samples. With ``task="steps"`` other lengths are accepted as well.
    n_outputs : int
        Number of classes, or of real outputs.
    sfreq : float, optional
        Sampling frequency in hertz. Part of the common vocabulary; this model does not use it.
    task : {"classification", "regression", "steps"}, default "classification"
        With "steps" the network labels every time step: output ``(batch, n_outputs, times)``.
    hidden : int, default 64
        Units of each layer.
    n_layers : int, default 1
        Number of recurrent layers.
    downsample : int or "auto", default "auto"
        Stride of a learned convolution in front, as in `LSTM`.
    readout : {"mean", "last"}, default "mean"
        What the readout sees: the mean hidden state over time, or the last one. Not used with ``task="steps"``.
    drop_prob : float, default 0.25
        Dropout between layers and before the readout.

    Raises
    ------
    InputError
        If a size is not positive, an option is unknown, or an input does not have the shape
        ``(batch, n_chans, n_times)``.

    References
    ----------
    Cho et al. (2014), doi:10.3115/v1/D14-1179.

    Examples
    --------
    >>> import torch
    >>> GRU(n_chans=4, n_times=100, n_outputs=2)(torch.zeros(3, 4, 100)).shape
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
        hidden: int = 64,
        n_layers: int = 1,
        downsample: int | Literal["auto"] = "auto",
        readout: str = "mean",
        drop_prob: float = 0.25,
    ) -> None:
        super().__init__(
            nn.GRU, n_chans, n_times, n_outputs, sfreq, task, hidden, n_layers, downsample, readout, drop_prob
        )
