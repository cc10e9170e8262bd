"""A cell's key changes with everything that can change its result, and with nothing else."""

import inspect
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spikeneuro import registry
from spikeneuro.bench import identity
from spikeneuro.bench.identity import canonical, code_fingerprint, digest, source_text
from spikeneuro.bench.plan import make_plan
from spikeneuro.bench.suite import load_suite
from spikeneuro.errors import InputError


def keys(path, **options):
    return [cell.key for cell in make_plan(load_suite(path, **options)).cells]


def test_keys_are_unique_and_repeat(make_suite):
    path = make_suite()
    first = keys(path)
    assert len(set(first)) == len(first) == 3 * 2 * 2
    assert keys(path) == first


EDITS = {
    "all": [
        ("data.py:blobs}", "data.py:blobs, params: {shift: 0.9}}"),
        ("unit: subject", "unit: subject\n    group: run"),
        ("unit: subject", "unit: run"),
        ("n_splits: 3", "n_splits: 2"),
        ("random_state: 0", "random_state: 1"),
    ],
    "half": [
        ("model: logistic-regression", "model: logistic-regression, params: {C: 0.5}"),
        ("seeds: [0, 1]", "seeds: [1, 2]"),
        ("name: neighbour", "name: nearest"),
    ],
    "none": [
        ("title: Two blobs", "title: Other words"),
        ("unit: subject", "unit: subject\n    note: a remark\n    scorer: balanced_accuracy"),
        ("seeds: [0, 1]", "description: more words\nseeds: [0, 1]"),
    ],
}


@pytest.mark.parametrize(("share", "old", "new"), [(share, *edit) for share, edits in EDITS.items() for edit in edits])
def test_which_keys_an_edit_of_the_suite_changes(make_suite, share, old, new):
    path = make_suite()
    before, text = keys(path), path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    kept = len(set(before) & set(keys(path))) / len(before)
    assert kept == {"all": 0, "half": 0.5, "none": 1}[share]


def test_code_and_content_of_the_data_count_but_comments_do_not(make_suite):
    path = make_suite()
    before = keys(path)
    adapter = path.parent / "data.py"
    text = adapter.read_text()
    adapter.write_text(text.replace('"""Features of two', '"""Other words for features of two') + "\n# a remark\n")
    assert keys(path) == before
    adapter.write_text(text.replace("default_rng(0)", "default_rng(9)"))
    assert not set(keys(path)) & set(before)


def test_shuffled_labels_have_keys_of_their_own(make_suite):
    path = make_suite()
    assert not set(keys(path)) & set(keys(path, shuffle_labels=True))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's source that may be edited."""
    copy = tmp_path / "spikeneuro"
    shutil.copytree(identity.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "PACKAGE", copy)
    identity._code_fingerprint.cache_clear()
    yield copy
    identity._code_fingerprint.cache_clear()


def fingerprints() -> dict[str, str]:
    identity._code_fingerprint.cache_clear()
    names = ("spiking-eegnet", "recurrent-snn", "lstm", "pca-svm", "csp-lda")
    return {name: code_fingerprint(registry.entry(name)) for name in names}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("ops/reference.py", {"spiking-eegnet", "recurrent-snn", "lstm"}),
        ("training/losses.py", {"spiking-eegnet", "recurrent-snn", "lstm"}),
        ("models/spiking_eegnet.py", {"spiking-eegnet"}),
        ("models/recurrent_ann.py", {"lstm"}),
        ("models/classical/spatial.py", {"csp-lda"}),
        ("evaluation/metrics.py", {"spiking-eegnet", "recurrent-snn", "lstm", "pca-svm", "csp-lda"}),
        ("bench/cell.py", {"spiking-eegnet", "recurrent-snn", "lstm", "pca-svm", "csp-lda"}),
        ("data/inner.py", {"spiking-eegnet", "recurrent-snn", "lstm"}),
        ("data/units.py", {"spiking-eegnet", "recurrent-snn", "lstm", "pca-svm", "csp-lda"}),
        ("bench/grouping.py", {"spiking-eegnet", "recurrent-snn", "lstm", "pca-svm", "csp-lda"}),
        ("data/splits.py", set()),
        ("bench/plan.py", set()),
        ("report/page.py", set()),
        ("cli.py", set()),
    ],
)
def test_which_models_an_edit_of_the_package_concerns(package: Path, file, changed):
    before = fingerprints()
    path = package / file
    text = path.read_text()
    path.write_text(text + "\n\n# only a remark\n")
    assert fingerprints() == before
    path.write_text(text + "\n\nANSWER = 42\n")
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == changed


