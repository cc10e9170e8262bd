"""Does a model use time at all: its score with time taken from the input, and from inside it."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from spikeneuro._validation import check_choice, check_number
from spikeneuro.errors import InputError
from spikeneuro.evaluation import METRICS, Predictions, compare, holm, names_for, summarise
from spikeneuro.evaluation.outcome import IGNORED
from spikeneuro.explain.controls import CONTROLS, apply_control, as_samples
from spikeneuro.explain.hidden import HIDDEN_CONTROLS, shuffled_layers, time_layers
from spikeneuro.explain.predicting import Calling, Predicted, Predictor, module_of, predictor_of
from spikeneuro.explain.temporal_report import ControlResult, TemporalReport

#: Controls of the input that a label for each step can follow: every step keeps its label.
FOLLOWED = ("time-shuffled", "segments-permuted", "time-reversed", "time-mean")

#: Where a control acts on all time layers of a network together.
ALL_LAYERS = "all layers"


class _Plan(NamedTuple):
    """A control and where it acts."""

    control: str
    where: str
    layers: tuple[str, ...]  # none for the input


def temporal_dependence(
    model: Any,
    X: ArrayLike | Tensor,
    y: ArrayLike,
    *,
    units: ArrayLike | None = None,
    controls: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    metric: str | None = None,
    n_repeats: int = 5,
    n_segments: int = 8,
    time_axis: int = -1,
    batch_axis: int = 0,
    classes: Sequence[Any] | None = None,
    batch_size: int = 64,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    random_state: int = 0,
) -> TemporalReport:
    """Score a fitted model on test data as they are, and with time taken away in several ways.

    The model is not trained again. The controls of the input (`CONTROLS`) shuffle the times of every sample, permute
    segments, reverse time, or hold each channel at its mean. Inside a spiking network (`HIDDEN_CONTROLS`) the spike
    times of each layer, and of all of them together, are shuffled while every neuron keeps its number of spikes in
    every sample; encoders count as layers. A random control is drawn `n_repeats` times and its scores are averaged.

    Score and drop are means over units of independence, with bootstrap intervals; the drop is paired, its p-value comes
    from sign flips over units and is adjusted by Holm's method for the number of controls.

    A drop says that *this model* relies on what a control removes, or that it is thrown by data it has never seen; that
    the *task* needs it shows only when the model is also trained on controlled data (`apply_control`).

    Parameters
    ----------
    model : estimator or nn.Module
        Fitted classifier or regressor with ``predict`` (any of the harness, or of scikit-learn), or a network that
        gives logits ``(samples, classes)`` or values ``(samples,)``.
    X : array-like or Tensor
        Test samples as the model takes them, samples first: ``(samples, channels, times)``, ``(samples, times)``, or a
        list of recordings of different lengths. Images, which have no time, leave the controls inside the network.
    y : array-like of shape (samples,) or (samples, times)
        Labels or values; for a model that labels every step a label each, -1 where there is none. These move along with
        their steps, so a drop then says that the model looks at other steps than the one it labels; controls that they
        cannot follow are left out.
    units : array-like of shape (samples,), optional
        Unit of independence (subject, run) of each sample; every sample by itself when omitted.
    controls : sequence of str, optional
        Keys of `CONTROLS` and `HIDDEN_CONTROLS`; all that can be applied when omitted.
    layers : sequence of str, optional
        Modules inside the network to shuffle, whose outputs are (time, batch, *features); its spiking layers and
        encoders when omitted.
    metric : str, optional
        Key of `spikeneuro.evaluation.METRICS`; accuracy, or the mean absolute error for values.
    n_repeats : int, default=5
        Draws of each random control.
    n_segments : int, default=8
        Segments that ``segments-permuted`` cuts.
    time_axis, batch_axis : int
        Axes of time and of the samples in `X`; another than the first for the samples only with a network.
    classes : sequence, optional
        Class of each output of a network; 0, 1, ... when omitted.
    batch_size : int, default=64
        Samples given to a network at a time.
    confidence : float, default=0.95
        Of the intervals; its complement is the level of the tests.
    n_resamples : int
        Bootstrap resamples and sign flips drawn.
    random_state : int
        Seed of the permutations, and of what a network itself draws.

    Returns
    -------
    TemporalReport
        Its ``answer()`` is one sentence, its ``table()`` has a row for each control. A control that
        cannot be applied has a note in place of a score.

    Raises
    ------
    InputError
        For data that the model cannot take as they are, unknown names, controls that labels of steps cannot follow, and
        models without time: images and no spiking layer.

    References
    ----------
    Ojala and Garriga (2010), https://www.jmlr.org/papers/v11/ojala10a.html (permutations that keep chosen properties);
    Iyer, Chua and Li (2021), doi:10.3389/fnins.2021.608567 (data sets with time collapsed).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from spikeneuro import explain
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile([0, 1], 30)
    >>> X = rng.normal(size=(60, 2, 50)) + y[:, None, None]
    >>> means = make_pipeline(FunctionTransformer(lambda X: X.mean(axis=2)), LogisticRegression()).fit(X, y)
    >>> report = explain.temporal_dependence(means, X, y, n_repeats=2)
    >>> report.uses_time, report.answer()
    (False, 'No: no control changed a single prediction, so the model does not use time.')
    """
    check_number(n_repeats, "n_repeats", low=1, integer=True)
    check_number(batch_size, "batch_size", low=1, integer=True)
    check_number(n_segments, "n_segments", low=2, integer=True)
    check_number(confidence, "confidence", low=0.0, high=1.0, closed="neither")
    check_number(random_state, "random_state", low=0, integer=True)
    samples, axis = _samples_first(X, time_axis, batch_axis, model)
    truth, names = _targets(y, units, samples, axis)
    network = module_of(model)
    plans, note = _plans(samples, network, controls, layers, truth.ndim == 2)
    calling = Calling(classes, batch_size, batch_axis, random_state)
    predictor, first = predictor_of(model, samples, truth, metric, calling)
    chosen = _metric(metric, predictor.task)

    def of(found: Predicted, labels: NDArray[Any], run: int) -> Predictions:
        return Predictions(names, labels, found.y_pred, found.proba, found.decision, run)

    scoring = _Scoring(chosen, predictor, confidence, n_resamples, random_state)
    original = [of(first, truth, 0)]
    rows = [scoring.original(original)]
    for number, plan in enumerate(plans):
        runs, changes, problem = [], [], ""
        for repeat in range(_draws(plan, n_repeats)):
            seed = int(np.random.SeedSequence([random_state, number, repeat]).generate_state(1)[0])
            try:
                found = _asked(plan, predictor, samples, network, n_segments, axis, seed)
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                problem = f"could not be applied: {' '.join(str(error).split())}"
                break
            labels, before = (_moved(values, plan, n_segments, seed) for values in (truth, first.y_pred))
            runs.append(of(found, labels, repeat))
            changes.append(_changed(before, found.y_pred, labels, predictor.task))
        rows.append(scoring.row(plan, original, runs, changes, problem))
    return TemporalReport(
        tuple(_adjusted(rows)), chosen, predictor.task, len(samples), len(np.unique(names)), confidence, n_repeats,
        _chance(truth, chosen), note,
    )  # fmt: skip


def _samples_first(X: Any, time_axis: int, batch_axis: int, model: Any) -> tuple[Any, int]:
    """Samples first, and where their time axis then is."""
    if isinstance(X, dict):
        raise InputError(f"X is a dict of modalities ({', '.join(map(str, X))}); the controls of time take one array.")
    if isinstance(X, Tensor):
        X = X.detach().cpu().numpy()
    samples = as_samples(X)
    if isinstance(samples, list):
        if time_axis != -1 or batch_axis != 0:
            raise InputError(
                "recordings of different lengths are (channels, times) each; leave time_axis and batch_axis."
            )
        ragged = np.empty(len(samples), dtype=object)
        ragged[:] = samples
        return ragged, -1
    ndim = samples.ndim
    check_number(batch_axis, "batch_axis", low=-ndim, high=ndim - 1, integer=True)
    check_number(time_axis, "time_axis", low=-ndim, high=ndim - 1, integer=True)
    time, batch = time_axis % ndim, batch_axis % ndim
    if time == batch:
        raise InputError(f"time_axis={time_axis} and batch_axis={batch_axis} are one axis of shape {samples.shape}.")
    if batch and not isinstance(model, nn.Module):
        raise InputError(f"batch_axis={batch_axis}: estimators take samples on the first axis.")
    return np.moveaxis(samples, batch, 0), time + (time < batch)


def _targets(y: Any, units: Any, samples: Any, axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    n = len(samples)
    truth = np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y)
    if truth.shape == (n, 1):
        truth = truth[:, 0]
    of_steps = None if samples.dtype == object or samples.ndim == 4 else (n, samples.shape[axis])
    if truth.shape not in ((n,), of_steps):
        either = f"({n},)" if of_steps is None else f"({n},), or {of_steps} for labels of steps"
        raise InputError(f"X has {n} samples, but y has shape {truth.shape}; expected {either}.")
    names = np.arange(n) if units is None else np.asarray(units)
    if names.shape != (n,):
        raise InputError(f"units must have one entry for each of {n} samples, got shape {names.shape}.")
    if pd.isna(names).any():
        raise InputError(f"units are missing (None or NaN) for {int(pd.isna(names).sum())} of {n} samples.")
    return truth, names


def _plans(
    samples: Any,
    network: nn.Module | None,
    controls: Sequence[str] | None,
    layers: Sequence[str] | None,
    steps: bool,
) -> tuple[list[_Plan], str]:
    """What to do, in the order of the table, and what cannot be done."""
    if isinstance(controls, str):
        raise InputError(f"controls must be a list of names, got the string {controls!r}.")
    if steps:
        return _plans_of_steps(controls, layers)
    image = samples.ndim == 4
    inside = list(layers) if layers is not None else time_layers(network) if network is not None else []
    if layers is not None and network is None:
        raise InputError("layers are given, but the model has no torch network inside.")
    with shuffled_layers(network, inside) if network is not None else nullcontext():
        pass  # refuses names that are not in the network
    wanted = [*CONTROLS, *HIDDEN_CONTROLS] if controls is None else list(controls)
    for name in wanted:
        check_choice(name, [*CONTROLS, *HIDDEN_CONTROLS], "control")
    asked_input = [name for name in wanted if name in CONTROLS]
    asked_inside = [name for name in wanted if name in HIDDEN_CONTROLS]
    if controls is not None and image and asked_input:
        raise InputError(f"{asked_input[0]!r} needs time, which images of shape {samples.shape[1:]} have not.")
    if controls is not None and asked_inside and not inside:
        raise InputError(f"{asked_inside[0]!r} needs a network with spiking layers or an encoder; the model has none.")
    places = [(name, (name,)) for name in inside] + ([(ALL_LAYERS, tuple(inside))] if len(inside) > 1 else [])
    plans = [] if image else [_Plan(name, "input", ()) for name in asked_input]
    plans += [_Plan(name, where, names) for name in asked_inside for where, names in places]
    if not plans:
        raise InputError("there is no time to control: images, and no network with spiking layers or an encoder."
                         if image else "no control is left: controls is empty.")  # fmt: skip
    note = "the samples are images, so only the network's own steps are controlled" if image else ""
    return plans, note


def _plans_of_steps(controls: Sequence[str] | None, layers: Sequence[str] | None) -> tuple[list[_Plan], str]:
    """Controls that labels of steps can follow."""
    wanted = list(FOLLOWED if controls is None else controls)
    for name in wanted:
        check_choice(name, [*CONTROLS, *HIDDEN_CONTROLS], "control")
        if name not in FOLLOWED:
            raise InputError(f"labels of steps cannot follow {name!r}; choose from: {', '.join(FOLLOWED)}.")
    if layers is not None or not wanted:
        raise InputError("labels of steps cannot follow spikes shuffled inside the network; leave layers."
                         if layers is not None else "no control is left: controls is empty.")  # fmt: skip
    return [_Plan(name, "input", ()) for name in wanted], "the labels are of steps and move along with their input"


def _draws(plan: _Plan, n_repeats: int) -> int:
    return n_repeats if plan.layers or CONTROLS[plan.control].random else 1


def _asked(
    plan: _Plan, predictor: Predictor, samples: Any, network: nn.Module | None, n_segments: int, axis: int, seed: int
) -> Predicted:
    """Predictions under one draw of a control."""
    if not plan.layers:
        changed = apply_control(samples, plan.control, n_segments=n_segments, time_axis=axis, random_state=seed)
        return predictor.ask(changed)
    assert network is not None
    by_neuron = HIDDEN_CONTROLS[plan.control][1]
    with shuffled_layers(network, plan.layers, by_neuron=by_neuron, random_state=seed) as calls:
        found = predictor.ask(samples)
    idle = [name for name, number in calls.items() if not number]
    if idle:
        raise InputError(f"layer {idle[0]!r} was not called as layer(x), so nothing was shuffled.")
    return found


def _moved(values: NDArray[Any], plan: _Plan, n_segments: int, seed: int) -> NDArray[Any]:
    """Labels or predictions of steps in the order that the control has given the steps; others as they are."""
    if values.ndim == 1 or plan.control == "time-mean" or values.shape[1] == 1:
        return values
    index = np.tile(np.arange(values.shape[1]), (len(values), 1))
    order = apply_control(index, plan.control, n_segments=n_segments, random_state=seed)
    return np.take_along_axis(values, order, axis=1)


def _changed(before: NDArray[Any], after: NDArray[Any], labels: NDArray[Any], task: str) -> float:
    """Share of other decisions, or mean absolute change of values."""
    if task == "regression":
        return float(np.abs(before.astype(np.float64) - after).mean())
    counted = labels != IGNORED if task == "steps" else np.ones(labels.shape, dtype=bool)
    return float((before.reshape(labels.shape) != after.reshape(labels.shape))[counted].mean())


def _metric(metric: str | None, task: str) -> str:
    name = metric or ("mae" if task == "regression" else "accuracy")
    return check_choice(name, names_for(task), "metric")


def _chance(truth: NDArray[Any], metric: str) -> float | None:
    """Score of the best constant answer, where there is a simple one."""
    _, counts = np.unique(truth[truth != IGNORED] if truth.ndim == 2 else truth, return_counts=True)
    return {"accuracy": float(counts.max() / counts.sum()), "balanced_accuracy": 1 / len(counts)}.get(metric)


class _Scoring:
    """Scores, drops and their intervals, all over the same units."""

    def __init__(self, metric: str, predictor: Predictor, confidence: float, n_resamples: int, seed: int) -> None:
        self.metric, self.task, self.labels = metric, predictor.task, predictor.labels
        self.sign = 1.0 if METRICS[metric].greater_is_better else -1.0
        self.options: dict[str, Any] = {"confidence": confidence, "n_resamples": n_resamples, "random_state": seed}

    def original(self, predictions: Sequence[Predictions]) -> ControlResult:
        """Row of the input as it is."""
        score = summarise(predictions, self.metric, self.task, self.labels, **self.options)
        return ControlResult("original", "input", score.value, score.low, score.high, note=score.note)

    def row(
        self, plan: _Plan, original: Sequence[Predictions], runs: Sequence[Predictions], changes: Sequence[float],
        problem: str,
    ) -> ControlResult:  # fmt: skip
        """Row of a control: its score, and how much of the original's it loses."""
        if problem:
            return ControlResult(plan.control, plan.where, note=problem)
        score = summarise(runs, self.metric, self.task, self.labels, **self.options)
        drop = compare(original, runs, self.metric, self.task, self.labels, **self.options)
        ends = [None if end is None else self.sign * end for end in (drop.low, drop.high)]
        low, high = ends if self.sign > 0 else ends[::-1]
        return ControlResult(
            plan.control, plan.where, score.value, score.low, score.high,
            None if drop.difference is None else self.sign * drop.difference, low, high, drop.p_value,
            changed=float(np.mean(changes)), note="; ".join(dict.fromkeys(filter(None, (score.note, drop.note)))),
        )  # fmt: skip


def _adjusted(rows: Sequence[ControlResult]) -> Iterator[ControlResult]:
    """Rows with their p-values adjusted for the number of controls."""
    tested = [row for row in rows if row.p_value is not None]
    adjusted: dict[int, float] = dict(
        zip(map(id, tested), holm([float(row.p_value or 0.0) for row in tested]), strict=True)
    )
    for row in rows:
        yield row if row.p_value is None else row.with_p(adjusted[id(row)])
