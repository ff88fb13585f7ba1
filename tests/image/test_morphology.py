import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.image.morphology import (
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_opening,
    dilate_labels,
    dilation_steps,
    radii_in_voxels,
    warn_zero_radius,
    zone_radii_in_voxels,
)

small = st.tuples(*[st.integers(1, 7)] * 3)
radii_3d = st.tuples(*[st.integers(0, 4)] * 3)
"""0: no reach along that axis."""
CROSS = ndimage.generate_binary_structure(3, 1)


def diamond(radii):
    """The structuring element of METHOD's formula."""
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in radii)]
    return sum(np.abs(a) / max(r, 1) for a, r in zip(axes, radii, strict=True)) <= 1 + 1e-9


@given(arrays(bool, small), radii_3d)
def test_the_diamond_is_its_structuring_element(source, radii):
    expected = ndimage.binary_dilation(source, diamond(radii)) if source.any() else source
    assert (binary_dilation(source, radii) == expected).all()


@given(arrays(bool, small), st.integers(1, 4))
def test_the_isotropic_diamond_is_the_iterated_cross(source, width):
    expected = ndimage.binary_dilation(source, CROSS, iterations=width)
    assert (binary_dilation(source, (width,) * 3) == expected).all()


def ball(radii):
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in radii)]
    return sum((a / max(r, 1)) ** 2 for a, r in zip(axes, radii, strict=True)) <= 1 + 1e-9


@given(arrays(bool, small), radii_3d)
def test_the_ball_is_its_structuring_element(source, radii):
    expected = ndimage.binary_dilation(source, ball(radii)) if source.any() else source
    assert (binary_dilation(source, radii, "ball") == expected).all()


@given(arrays(bool, small), radii_3d)
def test_the_border_of_the_volume_erodes_nothing(mask, radii):
    expected = ndimage.binary_erosion(mask, ball(radii), border_value=1)
    assert (binary_erosion(mask, radii) == expected).all()


@given(arrays(bool, small), radii_3d)
def test_opening_takes_away_and_closing_adds(mask, radii):
    assert (binary_opening(mask, radii) <= mask).all()
    assert (binary_closing(mask, radii) >= mask).all()
    assert (binary_opening(binary_opening(mask, radii), radii) == binary_opening(mask, radii)).all()


def test_far_reaching_elements_do_not_overflow():
    source = np.zeros((1, 1, 300), bool)
    source[..., 150] = True
    assert binary_dilation(source, (31, 37, 41), "ball").sum() == 83
    assert binary_dilation(source, (101, 103, 107), "ball").sum() == 215


ascending_radii = st.lists(radii_3d, min_size=1, max_size=4).map(
    lambda several: [tuple(r) for r in np.maximum.accumulate(several, axis=0).tolist()]
)
equal_radii = st.lists(st.integers(0, 6), min_size=1, max_size=5).map(
    lambda widths: [(width,) * 3 for width in sorted(widths)]
)


@given(arrays(bool, small), ascending_radii | equal_radii, st.sampled_from(["diamond", "ball"]))
def test_steps_are_the_first_of_several_dilations(mask, radii, shape):
    steps = dilation_steps(mask, radii, shape)
    for index, radius in enumerate(radii):
        assert ((steps <= index) == binary_dilation(mask, radius, shape)).all()
    assert steps.max() <= len(radii)


def test_more_steps_than_an_index_can_number():
    with pytest.raises(ValueError, match="251 dilations; at most 250 are allowed"):
        dilation_steps(np.ones((1, 1, 1), bool), [(1, 1, 1)] * 251)


def nearest(labels, radii, unknown, distance):
    """Grow by looking at every pair of voxels."""
    places = np.argwhere((labels != 0) & (labels != unknown))
    out = labels.copy()
    for voxel in np.argwhere(labels == 0):
        apart = np.abs(places - voxel)
        steps = np.where(apart <= radii, apart / np.maximum(radii, 1), 2)
        reach = steps.sum(1) if distance == "diamond" else (steps**2).sum(1)
        close = [
            (round(r, 9), labels[tuple(p)])
            for r, p in zip(reach, places, strict=True)
            if r <= 1 + 1e-9
        ]
        if close:
            out[tuple(voxel)] = min(close)[1]
    return out


@pytest.mark.parametrize("shape", ["diamond", "ball"])
@given(
    labels=arrays(np.uint16, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 3)),
    radii=st.tuples(*[st.integers(0, 3)] * 3),
)
def test_objects_grow_into_the_nearest_background(shape, labels, radii):
    expected = nearest(labels, radii, 3, shape)
    assert (dilate_labels(labels, radii, 3, shape) == expected).all()


@pytest.mark.parametrize(
    ("width", "voxel_size", "expected"),
    [
        (20, (5.0, 5.0, 5.0), (4, 4, 4)),
        (20, (15.0, 16.0, 8.0), (1, 1, 3)),  # 2.5: half up
        (7.5, (5.0, 5.0, 5.0), (2, 2, 2)),
        (15, (10.0, 10.0, 10.0), (2, 2, 2)),
        (15, (50.0, 5.0, 5.0), (0, 3, 3)),
        (5, (10.0, 10.1, 9.9), (1, 0, 1)),
        (0.3, (0.2, 0.2, 0.2), (2, 2, 2)),  # 0.3 / 0.2 is 1.4999999999999998
        (15, (10.000001, 9.999999, 6.0), (2, 2, 3)),  # noise of a stored voxel size
        (2.4, (5.0, 5.0, 5.0), (0, 0, 0)),
        (0, (5.0, 5.0, 5.0), (0, 0, 0)),
    ],
)
def test_radii_are_widths_in_voxels_rounded_half_up(width, voxel_size, expected):
    assert radii_in_voxels(width, voxel_size) == expected


@pytest.mark.parametrize(
    ("width", "voxel_size", "expected"),
    [
        (20, (50.0, 5.0, 5.0), (0, 4, 4)),
        (5, (50.0, 20.0, 12.0), (0, 0, 1)),
        (5, (50.0, 20.0, 20.0), (0, 1, 1)),  # both are the finest
        (5, (20.0, 20.0, 20.0 * (1 + 1e-9)), (1, 1, 1)),
        (5, (4.0, 4.0, 8.0), (1, 1, 1)),
        (0, (5.0, 5.0, 5.0), (0, 0, 0)),
    ],
)
def test_a_zone_has_one_voxel_along_the_finest_axes_at_least(width, voxel_size, expected):
    assert zone_radii_in_voxels(width, voxel_size) == expected


def test_a_warning_names_the_axes_along_which_a_width_is_lost(caplog):
    size = (50.0, 40.0, 5.0)
    warn_zero_radius("mito: dilation", 15, size, radii_in_voxels(15, size))
    assert "mito: dilation of 15 nm" in caplog.text
    assert "z (voxels of 50 nm), y (voxels of 40 nm)" in caplog.text
    caplog.clear()
    for width in (0, 15):
        warn_zero_radius("mito: dilation", width, (5.0,) * 3, radii_in_voxels(width, (5.0,) * 3))
    assert not caplog.records
