"""The network on several modalities without spikes: the same branches and fusion, rectifiers in place of neurons."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from spikeneuro.models.cross_modal import CrossModalNetwork, Layout


class CrossModalCNN(CrossModalNetwork):
    """Convolutional branches for two or more modalities, fused as in `CrossModalSNN`.

    The same filters, pooling, attention, fusion and readout; every layer of spiking neurons is a rectifier, without
    memory beyond the convolutions. The scores of the attention are computed from mean activations. It shows what the
    spikes cost or bring where everything else is equal.

    Parameters
    ----------
    modalities : dict of str to dict
        Sizes of each modality, as for `CrossModalSNN`.
    n_outputs : int
        Number of classes, or of real outputs.
    fusion, where, when, spatial_attention, temporal_attention
        As for `CrossModalSNN`.
    hidden : int, default 16
        Feature maps of each layer of a signal's branch, at the end of every branch without maps, and of the fusion
        layer.
    filters : sequence of int, default (8, 16)
        Feature maps of the blocks of a branch for images or frames.
    kernel_length : float, optional
        Length of the temporal filters of signals: by default 0.5 seconds, or 9 samples where a `sfreq` is missing.
    kernel_size : int, default 3
        Odd side of the kernels for images and frames.
    n_steps : int, optional
        Common steps, as for `CrossModalSNN`; 1 where nothing moves.
    n_bins : int, default 4
        Bins of equal length over which activations are averaged for the readout, at most `n_steps`.
    pooling : {"mean", "max"}, default "mean"
        How signals come to fewer steps.
    modality_dropout : float, default 0
        Probability with which training leaves a modality of a sample out.
    drop_prob : float, default 0.25
        Dropout after pooling and before the readout.

    Raises
    ------
    InputError
        As `CrossModalSNN`.

    References
    ----------
    Baltrušaitis, Ahuja and Morency (2019), doi:10.1109/TPAMI.2018.2798607 (early, intermediate and late fusion).

    Examples
    --------
    >>> import torch
    >>> sizes = {"image": {"in_chans": 1, "image_size": 16}, "age": {"n_features": 1}}
    >>> model = CrossModalCNN(sizes, n_outputs=2)
    >>> model({"image": torch.randn(4, 1, 16, 16), "age": torch.randn(4, 1)}).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        modalities: Mapping[str, Mapping[str, Any]],
        n_outputs: int,
        *,
        fusion: str = "cma",
        where: str | None = None,
        when: str | None = None,
        spatial_attention: bool = True,
        temporal_attention: bool = True,
        hidden: int = 16,
        filters: Sequence[int] = (8, 16),
        kernel_length: float | None = None,
        kernel_size: int = 3,
        n_steps: int | None = None,
        n_bins: int = 4,
        pooling: str = "mean",
        modality_dropout: float = 0.0,
        drop_prob: float = 0.25,
    ) -> None:
        layout = Layout(
            fusion, where, when, spatial_attention, temporal_attention, hidden, filters, kernel_length, kernel_size,
            n_steps, 1, n_bins, pooling, _seconds(modalities), modality_dropout, drop_prob,
        )  # fmt: skip
        super().__init__(modalities, n_outputs, layout, lambda _shape, _first, _dt: nn.ReLU(), "direct")


def _seconds(modalities: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every modality that has times has a sampling rate; else kernels are counted in samples."""
    if not isinstance(modalities, Mapping):
        return False
    moving = [sizes for sizes in modalities.values() if isinstance(sizes, Mapping) and "n_times" in sizes]
    return all(sizes.get("sfreq") is not None for sizes in moving)
