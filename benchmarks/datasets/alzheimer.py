"""Stage of dementia from axial MRI slices, with the people behind them (200 people, 32 slices each).

The public "Alzheimer's Dataset (4 class of images)". Its own train and test folders hold slices of the same people;
the subject and slice of every image were recovered from the file names.
"""

from collections.abc import Sequence

import numpy as np

from spikeneuro._files import read_table
from spikeneuro._validation import check_choice, check_number
from spikeneuro.data import Recordings, data_root
from spikeneuro.data.from_images import from_image_folder

CLASSES = ("NonDemented", "VeryMildDemented", "MildDemented", "ModerateDemented")
#: Images of each class in the 779-image subset that a published comparison used; which images is not known.
PAPER_SUBSET = dict(zip(CLASSES, (182, 351, 182, 64), strict=True))


def load(
    size: Sequence[int] | None = (52, 44), every: int = 1, subset: str = "all", random_state: int = 0
) -> Recordings:
    """Dementia stage from MRI slices in four classes, with columns ``subject``, ``slice`` and ``kaggle_split``.

    Parameters
    ----------
    size : (height, width), optional
        Pixels after reduction; None keeps 208 x 176.
    every : int
        Keep one slice of every so many, from the first.
    subset : {"all", "paper"}
        All 6400 slices, or 779 of them drawn at random in the proportions of a published comparison.
    random_state : int
        Seed of the draw.
    """
    check_choice(subset, ("all", "paper"), "subset")
    check_number(every, "every", low=1, high=32, integer=True)
    archive = data_root("images", "alzheimer_mri_4class", "alzheimer_mri_4class_176x208.zip")
    columns = ["path", "subject", "slice", "kaggle_split"]
    index = read_table(data_root("images", "alzheimer_mri_4class", "index.csv"), columns)
    recordings = from_image_folder(
        archive,
        size=None if size is None else (int(size[0]), int(size[1])),
        classes=CLASSES,
        index=index[columns],
        description="Alzheimer's Dataset (4 class of images), ODbL; clinical origin undocumented",
    )
    if every > 1:
        recordings = recordings.select((recordings.metadata["slice"].to_numpy() - 1) % every == 0)
    if subset == "all":
        return recordings
    generator = np.random.default_rng(random_state)
    drawn = [
        generator.permutation(np.flatnonzero(recordings.y == label))[:count]
        for label, count in enumerate(PAPER_SUBSET.values())
    ]
    return recordings.select(np.sort(np.concatenate(drawn)))
