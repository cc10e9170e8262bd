"""What `health` found: numbers by layer and time step, a table, and sentences that say what is wrong."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro.training.firing import SATURATED_ABOVE

#: Share of a layer's neurons that may be dead, or saturated, before it is a finding.
MANY = 0.1
#: Spikes per neuron and step above which a layer's spikes save nothing.
BUSY = 0.5
#: Ratio of gradients at the ends of the time axis, or of the network, that counts as vanishing; exploding is 1 over it.
VANISHING = 1e-3
#: Parts into which time is cut to compare gradients.
_PARTS = 10

Course = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerHealth:
    """Firing and gradients of one spiking layer on the data.

    Attributes
    ----------
    name : str
        Name of the layer in the network.
    kind : str
        Name of its class.
    dt : float or None
        Length of a step in seconds, where known.
    rates : ndarray, shape (neurons,)
        Spikes per step of each neuron, over all samples and steps.
    rate_over_time : ndarray, shape (steps,)
        Spikes per neuron at each step, over all samples.
    gradient_current, gradient_spikes : ndarray, shape (steps,), or None
        Norm over neurons, as root mean square over samples, of the gradient of a sample's loss by the layer's input
        current, and by its spikes, at each step. The first has come back through the neurons and through later steps,
        the second is what arrives from the layers above. None without labels.
    reached : bool
        Whether the loss depends on the layer; True without labels.
    not_finite : dict of str to int
        Number of NaN or infinite values in ``input``, ``gradient_current`` and ``gradient_spikes``, where there are
        any.
    """

    name: str
    kind: str
    dt: float | None
    rates: Course
    rate_over_time: Course
    gradient_current: Course | None
    gradient_spikes: Course | None
    reached: bool
    not_finite: dict[str, int]

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return len(self.rates)

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return len(self.rate_over_time)

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return float(self.rates.mean())

    @property
    def rate_hz(self) -> float | None:
        """Spikes per neuron and second, where the length of a step is known."""
        return None if self.dt is None else self.rate / self.dt

    @property
    def dead(self) -> float:
        """Share of neurons that never fired."""
        return float((self.rates == 0).mean())

    @property
    def saturated(self) -> float:
        """Share of neurons that fired in more than 95 % of their steps."""
        return float((self.rates > SATURATED_ABOVE).mean())


@dataclass(frozen=True, eq=False)
class HealthReport:
    """Health of a spiking network on data, as `health` measures it.

    Attributes
    ----------
    layers : tuple of LayerHealth
        The spiking layers in the order in which they ran.
    parameter_gradients : dict of str to float
        Norm of the gradient of the mean loss by the parameters of each module, by name; empty without labels.
    loss : float or None
        Mean loss; None without labels.
    samples : int
        Number of samples.
    training : bool
        Whether dropout and normalisation acted as in training.
    not_run : tuple of str
        Spiking layers that no pass went through.

    Examples
    --------
    >>> import torch
    >>> from spikeneuro import nn, training
    >>> layer = nn.LIF(4, beta=0.0)
    >>> x = torch.tensor([0.0, 0.5, 2.0, 3.0]).expand(10, 3, 4)
    >>> report = training.health(layer, x, batch_axis=1)
    >>> report.table()[["layer", "neurons", "rate", "dead", "saturated"]]
      layer  neurons  rate  dead  saturated
    0   LIF        4   0.5   0.5        0.5
    >>> print(report.findings()[0])
    layer LIF: 50 % of its 4 neurons never fired on these data: raise their input or lower their threshold.
    """

    layers: tuple[LayerHealth, ...]
    parameter_gradients: dict[str, float]
    loss: float | None
    samples: int
    training: bool
    not_run: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """One row per layer.

        Returns
        -------
        DataFrame
            Columns ``layer, kind, neurons, steps, dt`` (seconds), ``rate`` (spikes per neuron and step), ``rate_hz``,
            ``dead`` and ``saturated`` (shares of neurons), ``gradient_current`` and ``gradient_spikes`` (norms over
            neurons and steps). What is not known is NaN.
        """
        rows = [
            {
                "layer": layer.name, "kind": layer.kind, "neurons": layer.neurons, "steps": layer.steps,
                "dt": _or_nan(layer.dt), "rate": layer.rate, "rate_hz": _or_nan(layer.rate_hz), "dead": layer.dead,
                "saturated": layer.saturated, "gradient_current": _norm(layer.gradient_current),
                "gradient_spikes": _norm(layer.gradient_spikes),
            }
            for layer in self.layers
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def findings(self) -> list[str]:
        """What is wrong, in a sentence each with what to do; empty for a healthy network.

        Returns
        -------
        list of str
            Values that are not finite come first, then each layer in its order, then the network as a whole.
        """
        found = []
        if self.loss is not None and not math.isfinite(self.loss):
            found.append(f"the loss is {self.loss}: look for the first layer or parameter named below.")
        found += [sentence for layer in self.layers for sentence in _not_finite(layer)]
        found += [
            f"module {name}: the gradient of its parameters is {norm}."
            for name, norm in self.parameter_gradients.items()
            if not math.isfinite(norm)
        ]
        for layer in self.layers:
            found += _firing_findings(layer)
            found += _gradient_findings(layer)
        found += _over_layers(self.layers)
        found += [
            f"layer {name}: no pass went through this layer as layer(x), so nothing is known of it."
            for name in self.not_run
        ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON.

        Returns
        -------
        dict
            ``samples``, ``training``, ``loss``, ``layers`` (a mapping each: the columns of `table`, and ``rates``,
            ``rate_over_time``, ``gradient_current_over_time``, ``gradient_spikes_over_time``, ``reached`` and
            ``not_finite``), ``parameter_gradients``, ``not_run`` and ``findings``. A number that is NaN, infinite or
            not known is None; ``not_finite`` and the findings tell which.
        """
        layers = [
            {
                **{name: _plain(value) for name, value in row.items()},
                "rates": layer.rates.tolist(),
                "rate_over_time": layer.rate_over_time.tolist(),
                "gradient_current_over_time": _plain(layer.gradient_current),
                "gradient_spikes_over_time": _plain(layer.gradient_spikes),
                "reached": layer.reached,
                "not_finite": layer.not_finite,
            }
            for layer, row in zip(self.layers, self.table().to_dict("records"), strict=True)
        ]
        return {
            "samples": self.samples,
            "training": self.training,
            "loss": _plain(self.loss),
            "layers": layers,
            "parameter_gradients": {name: _plain(norm) for name, norm in self.parameter_gradients.items()},
            "not_run": list(self.not_run),
            "findings": self.findings(),
        }


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _norm(course: Course | None) -> float:
    return math.nan if course is None else float(np.sqrt((course**2).sum()))


