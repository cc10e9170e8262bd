"""The figure of a rhythm shows its mask, its spikes and its shares."""

import numpy as np
import pytest

from spikeneuro.errors import InputError
from spikeneuro.report import plots


def test_mask_spikes_and_shares_are_drawn():
    mask = np.zeros((40, 3))
    mask[:, 0], mask[::2, 1] = 1, 1
    spikes = np.zeros((40, 3))
    spikes[4, 0], spikes[10, 1] = 1, 1
    left, right = plots.rhythm(mask, 0.01, "of a layer", spikes=spikes).axes
    (image,) = left.get_images()
    assert np.array_equal(np.asarray(image.get_array()), mask.T != 0)
    np.testing.assert_allclose(left.get_lines()[0].get_xydata(), [[0.045, 0], [0.105, 1]])
    np.testing.assert_allclose(right.get_lines()[0].get_xdata(), [1, 0.5, 0])
    assert left.get_xlabel() == "time (s)"
    assert plots.rhythm(mask).axes[0].get_xlabel() == "step"


@pytest.mark.parametrize("mask", [np.ones(4), np.ones((4, 1, 3)), np.ones((0, 3))])
def test_wrong_masks_are_refused(mask):
    with pytest.raises(InputError, match=r"\(steps, neurons\)"):
        plots.rhythm(mask)


def test_spikes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="do not fit"):
        plots.rhythm(np.ones((4, 3)), spikes=np.ones((3, 4)))
