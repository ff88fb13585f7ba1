import json

import numpy as np
import pytest

from asem.volume.address import Address
from asem.volume.formats.detect import format_name, open_source_image
from asem.volume.formats.source_image import LabelValues, SourceOptions
from asem.volume.sources import open_source, open_volume
from chunked import add_attributes, write_n5

SIZE_XYZ = [4.0, 4.0, 5.24]
COSEM = {
    "axes": ["z", "y", "x"],
    "units": ["nm", "nm", "nm"],
    "scale": [5.24, 4.0, 4.0],
    "translate": [100.0, 20.0, 3.0],
}


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 255, (9, 17, 12)).astype(np.uint8)


def opened(folder):
    return open_source_image(Address(str(folder)))


def placed(folder):
    level = opened(folder).levels[0]
    return level.voxel_size, level.offset_nm


def read(folder):
    return opened(folder).levels[0].array[:, :, :]


@pytest.mark.parametrize("compression", ["raw", "gzip", "bzip2", "xz", "blosc", "zstd"])
def test_axes_are_reversed(tmp_path, voxels, compression):
    folder = write_n5(tmp_path / "a", voxels, compression=compression)
    assert format_name(Address(str(folder))) == "N5"
    assert np.array_equal(read(folder), voxels)


@pytest.mark.parametrize(
    "name",
    [
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "int8",
        "int16",
        "int32",
        "int64",
        "float32",
        "float64",
    ],
)
def test_dtypes(tmp_path, rng, name):
    voxels = (rng.random((9, 10, 11)) * 100).astype(name)
    array = opened(write_n5(tmp_path / "a", voxels)).levels[0].array
    assert array.dtype == np.dtype(name)
    assert np.array_equal(array[2:7, 1:9, 3:], voxels[2:7, 1:9, 3:])


def test_transform_of_cosem(tmp_path, voxels):
    folder = write_n5(tmp_path / "s0", voxels, {"transform": COSEM})
    assert placed(folder) == ((5.24, 4.0, 4.0), (100.0, 20.0, 3.0))
    volume = open_volume(folder)
    assert volume.position_nm((1, 0, 2)) == (105.24, 20.0, 11.0)


@pytest.mark.parametrize("order", [{"order": "F"}, {"ordering": "F"}, {}])
def test_transform_in_the_order_of_n5(tmp_path, voxels, order):
    transform = {key: values[::-1] for key, values in COSEM.items()} | order
    folder = write_n5(tmp_path / "s0", voxels, {"transform": transform})
    assert placed(folder) == ((5.24, 4.0, 4.0), (100.0, 20.0, 3.0))
    assert np.array_equal(read(folder), voxels)


def test_stated_order_of_numpy_with_x_first_transposes(tmp_path, voxels):
    transform = {key: values[::-1] for key, values in COSEM.items()} | {"order": "C"}
    folder = write_n5(tmp_path / "s0", voxels, {"transform": transform})
    assert placed(folder) == ((5.24, 4.0, 4.0), (100.0, 20.0, 3.0))
    assert np.array_equal(read(folder), voxels.transpose())


def test_transform_before_pixel_resolution(tmp_path, voxels):
    other = {"pixelResolution": {"dimensions": [1.0, 1.0, 1.0], "unit": "nm"}}
    folder = write_n5(tmp_path / "s0", voxels, {"transform": COSEM} | other)
    assert placed(folder)[0] == (5.24, 4.0, 4.0)


def test_units_of_transform(tmp_path, voxels):
    transform = COSEM | {"units": ["um", "µm", "nm"]}
    folder = write_n5(tmp_path / "s0", voxels, {"transform": transform})
    assert placed(folder) == ((5240.0, 4000.0, 4.0), (100000.0, 20000.0, 3.0))
    transform = COSEM | {"units": ["pixel", "nm", "nm"]}
    folder = write_n5(tmp_path / "s1", voxels, {"transform": transform})
    assert placed(folder) == ((None, 4.0, 4.0), None)


def test_multiscales_of_the_group_place_an_array_without_attributes(tmp_path, voxels):
    group = tmp_path / "cell.n5/em/fibsem-uint8"
    shifted = COSEM | {"scale": [10.48, 8.0, 8.0], "translate": [102.62, 22.0, 5.0]}
    listed = [{"path": "s0", "transform": COSEM}, {"path": "s1", "transform": shifted}]
    write_n5(group / "s0", voxels)
    write_n5(group / "s1", voxels[::2, ::2, ::2].copy())
    add_attributes(group / "attributes.json", {"multiscales": [{"datasets": listed}]})
    image = opened(group)
    assert [level.voxel_size for level in image.levels] == [(5.24, 4.0, 4.0), (10.48, 8.0, 8.0)]
    assert image.levels[1].offset_nm == (102.62, 22.0, 5.0)
    assert placed(group / "s1") == ((10.48, 8.0, 8.0), (102.62, 22.0, 5.0))
    second = open_source_image(Address(str(group), level=1))
    assert np.array_equal(second.levels[0].array[:, :, :], voxels[::2, ::2, ::2])
    with pytest.raises(ValueError, match=r"it has 2 levels; the coarsest is #1"):
        open_source_image(Address(str(group), level=2))


