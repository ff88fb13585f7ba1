"""Each cell of the table of docs/formats.md holds: what is read, written, stated, read by URL."""

import re
from pathlib import Path

import h5py
import imagecodecs
import mrcfile
import nibabel
import numpy as np
import pytest
import tensorstore as ts
import tifffile

from asem.blocks.output_image import create_image
from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from asem.volume.sources import open_source
from asem.volume.volume import Volume
from asem.workflows.exporting import FORMATS, export_volume
from chunked import add_attributes, write_n5, write_zarr
from remote_servers import serve_files

PAGE = (Path(__file__).parent.parent / "docs/formats.md").read_text()
SIZE, OFFSET = (6.0, 5.0, 4.0), (30.0, 10.0, 20.0)
CORNER = [27.0, 7.5, 18.0]
VOXELS = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
WHOLE = (slice(None),) * 3
NAMES = {
    "TIFF planes": "tiff", "TIFF file": "bigtiff", "PNG planes": "png", "MRC": "mrc", "N5": "n5",
    "OME-Zarr 0.4": "ome-zarr-0.4", "OME-Zarr 0.5": "ome-zarr-0.5",
    "neuroglancer precomputed": "precomputed",
}  # fmt: skip
"""Names of the formats that `asem export` writes."""
SUFFIXES = {"tiff": "", "bigtiff": ".tif", "mrc": ".mrc", "ome-zarr-0.5": ".zarr"}


def rows():
    table = re.findall(r"^\| (.*) \|$", PAGE[: PAGE.index("*voxel size*")], flags=re.MULTILINE)
    header, *lines = [line.split(" | ") for line in table]
    assert header == ["format", "read", "write", "voxel size", "offset", "remote"]
    return [dict(zip(header, line, strict=True)) for line in lines]


def is_yes(cell):
    word = re.match(r"yes|no", cell)[0]
    assert cell == word or (word == "yes" and cell[3] == ":")
    return word == "yes"


def write_tiff_planes(folder):
    folder.mkdir()
    unit = {"PhysicalSizeZ": 6, "PhysicalSizeZUnit": "nm", "PhysicalSizeY": 5}
    unit |= {"PhysicalSizeYUnit": "nm", "PhysicalSizeX": 4, "PhysicalSizeXUnit": "nm"}
    for number, plane in enumerate(VOXELS):
        name = f"plane_{number}.ome.tif"
        tifffile.imwrite(folder / name, plane[None], metadata={"axes": "ZYX", **unit}, ome=True)
    return folder


def write_tiff_file(path):
    path = path.with_suffix(".tif")
    metadata = {"spacing": 6, "unit": "nm"}
    tifffile.imwrite(path, VOXELS, imagej=True, resolution=(1 / 4, 1 / 5), metadata=metadata)
    return path


def write_png_planes(folder):
    folder.mkdir()
    for number, plane in enumerate(VOXELS):
        (folder / f"plane_{number}.png").write_bytes(imagecodecs.png_encode(plane))
    return folder


def write_image(path):
    volume = Volume(VOXELS, SIZE, OFFSET)
    with create_image(path, volume, command="test", request={}, sources=[]) as output:
        output.fill(volume.read, stage="test", voxel_bytes=1)
    return path


def write_ome_zarr_2(path):
    write_zarr(path / "0", VOXELS)
    add_attributes(path / ".zgroup", {"zarr_format": 2})
    steps = [{"type": "scale", "scale": [0.006, 0.005, 0.004]}]
    steps += [{"type": "translation", "translation": [0.03, 0.01, 0.02]}]
    dataset = {"path": "0", "coordinateTransformations": steps}
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    multiscale = {"version": "0.4", "axes": axes, "datasets": [dataset]}
    add_attributes(path / ".zattrs", {"multiscales": [multiscale]})
    return path


def write_array(path):
    return write_zarr(path, VOXELS, {"resolution": list(SIZE), "offset": CORNER})


def write_cosem(path):
    axes = {"axes": ["z", "y", "x"], "units": ["nm"] * 3}
    return write_n5(path, VOXELS, {"transform": {**axes, "scale": SIZE, "translate": OFFSET}})


