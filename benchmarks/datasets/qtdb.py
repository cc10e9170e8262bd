"""Which wave of the heart beat at every time step: level-crossing events of two ECG leads (QT database).

Laguna et al. (1997), Comput. Cardiol. 24:673-676, doi:10.1109/CIC.1997.648140, as coded by Yin, Corradi and Bohte
(2021), Nat. Mach. Intell. 3:905-913, doi:10.1038/s42256-021-00397-w.
"""

import zlib
from typing import Any

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from spikeneuro._validation import check_number
from spikeneuro.data import Recordings, data_root
from spikeneuro.errors import InputError

LABELS = ("P", "PQ", "QR", "RS", "ST", "TP")
EVENTS = ("lead 1 up", "lead 1 down", "lead 2 up", "lead 2 down")
SFREQ = 250.0  # of the QT database; the files only number the steps


def load(n_train: int | None = None, n_test: int | None = None) -> Recordings:
    """ECG wave labels for each of 1301 time steps, 4 event channels of 0 and 1.

    Steps without a label (8 % of training, 10 % of test) get -1 and are not scored. The column ``split`` says which
    part a sequence belongs to.

    Parameters
    ----------
    n_train, n_test : int, optional
        Sequences of each part, the first ones; by default all 618 and 141.
    """
    parts = [_part("train", n_train), _part("test", n_test)]
    return Recordings(
        np.concatenate([X for X, _, _ in parts]),
        np.concatenate([y for _, y, _ in parts]),
        pd.concat([table for _, _, table in parts], ignore_index=True),
        SFREQ,
        EVENTS,
        modality="ecg",
        label_names=LABELS,
        description="QT database as level-crossing events (Yin, Corradi and Bohte 2021), ODC-By 1.0",
    )


def _part(name: str, size: int | None) -> tuple[Any, Any, pd.DataFrame]:
    path = data_root("eeg", "qtdb_srnn", f"QTDB_{name}.mat")
    try:
        content = loadmat(path, variable_names=["x", "y"])
        events, one_hot = content["x"], content["y"]
    except (OSError, ValueError, TypeError, KeyError, IndexError, MatReadError, zlib.error) as error:
        raise InputError(f"{path}: truncated or damaged ({' '.join(str(error).split())}).") from error
    size = len(events) if size is None else int(check_number(size, f"n_{name}", low=1, high=len(events), integer=True))
    X = events[:size].transpose(0, 2, 1).astype(np.float32)
    X[X < 0] = 0  # the last step of the first channel is an end marker of -1, not an event
    y = np.where(one_hot[:size].any(axis=-1), one_hot[:size].argmax(axis=-1), -1)
    table = pd.DataFrame({"recording": [f"{name}{i:03d}" for i in range(size)], "split": name})
    return X, y, table
