"""The audit of an experiment's folds, before anything is trained."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spikeneuro.bench.grouping import units_of
from spikeneuro.bench.suite import Experiment
from spikeneuro.data import Recordings
from spikeneuro.data.auditing import AuditReport, audit, sample_hashes
from spikeneuro.data.splits import Fold
from spikeneuro.data.units import SAMPLE, sorted_units
from spikeneuro.errors import LeakageError

_SHOWN = 3  # units named in a finding


def timed_table(recordings: Recordings) -> pd.DataFrame:
    """Table of the recordings with a ``duration`` in seconds, where signals of known rate tell it.

    Without one, windows that overlap could not be seen. The last axis of a signal is time.
    """
    table = recordings.metadata
    if "duration" in table or "onset" not in table:
        return table
    for key in recordings.modalities:
        part = recordings.one(key)
        known = part.sfreq is not None or "tr" in table
        if part.modality not in ("image", "features") and known and (part.ragged or part.X.ndim == 3):
            rates = 1.0 / table["tr"] if part.sfreq is None else [part.sfreq] * len(table)
            return table.assign(duration=[x.shape[-1] / rate for x, rate in zip(part.X, rates, strict=True)])
    return table


def audited_folds(
    experiment: Experiment, recordings: Recordings, table: pd.DataFrame, made: list[Fold]
) -> dict[str, Any]:
    """Audit every fold; what was compared, what could not be, what was found, and why the suite allows it.

    Units of the experiment on both sides are a finding but no error: a session of a known person may be what is asked
    about. The intervals then speak of these units and not of new ones, which the report has to say.
    """
    allowed = experiment.allow_leak or (experiment.note if made[0].leaky else None)
    reports = [
        _audited(table, fold, key, hashes, allowed) for key, hashes in _hashes(recordings).items() for fold in made
    ]
    found = {finding for report in reports for finding in report.findings}
    return {
        "checked": list(reports[0].checked),
        "unchecked": list(reports[0].unchecked),
        "findings": [*sorted(found), *_units_on_both_sides(experiment, recordings, made)],
        "allowed": allowed,
    }


def _hashes(recordings: Recordings) -> dict[str | None, NDArray[np.bytes_]]:
    """Digests of the samples, by modality where there are several: one alone on both sides is a leak.

    Feature vectors such as age are alike in many people, and absent samples in all; neither counts.
    """
    found: dict[str | None, NDArray[np.bytes_]] = {}
    for key in recordings.modalities:
        if key is None or recordings.modality[key] == "features":
            continue
        found[key] = sample_hashes(recordings.X[key])
        absent = np.flatnonzero(recordings.absent(key))
        found[key][absent] = [f"absent {row}".encode() for row in absent]
    return found or {None: sample_hashes(recordings.X)}


def _audited(
    table: pd.DataFrame, fold: Fold, key: str | None, hashes: NDArray[np.bytes_], allowed: str | None
) -> AuditReport:
    """Audit of one fold; what it finds about identical samples names the modality."""
    try:
        report = audit(table, fold, hashes=hashes, allow_leak=allowed)
    except LeakageError as error:
        raise LeakageError(_of_modality(str(error), key)) from error
    return replace(report, findings=tuple(_of_modality(finding, key) for finding in report.findings))


def _of_modality(finding: str, key: str | None) -> str:
    return f"modality {key!r}: {finding}" if key is not None and "identical" in finding else finding


def _units_on_both_sides(experiment: Experiment, recordings: Recordings, made: list[Fold]) -> list[str]:
    """Finding about the units of the experiment, unless the design says so or the audit compared them already."""
    compared = made[0].in_time is None and set(made[0].by) == set(experiment.unit)
    if experiment.within or experiment.unit == (SAMPLE,) or compared:
        return []
    units = units_of(recordings, experiment.unit).astype(str)
    shared = [np.intersect1d(units[fold.train], units[fold.test]) for fold in made]
    both = np.unique(np.concatenate(shared))
    if not len(both):
        return []
    names = sorted_units(both.astype(object))[0]
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    what = f"{len(names)} of {len(np.unique(units))} units of {'/'.join(experiment.unit)}"
    return [f"{what} are in training and in test ({shown}): results hold for these, not for new ones."]
