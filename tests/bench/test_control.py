"""Shuffled labels: independent of the signals, balanced as before, and at chance."""

import itertools

import numpy as np
import pytest

from spikeneuro import bench
from spikeneuro.bench.control import shuffle_labels
from spikeneuro.data import Recordings
from spikeneuro.errors import InputError


def recordings(y, **columns):
    y = np.asarray(y)
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    return Recordings(X, y, columns, None, modality="features")


def test_labels_that_vary_in_a_unit_stay_balanced_in_it():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(6), 20)
    original = recordings(rng.integers(0, 2, 120), subject=subject)
    shuffled = shuffle_labels(original, original.units("subject"), 1)
    for k in range(6):
        assert shuffled.y[subject == k].sum() == original.y[subject == k].sum()
    assert (shuffled.y != original.y).any()
    assert np.array_equal(shuffled.X, original.X)
    assert abs(np.corrcoef(original.y, shuffled.y)[0, 1]) < 0.3


def test_a_label_of_a_person_moves_with_the_person():
    subject = np.repeat(np.arange(20), [3, 5] * 10)
    original = recordings((subject % 2), subject=subject)
    shuffled = shuffle_labels(original, original.units("subject"))
    per_subject = [set(shuffled.y[subject == k]) for k in range(20)]
    assert all(len(labels) == 1 for labels in per_subject)
    assert sum(labels == {1} for labels in per_subject) == 10
    assert (shuffled.y != original.y).any()


def test_samples_of_one_trial_keep_one_label():
    subject, trial = np.repeat([0, 1], 40), np.tile(np.repeat(np.arange(10), 4), 2)
    original = recordings(trial % 2, subject=subject, trial=trial)
    shuffled = shuffle_labels(original, original.units("subject"))
    for s in (0, 1):
        for t in range(10):
            assert len(set(shuffled.y[(subject == s) & (trial == t)])) == 1


def test_without_columns_all_samples_are_permuted_and_the_seed_decides():
    original = recordings(np.repeat([0, 1, 2], 20), image=np.arange(60))
    first, again, other = (shuffle_labels(original, original.units("sample"), seed) for seed in (0, 0, 1))
    assert np.array_equal(first.y, again.y)
    assert not np.array_equal(first.y, other.y)
    assert np.bincount(first.y).tolist() == [20, 20, 20]


def test_a_run_with_shuffled_labels_is_at_chance_and_marked(make_suite, tmp_path):
    path = make_suite()
    text = path.read_text().replace(
        "data.py:blobs}", "data.py:blobs, params: {n_subjects: 12, n_trials: 20, shift: 3}}"
    )
    path.write_text(text)
    real = bench.run(path, tmp_path / "real", progress=False).summary
    control = bench.run(path, tmp_path / "control", shuffle_labels=True, progress=False).summary
    assert (real["score"] > 0.95).all()
    assert ((control["low"] <= 0.5) & (control["high"] >= 0.5)).all(), control[["score", "low", "high"]]
    with bench.Store(tmp_path / "control") as store:
        assert {row["shuffled"] for row in store.rows()} == {1}
        assert store.runs()[0]["shuffled"] == 1


def test_the_control_exposes_a_leak(make_suite, tmp_path):
    """One label a person, persons on both sides: recognising the person is rewarded even with shuffled labels."""
    text = """
    name: leak
    shuffle_labels: true
    experiments:
      - name: by-sample
        data: {source: people.py:load}
        split: {method: leaky-stratified-k-fold, params: {n_splits: 4}}
        unit: subject
        note: leaks
      - name: by-person
        data: {source: people.py:load}
        split: {method: leave-groups-out, params: {by: subject, n_splits: 4, random_state: 0}}
        unit: subject
    candidates:
      - {name: neighbour, model: nearest-neighbour}
    """
    path = make_suite(text)
    (path.parent / "people.py").write_text(
        "import numpy as np\n"
        "from spikeneuro.data import Recordings\n\n\n"
        "def load():\n"
        "    rng = np.random.default_rng(0)\n"
        "    subject = np.repeat(np.arange(24), 8)\n"
        "    X = 5 * rng.normal(size=(24, 6))[subject] + rng.normal(size=(len(subject), 6))\n"
        "    return Recordings(X, subject % 2, {'subject': subject}, None, modality='features')\n"
    )
    frame = bench.run(path, tmp_path / "out", progress=False).summary.set_index("experiment")
    assert frame.loc["by-sample", "low"] > 0.9
    assert frame.loc["by-person", "low"] <= 0.5 <= frame.loc["by-person", "high"]


