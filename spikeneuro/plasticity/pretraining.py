"""Pre-training of a layer of any network by plasticity, before it is trained by gradients."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.nn import LIFLayer
from spikeneuro.plasticity.connections import Constant
from spikeneuro.plasticity.engine import REDUCTIONS
from spikeneuro.plasticity.homeostasis import Homeostasis
from spikeneuro.plasticity.layers import connect
from spikeneuro.plasticity.learning import Learner, check_steps
from spikeneuro.plasticity.named import Given, as_homeostasis, as_rule
from spikeneuro.plasticity.record import Pretraining, mean_rate, record_in_history
from spikeneuro.plasticity.rules import Rule
from spikeneuro.plasticity.statistics import Batches, each, take_statistics


def pretrain(
    model: nn.Module,
    batches: Batches,
    synapses: str,
    neurons: str,
    rule: Rule,
    *,
    low: Constant,
    high: Constant,
    epochs: int = 1,
    reduction: str = "mean",
    homeostasis: Sequence[Homeostasis] = (),
) -> Pretraining:
    """Let one layer of a network learn by plasticity, from what reaches it when the network runs.

    Each batch is run through the network in evaluation mode; what arrived at the synapses and what the neurons fired
    change the weights once, with `Learner.update`. Batch normalisations up to these neurons that have seen no data get
    the statistics of all batches before, so that plasticity learns from the currents that gradients will see. The rest
    of the network stays as it is. Layers are trained one after the other, from the input on, by calling this for each.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    batches : sequence of Tensor, or function that returns an iterable of them
        Inputs of the network; a function is called for each pass. There are passes besides the epochs: one for each
        normalisation without data, and two that measure the rate.
    synapses, neurons : str
        Names of the layer's two modules in `model`, as ``model.named_modules()`` has them: the Linear, convolution or
        `SparseLinear`, and the spiking neurons behind it. What lies between them (a normalisation) must keep the shape.
    rule : Rule
        The rule; not one with reward.
    low, high : float or Tensor
        Bounds of the weights, which hold them now already.
    epochs : int, default 1
        Number of passes.
    reduction : {"mean", "sum"}, default "mean"
        As for `learning`.
    homeostasis : sequence of Homeostasis
        As for `learning`.

    Returns
    -------
    Pretraining
        What happened, batch by batch.

    Raises
    ------
    InputError
        If a name is unknown, the layer gets no spikes or something other than spikes, its neurons never fire, a bound
        does not hold, or the rule's steps are not as long as those of the neurons.

    Warns
    -----
    UserWarning
        If half of the neurons or more fired in no batch, and so learned nothing.

    Examples
    --------
    >>> from spikeneuro.nn import LIF
    >>> from spikeneuro.plasticity import PairSTDP
    >>> model = nn.Sequential(nn.Linear(20, 8, bias=False), LIF(8), nn.Linear(8, 2))
    >>> _ = nn.init.uniform_(model[0].weight, 0.2, 0.5, torch.Generator().manual_seed(0))
    >>> x = (torch.rand(50, 4, 20, generator=torch.Generator().manual_seed(1)) < 0.2).float()
    >>> done = pretrain(model, [x], "0", "1", PairSTDP(), low=0.0, high=1.0, epochs=3)
    >>> len(done.change), done.change[0] > 0
    (3, True)
    """
    check_number(epochs, "epochs", low=1, integer=True)
    layer, cells = _module(model, synapses, "synapses"), _module(model, neurons, "neurons")
    connection = connect(layer, low, high)
    dt = getattr(cells, "dt", None)
    if dt is not None:
        check_steps(rule, dt)
    done, fired = Pretraining(), None
    take_statistics(model, batches, cells)

    def rate() -> float:
        return mean_rate(observed(model, batch, layer, cells, (synapses, neurons))[1] for batch in each(batches))

    mode = model.training
    model.eval()
    try:
        with Learner(connection, rule, reduction=reduction, homeostasis=homeostasis) as learner:
            learner.neurons = cells
            done.before, first = rate(), connection.weight.detach().clone()
            for _ in range(epochs):
                for batch in each(batches):
                    pre, post = observed(model, batch, layer, cells, (synapses, neurons))
                    before = connection.weight.detach().clone()
                    learner.update(pre, post)
                    done.add(before, connection.weight.detach(), post)
                    ever = post.flatten(0, 1).amax(0) > 0
                    fired = ever if fired is None else fired | ever
        done.close(first, connection.weight.detach())
        done.after = rate()
    finally:
        model.train(mode)
    _check_firing(fired, neurons)
    return done


def _check_firing(fired: Tensor | None, neurons: str) -> None:
    if fired is None:
        raise InputError("there was no batch to learn from.")
    if not bool(fired.any()):
        raise InputError(
            f"no neuron of {neurons!r} ever fired, so that nothing was learned; raise weights or lower thresholds."
        )
    silent = float((~fired).float().mean())
    if silent >= 0.5:
        warnings.warn(
            f"{silent:.0%} of the neurons of {neurons!r} never fired and learned nothing; "
            "a homeostasis such as ThresholdHomeostasis makes all take part.",
            stacklevel=3,
        )


def _module(model: nn.Module, name: str, what: str) -> nn.Module:
    modules = dict(model.named_modules())
    if name not in modules:
        raise InputError(f"{what}={name!r} is no module of the network; it has {', '.join(list(modules)[1:30])}.")
    return modules[name]


@torch.no_grad()
def observed(
    model: nn.Module, batch: Tensor, layer: nn.Module, cells: nn.Module, names: tuple[str, str]
) -> tuple[Tensor, Tensor]:
    """Return what arrives at a layer's synapses and what its neurons fire when the network runs.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    batch : Tensor
        Its input.
    layer, cells : torch.nn.Module
        Synapses and neurons.
    names : (str, str)
        What they are called, for messages.

    Returns
    -------
    pre, post : Tensor
        (time, batch, *features).
    """
    seen: dict[str, list[Tensor]] = {"pre": [], "post": []}
    hooks = [
        layer.register_forward_pre_hook(lambda _, given: seen["pre"].append(given[0])),
        cells.register_forward_hook(lambda _, __, made: seen["post"].append(made)),
    ]
    try:
        model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for (key, calls), name in zip(seen.items(), names, strict=True):
        if len(calls) != 1 or not isinstance(calls[0], Tensor):
            raise InputError(
                f"{name!r} was called {len(calls)} times in a run of the network where its "
                f"{'input' if key == 'pre' else 'output'} was to be seen once, as a tensor over all time."
            )
    pre, post = seen["pre"][0], seen["post"][0]
    if pre.dim() == post.dim() - 1 and pre.shape[0] == post.shape[0] * post.shape[1]:  # time was folded into batch
        pre = pre.unflatten(0, post.shape[:2])
    if not bool(pre.any()):
        raise InputError(f"no spike reaches {names[0]!r}: its input is 0 throughout.")
    return pre, post


def training_batches(net: Any, X: Any, y: Any) -> Callable[[], Iterable[Tensor]]:
    """Function that goes once through the inputs of a skorch net's own training part, in its batches."""
    training, _ = net.get_split_datasets(X, y)

    def batches() -> Iterable[Tensor]:
        for inputs, _ in net.get_iterator(training, training=False):
            yield inputs.to(net.device)

    return batches


