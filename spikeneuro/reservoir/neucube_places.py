"""Where a cube's channels and neurons are, and which channels feed it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.feature_selection import f_classif, f_regression

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.reservoir.coordinates import box_grid, brain_grid, check_positions, electrode_positions
from spikeneuro.reservoir.neucube_wiring import Cube, Dynamics, build, nearest_neurons, spacing_of

Array = NDArray[Any]

PLACES = ("brain", "box", "channels")


class CubePlaces:
    """Places of channels and neurons; part of `spikeneuro.reservoir.NeuCube`, whose parameters these are."""

    positions: ArrayLike | None
    names: Sequence[str] | None
    montage: str
    neurons: str | ArrayLike
    n_inputs: int | None
    spacing: float
    task: str
    radius: float
    inhibitory: float
    max_weight: float
    negative: str
    leak: float
    threshold: float
    refractory: int
    limit: float
    inputs_lose: bool
    positions_: Array
    seed_: int

    def _best_channels(self, signals: Array, targets: Array) -> NDArray[np.intp]:
        """Channels that feed the cube, in their order: all, or those of the largest F."""
        count = signals.shape[1]
        if self.n_inputs is None:
            return np.arange(count)
        if self.n_inputs > count:
            raise InputError(f"n_inputs={self.n_inputs} is more than the {count} channels of X.")
        means = signals.mean(axis=-1, dtype=np.float64)
        differs = np.ptp(means, axis=0) > 0  # a channel of one mean tells nothing: it comes last
        found = np.full(count, -1.0)
        score = f_classif if self.task == "classification" else f_regression
        found[differs] = score(means[:, differs], targets)[0] if differs.any() else -1.0
        return np.sort(np.argsort(-found, kind="stable")[: self.n_inputs])

    def _places(self, n_chans: int) -> Array:
        if (self.positions is None) == (self.names is None):
            what = "neither" if self.names is None else "both"
            raise InputError(
                f"NeuCube needs names= (electrodes) or positions= (places in the brain, one a channel), got {what}; "
                "see electrode_positions, roi_positions and bundled_positions of spikeneuro.reservoir."
            )
        given = self.names if self.positions is None else self.positions
        places = (
            electrode_positions(list(self.names), self.montage)
            if self.names is not None
            else check_positions(given, "positions")  # type: ignore[arg-type]
        )
        if len(places) != n_chans:
            source = "names" if self.positions is None else "positions"
            raise InputError(f"X has {n_chans} channels, but {source} holds {len(places)} places.")
        return places

    def _draw(self, places: Array) -> Cube:
        neurons = self._neurons(places)
        unit = spacing_of(neurons)
        inputs, self.input_distance_ = nearest_neurons(self.positions_, neurons)
        far = int(np.argmax(self.input_distance_))
        distance = self.input_distance_[far]
        if distance > 3 * unit:
            raise InputError(
                f"channel {far} at {self.positions_[far].round(3).tolist()} is {distance:.0f} from its neuron, with "
                f"neurons {unit:.0f} apart; positions must be in the space and unit of the neurons "
                '(for neurons="brain" MNI millimetres; for any other space use neurons="box").'
            )
        dynamics = Dynamics(self.leak, self.threshold, self.refractory, self.limit, bool(self.inputs_lose))
        return build(
            neurons, inputs, negative=self.negative, radius=self.radius * unit, inhibitory=self.inhibitory,
            max_weight=self.max_weight, dynamics=dynamics, random_state=self.seed_,
        )  # fmt: skip

    def _neurons(self, places: Array) -> Array:
        if not isinstance(self.neurons, str):
            return check_positions(self.neurons, "neurons")
        check_choice(self.neurons, PLACES, "neurons")
        if self.neurons == "channels":
            if len(self.positions_) == len(places):
                raise InputError(
                    "neurons='channels' leaves no neuron beside the inputs; say n_inputs=, how many channels feed the "
                    "cube."
                )
            return places
        if self.neurons == "box":
            return box_grid(self.positions_)
        extent = np.ptp(self.positions_, axis=0).max()
        if len(self.positions_) > 1 and extent < 1:
            raise InputError(
                f"all positions lie within {extent:.2g} mm; MNE gives metres and the cube takes millimetres: multiply "
                "by 1000."
            )
        return brain_grid(self.spacing)
