"""Heterogeneous recurrent spiking network: neurons on a grid, of many time constants, with plastic connections."""

import copy
from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor

from spikeneuro._validation import check_choice, check_number
from spikeneuro.encoders import Encoder
from spikeneuro.models.dale_recurrence import DaleRecurrentLIF, Times, membrane_times, wired
from spikeneuro.models.inputs import check_signal, check_sizes
from spikeneuro.models.recurrent_states import RecurrentStatesSNN
from spikeneuro.models.recurrent_stdp import Drawn, Held, heterogeneous_stdp, learn_recurrence
from spikeneuro.models.spiking import as_surrogate
from spikeneuro.ops.surrogates import Surrogate
from spikeneuro.plasticity import PairSTDP, Pretraining, Rule
from spikeneuro.plasticity.statistics import Batches, Moments, each, has_fresh, take_statistics
from spikeneuro.reservoir.wiring import MAASS_PROBABILITY, MAASS_STRENGTH

TRAINED = ("all", "readout")


class HRSNN(RecurrentStatesSNN):
    r"""Heterogeneous recurrent spiking network (HRSNN).

    .. code-block:: text

        encoder            (batch, channels, times) -> (steps, batch, features)
        recurrent layer    linear, normalisation, DaleRecurrentLIF of `hidden` neurons, dropout
        readout            logits (batch, n_outputs), or with task="steps" (batch, n_outputs, times)

    The neurons stand on a three-dimensional grid, a share `inhibitory` of them inhibitory. Neuron i is connected to j
    with probability :math:`C_{kind(i)\,kind(j)} \, e^{-(D_{ij} / \lambda)^2}`. Signs of neurons and places without a
    connection hold in training, see `spikeneuro.models.dale_recurrence.DaleRecurrentLIF`. Membrane time constants are
    drawn neuron by neuron, from a gamma distribution unless others are given, and may differ between excitatory and
    inhibitory neurons.

    There are two ways to train it. With ``train="all"`` gradients reach everything. As published, the recurrent
    connections learn by spike-timing-dependent plasticity without labels (`pretrain`, or the callback
    `RecurrentSTDPPretraining` of an estimator), and with ``train="readout"`` gradients then reach the readout alone. A
    batch normalisation then keeps the statistics that it got in pre-training, or else from the first training batch.

    The publications come without code: C, lambda and weights are those of `spikeneuro.reservoir`, input weights dense
    and of both signs. `spikeneuro.energy.count` charges recurrent spikes for the connections that exist.

    Parameters
    ----------
    n_chans, n_times, n_outputs : int
        Number of channels, samples (other lengths are accepted as well) and classes or real outputs.
    sfreq : float, optional
        Sampling frequency in hertz; needed with ``tau_unit="seconds"``.
    task : {"classification", "regression", "steps"}, default "classification"
        With "steps" every time step is labelled.
    hidden : int, default 64
        Number of recurrent neurons.
    inhibitory : float, default 0.2
        Share of inhibitory neurons: four excitatory to one inhibitory.
    grid_shape : (int, int, int), optional
        Points of the grid along each axis; by default as near to a cube as can be.
    probability : float or mapping, optional
        C, for all pairs or for each of "EE", "EI", "IE" and "II"; default `spikeneuro.reservoir.MAASS_PROBABILITY`.
    length : float, default 2
        Lambda, in steps of the grid.
    strength : float or mapping, optional
        Mean magnitudes of weights relative to each other, as `probability`; default
        `spikeneuro.reservoir.MAASS_STRENGTH`.
    spread : float, default 1
        Standard deviation over mean of the gamma-distributed magnitudes.
    recurrent_scale : float, default 1
        What the magnitudes that arrive at a neuron sum to at the start, on average; the threshold is 1.
    tau_unit : {"seconds", "steps"}, default "seconds"
        Unit of all time constants. Count in steps where the sampling is slow (fMRI).
    tau : float, sequence of (share, mean), or Heterogeneity, optional
        Membrane time constants: the mean of a gamma distribution, the shares and means of several such (fast, medium
        and slow neurons: ``((0.1, 0.01), (0.6, 0.05), (0.3, 0.2))``), or any distribution. Default 0.05 seconds or 5
        steps. Values below the length of a step are set to it, with a warning if they are more than one in ten.
    tau_inhibitory : float, sequence of (share, mean), or Heterogeneity, optional
        The same for inhibitory neurons; by default as `tau`.
    concentration : float, default 3
        Shape of the gamma distributions.
    homogeneous : bool, default False
        Give all neurons the mean of the time constants drawn: the twin to compare with.
    tau_readout : (float, float), optional
        Shortest and longest time constant of the outputs' leaky integrators; default 0.01 to 0.1 seconds, or 1 to 10
        steps.
    learn_tau : bool, default False
        Whether all time constants are learned, starting from those drawn; a homogeneous network learns a single one.
    train : {"all", "readout"}, default "all"
        What gradients reach.
    norm : {"batch", "layer", "none"}, default "batch"
        Normalisation of the input current.
    readout : {"rate", "leaky", "max", "last"}, default "rate"
        Readout over time, as for `RecurrentSNN`; not used with ``task="steps"``.
    encoder, surrogate
        As for `RecurrentSNN`.
    drop_prob : float, default 0.1
        Dropout of the spikes that are read out.
    recompute : int or "sqrt", optional
        Segments of time to train in, as for `RecurrentSNN`.

    Attributes
    ----------
    positions : Tensor
        Places of the neurons on the grid, (hidden, 3).
    kinds : Tensor
        +1 for excitatory, -1 for inhibitory neurons, (hidden,).

    Raises
    ------
    InputError
        If a size is not positive, an option is unknown or out of range, `sfreq` is missing where time constants are in
        seconds, or an input does not have the shape ``(batch, n_chans, times)``.

    References
    ----------
    Chakraborty and Mukhopadhyay (2023), doi:10.3389/fnins.2023.994517; Chakraborty and Mukhopadhyay (2023),
    arXiv:2302.11618; Perez-Nieves et al. (2021), doi:10.1038/s41467-021-26022-3.

    Examples
    --------
    >>> model = HRSNN(n_chans=4, n_times=100, n_outputs=2, sfreq=250.0, hidden=80)
    >>> int((model.kinds < 0).sum())
    16
    >>> model(torch.randn(3, 4, 100)).shape
    torch.Size([3, 2])
    """

    positions: Tensor
    kinds: Tensor

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float | None = None,
        *,
        task: str = "classification",
        hidden: int = 64,
        inhibitory: float = 0.2,
        grid_shape: tuple[int, int, int] | None = None,
        probability: float | Mapping[str, float] | None = None,
        length: float = 2.0,
        strength: float | Mapping[str, float] | None = None,
        spread: float = 1.0,
        recurrent_scale: float = 1.0,
        tau_unit: str = "seconds",
        tau: Times | None = None,
        tau_inhibitory: Times | None = None,
        concentration: float = 3.0,
        homogeneous: bool = False,
        tau_readout: tuple[float, float] | None = None,
        learn_tau: bool = False,
        train: str = "all",
        norm: str = "batch",
        readout: str = "rate",
        encoder: str | Encoder = "direct",
        surrogate: str | Surrogate = "fast_sigmoid",
        drop_prob: float = 0.1,
        recompute: int | str | None = None,
    ) -> None:
        check_sizes(hidden=hidden)
        check_choice(train, TRAINED, "train")
        check_number(recurrent_scale, "recurrent_scale", low=0.0)
        positions, kinds, signs, weights = wired(
            hidden, int(torch.randint(2**31 - 1, ())), shape=grid_shape, inhibitory=inhibitory,
            probability=MAASS_PROBABILITY if probability is None else probability, length=length,
            strength=MAASS_STRENGTH if strength is None else strength, spread=spread, scale=recurrent_scale,
        )  # fmt: skip
        tau = tau if tau is not None else (0.05 if tau_unit == "seconds" else 5.0)
        both = (tau, tau if tau_inhibitory is None else tau_inhibitory)

        def neurons(index: int, size: int, dt: float) -> DaleRecurrentLIF:  # noqa: ARG001
            times = membrane_times(both, kinds, concentration, dt)
            return DaleRecurrentLIF(
                size, signs, weights, bias=norm == "none", tau_mem=times, dt=dt, surrogate=as_surrogate(surrogate),
                threshold=torch.ones(size), learn=("tau_mem",) if learn_tau else (),
            )  # fmt: skip

        super().__init__(
            n_chans, n_times, n_outputs, sfreq, task=task, hidden=(hidden,), neurons=neurons, tau_unit=tau_unit,
            tau_readout=tau_readout, learn_tau=learn_tau, norm=norm, readout=readout, encoder=encoder,
            drop_prob=drop_prob, recompute=recompute,
        )  # fmt: skip
        self.register_buffer("positions", positions)
        self.register_buffer("kinds", kinds)
        self.train_mode = train
        # as a number of Python, since forward must not depend on values of tensors where memory is predicted
        self.fresh = True
        self.register_load_state_dict_post_hook(_note_statistics)  # type: ignore[no-untyped-call]
        if homogeneous:
            self.recurrent.equalise()
        if train == "readout":
            for part in (self.linears, self.norms, self.neurons):
                part.requires_grad_(requires_grad=False)

    @property
    def recurrent(self) -> DaleRecurrentLIF:
        """The recurrent layer."""
        layer = self.neurons[0]
        assert isinstance(layer, DaleRecurrentLIF)
        return layer

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; where the readout alone is trained, normalisations stay as they are."""
        super().train(mode)
        if self.train_mode == "readout":
            self.norms.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, times) -> logits (batch, n_outputs), or (batch, n_outputs, times) for steps."""
        if self.training and self.train_mode == "readout" and self.fresh:
            check_signal(x, self.n_chans, None)
            self._take(x)
        return super().forward(x)

    @torch.no_grad()
    def _take(self, x: Tensor) -> None:
        """Give the normalisation the statistics of a batch."""
        norm = getattr(self.norms[0], "module", None)
        if isinstance(norm, torch.nn.BatchNorm1d):
            moments = Moments()
            moments.add(self.linears[0](self.encoder(x)).flatten(0, 1))
            moments.write(norm, "norms.0.module")
        self.fresh = False

    def homogeneous_twin(self) -> Self:
        """Return a copy that differs in one thing: all neurons have the mean of this network's time constants.

        Wiring, weights and all else are the same.

        Returns
        -------
        HRSNN
            The twin.

        Examples
        --------
        >>> model = HRSNN(2, 50, 2, 100.0)
        >>> twin = model.homogeneous_twin()
        >>> bool(torch.isclose(twin.recurrent.tau_mem, model.recurrent.tau_mem.mean()))
        True
        """
        twin = copy.deepcopy(self)
        twin.recurrent.equalise()
        if twin.train_mode == "readout":
            twin.neurons.requires_grad_(requires_grad=False)
        return twin

    def stdp(
        self,
        *,
        eta_plus: Drawn = None,
        eta_minus: Drawn = None,
        tau_plus: Drawn = None,
        tau_minus: Drawn = None,
        per: str = "neuron",
        generator: torch.Generator | None = None,
    ) -> PairSTDP:
        """Draw the constants of heterogeneous plasticity for the recurrent connections.

        See `spikeneuro.models.recurrent_stdp.heterogeneous_stdp`, which explains the parameters.

        Parameters
        ----------
        eta_plus, eta_minus : float, Heterogeneity or mapping, optional
            Rates of potentiation and depression; default a gamma distribution of mean 0.01.
        tau_plus, tau_minus : float, Heterogeneity or mapping, optional
            Time constants in the network's unit; default a gamma distribution of mean 5 steps.
        per : {"neuron", "synapse"}, default "neuron"
            What has a value of its own.
        generator : torch.Generator, optional
            Where to draw from; torch's global generator by default.

        Returns
        -------
        PairSTDP
            The rule, for `pretrain`.
        """
        return heterogeneous_stdp(
            self.recurrent, eta_plus=eta_plus, eta_minus=eta_minus, tau_plus=tau_plus, tau_minus=tau_minus, per=per,
            generator=generator,
        )  # fmt: skip

    def pretrain(
        self,
        batches: Batches,
        rule: Rule | None = None,
        *,
        epochs: int = 1,
        max_weight: float | None = None,
        plastic: str = "all",
        homeostasis: Held = "normalisation",
    ) -> Pretraining:
        """Let the recurrent connections learn without labels, by heterogeneous plasticity.

        A batch normalisation that has seen no data gets the statistics of all batches before. Connections that end at a
        weight of exactly 0 (`Pretraining.lost`) are lost to gradients: what these train is the magnitude.

        Parameters
        ----------
        batches : sequence of Tensor, or function that returns an iterable of them
            Inputs of the network, (batch, n_chans, times); a function is called for each of the passes: the epochs, one
            for the normalisation and two to measure the rate.
        rule : Rule, optional
            What `stdp` gives, which is the default, or another one without reward.
        epochs : int, default 1
            Number of passes.
        max_weight : float, optional
            Largest magnitude of a weight; by default the largest one now.
        plastic : {"all", "excitatory"}, default "all"
            Whose connections learn.
        homeostasis : sequence of Homeostasis, str or mapping, or one of them, or None, default "normalisation"
            What is applied besides the rule, which by itself can drive all neurons into saturation.
            "normalisation" keeps each neuron's sum of incoming magnitudes, "synaptic-scaling" and "threshold" (which
            changes thresholds for good) lead to a ``target`` rate, by default the layer's before learning. They act at
            every step. Objects and mappings with numbers: `spikeneuro.plasticity.as_homeostasis`.

        Returns
        -------
        Pretraining
            What happened.

        Raises
        ------
        InputError
            If no neuron ever fires, there is no connection or no batch, or a weight is larger than `max_weight`.

        Examples
        --------
        >>> model = HRSNN(2, 50, 2, 100.0)
        >>> x = 3 * torch.randn(8, 2, 50, generator=torch.Generator().manual_seed(0))
        >>> done = model.pretrain([x], epochs=2)
        >>> len(done.change)
        2
        """

        def currents() -> Iterable[Tensor]:
            for batch in each(batches):
                check_signal(batch, self.n_chans, None)
                yield self.norms[0](self.linears[0](self.encoder(batch)))

        mode = self.training
        self.eval()
        try:
            take_statistics(self, batches, self.recurrent)
            self.fresh = False
            return learn_recurrence(
                self.recurrent, currents, rule or self.stdp(), epochs=epochs, max_weight=max_weight, plastic=plastic,
                homeostasis=homeostasis,
            )  # fmt: skip
        finally:
            self.train(mode)


def _note_statistics(model: HRSNN, keys: object) -> None:  # noqa: ARG001
    """Keep statistics that were loaded."""
    model.fresh = has_fresh(model.norms)
