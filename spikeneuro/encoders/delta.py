"""Delta code: spikes where a signal jumps from one sample to the next."""

import torch
from snntorch import spikegen
from torch import Tensor

from spikeneuro.encoders.changes import ChangeEncoder


class DeltaEncoder(ChangeEncoder):
    """Threshold-based delta code, the simplest address-event representation (also called TBR).

    With ``d[t] = x[t] - x[t-1]`` the on feature of a channel spikes where ``d >= threshold``, the off feature where
    ``d <= -threshold`` (snnTorch's ``spikegen.delta``, which does the work). With K > 1 steps a sample, the spike
    comes in the first of them. All change below the threshold is lost, so a slow ramp emits nothing and the decoded
    signal may drift without bound; `StepForwardEncoder` does not. Output shape: ``(times K, batch, 2 channels)``,
    feature ``2 c`` on and ``2 c + 1`` off of channel c. Images, which do not change, are refused.

    Parameters
    ----------
    threshold : float, optional
        In the units of the input, for all channels. By default `fit` learns one for each channel on training data:
        the mean over trials of ``mean|d| + factor * std|d|``.
    factor : float, default=0.5
        Of that rule.
    off : bool, default=True
        Whether to emit off spikes, too.
    padding : bool, default=True
        Compare the first sample with itself (True: it never spikes) or with zero (False).
    steps_per_sample : int, default=1
        K.

    References
    ----------
    Petro, Kasabov and Kiss (2020), doi:10.1109/TNNLS.2019.2906158 (threshold-based representation).

    Examples
    --------
    >>> import torch
    >>> from spikeneuro.encoders import DeltaEncoder
    >>> spikes = DeltaEncoder(threshold=1.0)(torch.tensor([[[1.0, 2.0, 0.0, 0.5]]]))
    >>> spikes[:, 0].tolist()  # on, off
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """

    def _changes(self, x: Tensor, threshold: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        signal = torch.cat([reference.unsqueeze(0), x])
        signed = spikegen.delta(signal, threshold=threshold, padding=True, off_spike=True)[1:]
        on_off = torch.stack([signed > 0, signed < 0], dim=-1).to(x.dtype).unsqueeze(1)
        if self.steps_per_sample > 1:
            silent = on_off.new_zeros(len(x), self.steps_per_sample - 1, *on_off.shape[2:])
            on_off = torch.cat([on_off, silent], dim=1)
        return on_off, x[-1].clone()
