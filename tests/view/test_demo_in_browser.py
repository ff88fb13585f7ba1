"""The cell of the demo in Chromium: raw, objects and meshes are drawn where they are."""

import numpy as np
import pytest
from scipy import ndimage

from asem.volume.sources import open_volume
from view_cells import displaying

pytestmark = pytest.mark.slow
DEEP = 4
"""Voxels from the border of an object: pixels nearer to it may have either colour."""
POINTS = 300
COLOURED = 40
"""Range of channels above which a pixel is coloured."""


def test_the_cell_of_the_demo_is_drawn_where_it_is(demo, browser, rng):
    cell = demo[0] / "cell.zarr"
    raw = open_volume(cell / "raw")
    instances = open_volume(cell / "predictions/mito/instances")
    found = instances.read(instances.roi) > 0
    z = int(found.sum(axis=(1, 2)).argmax())
    middle_nm = raw.position_nm((z, *(edge // 2 for edge in raw.shape[1:])))
    inside = ndimage.distance_transform_edt(found[z]) > DEEP
    outside = ndimage.distance_transform_edt(~found[z]) > DEEP
    with displaying(browser, [cell], position_nm=middle_nm, width_nm=2400.0) as (_, take_picture):
        picture, grey = take_picture(), take_picture("raw")
    reach = 1100 / np.array(raw.voxel_size[1:])
    is_near = np.abs(np.indices(inside.shape).T - np.array(inside.shape) / 2) < reach * (0.7, 1)
    near = is_near.all(axis=2).T

    def draw_points(mask):
        voxels = np.argwhere(mask & near)
        chosen = rng.choice(voxels, POINTS)
        return [(z, y, x) for y, x in chosen]

    for mask, is_coloured in ((inside, True), (outside, False)):
        saturated = [
            picture.saturation("xy", raw.position_nm(voxel)) > COLOURED
            for voxel in draw_points(mask)
        ]
        # The lines of the axes are coloured, too.
        assert (np.mean(saturated) > 0.97) if is_coloured else (np.mean(saturated) < 0.03)
    voxels = draw_points(outside)
    shown = [grey.colour("xy", raw.position_nm(voxel)).mean() for voxel in voxels]
    stored = raw.read(raw.roi)[tuple(np.transpose(voxels))]
    assert np.corrcoef(shown, stored)[0, 1] > 0.9
    height, width = picture.pixels.shape[:2]
    meshes = picture.pixels[height // 2 :, : width // 2]
    assert np.count_nonzero(np.ptp(meshes, axis=2) > COLOURED) > 1000
