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
    strict : bool, default=False
        Whether a change of exactly the threshold stays silent, as in NeuCube. It matters for integers and for constant
        slopes, of which the fitted threshold is the slope itself.

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

    def __init__(
        self,
        threshold: float | None = None,
        *,
        factor: float = 0.5,
        off: bool = True,
        padding: bool = True,
        steps_per_sample: int = 1,
        strict: bool = False,
    ) -> None:
        super().__init__(threshold, factor=factor, off=off, padding=padding, steps_per_sample=steps_per_sample)
        self.strict = strict

    def _changes(self, x: Tensor, threshold: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        signal = torch.cat([reference.unsqueeze(0), x])
        if self.strict:
            signed = signal.diff(dim=0)
            on_off = torch.stack([signed > threshold, signed < -threshold], dim=-1)
        else:
            signed = spikegen.delta(signal, threshold=threshold, padding=True, off_spike=True)[1:]
            on_off = torch.stack([signed > 0, signed < 0], dim=-1)
        return self._in_first_step(on_off.to(x.dtype)), x[-1].clone()

    def extra_repr(self) -> str:
        """Describe the code in ``print(encoder)``."""
        return f"{super().extra_repr()}{', strict' if self.strict else ''}"
