"""Autism against control: resting-state fMRI series of 111 regions, 1034 people, 20 sites (ABIDE I).

Di Martino et al. (2014), Mol. Psychiatry 19:659-667, doi:10.1038/mp.2013.78; preprocessed by Craddock et al. (2013)
with C-PAC, without band-pass and global signal regression; Harvard-Oxford atlas. 78 to 316 volumes.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spikeneuro._files import read_arrays
from spikeneuro._validation import suggestion
from spikeneuro.data import Recordings, data_root
from spikeneuro.errors import InputError

#: The published series of this person are bit for bit those of UM_1_0050279 (both autism): one of the two is a copy, so
#: it is left out, as a pair on both sides of a split would leak.
COPY = "UM_1_0050286"


def load(
    sites: Sequence[str] | None = None, passed_quality_check: bool = False, drop_regions: Sequence[int] = ()
) -> Recordings:
    """Autism against control, fMRI series of different lengths (regions, volumes), repetition time in column ``tr``.

    Regions without coverage are constant 0. One person whose series are a copy of another's is left out.

    Parameters
    ----------
    sites : sequence of str, optional
        Site codes such as ``"NYU"``; by default all 20.
    passed_quality_check : bool
        Only the 871 people of the usual quality-checked subset.
    drop_regions : sequence of int
        Atlas codes of regions to leave out; 3455 lacks coverage in 237 people.
    """
    arrays = read_arrays(data_root("fmri", "abide1_pcp", "abide1_cpac_nofilt_noglobal_ho111_1035.npz"))
    site = arrays["site"].astype(str)
    chosen = arrays["file_id"].astype(str) != COPY
    if sites is not None:
        for name in sites:
            if name not in site:
                raise InputError(f"sites: unknown site {name!r}; {suggestion(name, set(site.tolist()))}")
        chosen &= np.isin(site, list(sites))
    if passed_quality_check:
        chosen &= arrays["qc_pass"] == 1
    unknown = np.setdiff1d(drop_regions, arrays["roi_id"])
    if unknown.size:
        raise InputError(f"drop_regions: there is no region {unknown[0]}.")
    kept = ~np.isin(arrays["roi_id"], drop_regions)
    rows = np.flatnonzero(chosen)
    start = np.concatenate([[0], np.cumsum(arrays["length"])])
    series = np.empty(len(rows), dtype=object)
    for place, i in enumerate(rows):
        whole = arrays["ts"][start[i] : start[i + 1]].astype(np.float32) * arrays["scale"][i]
        series[place] = np.ascontiguousarray(whole[:, kept].T)
    table = pd.DataFrame(
        {
            "subject": arrays["file_id"][rows].astype(str),
            "site": site[rows],
            "tr": arrays["tr"][rows].astype(float),
            "age": arrays["age"][rows].astype(float),
            "male": arrays["sex"][rows].astype(int),
            "mean_fd": arrays["mean_fd"][rows].astype(float),
        }
    )
    return Recordings(
        series,
        arrays["dx"][rows].astype(int),
        table,
        None,
        arrays["roi_id"][kept].astype(str),
        modality="fmri",
        label_names=("control", "autism"),
        description="ABIDE I, C-PAC, Harvard-Oxford series (Di Martino et al. 2014), CC BY-NC-SA 3.0",
    )
