"""Every block-wise step gives what it gives on the whole array at once, whatever the blocks."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage.exposure import equalize_adapthist

from asem.image.clahe import (
    ClaheConfig,
    TileMappings,
    _count_tile_bins,
    clipped_cdf,
    prepare_bin_lookup,
)
from asem.image.clahe_apply import apply_mappings
from asem.image.sample_mask import MaskConfig
from asem.structures import Structure
from asem.volume.contrast import contrast_window_of
from asem.volume.downsample import downsample
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.volume.zarr_arrays import open_array
from asem.workflows.clahe import clahe_volume
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.labels import label_volume
from asem.workflows.mask import mask_volume
from asem.workflows.segment import segment_volume
from shards import small_shards

SHAPE = (37, 45, 53)
SIZE = (5.0, 5.0, 5.0)
CROSS = ndimage.generate_binary_structure(3, 1)


@pytest.fixture(params=[(12, 20, 24), 16, 64], autouse=True, ids=str)
def edge(request, monkeypatch):
    small_shards(request.param, monkeypatch.setattr)
    return request.param


def blobs(rng, shape=SHAPE, *, sigma=1.5, share=0.4):
    """Smooth objects of many sizes, with holes."""
    noise = ndimage.gaussian_filter(rng.random(shape), sigma)
    return noise > np.quantile(noise, 1 - share)


def store(path, voxels, *, kind="image", size=SIZE, **options):
    tifffile.imwrite(path.with_suffix(".tif"), voxels, photometric="minisblack")
    return import_volume(path.with_suffix(".tif"), path, voxel_size=size, kind=kind, **options)


def read(path):
    volume = open_volume(path)
    return volume.read(volume.roi)


def large(mask, smallest):
    ids, _ = ndimage.label(mask)
    sizes = np.bincount(ids.ravel())
    sizes[0] = 0
    return (sizes >= smallest)[ids]


def cut_off(mask, unlabelled):
    """Objects at the border of the array, or with a face at an unlabelled voxel."""
    ids, _ = ndimage.label(mask)
    ends = ndimage.binary_dilation(unlabelled, CROSS)
    for axis in range(3):
        planes = np.moveaxis(ends, axis, 0)
        planes[[0, -1]] = True
    return mask & np.isin(ids, np.unique(ids[ends]))


def cleaned(mask, holes, objects):
    return large(~large(~mask, holes), objects)


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_import_and_pyramid(tmp_path, rng, kind):
    voxels = rng.integers(0, 5, SHAPE).astype(np.uint8)
    store(tmp_path / "v", voxels, kind=kind)
    expected = voxels
    for level in range(2):
        assert (open_array(tmp_path / f"v/{level}").store.read().result() == expected).all()
        expected = downsample(expected, (2, 2, 2), kind)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_clahe_is_scikit_images(tmp_path, rng, dtype):
    grey = ndimage.gaussian_filter(rng.random(SHAPE), 2)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    scale = {np.uint8: 255, np.uint16: 65_535, np.float32: 1}[dtype]
    voxels = (grey * scale).astype(dtype)
    expected = equalize_adapthist(voxels, kernel_size=16, clip_limit=0.02) * 255
    raw = store(tmp_path / "raw", voxels)
    clahe_volume(tmp_path / "raw", tmp_path / "clahe", config=ClaheConfig(kernel=(16,) * 3))
    found = read(tmp_path / "clahe")
    # 16 bits and floats lose a thousandth of the voxels at each end of the contrast window.
    assert np.abs(found - expected).mean() < (0.6 if dtype == np.uint8 else 2)
    assert open_volume(tmp_path / "clahe").window == (0, 255)
    assert open_volume(tmp_path / "clahe").voxel_size == raw.voxel_size


CLAHE = {}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_clahe_is_the_same_whatever_the_blocks(tmp_path, rng, dtype, edge):
    voxels = (rng.normal(100, 20, SHAPE) * rng.random(SHAPE[2])).astype(dtype)
    store(tmp_path / "raw", voxels)
    clahe_volume(tmp_path / "raw", tmp_path / "clahe", config=ClaheConfig(kernel=(10, 9, 8)))
    found = read(tmp_path / "clahe")
    assert (found == CLAHE.setdefault(dtype, found)).all()
    # One block at a time, and all at once in memory.
    volume = open_volume(tmp_path / "raw")
    kernel = np.array((10, 9, 8))
    shape = -(-np.array(SHAPE) // kernel)
    numbers = prepare_bin_lookup(
        volume.read(Roi.of_shape(shape * kernel)), contrast_window_of(volume)
    )
    table = clipped_cdf(_count_tile_bins(*numbers, kernel), 0.02)
    whole = TileMappings(table, (10, 9, 8), (0, 0, 0), contrast_window_of(volume))
    assert (apply_mappings(volume.read(volume.roi), (0, 0, 0), whole) == found).all()


def test_clahe_of_a_crop_is_the_crop_of_clahe(tmp_path, rng):
    voxels = rng.integers(0, 255, SHAPE).astype(np.uint8)
    store(tmp_path / "raw", voxels)
    store(tmp_path / "crop", voxels, roi="3:,5:,7:")
    config = ClaheConfig(kernel=(9, 8, 10))
    for name in ("raw", "crop"):
        clahe_volume(tmp_path / name, tmp_path / f"{name}_clahe", config=config)
    whole, crop = read(tmp_path / "raw_clahe"), read(tmp_path / "crop_clahe")
    # The tiles that are cut differ; they are seen half a tile further.
    inside = (slice(18, None), slice(16, None), slice(20, None))
    assert (whole[inside] == crop[15:, 11:, 13:]).all()
    assert not (whole[3:, 5:, 7:] == crop).all()


def test_mask(tmp_path, rng):
    size = (5.0, 5.0, 4.0)
    grey = np.where(blobs(rng), 100, 220).astype(np.uint8)
    grey[rng.random(SHAPE) < 0.02] = 1
    store(tmp_path / "raw", grey, size=size)
    config = MaskConfig(opening_nm=5, closing_nm=10, largest_hole_nm3=6e3, smallest_nm3=1e4)
    mask_volume(tmp_path / "raw", tmp_path / "mask", config=config)
    small, wide = ellipsoid((1, 1, 1)), ellipsoid((2, 2, 3))  # 10 nm at 4 nm: half up
    coarse = ndimage.binary_dilation(
        ndimage.binary_erosion((grey > 2) & (grey < 180), small, border_value=1), small
    )
    coarse = ndimage.binary_erosion(ndimage.binary_dilation(coarse, wide), wide, border_value=1)
    expected = cleaned(coarse, 60, 100)
    assert (read(tmp_path / "mask") == expected).all()
    assert 0 < expected.sum() < coarse.size
    assert (expected != coarse).any()


def ellipsoid(radii):
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in radii)]
    return sum((a / r) ** 2 for a, r in zip(axes, radii, strict=True)) <= 1 + 1e-9


@pytest.mark.parametrize("shape", ["diamond", "ball"])
def test_labels_and_zone(tmp_path, rng, shape):
    mask = blobs(rng)
    store(tmp_path / "a", mask.astype(np.uint8), kind="labels")
    preset = Structure(
        name="x", smallest_nm3=40 * 125, largest_hole_nm3=30 * 125, dilation_nm=10,
        zone_out_nm=15, zone_in_nm=5,
    )  # fmt: skip
    zone = tmp_path / "zone"
    label_volume(tmp_path / "a", tmp_path / "b", preset, exclusion_zone=zone, zone_shape=shape)
    filled = ~large(~mask, 30)
    clean = large(filled, 40) | cut_off(filled, np.zeros_like(mask))
    assert (clean != large(filled, 40)).any()
    expected = ndimage.binary_dilation(clean, CROSS, iterations=2)
    assert (read(tmp_path / "b") == expected).all()
    assert (clean != mask).any()
    out, inside = (
        (ellipsoid((3,) * 3), ellipsoid((1,) * 3))
        if shape == "ball"
        else (ndimage.iterate_structure(CROSS, 3), CROSS)
    )
    zone = ndimage.binary_dilation(expected, out) & ~ndimage.binary_erosion(
        expected, inside, border_value=1
    )
    assert (read(tmp_path / "zone") == zone).all()


def test_labels_of_thick_planes(tmp_path, rng, caplog):
    """15 nm is nothing at planes of 50 nm; the zone of 5 nm is a voxel of 16 nm, in the plane."""
    mask = blobs(rng)
    store(tmp_path / "a", mask.astype(np.uint8), kind="labels", size=(50.0, 10.0, 16.0))
    preset = Structure(name="x", dilation_nm=15, zone_out_nm=4, zone_in_nm=4)
    zone = tmp_path / "zone"
    label_volume(tmp_path / "a", tmp_path / "b", preset, exclusion_zone=zone)
    z, y, x = np.ogrid[:1, -2:3, -1:2]
    expected = ndimage.binary_dilation(mask, np.abs(y) / 2 + np.abs(x) + z <= 1)
    assert (read(tmp_path / "b") == expected).all()
    row = np.ones((1, 3, 1), bool)
    border = ndimage.binary_erosion(expected, row, border_value=1)
    assert (read(zone) == ndimage.binary_dilation(expected, row) & ~border).all()
    lost = [record.message for record in caplog.records]
    assert len(lost) == 3
    assert lost[0].startswith(
        "x: dilation of 15 nm is less than half a voxel along z (voxels of 50"
    )
    assert "outside of 4 nm is less than half a voxel along z (voxels of 50 nm), x (" in lost[1]


def test_labels_with_ids_and_unknown_voxels(tmp_path):
    ids = np.zeros((6, 30, 30), np.uint16)
    ids[1:5, 2:20, 2:20] = 7
    ids[1:5, 20:28, 2:20] = 3  # touches 7
    ids[2:4, 10:13, 10:13] = 0  # a hole in 7
    ids[2:4, 19:21, 5:7] = 0  # a hole between 7 and 3
    ids[2:4, 23:25, 10:13] = 0
    ids[2, 22, 10] = 65_535  # beside a hole in 3: it may be larger than it seems
    ids[2, 1, 28] = 5  # a speck
    ids[0, 29, 29] = 5  # one that the border cuts
    ids[5, 29, 29] = 65_535
    store(tmp_path / "a", ids, kind="labels")
    preset = Structure(name="x", smallest_nm3=2 * 125, largest_hole_nm3=20 * 125)
    label_volume(tmp_path / "a", tmp_path / "b", preset)
    expected = ids.copy()
    expected[2:4, 10:13, 10:13] = 7
    expected[2:4, 19:21, 5:7] = 3
    expected[2, 22, 10] = 65_535
    expected[2, 1, 28] = 0
    assert (read(tmp_path / "b") == expected).all()


def test_sizes_at_the_limit_stay(tmp_path):
    """As in scikit-image: smaller ones go."""
    ids = np.zeros((5, 24, 24), np.uint8)
    ids[1:4, 4:20, 4:20] = 1
    ids[2, 7, 6:16] = 0  # ten voxels
    ids[2, 10, 6:15] = 0  # nine
    ids[1, 1, 1:11] = ids[1, 22, 1:10] = 1
    store(tmp_path / "a", ids, kind="labels")
    preset = Structure(name="x", largest_hole_nm3=10 * 125, smallest_nm3=10 * 125)
    label_volume(tmp_path / "a", tmp_path / "b", preset)
    expected = ids.copy()
    expected[2, 10, 6:15] = 1
    expected[1, 22, 1:10] = 0
    assert (read(tmp_path / "b") == expected).all()


def test_objects_that_are_cut_off_stay(tmp_path, rng):
    """By unlabelled voxels or the border: their true size is not known. Holes are as before."""
    mask = blobs(rng, sigma=0.8, share=0.25)
    unlabelled = ndimage.gaussian_filter(rng.random(SHAPE), 3)
    unlabelled = unlabelled > np.quantile(unlabelled, 0.8)
    labels = np.where(unlabelled, 65_535, mask).astype(np.uint16)
    store(tmp_path / "a", labels, kind="labels")
    label_volume(tmp_path / "a", tmp_path / "b", Structure(name="x", smallest_nm3=50 * 125))
    mask &= ~unlabelled
    remaining = large(mask, 50) | cut_off(mask, unlabelled)
    assert (read(tmp_path / "b") == np.where(unlabelled, 65_535, remaining)).all()
    assert large(mask, 50).sum() < remaining.sum() < mask.sum()


def test_one_that_touches_by_a_corner_is_whole(tmp_path):
    ids = np.zeros((7, 9, 9), np.uint8)
    ids[3, 3, 2] = ids[3, 6, 6] = 1
    ids[4, 4, 2] = 255  # by an edge
    ids[3, 6, 7] = 255  # by a face
    ids[5, 1:3, 1] = 1
    ids[6, 2, 1] = 2  # at the border; the object of another id beside it is whole
    store(tmp_path / "a", ids, kind="labels")
    label_volume(tmp_path / "a", tmp_path / "b", Structure(name="x", smallest_nm3=9 * 125))
    expected = ids.copy()
    expected[3, 3, 2] = 0
    expected[5, 1:3, 1] = 0
    assert (read(tmp_path / "b") == expected).all()


def test_segmentations_and_masks_drop_what_the_border_cuts(tmp_path):
    grey = np.full((9, 20, 20), 200, np.uint8)
    grey[0, 0, 0:4] = 100
    grey[2:7, 4:16, 4:16] = 100
    store(tmp_path / "raw", grey)
    config = MaskConfig(opening_nm=0, closing_nm=0, largest_hole_nm3=0, smallest_nm3=1e4)
    mask_volume(tmp_path / "raw", tmp_path / "mask", config=config)
    expected = (grey == 100) & large(grey == 100, 80)
    assert (read(tmp_path / "mask") == expected).all()
    store(tmp_path / "p", np.where(grey == 100, 155, 0).astype(np.uint8))
    segment_volume(tmp_path / "p", tmp_path / "s", min_size=80)
    assert (read(tmp_path / "s") == expected).all()


def test_large_ids_fill_holes_as_they_are(tmp_path):
    ids = np.full((3, 5, 20), 2**53 + 1, np.uint64)
    ids[1, 2, 1:19] = 0
    store(tmp_path / "a", ids, kind="labels")
    preset = Structure(name="x", largest_hole_nm3=30 * 125)
    label_volume(tmp_path / "a", tmp_path / "b", preset)
    assert (read(tmp_path / "b") == 2**53 + 1).all()


@pytest.mark.parametrize(("dtype", "outlier"), [(np.float32, 1e9), (np.uint32, 4 * 10**9)])
@pytest.mark.parametrize("roi", [None, ":,3:,:"])
def test_outliers_leave_the_contrast_alone(tmp_path, rng, dtype, outlier, roi):
    voxels = rng.normal(1000, 50, SHAPE).astype(dtype)
    voxels[0, 0, 0] = outlier
    found = store(tmp_path / "a", voxels, roi=roi).window
    expected = np.percentile(voxels.astype(float), [0.1, 99.9])
    assert np.allclose(found, expected, atol=1)


def test_instances(tmp_path, rng):
    mask = blobs(rng, sigma=1)
    store(tmp_path / "a", mask.astype(np.uint8), kind="labels")
    label_instances(tmp_path / "a", tmp_path / "i", min_size=5, size_table=tmp_path / "sizes.csv")
    expected, number = ndimage.label(large(mask, 5))
    assert number > 10
    assert (read(tmp_path / "i") == expected).all()
    table = np.genfromtxt(tmp_path / "sizes.csv", delimiter=",", names=True)
    assert (table["id"] == np.arange(1, number + 1)).all()
    assert (table["voxels"] == np.bincount(expected.ravel())[1:]).all()
    assert np.allclose(table["volume_nm3"], table["voxels"] * 125)


def test_segment_drops_objects_that_are_small_in_all(tmp_path, rng):
    mask = blobs(rng)
    store(tmp_path / "p", mask.astype(np.uint8) * 200)
    segment_volume(tmp_path / "p", tmp_path / "s", min_size=40)
    assert (read(tmp_path / "s") == large(mask, 40)).all()
