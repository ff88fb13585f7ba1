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
from chunked import write_zarr


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
