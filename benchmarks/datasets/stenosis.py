"""Stenosis or not in patches of coronary angiograms (247 patches of 32 x 32 pixels).

Ovalle-Magallanes et al. (2020), Mathematics 8(9):1510, doi:10.3390/math8091510. Fourteen patches are exact copies of
others: split by ``dup_group``. The people behind the patches are not known.
"""

import numpy as np
import pandas as pd

from spikeneuro._files import read_arrays
from spikeneuro.data import Recordings, data_root


def load(distinct: bool = False) -> Recordings:
    """Coronary stenosis patches; column ``dup_group`` names the first identical patch.

    Parameters
    ----------
    distinct : bool
        Keep only the first of identical patches.
    """
    arrays = read_arrays(data_root("images", "stenosis_patches_32", "stenosis_patches_32.npz"))
    group = arrays["dup_group"].astype(int)
    rows = np.flatnonzero(group == np.arange(len(group))) if distinct else np.arange(len(group))
    return Recordings(
        arrays["images"][rows, np.newaxis].astype(np.float32) / np.float32(255),
        arrays["label"][rows].astype(int),
        pd.DataFrame(
            {
                "file": arrays["path"][rows].astype(str),
                "dup_group": [f"G{k:03d}" for k in group[rows]],
                "split": arrays["split"][rows].astype(str),
            }
        ),
        None,
        modality="image",
        label_names=("no stenosis", "stenosis"),
        description="coronary angiography patches (Ovalle-Magallanes et al. 2020)",
    )
