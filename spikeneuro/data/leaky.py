"""Splitters that ignore who a sample came from, under names that say that they leak.

They exist to reproduce published protocols beside honest ones: windows or slices of one subject fall on both
sides, so the score measures how well a model recognises the subject.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import model_selection

from spikeneuro._validation import check_number
from spikeneuro.data.splitters import Part, Splitter, class_labels
from spikeneuro.errors import InputError


class _LeakySplitter(Splitter):
    @property
    def leaky(self) -> bool:
        """Return True."""
        return True


def _strata(y: Any, needed: int) -> Any:
    labels = class_labels(y)
    if labels is None:
        raise InputError("stratifying needs y with one class label per sample.")
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < needed:
        rare = classes.tolist()[int(np.argmin(counts))]
        raise InputError(f"class {rare!r} has {counts.min()} sample(s), too few for {needed} stratified parts.")
    return labels


@dataclass(frozen=True)
class RandomLeakySplit(_LeakySplitter):
    """Samples drawn at random into test, whoever they came from. Leaks wherever samples are related.

    Parameters
    ----------
    test_size : float
        Fraction of the samples that is tested, in (0, 1).
    n_splits : int
        Number of independent draws.
    stratify : bool
        Keep the proportions of the classes of `y`.
    random_state : int
        Seed of the draws.
    """

    test_size: float = 0.2
    n_splits: int = 1
    stratify: bool = False
    random_state: int = 0

    def __post_init__(self) -> None:
        check_number(self.test_size, "test_size", low=0.0, high=1.0, closed="neither")
        check_number(self.n_splits, "n_splits", low=1, integer=True)

    def parts(self, metadata: pd.DataFrame, y: Any = None) -> list[Part]:
        """Divisions of the rows of `metadata`, unchecked."""
        rows = np.arange(len(metadata))
        if min(round(self.test_size * len(rows)), round((1 - self.test_size) * len(rows))) < 1:
            raise InputError(f"test_size={self.test_size} of {len(rows)} sample(s) leaves an empty part.")
        kind = model_selection.StratifiedShuffleSplit if self.stratify else model_selection.ShuffleSplit
        strata = _strata(y, 2) if self.stratify else None
        splitter = kind(self.n_splits, test_size=self.test_size, random_state=self.random_state)
        return [
            Part(f"leaky draw {k + 1} of {self.n_splits}", np.sort(train), np.sort(test))
            for k, (train, test) in enumerate(splitter.split(rows, strata))
        ]


@dataclass(frozen=True)
class StratifiedLeakyKFold(_LeakySplitter):
    """Shuffled k-fold over samples with the proportions of the classes kept. Leaks wherever samples are related.

    Parameters
    ----------
    n_splits : int
        Number of folds.
    random_state : int
        Seed of the shuffle.
    """

    n_splits: int = 5
    random_state: int = 0

    def __post_init__(self) -> None:
        check_number(self.n_splits, "n_splits", low=2, integer=True)

    def parts(self, metadata: pd.DataFrame, y: Any = None) -> list[Part]:
        """Divisions of the rows of `metadata`, unchecked."""
        strata = _strata(y, self.n_splits)
        splitter = model_selection.StratifiedKFold(self.n_splits, shuffle=True, random_state=self.random_state)
        return [
            Part(f"leaky fold {k + 1} of {self.n_splits}", train, test)
            for k, (train, test) in enumerate(splitter.split(np.arange(len(metadata)), strata))
        ]