def test_steps_are_moved_as_whole_sequences():
    y = np.arange(24).reshape(6, 4) % 3
    original = Recordings(np.random.default_rng(0).normal(size=(6, 1, 4)), y, {"recording": range(6)}, 1.0, ["a"],
                          modality="signal")  # fmt: skip
    shuffled = shuffle_labels(original, original.units("recording"))
    assert sorted(map(tuple, shuffled.y)) == sorted(map(tuple, y))


def seen(original, unit, seeds):
    """Every sequence of labels that comes over so many seeds."""
    return {tuple(shuffle_labels(original, original.units(unit), seed).y.tolist()) for seed in range(seeds)}


def test_every_permutation_of_blocks_can_come():
    """All but the one that changes nothing, of three runs and of four, and each by itself in two persons."""
    three = recordings([0, 1, 2], subject=[0] * 3, run=[0, 1, 2])
    assert seen(three, "subject", 80) == set(itertools.permutations(range(3))) - {(0, 1, 2)}
    four = recordings([0, 1, 2, 3], subject=[0] * 4, run=range(4))
    assert seen(four, "subject", 300) == set(itertools.permutations(range(4))) - {(0, 1, 2, 3)}
    two = recordings([0, 1, 2] * 2, subject=[0] * 3 + [1] * 3, run=[0, 1, 2] * 2)
    orders = list(itertools.permutations(range(3)))
    possible = {a + b for a in orders for b in orders} - {(0, 1, 2) * 2}
    assert seen(two, "subject", 400) == possible


def test_of_two_persons_with_two_runs_either_one_can_be_exchanged():
    original = recordings([0, 1, 0, 1], subject=[0, 0, 1, 1], run=[0, 1, 0, 1])
    assert seen(original, "subject", 40) == {(1, 0, 0, 1), (0, 1, 1, 0)}


def test_one_mixed_unit_does_not_keep_the_labels_of_all_others():
    """A person relabelled halfway must not tie everyone else's label to him."""
    subject = np.repeat(np.arange(20), 6)
    y = subject % 2
    y[3:6] = 1  # subject 0 has both labels
    original = recordings(y, subject=subject, trial=np.tile(np.arange(6), 20))
    shuffled = shuffle_labels(original, original.units("subject"))
    labels = [np.unique(shuffled.y[subject == k]) for k in range(1, 20)]
    assert all(len(found) == 1 for found in labels)
    moved = sum(int(found[0]) != k % 2 for k, found in enumerate(labels, start=1))
    assert 4 <= moved <= 15
    assert shuffled.y[:6].sum() == 3
    assert f"Labels shuffled: {(shuffled.y == y).mean():.0%} of them are what they were" in shuffled.description


@pytest.mark.parametrize("seed", range(4))
def test_of_units_with_two_blocks_exactly_half_are_exchanged(seed):
    subject, run = np.repeat(np.arange(20), 8), np.tile(np.repeat([0, 1], 4), 20)
    original = recordings(run, subject=subject, run=run)
    shuffled = shuffle_labels(original, original.units("subject"), seed)
    assert (shuffled.y != original.y).mean() == 0.5


@pytest.mark.parametrize("y", [[0, 0, 1, 1], [0, 0, 0, 0]])
def test_labels_that_cannot_move_are_no_control(y):
    """Two persons of one label each: exchanged or not, the labels are as easy to predict as before."""
    original = recordings(y, subject=[0, 0, 1, 1])
    with pytest.raises(InputError, match="which is no control; it needs more units"):
        shuffle_labels(original, original.units("subject"))
