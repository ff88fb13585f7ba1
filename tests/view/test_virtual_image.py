"""Chunks of images that the client cannot read: their voxels, and nothing but them."""

import json
import urllib.request

import numpy as np
import pytest
import tifffile

from asem.view import virtual_image
from asem.view.client_formats import find_client_image
from asem.view.open_view import open_view
from asem.view.virtual_image import VirtualImage
from asem.volume.sources import open_levels
from asem.volume.volume import Volume
from remote_servers import serve_files
from view_cells import draw_raw

SIZE = (8.0, 4.0, 4.0)


class CountingArray:
    """An array that stores the largest number of voxels that was read at a time."""

    def __init__(self, voxels):
        self.voxels, self.largest = voxels, 0
        self.shape, self.dtype = voxels.shape, voxels.dtype

    def __getitem__(self, index):
        found = self.voxels[index]
        self.largest = max(self.largest, found.size)
        return found


def read_all(image, number):
    """Read a scale as the client does, by the chunks of ``info``."""
    content = image.open("info")
    info = json.loads(content.read(0, content.size))
    scale = info["scales"][number]
    (chunk,) = scale["chunk_sizes"]
    out = np.zeros(scale["size"][::-1], info["data_type"])
    for z, y, x in np.ndindex(*(-(-n // c) for n, c in zip(out.shape, chunk[::-1], strict=True))):
        start = np.array([x, y, z]) * chunk
        stop = np.minimum(start + chunk, scale["size"])
        name = "_".join(f"{a}-{b}" for a, b in zip(start, stop, strict=True))
        content = image.open(f"{scale['key']}/{name}")
        slices = tuple(slice(a, b) for a, b in zip(start[::-1], stop[::-1], strict=True))
        block = np.frombuffer(content.read(0, content.size), out.dtype)
        out[slices] = block.reshape(out[slices].shape)
    return scale, out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64, np.int64])
def test_chunks_are_the_voxels_and_those_at_centres(rng, dtype):
    voxels = (rng.random((31, 70, 300)) * 200).astype(dtype)
    array = CountingArray(voxels)
    image = VirtualImage([Volume(array, SIZE, (3.0, 2.0, 1.0))])
    scale, finest = read_all(image, 0)
    assert np.array_equal(finest, voxels.astype(finest.dtype))
    assert finest.dtype == (dtype if np.dtype(dtype).itemsize <= 2 else np.float32)
    scale, coarse = read_all(image, 1)
    assert scale["resolution"] == [8, 8, 8]
    assert np.array_equal(coarse, voxels[:, 1::2, 1::2].astype(coarse.dtype))
    scale, coarser = read_all(image, 2)
    assert scale["resolution"] == [16, 16, 16]
    places = [np.minimum(np.arange(n) * step + step // 2, last) for n, step, last in (
        (16, 2, 30), (18, 4, 69), (75, 4, 299),
    )]  # fmt: skip
    assert np.array_equal(coarser, voxels[np.ix_(*places)].astype(coarser.dtype))


def test_memory_of_a_chunk_is_bounded(monkeypatch):
    monkeypatch.setattr(virtual_image, "MAX_PIECE_BYTES", 2**14)
    voxels = np.arange(20 * 512 * 512, dtype=np.uint32).reshape(20, 512, 512)
    array = CountingArray(voxels)
    image = VirtualImage([Volume(array, (4.0, 4.0, 4.0))])
    _, coarse = read_all(image, 2)
    assert np.array_equal(coarse, voxels[2::4, 2::4, 2::4])
    assert array.largest * 4 <= 2**14


def test_only_chunks_of_the_grid_are_read():
    array = CountingArray(np.zeros((70, 70, 70), np.uint8))
    image = VirtualImage([Volume(array, (4.0, 4.0, 4.0))])
    assert image.open("0/64-70_0-64_0-64").size == 6 * 64 * 64
    array.largest = 0
    for key in (
        "0/0-65_0-64_0-64", "0/1-65_0-64_0-64", "0/64-128_0-64_0-64", "0/70-70_0-64_0-64",
        "0/128-128_0-64_0-64", "9/0-64_0-64_0-64", "0/0-64_0-64", "0/-64-0_0-64_0-64", "0/info",
        "0/0-64_0-64_0-64/", "0/\u0660-64_0-64_0-64", "",
    ):  # fmt: skip
        assert image.open(key) is None
    assert array.largest == 0


def test_levels_of_an_image_are_used_where_they_start_at_its_corner():
    fine = Volume(np.zeros((8, 8, 8), np.uint8), (4.0, 4.0, 4.0))
    same = Volume(np.ones((4, 4, 4), np.uint8), (8.0, 8.0, 8.0), (2.0, 2.0, 2.0))
    shifted = Volume(np.ones((4, 4, 4), np.uint8), (8.0, 8.0, 8.0))
    assert [scale.volume for scale in VirtualImage([fine, same]).scales] == [fine, same]
    assert [scale.volume for scale in VirtualImage([fine, shifted]).scales] == [fine]


def test_signed_labels_and_stacks_are_read_here(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros((4, 6, 8), np.uint8), metadata={
            "axes": "ZYX", "PhysicalSizeX": 4.0, "PhysicalSizeY": 4.0, "PhysicalSizeZ": 8.0,
            **{f"PhysicalSize{axis}Unit": "nm" for axis in "XYZ"},
        },
    )  # fmt: skip
    levels = open_levels(tmp_path / "a.ome.tif")
    assert find_client_image(levels) is None
    assert VirtualImage(levels).open("0/0-8_0-6_0-4").size == 4 * 6 * 8


def test_an_image_by_url_is_read_here(known_cell):
    with serve_files(known_cell) as web, open_view([f"{web.url}/raw"]) as view:
        (layer,) = view.state["layers"]
        assert layer["name"] == "raw"
        assert web.url not in json.dumps(view.state)
        key = "0-64_0-40_0-24"
        with urllib.request.urlopen(f"{view.server.data_url}/0/0/{key}") as response:
            voxels = np.frombuffer(response.read(), np.uint8).reshape(24, 40, 64)
    assert np.array_equal(voxels, draw_raw()[:, :, :64])
