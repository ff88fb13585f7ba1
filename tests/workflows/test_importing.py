"""Imports of labels in chunked formats."""

import numpy as np
import pytest

from asem.volume.formats.source_image import SourceOptions
from asem.workflows.importing import ImportOptions, import_volume
from chunked import write_zarr

RESOLUTION = {"resolution": [5, 5, 5]}


def test_labels_of_one_channel(tmp_path):
    ids = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    attributes = {**RESOLUTION, "axis_names": ["c", "z", "y", "x"]}
    source = write_zarr(tmp_path / "ids.zarr", ids, attributes)
    options = ImportOptions(SourceOptions(channel="1"))
    found = import_volume(source, tmp_path / "out", kind="labels", options=options)
    assert found.kind == "labels"
    assert (found.read(found.roi) == ids[1]).all()
