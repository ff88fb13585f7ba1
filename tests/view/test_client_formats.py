"""Which local images the client reads by itself, and what it is served of them."""

import json

import numpy as np
import pytest
import tensorstore as ts

from asem.view import client_formats
from asem.view.client_formats import find_client_image
from asem.view.layers import place_image
from asem.volume.sources import open_levels
from view_cells import write_image

NM = {"units": ["nm"] * 3, "scale": [5.0, 4.0, 3.0], "translate": [0.0, 0.0, 0.0]}


def create(path, driver, **metadata):
    """Write an array of zeros, without chunks, as another program would; (z, y, x)."""
    kvstore = {"driver": "file", "path": f"{path}/"}
    spec = {"driver": driver, "kvstore": kvstore, "metadata": metadata, "create": True}
    ts.open(spec).result()
    document = path / (".zattrs" if driver == "zarr" else "attributes.json")
    attributes = json.loads(document.read_text()) if document.exists() else {}
    axes = "zyx" if driver == "zarr" else "xyz"
    transform = {**NM, "axes": list(axes)}
    if driver == "n5":
        transform |= {"scale": NM["scale"][::-1]}
    document.write_text(json.dumps({**attributes, "transform": transform}))
    return find_client_image(open_levels(path))


def zarr2(path, **changes):
    metadata = {
        "shape": [20, 30, 40], "chunks": [8, 8, 8], "dtype": "<u2",
        "compressor": {"id": "zlib", "level": 1}, "dimension_separator": "/",
    }  # fmt: skip
    return create(path, "zarr", **{**metadata, **changes})


def n5(path, **changes):
    metadata = {
        "dimensions": [40, 30, 20], "blockSize": [8, 8, 8], "dataType": "uint16",
        "compression": {"type": "gzip"},
    }  # fmt: skip
    return create(path, "n5", **{**metadata, **changes})


def document(image, key):
    content = image.source.open(key)
    return json.loads(content.read(0, content.size))


def test_an_array_is_served_as_an_image_of_one_level(tmp_path):
    image = zarr2(tmp_path / "a")
    (multiscale,) = document(image, ".zattrs")["multiscales"]
    (level,) = multiscale["datasets"]
    scale, translation = level["coordinateTransformations"]
    assert (scale["scale"], translation["translation"]) == ([5, 4, 3], [2.5, 2, 1.5])
    assert document(image, "0/.zarray")["chunks"] == [8, 8, 8]
    assert image.source.open("0/0/0/0") is None  # not stored: zeros
    (tmp_path / "a/0/0").mkdir(parents=True)
    (tmp_path / "a/0/0/0").write_bytes(b"chunk")
    content = image.source.open("0/0/0/0")
    assert content.size == 5
    content.close()


def test_n5_has_its_axes_in_the_order_x_y_z(tmp_path):
    image = n5(tmp_path / "a")
    assert (image.format, image.axes) == ("n5", ("x", "y", "z"))
    attributes = document(image, "attributes.json")
    assert (attributes["resolution"], attributes["scales"]) == ([3, 4, 5], [[1, 1, 1]])
    (volume,) = open_levels(tmp_path / "a")
    assert place_image(image, volume).origin_nm == [-1.5, -2, -2.5]
    assert "transform" not in document(image, "s0/attributes.json")


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (zarr2, {"compressor": {"id": "bz2", "level": 1}}),
        (zarr2, {"dtype": "<i8"}),
        (zarr2, {"dtype": "<f8"}),
        (zarr2, {"dtype": "<f2"}),
        (zarr2, {"dtype": "|b1"}),
        (zarr2, {"shape": [1, 20, 30, 40], "chunks": [1, 8, 8, 8]}),
        (n5, {"compression": {"type": "xz"}}),
        (n5, {"dataType": "int64"}),
    ],
)
def test_what_the_client_cannot_read(tmp_path, make, changes):
    assert make(tmp_path / "a", **changes) is None


