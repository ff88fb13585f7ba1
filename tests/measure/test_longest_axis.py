"""The longest axis of an object, and whether the object is an ellipsoid."""

import numpy as np
import pytest

from asem.measure.longest_axis import find_longest_axis
from tubes import ellipsoid, rasterize, straight

SIZE = (5.2, 4.0, 4.0)


@pytest.mark.parametrize("semi_axes", [(30, 30, 30), (25, 25, 50), (25, 40, 60), (20, 60, 60)])
def test_an_ellipsoid_has_its_longest_axis(rng, semi_axes):
    for _ in range(4):
        axis = find_longest_axis(ellipsoid(semi_axes, SIZE, rng), SIZE)
        assert axis.is_of_ellipsoid
        assert np.linalg.norm(axis.ends[1] - axis.ends[0]) == pytest.approx(
            2 * max(semi_axes), rel=0.02
        )
        assert axis.filled == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("flat_ends", [True, False])
def test_a_tube_is_no_ellipsoid(rng, flat_ends):
    mask = rasterize(straight(200.0), 30.0, SIZE, rng, flat_ends=flat_ends)
    assert not find_longest_axis(mask, SIZE).is_of_ellipsoid


def test_the_ends_are_at_the_positions_of_voxels():
    z, y, x = np.ogrid[:9, :12, :40]
    mask = ((z - 4) / 4.5) ** 2 + ((y - 6) / 4.5) ** 2 + ((x - 20) / 15) ** 2 <= 1
    ends = find_longest_axis(mask, (5.0, 5.0, 5.0)).ends
    assert ends[np.argsort(ends[:, 2])] == pytest.approx(
        np.array([[20, 30, 25], [20, 30, 175]]), abs=2
    )


def test_a_single_voxel_is_no_ellipsoid():
    axis = find_longest_axis(np.ones((1, 1, 1), bool), SIZE)
    assert not axis.is_of_ellipsoid
    assert np.linalg.norm(axis.direction) == pytest.approx(1)
