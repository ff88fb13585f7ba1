"""Imports of chunked formats: labels, crops of URLs, chunks of whole planes."""

import json
from collections import Counter

import h5py
import numpy as np
import pytest

from asem.volume import band_reading
from asem.volume.formats.chunked_array import ChunkedArray
from asem.volume.formats.hdf5_array import Hdf5Array
from asem.volume.formats.source_image import SourceOptions
from asem.volume.sources import open_source, open_volume
from asem.workflows import import_copy, label_checks, slab_buffer
from asem.workflows.id_counts import count_ids
from asem.workflows.importing import ImportOptions, import_volume
from chunked import write_zarr
from remote_servers import serve_files

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
    with pytest.raises(ValueError, match=r"holds only 0 and 255, .* write foreground as 1"):
        import_volume(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = import_volume(source, tmp_path / "out", options=ImportOptions(unlabelled="none"))
    assert (found.read(found.roi) == mask).all()


@pytest.mark.parametrize(
    ("dtype", "window"),
    [
        ("uint8", None),
        ("uint16", None),
        ("uint16", (0, 90)),
        ("float32", None),
        ("float32", (0, 90)),
    ],
)
def test_a_crop_of_a_url_reads_its_chunks_once(tmp_path, rng, dtype, window):
    voxels = rng.integers(20, 90, (16, 16, 16)).astype(dtype)
    voxels[:, 0] = 0
    write_zarr(tmp_path / "raw.zarr", voxels, RESOLUTION)
    options = ImportOptions(window=window)
    with serve_files(tmp_path) as server:
        url = f"{server.url}/raw.zarr"
        crop = import_volume(url, tmp_path / "out", roi="9:15,:6,2:8", options=options)
        chunks = [path for path in server.requests if path[-1].isdigit()]
    assert chunks == ["/raw.zarr/1.0.0"]
    assert (crop.read(crop.roi) == voxels[9:15, :6, 2:8]).all()
    assert crop.padding == (0.0,)
    assert crop.window is not None
    if dtype == "uint8":
        assert crop.window == (0, 255)
    elif window:
        assert crop.window == window
    else:
        assert 20 <= crop.window[0] < crop.window[1] <= 90


def test_a_given_window_of_a_crop_reads_no_voxels_outside_of_it(tmp_path, monkeypatch):
    voxels = np.full((12, 8, 9), 70, np.uint16)
    voxels[9] = 0
    source = write_zarr(tmp_path / "raw.zarr", voxels, RESOLUTION)
    boxes, read = [], ChunkedArray.__getitem__
    monkeypatch.setattr(
        ChunkedArray, "__getitem__", lambda *args: boxes.append(args[1]) or read(*args)
    )
    options = ImportOptions(window=(0, 90))
    crop = import_volume(source, tmp_path / "out", roi="8:10,:,:", options=options)
    assert crop.window == (0, 90)
    assert boxes == [(slice(8, 10), slice(0, 8), slice(0, 9))]


@pytest.fixture
def planes(tmp_path, monkeypatch):
    """Write 13 x 300 x 10 voxels in chunks of 2 whole planes; record the boxes that are read."""
    boxes, read = [], Hdf5Array.__getitem__
    monkeypatch.setattr(
        Hdf5Array, "__getitem__", lambda *args: boxes.append(args[1]) or read(*args)
    )

    def write(dtype):
        voxels = np.arange(13 * 300 * 10).reshape(13, 300, 10) % 120
        with h5py.File(tmp_path / "planes.h5", "w") as file:
            dataset = file.create_dataset(
                "a", data=voxels.astype(dtype), chunks=(2, 300, 10), compression="gzip"
            )
            dataset.attrs["resolution"] = [5, 5, 5]
        boxes.clear()
        return tmp_path / "planes.h5", voxels

    write.boxes = boxes
    return write


def decoded_chunks(boxes):
    return [n for box in boxes for n in range(box[0].start // 2, -(-box[0].stop // 2))]


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_labels_in_chunks_of_planes_are_decoded_once_per_pass(tmp_path, planes, monkeypatch, dtype):
    source, voxels = planes(dtype)
    monkeypatch.setattr(label_checks, "MAX_SLAB_BYTES", 4 * 300 * 10 * np.dtype(dtype).itemsize)
    found = import_volume(source, tmp_path / "out", kind="labels", roi="3:,40:280,:")
    assert (found.read(found.roi) == voxels[3:, 40:280]).all()
    *checked, copied = planes.boxes
    assert decoded_chunks(checked) == [1, 2, 3, 4, 5, 6]
    assert decoded_chunks([copied]) == [1, 2, 3, 4, 5, 6]
    assert count_ids(source)["ids"]["7"] == np.count_nonzero(voxels == 7)
    assert decoded_chunks(planes.boxes[len(checked) + 1 :]) == [0, 1, 2, 3, 4, 5, 6]


def test_a_slab_of_planes_must_fit_on_the_disk(tmp_path, planes, monkeypatch):
    source, _ = planes("uint8")
    monkeypatch.setattr("asem.system.resources.free_disk_bytes", lambda folder: 1000)
    monkeypatch.setattr(slab_buffer, "MAX_IN_MEMORY_SLAB_BYTES", 1000)
    with pytest.raises(ValueError, match=r"a slab of .*planes.h5 \(13 x 300 x 10 voxels\)"):
        import_volume(source, tmp_path / "out", kind="labels")


def test_chunks_of_planes_are_warned_of(planes, caplog):
    open_volume(planes("uint8")[0])
    assert "decoded as a whole for each block; `asem import`" in caplog.text


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_view_of_planes_is_read_slab_by_slab(tmp_path, planes, monkeypatch, kind):
    source, voxels = planes("float16")
    monkeypatch.setattr(
        import_copy, "MAX_BAND_BYTES", 1
    )  # 256 rows at a time where they can be read
    monkeypatch.setattr(slab_buffer, "MAX_IN_MEMORY_SLAB_BYTES", 1000)  # a buffer file
    monkeypatch.setattr(band_reading, "MAX_PIECE_BYTES", 4 * 300 * 10 * 4)
    found = import_volume(source, tmp_path / "out", kind=kind)
    assert (found.read(found.roi) == voxels).all()
    copied = planes.boxes[-4:]
    assert [(box[0].start, box[0].stop) for box in copied] == [(0, 4), (4, 8), (8, 12), (12, 13)]
    assert len(planes.boxes) == (5 if kind == "labels" else 4)


def test_too_many_ids_of_a_block_are_not_stored(tmp_path, monkeypatch):
    ids = np.arange(1, 513, dtype=np.uint32).reshape(8, 8, 8)
    source = write_zarr(tmp_path / "volumes/labels/ids", ids)
    monkeypatch.setattr("asem.workflows.id_counts.MAX_IDS", 511)
    monkeypatch.setattr("asem.workflows.id_counts.Counter", Unused)
    with pytest.raises(ValueError, match="has more than 511 ids, too many to be listed"):
        count_ids(source)


class Unused(Counter):
    """A counter that must not be filled."""

    def update(self, numbers=None):
        assert not numbers
