import json

import numpy as np
import pytest
import zarr
from numcodecs import BZ2, LZMA, Blosc, GZip, Zlib, Zstd
from zarr.codecs import BloscCodec, GzipCodec, TransposeCodec, ZstdCodec

from asem.volume.address import Address
from asem.volume.formats.detect import format_name, open_source_image
from asem.volume.formats.source_image import LabelValues, SourceOptions
from asem.volume.ngff import open_image
from asem.volume.sources import open_labels, open_source, open_volume
from chunked import add_attributes, write_zarr


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 255, (9, 17, 12)).astype(np.uint8)


@pytest.fixture(params=[2, 3])
def zarr_format(request):
    return request.param


def opened(folder, **options):
    return open_source_image(Address(str(folder)), SourceOptions(**options))


def placed(folder):
    level = opened(folder).levels[0]
    return level.voxel_size, level.offset_nm


def read(folder, **options):
    return opened(folder, **options).levels[0].array[:, :, :]


@pytest.mark.parametrize(
    "name",
    [
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
        "float16", "float32", "float64",
    ],
)  # fmt: skip
def test_dtypes(tmp_path, rng, name, zarr_format):
    voxels = (rng.random((9, 10, 11)) * 3).astype(name)
    folder = write_zarr(tmp_path / "a", voxels, zarr_format=zarr_format)
    array = opened(folder).levels[0].array
    assert format_name(Address(str(folder))) == "Zarr"
    assert array.dtype == np.dtype(name)
    assert np.array_equal(array[2:7, 1:9, 3:], voxels[2:7, 1:9, 3:])


@pytest.mark.parametrize("name", [">u2", ">i4", ">f8", "<u8", ">f2"])
def test_byte_orders(tmp_path, rng, name):
    voxels = (rng.random((9, 10, 11)) * 1000).astype(name)
    array = opened(write_zarr(tmp_path / "a", voxels)).levels[0].array
    assert array.dtype == np.dtype(name).newbyteorder("=")
    assert np.array_equal(array[:, :, :], voxels)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("separator", [".", "/"])
def test_order_and_separator(tmp_path, voxels, order, separator):
    keys = {"name": "v2", "separator": separator}
    folder = write_zarr(tmp_path / "a", voxels, order=order, chunk_key_encoding=keys)
    assert np.array_equal(read(folder), voxels)


@pytest.mark.parametrize(
    "compressor",
    [None, GZip(), Zlib(), BZ2(), Zstd(), Blosc("zstd"), Blosc("lz4", shuffle=Blosc.BITSHUFFLE)],
    ids=str,
)
def test_codecs_of_zarr_2(tmp_path, voxels, compressor):
    folder = write_zarr(tmp_path / "a", voxels, compressors=compressor)
    assert np.array_equal(read(folder), voxels)


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": None},
        {"compressors": [GzipCodec()]},
        {"compressors": [ZstdCodec()]},
        {"compressors": [BloscCodec(cname="lz4")]},
        {"filters": [TransposeCodec(order=(2, 1, 0))]},
        {"shards": (16, 16, 16)},
    ],
    ids=["raw", "gzip", "zstd", "blosc", "transpose", "shards"],
)
def test_codecs_of_zarr_3(tmp_path, voxels, options):
    folder = write_zarr(tmp_path / "a", voxels.astype(np.uint16), zarr_format=3, **options)
    assert np.array_equal(read(folder), voxels)


def test_unknown_codec(tmp_path, voxels):
    folder = write_zarr(tmp_path / "a", voxels, compressors=LZMA())
    with pytest.raises(ValueError, match=r"a cannot be read: .*lzma") as error:
        opened(folder)
    assert "\n" not in str(error.value)


def test_offset_is_a_corner(tmp_path, voxels, zarr_format):
    """The paper's bucket and gunpowder: resolution and offset."""
    attributes = {"resolution": [5, 4, 4], "offset": [500, 40, 12]}
    folder = tmp_path / "cell.zarr/volumes/raw_equalized_0.02"
    write_zarr(folder, voxels, attributes, zarr_format=zarr_format)
    assert placed(folder) == ((5.0, 4.0, 4.0), (502.5, 42.0, 14.0))
    assert opened(folder).kind is None
    volume = open_volume(folder)
    assert (volume.kind, volume.offset_nm) == ("image", (502.5, 42.0, 14.0))


