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

    The baseline depends on its own past, so time is a loop; each turn handles all trials and channels at once.

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
        baseline, ups, downs = reference, [], []
        for sample in x.unbind(0):
            for _ in range(self.steps_per_sample):
                higher, lower = baseline + threshold, baseline - threshold
                up, down = sample >= higher, sample <= lower
                baseline = torch.where(up, higher, torch.where(down, lower, baseline))
                ups.append(up)
                downs.append(down)
        on_off = torch.stack([torch.stack(ups), torch.stack(downs)], dim=-1).to(x.dtype)
        return on_off.reshape(len(x), self.steps_per_sample, *on_off.shape[1:]), baseline
