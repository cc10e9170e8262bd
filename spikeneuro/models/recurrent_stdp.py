"""Heterogeneous plasticity of recurrent connections: its constants, and a network's pre-training by it."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor

from spikeneuro._validation import check_choice, check_number, suggestion
from spikeneuro.errors import InputError
from spikeneuro.models.dale_recurrence import DaleRecurrentLIF
from spikeneuro.nn.heterogeneity import Constant, Gamma, Heterogeneity
from spikeneuro.plasticity import (
    Homeostasis,
    PairSTDP,
    PlasticRecurrence,
    Pretraining,
    Rule,
    as_homeostasis,
    as_rule,
    learning,
)
from spikeneuro.plasticity.named import HOMEOSTASIS, Given
from spikeneuro.plasticity.pretraining import training_batches
from spikeneuro.plasticity.record import mean_rate, record_in_history

Drawn = float | Heterogeneity | Mapping[str, float] | None
Held = Sequence[Homeostasis | Given] | Homeostasis | Given | None

OWNERS = ("neuron", "synapse")
PLASTIC = ("all", "excitatory")


def heterogeneous_stdp(
    layer: DaleRecurrentLIF,
    *,
    eta_plus: Drawn = None,
    eta_minus: Drawn = None,
    tau_plus: Drawn = None,
    tau_minus: Drawn = None,
    per: str = "neuron",
    generator: torch.Generator | None = None,
) -> PairSTDP:
    r"""Draw a rule of plasticity whose constants differ between neurons or synapses.

    A spike before and one after the synapse change its weight w, between its bounds, by

    .. math::

        \Delta w = \begin{cases}
            \phantom{-}\eta_+ (w_{max} - w) \, e^{-\Delta / \tau_+} & \Delta \ge 0 \\
            -\eta_- (w - w_{min}) \, e^{\Delta / \tau_-} & \Delta < 0
        \end{cases}

    Which neuron owns a constant is left open by the source: here both rates and :math:`\tau_-` belong to the neuron
    after the synapse, :math:`\tau_+` to the one before, so that every trace is that of one neuron.

    Parameters
    ----------
    layer : DaleRecurrentLIF
        The neurons.
    eta_plus, eta_minus : float, Heterogeneity or mapping, optional
        Rates, the share of the way to the bound that a pair without delay makes; default ``Gamma(0.01)``. A mapping
        holds the arguments of a `spikeneuro.nn.heterogeneity.Gamma`, ``{"mean": 0.01}``.
    tau_plus, tau_minus : float, Heterogeneity or mapping, optional
        Time constants in the layer's unit; default ``Gamma(5 * dt)``. Values below a step are set to it.
    per : {"neuron", "synapse"}, default "neuron"
        What has a value of its own; traces of synapses take (batch, neurons, neurons) of memory.
    generator : torch.Generator, optional
        Where to draw from; torch's global generator by default.

    Returns
    -------
    PairSTDP
        With exponents 1.

    Raises
    ------
    InputError
        For numbers out of range.

    References
    ----------
    Chakraborty and Mukhopadhyay (2023), doi:10.3389/fnins.2023.994517.

    Examples
    --------
    >>> layer = DaleRecurrentLIF(2, torch.ones(2, 2), torch.ones(2, 2))
    >>> heterogeneous_stdp(layer, eta_plus=0.02).a_plus
    tensor([[0.0200],
            [0.0200]])
    """
    check_choice(per, OWNERS, "per")
    n, dt = layer.shape[0], layer.dt

    def drawn(given: Drawn, mean: float, name: str, shape: tuple[int, int]) -> Tensor:
        if isinstance(given, Mapping):
            given = _gamma(given, name)
        if not isinstance(given, Heterogeneity):
            number = None if given is None else check_number(given, name, low=0.0)
            given = Gamma(mean) if number is None else Constant(number)
        values = given(shape if per == "neuron" else (n, n), generator)
        return values.clamp(min=dt) if name.startswith("tau") else values

    return PairSTDP(
        a_plus=drawn(eta_plus, 0.01, "eta_plus", (n, 1)), a_minus=drawn(eta_minus, 0.01, "eta_minus", (n, 1)),
        tau_plus=drawn(tau_plus, 5 * dt, "tau_plus", (1, n)), tau_minus=drawn(tau_minus, 5 * dt, "tau_minus", (n, 1)),
        mu_plus=1.0, mu_minus=1.0, dt=dt,
    )  # fmt: skip


def _gamma(given: Mapping[str, float], name: str) -> Gamma:
    known = inspect.signature(Gamma).parameters
    for key in given:
        if key not in known:
            raise InputError(f"{name}: a gamma distribution has no {key!r}; {suggestion(key, known)}")
    if "mean" not in given:
        raise InputError(f"{name}: a gamma distribution needs 'mean', got {dict(given)!r}.")
    return Gamma(**given)


def recurrent_homeostasis(given: Held, total: Tensor, rate: float, dt: float) -> tuple[Homeostasis, ...]:
    """Return homeostasis for a recurrent layer; by name, what depends on the layer need not be given.

    Parameters
    ----------
    given : sequence of Homeostasis, str or mapping, or one of them, or None
        As `spikeneuro.plasticity.as_homeostasis` takes them. By name, ``every`` is "step", ``total`` of "normalisation"
        is each neuron's own, and ``target`` of "synaptic-scaling" and "threshold" the rate before learning.
    total : Tensor
        Sum of the magnitudes that arrive at each neuron, (neurons,).
    rate : float
        Spikes per neuron and step before learning.
    dt : float
        Length of a step.

    Returns
    -------
    tuple of Homeostasis
        In the same order.

    Raises
    ------
    InputError
        For an unknown name or number.

    Examples
    --------
    >>> recurrent_homeostasis("synaptic-scaling", torch.ones(3), 0.25, 0.5)
    (SynapticScaling(every='step', target=0.5, beta=0.01),)
    """
    target = {"target": rate / dt}
    own: dict[str, Any] = {"normalisation": {"total": total}, "synaptic-scaling": target, "threshold": target}
    parts = () if given is None else (given,) if isinstance(given, str | Mapping | Homeostasis) else tuple(given)
    full: list[Homeostasis | Given] = []
    for part in parts:
        named = {"name": part} if isinstance(part, str) else part
        if isinstance(named, Mapping) and named.get("name") in HOMEOSTASIS:
            named = {"every": "step"} | own.get(named["name"], {}) | dict(named)
        full.append(named)
    return as_homeostasis(full)


def learn_recurrence(
    layer: DaleRecurrentLIF,
    currents: Callable[[], Iterable[Tensor]],
    rule: Rule,
    *,
    epochs: int,
    max_weight: float | None,
    plastic: str,
    homeostasis: Held = None,
) -> Pretraining:
    """Let the connections of a layer learn from input currents, step by step.

    Weights keep their sign: they lie between 0 and `max_weight` from excitatory neurons, between ``-max_weight`` and 0
    from inhibitory ones. The rule acts on the signed weight, so that an inhibitory connection weakens where its spike
    comes before the other.

    Parameters
    ----------
    layer : DaleRecurrentLIF
        The layer; its weights are changed.
    currents : callable
        Returns the batches of an epoch, (time, batch, neurons) each.
    rule : PairSTDP
        The rule.
    epochs : int
        Number of passes.
    max_weight : float or None
        Largest magnitude; None for the largest one now.
    plastic : {"all", "excitatory"}
        Whose connections learn.
    homeostasis : optional
        As for `recurrent_homeostasis`; none by default.

    Returns
    -------
    Pretraining
        What happened.
    """
    check_number(epochs, "epochs", low=1, integer=True)
    check_choice(plastic, PLASTIC, "plastic")
    layer.settle()
    first = layer.weight.detach().clone()
    largest = float(first.abs().max())
    if largest == 0:
        raise InputError("the network has no recurrent connection that could learn; raise probability or length.")
    bound = largest if max_weight is None else check_number(max_weight, "max_weight", low=0.0, closed="neither")
    signs = layer.signs
    exists = layer.exists if plastic == "all" else signs > 0
    # absent connections need bounds, too: 0 lies within
    synapses = PlasticRecurrence(
        layer, low=-bound * (signs < 0).to(signs), high=bound * (signs >= 0).to(signs), exists=exists
    )

    def rate() -> float:
        with torch.no_grad():
            return mean_rate(layer(current) for current in currents())

    done, fired = Pretraining(before=rate()), False
    held = recurrent_homeostasis(homeostasis, (first.abs() * exists).sum(1), done.before, layer.dt)
    with learning(synapses, rule, homeostasis=held) as learner:
        for _ in range(epochs):
            for current in currents():
                before = layer.weight.detach().clone()
                spikes = learner(current.detach())
                done.add(before[exists], layer.weight.detach()[exists], spikes)
                fired = fired or bool(spikes.any())
    if not done.change:
        raise InputError("there was no batch to learn from.")
    if not fired:
        raise InputError("no neuron ever fired, so that nothing was learned; scale the input up.")
    done.close(first[exists], layer.weight.detach()[exists])
    done.after = rate()
    return done


class RecurrentSTDPPretraining(Callback):
    """Callback of an estimator of ``hrsnn``: its connections learn by plasticity when training starts.

    Given as ``NeuroClassifier("hrsnn", module__train="readout", callbacks=[RecurrentSTDPPretraining()])``. It sees the
    data that the network is trained on, without labels, and none of those set aside for validation.

    Parameters
    ----------
    rule : Rule, str or mapping, optional
        Another rule than the heterogeneous one, which is the default: a rule, its name, or its name and constants, as
        `spikeneuro.plasticity.as_rule` takes them, for the steps of the network.
    epochs : int, default 1
        Number of passes through the training data.
    max_weight : float, optional
        Largest magnitude of a weight; by default the largest one at the start.
    plastic : {"all", "excitatory"}, default "all"
        Whose connections learn.
    homeostasis : sequence of Homeostasis, str or mapping, or one of them, or None, default "normalisation"
        What holds the firing rate while they learn, as for `HRSNN.pretrain`.
    **constants
        Those of `HRSNN.stdp`; drawn from torch's global generator, which estimators seed. Not with `rule`.

    Attributes
    ----------
    pretraining_ : Pretraining
        What was done, once trained; in short also in the first epoch of the estimator's ``history_``.

    Examples
    --------
    >>> callback = RecurrentSTDPPretraining(epochs=2, eta_plus=0.02)
    """

    def __init__(
        self,
        *,
        rule: Rule | str | Mapping[str, Any] | None = None,
        epochs: int = 1,
        max_weight: float | None = None,
        plastic: str = "all",
        homeostasis: Held = "normalisation",
        **constants: Any,
    ) -> None:
        self.rule = rule
        self.epochs = epochs
        self.max_weight = max_weight
        self.plastic = plastic
        self.homeostasis = homeostasis
        self.constants = constants

    def check(self, module: Any) -> None:
        """Raise if this callback could not pre-train a network like this one; it is left as it is.

        Parameters
        ----------
        module : torch.nn.Module
            The network.

        Raises
        ------
        InputError
            For another model than ``hrsnn``, an unknown rule, option or constant, and numbers out of range.
        """
        if not hasattr(module, "stdp"):
            raise InputError(f"RecurrentSTDPPretraining is for the model 'hrsnn', got {type(module).__name__}.")
        known = [name for name in inspect.signature(module.stdp).parameters if name != "generator"]
        for name in self.constants:
            if name not in known:
                options = [*known, "rule", "epochs", "max_weight", "plastic", "homeostasis"]
                raise InputError(f"RecurrentSTDPPretraining has no {name!r}; {suggestion(name, options)}")
        if self.rule is not None and self.constants:
            raise InputError(f"rule={self.rule!r} has its own constants; leave out {', '.join(self.constants)}.")
        check_number(self.epochs, "epochs", low=1, integer=True)
        check_choice(self.plastic, PLASTIC, "plastic")
        if self.max_weight is not None:
            check_number(self.max_weight, "max_weight", low=0.0, closed="neither")
        recurrent_homeostasis(self.homeostasis, module.recurrent.weight.detach().abs().sum(1), 0.0, module.recurrent.dt)
        self._rule(module, torch.Generator())  # checked without drawing from the global generator

    def _rule(self, module: Any, generator: torch.Generator | None = None) -> Rule:
        if self.rule is not None:
            return as_rule(self.rule, module.recurrent.dt)
        rule: Rule = module.stdp(**self.constants, generator=generator)
        return rule

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Pre-train the recurrent connections.

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
        model = net.module_
        self.check(model)
        rule = self._rule(model)
        self.rule_ = type(rule).__name__
        self.pretraining_ = model.pretrain(
            training_batches(net, X, y),
            rule,
            epochs=self.epochs,
            max_weight=self.max_weight,
            plastic=self.plastic,
            homeostasis=self.homeostasis,
        )

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
        record_in_history(net, self.pretraining_, method="recurrent-stdp", rule=self.rule_)
