"""Zarr arrays with the coordinate arrays of xarray."""

import numpy as np
import pytest

from asem.cli import main
from asem.volume.address import Address
from asem.volume.formats.detect import find_images, open_source_image
from asem.volume.sources import open_source, open_volume
from chunked import write_zarr
from remote_servers import serve_files

SHAPE = (9, 17, 12)
START = {"z": 520.0, "y": -100.0, "x": 40.5}
STEP = {"z": 5.24, "y": 4.0, "x": 3.97}


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 255, SHAPE).astype(np.uint8)


def write_dataset(folder, voxels, order="zyx", *, zarr_format=2, unit="nm", names=str):
    """Write voxels (z, y, x) in an order of axes, and its coordinates, as xarray does."""
    stored = voxels.transpose(["zyx".index(axis) for axis in order])
    write_array(folder / "em", stored, list(map(names, order)), {}, zarr_format)
    for axis, size in zip("zyx", voxels.shape, strict=True):
        coordinates = START[axis] + STEP[axis] * np.arange(size)
        write_array(folder / names(axis), coordinates, [names(axis)], {"units": unit}, zarr_format)
    return folder / "em"


def write_array(folder, voxels, dimensions, attributes, zarr_format):
    if zarr_format == 3:
        write_zarr(folder, voxels, attributes, zarr_format=3, dimension_names=dimensions)
    else:
        write_zarr(folder, voxels, attributes | {"_ARRAY_DIMENSIONS": dimensions})


def level_of(folder):
    return open_source_image(Address.parse(str(folder))).levels[0]


def is_not_placed(folder):
    level = level_of(folder)
    return level.voxel_size == (None, None, None) and level.offset_nm is None


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("order", ["zyx", "xyz", "yxz"])
def test_coordinates_are_centres(tmp_path, voxels, order, zarr_format):
    volume = open_volume(write_dataset(tmp_path / "a", voxels, order, zarr_format=zarr_format))
    assert volume.voxel_size == (5.24, 4.0, 3.97)
    assert volume.offset_nm == (520.0, -100.0, 40.5)
    assert volume.position_nm((8, 0, 0)) == pytest.approx((520 + 8 * 5.24, -100.0, 40.5))
    assert np.array_equal(volume.read(volume.roi), voxels)


@pytest.mark.parametrize(("unit", "factor"), [("um", 1e3), ("nanometer", 1.0)])
def test_units(tmp_path, voxels, unit, factor):
    level = level_of(write_dataset(tmp_path / "a", voxels, unit=unit))
    assert level.voxel_size == pytest.approx((5.24 * factor, 4.0 * factor, 3.97 * factor))


@pytest.mark.parametrize("unit", [None, "", "pixel", 5])
def test_without_a_unit_of_length_they_state_nothing(tmp_path, voxels, unit):
    assert is_not_placed(write_dataset(tmp_path / "a", voxels, unit=unit))


@pytest.mark.parametrize(
    "coordinates",
    [
        np.arange(9)[::-1] * 4.0,
        np.arange(9) ** 2.0,
        np.arange(8) * 4.0,
        np.full(9, np.nan),
        np.zeros(9),
        np.zeros((9, 1)),
    ],
    ids=["decreasing", "uneven", "too few", "not a number", "equal", "two axes"],
)
def test_coordinates_that_place_no_voxels(tmp_path, voxels, coordinates):
    folder = write_dataset(tmp_path / "a", voxels)
    write_zarr(tmp_path / "a/z", coordinates, {"units": "nm"}, overwrite=True)
    assert is_not_placed(folder)


def test_names_of_axes_must_be_of_the_same_group(tmp_path, voxels):
    write_dataset(tmp_path / "a", voxels)
    names = ["../a/z", "../a/y", "../a/x"]
    write_array(tmp_path / "a/other", voxels, names, {}, 2)
    assert is_not_placed(tmp_path / "a/other")
    assert level_of(write_dataset(tmp_path / "b", voxels, names=str.upper)).voxel_size[0] == 5.24


def test_attributes_come_first(tmp_path, voxels):
    folder = tmp_path / "a"
    write_dataset(folder, voxels)
    attributes = {"resolution": [1, 2, 3], "_ARRAY_DIMENSIONS": ["z", "y", "x"]}
    write_zarr(folder / "em", voxels, attributes, overwrite=True)
    assert level_of(folder / "em").voxel_size == (1.0, 2.0, 3.0)


def test_coordinates_are_not_listed_as_images(tmp_path, voxels, capsys):
    write_dataset(tmp_path / "a", voxels)
    listed = find_images(Address(str(tmp_path / "a"))).addresses
    assert [address.name for address in listed] == ["em"]
    assert main(["info", str(tmp_path / "a/z")]) == 2
    assert "a/z has 1 axes" in capsys.readouterr().err


def test_a_web_server(tmp_path, voxels):
    write_dataset(tmp_path / "a", voxels)
    with serve_files(tmp_path) as server:
        volume = open_source(f"{server.url}/a/em")
        assert (volume.voxel_size, volume.offset_nm) == ((5.24, 4.0, 3.97), (520.0, -100.0, 40.5))
