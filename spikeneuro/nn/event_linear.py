"""Linear layer for spikes."""

from torch import Tensor, nn

from spikeneuro import ops


class EventLinear(nn.Linear):
    """`torch.nn.Linear` whose product touches only the weights of neurons that fired, where that is faster.

    The same parameters, values and gradients up to rounding; see `spikeneuro.ops.event_linear` for when it adds rows
    and when it multiplies. Meant for layers behind spiking neurons and behind encoders.

    Parameters
    ----------
    in_features, out_features : int
        Numbers of inputs and outputs.
    bias : bool, default True
        Whether each output has a constant.
    device, dtype : optional
        As for `torch.nn.Linear`.

    Examples
    --------
    >>> import torch
    >>> layer = EventLinear(100, 64)
    >>> layer(torch.zeros(250, 8, 100)).shape
    torch.Size([250, 8, 64])
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return ``input @ weight.T + bias``.

        Parameters
        ----------
        input : Tensor
            Spikes, (..., in_features).

        Returns
        -------
        Tensor
            (..., out_features).
        """
        return ops.event_linear(input, self.weight, self.bias)
