"""What the networks taken from braindecode share: sizes in samples scaled by the rate, checks, the import."""

import warnings
from typing import Any

from torch import Tensor, nn

from spikeneuro._optional import require
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import check_sfreq, check_signal, check_sizes

WHY_SFREQ = "kernel and pooling lengths are kept in seconds"


def scaled(length: int, reference: float, sfreq: float, least: int = 1) -> int:
    """Samples at `sfreq` that last as long as `length` samples at `reference` hertz."""
    return max(least, round(length * sfreq / reference))


class BraindecodeNetwork(nn.Module):
    """Holds one braindecode network; checks input shapes on the way in."""

    def __init__(self, n_chans: int, n_times: int, n_outputs: int, sfreq: float | None) -> None:
        super().__init__()
        check_sizes(n_chans=n_chans, n_times=n_times, n_outputs=n_outputs)
        self.n_chans, self.n_times, self.n_outputs = n_chans, n_times, n_outputs
        self.sfreq = check_sfreq(sfreq, WHY_SFREQ)
        self.network: nn.Module = nn.Identity()

    def _require_times(self, minimum: int) -> None:
        if self.n_times < minimum:
            raise InputError(
                f"{type(self).__name__} needs n_times of at least {minimum} at {self.sfreq:g} Hz with these "
                f"hyperparameters, got {self.n_times}; use longer windows, or shorter kernels and pooling."
            )

    def _require_channels(self) -> None:
        if self.n_chans < 2:
            raise InputError(
                f"{type(self).__name__} filters over channels and needs at least 2, got n_chans={self.n_chans}; "
                "for one channel use eegnet or cnn1d."
            )

    def _build(self, name: str, **hyperparameters: Any) -> nn.Module:
        with warnings.catch_warnings():
            # montage deprecations raised by mne while braindecode is imported; nothing here uses montages
            warnings.simplefilter("ignore", FutureWarning)
            models = require("braindecode.models", "eeg")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This model has only been tested on no more")
            return getattr(models, name)(
                n_chans=self.n_chans,
                n_times=self.n_times,
                n_outputs=self.n_outputs,
                sfreq=self.sfreq,
                **hyperparameters,
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs)."""
        check_signal(x, self.n_chans, self.n_times)
        return self.network(x)
