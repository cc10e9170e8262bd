"""Health of a spiking network on data: dead and saturated neurons, rates, and gradients by layer and time."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from spikeneuro import _several
from spikeneuro._random import scoped_seed
from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.training.examined import Examined, Loss, as_examined, samples_along
from spikeneuro.training.firing import is_spiking
from spikeneuro.training.health_report import HealthReport, LayerHealth
from spikeneuro.training.watching import LayerGradients, Watched, gradients, spiking_layers, watched_layers

#: Where the gradient of a layer is looked at.
_PLACES = ("gradient_current", "gradient_spikes")


def health(
    model: Any,
    X: ArrayLike | Tensor,
    y: ArrayLike | Tensor | None = None,
    *,
    loss: Loss | None = None,
    sfreq: float | None = None,
    batch_size: int = 32,
    batch_axis: int = 0,
    training: bool = False,
    random_state: int | None = None,
) -> HealthReport:
    r"""Measure firing, and with labels the gradients, of every spiking layer of a network on data.

    For a layer with input current :math:`x` and spikes :math:`s` over T steps, and a loss :math:`\ell_b` of each
    sample b of B, the gradient norms at step t are

    .. math:: \Big(\tfrac1B \sum_b \Big\| \frac{\partial \ell_b}{\partial x_{t,b}} \Big\|^2\Big)^{1/2}
        \quad\text{and}\quad
        \Big(\tfrac1B \sum_b \Big\| \frac{\partial \ell_b}{\partial s_{t,b}} \Big\|^2\Big)^{1/2},

    with the surrogate's derivative for that of the spike. The first contains all paths through later steps of the
    layer, so that it shows gradients that vanish or explode backward in time; the second is what the layers above send
    back. :math:`\ell_b` is the sample's share of the batch's mean loss, times the batch size. The network is left as
    it was: mode, buffers and ``.grad`` included.

    Parameters
    ----------
    model : nn.Module, NeuroClassifier, NeuroRegressor or Windowed
        A network, or a fitted estimator of one (``max_epochs=0`` for a network as it is initialised).
    X : array-like or Tensor, or dict of these
        Data: for an estimator as its `predict` takes them, for a network as it takes them itself.
    y : array-like or Tensor, optional
        Labels, or targets, of the samples; without them there are no gradients.
    loss : callable, optional
        Maps output and target of a batch to their mean loss. Default: the estimator's; for a network cross-entropy
        where `y` holds integers (-1: not scored), squared error where it does not.
    sfreq : float, optional
        Sampling rate of `X` in hertz along its time axis, for rates in hertz; default the model's own.
    batch_size : int
        Most samples in a pass.
    batch_axis : int
        Axis of `X` along which the samples lie: 0, or 1 for a network that takes (time, batch, features).
    training : bool
        Whether dropout and batch normalisation act as in training, which is how a network that was never trained
        should be looked at: its running statistics mean nothing yet.
    random_state : int, optional
        Seed of codes and dropout that draw at random; default the estimator's seed. Global generators are untouched.

    Returns
    -------
    HealthReport
        Numbers by layer; `HealthReport.findings` says what is wrong.

    Raises
    ------
    InputError
        If the model has no spiking layer or none was run, an estimator is not fitted, data are not finite, labels are
        unknown or of another number than the samples, or the loss carries no gradient. Gradients and currents that
        are NaN raise nothing: the report names them.

    References
    ----------
    Rossbroich, Gygax and Zenke (2022), doi:10.1088/2634-4386/ac97bb, on firing and gradients at initialisation;
    Zenke and Vogels (2021), doi:10.1162/neco_a_01367, on surrogates.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeneuro import NeuroClassifier, training
    >>> X, y = np.random.default_rng(0).normal(size=(24, 3, 64)), np.tile([0, 1], 12)
    >>> clf = NeuroClassifier("recurrent-snn", sfreq=64.0, max_epochs=0, random_state=0).fit(X, y)
    >>> report = training.health(clf, X, y, training=True)
    >>> report.layers[0].name, report.layers[0].neurons, len(report.layers[0].gradient_current)
    ('neurons.0', 64, 64)
    """
    check_number(batch_size, "batch_size", low=1, integer=True)
    check_number(batch_axis, "batch_axis", low=0, high=1, integer=True)
    if sfreq is not None:
        check_number(sfreq, "sfreq", low=0, closed="right")
    examined = as_examined(model, X, y, batch_axis)
    module = examined.module
    if not is_spiking(module):
        raise InputError(
            f"{type(module).__name__} has no spiking layer, so no neuron of it can be dead or saturated; "
            "models.names(spiking=True) lists the models that have."
        )
    examined = examined._replace(
        loss=loss or examined.loss,
        sfreq=sfreq or examined.sfreq,
        seed=examined.seed if random_state is None else random_state,
    )
    with scoped_seed(examined.seed), _left_as_it_was(module, training):
        tally = _passes(examined, int(batch_size), int(batch_axis))
    return _report(tally, examined, int(batch_axis), training)


@contextmanager
def _left_as_it_was(module: nn.Module, training: bool) -> Iterator[None]:
    """Scope in which the network is in the mode asked for; modes and buffers are put back at its end."""
    modes = {part: part.training for part in module.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    module.train(training)
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@dataclass
class _LayerTally:
    """Sums over passes of one layer."""

    kind: str
    own_dt: float | None
    counts: Tensor
    over_time: Tensor
    squares: dict[str, Tensor]
    reached: bool = False
    not_finite: dict[str, int] = field(default_factory=dict)

    def note(self, place: str, values: Tensor) -> None:
        """Count what is not finite."""
        count = int(values.numel() - torch.isfinite(values).sum())
        if count:
            self.not_finite[place] = self.not_finite.get(place, 0) + count


@dataclass
class _Tally:
    """Sums over passes."""

    samples: int = 0
    loss: float = 0.0
    layers: dict[str, _LayerTally] = field(default_factory=dict)
    parameters: dict[str, Tensor] = field(default_factory=dict)


def _passes(examined: Examined, batch_size: int, batch_axis: int) -> _Tally:
    """Run the samples in batches of nearly equal size, as in training, and sum up."""
    module, inputs, target = examined.module, examined.inputs, examined.target
    samples = samples_along(inputs, batch_axis)
    count = math.ceil(samples / batch_size)
    targets = [None] * count if target is None else target.tensor_split(count)
    edges = [0, *(len(part) for part in torch.arange(samples).tensor_split(count))]
    edges = torch.tensor(edges).cumsum(0).tolist()
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    learned = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    tally = _Tally(samples)
    for start, stop, labels in zip(edges[:-1], edges[1:], targets, strict=True):
        size = stop - start
        batch = _several.narrow(inputs, batch_axis, start, size)
        with torch.set_grad_enabled(target is not None), watched_layers(module) as layers:
            output = module(_several.moved(batch, device))
            if not layers:
                raise InputError(
                    f"no spiking layer of {type(module).__name__} was run as layer(x), so nothing can be measured."
                )
            for name, layer in layers.items():
                _add_firing(tally, name, layer)
            if labels is None:
                continue
            loss = examined.loss(output, labels.to(device))
            tally.loss += float(loss.detach()) * size / samples
            by_layer, by_parameter = gradients(loss, layers, list(learned.values()))
        for name, found in by_layer.items():
            _add_gradients(tally.layers[name], found, size)
        for name, gradient in zip(learned, by_parameter, strict=True):
            share = torch.zeros_like(learned[name]) if gradient is None else gradient * (size / samples)
            tally.parameters[name] = tally.parameters.get(name, torch.zeros_like(share)) + share
    return tally


def _add_firing(tally: _Tally, name: str, layer: Watched) -> None:
    spikes = torch.cat([piece.detach() for piece in layer.spikes])
    per_neuron = spikes.sum(dim=(0, 1), dtype=torch.float64).flatten().cpu()
    per_step = spikes.flatten(1).sum(dim=1, dtype=torch.float64).cpu()
    if name not in tally.layers:
        dt = getattr(layer.layer, "dt", None)
        empty = torch.zeros_like(per_step)
        tally.layers[name] = _LayerTally(
            type(layer.layer).__name__, dt, torch.zeros_like(per_neuron), empty, dict.fromkeys(_PLACES, empty)
        )
    known = tally.layers[name]
    known.counts = known.counts + per_neuron
    known.over_time = known.over_time + per_step
    for piece in layer.currents:
        known.note("input", piece.detach())


def _add_gradients(tally: _LayerTally, found: LayerGradients, size: int) -> None:
    """Add the squared norms of the gradients of each sample's loss, which is `size` times its share of the mean."""
    for place, gradient in zip(_PLACES, found, strict=True):
        if gradient is not None:
            tally.reached = True
            tally.note(place, gradient)
            squares = (gradient.to(torch.float64) * size).flatten(1).square().sum(dim=1).cpu()
            tally.squares[place] = tally.squares[place] + squares