def test_a_level_outside_of_its_group_is_not_read(tmp_path, voxels):
    write_n5(tmp_path / "secret/x", voxels)
    listed = [{"path": "../secret/x"}]
    add_attributes(tmp_path / "a/attributes.json", {"multiscales": [{"datasets": listed}]})
    with pytest.raises(ValueError, match=r"a names '../secret/x', which is not a path below it"):
        opened(tmp_path / "a")


def test_pixel_resolution(tmp_path, voxels):
    attributes = {"pixelResolution": {"dimensions": [0.004, 0.004, 0.00524], "unit": "um"}}
    size, offset = placed(write_n5(tmp_path / "a", voxels, attributes))
    assert size == pytest.approx((5.24, 4.0, 4.0))
    assert offset is None
    volume = open_source(tmp_path / "a", offset_nm=(1.0, 2.0, 3.0))
    assert volume.offset_nm == (1.0, 2.0, 3.0)


def test_pixel_resolution_as_a_list_is_micrometres(tmp_path, voxels):
    """n5-viewer (N5ExportMetadataReader): a list in each level, x the level's factors."""
    attributes = {"pixelResolution": [0.004, 0.004, 0.00524], "downsamplingFactors": [2, 1, 1]}
    size, offset = placed(write_n5(tmp_path / "a", voxels, attributes))
    assert size == pytest.approx((5.24, 4.0, 8.0))
    assert offset == pytest.approx((0.0, 0.0, 2.0))


def test_pixel_resolution_without_unit_is_no_voxel_size(tmp_path, voxels):
    folder = write_n5(tmp_path / "a", voxels, {"pixelResolution": {"dimensions": SIZE_XYZ}})
    with pytest.raises(ValueError, match="does not state its voxel size; give --voxel-size"):
        open_source(folder)
    with pytest.raises(ValueError, match=r"\(N5\) does not state its voxel size; first import it"):
        open_volume(folder)


def test_levels_of_big_data_viewer(tmp_path, voxels):
    """resolution in the group, downsamplingFactors in each level (bdv.n5, n5-viewer)."""
    group = tmp_path / "bdv.n5/setup0/timepoint0"
    add_attributes(group / "attributes.json", {"multiScale": True, "resolution": SIZE_XYZ})
    write_n5(group / "s0", voxels, {"downsamplingFactors": [1, 1, 1]})
    write_n5(group / "s1", voxels, {"downsamplingFactors": [2, 2, 1]})
    first, second = opened(group).levels
    assert (first.voxel_size, first.offset_nm) == ((5.24, 4.0, 4.0), None)
    # two voxels of 4 nm, whose centres are at 0 and 4 nm, have their common centre at 2 nm
    assert (second.voxel_size, second.offset_nm) == ((5.24, 8.0, 8.0), (0.0, 2.0, 2.0))
    assert placed(group / "s1") == ((5.24, 8.0, 8.0), (0.0, 2.0, 2.0))


def test_scales_of_the_group(tmp_path, voxels):
    """n5-viewer and neuroglancer: pixelResolution and scales in the group."""
    group = tmp_path / "cell.n5/c0"
    attributes = {
        "scales": [[1, 1, 1], [4, 2, 1]],
        "pixelResolution": {"dimensions": SIZE_XYZ, "unit": "nm"},
    }
    add_attributes(group / "attributes.json", attributes)
    write_n5(group / "s0", voxels)
    write_n5(group / "s1", voxels)
    assert placed(group / "s1") == ((5.24, 8.0, 16.0), (0.0, 2.0, 6.0))
    assert opened(group).levels[1].voxel_size == (5.24, 8.0, 16.0)
    assert open_source(group / "s1", offset_nm=(1.0, 2.0, 3.0)).offset_nm == (1.0, 2.0, 3.0)


def test_own_pixel_resolution_is_not_scaled_by_the_group(tmp_path, voxels):
    group = tmp_path / "cell.n5/em"
    add_attributes(group / "attributes.json", {"scales": [[1, 1, 1], [2, 2, 2]]})
    own = {"pixelResolution": {"dimensions": [8.0, 8.0, 10.48], "unit": "nm"}}
    assert placed(write_n5(group / "s1", voxels, own))[0] == (10.48, 8.0, 8.0)


