"""Pre-training by plasticity as an option of a candidate in a suite."""

import pytest

import spikeneuro as sn
from spikeneuro import registry
from spikeneuro.bench.identity import _code_fingerprint, code_fingerprint
from spikeneuro.bench.plan import make_plan
from spikeneuro.bench.pretraining import CODE
from spikeneuro.bench.store import Store
from spikeneuro.bench.suite import load_suite
from spikeneuro.errors import InputError

BASE = """
name: s
training: {max_epochs: 2, batch_size: 16}
candidates:
  - {name: plain, model: hrsnn, params: {hidden: 12}}
  - name: pretrained
    model: hrsnn
    params: {hidden: 12}
    pretraining: [{method: recurrent-stdp, epochs: 2, eta_plus: {mean: 0.05}}]
  - name: triplet
    model: hrsnn
    params: {hidden: 12, train: readout}
    pretraining: [{method: recurrent-stdp, rule: {name: triplet-visual-cortex, a3_plus: 0.05}, plastic: excitatory,
                   homeostasis: [normalisation, {name: threshold, increment: 0.02}]}]
  - name: layer
    model: recurrent-snn
    params: {hidden: 8, encoder: delta, norm: none}
    pretraining:
      - {method: stdp, synapses: linears.0, neurons: neurons.0, rule: {name: pair, mu_plus: 1, mu_minus: 1},
         low: -1, high: 1, draw: [0.2, 0.5], homeostasis: [{name: normalisation, total: 2.0}]}
experiments:
  - name: e
    data: {source: data.py:waves}
    split: {method: leave-groups-out, params: {by: subject, n_splits: 2, random_state: 0}}
    unit: subject
variants:
  other: {candidates: {pretrained: {model: lstm}}}
"""


def replaced(old, new):
    assert old in BASE
    return BASE.replace(old, new)


def test_pretraining_runs_and_changes_what_is_learned(make_suite, tmp_path):
    result = sn.bench.run(make_suite(BASE), tmp_path / "run", progress=False)
    with Store(tmp_path / "run") as store:
        rows = store.rows()
    assert result.counts["ok"] == 8, [row["error"] for row in rows]
    losses = {}
    for row in rows:
        losses.setdefault(row["candidate"], []).append([epoch["train_loss"] for epoch in row["history"]])
        done = row["history"][0].get("pretraining", [])
        assert "pretraining" not in row["history"][1]
        if row["candidate"] == "plain":
            assert done == []
            continue
        assert [entry["method"] for entry in done] == ["stdp" if row["candidate"] == "layer" else "recurrent-stdp"]
        assert done[0]["rule"] == ("TripletSTDP" if row["candidate"] == "triplet" else "PairSTDP")
        assert done[0]["largest_change"] > 0
        assert 0 < done[0]["rate_after"] < 1
    assert set(losses) == {"plain", "pretrained", "triplet", "layer"}
    assert losses["plain"] != losses["pretrained"]


def test_key_holds_pretraining_and_the_code_behind_it(make_suite, tmp_path):
    def keys(text):
        return {cell.candidate.name: cell.key for cell in make_plan(load_suite(make_suite(text))).cells}

    before = keys(BASE)
    after = keys(replaced("epochs: 2, eta_plus", "epochs: 3, eta_plus"))
    assert {name for name in before if before[name] != after[name]} == {"pretrained"}
    _code_fingerprint.cache_clear()
    entry = registry.entry("recurrent-snn")
    assert code_fingerprint(entry) != code_fingerprint(entry, CODE)


def test_another_model_in_a_variant_loses_the_pretraining(make_suite):
    candidates = {c.name: c for c in load_suite(make_suite(BASE), "other").experiments[0].candidates}
    assert candidates["pretrained"].pretraining == ()
    assert candidates["layer"].pretraining[0].options["draw"] == [0.2, 0.5]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("method: recurrent-stdp, epochs", "method: recurent-stdp, epochs", "did you mean 'recurrent-stdp'"),
        ("method: recurrent-stdp, epochs", "epochs", "the key 'method' is missing"),
        ("[{method: recurrent-stdp, epochs: 2, eta_plus: {mean: 0.05}}]", "{method: stdp}", "a list is needed here"),
        (
            "model: hrsnn, params: {hidden: 12}}",
            "model: bandpower-lda, pretraining: [{method: stdp}]}",
            "is a pipeline",
        ),
    ],
)
def test_mistakes_in_the_file_are_one_line_with_their_place(make_suite, old, new, message):
    with pytest.raises(InputError, match=message) as caught:
        load_suite(make_suite(replaced(old, new)))
    assert "pretraining" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("eta_plus: {mean", "eta_pluss: {mean", "has no 'eta_pluss'; did you mean 'eta_plus'"),
        ("eta_plus: {mean: 0.05}", "eta_plus: {meen: 0.05}", "has no 'meen'; did you mean 'mean'"),
        ("eta_plus: {mean: 0.05}", "eta_plus: -1", "eta_plus must lie in"),
        ("epochs: 2, eta_plus", "epochs: 0, eta_plus", "epochs must lie in"),
        ("name: triplet-visual-cortex", "name: triplet-visual-cortx", "did you mean 'triplet-visual-cortex'"),
        ("a3_plus: 0.05", "a3_pluss: 0.05", "has no 'a3_pluss'; did you mean 'a3_plus'"),
        ("increment: 0.02", "incremen: 0.02", "has no 'incremen'; did you mean 'increment'"),
        ("[normalisation, {", "[normalization, {", "did you mean 'normalisation'"),
        ("plastic: excitatory", "plastic: inhibitory", "plastic='inhibitory' is unknown"),
        ("synapses: linears.0", "synapses: linears.7", "'linears.7' is no module"),
        ("synapses: linears.0, ", "", "needs the option 'synapses'"),
        ("low: -1", "lo: -1", "has no option 'lo'; did you mean 'low'"),
        ("neurons: neurons.0", "neurons: dropout", "must be a LIF layer"),
        ("name: normalisation", "name: normalization", "did you mean 'normalisation'"),
        ("total: 2.0", "totl: 2.0", "has no 'totl'; did you mean 'total'"),
        ("method: recurrent-stdp, epochs", "method: stdp, epochs", "has no option 'eta_plus'"),
        ("{name: pair, mu_plus: 1, mu_minus: 1}", "{mu_plus: 1}", "must be an object, a name, or a mapping"),
        ("rule: {name: pair,", "rule: {name: pair, tau_plus: 1.0e-4, tau_minus: 1.0e-4,", "less than a step"),
    ],
)
def test_mistakes_in_options_are_found_before_anything_runs(make_suite, old, new, message):
    with pytest.raises(InputError, match=message) as caught:
        make_plan(load_suite(make_suite(replaced(old, new))))
    assert "candidate " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_hrsnn_has_recurrent_connections_that_learn(make_suite):
    text = replaced("model: hrsnn\n    params: {hidden: 12}\n", "model: lstm\n    params: {hidden: 12}\n")
    with pytest.raises(InputError, match="is for the model 'hrsnn', got LSTM"):
        make_plan(load_suite(make_suite(text)))
