"""Samples held as one array, or as one array for each of several modalities in a dict: the same few things of both."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scipy.sparse import issparse


def is_several(X: Any) -> bool:
    """Whether `X` holds several modalities by name; some sparse matrices are mappings too, of positions.

    A dict may have a shape: `skorch.helper.SliceDict`, whose samples scikit-learn can split.
    """
    return isinstance(X, Mapping) and not issparse(X)


def each(function: Callable[[Any], Any], X: Any) -> Any:
    """`function` of the array, or of the array of each modality."""
    return {name: function(part) for name, part in X.items()} if is_several(X) else function(X)


def n_samples(X: Any) -> int:
    """Number of samples; that of the first modality where there are several."""
    return len(next(iter(X.values())) if is_several(X) else X)


def take(X: Any, index: Any) -> Any:
    """Samples at `index` (integers, a mask or a slice)."""
    return each(lambda part: part[index], X)


def batches(X: Any, size: int) -> Iterator[Any]:
    """Samples of tensors in turn, `size` at a time."""
    for start in range(0, n_samples(X), size):
        yield take(X, slice(start, start + size))


def narrow(X: Any, axis: int, start: int, length: int) -> Any:
    """`length` samples of tensors from `start`, the samples along `axis`."""
    return each(lambda part: part.narrow(axis, start, length), X)


def rate_of(sfreq: Any, name: str) -> Any:
    """Sampling rate of one modality: its entry, or the one shared by all."""
    return sfreq.get(name) if is_several(sfreq) else sfreq


def moved(X: Any, device: Any) -> Any:
    """Tensors on `device`."""
    return each(lambda part: part.to(device), X)
