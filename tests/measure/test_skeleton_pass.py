"""Skeletons of all objects of a volume: the same for every block grid, sampling and executor."""

import sys
from functools import partial

import cloudpickle
import numpy as np
import pytest

from asem.blocks.block_results import BlockResults
from asem.blocks.executors import SERIAL_EXECUTOR
from asem.blocks.output_image import create_image
from asem.measure import object_masks, skeleton_pass
from asem.measure.moments import MOMENT_REDUCTIONS, sum_moments
from asem.measure.object_boxes import load_block_boxes
from asem.measure.object_columns import BlockObjects, measure_objects
from asem.measure.skeleton_pass import measure_skeletons
from asem.measure.skeletons import measure_skeleton
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi
from asem.volume.volume import OriginalGrid, Volume
from shards import small_shards
from tubes import circle, rasterize

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests
SIZE = (5.0, 5.0, 5.0)
SHAPE = (41, 70, 83)
LONG, RING, BALL, TOUCHING = 2**40 + 1, 2**33, 3, 2**40


def sum_block(block, *, labels):
    objects = BlockObjects.from_labels(labels.read(block))
    return {"id": objects.ids, **sum_moments(objects, block)}


def run(path, labels, executor=SERIAL_EXECUTOR, **options):
    """Measure the sums and the skeletons of a volume."""
    with create_image(
        path, labels, command="test", request={}, sources=[], executor=executor, **options
    ) as output:
        sums = measure_objects(
            output, partial(sum_block, labels=labels), MOMENT_REDUCTIONS, stage="sums"
        )
        return measure_skeletons(output, labels, sums, output.block_results("sums"))


def as_bytes(columns):
    return {name: (values.dtype.name, values.tobytes()) for name, values in columns.items()}


@pytest.fixture(scope="module")
def volume():
    """A long tube, another that touches it, a ring, a ball; unlabelled voxels beside."""
    labels = np.zeros(SHAPE, np.uint64)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    labels[(z - 10 - x / 8) ** 2 + (y - 12 - x / 3) ** 2 <= 16] = LONG
    beside = (z - 18 - x / 8) ** 2 + (y - 12 - x / 3) ** 2 <= 16
    labels[beside & (labels == 0) & (x > 20) & (x < 60)] = TOUCHING
    ring = rasterize(circle(65.0), 20.0, SIZE, np.random.default_rng(1))
    place = tuple(slice(a, a + n) for a, n in zip((3, 35, 2), ring.shape, strict=True))
    labels[place][ring & (labels[place] == 0)] = RING
    labels[(z - 8) ** 2 + (y - 10) ** 2 + (x - 72) ** 2 <= 36] = BALL
    labels[:, :, -1] = np.iinfo(np.uint64).max
    return Volume(labels, SIZE, kind="labels")


@pytest.fixture(scope="module")
def expected(volume):
    """Each object by itself."""
    found = {}
    for number in np.unique(volume.array).tolist()[1:-1]:
        mask = volume.array == number
        box = tuple(slice(p.min(), p.max() + 1) for p in np.nonzero(mask))
        found[number] = measure_skeleton(mask[box], SIZE)
    return found


@pytest.mark.parametrize("edge", [16, (16, 24, 32), 64, 128])
@pytest.mark.parametrize("margin", [0, 9])
def test_every_block_grid_measures_each_object_as_a_whole(
    tmp_path, monkeypatch, volume, expected, edge, margin
):
    small_shards(edge, monkeypatch.setattr)
    monkeypatch.setattr(skeleton_pass, "MARGIN_VOXELS", margin)
    found = run(tmp_path / "out", volume)
    assert found["id"].tolist() == sorted(expected) == [BALL, RING, TOUCHING, LONG]
    for row, number in enumerate(found["id"].tolist()):
        assert found["skeleton_length_nm"][row] == expected[number].length_nm
        assert found["branch_points"][row] == expected[number].branch_points
    assert found["skeleton_voxel_size_nm"].tolist() == [5.0] * 4


def test_the_lengths_are_right(expected):
    assert expected[LONG].length_nm == pytest.approx(
        5 * 82 * np.hypot(1, np.hypot(1 / 8, 1 / 3)), rel=0.05
    )
    assert expected[BALL].length_nm == pytest.approx(60, rel=0.1)
    assert [one.branch_points for one in expected.values()] == [0] * 4


def test_workers_give_the_same(tmp_path, monkeypatch, volume, two_workers):
    small_shards(32, monkeypatch.setattr)
    parallel = run(tmp_path / "dask", volume, executor=two_workers)
    assert as_bytes(parallel) == as_bytes(run(tmp_path / "serial", volume))


@pytest.mark.parametrize("crop", [0, 1, 3])
def test_a_large_object_is_sampled_alike_in_every_grid_and_crop(
    tmp_path, monkeypatch, volume, crop
):
    monkeypatch.setattr(object_masks, "MAX_BOX_SAMPLES", 15_000)
    monkeypatch.setattr(skeleton_pass, "MARGIN_VOXELS", 8)
    padded = np.pad(volume.array, ((4, 0),) * 3)
    whole = Volume(padded, SIZE, kind="labels")
    part = Volume(
        padded[crop:, crop:, crop:],
        SIZE,
        offset_nm=(5.0 * crop,) * 3,
        kind="labels",
        stated_grid=OriginalGrid(padded.shape, (0.0, 0.0, 0.0)),
    )
    small_shards(64, monkeypatch.setattr)
    coarse = run(tmp_path / "whole", whole)
    small_shards(16, monkeypatch.setattr)
    assert as_bytes(run(tmp_path / "part", part)) == as_bytes(coarse)
    sizes = dict(zip(coarse["id"].tolist(), coarse["skeleton_voxel_size_nm"], strict=True))
    assert sizes == {BALL: 5, RING: 10, TOUCHING: 5, LONG: 10}


class Stop(Exception):
    pass


def test_a_resumed_run_gives_the_same(tmp_path, monkeypatch, volume):
    small_shards(32, monkeypatch.setattr)
    monkeypatch.setattr(skeleton_pass, "MARGIN_VOXELS", 8)

    def stop(stage, done, total):
        if stage == "skeletons" and 2 * done > total:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "out", volume, progress=stop)
    assert as_bytes(run(tmp_path / "out", volume)) == as_bytes(run(tmp_path / "other", volume))


def test_damaged_boxes_are_an_error(tmp_path):
    (block,) = split_into_blocks(Roi.of_shape((4, 4, 4)), (4, 4, 4))
    results = BlockResults(tmp_path / "boxes")
    ids, boxes = np.zeros(2, np.uint64), np.zeros((1, 6), np.int64)
    results.save(
        block, ids=ids, boxes=boxes, is_near=np.ones(2, bool), part_ids=ids, part_boxes=boxes
    )
    with pytest.raises(OSError, match="is damaged; give --overwrite to restart"):
        load_block_boxes(results, block)