def write_hdf5(path):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        data = file.create_dataset("volumes/raw", data=VOXELS)
        data.attrs["resolution"], data.attrs["offset"] = SIZE, CORNER
    return f"{path.with_suffix('.h5')}:/volumes/raw"


def write_mrc(path):
    path = path.with_suffix(".mrc")
    with mrcfile.new(path, VOXELS.astype(np.int8)) as file:
        file.voxel_size = (40, 50, 60)
        file.header.origin = (200, 100, 300)
    return path


def write_nifti(path):
    path = path.with_suffix(".nii")
    affine = np.diag([4e-6, 5e-6, 6e-6, 1])
    affine[:3, 3] = 2e-5, 1e-5, 3e-5
    image = nibabel.Nifti1Image(VOXELS.transpose(), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def write_precomputed(path):
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": {
            "resolution": [4, 5, 6], "size": [6, 5, 4], "encoding": "raw", "chunk_size": [4, 4, 4],
            "voxel_offset": [5, 2, 5],
        },
    }  # fmt: skip
    store = ts.open(spec, create=True).result()
    store[ts.d["channel"][0]].write(VOXELS.transpose()).result()
    return path


WRITERS = {
    "TIFF planes": write_tiff_planes, "TIFF file": write_tiff_file, "PNG planes": write_png_planes,
    "OME-Zarr 0.5": write_image, "OME-Zarr 0.4": write_ome_zarr_2, "N5": write_cosem,
    "Zarr 2 and 3 arrays": write_array, "HDF5": write_hdf5, "MRC": write_mrc,
    "NIfTI": write_nifti, "neuroglancer precomputed": write_precomputed,
}  # fmt: skip
SHIFTS = {"neuroglancer precomputed": (3.0, 2.5, 2.0)}
"""Offsets that a format cannot state: its origin is a whole number of voxels."""


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["format"])
def test_what_is_read_and_stated(row, tmp_path):
    assert is_yes(row["read"])
    address = Address.parse(str(WRITERS[row["format"]](tmp_path / "image")))
    level = open_source_image(address).levels[0]
    np.testing.assert_array_equal(level.array[WHOLE], VOXELS)
    states_size, states_offset = is_yes(row["voxel size"]), is_yes(row["offset"])
    if states_size:
        np.testing.assert_allclose(level.voxel_size, SIZE, rtol=1e-6)
    else:
        assert level.voxel_size == (None, None, None)
    if states_offset:
        expected = np.add(OFFSET, SHIFTS.get(row["format"], (0, 0, 0)))
        np.testing.assert_allclose(level.offset_nm, expected, rtol=1e-6)
    else:
        assert level.offset_nm is None


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["format"])
def test_what_is_read_by_url(row, tmp_path):
    text = str(WRITERS[row["format"]](tmp_path / "image"))
    with serve_files(tmp_path) as server:
        address = Address.parse(text.replace(str(tmp_path), server.url))
        if is_yes(row["remote"]):
            np.testing.assert_array_equal(open_source_image(address).levels[0].array[WHOLE], VOXELS)
        else:
            with pytest.raises((ValueError, FileNotFoundError), match=re.escape(server.url)):
                open_source_image(address)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["format"])
def test_what_is_written(row, tmp_path):
    name = NAMES.get(row["format"])
    assert is_yes(row["write"]) == (name is not None)
    if name is None:
        return
    destination = tmp_path / f"written{SUFFIXES.get(name, '')}"
    export_volume(write_image(tmp_path / "raw"), destination, format_name=name)
    options = {} if is_yes(row["offset"]) else {"offset_nm": OFFSET}
    volume = open_source(destination, voxel_size=SIZE, **options)
    np.testing.assert_array_equal(volume.read(volume.roi), VOXELS)
    np.testing.assert_allclose(volume.offset_nm, OFFSET, rtol=1e-6)


def test_the_table_lists_all_formats():
    assert {row["format"] for row in rows()} == WRITERS.keys()
    assert set(NAMES.values()) == {form.name for form in FORMATS} | {"ome-zarr-0.5"}
