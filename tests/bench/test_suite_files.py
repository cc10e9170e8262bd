"""Suites are read strictly: every mistake is one line that says where."""

import re

import pytest

from spikeneuro.bench.suite import load_suite
from spikeneuro.bench.suite_files import find_suite, known_suites
from spikeneuro.bench.variants import deep_merge
from spikeneuro.errors import DataNotFoundError, InputError

BASE = """
name: s
experiments:
  - name: e
    data: {source: data.py:blobs}
    split: {method: leave-groups-out, params: {by: subject}}
    unit: subject
candidates:
  - {name: a, model: logistic-regression}
  - {name: net, model: mlp, training: {lr: 0.1}}
training: {max_epochs: 3, lr: 0.5}
reduced: "small"
variants:
  full:
    note: "all of it"
    seeds: [4, 5]
    training: {max_epochs: 30}
    experiments: {e: {data: {params: {n_trials: 20}}, split: {params: {n_splits: 2}}}}
    candidates: {a: {params: {C: 2.0}}}
  other-split:
    experiments: {e: {split: {method: given}}}
"""


def test_defaults_and_merging_of_training_arguments(make_suite):
    suite = load_suite(make_suite(BASE))
    assert suite.label == "s"
    assert suite.variant_note == "small"
    experiment = suite.experiments[0]
    assert experiment.scorer == "accuracy"
    assert experiment.seeds == (0,)
    assert experiment.group == ("subject",)
    assert [c.name for c in experiment.candidates] == ["a", "net"]
    assert experiment.candidates[0].training == {}  # a pipeline has none
    assert experiment.candidates[1].training == {"max_epochs": 3, "lr": 0.1}


def test_training_of_an_experiment_lies_between_the_candidates_and_the_suites(make_suite):
    text = BASE.replace("unit: subject", "unit: subject\n    training: {max_epochs: 9, lr: 0.9, batch_size: 7}")
    _, net = load_suite(make_suite(text)).experiments[0].candidates
    assert net.training == {"max_epochs": 9, "lr": 0.1, "batch_size": 7}


def test_variant_is_merged_deeply(make_suite):
    suite = load_suite(make_suite(BASE), "full")
    experiment = suite.experiments[0]
    assert suite.label == "s-full"
    assert suite.variant_note == "all of it"
    assert experiment.seeds == (4, 5)
    assert experiment.data.params == {"n_trials": 20}
    assert experiment.split.params == {"by": "subject", "n_splits": 2}
    assert experiment.candidates[0].params == {"C": 2.0}
    assert experiment.candidates[1].training == {"max_epochs": 30, "lr": 0.1}


def test_parameters_of_a_replaced_split_are_dropped(make_suite):
    split = load_suite(make_suite(BASE), "other-split").experiments[0].split
    assert (split.method, split.params) == ("given", {})