def test_what_chooses_validation_and_groups_is_in_the_files_that_count():
    from spikeneuro.bench import cell
    from spikeneuro.data import inner_split

    networks = identity._files((*identity.ALWAYS, *identity.NETWORKS))
    for function in (inner_split, cell.group_labels, cell.units_of, cell.experiment_recordings):
        assert Path(inspect.getfile(function)) in networks


def test_source_text_drops_comments_docstrings_and_layout_only(tmp_path):
    a, b, c = (tmp_path / name for name in ("a.py", "b.py", "c.py"))
    a.write_text(
        '"""Doc."""\n\ndef f(x):\n    """Says."""\n    return x + 1  # more\n\nclass A:\n    """Only this."""\n'
    )
    b.write_text("def f( x ):\n\n    return (x + 1)\n\nclass A:\n    pass\n")
    c.write_text("def f(x):\n    return x + 2\n\nclass A:\n    pass\n")
    assert source_text(a) == source_text(b) != source_text(c)
    c.write_text("def f(:\n")
    with pytest.raises(InputError, match="line 1: not valid Python"):
        source_text(c)


def test_canonical_form_does_not_depend_on_order_and_refuses_what_it_cannot_write():
    assert canonical({"b": 1, "a": [1.0, None]}) == canonical({"a": [1.0, None], "b": 1})
    assert digest({"a": 1}) != digest({"a": 1.0}) != digest({"a": "1"})
    with pytest.raises(InputError, match="cannot be written as JSON"):
        canonical({"a": object()})


def test_fold_membership_is_part_of_the_key(make_suite):
    cells = make_plan(load_suite(make_suite())).cells
    fold = cells[0].fold
    from spikeneuro.bench.plan import _key

    def key(changed):
        return _key({}, cells[0].experiment, cells[0].candidate, changed, 0)

    assert key(fold) == key(replace(fold, name="renamed"))
    assert key(fold) != key(replace(fold, train=fold.train[1:]))
    assert key(fold) != key(replace(fold, test=fold.test[1:]))


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("reservoir/neucube_kernel.py", {"neucube", "liquid-state-machine", "echo-state"}),
        ("reservoir/desnn.py", {"neucube", "liquid-state-machine", "echo-state"}),
        ("energy/sparse.py", {"neucube", "liquid-state-machine", "echo-state", "recurrent-snn"}),
        ("models/classical/neucube.py", {"neucube"}),
        ("plasticity/sparse_product.py", {"hrsnn"}),
    ],
)
def test_code_of_reservoirs_and_plasticity_counts_where_it_is_used(package: Path, file, changed):
    def found() -> dict[str, str]:
        identity._code_fingerprint.cache_clear()
        names = ("neucube", "liquid-state-machine", "echo-state", "csp-lda", "recurrent-snn", "hrsnn")
        return {name: code_fingerprint(registry.entry(name)) for name in names}

    before = found()
    path = package / file
    path.write_text(path.read_text() + "\n\nANSWER = 42\n")
    after = found()
    assert {name for name in before if before[name] != after[name]} >= changed
    assert before["csp-lda"] == after["csp-lda"]
    prices = package / "energy" / "cost_models" / "horowitz45-fp32.yaml"
    prices.write_text(prices.read_text() + "\n# a price\n")
    assert found()["neucube"] != after["neucube"]
