"""Signal conditioning through MNE, one recording at a time; nothing is fitted across recordings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeneuro._validation import check_number
from spikeneuro.data.recordings import Recordings
from spikeneuro.errors import InputError

Array = NDArray[Any]


@dataclass(frozen=True)
class Preprocessing:
    """Steps before epoching, in this order: notch, band-pass, reference, ICA, resampling.

    Filters are MNE's zero-phase FIR; they use samples from before and after an event, as is usual offline.
    ICA (extended infomax) is fitted on the single recording it cleans, without labels, so nothing passes from one
    recording to another.

    Parameters
    ----------
    low, high : float, optional
        Edges of the pass band in hertz; either may be left out (high-pass, low-pass).
    notch : sequence of float
        Frequencies to remove, in hertz (power line and harmonics).
    reference : {"average"} or sequence of str, optional
        New reference: the average of the EEG channels, or the mean of those named.
    ica : int, optional
        Number of ICA components; those that correlate with `eog` are removed. Needs a band starting at about 1 Hz.
    eog : sequence of str
        Channels that show eye movements (frontal EEG channels do), for `ica`.
    eog_correlation : float
        Absolute correlation with one of the `eog` channels (1 to 10 Hz) from which on a component is removed.
    resample : float, optional
        New sampling rate in hertz.
    random_state : int
        Seed of ICA's start.

    References
    ----------
    Gramfort et al., "MEG and EEG data analysis with MNE-Python", Frontiers in Neuroscience 7:267, 2013.
    Lee, Girolami, Sejnowski, "Independent component analysis using an extended infomax algorithm for mixed subgaussian
    and supergaussian sources", Neural Computation 11(2), 1999.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(512) / 256
    >>> X = (np.sin(2 * np.pi * 10 * t) + np.sin(2 * np.pi * 60 * t))[None, None]
    >>> clean, sfreq = Preprocessing(high=30.0, resample=128.0).apply_array(X, 256.0)
    >>> clean.shape, sfreq
    ((1, 1, 256), 128.0)
    """

    low: float | None = None
    high: float | None = None
    notch: Sequence[float] = ()
    reference: str | Sequence[str] | None = None
    ica: int | None = None
    eog: Sequence[str] = ()
    eog_correlation: float = 0.7
    resample: float | None = None
    random_state: int = 0

    def __post_init__(self) -> None:
        for name in ("low", "high", "resample"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, low=0, closed="neither")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise InputError(f"the band from low={self.low:g} to high={self.high:g} Hz is empty.")
        if isinstance(self.reference, str) and self.reference != "average":
            raise InputError(f"reference={self.reference!r} is unknown; use 'average' or a list of channel names.")
        check_number(self.eog_correlation, "eog_correlation", low=0, high=1)
        if self.ica is not None and not self.eog:
            raise InputError("ica needs eog: the channels that show eye movements, e.g. eog=['Fp1', 'Fp2'].")

    def apply(self, raw: Any, events: Array | None = None) -> tuple[Any, Array | None]:
        """Condition a copy of an MNE Raw; `events` (sample numbers) follow a change of rate.

        Parameters
        ----------
        raw : mne.io.BaseRaw
            One recording; left as it is.
        events : ndarray of int, shape (n, 3), optional
            MNE events of this recording.

        Returns
        -------
        raw : mne.io.BaseRaw
            The conditioned copy.
        events : ndarray or None
            The events at the new rate.
        """
        self._check_rate(raw.info["sfreq"])
        raw = raw.copy().load_data(verbose="ERROR")
        if self.notch:
            raw.notch_filter(list(self.notch), verbose="ERROR")
        if self.low is not None or self.high is not None:
            raw.filter(self.low, self.high, verbose="ERROR")
        if self.reference is not None:
            self._check_known(self.reference, raw.ch_names, "reference")
            raw.set_eeg_reference(self.reference, verbose="ERROR")
        if self.ica is not None:
            raw = self._without_eye_movements(raw)
        if self.resample is not None:
            if events is None:
                raw.resample(self.resample, verbose="ERROR")
            else:
                raw, events = raw.resample(self.resample, events=events, verbose="ERROR")
        return raw, events

    def _without_eye_movements(self, raw: Any) -> Any:
        from mne.preprocessing import ICA

        self._check_known(self.eog, raw.ch_names, "eog")
        settings = {"method": "infomax", "fit_params": {"extended": True}, "random_state": self.random_state}
        ica = ICA(self.ica, **settings, verbose="ERROR")
        ica.fit(raw, verbose="ERROR")
        # MNE's default, a z-score over the components, finds nothing where there are few of them.
        found, _ = ica.find_bads_eog(
            raw, ch_name=list(self.eog), measure="correlation", threshold=self.eog_correlation, verbose="ERROR"
        )
        ica.exclude = found
        return ica.apply(raw, verbose="ERROR")

    @staticmethod
    def _check_known(wanted: str | Sequence[str], names: Sequence[str], parameter: str) -> None:
        missing = [] if isinstance(wanted, str) else [name for name in wanted if name not in names]
        if missing:
            raise InputError(f"{parameter}: no channel {missing[0]!r} in this recording ({', '.join(names[:8])}, ...).")

    def _check_rate(self, sfreq: float) -> None:
        for name, value in (("low", self.low), ("high", self.high), *(("notch", f) for f in self.notch)):
            if value is not None and value >= sfreq / 2:
                raise InputError(f"{name}={value:g} Hz is not below half the sampling rate ({sfreq:g} Hz).")

    def apply_array(self, X: Array, sfreq: float, names: Sequence[str] = ()) -> tuple[Array, float]:
        """Condition signals sample by sample.

        Short samples are filtered with their edges mirrored; filter before cutting epochs where that is possible.

        Parameters
        ----------
        X : ndarray, shape (..., channels, times)
            Signals.
        sfreq : float
            Their sampling rate in hertz.
        names : sequence of str
            Channel names; needed for a reference given by names.

        Returns
        -------
        X : ndarray, shape (..., channels, times)
            The conditioned signals.
        sfreq : float
            Their new sampling rate in hertz.
        """
        from mne.filter import filter_data, notch_filter, resample

        if self.ica is not None:
            raise InputError("ica needs a continuous recording; apply it to the MNE Raw before cutting epochs.")
        self._check_rate(sfreq)
        X = np.asarray(X, dtype=float)
        if self.notch:
            X = notch_filter(X, sfreq, list(self.notch), verbose="ERROR")
        if self.low is not None or self.high is not None:
            X = filter_data(X, sfreq, self.low, self.high, verbose="ERROR")
        if self.reference is not None:
            self._check_known(self.reference, list(names), "reference")
            chosen = slice(None) if self.reference == "average" else [list(names).index(n) for n in self.reference]
            X = X - X[..., chosen, :].mean(axis=-2, keepdims=True)
        if self.resample is not None and self.resample != sfreq:
            X = resample(X, up=self.resample, down=sfreq, axis=-1, verbose="ERROR")
            sfreq = self.resample
        return X, float(sfreq)

    def apply_recordings(self, recordings: Recordings) -> Recordings:
        """Condition every sample of recordings.

        Parameters
        ----------
        recordings : Recordings
            Signals ``(n, channels, times)`` or ragged, of one sampling rate.

        Returns
        -------
        Recordings
            The same samples, conditioned.
        """
        if recordings.sfreq is None or isinstance(recordings.X, dict):
            raise InputError(f"preprocessing needs signals of one sampling rate, got {recordings!r}.")
        if recordings.task == "steps" and self.resample not in (None, recordings.sfreq):
            raise InputError("resampling would tear per-step labels from their samples; resample before labelling.")
        if not recordings.ragged:
            X, sfreq = self.apply_array(recordings.X, recordings.sfreq, recordings.names)
            return replace(recordings, X=X, sfreq=sfreq)
        results = [self.apply_array(x, recordings.sfreq, recordings.names) for x in recordings.X]
        return replace(recordings, X=[x for x, _ in results], sfreq=results[0][1])
