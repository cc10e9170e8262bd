"""From a suite to its cells: data loaded, folds made and audited, keys computed, before anything runs."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spikeneuro._files import fingerprint
from spikeneuro._version import __version__
from spikeneuro.bench import estimators
from spikeneuro.bench.grouping import experiment_recordings, units_of
from spikeneuro.bench.identity import code_fingerprint, digest
from spikeneuro.bench.leaks import audited_folds, timed_table
from spikeneuro.bench.pretraining import CODE as PRETRAINING_CODE
from spikeneuro.bench.sources import adapter_fingerprint
from spikeneuro.bench.suite import Candidate, Experiment, Suite
from spikeneuro.data import Recordings
from spikeneuro.data.splits import Fold, folds, make_splitter
from spikeneuro.errors import InputError
from spikeneuro.evaluation.metrics import metric_named


@dataclass(frozen=True, eq=False)
class Cell:
    """One fold of one candidate with one seed: all a worker needs to compute its row.

    Attributes
    ----------
    key : str
        Hash of everything that determines the row.
    suite : str
    experiment : Experiment
    candidate : Candidate
    fold : Fold
    seed : int
    shuffled : bool
        Whether the labels are permuted first.
    raster : bool
        Whether a spike raster of the first test sample is kept.
    """

    key: str
    suite: str
    experiment: Experiment
    candidate: Candidate
    fold: Fold
    seed: int
    shuffled: bool
    raster: bool

    @property
    def place(self) -> dict[str, Any]:
        """Key and coordinates, as the store's plan has them."""
        return {
            "key": self.key,
            "experiment": self.experiment.name,
            "candidate": self.candidate.name,
            "fold": self.fold.index,
            "seed": self.seed,
        }

    @property
    def label(self) -> str:
        """The cell in a line: ``experiment / candidate / fold 2 (subject=S3) / seed 0``."""
        return (
            f"{self.experiment.name} / {self.candidate.name} / fold {self.fold.index} ({self.fold.name}) / "
            f"seed {self.seed}"
        )


@dataclass(frozen=True)
class Plan:
    """All cells of a suite in their order, and one descriptive row per experiment."""

    suite: Suite
    cells: tuple[Cell, ...]
    experiments: tuple[dict[str, Any], ...]


def make_plan(suite: Suite, say: Callable[[str], None] | None = None) -> Plan:
    """Load the data, make and audit the folds, and list the cells.

    Parameters
    ----------
    suite : Suite
    say : callable, optional
        Told what is being loaded, which may take minutes.

    Raises
    ------
    InputError
        If anything about the suite cannot work: data that is absent or unfit, a split that leaks or cannot be made,
        an unknown scorer, column, hyperparameter or training argument. The message names file and experiment.
    """
    cells: list[Cell] = []
    rows = []
    for experiment in suite.experiments:
        if say is not None:
            say(f"{experiment.name}: loading {experiment.data.source}")
        try:
            planned, row = _plan_experiment(suite, experiment)
        except InputError as error:
            raise type(error)(f"{suite.path}: experiment {experiment.name!r}: {error}") from error
        cells += planned
        rows.append(row)
    return Plan(suite, tuple(cells), tuple(rows))


def _plan_experiment(suite: Suite, experiment: Experiment) -> tuple[list[Cell], dict[str, Any]]:
    recordings = experiment_recordings(experiment, suite.shuffle_labels)
    _check_experiment(experiment, recordings)
    splitter = make_splitter(experiment.split.method, **experiment.split.params)
    table = timed_table(recordings)
    made = folds(table, recordings.y, splitter, within=experiment.within or None)
    audited = audited_folds(experiment, recordings, table, made)
    for candidate in experiment.candidates:
        estimators.check(candidate, recordings, experiment.task)
    identity = _identity(experiment, recordings, suite.shuffle_labels)
    cells = [
        Cell(
            key=_key(identity, experiment, candidate, fold, seed),
            suite=suite.name,
            experiment=experiment,
            candidate=candidate,
            fold=fold,
            seed=seed,
            shuffled=suite.shuffle_labels,
            raster=candidate.entry.spiking and fold.index == 0 and seed == experiment.seeds[0],
        )
        for fold in made
        for seed in experiment.seeds
        for candidate in experiment.candidates
    ]
    return cells, {**_experiment_row(suite, experiment, recordings, len(made)), "audit": audited}