def test_funlib(tmp_path, voxels):
    attributes = {
        "axis_names": ["c0^", "z", "y", "x"], "units": ["nm", "um", "nm"],
        "voxel_size": [5.24, 4, 4], "offset": [0, 1, -8],
    }  # fmt: skip
    folder = write_zarr(tmp_path / "a", voxels[None], attributes)
    assert placed(folder) == ((5.24, 4000.0, 4.0), (2.62, 3000.0, -6.0))
    assert np.array_equal(read(folder), voxels)


def test_missing_offset_is_a_corner_at_zero(tmp_path, voxels):
    folder = write_zarr(tmp_path / "a", voxels, {"resolution": [5.24, 4, 4]})
    assert placed(folder) == ((5.24, 4.0, 4.0), (2.62, 2.0, 2.0))
    assert open_source(folder).offset_nm == (2.62, 2.0, 2.0)
    volume = open_source(folder, offset_nm=(1.0, 2.0, 3.0))
    assert volume.offset_nm == (1.0, 2.0, 3.0)
    folder = write_zarr(tmp_path / "b", voxels, {"resolution": [5.24, 4, 4], "offset": [0, 0, 0]})
    with pytest.raises(ValueError, match="states its own offset; give none"):
        open_source(folder, offset_nm=(1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"voxel_size": [1, 1, 1], "units": ["", "", ""], "offset": [0, 0, 0]},
        {"voxel_size": [5, 4, 4], "units": ["pixel", "nm", "nm"]},
    ],
)
def test_no_voxel_size(tmp_path, voxels, attributes):
    folder = write_zarr(tmp_path / "a", voxels, attributes)
    with pytest.raises(ValueError, match=r"does not state its voxel size.*; give --voxel-size"):
        open_source(folder)
    with pytest.raises(ValueError, match=r"\(Zarr\) does not state its voxel size"):
        open_volume(folder)
    volume = open_source(folder, voxel_size=(5.0, 4.0, 4.0), offset_nm=(1.0, 2.0, 3.0))
    assert volume.offset_nm == (1.0, 2.0, 3.0)


def test_axes_by_name(tmp_path, voxels):
    attributes = {"axis_names": ["x", "y", "z"], "voxel_size": [4, 3, 5], "offset": [8, 6, 10]}
    folder = write_zarr(tmp_path / "a", voxels.transpose(), attributes)
    assert np.array_equal(read(folder), voxels)
    assert placed(folder) == ((5.0, 3.0, 4.0), (12.5, 7.5, 10.0))


def test_names_of_xarray_and_of_zarr_3(tmp_path, voxels):
    names = ("channel", "y", "x", "z")
    stored = voxels.transpose(1, 2, 0)[None]
    folder = write_zarr(tmp_path / "a", stored, {"_ARRAY_DIMENSIONS": list(names)})
    assert np.array_equal(read(folder), voxels)
    folder = write_zarr(tmp_path / "b", stored, zarr_format=3, dimension_names=names)
    assert np.array_equal(read(folder), voxels)
    folder = write_zarr(tmp_path / "c", voxels, {"_ARRAY_DIMENSIONS": ["dim_0", "dim_1", "dim_2"]})
    assert np.array_equal(read(folder), voxels)


def test_transform_of_cosem(tmp_path, voxels):
    transform = {
        "axes": ["z", "y", "x"], "units": ["nm"] * 3, "scale": [5.24, 4.0, 4.0],
        "translate": [100.0, 20.0, 3.0],
    }  # fmt: skip
    folder = write_zarr(tmp_path / "a", voxels, {"transform": transform, "resolution": [1, 1, 1]})
    assert placed(folder) == ((5.24, 4.0, 4.0), (100.0, 20.0, 3.0))


