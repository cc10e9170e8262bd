"""Several modalities as input: what each is, its checks, and its place on steps that all share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake
from torch.nn import functional

from spikeneuro._validation import check_number, suggestion
from spikeneuro.encoders import DirectEncoder, Encoder
from spikeneuro.errors import InputError
from spikeneuro.models.inputs import as_image_size, check_image, check_signal, check_sizes
from spikeneuro.models.spiking import as_encoder

#: Steps that a filter in time has at least, unless asked for fewer.
_FEWEST = 4

Kind = Literal["signal", "image", "frames", "features"]

_SIZES: dict[Kind, tuple[set[str], set[str]]] = {  # what must be given, and what may be
    "signal": ({"n_chans", "n_times"}, {"sfreq"}),
    "frames": ({"n_times", "in_chans", "image_size"}, {"sfreq"}),
    "image": ({"in_chans", "image_size"}, set()),
    "features": ({"n_features"}, set()),
}


@dataclass(frozen=True)
class Modality:
    """What the samples of one modality are.

    Attributes
    ----------
    name : str
    kind : {"signal", "image", "frames", "features"}
    channels : int
        Channels of a signal or image; number of features.
    n_times : int
        Samples in time; 1 for what stands still.
    image_size : (int, int) or None
    sfreq : float or None
        Sampling frequency in hertz.
    """

    name: str
    kind: Kind
    channels: int
    n_times: int
    image_size: tuple[int, int] | None
    sfreq: float | None

    @property
    def moves(self) -> bool:
        """Whether it has a time axis."""
        return self.kind in ("signal", "frames")

    def check(self, x: Tensor) -> None:
        """Raise unless `x` has this modality's axes and sizes."""
        if not isinstance(x, Tensor):
            kind = type(x).__name__
            raise InputError(f"modality {self.name!r}: got {kind} instead of a tensor; convert with torch.as_tensor.")
        try:
            self._check(x)
        except InputError as error:
            raise InputError(f"modality {self.name!r}: {error}") from error

    def _check(self, x: Tensor) -> None:
        if self.kind == "signal":
            check_signal(x, self.channels, self.n_times)
        elif self.kind == "features":
            if x.ndim != 2 or x.shape[1] != self.channels:
                raise InputError(f"expected shape (batch, features={self.channels}), got {tuple(x.shape)}.")
        elif self.kind == "image":
            assert self.image_size is not None
            check_image(x, self.channels, self.image_size)
        else:
            assert self.image_size is not None
            wanted = (self.n_times, self.channels, *self.image_size)
            if tuple(x.shape[1:]) != wanted:
                sizes = "times={}, channels={}, height={}, width={}".format(*wanted)
                raise InputError(f"expected shape (batch, {sizes}), got {tuple(x.shape)}.")


def as_modalities(sizes: Mapping[str, Mapping[str, Any]]) -> dict[str, Modality]:
    """Modalities by name, from the sizes of each."""
    if not isinstance(sizes, Mapping) or not sizes:
        raise InputError(f"modalities must map names to sizes such as n_chans and n_times, got {sizes!r}.")
    if len(sizes) < 2:
        raise InputError(f"modalities holds {', '.join(map(repr, sizes))} alone; fusion needs two or more.")
    return {name: _as_modality(name, dict(own)) for name, own in sizes.items()}


def _as_modality(name: Any, sizes: dict[str, Any]) -> Modality:
    if not isinstance(name, str) or not name or "." in name or hasattr(nn.ModuleDict(), name):
        raise InputError(f"a modality cannot be called {name!r}; use a word such as 'eeg'.")
    for kind, (needed, more) in _SIZES.items():
        if needed <= set(sizes) <= needed | more:
            return _checked(name, kind, sizes)
    options = "; ".join(f"{kind}: {', '.join(sorted(needed))}" for kind, (needed, _) in _SIZES.items())
    received = ", ".join(sorted(sizes)) or "none"
    raise InputError(f"modality {name!r} has the sizes {received}; give those of a {options}.")


def _checked(name: str, kind: Kind, sizes: dict[str, Any]) -> Modality:
    counts = {key: sizes[key] for key in ("n_chans", "n_times", "in_chans", "n_features") if key in sizes}
    try:
        check_sizes(**counts)
        sfreq = sizes.get("sfreq")
        if sfreq is not None:
            check_number(sfreq, "sfreq", low=0.0, closed="neither")
        image_size = as_image_size(sizes["image_size"]) if "image_size" in sizes else None
    except InputError as error:
        raise InputError(f"modality {name!r}: {error}") from error
    channels = next(counts[key] for key in ("n_chans", "in_chans", "n_features") if key in counts)
    return Modality(name, kind, channels, counts.get("n_times", 1), image_size, sfreq)


class Encoders(nn.ModuleDict):
    """One encoder for each modality, fitted together."""

    def fit(self, X: Mapping[str, Any]) -> "Encoders":
        """Fit each encoder on its modality, on the samples that have it.

        Parameters
        ----------
        X : mapping of str to Tensor or array
            Samples by modality.
        """
        for name, encoder in self.items():
            if name not in X or not isinstance(encoder, Encoder):
                continue
            x = torch.as_tensor(np.asarray(X[name]))
            present = x[~x.isnan().flatten(1).all(dim=1)]
            if x.ndim < 5:  # frames are taken as they come
                encoder.fit(present if x.ndim > 2 else present[:, :, None, None])
        return self


