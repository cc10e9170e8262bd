"""A spiking classifier that no gradient trains: its synapses learn from being right or wrong."""

import copy
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor, nn

from spikeneuro._random import derive_seed, scoped_seed
from spikeneuro._validation import check_choice, check_number, user_errors
from spikeneuro.encoders import Encoder, RateEncoder
from spikeneuro.errors import InputError
from spikeneuro.models.classical.checks import InputCheck, as_signals, check_classes
from spikeneuro.models.spiking import as_encoder
from spikeneuro.nn import EventLinear
from spikeneuro.plasticity import (
    Normalisation,
    PairSTDP,
    PlasticLayer,
    RewardSTDP,
    Rule,
    connect,
    lateral_inhibition,
    learning,
)
from spikeneuro.reservoir.signals import SignalScale

Array = NDArray[Any]
REWARDS = ("error", "sign")
#: Weights may grow to this many times their mean.
_STRONGEST = 10.0


class RewardNetwork(nn.Module):
    """Spikes of a code, one layer of neurons that inhibit one another, and the number of spikes of each class.

    Parameters
    ----------
    encoder : Encoder
        Code; it sees every channel twice, above and below its mean.
    layer : PlasticLayer
        Synapses and neurons, `pool` of them for each class, in the order of the classes.
    pool : int
        Neurons of a class.
    n_votes : int, default 1
        How often a sample is shown if the code draws; spikes are added.
    """

    def __init__(self, encoder: Encoder, layer: PlasticLayer, pool: int, n_votes: int = 1) -> None:
        super().__init__()
        self.encoder, self.layer, self.pool = encoder, layer, pool
        self.n_votes = n_votes if encoder.random else 1

    def encode(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> spikes (steps, batch, 2 channels)."""
        return self.encoder(torch.cat([x, -x], dim=1))

    def votes(self, spikes: Tensor) -> Tensor:
        """Spikes of the neurons (steps, batch, neurons) -> number of spikes of each class (batch, classes)."""
        return spikes.sum(0).unflatten(1, (-1, self.pool)).sum(2)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> number of spikes of each class (batch, classes)."""
        counts = [self.votes(self.layer(self.encode(x))) for _ in range(self.n_votes)]
        return torch.stack(counts).sum(0)


class RewardSTDPClassifier(ClassifierMixin, BaseEstimator):
    r"""Classifier that learns by reward-modulated plasticity: a number tells it whether it was right, and nothing else.

    Channels, scaled, become spikes of their values above and below the mean. A layer of leaky integrate-and-fire
    neurons, some for each class, is reached by all of them through weights that are not negative; each of its spikes
    inhibits all other neurons. The class whose neurons fire most is the decision. While a sample lasts, pairs of spikes
    leave an eligibility c at each synapse,

    .. math:: c_t = e^{-dt / \tau_c} \, c_{t-1} + STDP_t

    and at its end the reward R = +1 for a right and -1 for a wrong decision makes it a change of the weight,

    .. math:: \Delta w = \eta \, (R - \bar R) \, c_T

    with :math:`\bar R` a running mean of the reward: what counts is the error of its prediction. Then the weights of
    each neuron are scaled to their sum at the start. Which class was the right one is never told.

    Parameters
    ----------
    pool : int, default 5
        Neurons of each class.
    encoder : str or Encoder, default "rate"
        A code that gives spikes, its name or the object; by that name a rate code of `n_steps` that fires at most with
        probability 0.3, at two standard deviations. The seed of the estimator covers what it draws.
    n_steps : int, default 30
        Steps for each sample of the signal, by a code that is named.
    rule : STDPRule, optional
        What makes synapses eligible; by default pairs, with a time constant of 5 steps, potentiation only. Its `dt` is
        that of a step, in any unit.
    tau_eligibility : float, default 1000
        Time constant of the eligibility, in the unit of the rule's `dt` (by default steps).
    rate : float, default 0.1
        :math:`\eta`, in units of a neuron's mean weight.
    reward : {"error", "sign"}, default "error"
        Whether the mean reward is subtracted, or R acts as it is.
    reward_memory : float, default 0.95
        Share of the running mean that a batch leaves.
    tau_mem : float, default 10
        Membrane time constant, in the same unit.
    drive : float, default 0.15
        Mean current of a neuron before learning, in thresholds a step: decides the sum of its weights.
    inhibition : float, default 5
        By how much a spike lowers the current of the others one step later, in thresholds.
    epochs : int, default 40
        Passes through the samples.
    batch_size : int, default 8
        Samples between two changes of the weights, which add up.
    n_votes : int, default 3
        With a code that draws: how often a sample is shown for a prediction; spikes are added.
    scale : {"standard", "sample", "none"}
        Channels are brought to mean 0 and deviation 1 over the training part, within each sample, or left as they are.
    random_state : int, RandomState or None
        Draws the weights, the order of the samples and the spikes of the code.

    Attributes
    ----------
    classes_ : ndarray
        Labels.
    network_ : RewardNetwork
        The network.
    rewards_ : list of float
        Mean reward R of each epoch.

    Raises
    ------
    InputError
        For numbers out of range, a code that gives no spikes, and a network whose neurons never fire.

    References
    ----------
    Izhikevich (2007), doi:10.1093/cercor/bhl152; Florian (2007), doi:10.1162/neco.2007.19.6.1468; Frémaux, Sprekeler
    and Gerstner (2010), doi:10.1523/JNEUROSCI.6249-09.2010 (the mean reward).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 3
    >>> X = rng.normal(size=(60, 12, 1)) + 2.0 * (np.arange(12) % 3 == y[:, None])[..., None]
    >>> classifier = RewardSTDPClassifier(epochs=20, random_state=0).fit(X[:45], y[:45])
    >>> classifier.score(X[45:], y[45:]) > 0.6
    True
    """

    def __init__(
        self,
        pool: int = 5,
        *,
        encoder: str | Encoder = "rate",
        n_steps: int = 30,
        rule: Rule | None = None,
        tau_eligibility: float = 1000.0,
        rate: float = 0.1,
        reward: str = "error",
        reward_memory: float = 0.95,
        tau_mem: float = 10.0,
        drive: float = 0.15,
        inhibition: float = 5.0,
        epochs: int = 40,
        batch_size: int = 8,
        n_votes: int = 3,
        scale: str = "standard",
        random_state: Any = None,
    ) -> None:
        self.pool = pool
        self.encoder = encoder
        self.n_steps = n_steps
        self.rule = rule
        self.tau_eligibility = tau_eligibility
        self.rate = rate
        self.reward = reward
        self.reward_memory = reward_memory
        self.tau_mem = tau_mem
        self.drive = drive
        self.inhibition = inhibition
        self.epochs = epochs
        self.batch_size = batch_size
        self.n_votes = n_votes
        self.scale = scale
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from samples and from whether each was decided rightly.

        Parameters
        ----------
        X : array_like, shape (n, channels, times) or (n, features)
            Samples; features are channels of a single time.
        y : array_like, shape (n,)
            Labels.

        Returns
        -------
        self
        """
        self._check_parameters()
        with user_errors():
            labels = column_or_1d(check_classes(y), warn=True)
        signals = self._signals(X, reset=True)
        if len(labels) != len(signals):
            raise InputError(f"X holds {len(signals)} samples but y {len(labels)} labels.")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.scale_ = SignalScale(self.scale).fit(signals)
        self.seed_ = derive_seed(self.random_state)
        with scoped_seed(self.seed_):
            x = self._scaled(signals)
            self.network_, total = self._built(x)
            self._learn(x, torch.from_numpy(codes), total)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Labels of the classes that fire most, (n,)."""
        decided: Array = self.classes_[self._counts(X).argmax(axis=1)]
        return decided

    def predict_proba(self, X: ArrayLike) -> Array:
        """Share of the spikes that each class fired, one added to each, (n, classes)."""
        counts = self._counts(X) + 1.0
        return counts / counts.sum(axis=1, keepdims=True)

    def network_input(self, X: ArrayLike) -> Tensor:
        """Samples as the network sees them: scaled, (n, channels, times)."""
        check_is_fitted(self, "network_")
        return self._scaled(self._signals(X, reset=False))

    @property
    def net_(self) -> Any:
        """Holder of the network, ``net_.module_``, as the energy ledger looks for it."""
        if not hasattr(self, "network_"):
            raise AttributeError(f"{type(self).__name__} is not fitted.")
        return SimpleNamespace(module_=self.network_)

    def __sklearn_tags__(self) -> Tags:
        """Signals of three dimensions, too."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _check_parameters(self) -> None:
        for name in ("pool", "n_steps", "epochs", "batch_size", "n_votes"):
            check_number(getattr(self, name), name, low=1, integer=True)
        for name in ("rate", "tau_mem", "drive", "tau_eligibility"):
            check_number(getattr(self, name), name, low=0.0, closed="neither")
        check_number(self.inhibition, "inhibition", low=0.0)
        check_number(self.reward_memory, "reward_memory", low=0.0, high=1.0, closed="left")
        check_choice(self.reward, REWARDS, "reward")

    def _signals(self, X: ArrayLike, *, reset: bool) -> Array:
        with user_errors():
            given = np.asarray(X)
        signals = as_signals(given[..., np.newaxis] if given.ndim == 2 else given)
        if reset:
            self.n_chans_ = signals.shape[1]
        elif signals.shape[1] != self.n_chans_:
            raise InputError(f"X has {signals.shape[1]} channels, but the classifier was fitted on {self.n_chans_}.")
        return signals

    def _scaled(self, signals: Array) -> Tensor:
        return torch.from_numpy(self.scale_(signals)).float()

    def _built(self, x: Tensor) -> tuple[RewardNetwork, float]:
        """The network for scaled samples, and what the weights of a neuron sum to."""
        if self.encoder == "rate":
            encoder: Encoder = RateEncoder(self.n_steps, low=0.0, high=2.0, gain=0.3)
        else:
            encoder = copy.deepcopy(as_encoder(self.encoder, self.n_steps))
        if encoder.graded:
            raise InputError(f"encoder={type(encoder).__name__} gives no spikes, which plasticity needs.")
        encoder.fit(torch.cat([x, -x], dim=1))
        features = encoder.out_features(2 * x.shape[1])
        n_neurons = self.pool * len(self.classes_)
        dt = self._rule().dt
        synapses = EventLinear(features, n_neurons, bias=False)
        cells = lateral_inhibition(n_neurons, self.inhibition, tau_mem=self.tau_mem, dt=dt)
        network = RewardNetwork(encoder, PlasticLayer(synapses, cells), self.pool, self.n_votes)
        activity = float(network.encode(x).mean())
        if activity == 0:
            raise InputError("the code gives no spike for any sample; scale the input up or choose another encoder.")
        total = self.drive / activity
        network.layer.high = _STRONGEST * total / features
        network.layer.connection.draw_(0.5 * total / features, 1.5 * total / features)
        return network.eval(), total

    def _rule(self) -> Any:
        if self.rule is None:
            return PairSTDP(a_plus=1.0, a_minus=0.0, tau_plus=5.0, tau_minus=5.0, dt=1.0)
        return self.rule

    @torch.no_grad()
    def _learn(self, x: Tensor, y: Tensor, total: float) -> None:
        network = self.network_
        weights = connect(network.layer.synapses, network.layer.low, network.layer.high)
        rate = self.rate * total / weights.sizes[1]
        rule = RewardSTDP(rule=self._rule(), tau_eligibility=self.tau_eligibility, rate=rate)
        expected, fired = 0.0, False
        self.rewards_: list[float] = []
        network.encoder.train()  # every sample of a batch is drawn for itself
        with learning(weights, rule, reduction="sum", homeostasis=[Normalisation(total=total)]) as learner:
            for _ in range(self.epochs):
                got = 0.0
                for batch in torch.randperm(len(x)).split(self.batch_size):
                    pre = network.encode(x[batch])
                    post = network.layer(pre)
                    votes = network.votes(post)
                    # ties are decided by chance, or the first class would win them all
                    decided = (votes + 0.5 * torch.rand(votes.shape)).argmax(1)
                    reward = 2.0 * (decided == y[batch]).float() - 1.0
                    acting = torch.zeros(len(pre), len(batch))
                    acting[-1] = reward - expected if self.reward == "error" else reward
                    expected += (1.0 - self.reward_memory) * (float(reward.mean()) - expected)
                    learner.update(pre, post, reward=acting)
                    got += float(reward.sum())
                    fired = fired or bool(post.any())
                self.rewards_.append(got / len(x))
        network.encoder.eval()
        if not fired:
            raise InputError("no neuron ever fired, so that nothing was learned; raise drive or tau_mem.")

    @torch.no_grad()
    def _counts(self, X: ArrayLike) -> Array:
        parts = []
        for one in self.network_input(X):
            # a sample at a time, each from the same seed: what is predicted must not depend on the others
            with scoped_seed(self.seed_):
                parts.append(self.network_(one[None]))
        counts: Array = torch.cat(parts).double().numpy()
        return counts


def build_reward_stdp(
    n_chans: int | None = None,
    n_times: int | None = None,
    n_outputs: int | None = None,
    sfreq: float | None = None,  # noqa: ARG001
    *,
    task: str = "classification",
    random_state: Any = None,
    **hyperparameters: Any,
) -> Pipeline:
    """Spiking classifier that learns by reward-modulated plasticity.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int, optional
        Sizes of the data; those that are given are checked.
    sfreq : float, optional
        Not used: time constants count in steps.
    task : {"classification"}
        What it is trained for.
    random_state : int, RandomState or None
        Draws weights, order and spikes.
    **hyperparameters
        Those of `RewardSTDPClassifier`.

    Returns
    -------
    sklearn.pipeline.Pipeline

    References
    ----------
    Izhikevich (2007), doi:10.1093/cercor/bhl152.

    Examples
    --------
    >>> build_reward_stdp(4, 1, 2, pool=3)[-1].pool
    3
    """
    check_choice(task, ("classification",), "task")
    try:
        model = RewardSTDPClassifier(random_state=random_state, **hyperparameters)
    except TypeError as error:
        raise InputError(f"model 'reward-stdp': {error}") from error
    model._check_parameters()
    return make_pipeline(InputCheck(task, n_chans=n_chans, n_times=n_times, n_outputs=n_outputs), model)
