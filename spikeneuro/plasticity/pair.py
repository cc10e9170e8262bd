"""Pair-based rules: a spike before and one after the synapse change its weight by the time between them."""

from dataclasses import dataclass

from torch import Tensor

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Constant
from spikeneuro.plasticity.engine import Term
from spikeneuro.plasticity.rules import STDPRule
from spikeneuro.plasticity.traces import Trace


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSTDP(STDPRule):
    r"""Pair-based spike-timing-dependent plasticity.

    A pair whose later spike follows :math:`\Delta = t_{post} - t_{pre}` seconds after the first changes the weight by

    .. math::

        \Delta w = \begin{cases}
            \phantom{-}A_+ \, (w_{max} - w)^{\mu_+} \, e^{-\Delta / \tau_+} & \Delta > 0 \\
            -A_- \, (w - w_{min})^{\mu_-} \, e^{\Delta / \tau_-} & \Delta < 0
        \end{cases}

    and one of :math:`\Delta = 0` as `coincident` says. Computed, with traces x of the spikes before and y of those
    after the synapse that jump by 1 at a spike (or to 1, with ``pairing="nearest"``), is

    .. math::

        \Delta w_t = A_+ (w_{max} - w)^{\mu_+} \, s^{post}_t \, x_t - A_- (w - w_{min})^{\mu_-} \, s^{pre}_t \, y_t

    Settings of it are: the additive rule (exponents 0), soft bounds (1 and 1), the rule of van Rossum, whose depression
    alone depends on the weight (0 and 1), and those between (Gütig's exponents). The other frameworks' rules are
    settings, too: BindsNET's PostPre is ``PairSTDP(a_plus=nu[1], a_minus=nu[0], pairing="nearest", coincident="both")``
    and its WeightDependentPostPre that with exponents 1, summed over the batch; SpikingJelly's STDPLearner is
    ``coincident="both"`` with time constants that give its decay 1 - 1/tau per step, ``-dt / log(1 - 1 / tau)``.

    Parameters
    ----------
    a_plus, a_minus : float or Tensor, default 0.005 and 0.00525
        Amplitudes of potentiation and of depression; negative ones turn the effect around (``a_minus < 0`` makes a
        Hebbian rule without depression). As the time constants, numbers or tensors with as many axes as the weights
        that broadcast over them: (post, pre) for one value per synapse, (1, pre) or (post, 1) for one per neuron.
    tau_plus, tau_minus : float or Tensor, default 0.02
        Time constants in seconds, above 0.
    mu_plus, mu_minus, pairing, coincident, dt
        As for `STDPRule`.

    Raises
    ------
    InputError
        For a number out of range or an unknown option; once applied, for constants that do not fit the connection.

    References
    ----------
    Song, Miller and Abbott (2000), doi:10.1038/78829 (the defaults); van Rossum, Bi and Turrigiano (2000),
    doi:10.1523/JNEUROSCI.20-23-08812.2000; Gütig et al. (2003), doi:10.1523/JNEUROSCI.23-09-03697.2003;
    Morrison, Diesmann and Gerstner (2008), doi:10.1007/s00422-008-0233-1 (pairings).

    Examples
    --------
    >>> import torch
    >>> pre, post = torch.zeros(10, 1, 1), torch.zeros(10, 1, 1)
    >>> pre[2], post[4] = 1.0, 1.0  # 10 ms before
    >>> round(PairSTDP(a_plus=0.01, dt=0.005).delta(pre, post).item(), 6)
    0.006065
    """

    a_plus: Constant = 0.005
    a_minus: Constant = 0.00525
    tau_plus: Constant = 0.02
    tau_minus: Constant = 0.02

    def traces(self) -> dict[str, Trace]:
        return {"pre": Trace("pre", self.kind, self.tau_plus), "post": Trace("post", self.kind, self.tau_minus)}

    def amplitudes(self) -> dict[str, Constant]:
        return {"a_plus": self.a_plus, "a_minus": self.a_minus}

    def terms(self, pre: Tensor, post: Tensor, before: dict[str, Tensor], after: dict[str, Tensor]) -> list[Term]:
        return [
            Term(1, self.a_plus, post, self.earlier("pre", before, after, "potentiate")),
            Term(-1, self.a_minus, self.earlier("post", before, after, "depress"), pre),
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class HyperbolicSTDP(STDPRule):
    r"""Pair-based plasticity whose effect falls with the inverse of the number of steps, as in NeuCube.

    .. math:: \Delta w = \pm \frac{rate}{n + offset}

    with n the number of steps between a spike and the last one of the other side; potentiation if that was before the
    synapse. With `once` each spike is used by the first one of the other side that follows it, and by no other.

    NeuCube (its version for Matlab, which is where the rule is defined) is ``offset=0, coincident="neither"`` on the
    steps in which both neurons fire: it writes rate / (n' + 1), but counts n' from the step in which a spike arrives,
    one after that in which the neuron fires. Its rate is 0.01 * 0.1 / sqrt(round), its bounds ±2.

    Parameters
    ----------
    rate : float or Tensor, default 0.001
        Change by the closest pair; a number, or a tensor that broadcasts over the weights.
    offset : float, default 1
        Added to the steps, at least 0; 0 needs ``coincident="neither"``.
    once : bool, default True
        Whether a spike pairs once only. Every synapse has traces of its own then.
    mu_plus, mu_minus, coincident, dt
        As for `STDPRule`. `dt` changes nothing: time is counted in steps.
    pairing : {"nearest"}
        Only the last spike counts.

    Raises
    ------
    InputError
        For a number out of range, an unknown option, and ``pairing="all"``.

    References
    ----------
    Kasabov (2014), doi:10.1016/j.neunet.2014.01.006.

    Examples
    --------
    >>> import torch
    >>> pre, post = torch.zeros(10, 1, 1), torch.zeros(10, 1, 1)
    >>> pre[2], post[6], post[7] = 1.0, 1.0, 1.0
    >>> HyperbolicSTDP(rate=1.0, offset=0.0, coincident="neither").delta(pre, post).item()
    0.25
    """

    rate: Constant = 0.001
    offset: float = 1.0
    once: bool = True
    pairing: str = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.offset, "offset", low=0.0)
        if self.pairing != "nearest":
            raise InputError(f"HyperbolicSTDP knows the last spike only: pairing='nearest', got {self.pairing!r}.")
        if self.offset == 0 and self.coincident != "neither":
            raise InputError("offset=0 makes the change by coincident spikes infinite; use coincident='neither'.")

    def traces(self) -> dict[str, Trace]:
        return {"pre": Trace("pre", "elapsed"), "post": Trace("post", "elapsed")}

    def amplitudes(self) -> dict[str, Constant]:
        return {"rate": self.rate}

    @property
    def per_synapse(self) -> bool:
        return self.once

    def terms(self, pre: Tensor, post: Tensor, before: dict[str, Tensor], after: dict[str, Tensor]) -> list[Term]:
        since_pre = self.earlier("pre", before, after, "potentiate")
        since_post = self.earlier("post", before, after, "depress")
        potentiates, depresses = 1.0 / (since_pre + self.offset), 1.0 / (since_post + self.offset)
        if self.once:
            # Used already, if an earlier spike of this side followed that spike of the other.
            potentiates = potentiates * ~self._used(before["post"], since_pre, "potentiate")
            depresses = depresses * ~self._used(before["pre"], since_post, "depress")
        return [Term(1, self.rate, post, potentiates), Term(-1, self.rate, depresses, pre)]

    def _used(self, since_own: Tensor, since_other: Tensor, effect: str) -> Tensor:
        """Whether this side's last spike came after the other's, or with it if that counts as a pair."""
        return since_own <= since_other if self.coincident in ("both", effect) else since_own < since_other
