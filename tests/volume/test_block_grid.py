import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.volume.block_grid import split_evenly, split_into_blocks
from asem.volume.roi import Roi

offsets = st.tuples(*[st.integers(-7, 7)] * 3)
shapes = st.tuples(*[st.integers(1, 9)] * 3)
blocks = st.tuples(*[st.integers(1, 5)] * 3)


@given(st.builds(Roi, offsets, shapes), blocks, offsets)
def test_blocks_cover_the_roi_exactly_once_on_the_lattice(roi, block, origin):
    hits = np.zeros(roi.shape, int)
    for one in split_into_blocks(roi, block, origin=origin):
        inside = one.shift(tuple(-o for o in roi.offset))
        hits[inside.slices] += 1
        for low, high, step, zero in zip(one.offset, one.end, block, origin, strict=True):
            assert (low - zero) // step == (high - 1 - zero) // step  # within one lattice cell
    assert (hits == 1).all()


@given(st.builds(Roi, offsets, shapes), st.integers(1, 4), st.integers(1, 3))
def test_even_parts_are_equal_cover_the_roi_and_keep_the_limit(roi, multiple, times):
    limit = multiple * times
    parts = split_evenly(roi, (limit,) * 3, multiple=multiple)
    assert len({part.shape for part in parts}) == 1
    assert all(edge % multiple == 0 and edge <= limit for edge in parts[0].shape)
    covered = sum(part.intersect(roi).size for part in parts)
    assert covered == roi.size
    assert parts[0].offset == roi.offset


def test_a_block_without_voxels_is_refused():
    with pytest.raises(ValueError, match="at least one voxel"):
        list(split_into_blocks(Roi((0, 0, 0), (4, 4, 4)), (0, 1, 1)))
    with pytest.raises(ValueError, match="holds no multiple of 8"):
        split_evenly(Roi((0, 0, 0), (4, 4, 4)), (7, 8, 8), multiple=8)