def test_offset_of_funlib_is_a_corner(tmp_path, voxels):
    """funlib.persistence before 0.5 and CNNectome: resolution and offset, (x, y, z)."""
    attributes = {"resolution": [4, 4, 5], "offset": [12, 40, 500]}
    folder = write_n5(tmp_path / "a", voxels, attributes)
    assert placed(folder) == ((5.0, 4.0, 4.0), (502.5, 42.0, 14.0))


@pytest.mark.parametrize("key", ["resolution", "voxel_size"])
def test_missing_offset_of_funlib_is_a_corner_at_zero(tmp_path, voxels, key):
    attributes = {key: [4, 4, 4], "downsamplingFactors": [2, 1, 1]}
    folder = write_n5(tmp_path / "a", voxels, attributes)
    assert placed(folder) == ((4.0, 4.0, 8.0), (2.0, 2.0, 4.0))
    assert open_source(folder, offset_nm=(1.0, 2.0, 3.0)).offset_nm == (1.0, 2.0, 3.0)


def test_recent_funlib_does_not_reverse(tmp_path, voxels):
    attributes = {
        "voxel_size": [5, 4, 4], "offset": [500, 40, 12], "axis_names": ["z", "y", "x"],
        "units": ["nm", "nm", "nm"],
    }  # fmt: skip
    folder = write_n5(tmp_path / "a", voxels, attributes)
    assert placed(folder) == ((5.0, 4.0, 4.0), (502.5, 42.0, 14.0))


def test_offset_of_paintera_is_a_centre(tmp_path, voxels):
    group = tmp_path / "project.n5/mito"
    add_attributes(group / "attributes.json", {"painteraData": {"type": "label"}})
    data = {"multiScale": True, "resolution": SIZE_XYZ, "offset": [8.0, 4.0, 52.4]}
    add_attributes(group / "data/attributes.json", data)
    labels = voxels.astype(np.uint64)
    write_n5(group / "data/s0", labels)
    write_n5(group / "data/s1", labels, {"downsamplingFactors": [2, 2, 2]})
    image = opened(group)
    assert image.kind == "labels"
    assert image.levels[0].offset_nm == (52.4, 4.0, 8.0)
    assert image.levels[1].offset_nm == pytest.approx((55.02, 6.0, 10.0))


def test_labels_of_cosem(tmp_path, voxels):
    """absent and unknown of an annotation are stated beside the stored values."""
    encoding = {"unknown": 0, "absent": 254, "present": 1}
    annotation = {"annotation_type": {"type": "semantic_segmentation", "encoding": encoding}}
    attributes = {"transform": COSEM, "cellmap": {"annotation": annotation}}
    image = opened(write_n5(tmp_path / "s0", voxels, attributes))
    assert image.kind == "labels"
    assert image.label_values == LabelValues(background=(254,), unlabelled=(0,))
    assert np.array_equal(image.levels[0].array[:, :, :], voxels)
    folder = write_n5(tmp_path / "group/s0", voxels, {"transform": COSEM})
    add_attributes(tmp_path / "group/attributes.json", {"cellmap": {"annotation": annotation}})
    for address in (folder, tmp_path / "group"):
        assert opened(address).label_values == LabelValues(background=(254,), unlabelled=(0,))


@pytest.mark.parametrize(
    ("path", "dtype", "kind"),
    [
        ("c.n5/volumes/labels/all", np.uint8, "labels"),
        ("c.n5/labels/mito_seg/s0", np.uint16, "labels"),
        ("c.n5/labels/mito_pred/s0", np.uint8, None),
        ("c.n5/labels/mito/s0", np.uint64, "labels"),
        ("labels/c.n5/em/s0", np.uint32, None),
        ("c.n5/labels/distance", np.float32, None),
    ],
)
def test_kind_by_the_path(tmp_path, voxels, path, dtype, kind):
    assert opened(write_n5(tmp_path / path, voxels.astype(dtype))).kind == kind


def test_one_channel_is_dropped_and_several_are_selected(tmp_path, voxels):
    folder = write_n5(tmp_path / "one", voxels[None], {"resolution": [4.0, 4.0, 5.24]})
    assert np.array_equal(read(folder), voxels)
    assert placed(folder)[0] == (5.24, 4.0, 4.0)
    folder = write_n5(tmp_path / "two", np.stack([voxels, 255 - voxels]))
    with pytest.raises(ValueError, match=r"has the channels 0, 1; choose one with --channel"):
        opened(folder)
    image = open_source_image(Address(str(folder)), SourceOptions(channel="1"))
    assert np.array_equal(image.levels[0].array[:, :, :], 255 - voxels)
    folder = write_n5(tmp_path / "time", np.stack([voxels[None], voxels[None]]))
    with pytest.raises(ValueError, match=r"is a time series of 2 points; save one of them"):
        opened(folder)
    folder = write_n5(tmp_path / "plane", voxels[0])
    with pytest.raises(ValueError, match=r"has 2 axes, shape \(17, 12\); a volume has three"):
        opened(folder)


