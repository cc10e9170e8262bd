"""Attention across two modalities: one says where, the other says when."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError

#: Hidden units of the temporal scores, at least.
_FEWEST = 8
_SIZE = "(channels, height, width) or (neurons,)"


class CrossModalAttention(nn.Module):
    r"""Scale the spikes of two branches by scores that each computes from the firing rates of the other.

    With spikes :math:`S^w` of the branch that says *where* (frames) and :math:`S^e` of the branch that says *when*
    (events), both over T steps,

    .. math::

        R_s &= \tfrac1T \sum_t S^w_t &\qquad
        R_t &= \tfrac1{|F|} \sum_{f \in F} S^e_{t,f}

        A_s &= \sigma\big(\mathrm{Conv}_{k \times k}[\mathrm{mean}_c R_s, \mathrm{max}_c R_s]\big) &\qquad
        A_t &= \sigma\big(W_2\, \mathrm{ReLU}(W_1 R_t + b_1) + b_2\big)

        \hat S^e &= A_s \odot S^e &\qquad \hat S^w &= A_t \odot S^w.

    :math:`A_s`, one score per place, is the same at all steps; :math:`A_t`, one score per step, at all places. Both are
    computed from the spikes as they come in, so gradients flow through both paths, to both branches.

    Features of signals have no height and width. There each neuron is a place of its own, without neighbours, and
    :math:`A_s = \sigma(W R_s + b)` has one score for each neuron of the other branch.

    What comes out is no longer binary: products with it are multiplications, and the ledger counts them as such. The
    scores see all T steps before any is scaled, so the layer cannot stream.

    Parameters
    ----------
    where_shape, when_shape : int or (int,) or (int, int, int)
        Features of the two branches: neurons, or channels, height and width. Both of one kind; maps of equal height and
        width, with any numbers of channels.
    n_steps : int
        Steps T, which the temporal scores are tied to.
    spatial, temporal : bool, default True
        Whether each attention acts; without one, its scores are 1. The map :math:`A_s` is computed from the branch that
        says where, :math:`A_t` from the one that says when.
    kernel_size : int, default 7
        Odd side k of the kernel, for maps.
    reduction : int, default 4
        The temporal scores pass through ``n_steps // reduction`` hidden units, at least 8: rates are positive and much
        alike at all steps, so that a rectifier sees one sign only, and of few all may be silent for ever.

    Raises
    ------
    InputError
        If shapes are of two kinds or of different height and width, a size is not positive, `kernel_size` is even, or
        the input has other features or another number of steps.

    References
    ----------
    The mechanism: arXiv:2410.15689 (2024), whose kernels are not published with it; the form of the scores: Woo et al.
    (2018), doi:10.1007/978-3-030-01234-2_1 (places), Hu, Shen and Sun (2018), doi:10.1109/CVPR.2018.00745 (steps).

    Examples
    --------
    >>> import torch
    >>> attention = CrossModalAttention((8, 12, 12), (4, 12, 12), n_steps=20)
    >>> frames, events = torch.ones(20, 2, 8, 12, 12), torch.ones(20, 2, 4, 12, 12)
    >>> [tuple(spikes.shape) for spikes in attention(frames, events)]
    [(20, 2, 8, 12, 12), (20, 2, 4, 12, 12)]
    >>> attention.spatial_scores(frames).shape, attention.temporal_scores(events).shape
    (torch.Size([2, 1, 12, 12]), torch.Size([20, 2]))
    """

    def __init__(
        self,
        where_shape: int | Sequence[int],
        when_shape: int | Sequence[int],
        n_steps: int,
        *,
        spatial: bool = True,
        temporal: bool = True,
        kernel_size: int = 7,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        self.where_shape, self.when_shape = _shape(where_shape, "where_shape"), _shape(when_shape, "when_shape")
        self.n_steps = int(check_number(n_steps, "n_steps", low=1, integer=True))
        check_number(kernel_size, "kernel_size", low=1, integer=True)
        check_number(reduction, "reduction", low=1, integer=True)
        if kernel_size % 2 == 0:
            raise InputError(f"kernel_size={kernel_size} must be odd, so that the map keeps its size.")
        if len(self.where_shape) != len(self.when_shape) or self.where_shape[1:] != self.when_shape[1:]:
            raise InputError(
                f"attention needs two branches of vectors, or of maps of one height and width; got where_shape="
                f"{self.where_shape} and when_shape={self.when_shape}."
            )
        self.maps = len(self.where_shape) == 3
        self.place: nn.Module | None = None
        self.time: nn.Module | None = None
        if spatial:
            self.place = (
                nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2)
                if self.maps
                else nn.Linear(self.where_shape[0], self.when_shape[0])
            )
        if temporal:
            hidden = max(_FEWEST, self.n_steps // reduction)
            self.time = nn.Sequential(nn.Linear(self.n_steps, hidden), nn.ReLU(), nn.Linear(hidden, self.n_steps))

    def forward(
        self,
        where: Tensor,
        when: Tensor,
        where_present: Tensor | None = None,
        when_present: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the spikes of both branches, each scaled by the scores of the other.

        Parameters
        ----------
        where, when : Tensor
            Spikes, (time, batch, *where_shape) and (time, batch, *when_shape).
        where_present, when_present : Tensor, optional
            Truth value for each sample, (batch,): where a branch is absent its scores are 1.

        Returns
        -------
        where, when : Tensor
            Of the same shapes, real-valued.
        """
        places, steps = self.spatial_scores(where, where_present), self.temporal_scores(when, when_present)
        if steps is not None:
            where = scaled_in_time(where, steps)
        return where, when if places is None else when * places

    def spatial_scores(self, where: Tensor, present: Tensor | None = None) -> Tensor | None:
        """Score of each place, from the branch that says where.

        Parameters
        ----------
        where : Tensor
            Spikes, (time, batch, *where_shape).
        present : Tensor, optional
            Samples that have this branch, (batch,); the others' scores are 1.

        Returns
        -------
        Tensor or None
            (batch, 1, height, width), or (batch, neurons of the other branch); None without spatial attention.
        """
        _check(where, self.where_shape, None, "where")
        if self.place is None:
            return None
        rate = where.mean(dim=0)
        if self.maps:
            rate = torch.cat([rate.mean(dim=1, keepdim=True), rate.amax(dim=1, keepdim=True)], dim=1)
        scores = torch.sigmoid(self.place(rate))
        return scores if present is None else _or_one(scores, present.reshape(-1, *[1] * (scores.ndim - 1)))

    def temporal_scores(self, when: Tensor, present: Tensor | None = None) -> Tensor | None:
        """Score of each step, from the branch that says when.

        Parameters
        ----------
        when : Tensor
            Spikes, (time, batch, *when_shape).
        present : Tensor, optional
            Samples that have this branch, (batch,); the others' scores are 1.

        Returns
        -------
        Tensor or None
            (time, batch); None without temporal attention.
        """
        _check(when, self.when_shape, self.n_steps, "when")
        if self.time is None:
            return None
        scores = torch.sigmoid(self.time(when.flatten(2).mean(dim=2).t()))
        return (scores if present is None else _or_one(scores, present.unsqueeze(1))).t()

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"where={self.where_shape}, when={self.when_shape}, n_steps={self.n_steps}"


def scaled_in_time(spikes: Tensor, scores: Tensor) -> Tensor:
    """Spikes (time, batch, *features) times scores (time, batch)."""
    return spikes * scores.reshape(*scores.shape, *[1] * (spikes.ndim - 2))


def _or_one(scores: Tensor, present: Tensor) -> Tensor:
    return torch.where(present, scores, torch.ones_like(scores))


def _shape(shape: Any, name: str) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if len(sizes) not in (1, 3):
        raise InputError(f"{name} must be {_SIZE}, got {shape!r}.")
    return tuple(int(check_number(size, name, low=1, integer=True)) for size in sizes)


def _check(spikes: Tensor, shape: tuple[int, ...], n_steps: int | None, name: str) -> None:
    if tuple(spikes.shape[2:]) != shape or (n_steps is not None and spikes.shape[0] != n_steps):
        steps = "time" if n_steps is None else f"time={n_steps}"
        sizes = ", ".join(map(str, shape))
        raise InputError(f"{name} must have shape ({steps}, batch, {sizes}), got {tuple(spikes.shape)}.")
