"""Thinning keeps parts and tunnels, and leaves lines in the middle of objects."""

from itertools import product

import edt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import euler_number

from asem.image.mask_smoothing import fill_cavities
from asem.image.simple_points import is_simple
from asem.image.thinning import thin_to_lines

ALL, FACES = ndimage.generate_binary_structure(3, 3), ndimage.generate_binary_structure(3, 1)
UNIT = (1.0, 1.0, 1.0)


def topology(mask):
    """Parts, cavities and Euler number, which determine the tunnels."""
    mask = np.pad(mask, 1)
    return ndimage.label(mask, ALL)[1], ndimage.label(~mask, FACES)[1], euler_number(mask, 3)


def thin(mask, voxel_size=UNIT):
    mask = np.pad(mask, 1)
    lines, depth = thin_to_lines(mask, edt.edt(mask, anisotropy=voxel_size), voxel_size)
    inner = (slice(1, -1),) * 3
    return lines[inner], depth[inner]


@settings(max_examples=200)
@given(st.integers(0, 2**27 - 1))
def test_simple_voxels_do_not_change_the_topology(bits):
    box = np.array([bits >> bit & 1 for bit in range(27)], bool).reshape(3, 3, 3)
    box[1, 1, 1] = False
    neighbours = sum(1 << bit for bit in np.flatnonzero(box).tolist())
    with_voxel = box.copy()
    with_voxel[1, 1, 1] = True
    assert is_simple(neighbours) == (topology(box) == topology(with_voxel))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.4, 0.5, 0.6]), st.sampled_from([1.0, 3.7]))
def test_parts_and_tunnels_remain(seed, level, edge):
    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((11, 13, 12)), 3)
    mask = fill_cavities(np.pad(noise > np.quantile(noise, level), 1))[1:-1, 1:-1, 1:-1]
    lines, depth = thin(mask, (edge, 1.0, 1.2))
    assert topology(lines) == topology(mask)
    assert not lines[~mask].any()
    assert (depth[lines] > 0).all()


@pytest.mark.parametrize("thickness", [1, 2, 3, 4, 6])
def test_a_plate_is_a_line_along_its_middle(thickness):
    lines, depth = thin(np.ones((thickness, 20, 60), bool))
    _, y, x = np.nonzero(lines)
    assert np.abs(y - 9.5).max() <= 2.5
    assert len(set(x.tolist())) == len(x) >= 38
    assert depth[lines] == pytest.approx(10, abs=2.5)


def test_every_way_of_two_voxels_is_kept():
    for other in product((-1, 0, 1), repeat=3):
        mask = np.zeros((3, 3, 3), bool)
        mask[1, 1, 1] = mask[tuple(n + 1 for n in other)] = True
        assert thin(mask)[0].any()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("thickness", [1, 2, 3, 4])
def test_a_beam_keeps_its_length_along_each_axis(axis, thickness):
    beam = np.moveaxis(np.ones((thickness, thickness, 30), bool), 2, axis)
    lines, _ = thin(beam)
    along = np.nonzero(lines)[axis]
    assert len(set(along.tolist())) == len(along) >= 30 - 2 * thickness