class STDPPretraining(Callback):
    """Callback of an estimator: pre-trains a layer by plasticity when training starts; gradients then fine-tune it.

    Given to an estimator as ``NeuroClassifier(..., callbacks=[STDPPretraining(...)])``. It sees the data that the
    network is trained on, without labels, and none of those set aside for validation. One callback for each layer,
    from the input on, trains several.

    Parameters
    ----------
    synapses, neurons : str
        Names of the layer's two modules, as for `pretrain`.
    rule : Rule, str or mapping
        The rule; or its name, or its name and constants, as `spikeneuro.plasticity.as_rule` takes them, for the steps
        of the neurons.
    low, high : float or Tensor
        Bounds of the weights while they learn; fine-tuning knows no bounds.
    draw : (float, float), optional
        Range between the bounds in which the weights are drawn anew before, from torch's global generator, which
        estimators seed; by default they stay as the network drew them.
    epochs : int, default 1
        Number of passes through the training data.
    reduction : {"mean", "sum"}, default "mean"
        As for `learning`.
    homeostasis : sequence of Homeostasis, str or mapping
        As for `learning`; or names and numbers, as `spikeneuro.plasticity.as_homeostasis` takes them.

    Attributes
    ----------
    pretraining_ : Pretraining
        What was done, once trained; in short also in the first epoch of the estimator's ``history_``.

    Examples
    --------
    >>> from spikeneuro.plasticity import PairSTDP
    >>> callback = STDPPretraining("linears.0", "neurons.0", PairSTDP(), low=-1.0, high=1.0, epochs=2)
    """

    def __init__(
        self,
        synapses: str,
        neurons: str,
        rule: Rule | Given,
        *,
        low: Constant,
        high: Constant,
        draw: tuple[float, float] | None = None,
        epochs: int = 1,
        reduction: str = "mean",
        homeostasis: Sequence[Homeostasis | Given] = (),
    ) -> None:
        self.synapses = synapses
        self.neurons = neurons
        self.rule = rule
        self.low = low
        self.high = high
        self.draw = draw
        self.epochs = epochs
        self.reduction = reduction
        self.homeostasis = homeostasis

    def __repr__(self) -> str:
        options = ("synapses", "neurons", "rule", "low", "high", "draw", "epochs", "reduction", "homeostasis")
        return f"STDPPretraining({', '.join(f'{name}={getattr(self, name)!r}' for name in options)})"

    def check(self, module: nn.Module) -> None:
        """Raise if this callback could not pre-train a network like this one; it is left as it is.

        Parameters
        ----------
        module : torch.nn.Module
            The network.

        Raises
        ------
        InputError
            For an unknown layer, rule or constant, bounds that do not go together, and numbers out of range.
        """
        check_number(self.epochs, "epochs", low=1, integer=True)
        check_choice(self.reduction, REDUCTIONS[:2], "reduction")
        as_homeostasis(self.homeostasis)
        connection = connect(_module(module, self.synapses, "synapses"), self.low, self.high)
        self._rule(module).prepare(connection)
        if self.draw is not None and (not isinstance(self.draw, Sequence) or len(self.draw) != 2):
            raise InputError(f"draw must be two numbers, the ends of the range, got {self.draw!r}.")

    def _rule(self, module: nn.Module) -> Rule:
        neurons = _module(module, self.neurons, "neurons")
        if not isinstance(neurons, LIFLayer):
            raise InputError(f"neurons={self.neurons!r} must be a LIF layer, got {type(neurons).__name__}.")
        return as_rule(self.rule, neurons.dt)

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Pre-train the layer.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net that is about to train.
        X, y : object
            What it was given to train on.
        **kwargs
            Not used.
        """
        del kwargs
        batches = training_batches(net, X, y)
        if self.draw is not None:
            layer = _module(net.module_, self.synapses, "synapses")
            connect(layer, self.low, self.high).draw_(*self.draw)
        rule = self._rule(net.module_)
        self.rule_ = type(rule).__name__
        self.pretraining_ = pretrain(
            net.module_, batches, self.synapses, self.neurons, rule, low=self.low, high=self.high,
            epochs=self.epochs, reduction=self.reduction, homeostasis=as_homeostasis(self.homeostasis),
        )  # fmt: skip

    def on_epoch_end(self, net: Any, *args: Any, **kwargs: Any) -> None:
        """Write to the first epoch's history what pre-training did.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net that is training.
        *args, **kwargs
            Not used.
        """
        del args, kwargs
        record_in_history(net, self.pretraining_, method="stdp", rule=self.rule_)
