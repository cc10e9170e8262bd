"""Child or adult, and age, from functional connectivity while watching a film (OpenNeuro ds000228, 155 people).

Richardson et al. (2018), Nat. Commun. 9:1027, doi:10.1038/s41467-018-03399-2. 2016 correlations between the 64
regions of the BASC atlas.
"""

import numpy as np
import pandas as pd

from spikeneuro._files import read_arrays
from spikeneuro._validation import check_choice
from spikeneuro.data import Recordings, data_root


def load(target: str = "adult", children_only: bool = False) -> Recordings:
    """Functional connectivity of children and adults: 2016 features, 155 people.

    Parameters
    ----------
    target : {"adult", "age"}
        Child against adult (122 against 33), or age in years.
    children_only : bool
        Leave the adults out (for ``"age"``).
    """
    check_choice(target, ("age",) if children_only else ("adult", "age"), "target")
    arrays = read_arrays(data_root("fmri", "ds000228_basc064_fc", "ds000228_basc064_fc.npz"))
    adult = arrays["adult"].astype(int)
    rows = np.flatnonzero(adult == 0) if children_only else np.arange(len(adult))
    table = pd.DataFrame(
        {
            "subject": arrays["participant_id"][rows].astype(str),
            "age": arrays["age"][rows].astype(float),
            "adult": adult[rows],
            "male": arrays["sex_male"][rows].astype(int),
        }
    )
    return Recordings(
        arrays["fc"][rows],
        adult[rows] if target == "adult" else arrays["age"][rows].astype(float),
        table,
        None,
        _edge_names(arrays["fc"].shape[1]),
        modality="features",
        label_names=("child", "adult") if target == "adult" else None,
        description="ds000228, BASC-64 connectivity (Richardson et al. 2018), PDDL",
    )


def _edge_names(n_features: int) -> list[str]:
    """Pairs of regions in the order of the file: lower triangle, row by row."""
    n_regions = round((1 + np.sqrt(1 + 8 * n_features)) / 2)
    return [f"{i}-{j}" for i, j in zip(*np.tril_indices(n_regions, k=-1), strict=True)]
