import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.image.labels import exclusion_zone, id_dtype, unlabelled_id

small = st.tuples(*[st.integers(1, 7)] * 3)
CROSS = ndimage.generate_binary_structure(3, 1)


@given(arrays(np.uint8, small, elements=st.integers(0, 2)), st.integers(0, 3), st.integers(0, 3))
def test_the_zone_is_dilation_without_erosion(labels, outside, inside):
    foreground = labels > 0
    grown = (
        ndimage.binary_dilation(foreground, CROSS, iterations=outside) if outside else foreground
    )
    eroded = (
        ndimage.binary_erosion(foreground, CROSS, iterations=inside, border_value=1)
        if inside
        else foreground
    )
    zone = exclusion_zone(labels, (outside,) * 3, (inside,) * 3)
    assert (zone == (grown & ~eroded)).all()


def test_the_zone_by_hand():
    labels = np.array([[[0, 0, 0, 0, 1, 1, 1, 1, 1, 0]]], np.uint8)
    zone = exclusion_zone(labels, (2, 2, 2), (1, 1, 1))
    assert zone.astype(int).tolist() == [[[0, 0, 1, 1, 1, 0, 0, 0, 1, 1]]]


def test_neither_the_border_nor_the_unknown_makes_a_zone():
    labels = np.array([[[1, 1, 1, 255, 255, 0, 0]]], np.uint8)
    assert not exclusion_zone(labels, (1, 1, 1), (1, 1, 1)).any()


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint32, 2**32 - 1)])
def test_unknown_is_the_largest_id(dtype, largest):
    assert unlabelled_id(np.dtype(dtype)) == largest


def test_the_dtype_of_ids_leaves_room_for_the_unlabelled_id():
    assert id_dtype(2 * (2**32 - 2)) == np.uint32
    assert id_dtype(2 * (2**32 - 1)) == np.uint64
