"""Health of one spiking model on one data set: from names, as a user types them, to a report."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from spikeneuro import registry
from spikeneuro._several import take
from spikeneuro._validation import check_number, suggestion
from spikeneuro.bench import estimators, measure
from spikeneuro.bench.sources import load_recordings
from spikeneuro.bench.suite import Candidate, DataSource, Experiment, load_suite
from spikeneuro.bench.suite_files import find_suite
from spikeneuro.data import Recordings
from spikeneuro.errors import InputError

#: Training arguments that choose an epoch; what is examined is the network of the last one, trained on all samples.
_NOT_TAKEN = ("max_epochs", "validation_fraction", "monitor", "patience", "restore_best")
#: Where adapters are looked for that are not in the current folder.
ADAPTERS = Path("benchmarks") / "datasets"


@dataclass(frozen=True)
class Case:
    """A model with its parameters, and data to examine it on."""

    candidate: Candidate
    data: DataSource


@dataclass(frozen=True)
class Checkup:
    """What `examine` found.

    Attributes
    ----------
    report : HealthReport
        Health by layer.
    about : dict
        What was examined: model, parameters, training arguments, data, epochs and seed.
    """

    report: Any
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The examination in a line."""
        epochs, samples = self.about["epochs"], self.report.samples
        state = "as initialised" if epochs == 0 else f"after {epochs} epoch{'s' if epochs > 1 else ''}"
        return f"{self.about['candidate']} on {self.about['data']}, {state}, {samples} samples"


def case_of_data(model: str, data: str, params: Mapping[str, Any]) -> Case:
    """A registered model with its defaults, on a built-in source or ``file.py:function``.

    The file is looked for in the current folder, then among the adapters in ``benchmarks/datasets``.
    """
    registry.entry(model)
    file, separator, _ = data.rpartition(":")
    folder = Path() if not separator or Path(file).is_file() or not (ADAPTERS / file).is_file() else ADAPTERS
    return Case(Candidate(model, model), DataSource(data, params, folder))


def case_of_suite(candidate: str, suite: str, experiment: str | None) -> Case:
    """A candidate of a suite with the parameters it has there, on the data of one of its experiments."""
    read = load_suite(find_suite(suite))
    chosen = _experiment(read.experiments, candidate, experiment, suite)
    found = {one.name: one for one in chosen.candidates}
    if candidate not in found:
        raise InputError(
            f"experiment {chosen.name!r} of suite {suite!r} has no candidate {candidate!r}; "
            f"{suggestion(candidate, found)}"
        )
    return Case(found[candidate], chosen.data)


def _experiment(experiments: Iterable[Experiment], candidate: str, wanted: str | None, suite: str) -> Experiment:
    by_name = {one.name: one for one in experiments}
    if wanted is not None:
        if wanted not in by_name:
            raise InputError(f"suite {suite!r} has no experiment {wanted!r}; {suggestion(wanted, by_name)}")
        return by_name[wanted]
    having = [one for one in by_name.values() if candidate in [each.name for each in one.candidates]]
    if len(having) > 1:
        raise InputError(
            f"several experiments of suite {suite!r} have the candidate {candidate!r}; name one: --experiment "
            f"{' or '.join(one.name for one in having)}."
        )
    if not having:
        known = {each.name for one in by_name.values() for each in one.candidates}
        raise InputError(f"suite {suite!r} has no candidate {candidate!r}; {suggestion(candidate, known)}")
    return having[0]


def parse_options(given: Iterable[str], flag: str) -> dict[str, Any]:
    """Options typed as ``name=value``, values read as in a suite: ``hidden=32``, ``tau=[1, 50]``, ``encoder=delta``."""
    found: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise InputError(f"{flag} {text!r} is not of the form name=value.")
        if name in found:
            raise InputError(f"{flag} gives {name!r} twice.")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(
                f"{flag} {text!r}: the value cannot be read; quote text with special characters."
            ) from error
    return found


def examine(
    case: Case,
    *,
    options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    epochs: int = 0,
    samples: int = 64,
    seed: int = 0,
) -> Checkup:
    """Build the model, train it for some epochs on all the data, and examine it on some of them.

    Parameters
    ----------
    case : Case
        Model and data.
    options, training : mapping, optional
        Hyperparameters of the model, and arguments of the estimator, over those of the case.
    epochs : int
        Epochs of training; with 0 the network is as it is initialised, and is examined as the first step of training
        would see it (batch statistics, dropout).
    samples : int
        Most samples examined, spread evenly over the data.
    seed : int
        Decides initialisation, training and all draws.

    Returns
    -------
    Checkup
        Report and circumstances.

    Raises
    ------
    InputError
        If the model does not spike, or model, parameters and data do not go together.
    """
    from spikeneuro.training import health

    entry = case.candidate.entry
    if not entry.spiking:
        raise InputError(
            f"model {entry.name!r} has no spiking layer, so there is nothing to examine; spiking models: "
            f"{', '.join(registry.names(spiking=True))}."
        )
    for name in training or {}:
        if name in _NOT_TAKEN:
            raise InputError(
                f"training argument {name!r} has no effect here: the network is trained on all samples for the epochs "
                "asked for, and examined as it is after the last; give --epochs."
            )
    check_number(epochs, "epochs", low=0, integer=True)
    check_number(samples, "samples", low=2, integer=True)
    recordings = load_recordings(case.data)
    _check_lengths(case, recordings)
    candidate = replace(
        case.candidate,
        params={**case.candidate.params, **(options or {})},
        training={
            **{name: value for name, value in case.candidate.training.items() if name not in _NOT_TAKEN},
            **(training or {}),
            "max_epochs": epochs,
            "validation_fraction": None,
        },
    )
    estimators.check(candidate, recordings, recordings.task)
    recordings = estimators.seen_by(candidate, recordings)
    estimator = estimators.build(candidate, recordings, recordings.task, seed)
    estimator.fit(recordings.X, recordings.y)
    chosen = measure.spread(len(recordings), samples)
    report = health(
        estimator,
        take(recordings.X, chosen),
        recordings.y[chosen],
        batch_size=candidate.training.get("batch_size", 32),
        training=epochs == 0,
    )
    about = {
        "candidate": candidate.name,
        "model": candidate.model,
        "params": dict(candidate.params),
        "training": dict(candidate.training),
        "data": case.data.source,
        "data_params": dict(case.data.params),
        "recordings": repr(recordings),
        "epochs": epochs,
        "seed": seed,
    }
    return Checkup(report, about)


def _check_lengths(case: Case, recordings: Recordings) -> None:
    if recordings.ragged and case.candidate.windows is None:
        raise InputError(
            f"the recordings of {case.data.source!r} differ in length; a suite's candidate says how windows are cut "
            "from them: give --suite."
        )
