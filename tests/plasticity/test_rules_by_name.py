"""Rules and homeostasis by name and numbers: all that are listed can be made, and mistakes are one line."""

import pytest

from spikeneuro.errors import InputError
from spikeneuro.plasticity import (
    HyperbolicSTDP,
    Normalisation,
    PairSTDP,
    SynapticScaling,
    TripletSTDP,
    as_homeostasis,
    as_rule,
)
from spikeneuro.plasticity.named import RULES

DT = 0.001


def test_all_rules_have_a_name_and_keep_the_step():
    kinds = {name: type(as_rule(name, DT)) for name in RULES}
    assert kinds["pair"] is PairSTDP
    assert kinds["hyperbolic"] is HyperbolicSTDP
    assert kinds["triplet"] is kinds["triplet-visual-cortex"] is kinds["triplet-hippocampus"] is TripletSTDP
    assert {as_rule(name, DT).dt for name in RULES} == {DT}


def test_constants_change_what_they_name_and_nothing_else():
    fitted = TripletSTDP.visual_cortex(dt=DT)
    changed = as_rule({"name": "triplet-visual-cortex", "tau_plus": 0.05}, DT)
    assert changed.tau_plus == 0.05
    assert (changed.tau_minus, changed.a3_plus) == (fitted.tau_minus, fitted.a3_plus)
    rule = PairSTDP(dt=DT)
    assert as_rule(rule, 1.0) is rule


def test_homeostasis_comes_alone_or_in_a_sequence():
    given = {"name": "normalisation", "total": 5.0}
    for one in (given, [given], Normalisation(total=5.0), (Normalisation(total=5.0),)):
        (made,) = as_homeostasis(one)
        assert isinstance(made, Normalisation)
        assert made.total == 5.0
    assert as_homeostasis(()) == ()
    both = as_homeostasis([given, {"name": "synaptic-scaling", "target": 10.0, "beta": 0.02}])
    assert [type(part) for part in both] == [Normalisation, SynapticScaling]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_rule("pairs", DT), "unknown rule 'pairs'; did you mean 'pair'"),
        (lambda: as_rule({"tau_plus": 0.02}, DT), "a mapping with the key 'name'"),
        (lambda: as_rule(None, DT), "a mapping with the key 'name', got None"),
        (lambda: as_rule({"name": "pair", "tau_pls": 0.02}, DT), "rule 'pair' has no 'tau_pls'; did you mean"),
        (lambda: as_rule({"name": "pair", "dt": 0.1}, DT), "rule 'pair' has no 'dt'"),
        (lambda: as_rule({"name": "pair", "tau_plus": 0.0001}, DT), "tau_plus=0.0001, less than a step"),
        (lambda: as_rule({"name": "pair", "tau_plus": -1.0}, DT), "tau_plus"),
        (lambda: as_rule({"name": "pair", "tau_plus": "2e-2"}, DT), "tau_plus must be a number, got '2e-2'"),
        (lambda: as_homeostasis("normalization"), "unknown homeostasis 'normalization'; did you mean 'normalisation'"),
        (lambda: as_homeostasis("normalisation"), "homeostasis 'normalisation' needs 'total'"),
        (lambda: as_homeostasis([{"name": "weight-decay", "rat": 1.0}]), "homeostasis 'weight-decay' has no 'rat'"),
        (lambda: as_homeostasis([None]), "homeostasis must be an object, a name, or a mapping"),
    ],
)
def test_mistakes_are_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