def test_inversion_is_for_tiff(tmp_path, voxels):
    folder = write_n5(tmp_path / "a", voxels)
    with pytest.raises(ValueError, match="is N5; --invert is for TIFF"):
        open_source_image(Address(str(folder)), SourceOptions(invert=True))


def test_missing_blocks_are_zero(tmp_path, voxels):
    folder = write_n5(tmp_path / "a", voxels)
    (folder / "0/0/0").unlink()
    expected = voxels.copy()
    expected[:8, :8, :8] = 0
    assert np.array_equal(read(folder), expected)


def test_compression_type_of_n5_1(tmp_path, voxels):
    folder = write_n5(tmp_path / "a", voxels)
    document = json.loads((folder / "attributes.json").read_text())
    del document["compression"]
    (folder / "attributes.json").write_text(json.dumps(document | {"compressionType": "gzip"}))
    assert np.array_equal(read(folder), voxels)


def test_group_without_attributes(tmp_path, voxels):
    """A group of N5 needs no document."""
    write_n5(tmp_path / "g/s0", voxels, {"transform": COSEM})
    assert np.array_equal(read(tmp_path / "g"), voxels)
    assert placed(tmp_path / "g") == ((5.24, 4.0, 4.0), (100.0, 20.0, 3.0))


def test_identity_changes_with_the_attributes(tmp_path, voxels):
    group = tmp_path / "g"
    write_n5(group / "s0", voxels)
    before = opened(group).identity
    assert opened(group).identity == before
    add_attributes(group / "s0/attributes.json", {"resolution": [4.0, 4.0, 4.0]})
    assert opened(group).identity != before


def test_truncated_block(tmp_path, voxels):
    folder = write_n5(tmp_path / "a", voxels)
    block = folder / "0/0/0"
    block.write_bytes(block.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"a cannot be read: .*") as error:
        read(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"compression": {"type": "lossy"}}, "lossy"),
        ({"dataType": "uint7"}, "uint7"),
        ({"blockSize": [4, 4]}, "a cannot be read"),
        ({"dimensions": "many"}, "a cannot be read"),
        ({"dimensions": [10**6] * 3}, r"1e\+18 voxels"),
        ({"dimensions": [10**4] * 3, "blockSize": [10**4] * 3}, "maximum chunk size of 2GB"),
        ({"resolution": "4 nm"}, r"its resolution is '4 nm'; it must be a list of numbers"),
        ({"resolution": [4.0, 4.0]}, r"list 2 values for the axes \(z, y, x\)"),
        ({"transform": {"scale": [1.0]}}, r"list 1 values for the axes"),
        ({"resolution": [4, 4, 4], "downsamplingFactors": [2]}, "1 downsampling factors for 3"),
    ],
)
def test_damaged_attributes(tmp_path, voxels, attributes, message):
    folder = write_n5(tmp_path / "a", voxels)
    add_attributes(folder / "attributes.json", attributes)
    with pytest.raises(ValueError, match=message) as error:
        opened(folder)
    assert "\n" not in str(error.value)


def test_attributes_that_are_no_json(tmp_path, voxels):
    folder = write_n5(tmp_path / "a", voxels)
    (folder / "attributes.json").write_text("{")
    with pytest.raises(ValueError, match=r"attributes.json is damaged"):
        opened(folder)
    (folder / "attributes.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match=r"attributes.json is not a JSON object"):
        opened(folder)


def test_compression_with_options_of_another_program(tmp_path, voxels):
    """zarr-python 2 adds ``id`` and ``checksum`` to zstd."""
    folder = write_n5(tmp_path / "a", voxels, compression="zstd")
    document = json.loads((folder / "attributes.json").read_text())
    document["compression"] |= {"id": "zstd", "checksum": False}
    (folder / "attributes.json").write_text(json.dumps(document))
    assert np.array_equal(read(folder), voxels)
    document["compression"] = {"type": "lz4", "blockSize": 65536}
    (folder / "attributes.json").write_text(json.dumps(document))
    message = r"a is compressed with 'lz4'; raw, gzip, bzip2, xz, blosc, zstd can be read: write it"
    with pytest.raises(ValueError, match=message):
        opened(folder)
