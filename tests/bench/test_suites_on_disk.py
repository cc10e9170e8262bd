"""The suites of the repository: each is readable in every variant and compares what it should; no data are needed."""

from pathlib import Path

import pytest

from spikeneuro.bench import load_suite
from spikeneuro.bench.reading import read_yaml
from spikeneuro.bench.variants import variant_names
from spikeneuro.models import create

FOLDER = Path(__file__).parents[2] / "benchmarks" / "suites"
SUITES = sorted(FOLDER.glob("*.yaml"))
TEN = {
    "eeg_mental_arithmetic", "eeg_ssvep", "eeg_motor_imagery", "eeg_seizure", "ecg_waves", "fmri_objects",
    "fmri_autism", "fmri_age", "image_digits", "image_dementia",
}  # fmt: skip
#: Measured with three seeds for every trained candidate.
THREE_SEEDS = {
    ("eeg_motor_imagery", "within-subject"),
    ("ecg_waves", "given-split"),
    ("eeg_mental_arithmetic", "leave-subjects-out"),
    ("fmri_autism", "five-folds"),
    ("image_dementia", "by-subject"),
}


def test_the_ten_suites_are_there():
    assert {path.stem for path in SUITES} >= TEN


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_suite(path):
    suite = load_suite(path)
    assert suite.name == path.stem
    assert suite.variant_note, "the default variant must say what it leaves out"
    assert "full" in variant_names(read_yaml(path))
    main = suite.experiments[0]
    kinds = [(candidate.entry.spiking, candidate.entry.kind) for candidate in main.candidates]
    assert kinds.count((True, "network")) >= 2
    assert kinds.count((False, "network")) >= 2
    assert kinds.count((False, "pipeline")) >= 1
    for experiment in suite.experiments:
        assert (path.parent / experiment.data.source.partition(":")[0]).is_file()
        if (suite.name, experiment.name) in THREE_SEEDS:
            assert len(experiment.seeds) == 3
    if path.stem in TEN:
        assert any(experiment.reference for experiment in suite.experiments)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_full_variant(path):
    assert load_suite(path, "full").label == f"{path.stem}-full"


def test_the_spiking_network_for_ecg_waves_is_smaller_than_the_small_lstm():
    suite = load_suite(FOLDER / "ecg_waves.yaml")
    sizes = {"n_chans": 4, "n_times": 1301, "n_outputs": 6, "sfreq": 250.0}
    built = {c.name: create(c.model, **sizes, **c.params) for c in suite.experiments[0].candidates[:4]}
    count = {name: sum(p.numel() for p in model.parameters() if p.requires_grad) for name, model in built.items()}
    assert count["lstm-36"] == 4 * 36 * (4 + 36) + 8 * 36 + 6 * 37  # four gates with two biases each, readout
    # each layer: input weights, normalisation, recurrence, time constants; readout with its time constants
    assert count["recurrent-snn"] == 42 * (4 + 2 + 42 + 1) + 42 * (42 + 2 + 42 + 1) + 6 * 43 + 6
    assert count["recurrent-snn"] < count["lstm-36"]
