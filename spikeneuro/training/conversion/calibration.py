"""How many steps a converted network needs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeneuro._validation import check_number
from spikeneuro.errors import InputError
from spikeneuro.training.conversion.network import ConvertedNetwork
from spikeneuro.training.conversion.tracing import as_samples

#: Largest T tried, and how far from the original it may be, unless said otherwise.
MOST_STEPS, ACCURACY_LOST, OUTPUT_ERROR = 128, 0.005, 0.1


@dataclass(frozen=True)
class StepsCalibration:
    """What `calibrate_steps` found.

    Attributes
    ----------
    steps : int
        Fewest steps from which on the converted network stays within the tolerance.
    reached : bool
        Whether there are such steps; if not, `steps` is the largest number tried.
    measure : {"accuracy", "output_error"}
        What was compared.
    original : float
        The original network's accuracy, or 0.
    curve : DataFrame
        For every T: ``steps``, ``output_error`` and, with labels, ``accuracy``.
    """

    steps: int
    reached: bool
    measure: str
    original: float
    curve: pd.DataFrame


def accuracy_over_steps(
    ann: nn.Module,
    snn: ConvertedNetwork,
    data: Any,
    labels: Any = None,
    *,
    max_steps: int = MOST_STEPS,
    batch_size: int = 64,
) -> pd.DataFrame:
    r"""Compare a converted network with the original after every number of steps, in one run.

    Parameters
    ----------
    ann : nn.Module
        The original network.
    snn : ConvertedNetwork
        What it was converted to.
    data : Tensor or array
        Samples, (n, ...).
    labels : array-like, optional
        Their classes, (n,), as indices of the outputs.
    max_steps : int
        Largest T.
    batch_size : int
        Samples run at once.

    Returns
    -------
    DataFrame
        One row for every T: ``steps``; ``output_error``, the root mean square of the difference of the outputs,
        relative to that of the original's outputs; ``agreement``, the share of samples with the same largest output;
        and with labels ``accuracy``. The original's accuracy is ``frame.attrs["ann_accuracy"]``.

    Raises
    ------
    InputError
        For data that are empty or not finite, and labels of another number.
    """
    check_number(max_steps, "max_steps", low=1, integer=True)
    check_number(batch_size, "batch_size", low=1, integer=True)
    samples = as_samples(data, snn, "data")
    classes = None if labels is None else _classes(labels, len(samples))
    squares, same, right = (np.zeros(max_steps) for _ in range(3))
    size, ann_right = 0.0, 0.0
    training = ann.training
    ann.eval()
    with torch.no_grad():
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            expected = ann(batch.clone())  # it may change it in place
            outputs = snn.run(batch, steps=max_steps).outputs
            size += float(expected.double().square().sum())
            squares += _per_step((outputs - expected).double().square())
            best, original = outputs.flatten(2).argmax(2), expected.flatten(1).argmax(1)
            same += _per_step((best == original).double())
            if classes is not None:
                truth = classes[start : start + batch_size].to(best.device)
                right += _per_step((best == truth).double())
                ann_right += float((original == truth).sum())
    ann.train(training)
    frame = pd.DataFrame({
        "steps": np.arange(1, max_steps + 1),
        "output_error": np.sqrt(squares / size) if size else np.sqrt(squares),
        "agreement": same / len(samples),
    })  # fmt: skip
    if classes is not None:
        frame["accuracy"] = right / len(samples)
        frame.attrs["ann_accuracy"] = ann_right / len(samples)
    return frame


def calibrate_steps(
    ann: nn.Module,
    snn: ConvertedNetwork,
    data: Any,
    labels: Any = None,
    *,
    tolerance: float | None = None,
    max_steps: int = MOST_STEPS,
    batch_size: int = 64,
) -> StepsCalibration:
    """Find the fewest steps from which on a converted network is as good as the original.

    That is the smallest T for which every number of steps from T to `max_steps` is within the tolerance: accuracy
    rises and falls by chance at small T. Use samples that were not held out for testing.

    Parameters
    ----------
    ann : nn.Module
        The original network.
    snn : ConvertedNetwork
        What it was converted to; it is left as it is.
    data : Tensor or array
        Samples, (n, ...).
    labels : array-like, optional
        Their classes, (n,), as indices of the outputs.
    tolerance : float, optional
        With labels, accuracy that may be lost (default 0.005); without, the relative output error allowed (default
        0.1).
    max_steps : int, default 128
        Largest T.
    batch_size : int
        Samples run at once.

    Returns
    -------
    StepsCalibration
        The steps and the whole curve.

    Raises
    ------
    InputError
        As for `accuracy_over_steps`, and for a tolerance out of range.

    Examples
    --------
    >>> from spikeneuro.training import calibrate_steps, convert
    >>> network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> x = torch.rand(50, 4)
    >>> found = calibrate_steps(network, convert(network, x), x, network(x).argmax(1), tolerance=0.1)
    >>> 1 <= found.steps <= 128, found.measure
    (True, 'accuracy')
    """
    measure = "output_error" if labels is None else "accuracy"
    allowed = (OUTPUT_ERROR if labels is None else ACCURACY_LOST) if tolerance is None else tolerance
    check_number(allowed, "tolerance", low=0.0)
    curve = accuracy_over_steps(ann, snn, data, labels, max_steps=max_steps, batch_size=batch_size)
    original = float(curve.attrs.get("ann_accuracy", 0.0))
    if labels is None:
        within = curve["output_error"].to_numpy() <= allowed
    else:
        within = curve["accuracy"].to_numpy() >= original - allowed - 1e-12
    outside = np.flatnonzero(~within)
    first = int(outside[-1]) + 1 if len(outside) else 0
    reached = first < max_steps
    return StepsCalibration(first + 1 if reached else max_steps, reached, measure, original, curve)


def _per_step(values: Tensor) -> NDArray[np.float64]:
    summed: NDArray[np.float64] = values.flatten(1).sum(1).cpu().numpy()
    return summed


def _classes(labels: Any, count: int) -> Tensor:
    classes = torch.as_tensor(labels)
    if classes.shape != (count,) or classes.is_floating_point():
        raise InputError(
            f"labels must be {count} integers, one a sample, got {classes.dtype} of shape {tuple(classes.shape)}."
        )
    return classes
