"""What the input neurons of a cube emit: signals in a spike code, or spikes as they were given."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikeneuro.encoders import DeltaEncoder, Encoder
from spikeneuro.errors import InputError
from spikeneuro.reservoir.liquid import as_encoder, encoded

Array = NDArray[Any]


def fitted_encoder(given: str | Encoder | None, signals: Array) -> Encoder | None:
    """A copy of the encoder, fitted on training samples; None for samples that are spikes already."""
    if isinstance(given, str) and given == "spikes":
        return None
    encoder = as_encoder(DeltaEncoder(strict=True) if given is None else given)
    if encoder.graded or encoder.features_per_channel > 2:
        raise InputError(
            f"{type(encoder).__name__} gives {'numbers' if encoder.graded else 'more than two trains a channel'}; "
            "the cube takes one train of spikes a channel, or an on and an off train."
        )
    return encoder.fit(signals)


def input_events(signals: Array, encoder: Encoder | None, *, signed: bool) -> NDArray[np.bool_]:
    """Spikes of the input neurons, ``(n, steps, inputs)``: all positive ones, then, if `signed`, all negative ones."""
    if encoder is None:
        if not np.isin(signals, (-1, 0, 1)).all():
            raise InputError("with encoder='spikes' the samples must hold 1, -1 and 0 only.")
        trains = signals.transpose(0, 2, 1)
        positive, negative = trains > 0, trains < 0
    else:
        with torch.no_grad():
            code = encoded(encoder, torch.from_numpy(np.array(signals, order="C"))).bool().transpose(0, 1).numpy()
        pairs = code.reshape(*code.shape[:2], signals.shape[1], -1)
        positive = pairs[..., 0]
        negative = pairs[..., 1] if pairs.shape[-1] == 2 else np.zeros_like(positive)
    return np.concatenate([positive, negative], axis=-1) if signed else np.ascontiguousarray(positive)
