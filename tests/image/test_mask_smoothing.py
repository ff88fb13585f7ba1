"""Smoothing removes pits and bumps, and no thin parts."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import euler_number

from asem.image.mask_smoothing import fill_cavities, smooth_surface


@pytest.fixture
def slab():
    """An object with a flat surface above z = 9."""
    mask = np.zeros((20, 24, 24), bool)
    mask[2:10, 2:-2, 2:-2] = True
    return mask


def inner(mask):
    """The surface, without the edges of the slab, which are rounded."""
    return mask[:, 6:-6, 6:-6]


def test_flat_surfaces_remain(slab):
    assert (inner(smooth_surface(slab)) == inner(slab)).all()


def test_pits_are_filled_and_bumps_removed(slab, rng):
    rough = slab.copy()
    surface = rng.random((24, 24))
    rough[9] &= surface > 0.15
    rough[10] = slab[9] & (surface > 0.85)
    smooth = smooth_surface(rough)
    assert inner(smooth != slab).sum() < 0.1 * inner(rough != slab).sum()


def test_a_loop_on_the_surface_is_cut(slab):
    slab[9, 11:14, 8:16] = False
    slab[10, 12, 12] = slab[10, 11:14, 12] = True  # a bridge over a trench
    assert euler_number(slab, 3) == 0
    assert euler_number(smooth_surface(slab), 3) == 1


@pytest.mark.parametrize("width", [1, 2])
def test_a_thin_branch_is_not_cut(slab, width):
    branch = np.pad(slab, ((0, 30), (0, 0), (0, 0)))
    branch[10:45, 12 : 12 + width, 12 : 12 + width] = True
    smooth = smooth_surface(branch)
    assert ndimage.label(smooth, np.ones((3, 3, 3)))[1] == 1
    assert smooth[20:40, 12 : 12 + width, 12 : 12 + width].all()


def test_cavities_are_filled_but_not_tunnels(slab):
    slab[4:6, 8:12, 8:12] = False
    slab[:, 15:18, 15:18] = False
    filled = fill_cavities(slab)
    assert filled[4:6, 8:12, 8:12].all()
    assert not filled[:, 15:18, 15:18].any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2), (1, 1, 9), (1, 9, 9), (3, 3, 3)])
def test_small_objects_remain(shape):
    mask = np.pad(np.ones(shape, bool), 1)
    assert smooth_surface(mask).sum() >= 0.25 * mask.sum()
