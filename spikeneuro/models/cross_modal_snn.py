"""A spiking network on two or more modalities, fused by cross-modality attention or in one of three other ways."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from spikeneuro._validation import check_choice
from spikeneuro.encoders import Encoder
from spikeneuro.models.cross_modal import CrossModalNetwork, Layout
from spikeneuro.models.cross_modal_inputs import as_modalities
from spikeneuro.models.spiking import as_surrogate
from spikeneuro.nn import LIF
from spikeneuro.nn.heterogeneity import LogSpaced
from spikeneuro.ops.surrogates import Surrogate

#: Time constants of layers at a signal's own rate, and on the common steps: seconds, steps, and for what stands still.
_TAU_FIRST = {"seconds": (0.008, 0.08), "steps": (1.0, 10.0), "still": (1.0, 4.0)}
_TAU_SECOND = {"seconds": (0.03, 0.4), "steps": (1.0, 10.0), "still": (1.0, 4.0)}


class CrossModalSNN(CrossModalNetwork):
    r"""Spiking branches for two or more modalities, cross-modality attention, a spiking fusion layer.

    .. code-block:: text

        each modality   encoder, spiking branch: features on n_steps common steps
        fusion          cma: each branch is scaled by the scores of another (`CrossModalAttention`), then joined
                        intermediate: the branches are joined as they are
                        input: the encoded inputs are joined, one branch for all
                        late: one readout for each branch; the mean of their logits
        joined          linear (maps: 3 x 3 convolution), batch normalisation, LIF
        readout         firing rates in n_bins bins, dropout, linear

    Input is a dict of tensors by modality: signals ``(batch, channels, times)``, images ``(batch, channels, height,
    width)``, frames ``(batch, times, channels, height, width)`` or features ``(batch, features)``. Lengths and sampling
    rates may differ. The branch of a signal is that of `SpikingEEGNet` (spatial and temporal filters, LIF at the
    signal's own rate, pooling, separable convolution, LIF), that of images and frames that of `SpikingCNN2d`.

    **Time.** All branches end on the same steps, from the beginning of each sample to its end: a longer sequence is
    pooled, a shorter one held; images and features are shown throughout. Modalities are taken to begin and end
    together.

    **Space.** Where all modalities are images or frames of one size, branches end in maps, and so does the attention
    (one score per pixel). Otherwise each ends in `hidden` neurons, which are the places.

    **Roles.** The modality `where` scales all others in space, the modality `when` all others in time.

    **Absent modalities.** A modality whose key is left out is absent from the batch, and its branch does not run; a
    sample that is NaN throughout in one modality lacks it. Spikes of what is absent are zero and the scores computed
    from it are 1; "late" averages the logits of what is there. With `modality_dropout`, training leaves modalities out
    at random, sample by sample, never all of them, by erasing their spikes behind the branch. The batch statistics of a
    branch are those of the samples that have the modality; where no sample of a batch has it, they stay as they are.

    Parameters
    ----------
    modalities : dict of str to dict
        Sizes of each modality, two or more: ``n_chans, n_times, sfreq`` of a signal; ``in_chans, image_size`` of an
        image; these and ``n_times, sfreq`` of frames; ``n_features`` of feature vectors.
    n_outputs : int
        Number of classes, or of real outputs.
    fusion : {"cma", "input", "intermediate", "late"}, default "cma"
        Where the modalities meet.
    where, when : str, optional
        Modality that says where and that says when; default the first and the second. Only for "cma".
    spatial_attention, temporal_attention : bool, default True
        Whether each attention of "cma" acts.
    hidden : int, default 16
        Neurons of each layer of a signal's branch, at the end of every branch without maps, and of the fusion layer.
    filters : sequence of int, default (8, 16)
        Feature maps of the blocks of a branch for images or frames.
    kernel_length : float, optional
        Length of the temporal filters of signals: by default 0.5 seconds (for signals of 8 Hz and more), or 9 steps.
    kernel_size : int, default 3
        Odd side of the kernels for images and frames.
    n_steps : int, optional
        Common steps; by default those of the slowest modality, pooled to 128 or fewer, by a factor that divides them
        where there is one; 8 where nothing moves.
    n_bins : int, default 4
        Bins of equal length in which spikes are counted for the readout, at most `n_steps`.
    pooling : {"mean", "max"}, default "mean"
        How signals come to fewer steps: mean rate, or whether there was any spike (binary).
    tau_unit : {"seconds", "steps"}, default "seconds"
        Unit of the time constants; seconds need the `sfreq` of every signal. Where nothing moves, always steps.
    tau_first, tau_second : (float, float), optional
        Shortest and longest membrane time constant of the first layer of a signal, and of all layers on the common
        steps; default (0.008, 0.08) and (0.03, 0.4) seconds, 1 to 10 steps, or 1 to 4 where nothing moves.
    learn_tau : bool, default False
        Whether the time constants are learned.
    modality_dropout : float, default 0
        Probability with which training leaves a modality of a sample out.
    encoder : str or dict, default "direct"
        Name of an encoder, or by modality a name or an encoder. Frames are taken as they come.
    surrogate : str or Surrogate, default "fast_sigmoid"
        Surrogate gradient; by that name, with slope 5.
    drop_prob : float, default 0.25
        Dropout after pooling and before the readout.

    Raises
    ------
    InputError
        If there are fewer than two modalities, sizes are not those of a modality, an option or role is unknown, or a
        `sfreq` is missing or too low for the default filters; of the input, if it is no dict, a name is unknown, shapes
        or numbers of samples differ, a sample is NaN in part, or a sample has no modality at all.

    References
    ----------
    Cross-modality attention: arXiv:2410.15689 (2024), whose code is not published: branches, kernels and the fusion
    layer are this package's, see the page on fidelity.

    Examples
    --------
    >>> import torch
    >>> eeg, ecg = {"n_chans": 19, "n_times": 500, "sfreq": 125.0}, {"n_chans": 1, "n_times": 1000, "sfreq": 250.0}
    >>> model = CrossModalSNN({"eeg": eeg, "ecg": ecg}, n_outputs=2).eval()
    >>> x = {"eeg": torch.randn(3, 19, 500), "ecg": torch.randn(3, 1, 1000)}
    >>> model(x).shape, model({"ecg": x["ecg"]}).shape
    (torch.Size([3, 2]), torch.Size([3, 2]))
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
        tau_unit: str = "seconds",
        tau_first: tuple[float, float] | None = None,
        tau_second: tuple[float, float] | None = None,
        learn_tau: bool = False,
        modality_dropout: float = 0.0,
        encoder: str | Mapping[str, str | Encoder] = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.25,
    ) -> None:
        check_choice(tau_unit, ("seconds", "steps"), "tau_unit")
        unit = tau_unit if any(m.moves for m in as_modalities(modalities).values()) else "still"
        first, second = tuple(tau_first or _TAU_FIRST[unit]), tuple(tau_second or _TAU_SECOND[unit])
        gradient = as_surrogate(surrogate)
        learn = ("tau_mem",) if learn_tau else ()

        def neurons(shape: tuple[int, ...], at_own_rate: bool, dt: float) -> nn.Module:
            low, high = first if at_own_rate else second
            return LIF(shape, tau_mem=LogSpaced(low, high)(shape), dt=dt, surrogate=gradient, learn=learn)

        layout = Layout(
            fusion, where, when, spatial_attention, temporal_attention, hidden, filters, kernel_length, kernel_size,
            n_steps, 8, n_bins, pooling, unit == "seconds", modality_dropout, drop_prob,
        )  # fmt: skip
        super().__init__(modalities, n_outputs, layout, neurons, encoder)
