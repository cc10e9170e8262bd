"""Eight kinds of objects from visual cortex: fMRI of one person, 12 runs (Haxby et al. 2001, subject 1).

Haxby et al. (2001), Science 293:2425-2430, doi:10.1126/science.1063736. The posterior half of one axial slice at full
resolution (530 voxels), repetition time 2.5 s; one block of 22.5 s for each kind and run.
"""

from collections.abc import Sequence

import numpy as np

from spikeneuro._validation import check_choice
from spikeneuro.data import Recordings, data_root
from spikeneuro.data._nifti import load_image, select_volumes
from spikeneuro.data.from_nifti import from_nifti
from spikeneuro.errors import InputError

FOLDER = ("fmri", "haxby2001_sub1_slice")
N_RUNS, VOLUMES = 12, 121  # of each run
OBJECTS = ("face", "house", "cat", "bottle", "scissors", "shoe", "chair", "scrambledpix")


def load(
    samples: str = "blocks",
    runs: Sequence[int] | None = None,
    objects: Sequence[str] = OBJECTS,
    hrf_shift: float = 0.0,
) -> Recordings:
    """Objects seen, from visual cortex: 530 voxels, each run detrended and standardised by itself.

    The response of this copy rises with the first labelled volume and falls with the last, as averages around the
    block onsets show: its event times hold the haemodynamic delay already, so `hrf_shift` is 0 by default.

    Parameters
    ----------
    samples : {"blocks", "volumes", "series"}
        Mean of each block, single volumes, or the series of each block.
    runs : sequence of int, optional
        Runs 1 to 12; by default all.
    objects : sequence of str
        Kinds of objects, in the order of the classes.
    hrf_shift : float
        Seconds by which labels are moved later.
    """
    check_choice(samples, ("blocks", "volumes", "series"), "samples")
    chosen = list(range(1, N_RUNS + 1)) if runs is None else list(runs)
    for run in chosen:
        if run not in range(1, N_RUNS + 1):
            raise InputError(f"runs: there is no run {run!r}; choose from 1 to {N_RUNS}.")
    whole, name = load_image(data_root(*FOLDER, "bold.nii.gz"), 4)
    if whole.shape[3] != N_RUNS * VOLUMES:
        raise InputError(f"{name}: {whole.shape[3]} volumes where {N_RUNS} runs of {VOLUMES} are expected.")
    events = [
        data_root(*FOLDER, "haxby2001", "sub001", "BOLD", f"task001_run{run:03d}", "bold_events.tsv") for run in chosen
    ]
    return from_nifti(
        [select_volumes(whole, np.arange((run - 1) * VOLUMES, run * VOLUMES)) for run in chosen],
        events=events,
        samples=samples,
        mask=data_root(*FOLDER, "mask.nii.gz"),
        conditions=objects,
        hrf_shift=hrf_shift,
        standardize="rest",
        metadata={"subject": ["S1"] * len(chosen), "run": chosen},
        description="Haxby et al. (2001), subject 1, one slice",
    )