def _check_experiment(experiment: Experiment, recordings: Recordings) -> None:
    if recordings.task != experiment.task:
        raise InputError(f"the suite says task {experiment.task!r}, the data's targets are for {recordings.task!r}.")
    metric = metric_named(experiment.scorer, experiment.task)
    if experiment.task == "steps" and metric.from_confusion is None:
        raise InputError(f"scorer {experiment.scorer!r} is not kept for labels per step; use accuracy or f1_macro.")
    for columns in (experiment.unit, experiment.group, experiment.within):
        if columns:
            units_of(recordings, columns)


def _identity(experiment: Experiment, recordings: Recordings, shuffled: bool) -> dict[str, Any]:
    """What all cells of the experiment have in common that can change a result."""
    return {
        "package": __version__,
        "source": experiment.data.source,
        "params": experiment.data.params,
        "adapter": adapter_fingerprint(experiment.data),
        "data": recordings.fingerprint,
        "task": experiment.task,
        "split": asdict(experiment.split),
        "within": experiment.within,
        "unit": experiment.unit,
        "group": experiment.group,
        "shuffled": shuffled,
    }


def _key(identity: Mapping[str, Any], experiment: Experiment, candidate: Candidate, fold: Fold, seed: int) -> str:
    return digest(
        {
            "experiment": {"name": experiment.name, **identity},
            "candidate": {**asdict(candidate), "target": candidate.entry.target},
            "code": code_fingerprint(candidate.entry, PRETRAINING_CODE if candidate.pretraining else ()),
            "fold": [fold.index, fingerprint([fold.train, fold.test])],
            "seed": seed,
        }
    )


def _experiment_row(suite: Suite, experiment: Experiment, recordings: Recordings, n_folds: int) -> dict[str, Any]:
    """Row of the store's table of experiments."""
    units = units_of(recordings, experiment.unit)
    definition = asdict(experiment)
    del definition["data"]["folder"]
    for name in ("within", "unit", "group"):
        definition[name] = "/".join(definition[name]) or None
    return {
        "name": experiment.name,
        "suite": suite.name,
        "definition": definition,
        "description": recordings.description,
        "modality": _joined(recordings.modality),
        "simulated": int(recordings.simulated),
        "n_samples": len(recordings),
        "shape": _shape(recordings),
        "sfreq": recordings.sfreq if isinstance(recordings.sfreq, (int, float)) else None,
        "classes": _class_counts(recordings),
        "labels": None if recordings.label_names is None else list(recordings.label_names),
        "unit": "/".join(experiment.unit),
        "n_units": len(np.unique(units)),
        "n_folds": n_folds,
        "data_fingerprint": recordings.fingerprint,
        "task": experiment.task,
        "scorer": experiment.scorer,
        "note": experiment.note,
        "reference": None if experiment.reference is None else asdict(experiment.reference),
    }


def _joined(modality: Any) -> str:
    return " + ".join(modality.values()) if isinstance(modality, Mapping) else str(modality)


def _shape(recordings: Recordings) -> Any:
    """Shape of one sample, None where the samples differ; by modality where there are several."""
    if isinstance(recordings.X, dict):
        return {key: _sizes(x) for key, x in recordings.X.items()}
    return _sizes(recordings.X)


def _sizes(X: Any) -> list[int | None]:
    shapes = {np.shape(x) for x in X}
    return [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True)]


def _class_counts(recordings: Recordings) -> dict[str, int] | None:
    if recordings.label_names is None:
        return None
    counts = Counter(recordings.y.ravel().tolist())
    return {str(name): counts.get(code, 0) for code, name in enumerate(recordings.label_names)}
