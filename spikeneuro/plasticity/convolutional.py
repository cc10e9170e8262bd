"""Connections whose weights are shared between positions."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Connection, Constant


class Convolutional(Connection):
    """Kernels moved over the input: a view on `torch.nn.Conv1d` or `torch.nn.Conv2d`.

    A synapse is an element of a kernel; its change is summed over all positions of the kernel.

    Parameters
    ----------
    module : torch.nn.Conv1d or torch.nn.Conv2d
        The convolution, any stride, padding with zeros, dilation and groups. Weights (post channels, pre channels per
        group, *kernel).
    low, high : float or Tensor, default without bound
        Bounds of the weights.

    Raises
    ------
    InputError
        For another module, and for padding with anything but zeros.

    Examples
    --------
    >>> view = Convolutional(nn.Conv2d(2, 8, 5, bias=False), low=-1.0, high=1.0)
    >>> view.correlate(torch.ones(1, 1, 8, 6, 6), torch.ones(1, 1, 2, 10, 10)).shape
    torch.Size([8, 2, 5, 5])
    """

    def __init__(self, module: nn.Conv1d | nn.Conv2d, low: Constant = -torch.inf, high: Constant = torch.inf) -> None:
        if type(module) not in (nn.Conv1d, nn.Conv2d):
            raise InputError(f"Convolutional needs a Conv1d or Conv2d, got {type(module).__name__}.")
        if module.padding_mode != "zeros":
            raise InputError(f"Convolutional pads with zeros only, got padding_mode={module.padding_mode!r}.")
        super().__init__(module.weight, low, high)
        self.module = module
        self.groups = module.groups
        self._flat = isinstance(module, nn.Conv1d)  # one axis: a height of 1 in front
        self._kernel = (1, *module.kernel_size) if self._flat else tuple(module.kernel_size)
        self._stride = (1, *module.stride) if self._flat else tuple(module.stride)
        self._dilation = (1, *module.dilation) if self._flat else tuple(module.dilation)
        self._padding = self._pads()

    def _pads(self) -> list[int]:
        """Zeros on each side, last axis first, as `pad` takes them; "same" is not symmetric for even kernels."""
        given = self.module.padding
        if given == "same":
            totals = [d * (k - 1) for d, k in zip(self._dilation, self._kernel, strict=True)]
            return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
        if given == "valid":
            return [0, 0, 0, 0]
        widths = (0, *cast("tuple[int, ...]", given)) if self._flat else cast("tuple[int, ...]", given)
        return [width for width in reversed(widths) for _ in range(2)]

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of channels after and before the synapses."""
        return self.module.out_channels, self.module.in_channels

    def check(self, pre: Tensor, post: Tensor) -> None:
        axes = len(self.weight.shape)
        for name, train, channels in (("pre", pre, self.sizes[1]), ("post", post, self.sizes[0])):
            if train.dim() != 1 + axes or train.shape[2] != channels:
                shape = ("length",) if self._flat else ("height", "width")
                raise InputError(
                    f"{name} must be (time, batch, {channels}, {', '.join(shape)}), got {tuple(train.shape)}."
                )
        if pre.shape[:2] != post.shape[:2]:
            raise InputError(
                f"pre and post must share time and batch, got {tuple(pre.shape[:2])} and {tuple(post.shape[:2])}."
            )
        padded = self._image(pre[0]).shape[-2:]
        made = tuple(
            (size - d * (k - 1) - 1) // s + 1
            for size, k, s, d in zip(padded, self._kernel, self._stride, self._dilation, strict=True)
        )
        found = (1, *post.shape[3:]) if self._flat else tuple(post.shape[3:])
        if made != found:
            raise InputError(
                f"the convolution makes {made[1:] if self._flat else made} positions of pre {tuple(pre.shape[3:])}, "
                f"but post has {tuple(post.shape[3:])}; give the spikes of the neurons right behind it."
            )

    def _image(self, pre: Tensor) -> Tensor:
        """(batch, channels, *positions) with both axes of positions, padded."""
        return functional.pad(pre.unsqueeze(-2) if self._flat else pre, self._padding)

    def correlate(self, post: Tensor, pre: Tensor, *, keep_batch: bool = False) -> Tensor:
        if keep_batch:
            return self._correlate_samples(post, pre)
        post = post.unsqueeze(-2) if self._flat else post
        shape = (self.sizes[0], self.weight.shape[1], *self._kernel)
        change = conv2d_weight(
            self._image(pre.flatten(0, 1)), shape, post.flatten(0, 1).contiguous(),
            stride=self._stride, dilation=self._dilation, groups=self.groups,
        )  # fmt: skip
        return change.reshape(self.weight.shape)

    def _correlate_samples(self, post: Tensor, pre: Tensor) -> Tensor:
        """As `correlate`, for each sample; step by step, for the columns of all steps would not fit."""
        batch = post.shape[1]
        change = post.new_zeros(batch, self.groups, self.sizes[0] // self.groups, self.weight[0].numel())
        for after, before in zip(post.unbind(0), pre.unbind(0), strict=True):
            columns = self._columns(before).unflatten(1, (self.groups, -1))
            change += after.reshape(batch, self.groups, self.sizes[0] // self.groups, -1) @ columns.transpose(-1, -2)
        return change.reshape(batch, *self.weight.shape)

    def _columns(self, pre: Tensor) -> Tensor:
        """What the kernel sees at each of its positions, (batch, channels times kernel, positions)."""
        return functional.unfold(self._image(pre), self._kernel, dilation=self._dilation, stride=self._stride)

    def at_synapses(self, value: Tensor, side: str) -> Tensor:
        """(batch, post channels, pre channels of the group, *kernel, positions), with 1 where a side has no axis."""
        batch = value.shape[0]
        inner = [1] * (self.weight.dim() - 1)
        if side == "post":
            return value.reshape(batch, self.sizes[0], *inner, -1)
        columns = self._columns(value)
        shape = (batch, self.groups, *self.weight.shape[1:], columns.shape[-1])
        grouped = columns.reshape(shape)
        if self.groups == 1:
            return grouped
        return grouped.repeat_interleave(self.sizes[0] // self.groups, dim=1)

    def sum_positions(self, value: Tensor) -> Tensor:
        return value.sum(-1)

    def align(self, constant: Tensor) -> Tensor:
        return constant.unsqueeze(-1)

    def per_neuron(self, constant: Tensor, side: str) -> Tensor | None:
        kernel = all(size == 1 for size in constant.shape[2:])
        positions = [1] * (1 if self._flat else 2)
        if side == "pre":
            local = kernel and constant.shape[0] == 1 and (self.groups == 1 or constant.shape[1] == 1)
            return constant.reshape(-1, *positions) if local else None
        return constant.reshape(-1, *positions) if kernel and constant.shape[1] == 1 else None

    def incoming(self, value: Tensor) -> Tensor:
        return value.flatten(1).sum(1)

    def spread(self, value: Tensor) -> Tensor:
        return value.reshape(-1, *[1] * (self.weight.dim() - 1))
