import numpy as np
import pytest
import tifffile

from asem.volume.sources import open_labels, open_levels, open_source, open_volume
from chunked import add_attributes, write_n5, write_zarr


def test_nothing_there(tmp_path):
    for opened in (open_source, open_volume):
        with pytest.raises(FileNotFoundError, match=r"there is nothing at .*nowhere"):
            opened(tmp_path / "nowhere")


def test_tiff_needs_a_voxel_size(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match="does not state its voxel size; give --voxel-size"):
        open_source(tmp_path / "p.tif")
    with pytest.raises(ValueError, match="first import it: asem import"):
        open_volume(tmp_path / "p.tif")
    assert open_source(tmp_path, voxel_size=(1.0, 2.0, 3.0)).voxel_size == (1.0, 2.0, 3.0)


def test_an_image_states_its_own_voxel_size(cell):
    raw = cell / "cell.zarr/raw"
    with pytest.raises(
        ValueError, match=r"states voxels of 10,10,10 nm .* but --voxel-size is 1,1,1"
    ):
        open_source(raw, voxel_size=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="states its own offset; give none"):
        open_source(raw, offset_nm=(1.0, 1.0, 1.0))
    assert open_source(raw).voxel_size == (10.0, 10.0, 10.0)


def test_an_empty_folder_and_a_text_file(tmp_path):
    with pytest.raises(ValueError, match="is no image in a format"):
        open_source(tmp_path, voxel_size=(1.0, 1.0, 1.0))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"is no image in a format"):
        open_source(tmp_path / "notes.txt", voxel_size=(1.0, 1.0, 1.0))


def write_cosem(group, levels, attributes):
    """Write a pyramid of COSEM: the finest voxels are 8 nm, their centre at 4 nm."""
    for number, voxels in enumerate(levels):
        size = 8.0 * 2**number
        transform = {"axes": ["z", "y", "x"], "scale": [size] * 3, "translate": [size / 2] * 3}
        write_n5(group / f"s{number}", voxels, {"transform": {**transform, "units": ["nm"] * 3}})
    add_attributes(group / "attributes.json", attributes)
    return group


def annotation(**encoding):
    return {"cellmap": {"annotation": {"annotation_type": {"encoding": encoding}}}}


def read_levels(address):
    return [level.read(level.roi) for level in open_levels(address)]


def test_every_level_has_the_stated_values_of_labels(tmp_path):
    levels = [np.full((4 // 2**n,) * 3, 1, np.uint8) for n in range(2)]
    for voxels in levels:
        voxels[0, 0, 0] = 0
        voxels[-1, -1, -1] = 9
    stated = annotation(unknown=0, absent=9, present=1)
    group = write_cosem(tmp_path / "c.n5", levels, stated)
    for voxels in read_levels(group):
        assert (voxels[0, 0, 0], voxels[0, 0, 1], voxels[-1, -1, -1]) == (255, 1, 0)


def test_every_level_of_signed_labels_is_unsigned(tmp_path):
    levels = [np.full((4 // 2**n,) * 3, 127, np.int8) for n in range(2)]
    group = write_cosem(tmp_path / "c.n5", levels, annotation(present=1))
    for level in open_levels(group):
        assert (level.kind, level.dtype, level.read(level.roi).min()) == ("labels", np.uint8, 255)


def test_every_level_of_float16_is_float32(tmp_path):
    for number in range(2):
        write_zarr(tmp_path / f"c.zarr/{number}", np.ones((4 // 2**number,) * 3, np.float16))
    datasets = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [size] * 3}]}
        for path, size in (("0", 8), ("1", 16))
    ]
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    multiscale = {"version": "0.4", "axes": axes, "datasets": datasets}
    add_attributes(tmp_path / "c.zarr/.zattrs", {"multiscales": [multiscale]})
    assert [voxels.dtype for voxels in read_levels(tmp_path / "c.zarr")] == [np.float32] * 2


@pytest.mark.parametrize("first", [0, 1, 2])
def test_levels_are_those_of_their_own_addresses(tmp_path, rng, first):
    levels = [rng.integers(0, 9, (8 // 2**n,) * 3).astype(np.uint16) for n in range(3)]
    group = write_cosem(tmp_path / "c.n5", levels, annotation(present=1))
    opened = open_levels(f"{group}#{first}" if first else group)
    assert len(opened) == 3 - first
    for number, level in enumerate(opened, first):
        alone = open_volume(f"{group}#{number}" if number else group)
        np.testing.assert_array_equal(level.read(level.roi), levels[number])
        fields = ("voxel_size", "offset_nm", "kind", "identity", "name", "original_grid")
        for field in fields:
            assert getattr(level, field) == getattr(alone, field)
    with pytest.raises(ValueError, match=r"it has 3 levels; the coarsest is #2"):
        open_levels(f"{group}#3")


def test_what_to_do_with_another_format(tmp_path):
    for name in ("planes/a.jpg", "stack.dm4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("planes", "planes/a.jpg", "stack.dm4"):
        message = (
            r"is no image in a format that asem reads .*; save it as TIFF or PNG, for instance"
        )
        with pytest.raises(ValueError, match=message):
            open_volume(tmp_path / name)


def test_labels_without_voxel_size_are_imported_as_labels(tmp_path):
    write_zarr(tmp_path / "a", np.ones((3, 4, 5), np.uint8))
    message = r"first import it: asem import .*a cell.zarr/labels/NAME --kind labels --voxel-size"
    with pytest.raises(ValueError, match=message):
        open_labels(tmp_path / "a")
