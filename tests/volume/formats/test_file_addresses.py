"""Addresses of single files: remote ones, and datasets in files of other formats."""

import mrcfile
import numpy as np
import pytest

from asem.volume.address import Address
from asem.volume.formats.detect import format_name, open_source_image


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
