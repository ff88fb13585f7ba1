"""Counts by cube, zone, truth and value equal those of masks, and add up over blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.measure.score_counts import (
    MAX_DEFAULT_CUBES,
    NOT_SCORED,
    CubeGrid,
    count_scored_voxels,
    to_confusion,
)
from asem.measure.segmentation_scores import count_confusion
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi

ROI = Roi((2, 3, 5), (9, 11, 13))
ZONES, ZONE = 3, 1
sizes = st.tuples(*[st.integers(1, 9)] * 3)


def make_volume(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(ROI.end)
    values = rng.choice(np.array([0, 3, 127, 128, 255], np.uint8), shape)
    truth = rng.choice(np.array([0, 1, NOT_SCORED], np.uint8), shape)
    return values, truth, rng.integers(0, ZONES + 1, shape).astype(np.uint8)


def count(volume, grid, block_shape, *, has_steps=True):
    """Sum of the counts of all blocks of `ROI`."""
    by_cube = np.zeros((int(np.prod(grid.shape)), 2, 2, 256), np.int64)
    curve = np.zeros((2, 2, ZONES + 1), np.int64)
    for block in split_into_blocks(ROI, block_shape):
        values, truth, steps = (array[block.slices] for array in volume)
        found = count_scored_voxels(
            values,
            truth,
            steps if has_steps else None,
            cube_indices=grid.axis_indices(block),
            cube_shape=grid.shape,
            zone=ZONE,
            zones=ZONES,
            threshold=128,
        )
        assert len(set(found["cubes"].tolist())) == len(found["cubes"])
        by_cube[found["cubes"]] += found["values"]
        curve += found["curve"]
    return by_cube, curve


@settings(max_examples=30)
@given(st.integers(0, 1000), sizes, sizes)
def test_blocks_add_up_to_the_masks_of_each_cube(seed, block_shape, edge):
    volume = values, truth, steps = make_volume(seed)
    grid = CubeGrid(ROI, edge)
    by_cube, curve = count(volume, grid, block_shape)
    parts = split_into_blocks(ROI, edge, origin=ROI.offset)
    for number, part in enumerate(parts):
        inside = np.zeros(truth.shape, bool)
        inside[part.slices] = True
        for zone, in_zone in enumerate((steps > ZONE, steps <= ZONE)):
            scored = (truth != NOT_SCORED) & inside & in_zone
            expected = count_confusion(values >= 128, truth == 1, scored)
            assert to_confusion(by_cube[number, zone], 128) == expected
            histogram = np.bincount(values[scored & (truth == 1)], minlength=256)
            assert (by_cube[number, zone, 1] == histogram).all()
    assert number == len(by_cube) - 1
    for step in range(ZONES + 1):
        scored = (truth != NOT_SCORED)[ROI.slices] & (steps[ROI.slices] == step)
        hits = np.count_nonzero((values >= 128)[ROI.slices] & (truth == 1)[ROI.slices] & scored)
        assert curve[1, 1, step] == hits
        assert curve[:, :, step].sum() == np.count_nonzero(scored)


def test_without_a_zone_all_voxels_are_outside():
    volume = make_volume(0)
    grid = CubeGrid(ROI, (99, 99, 99))
    by_cube, curve = count(volume, grid, (4, 5, 6), has_steps=False)
    with_zone, _ = count(volume, grid, (9, 9, 9))
    assert not by_cube[:, 1].any()
    assert (by_cube[:, 0] == with_zone.sum(axis=1)).all()
    assert curve[:, :, :ZONES].sum() == 0


def test_cubes_of_voxels():
    grid = CubeGrid(ROI, (4, 4, 4))
    assert grid.shape == (3, 3, 4)
    assert grid.find(np.array([[2, 3, 5], [10, 13, 17], [2, 3, 9]])).tolist() == [0, 35, 1]


def test_an_edge_in_nm():
    grid = CubeGrid.of_edge_nm(ROI, (50.0, 10.0, 4.6), 23)
    assert grid.edge == (1, 2, 5)
    large = CubeGrid.of_edge_nm(Roi.of_shape((3000, 3000, 3000)), (5.0, 5.0, 5.0))
    assert large.edge == (400, 400, 400)
    assert np.prod(large.shape) <= MAX_DEFAULT_CUBES


@pytest.mark.parametrize(
    ("edge_nm", "message"),
    [
        (0, "the edge must be above 0 nm"),
        (float("nan"), "the edge must be above 0 nm"),
        (30, "take a larger edge"),
    ],
)
def test_edges_that_cannot_be_used(edge_nm, message):
    with pytest.raises(ValueError, match=message):
        CubeGrid.of_edge_nm(Roi.of_shape((300, 300, 300)), (5.0, 5.0, 5.0), edge_nm)
