"""Imports of labels in chunked formats."""

import json

import numpy as np
import pytest

from asem.volume.formats.source_image import SourceOptions
from asem.volume.sources import open_source
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


@pytest.mark.parametrize("image_label", [False, True])
def test_only_stated_labels_are_not_taken_for_a_mask(tmp_path, image_label):
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3] = 255
    if image_label:
        source = tmp_path / "er"
        write_zarr(source / "0", mask, zarr_format=3)
        scale = {"type": "scale", "scale": [5.0, 5.0, 5.0]}
        multiscale = {
            "axes": [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"],
            "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
        }
        ome = {"version": "0.5", "multiscales": [multiscale], "image-label": {"version": "0.5"}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
        (source / "zarr.json").write_text(json.dumps(group))
        found = import_volume(source, tmp_path / "out")
        assert (found.read(found.roi) == mask).all()
        return
    source = write_zarr(tmp_path / "cell.zarr/volumes/labels/er", mask, RESOLUTION)
    assert open_source(source).kind == "labels"
    with pytest.raises(ValueError, match="holds only 0 and 255, .* write foreground as 1"):
        import_volume(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = import_volume(source, tmp_path / "out", options=ImportOptions(unlabelled="none"))
    assert (found.read(found.roi) == mask).all()