def test_channels(tmp_path, voxels):
    stored = np.stack([voxels, 255 - voxels])
    folder = write_zarr(tmp_path / "a", stored, {"resolution": [5, 4, 4]})
    with pytest.raises(ValueError, match=r"has the channels 0, 1; choose one with --channel"):
        opened(folder)
    assert np.array_equal(read(folder, channel="1"), 255 - voxels)
    folder = write_zarr(tmp_path / "times", np.stack([stored, stored]))
    with pytest.raises(ValueError, match=r"is a time series of 2 points; save one of them"):
        opened(folder, channel="0")
    folder = write_zarr(tmp_path / "rgb", stored, {"axis_names": ["rgb", "z", "y", "x"]})
    with pytest.raises(ValueError, match=r"shape \(2, 9, 17, 12\); a volume has three axes"):
        opened(folder)


def test_labels_of_the_paper(tmp_path, voxels):
    attributes = {"resolution": [5, 4, 4], "offset": [0, 0, 0]}
    folder = tmp_path / "cell.zarr/volumes/labels/mito"
    write_zarr(folder, voxels.astype(np.uint64), attributes)
    labels = open_labels(folder)
    assert (labels.kind, labels.dtype) == ("labels", np.uint64)


def test_annotation_of_cellmap(tmp_path, voxels):
    encoding = {"unknown": 255, "absent": 0, "present": 1}
    annotation = {"annotation_type": {"type": "semantic_segmentation", "encoding": encoding}}
    folder = write_zarr(tmp_path / "a", voxels, {"cellmap": {"annotation": annotation}})
    image = opened(folder)
    assert (image.kind, image.label_values) == ("labels", LabelValues((0,), (255,)))


def test_present_that_would_be_read_as_unlabelled(tmp_path, voxels):
    annotation = {"annotation_type": {"encoding": {"absent": 0, "present": 255}}}
    folder = write_zarr(tmp_path / "a", voxels, {"cellmap": {"annotation": annotation}})
    with pytest.raises(ValueError, match=r"has the value 255 where its structure is present"):
        opened(folder)


@pytest.mark.parametrize("attributes", [[], {"annotation": 1}, {"annotation": {}}])
def test_incomplete_annotation(tmp_path, voxels, attributes):
    folder = write_zarr(tmp_path / "a", voxels, {"cellmap": attributes})
    assert opened(folder).label_values is None