def _plain(value: Any) -> Any:
    """Value for JSON, which has no NaN."""
    if isinstance(value, np.ndarray):
        return [_plain(number) for number in value.tolist()]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _not_finite(layer: LayerHealth) -> list[str]:
    places = {
        "input": "its input current",
        "gradient_current": "the gradient at its input",
        "gradient_spikes": "the gradient at its spikes",
    }
    return [
        f"layer {layer.name}: {places[place]} holds {count} value(s) that are NaN or infinite."
        for place, count in layer.not_finite.items()
    ]


def _firing_findings(layer: LayerHealth) -> list[str]:
    who = f"of its {layer.neurons} neurons"
    if layer.dead == 1:
        text = f"none {who} ever fired on these data, so nothing after it sees them: raise its input (gain, weights, "
        return [f"layer {layer.name}: {text}normalisation) or lower its threshold."]
    found = []
    if layer.dead >= MANY:
        text = f"{_percent(layer.dead)} {who} never fired on these data: raise their input or lower their threshold."
        found.append(f"layer {layer.name}: {text}")
    if layer.saturated >= MANY:
        found.append(
            f"layer {layer.name}: {_percent(layer.saturated)} {who} fired in more than {_percent(SATURATED_ABOVE)} of "
            "their steps and tell nothing by it: lower their input or raise their threshold."
        )
    elif layer.rate > BUSY:
        found.append(
            f"layer {layer.name}: its neurons fire in {_percent(layer.rate)} of their steps: nothing is saved over "
            "numbers that are not spikes; a rate penalty or a higher threshold makes them sparse."
        )
    return found


def _gradient_findings(layer: LayerHealth) -> list[str]:
    current, spikes = layer.gradient_current, layer.gradient_spikes
    if current is None or spikes is None or not (np.isfinite(current).all() and np.isfinite(spikes).all()):
        return []
    if not layer.reached or not spikes.any():
        return [f"layer {layer.name}: the loss does not depend on its spikes, so nothing up to it learns."]
    if not current.any():
        text = "no gradient passes its neurons: every potential is outside the reach of the surrogate; use a wider one,"
        return [f"layer {layer.name}: {text} or bring the potentials nearer to the threshold."]
    return [] if layer.steps < _PARTS else _over_time(layer.name, current)


def _over_time(name: str, gradient: Course) -> list[str]:
    """Compare the first tenth of the steps with the largest, and with the last that gets any gradient."""
    parts = np.array([np.sqrt((part**2).mean()) for part in np.array_split(gradient, _PARTS)])
    first, largest, last = parts[0], parts.max(), parts[parts > 0][-1]
    found = []
    if first < VANISHING * largest:
        found.append(
            f"layer {name}: the gradient at its input vanishes backward in time: in the first tenth of the steps it is "
            f"{first / largest:.1g} of its largest. What comes early is hardly learned; longer time constants, or a "
            "readout that looks at all steps, carry it further."
        )
    if first > last / VANISHING:
        found.append(
            f"layer {name}: the gradient at its input explodes backward in time: in the first tenth of the steps it is "
            f"{first / last:.1g} times that of the last. Smaller recurrent weights, a shallower surrogate or clipping "
            "(gradient_clip) hold it."
        )
    return found


def _over_layers(layers: tuple[LayerHealth, ...]) -> list[str]:
    norms = [_norm(layer.gradient_current) for layer in layers]
    if len(layers) < 2 or not all(math.isfinite(norm) and norm > 0 for norm in (norms[0], norms[-1])):
        return []
    ratio, ends = norms[0] / norms[-1], f"from {layers[-1].name} to {layers[0].name}"
    if ratio < VANISHING:
        return [f"the gradient shrinks to {ratio:.1g} {ends}: use a wider surrogate, or fewer or normalised layers."]
    if ratio > 1 / VANISHING:
        return [f"the gradient grows {ratio:.1g} times {ends}: use a shallower surrogate, smaller weights or clipping."]
    return []
