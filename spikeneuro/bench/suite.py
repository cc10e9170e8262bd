"""Suites: what is compared on which data, read from YAML into frozen dataclasses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spikeneuro import registry
from spikeneuro._validation import suggestion
from spikeneuro.bench.pretraining import Pretraining, read_pretraining
from spikeneuro.bench.reading import Document, Reader, read_yaml
from spikeneuro.bench.variants import with_variant

TASKS = ("classification", "regression", "steps")


@dataclass(frozen=True)
class DataSource:
    """Where recordings come from.

    Attributes
    ----------
    source : str
        Name of a built-in source (``spikeneuro.data.BUILTIN``), or ``file.py:function`` relative to the suite.
    params : dict
        Arguments of the function.
    folder : Path
        Folder that a file is relative to.
    """

    source: str
    params: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class Split:
    """Name of a splitter of `spikeneuro.data.splits`, and its parameters."""

    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Windows:
    """Recordings cut into windows of `length` samples every `step`, whose probabilities are averaged."""

    length: int
    step: int | None = None
    max_windows: int | None = None


@dataclass(frozen=True)
class Reference:
    """A known figure for one candidate: its score should lie within `tolerance` of it."""

    candidate: str
    score: float
    tolerance: float
    source: str


@dataclass(frozen=True)
class Candidate:
    """A model with its hyperparameters and training arguments.

    Attributes
    ----------
    name, model : str
        Name in the suite, and name in the registry.
    params, training : dict
        Hyperparameters; arguments of the estimator (networks only), over the experiment's, over the suite's.
    windows : Windows or None
        For recordings of different lengths.
    pretraining : tuple of Pretraining
        What comes before training by gradients, in this order (networks only).
    modality : str or None
        The one modality it sees of recordings that hold several.
    """

    name: str
    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    windows: Windows | None = None
    pretraining: tuple[Pretraining, ...] = ()
    modality: str | None = None

    @property
    def entry(self) -> registry.ModelEntry:
        """Row of the model in the registry."""
        return registry.entry(self.model)


@dataclass(frozen=True)
class Experiment:
    """One data set under one protocol.

    Attributes
    ----------
    name : str
    data : DataSource
    task : {"classification", "regression", "steps"}
    split : Split
    within : tuple of str
        Column (or columns) inside each of whose values the split is made; empty for one split of all.
    unit : tuple of str
        Column (or columns) of the unit of independence, or "sample".
    group : tuple of str
        Column (or columns) whose values the inner validation part holds whole; empty divides samples.
    group_given : bool
        Whether the suite names `group`; otherwise it is the unit, wherever a training part holds several.
    seeds : tuple of int
    scorer : str
        Main metric.
    candidates : tuple of Candidate
    reference : Reference or None
    note : str or None
        Remark shown beside the results.
    allow_leak : str or None
        Reason for running although the audit finds a leak; shown beside the results.
    """

    name: str
    data: DataSource
    task: str
    split: Split
    within: tuple[str, ...]
    unit: tuple[str, ...]
    group: tuple[str, ...]
    group_given: bool
    seeds: tuple[int, ...]
    scorer: str
    candidates: tuple[Candidate, ...]
    reference: Reference | None
    note: str | None
    allow_leak: str | None


@dataclass(frozen=True)
class Suite:
    """A whole suite, in one of its variants.

    Attributes
    ----------
    name, title, description : str
    experiments : tuple of Experiment
    shuffle_labels : bool
        Whether labels are permuted on purpose: a control in which every candidate must be at chance.
    variant : str or None
        The variant read; None is the default.
    variant_note : str or None
        What this variant is, or leaves out.
    path : Path
    text : str
        The file as it was read.
    """

    name: str
    title: str
    description: str
    experiments: tuple[Experiment, ...]
    shuffle_labels: bool
    variant: str | None
    variant_note: str | None
    path: Path
    text: str

    @property
    def label(self) -> str:
        """Name with variant and control, as used for folders and files."""
        parts = [self.name, self.variant, "shuffled" if self.shuffle_labels else None]
        return "-".join(part for part in parts if part)


def load_suite(path: str | Path, variant: str | None = None, *, shuffle_labels: bool | None = None) -> Suite:
    """Read a suite.

    Parameters
    ----------
    path : path-like
        A YAML file.
    variant : str, optional
        Variant merged over the default.
    shuffle_labels : bool, optional
        Overrides the suite's own key.

    Returns
    -------
    Suite
        The suite, checked.

    Raises
    ------
    InputError
        For anything that is not a suite: the message names file, line, key path and, for a mistyped word, the nearest
        known one.

    Examples
    --------
    >>> from spikeneuro.bench import find_suite, load_suite
    >>> load_suite(find_suite("demo")).name
    'demo'
    """
    document = read_yaml(Path(path))
    content, note = with_variant(document, variant)
    top = Reader(document, content)
    for key in ("variants", "reduced"):
        top.value(key)
    defaults = top.value("training", "mapping", default={})
    candidates = {c.name: c for c in map(_candidate, top.each("candidates", required=True))}
    seeds = _seeds(top, (0,))
    experiments = [
        _experiment(reader, candidates, seeds, defaults, document) for reader in top.each("experiments", required=True)
    ]
    _refuse_twins(top, "candidates", [reader.value("name") for reader in top.each("candidates")])
    _refuse_twins(top, "experiments", [experiment.name for experiment in experiments])
    name = _file_name(top, "name")
    shuffled = top.value("shuffle_labels", "truth value", default=False)
    suite = Suite(
        name=name,
        title=top.value("title", "text", default=name),
        description=top.value("description", "text", default=""),
        experiments=tuple(experiments),
        shuffle_labels=shuffled if shuffle_labels is None else shuffle_labels,
        variant=variant,
        variant_note=note,
        path=document.path,
        text=document.text,
    )
    top.finish()
    return suite


def _candidate(reader: Reader) -> Candidate:
    name = _file_name(reader, "name")
    model = reader.choice("model", registry.names(), default=name)
    own = reader.value("training", "mapping", default={})
    if own and registry.entry(model).kind != "network":
        raise reader.error("training", f"{model!r} is a pipeline; only networks take training arguments.")
    before = read_pretraining(reader)
    if before and registry.entry(model).kind != "network":
        raise reader.error("pretraining", f"{model!r} is a pipeline; only networks are pre-trained.")
    candidate = Candidate(
        name=name,
        model=model,
        params=reader.value("params", "mapping", default={}),
        training=own,
        windows=_windows(reader.below("windows")),
        pretraining=before,
        modality=reader.value("modality", "text"),
    )
    reader.finish()
    return candidate


def _windows(reader: Reader | None) -> Windows | None:
    if reader is None:
        return None
    windows = Windows(
        length=reader.value("length", "integer", required=True),
        step=reader.value("step", "integer"),
        max_windows=reader.value("max_windows", "integer"),
    )
    reader.finish()
    return windows


def _seeds(reader: Reader, default: tuple[int, ...]) -> tuple[int, ...]:
    seeds = reader.items("seeds", "integer", default=default)
    _refuse_twins(reader, "seeds", seeds)
    return seeds


def _trained(candidate: Candidate, defaults: Mapping[str, Any]) -> Candidate:
    """The candidate with the training arguments it has not set itself; pipelines take none."""
    if candidate.entry.kind != "network":
        return candidate
    return replace(candidate, training={**defaults, **candidate.training})


def _experiment(
    reader: Reader,
    candidates: Mapping[str, Candidate],
    seeds: tuple[int, ...],
    defaults: Mapping[str, Any],
    document: Document,
) -> Experiment:
    defaults = {**defaults, **reader.value("training", "mapping", default={})}
    name = _file_name(reader, "name")
    data = reader.below("data", required=True)
    split = reader.below("split", required=True)
    assert data is not None  # both are required
    assert split is not None
    task = reader.choice("task", TASKS, default="classification")
    unit = reader.columns("unit", required=True)
    chosen = reader.items("candidates", "text", default=candidates)
    for candidate in chosen:
        if candidate not in candidates:
            raise reader.error("candidates", f"unknown candidate {candidate!r}; {suggestion(candidate, candidates)}")
    _refuse_twins(reader, "candidates", chosen)
    experiment = Experiment(
        name=name,
        data=DataSource(
            data.value("source", "text", required=True),
            data.value("params", "mapping", default={}),
            document.path.parent.resolve(),
        ),
        task=task,
        split=Split(split.value("method", "text", required=True), split.value("params", "mapping", default={})),
        within=reader.columns("within"),
        unit=unit,
        group=reader.columns("group", default=() if "group" in reader or unit == ("sample",) else unit),
        group_given="group" in reader,
        seeds=_seeds(reader, seeds),
        scorer=reader.value("scorer", "text", default="r2" if task == "regression" else "accuracy"),
        candidates=tuple(_trained(candidates[candidate], defaults) for candidate in chosen),
        reference=_reference(reader.below("reference"), chosen),
        note=reader.value("note", "text"),
        allow_leak=reader.value("allow_leak", "text"),
    )
    for part in (data, split, reader):
        part.finish()
    if "leaky" in experiment.split.method and not experiment.note:
        raise reader.error("note", f"the split {experiment.split.method!r} leaks, so a note that says so is required.")
    _check_tasks(reader, experiment)
    return experiment


def _check_tasks(reader: Reader, experiment: Experiment) -> None:
    for candidate in experiment.candidates:
        if experiment.task not in candidate.entry.tasks:
            raise reader.error(
                "candidates",
                f"candidate {candidate.name!r}: model {candidate.model!r} cannot be trained for {experiment.task}; it "
                f"does {', '.join(candidate.entry.tasks)}. Name the experiment's candidates.",
            )


def _reference(reader: Reader | None, chosen: Iterable[str]) -> Reference | None:
    if reader is None:
        return None
    reference = Reference(
        candidate=reader.choice("candidate", tuple(chosen)),
        score=float(reader.value("score", "number", required=True)),
        tolerance=float(reader.value("tolerance", "number", default=0.03)),
        source=reader.value("source", "text", required=True),
    )
    reader.finish()
    return reference


def _file_name(reader: Reader, key: str) -> str:
    """Name that may stand in a file name."""
    name = str(reader.value(key, "text", required=True))
    if not name or not all(character.isalnum() or character in "-_." for character in name):
        raise reader.error(key, f"{name!r} must consist of letters, digits, '-', '_' and '.'.")
    return name


def _refuse_twins(reader: Reader, key: str, values: Iterable[Any]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise reader.error(key, f"{value!r} is given twice.")
        seen.add(value)