def as_encoders(
    encoder: str | Encoder | Mapping[str, str | Encoder], modalities: Mapping[str, Modality], hold: int
) -> Encoders:
    """Encoder of each modality; what stands still is shown for `hold` steps."""
    if isinstance(encoder, Mapping):
        for name in encoder:
            if name not in modalities:
                raise InputError(f"encoder: there is no modality {name!r}; {suggestion(str(name), modalities)}")
    elif isinstance(encoder, Encoder):
        raise InputError("encoder must be a name, or a dict of names or encoders by modality: each needs its own.")
    found = {}
    for name, modality in modalities.items():
        chosen = encoder.get(name, "direct") if isinstance(encoder, Mapping) else encoder
        if modality.kind == "frames":
            if chosen != "direct" and isinstance(encoder, Mapping):
                raise InputError(f"encoder of {name!r}: frames are taken as they come; use 'direct'.")
            chosen = "direct"
        found[name] = as_encoder(chosen, None if modality.moves else hold)
    return Encoders(found)


def encoded(x: Tensor, modality: Modality, encoder: Encoder) -> Tensor:
    """(steps, batch, channels), or (steps, batch, channels, height, width) for images and frames."""
    if modality.kind == "frames":
        return x.transpose(0, 1)
    if modality.kind == "features":
        return encoder(x[:, :, None, None]).flatten(2)
    return encoder(x)


def stands_still(modality: Modality, encoder: Encoder) -> bool:
    """Whether the encoded input is the same at every step."""
    return not modality.moves and isinstance(encoder, DirectEncoder)


def aligned(x: Tensor, n_steps: int, pooling: str) -> Tensor:
    """Bring (time, batch, *features) to `n_steps` that span the same time.

    More steps are pooled, the mean ("mean") or largest ("max") of those that fall on a common one; fewer are held.
    """
    steps = x.shape[0]
    if steps == n_steps:
        return x
    if steps < n_steps:
        if n_steps % steps == 0:
            return x.repeat_interleave(n_steps // steps, dim=0)
        return x[torch.arange(n_steps, device=x.device) * steps // n_steps]
    if steps % n_steps == 0:
        parts = x.unflatten(0, (n_steps, steps // n_steps))
        return parts.amax(dim=1) if pooling == "max" else parts.mean(dim=1)
    pool = functional.adaptive_max_pool1d if pooling == "max" else functional.adaptive_avg_pool1d
    return pool(x.flatten(1).t(), n_steps).t().unflatten(1, x.shape[1:])


def check_fast_enough(modality: Modality, kernel: float) -> None:
    """Refuse signals so slow that the default length of the filters, `kernel` steps, is next to none."""
    if kernel < _FEWEST:
        raise InputError(
            f"the filters' default of half a second is {kernel:.3g} step(s) of modality {modality.name!r} at "
            f"{modality.sfreq:g} Hz; give kernel_length (and tau_first and tau_second) in seconds that suit it, or "
            "count in steps: with tau_unit='steps', or in a network without spikes without sfreq."
        )


def common_steps(modalities: Mapping[str, Modality], encoders: Encoders, most: int, still: int) -> int:
    """Steps all modalities are brought to: those of the slowest, pooled to at most `most`, evenly where possible."""
    moving = [encoders[name].n_steps(m.n_times) for name, m in modalities.items() if m.moves]  # type: ignore[operator]
    if not moving:
        return still
    slowest = min(moving)
    least = math.ceil(slowest / most)
    factor = next((k for k in range(least, 2 * least + 1) if slowest % k == 0), least)
    return slowest // factor


def without_gaps(x: Tensor, there: Tensor, training: bool) -> Tensor:
    """`x` with numbers in place of samples that are absent, whose features are erased later.

    Zeros; in training, copies of samples that are `there`, in turn, so that batch statistics are theirs.
    """
    if not training or not there.any():
        return torch.where(there.reshape(-1, *[1] * (x.ndim - 1)), x, torch.zeros_like(x))
    index = torch.arange(len(x), device=x.device)
    some = index[there]
    index[~there] = some[torch.arange(len(x) - len(some), device=x.device) % len(some)]
    return x[index]


def missing(x: Tensor) -> Tensor | None:
    """Which samples are absent, NaN throughout, (batch,); None if none is.

    Raises
    ------
    InputError
        If a sample is NaN in part.
    """
    if is_fake(x):
        return None
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return x.isnan().flatten(1).all(dim=1)
    # in NumPy where possible: a check of the input is no operation of the network, and a ledger should not see it
    gaps = np.isnan(x.detach().numpy()).reshape(len(x), -1)
    if not gaps.any():
        return None
    whole = gaps.all(axis=1)
    broken = np.flatnonzero(gaps.any(axis=1) & ~whole)
    if broken.size:
        raise InputError(f"sample {broken[0]} is NaN in part; only samples that are NaN throughout count as absent.")
    return torch.from_numpy(whole)