def test_large_chunks_are_read_here(tmp_path, monkeypatch):
    monkeypatch.setattr(client_formats, "MAX_CHUNK_BYTES", 8**3 * 2)
    assert zarr2(tmp_path / "a") is not None
    assert zarr2(tmp_path / "b", chunks=[8, 8, 9]) is None


def test_zarr_3_lists_its_codecs_within_shards(known_cell):
    (first, *_) = levels = open_levels(known_cell / "raw")
    image = find_client_image(levels)
    array = document(image, "0/zarr.json")
    names = client_formats._codec_names(array["codecs"])
    assert names == ["sharding_indexed", "bytes", "blosc", "crc32c", "bytes", "crc32c"]
    assert find_client_image([first.with_array(np.zeros(first.shape))]) is None
    stored = client_formats._find_stored(first)
    stored.metadata["codecs"][0]["configuration"]["codecs"][1]["name"] = "numcodecs.lzma"
    assert client_formats.MAKERS["zarr3"]([first], [stored]) is None


def test_no_level_ends_behind_the_finest_one(tmp_path):
    image = write_image(tmp_path / "a", np.ones((33, 64, 65), np.uint8), voxel_nm=(4, 4, 4))
    levels = open_levels(image)
    assert [level.shape for level in levels] == [(33, 64, 65), (17, 32, 33)]
    client = find_client_image(levels)
    served = [document(client, f"{number}/zarr.json")["shape"] for number in range(2)]
    assert served == [[33, 64, 65], [16, 32, 32]]


def test_levels_of_n5_that_start_elsewhere_are_read_here(known_cell):
    fine, coarse = open_levels(known_cell / "raw")[:2]
    assert client_formats.is_corner_aligned(fine, coarse)
    shifted = coarse.with_array(coarse.array, offset_nm=fine.offset_nm)
    assert not client_formats.is_corner_aligned(fine, shifted)


def precomputed(path, offsets):
    """Write levels of 8 x 8 x 8 and 4 x 4 x 4 voxels with these offsets; each has one chunk."""
    for number, offset in enumerate(offsets):
        edge, size = 8 >> number, 4.0 * 2**number
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{path}/"},
            "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
            "scale_metadata": {
                "size": [edge] * 3, "resolution": [size] * 3, "chunk_size": [8] * 3,
                "encoding": "raw", "voxel_offset": [offset] * 3, "key": f"s{number}",
            },
        }  # fmt: skip
        store = ts.open(spec, create=True).result()
        store[...] = np.full((edge,) * 3 + (1,), number + 1, np.uint8)
    levels = open_levels(path)
    return levels, find_client_image(levels)


def read_byte(image, key):
    content = image.source.open(key)
    if content is None:
        return None
    try:
        return content.read(0, 1)[0]
    finally:
        content.close()


def test_levels_of_precomputed_volumes_start_together(tmp_path):
    _, image = precomputed(tmp_path / "a", (-6, -3))
    assert [scale["voxel_offset"] for scale in document(image, "info")["scales"]] == [[0] * 3] * 2
    assert (read_byte(image, "s0/0-8_0-8_0-8"), read_byte(image, "s1/0-4_0-4_0-4")) == (1, 2)
    for key in ("s0/-6-2_-6-2_-6-2", "s0/8-16_0-8_0-8", "s2/0-8_0-8_0-8", "s0/../s0/0-8_0-8_0-8"):
        assert image.source.open(key) is None


def test_levels_of_precomputed_volumes_that_do_not_are_left_as_they_are(tmp_path):
    levels, image = precomputed(tmp_path / "a", (5, 2))  # from 20 and from 16 nm
    assert [scale["voxel_offset"][0] for scale in document(image, "info")["scales"]] == [5, 2]
    assert read_byte(image, "s1/2-6_2-6_2-6") == 2
    place = place_image(image, levels[0]).to_json()
    scale = place["inputDimensions"]["x"][0] * 1e9
    centres = [voxel * scale + place["matrix"][0][3] for voxel in (5.5, 2 * 2.5)]
    assert centres == pytest.approx([level.offset_nm[2] for level in levels])