def test_annotation_of_an_image_of_ome_zarr(tmp_path, voxels, zarr_format):
    """Crops of CellMap are images of OME-Zarr."""
    encoding = {"unknown": 0, "absent": 2, "present": 1}
    annotation = {"annotation_type": {"type": "instance_segmentation", "encoding": encoding}}
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    scale = {"type": "scale", "scale": [8.0, 8.0, 8.0]}
    multiscales = [
        {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": [scale]}]}
    ]
    write_zarr(tmp_path / "crop/s0", voxels, zarr_format=zarr_format)
    group = zarr.open_group(str(tmp_path / "crop"), mode="a", zarr_format=zarr_format)
    if zarr_format == 2:
        group.attrs["multiscales"] = [multiscales[0] | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    group.attrs["cellmap"] = {"annotation": annotation}
    for address in ("crop", "crop/s0"):
        image = opened(tmp_path / address)
        assert (image.kind, image.label_values) == ("labels", LabelValues((2,), (0,)))


def test_level_of_an_image_of_asem(cell):
    whole = open_image(cell / "cell.zarr/raw")
    level = open_volume(cell / "cell.zarr/raw/0")
    assert (level.voxel_size, level.offset_nm) == (whole.voxel_size, whole.offset_nm)
    assert level.window == whole.window
    assert np.array_equal(level.read(level.roi), whole.read(whole.roi))
    second = open_volume(cell / "cell.zarr/raw/1")
    assert second.voxel_size == (20.0, 20.0, 20.0)
    assert second.offset_nm == (5.0, 5.0, 5.0)
    assert open_labels(cell / "cell.zarr/labels/mito/0").kind == "labels"


def test_level_of_an_image_of_ome_zarr_0_4(tmp_path, voxels):
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    steps = [
        {"type": "scale", "scale": [5.24, 4.0, 4.0]},
        {"type": "translation", "translation": [10.0, 20.0, 30.0]},
    ]
    dataset = {"path": "scale0/image", "coordinateTransformations": steps}
    multiscales = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    write_zarr(tmp_path / "a.zarr/scale0/image", voxels, {"resolution": [1, 1, 1]})
    zarr.open_group(str(tmp_path / "a.zarr"), mode="a", zarr_format=2)
    add_attributes(tmp_path / "a.zarr/.zattrs", {"multiscales": multiscales})
    assert placed(tmp_path / "a.zarr/scale0/image") == ((5.24, 4.0, 4.0), (10.0, 20.0, 30.0))
    write_zarr(tmp_path / "a.zarr/other", voxels, {"resolution": [1, 1, 1]})
    assert placed(tmp_path / "a.zarr/other") == ((1.0, 1.0, 1.0), (0.5, 0.5, 0.5))


def test_unfinished_output_is_refused(tmp_path, voxels):
    write_zarr(tmp_path / "out/0", voxels)
    (tmp_path / "out/.asem").mkdir()
    (tmp_path / "out/.asem/journal.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"out is unfinished; run the same command again"):
        opened(tmp_path / "out/0")


def test_inversion_is_for_tiff(tmp_path, voxels):
    with pytest.raises(ValueError, match="is Zarr; --invert is for TIFF"):
        opened(write_zarr(tmp_path / "a", voxels), invert=True)


def test_truncated_chunk(tmp_path, voxels, zarr_format):
    folder = write_zarr(tmp_path / "a", voxels, zarr_format=zarr_format)
    chunk = folder / ("0.0.0" if zarr_format == 2 else "c/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[:10])
    with pytest.raises(ValueError, match=r"a cannot be read: ") as error:
        read(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"shape": [10**6] * 3}, r"1e\+18 voxels; at most 1e\+16 are read"),
        ({"shape": [10**4] * 3, "chunks": [10**4] * 3}, "has chunks of 10000 x 10000 x 10000"),
        ({"shape": [-1, 2, 3]}, "a cannot be read"),
        ({"dtype": "<c8"}, "a holds complex64"),
        ({"dtype": [["r", "|u1"], ["g", "|u1"]]}, "a cannot be read"),
        ({"dtype": "object"}, "a cannot be read"),
        ({"chunks": None}, "a cannot be read"),
        ({"shape": [9, 17, 0]}, "and therefore no voxel"),
    ],
)
def test_damaged_metadata(tmp_path, voxels, metadata, message):
    folder = write_zarr(tmp_path / "a", voxels)
    add_attributes(folder / ".zarray", metadata | {"fill_value": None})
    with pytest.raises(ValueError, match=message) as error:
        opened(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"resolution": "5 nm"}, "its resolution is '5 nm'; it must be a list of numbers"),
        ({"resolution": [5, 4]}, r"attributes list 2 values for the axes \(z, y, x\)"),
        ({"resolution": [5, 4, 4], "offset": [1]}, "attributes list 1 values"),
        ({"resolution": [5, 4, 4], "offset": {"z": 1}}, "its offset is"),
        ({"resolution": [5, 4, 4], "units": ["nm"]}, "attributes list 1 values"),
    ],
)
def test_damaged_attributes(tmp_path, voxels, attributes, message):
    folder = write_zarr(tmp_path / "a", voxels, attributes)
    with pytest.raises(ValueError, match=message):
        opened(folder)


def test_zarr_json_that_is_damaged(tmp_path, voxels):
    folder = write_zarr(tmp_path / "a", voxels, zarr_format=3)
    document = json.loads((folder / "zarr.json").read_text())
    (folder / "zarr.json").write_text(json.dumps(document | {"codecs": [{"name": "lossy"}]}))
    with pytest.raises(ValueError, match=r"a cannot be read: .*lossy"):
        opened(folder)
    (folder / "zarr.json").write_text("{")
    with pytest.raises(ValueError, match=r"zarr.json is damaged"):
        opened(folder)


def test_colours_as_the_last_axis(tmp_path, voxels):
    stored = np.stack([voxels, 255 - voxels, voxels], axis=-1)
    folder = write_zarr(tmp_path / "a", stored, {"resolution": [5, 4, 4]})
    with pytest.raises(ValueError, match=r"has the channels 0, 1, 2; choose one with --channel"):
        opened(folder)
    assert np.array_equal(read(folder, channel="1"), 255 - voxels)


def test_many_channels_are_counted(tmp_path):
    folder = write_zarr(tmp_path / "a", np.zeros((61, 2, 3, 5), np.uint8))
    with pytest.raises(ValueError, match=r"channels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 51 more; "):
        opened(folder)
