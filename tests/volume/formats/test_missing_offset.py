"""CREMI's layout in three formats: raw states a voxel size, its labels also an offset of 0."""

import h5py
import numpy as np
import pytest

from asem.volume.sources import open_volume
from chunked import write_n5, write_zarr

VOXELS = np.zeros((4, 5, 6), np.uint8)
SIZE = [40.0, 4.0, 4.0]


def write_hdf5(path, voxels, attributes):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("volumes/raw", data=voxels).attrs.update(attributes)
    return path.with_suffix(".h5")


def write_reversed_n5(path, voxels, attributes):
    return write_n5(path, voxels, {key: values[::-1] for key, values in attributes.items()})


@pytest.mark.parametrize("write", [write_zarr, write_reversed_n5, write_hdf5])
def test_raw_without_offset_is_aligned_with_labels_at_corner_zero(tmp_path, write):
    raw = open_volume(write(tmp_path / "raw", VOXELS, {"resolution": SIZE}))
    attributes = {"resolution": SIZE, "offset": [0.0, 0.0, 0.0]}
    labels = open_volume(write(tmp_path / "labels", VOXELS, attributes))
    assert raw.voxel_size == labels.voxel_size == (40.0, 4.0, 4.0)
    assert raw.offset_nm == labels.offset_nm == (20.0, 2.0, 2.0)
