import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.image.components import object_sizes
from asem.volume.grid import tile
from asem.volume.roi import Roi

small = st.tuples(*[st.integers(1, 9)] * 3)


def large(mask, smallest, block):
    """Keep large objects block by block."""
    blocks = list(tile(Roi.whole(mask.shape), block))
    sizes = object_sizes(lambda roi: mask[roi.slices], blocks)
    out = np.zeros_like(mask)
    for number, roi in enumerate(blocks):
        out[roi.slices] = sizes.large(number, mask[roi.slices], smallest)
    return out


def large_at_once(mask, smallest):
    ids, _ = ndimage.label(mask)
    counts = np.bincount(ids.ravel())
    counts[0] = 0
    return counts[ids] >= smallest


@given(arrays(bool, small), st.integers(1, 12), st.tuples(*[st.integers(1, 5)] * 3))
def test_blocks_do_not_show(mask, smallest, block):
    assert (large(mask, smallest, block) == large_at_once(mask, smallest)).all()


@pytest.mark.parametrize("block", [(5, 5, 5), (16, 7, 3), (40, 40, 40)])
def test_a_winding_object_is_one(block):
    mask = np.zeros((31, 33, 35), bool)
    for y in range(0, 33, 4):  # a meander through every block
        mask[15, y, :] = True
        mask[15, y : y + 4, 34 if y % 8 == 0 else 0] = True
    mask[0, 0, 0] = True
    whole = mask.sum() - 1
    assert large(mask, whole, block).sum() == whole
    assert large(mask, whole + 1, block).sum() == 0


def test_nothing_is_nothing():
    assert not large(np.zeros((6, 6, 6), bool), 1, (4, 4, 4)).any()