def test_deep_merge_replaces_by_none_and_leaves_its_arguments_alone():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    merged = deep_merge(base, {"a": {"x": None, "y": [3]}})
    assert merged == {"a": {"x": None, "y": [3]}, "b": 1}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def replaced(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (replaced("    unit: subject", "    untit: subject"), r"line 4: experiments\[0\]: the key 'unit' is missing"),
        (BASE + "titel: x\n", "titel: unknown key; did you mean 'title'"),
        (
            replaced("    unit: subject", "    unit: subject\n    scorrer: x"),
            r"line 8: experiments\[0\]\.scorrer: unknown key.*'scorer'",
        ),
        (replaced("method: leave", "methd: leave"), r"experiments\[0\]\.split: the key 'method' is missing"),
        (replaced("by: subject}}", "by: subject}, extra: 1}"), r"experiments\[0\]\.split\.extra: unknown key"),
        (replaced("model: mlp", "model: mpl"), r"candidates\[1\]\.model: unknown value 'mpl'; did you mean 'mlp'"),
        (
            replaced("unit: subject", "unit: subject\n    candidates: [aa]"),
            "unknown candidate 'aa'; did you mean|choose from",
        ),
        (replaced("unit: subject", "unit: subject\n    task: steps"), "cannot be trained for steps"),
        (replaced("unit: subject", "unit: subject\n    task: guess"), r"task: unknown value 'guess'"),
        (replaced("name: net", "name: a"), "candidates: 'a' is given twice"),
        (replaced("model: logistic-regression}", "model: logistic-regression, training: {lr: 1}}"), "is a pipeline"),
        (replaced("seeds: [4, 5]", "seeds: 4"), None),
        ("seeds: 3\n" + BASE, "seeds: a list is needed here, got the number 3"),
        ("seeds: [true]\n" + BASE, r"seeds\[0\]: an integer is needed here, got the truth value True"),
        ("seeds: [1, 1]\n" + BASE, "seeds: 1 is given twice"),
        (replaced("name: s", "name: a/b"), "name: 'a/b' must consist of"),
        (replaced("method: leave-groups-out", "method: leaky-random"), "note: the split 'leaky-random' leaks"),
        (BASE + "name: twice\n", "line 22, column 1: not valid YAML: key 'name' is given twice"),
        ("name: [\n", "not valid YAML"),
        ("just text", "a suite is a mapping of keys to values"),
        ("{}", "the key 'candidates' is missing"),
        (replaced("full:", "full: 3\n  more:"), "variants.full: a mapping is needed here, got the number 3"),
    ],
)
def test_mistakes_are_one_line_with_their_place(make_suite, text, message):
    path = make_suite(text)
    if message is None:  # a mistake inside a variant that is not asked for does not matter
        load_suite(path)
        return
    with pytest.raises(InputError, match=message) as caught:
        load_suite(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("full:\n    sedes: [1]", r"line \d+: variants\.full\.sedes: unknown key; did you mean 'seeds'"),
        ("full:\n    experiments: {x: {unit: run}}", "no such entry in experiments"),
        ("full:\n    candidates: {nett: {}}", "no such entry in candidates; did you mean 'net'"),
    ],
)
def test_mistakes_in_a_variant(make_suite, change, message):
    text = BASE[: BASE.index("variants:")] + f"variants:\n  {change}\n"
    with pytest.raises(InputError, match=message):
        load_suite(make_suite(text), "full")


def test_unknown_variant_offers_the_nearest(make_suite):
    with pytest.raises(InputError, match="unknown variant 'ful'; did you mean 'full'"):
        load_suite(make_suite(BASE), "ful")
    without = BASE[: BASE.index("reduced")]
    with pytest.raises(InputError, match="has no variants"):
        load_suite(make_suite(without), "full")


def test_binary_and_absent_files(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(InputError, match="cannot be read as text"):
        load_suite(tmp_path / "x.yaml")
    with pytest.raises(DataNotFoundError, match="there is no suite file"):
        load_suite(tmp_path / "none.yaml")


def test_nothing_but_plain_yaml_is_constructed(make_suite, tmp_path):
    target = tmp_path / "made"
    with pytest.raises(InputError, match="not valid YAML"):
        load_suite(make_suite(f'name: !!python/object/apply:os.mkdir ["{target}"]'))
    assert not target.exists()


def test_suites_are_found_by_name(make_suite, tmp_path, monkeypatch):
    assert "demo" in known_suites()
    assert find_suite("demo").name == "demo.yaml"
    with pytest.raises(InputError, match="unknown suite 'dmo'; did you mean 'demo'"):
        find_suite("dmo")
    with pytest.raises(InputError, match="there is no suite file nothing.yaml"):
        find_suite("nothing.yaml")
    (tmp_path / "benchmarks" / "suites").mkdir(parents=True)
    (tmp_path / "benchmarks" / "suites" / "mine.yaml").write_text(BASE)
    monkeypatch.chdir(tmp_path)
    assert load_suite(find_suite("mine")).name == "s"


def test_the_demo_names_at_least_two_spiking_two_other_networks_and_a_classical_candidate():
    candidates = load_suite(find_suite("demo")).experiments[0].candidates
    kinds = [(c.entry.spiking, c.entry.kind) for c in candidates]
    assert kinds.count((True, "network")) >= 2
    assert kinds.count((False, "network")) >= 2
    assert re.search("pipeline", str(kinds))
