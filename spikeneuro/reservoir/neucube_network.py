"""A trained NeuCube as one torch module, which computes what the estimator does and whose operations can be counted.

The cube and the weights of the deSNN readout are operators, ``spikeneuro::cube`` and
``spikeneuro::rank_order_weights``, because torch's own operations cannot say what happens at a spike. Their counts are
in `spikeneuro.energy`.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from spikeneuro.encoders import Encoder
from spikeneuro.errors import InputError
from spikeneuro.reservoir.desnn import DeSNN, DeSNNRegressor
from spikeneuro.reservoir.liquid import encoded, linear_layer
from spikeneuro.reservoir.neucube_wiring import Cube, Dynamics
from spikeneuro.reservoir.votes import neighbour_votes

Array = NDArray[Any]

_SETTINGS = ("mod", "drift_up", "drift_down", "alpha")


def _cube(
    events: Tensor,
    weight: Tensor,
    sender: Tensor,
    receiver: Tensor,
    inputs: Tensor,
    neurons: int,
    leak: float,
    threshold: float,
    refractory: int,
) -> Tensor:
    """Spikes (steps, batch, neurons) of a cube for spikes (steps, batch, inputs) of its input neurons."""
    arrays = [tensor.detach().cpu().numpy() for tensor in (sender, receiver, inputs, weight)]
    cube = Cube(
        positions=np.zeros((neurons, 3)), inputs=arrays[2], negative_inputs=arrays[2][:0], sender=arrays[0],
        receiver=arrays[1], initial=arrays[3], weight=arrays[3], dynamics=Dynamics(leak, threshold, refractory),
    )  # fmt: skip
    samples = (events.detach().cpu() != 0).transpose(0, 1).numpy()
    fired = np.stack(list(cube.run(samples)), axis=1)
    return torch.from_numpy(fired).to(events.device)


def _rank_order_weights(spikes: Tensor, settings: list[float], ties: str) -> Tensor:
    """Weights (batch, neurons) that spikes (steps, batch, neurons) would give an output neuron of `DeSNN`."""
    readout = DeSNN(ties=ties, **dict(zip(_SETTINGS, settings, strict=True)))  # type: ignore[arg-type]
    return torch.from_numpy(readout.weights_of(spikes.detach().cpu().transpose(0, 1).numpy())).to(spikes.device)


_LIBRARY = torch.library.Library("spikeneuro", "FRAGMENT")
_LIBRARY.define(
    "cube(Tensor events, Tensor weight, Tensor sender, Tensor receiver, Tensor inputs, int neurons, float leak, "
    "float threshold, int refractory) -> Tensor"
)
_LIBRARY.impl("cube", _cube, "CompositeExplicitAutograd")
_LIBRARY.define("rank_order_weights(Tensor spikes, float[] settings, str ties) -> Tensor")
_LIBRARY.impl("rank_order_weights", _rank_order_weights, "CompositeExplicitAutograd")


class CubeLayer(nn.Module):
    """The neurons of a cube and their connections; nothing of it is trained here.

    Parameters
    ----------
    cube : Cube
        What was drawn and has learned.
    """

    weight: Tensor
    sender: Tensor
    receiver: Tensor
    inputs: Tensor

    def __init__(self, cube: Cube) -> None:
        super().__init__()
        inputs = np.concatenate([cube.inputs, cube.negative_inputs]).astype(np.int32)
        arrays = {"weight": cube.weight, "sender": cube.sender, "receiver": cube.receiver, "inputs": inputs}
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array.copy()))
        self.n_neurons, self.dynamics = cube.n_neurons, cube.dynamics

    def forward(self, events: Tensor) -> Tensor:
        """Spikes of the inputs (steps, batch, inputs) -> spikes of all neurons (steps, batch, neurons)."""
        constants = self.dynamics
        spikes: Tensor = torch.ops.spikeneuro.cube(
            events, self.weight, self.sender, self.receiver, self.inputs, self.n_neurons, float(constants.leak),
            float(constants.threshold), int(constants.refractory),
        )  # fmt: skip
        return spikes


class LinearReadout(nn.Module):
    """A linear model of firing rates.

    Parameters
    ----------
    weights, constants : ndarray, shapes (outputs, neurons) and (outputs,)
        Of the model, standardisation included.
    """

    def __init__(self, weights: Array, constants: Array) -> None:
        super().__init__()
        self.layer = nn.Linear(weights.shape[1], weights.shape[0], dtype=torch.float64)
        with torch.no_grad():
            self.layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)))
            self.layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(constants)))

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes (steps, batch, neurons) -> what the linear model decides by, (batch, outputs)."""
        outputs: Tensor = self.layer(spikes.mean(0, dtype=torch.float64))
        return outputs


