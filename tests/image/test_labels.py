import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.image.labels import exclusion_zone, near, unknown_id, zone_radii

small = st.tuples(*[st.integers(1, 7)] * 3)
CROSS = ndimage.generate_binary_structure(3, 1)


def diamond(radii):
    """The structuring element of METHOD's formula."""
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in radii)]
    return sum(np.abs(a) / max(r, 1) for a, r in zip(axes, radii, strict=True)) <= 1 + 1e-9


@given(arrays(bool, small), st.tuples(*[st.integers(1, 4)] * 3))
def test_the_diamond_is_its_structuring_element(source, radii):
    expected = ndimage.binary_dilation(source, diamond(radii)) if source.any() else source
    assert (near(source, radii) == expected).all()


@given(arrays(bool, small), st.integers(1, 4))
def test_the_isotropic_diamond_is_the_iterated_cross(source, width):
    expected = ndimage.binary_dilation(source, CROSS, iterations=width)
    assert (near(source, (width,) * 3) == expected).all()


@given(arrays(bool, small), st.tuples(*[st.integers(1, 3)] * 3))
def test_the_ball_holds_the_diamond(source, radii):
    assert (near(source, radii, "ball") >= near(source, radii)).all()


@given(arrays(np.uint8, small, elements=st.integers(0, 2)), st.integers(0, 3), st.integers(0, 3))
def test_the_zone_is_dilation_without_erosion(labels, outside, inside):
    foreground = labels > 0
    grown = (
        ndimage.binary_dilation(foreground, CROSS, iterations=outside) if outside else foreground
    )
    kept = (
        ndimage.binary_erosion(foreground, CROSS, iterations=inside, border_value=1)
        if inside
        else foreground
    )
    zone = exclusion_zone(labels, (outside,) * 3, (inside,) * 3)
    assert (zone == (grown & ~kept)).all()


def test_the_zone_by_hand():
    labels = np.array([[[0, 0, 0, 0, 1, 1, 1, 1, 1, 0]]], np.uint8)
    zone = exclusion_zone(labels, (2, 2, 2), (1, 1, 1))
    assert zone.astype(int).tolist() == [[[0, 0, 1, 1, 1, 0, 0, 0, 1, 1]]]


def test_neither_the_border_nor_the_unknown_makes_a_zone():
    labels = np.array([[[1, 1, 1, 255, 255, 0, 0]]], np.uint8)
    assert not exclusion_zone(labels, (1, 1, 1), (1, 1, 1)).any()


def test_radii_follow_the_voxel_size():
    assert zone_radii(20, (5.0, 5.0, 5.0)) == (4, 4, 4)
    assert zone_radii(20, (15.0, 16.0, 8.0)) == (1, 1, 2)
    assert zone_radii(5, (50.0, 10.0, 10.0)) == (1, 1, 1)
    assert zone_radii(0, (5.0, 5.0, 5.0)) == (0, 0, 0)


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint32, 2**32 - 1)])
def test_unknown_is_the_largest_id(dtype, largest):
    assert unknown_id(np.dtype(dtype)) == largest
