"""Addresses of single files: remote ones, and datasets in files of other formats."""

import gzip
import pickle

import h5py
import mrcfile
import nibabel
import numpy as np
import pytest
import tifffile

from asem.volume.address import Address
from asem.volume.formats.detect import format_name, open_source_image
from chunked import write_n5, write_zarr


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/a.h5:/volumes/raw", "HDF5"),
        ("s3://bucket/a.MRC", "MRC"),
        ("gs://bucket/a.nii.gz", "NIfTI"),
        ("http://example.org/a.tif", "TIFF"),
    ],
)
def test_a_remote_file_must_be_copied(address, name):
    message = rf"{address} is a single file \({name}\); copy it first, then open the copy"
    with pytest.raises(ValueError, match=message):
        open_source_image(Address.parse(address))


def test_a_dataset_in_no_hdf5_file(tmp_path):
    mrcfile.write(tmp_path / "a.mrc", np.zeros((2, 3, 4), "i2"))
    assert format_name(Address.parse(str(tmp_path / "a.mrc"))) == "MRC"
    with pytest.raises(ValueError, match=r"a.mrc:/raw: only HDF5 files have a dataset after ':'"):
        open_source_image(Address.parse(f"{tmp_path / 'a.mrc'}:/raw"))


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is nothing at .*a.h5:/raw"):
        open_source_image(Address.parse(f"{tmp_path}/a.h5:/raw"))


@pytest.fixture(params=["notes", "[1, 2]", '{"n5": "2.0.0"}', None], ids=str)
def write_other_file(request):
    """Write a file or folder that has the name of a metadata document, but other content."""

    def write(path):
        path.mkdir() if request.param is None else path.write_text(request.param)

    return write


@pytest.mark.parametrize("name", ["info", "attributes.json"])
def test_a_file_beside_planes_may_have_the_name_of_a_document(tmp_path, write_other_file, name):
    tifffile.imwrite(tmp_path / "p_0.tif", np.ones((4, 5), np.uint8))
    write_other_file(tmp_path / name)
    image = open_source_image(Address(str(tmp_path)))
    assert (image.format, format_name(Address(str(tmp_path)))) == ("TIFF", "TIFF")
    assert image.levels[0].array[:, :, :].tolist() == np.ones((1, 4, 5)).tolist()


def test_a_plane_in_a_folder_of_chunks_is_ignored(tmp_path):
    write_n5(tmp_path / "a", np.ones((4, 5, 6), np.uint8))
    tifffile.imwrite(tmp_path / "a/thumbnail.tif", np.ones((4, 5), np.uint8))
    assert open_source_image(Address(str(tmp_path / "a"))).format == "N5"


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("folder", ["", "a"])
@pytest.mark.parametrize("name", ["info", "attributes.json"])
def test_a_file_beside_zarr_may_have_the_name_of_a_document(
    tmp_path, write_other_file, zarr_format, folder, name
):
    voxels = np.ones((4, 5, 6), np.uint8)
    write_zarr(tmp_path / "a", voxels, {"resolution": [5, 4, 4]}, zarr_format=zarr_format)
    write_other_file(tmp_path / folder / name)
    image = open_source_image(Address(str(tmp_path / "a")))
    assert (image.format, image.levels[0].voxel_size) == ("Zarr", (5.0, 4.0, 4.0))


def test_a_group_above_an_array_that_is_damaged_is_no_image(tmp_path):
    write_zarr(tmp_path / "a/b", np.ones((4, 5, 6), np.uint8), {"resolution": [5, 4, 4]})
    (tmp_path / ".zattrs").write_text("notes")
    (tmp_path / "a/.zattrs").write_text("notes")
    assert open_source_image(Address(str(tmp_path / "a/b"))).levels[0].voxel_size == (5, 4, 4)


def write_formats(folder):
    """Write the same voxels in each format; return the names and the voxels."""
    voxels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    mrcfile.write(folder / "a.mrc", voxels.astype("i2"))
    (folder / "a.mrc.gz").write_bytes(gzip.compress((folder / "a.mrc").read_bytes()))
    with h5py.File(folder / "a.h5", "w") as file:
        file["raw"] = voxels
    nibabel.save(nibabel.Nifti1Image(voxels.T, np.eye(4)), folder / "a.nii")
    nibabel.save(nibabel.Nifti1Pair(voxels.T, np.eye(4)), folder / "b.img")
    tifffile.imwrite(folder / "a.tif", voxels, photometric="minisblack")
    write_zarr(folder / "a.zarr", voxels)
    return ["a.mrc", "a.mrc.gz", "a.h5", "a.nii", "b.img", "a.tif", "a.zarr"], voxels


def test_a_relative_path_is_read_in_another_folder(tmp_path, monkeypatch):
    """Dask sends arrays to workers that run in other folders."""
    monkeypatch.chdir(tmp_path)
    names, voxels = write_formats(tmp_path)
    images = {name: open_source_image(Address.parse(name)).levels[0].array for name in names}
    sent = {name: pickle.dumps(array) for name, array in images.items()}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, content in sent.items():
        array = pickle.loads(content)
        assert np.array_equal(array[:3, :4, :5], voxels), name
