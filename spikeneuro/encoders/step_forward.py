"""Step-forward code: a baseline follows the signal in steps of one threshold, each step a spike."""

import torch
from torch import Tensor

from spikeneuro.encoders.changes import ChangeEncoder


class StepForwardEncoder(ChangeEncoder):
    """Step-forward code: spikes are the steps by which a baseline follows the signal.

    In each of the K steps of a sample,

    - if ``x >= B + threshold``: on spike, ``B = B + threshold``;
    - if ``x <= B - threshold``: off spike, ``B = B - threshold``.

    Unlike in `DeltaEncoder` nothing is lost: what one step cannot follow is left for the next. Where successive
    samples differ by at most ``K * threshold``, the baseline stays within one threshold of the signal, and so does the
    decoded signal, which is the baseline. Output shape: ``(times K, batch, 2 channels)``, feature ``2 c`` on and
    ``2 c + 1`` off of channel c. Images, which do not change, are refused.

    The loop over time is compiled for CPU tensors on first use; elsewhere it runs step by step in torch.

    Parameters
    ----------
    threshold : float, optional
        In the units of the input, for all channels. By default `fit` learns one for each channel on training data:
        the mean over trials of ``mean|d| + factor * std|d|``, d the differences of successive samples.
    factor : float, default=0.5
        Of that rule.
    off : bool, default=True
        Whether to emit off spikes, too; the baseline moves both ways in any case.
    padding : bool, default=True
        The baseline starts at the first sample (True) or at zero (False).
    steps_per_sample : int, default=1
        K: steps the baseline may take for each sample.

    References
    ----------
    Kasabov et al. (2016), doi:10.1016/j.neunet.2015.09.011.
    Petro, Kasabov and Kiss (2020), doi:10.1109/TNNLS.2019.2906158.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import StepForwardEncoder
    >>> encoder = StepForwardEncoder(threshold=1.0)
    >>> spikes = encoder(torch.tensor([[[0.0, 0.6, 1.2, 0.1]]]))
    >>> spikes[:, 0].tolist()  # on, off
    [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
    >>> encoder.decode(spikes).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """

    def _changes(self, x: Tensor, threshold: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        compiled = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
        if compiled and not torch.compiler.is_compiling():
            return _follow_compiled(x, threshold, reference, self.steps_per_sample)
        return follow(x, threshold, reference, self.steps_per_sample)


def follow(x: Tensor, threshold: Tensor, baseline: Tensor, steps_per_sample: int) -> tuple[Tensor, Tensor]:
    """Step-forward rule in torch, for any device and dtype.

    Parameters
    ----------
    x : Tensor of shape (times, batch, channels)
        The signal, time first.
    threshold : Tensor
        Broadcasts over ``(batch, channels)``.
    baseline : Tensor of shape (batch, channels)
        Where the baseline stands before the first sample.
    steps_per_sample : int
        K.

    Returns
    -------
    on_off : Tensor of shape (times, K, batch, channels, 2)
        Zeros and ones.
    baseline : Tensor of shape (batch, channels)
        Where it stands after the last step.
    """
    on_off = x.new_empty(x.shape[0], steps_per_sample, *x.shape[1:], 2)
    for t in range(x.shape[0]):
        for k in range(steps_per_sample):
            up = x[t] >= baseline + threshold
            down = x[t] <= baseline - threshold
            on_off[t, k, ..., 0] = up
            on_off[t, k, ..., 1] = down
            baseline = torch.where(up, baseline + threshold, torch.where(down, baseline - threshold, baseline))
    return on_off, baseline


def _follow_compiled(x: Tensor, threshold: Tensor, baseline: Tensor, steps_per_sample: int) -> tuple[Tensor, Tensor]:
    from spikeneuro.encoders._kernels import follow_baseline

    signal = x.flatten(1).contiguous()
    thresholds = threshold.expand_as(x[0]).flatten().contiguous()
    end = baseline.flatten().clone()
    on_off = x.new_empty(x.shape[0] * steps_per_sample, signal.shape[1], 2)
    follow_baseline(signal.numpy(), thresholds.numpy(), end.numpy(), on_off.numpy(), steps_per_sample)
    return on_off.view(x.shape[0], steps_per_sample, *x.shape[1:], 2), end.view_as(x[0])
