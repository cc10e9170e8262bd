"""The triplet rule."""

from dataclasses import dataclass

from torch import Tensor

from spikeneuro._validation import check_choice
from spikeneuro.errors import InputError
from spikeneuro.plasticity.connections import Constant
from spikeneuro.plasticity.engine import Term
from spikeneuro.plasticity.rules import PAIRINGS, STDPRule
from spikeneuro.plasticity.traces import Trace

#: Fitted constants by preparation, pairing and form: amplitudes, and time constants in seconds. Amplitudes that a form
#: does not name are 0, and their time constants without effect.
FITTED: dict[tuple[str, str, str], dict[str, float]] = {
    ("visual_cortex", "all", "full"): {
        "a2_plus": 5e-10, "a3_plus": 6.2e-3, "a2_minus": 7e-3, "a3_minus": 2.3e-4, "tau_x": 0.101, "tau_y": 0.125,
    },
    ("visual_cortex", "all", "minimal"): {"a3_plus": 6.5e-3, "a2_minus": 7.1e-3, "tau_y": 0.114},
    ("visual_cortex", "nearest", "full"): {
        "a2_plus": 8.8e-11, "a3_plus": 5.3e-2, "a2_minus": 6.6e-3, "a3_minus": 3.1e-3, "tau_x": 0.714, "tau_y": 0.040,
    },
    ("visual_cortex", "nearest", "minimal"): {"a3_plus": 5e-2, "a2_minus": 8e-3, "tau_y": 0.040},
    ("hippocampus", "all", "full"): {
        "a2_plus": 6.1e-3, "a3_plus": 6.7e-3, "a2_minus": 1.6e-3, "a3_minus": 1.4e-3, "tau_x": 0.946, "tau_y": 0.027,
    },
    ("hippocampus", "all", "minimal"): {"a2_plus": 5.3e-3, "a3_plus": 8e-3, "a2_minus": 3.5e-3, "tau_y": 0.040},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class TripletSTDP(STDPRule):
    r"""Triplet rule: potentiation also depends on the time since the last spike after the synapse, and conversely.

    With traces :math:`r_1, r_2` of the spikes before the synapse (time constants :math:`\tau_+, \tau_x`) and
    :math:`o_1, o_2` of those after it (:math:`\tau_-, \tau_y`),

    .. math::

        \Delta w_t = s^{post}_t \, r_1 \left(A_2^+ + A_3^+ \, o_2(t - \epsilon)\right)
                   - s^{pre}_t \, o_1 \left(A_2^- + A_3^- \, r_2(t - \epsilon)\right)

    where :math:`t - \epsilon` is before the spikes of the step: a spike makes no triplet with itself. `coincident` says
    whether :math:`r_1` and :math:`o_1` include those of the step. `visual_cortex` and `hippocampus` give fitted
    constants.

    Parameters
    ----------
    a2_plus, a3_plus, a2_minus, a3_minus : float or Tensor, default 0
        Amplitudes of pairs and triplets, for potentiation and depression; numbers, or tensors that broadcast over the
        weights.
    tau_plus, tau_minus, tau_x, tau_y : float or Tensor, default 0.0168, 0.0337, 0.101 and 0.125
        Time constants in seconds, above 0.
    mu_plus, mu_minus, pairing, coincident, dt
        As for `STDPRule`; with ``pairing="nearest"`` all four traces know the last spike only.

    Raises
    ------
    InputError
        For a number out of range or an unknown option; once applied, for constants that do not fit the connection.

    References
    ----------
    Pfister and Gerstner (2006), doi:10.1523/JNEUROSCI.1425-06.2006.

    Examples
    --------
    >>> rule = TripletSTDP.visual_cortex(minimal=True, dt=0.001)
    >>> rule.a3_plus, rule.tau_y
    (0.0065, 0.114)
    """

    a2_plus: Constant = 0.0
    a3_plus: Constant = 0.0
    a2_minus: Constant = 0.0
    a3_minus: Constant = 0.0
    tau_plus: Constant = 0.0168
    tau_minus: Constant = 0.0337
    tau_x: Constant = 0.101
    tau_y: Constant = 0.125

    @classmethod
    def visual_cortex(
        cls, *, pairing: str = "all", minimal: bool = False, dt: float = 0.004, coincident: str = "potentiate"
    ) -> "TripletSTDP":
        """Return the rule fitted to pairings at different frequencies in slices of visual cortex.

        Parameters
        ----------
        pairing : {"all", "nearest"}, default "all"
            Each has constants of its own.
        minimal : bool, default False
            Whether to take the form with the fewest terms: triplets for potentiation, pairs for depression.
        dt : float, default 0.004
            Length of a step in seconds.
        coincident : {"potentiate", "depress", "both", "neither"}
            As for `STDPRule`.

        Returns
        -------
        TripletSTDP
            With the constants of the paper's table 3.
        """
        return _fitted("visual_cortex", pairing, minimal, dt, coincident)

    @classmethod
    def hippocampus(
        cls, *, pairing: str = "all", minimal: bool = False, dt: float = 0.004, coincident: str = "potentiate"
    ) -> "TripletSTDP":
        """Return the rule fitted to triplets and quadruplets in cultures of hippocampus.

        Parameters
        ----------
        pairing : {"all"}
            The pairing with constants.
        minimal : bool, default False
            Whether to take the form with the fewest terms, without triplets for depression.
        dt : float, default 0.004
            Length of a step in seconds.
        coincident : {"potentiate", "depress", "both", "neither"}
            As for `STDPRule`.

        Returns
        -------
        TripletSTDP
            With the constants of the paper's table 4.
        """
        return _fitted("hippocampus", pairing, minimal, dt, coincident)

    def traces(self) -> dict[str, Trace]:
        return {
            "r1": Trace("pre", self.kind, self.tau_plus),
            "r2": Trace("pre", self.kind, self.tau_x),
            "o1": Trace("post", self.kind, self.tau_minus),
            "o2": Trace("post", self.kind, self.tau_y),
        }

    def amplitudes(self) -> dict[str, Constant]:
        names = ("a2_plus", "a3_plus", "a2_minus", "a3_minus")
        return {name: getattr(self, name) for name in names}

    def terms(self, pre: Tensor, post: Tensor, before: dict[str, Tensor], after: dict[str, Tensor]) -> list[Term]:
        r1 = self.earlier("r1", before, after, "potentiate")
        o1 = self.earlier("o1", before, after, "depress")
        return [
            Term(1, self.a2_plus, post, r1),
            Term(1, self.a3_plus, post * before["o2"], r1),
            Term(-1, self.a2_minus, o1, pre),
            Term(-1, self.a3_minus, o1, pre * before["r2"]),
        ]


def _fitted(preparation: str, pairing: str, minimal: bool, dt: float, coincident: str) -> TripletSTDP:
    check_choice(pairing, PAIRINGS, "pairing")
    constants = FITTED.get((preparation, pairing, "minimal" if minimal else "full"))
    if constants is None:
        raise InputError(f"there are no constants of {preparation} for pairing={pairing!r}; use pairing='all'.")
    return TripletSTDP(**constants, pairing=pairing, dt=dt, coincident=coincident)