def _report(tally: _Tally, examined: Examined, batch_axis: int, training: bool) -> HealthReport:
    with_gradients = examined.target is not None
    layers = []
    for name, layer in tally.layers.items():
        steps = len(layer.over_time)
        norms = {place: (layer.squares[place] / tally.samples).sqrt().numpy() for place in _PLACES if with_gradients}
        layers.append(
            LayerHealth(
                name=name,
                kind=layer.kind,
                dt=_step_length(examined, batch_axis, steps, layer.own_dt),
                rates=(layer.counts / (tally.samples * steps)).numpy(),
                rate_over_time=(layer.over_time / (tally.samples * len(layer.counts))).numpy(),
                gradient_current=norms.get("gradient_current"),
                gradient_spikes=norms.get("gradient_spikes"),
                reached=layer.reached or not with_gradients,
                not_finite=layer.not_finite,
            )
        )
    ran = {name.partition(" (call ")[0] for name in tally.layers}
    return HealthReport(
        layers=tuple(layers),
        parameter_gradients=_by_module(tally.parameters),
        loss=tally.loss if with_gradients else None,
        samples=tally.samples,
        training=training,
        not_run=tuple(name for name in spiking_layers(examined.module) if name not in ran),
    )


def _by_module(gradients_by_name: dict[str, Tensor]) -> dict[str, float]:
    """Norm of the gradient of each module's own parameters."""
    squares: dict[str, float] = {}
    for name, gradient in gradients_by_name.items():
        module = name.rpartition(".")[0] or name
        squares[module] = squares.get(module, 0.0) + float(gradient.double().square().sum())
    return {module: math.sqrt(square) for module, square in squares.items()}


def _step_length(examined: Examined, batch_axis: int, steps: int, own: float | None) -> float | None:
    """Length of a layer's step in seconds; None where the input has no time in seconds.

    Steps divide the duration of the input. Pooling may leave a rest out, so that the layer's own step is the exact one
    where it agrees with that division; it does not where time constants are counted in steps.
    """
    inputs = examined.inputs
    if _several.is_several(inputs):
        return _own_step(inputs, examined.sfreq, steps, own)
    if not examined.sfreq or inputs.ndim != 3:
        return None
    divided = inputs.shape[0 if batch_axis else -1] / examined.sfreq / steps
    return own if own is not None and abs(own / divided - 1) < 1 / steps else divided


def _own_step(inputs: Mapping[str, Tensor], sfreq: Any, steps: int, own: float | None) -> float | None:
    """A layer's own step, if its steps span one of the modalities, which may last differently long."""
    for name, part in inputs.items():
        rate = _several.rate_of(sfreq, name)
        if own is None or not rate or part.ndim not in (3, 5):
            continue
        seconds = part.shape[-1 if part.ndim == 3 else 1] / rate
        if abs(own * steps / seconds - 1) < 1 / steps:
            return own
    return None
