"""Handwritten digits (MNIST) from IDX files, as images or read pixel by pixel.

LeCun et al. (1998), Proc. IEEE 86(11):2278-2324, doi:10.1109/5.726791. Pixel by pixel, permuted and not: Le, Jaitly and
Hinton (2015), arXiv:1504.00941.
"""

from dataclasses import replace

import numpy as np

from spikeneuro._validation import check_number
from spikeneuro.data import Recordings, data_root
from spikeneuro.data.from_images import from_idx


def load(n_train: int | None = None, n_test: int | None = None, random_state: int = 0) -> Recordings:
    """Handwritten digits, 28 x 28 pixels; column ``split`` holds the given parts.

    Parameters
    ----------
    n_train, n_test : int, optional
        Images drawn from each part; by default all 60 000 and 10 000.
    random_state : int
        Seed of the draw.
    """
    generator = np.random.default_rng(random_state)
    parts = [_part("train", "train", n_train, generator), _part("test", "t10k", n_test, generator)]
    return Recordings.concatenate(parts)


def load_sequential(
    n_train: int | None = None, n_test: int | None = None, random_state: int = 0, permutation: int | None = None
) -> Recordings:
    """Digits read pixel by pixel: signals of one channel and 784 steps, rows from the top, values in [0, 1].

    Images and splits are those of `load` for the same arguments. A step is called a second (``sfreq`` 1), so that time
    constants mean the same in seconds and in steps.

    Parameters
    ----------
    n_train, n_test : int, optional
        Images drawn from each part; by default all 60 000 and 10 000.
    random_state : int
        Seed of the draw.
    permutation : int, optional
        Seed of one order in which the pixels of all images are read, ``RandomState(permutation).permutation(784)``;
        without it row by row. 92916 is the order of many programs for permuted sequential MNIST, such as those of
        Helfrich, Willmott and Ye (2018), arXiv:1707.09520.
    """
    images = load(n_train, n_test, random_state)
    signals = images.X.reshape(len(images), 1, -1)
    if permutation is not None:
        seed = check_number(permutation, "permutation", low=0, high=2**32 - 1, integer=True)
        # NumPy never changes what this generator draws, and published orders come from it.
        signals = signals[:, :, np.random.RandomState(int(seed)).permutation(signals.shape[2])]
    return replace(images, X=signals, sfreq=1.0, modality="signal")


def _part(split: str, prefix: str, size: int | None, generator: np.random.Generator) -> Recordings:
    recordings = from_idx(
        data_root("images", "mnist", f"{prefix}-images-idx3-ubyte.gz"),
        data_root("images", "mnist", f"{prefix}-labels-idx1-ubyte.gz"),
        label_names=[str(digit) for digit in range(10)],
        description="MNIST (LeCun et al. 1998), CC BY-SA 3.0",
    )
    table = recordings.metadata.assign(split=split, image=[f"{split}{i}" for i in recordings.metadata["image"]])
    recordings = replace(recordings, metadata=table)
    if size is None:
        return recordings
    check_number(size, f"n_{split}", low=1, high=len(recordings), integer=True)
    return recordings.select(np.sort(generator.permutation(len(recordings))[: int(size)]))