class RankOrderLayer(nn.Module):
    """The static form of deSNN: weights of a sample, distances to those of the training samples, votes.

    Parameters
    ----------
    readout : DeSNN or DeSNNRegressor
        Fitted.
    values : ndarray, shape (training samples, outputs)
        What each training sample votes for.
    """

    stored: Tensor
    values: Tensor

    def __init__(self, readout: DeSNN | DeSNNRegressor, values: Array) -> None:
        super().__init__()
        self.register_buffer("stored", torch.from_numpy(readout.weights_.copy()))
        self.register_buffer("values", torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)))
        # where ranks begin only scales the first weight
        alpha = readout.alpha * readout.mod**readout.first_rank
        self.settings = [readout.mod, readout.drift_up, readout.drift_down, alpha]
        self.ties, self.vote, self.sigma = readout.ties, readout.vote, float(readout.sigma)
        self.n_neighbors = readout.n_voters

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes (steps, batch, neurons) -> means of the neighbours' values, (batch, outputs)."""
        weights = torch.ops.spikeneuro.rank_order_weights(spikes, self.settings, self.ties)
        difference = [(row - self.stored).square().sum(-1) for row in weights]  # one by one: the stack may not fit
        distance = torch.stack(difference).sqrt()
        votes: Tensor = neighbour_votes(distance, self.n_neighbors, self.vote, self.sigma)
        return votes @ self.values


class CubeNetwork(nn.Module):
    """Encoder, cube and readout of a trained NeuCube.

    Parameters
    ----------
    encoder : Encoder or None
        The fitted code; None for samples that are spikes already.
    cube : CubeLayer
        The cube.
    readout : torch.nn.Module
        Spikes (steps, batch, neurons) to outputs.
    signed : bool
        Whether negative spikes feed the twins.
    """

    def __init__(self, encoder: Encoder | None, cube: CubeLayer, readout: nn.Module, *, signed: bool) -> None:
        super().__init__()
        self.encoder, self.cube, self.readout, self.signed = encoder, cube, readout, signed
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, times) -> (batch, outputs)."""
        if self.encoder is None:
            parts = [(x > 0).permute(2, 0, 1), (x < 0).permute(2, 0, 1)]
        else:
            pairs = encoded(self.encoder, x).unflatten(-1, (x.shape[1], -1)).bool()
            absent = torch.zeros_like(pairs[..., 0])
            parts = [pairs[..., 0], pairs[..., 1] if pairs.shape[-1] == 2 else absent]
        events = torch.cat(parts, dim=-1) if self.signed else parts[0]
        outputs: Tensor = self.readout(self.cube(events))
        return outputs


class CubeNetworkSource:
    """The trained estimator as a network; part of `spikeneuro.reservoir.NeuCube`."""

    cube_: Cube
    channels_: NDArray[np.intp]
    encoder_: Encoder | None
    classes_: Array
    readout_: Any
    negative: str

    def _signals(self, X: ArrayLike, *, reset: bool = False) -> Array:
        raise NotImplementedError

    def network_input(self, X: ArrayLike) -> Tensor:
        """Channels that feed the cube, ``(n, inputs, times)``."""
        check_is_fitted(self, "cube_")
        return torch.from_numpy(np.array(self._signals(X)[:, self.channels_], dtype=np.float64, order="C"))

    @property
    def net_(self) -> Any:
        """Holder of the network as one torch module, ``net_.module_``, as the energy ledger looks for it.

        Raises
        ------
        InputError
            For readouts other than linear models of rates and the static form of deSNN, which the ledger cannot count.
        """
        if not hasattr(self, "readout_"):
            raise AttributeError(f"{type(self).__name__} is not fitted.")
        layer = CubeLayer(self.cube_)
        network = CubeNetwork(self.encoder_, layer, self._readout_layer(), signed=self.negative != "none")
        return SimpleNamespace(module_=network.eval())

    def _readout_layer(self) -> nn.Module:
        readout = self.readout_
        if isinstance(readout, (DeSNN, DeSNNRegressor)):
            if readout.form == "membrane":
                raise InputError(
                    "the membrane form of deSNN stops at the first output neuron that fires, so its operations follow "
                    "from no torch module; form='static' is counted."
                )
            return RankOrderLayer(readout, readout.voted_values())
        return LinearReadout(*linear_layer(readout))
