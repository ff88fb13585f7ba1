"""Planes through objects are those of the image, whatever the blocks."""

import numpy as np
import pytest

from asem.blocks.results_folder import create_results
from asem.measure.object_planes import ObjectPlane, store_object_planes, stretch_contrast
from asem.volume.volume import Volume
from shards import small_shards

SIZE = (40.0, 20.0, 25.0)
OFFSET = (1000.0, -500.0, 0.0)


@pytest.fixture
def volumes(rng):
    grey = rng.integers(1, 250, (12, 30, 26)).astype(np.uint8)
    labels = np.zeros((10, 30, 26), np.uint8)
    labels[4, 6:9, 10:14], labels[7, 8, 11] = 3, 255  # unlabelled
    below = (OFFSET[0] + 2 * SIZE[0], *OFFSET[1:])
    return Volume(labels, SIZE, below, kind="labels"), Volume(grey, SIZE, OFFSET)


def load_planes(path, volumes, rows, centres):
    labels, raw = volumes
    with create_results(path, labels.roi, files=(), command="test", request={}) as output:
        chosen = np.array(rows, np.intp)
        planes = store_object_planes(output, labels, raw, chosen, centres, stage="planes")
        return dict(planes.load())


def test_planes_are_those_of_the_image(tmp_path, volumes, monkeypatch):
    labels, raw = volumes
    places = np.array([[6, 7, 12], [0, 0, 0], [11, 29, 25]])
    centres = raw.position_nm((0, 0, 0)) + (places + 0.3) * SIZE
    whole = load_planes(tmp_path / "whole", volumes, [0, 2], centres)
    assert whole.keys() == {0, 2}
    xy, xz, yz = whole[0]
    cut = [raw.array[6, 2:13, 8:17], raw.array[3:10, 7, 8:17], raw.array[3:10, 2:13, 12]]
    for plane, image in zip((xy, xz, yz), stretch_contrast([*map(np.float32, cut)]), strict=True):
        np.testing.assert_array_equal(plane.image, image)
    np.testing.assert_array_equal(xy.mask, labels.array[4, 2:13, 8:17] == 3)
    assert xz.mask[3].any()
    assert not yz.mask[6].any()  # unlabelled
    assert (xy.pixel_nm, xz.pixel_nm, yz.pixel_nm) == ((20, 25), (40, 25), (40, 20))
    assert xz.to_pixels(np.array([raw.position_nm((4, 0, 9))])).tolist() == [[1, 1]]
    corner = whole[2][0].image
    assert corner.shape == (11, 9)
    assert not corner[6:].any()  # outside of the image
    assert not corner[:, 5:].any()
    small_shards(4, monkeypatch.setattr)
    blocks = load_planes(tmp_path / "blocks", volumes, [0, 2], centres)
    for row, planes in whole.items():
        for one, other in zip(planes, blocks[row], strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            np.testing.assert_array_equal(one.mask, other.mask)
            assert one.origin_nm == other.origin_nm


def test_a_damaged_file_of_planes_is_named(tmp_path, volumes, monkeypatch):
    labels, raw = volumes
    centre = np.array([raw.position_nm((6, 7, 12))])
    with create_results(tmp_path / "out", labels.roi, files=(), command="c", request={}) as output:
        planes = store_object_planes(output, labels, raw, np.array([0]), centre, stage="planes")
        (block,), (file,) = planes.blocks, planes.results.folder.iterdir()
        planes.results.save(block, **{**np.load(file), "row": np.array([0, 1])})
        with pytest.raises(OSError, match="is damaged; give --overwrite"):
            list(planes.load())


def test_contrast_is_that_of_all_planes():
    flat, empty = np.full((2, 2), 7, np.float32), np.full((2, 2), np.nan, np.float32)
    assert not stretch_contrast([empty])[0].any()
    assert not stretch_contrast([flat, empty])[0].any()
    dark, bright = stretch_contrast([flat, 2 * flat])
    assert (dark.max(), bright.min()) == (0, 255)


def test_points_are_projected_on_a_plane():
    plane = ObjectPlane("xz", np.zeros((3, 3), np.uint8), np.zeros((3, 3), bool), OFFSET, SIZE)
    points = np.array([[1080.0, 77.0, 50.0], [1000.0, -500.0, 0.0]])
    assert plane.to_pixels(points).tolist() == [[2, 2], [0, 0]]
