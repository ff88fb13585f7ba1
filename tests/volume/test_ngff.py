import json
from pathlib import Path

import numpy as np
import pytest
import yaozarrs

from asem.blocks.output_image import create_image
from asem.volume import ngff, zarr_groups
from asem.volume.contrast import contrast_window_of
from asem.volume.formats import folder
from asem.volume.sources import open_volume
from asem.volume.volume import OriginalGrid, Volume
from asem.volume.zero_array import ZeroArray
from asem.workflows.describe import describe_volume


def write(path, voxels, *, kind="image", voxel_size=(5.24, 4.0, 4.0), **place):
    template = Volume(ZeroArray(voxels.shape, voxels.dtype), voxel_size, kind=kind, **place)
    with create_image(path, template, command="test", request={}, sources=[]) as output:
        output.array.write(template.roi.slices, voxels).result()
    return ngff.open_image(path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32"])
def test_voxels_and_place_survive(tmp_path, rng, dtype):
    voxels = (rng.random((5, 70, 9)) * 200).astype(dtype)
    original = OriginalGrid((50, 80, 90), (-0.5, 1 / 3, 5.24))
    place = {"offset_nm": (5.24 * 7, 0.1, 1e6 + 0.7), "window": (3.5, 99.25)}
    volume = write(tmp_path / "c.zarr/raw", voxels, stated_grid=original, **place)
    assert (volume.read(volume.roi) == voxels).all()
    assert volume.dtype == np.dtype(dtype)
    assert (volume.voxel_size, volume.offset_nm) == ((5.24, 4.0, 4.0), place["offset_nm"])
    assert (volume.stated_grid, volume.window, volume.kind) == (original, (3.5, 99.25), "image")


def test_the_metadata_passes_a_validator(tmp_path, rng):
    raw = rng.integers(0, 255, (9, 130, 80)).astype(np.uint8)
    write(tmp_path / "c.zarr/raw", raw, window=(0.0, 255.0))
    write(tmp_path / "c.zarr/labels/er", raw, kind="labels")
    write(tmp_path / "c.zarr/labels/mito", raw, kind="labels")
    for image in ("raw", "labels/mito", "labels"):
        yaozarrs.validate_zarr_store(tmp_path / "c.zarr" / image)
    listing = json.loads((tmp_path / "c.zarr/labels/zarr.json").read_text())
    assert listing["attributes"]["ome"]["labels"] == ["er", "mito"]
    label = json.loads((tmp_path / "c.zarr/labels/mito/zarr.json").read_text())
    assert "image-label" in label["attributes"]["ome"]


def test_units_other_than_nm_are_converted(tmp_path):
    path = tmp_path / "c.zarr/raw"
    write(path, np.zeros((2, 2, 2), np.uint8), voxel_size=(0.005, 0.004, 0.004))
    text = (path / "zarr.json").read_text().replace("nanometer", "micrometer")
    (path / "zarr.json").write_text(text)
    assert ngff.open_image(path).voxel_size == (5.0, 4.0, 4.0)


def edit(path, change):
    """Change the attributes of an image as another program might."""
    document = json.loads((path / "zarr.json").read_text())
    change(document["attributes"])
    (path / "zarr.json").write_text(json.dumps(document))


def test_transformations_of_the_whole_image_come_last(tmp_path):
    path = tmp_path / "c.zarr/raw"
    write(path, np.zeros((2, 2, 2), np.uint8), offset_nm=(1.0, 2.0, 3.0))
    steps = [
        {"type": "scale", "scale": [2.0, 3.0, 3.0]},
        {"type": "translation", "translation": [10.0, 0.0, 0.0]},
    ]

    def change(attributes):
        attributes["ome"]["multiscales"][0]["coordinateTransformations"] = steps
        del attributes["asem"]

    edit(path, change)
    volume = ngff.open_image(path)
    assert volume.voxel_size == (10.48, 12.0, 12.0)
    assert volume.offset_nm == (12.0, 6.0, 9.0)


def test_an_image_of_another_program(tmp_path):
    """No asem attributes, a display window that is no contrast window, no channels."""
    path = tmp_path / "c.zarr/raw"
    voxels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    write(path, voxels, window=(50.0, 60.0))
    edit(path, lambda attributes: attributes.pop("asem"))
    volume = ngff.open_image(path)
    assert (volume.read(volume.roi) == voxels).all()
    assert (volume.kind, volume.stated_grid) == ("image", None)
    assert contrast_window_of(volume) == (0.0, 255.0)
    edit(path, lambda attributes: attributes["ome"]["omero"].update(channels=[]))
    assert ngff.open_image(path).window is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(ome=None), "attributes must be tables"),
        (lambda a: a["asem"].update(original=3), "'original'"),
        (lambda a: a["asem"].update(kind="picture"), "'kind'"),
    ],
)
def test_damaged_attributes_are_reported_in_one_line(tmp_path, change, message):
    path = tmp_path / "c.zarr/raw"
    write(path, np.zeros((2, 2, 2), np.uint8))
    write(tmp_path / "c.zarr/other", np.zeros((2, 2, 2), np.uint8))
    edit(path, change)
    with pytest.raises(ValueError, match=message) as caught:
        ngff.open_image(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="is a container"):
        open_volume(tmp_path / "c.zarr")


def test_a_dtype_that_cannot_be_worked_with_is_refused(tmp_path):
    path = tmp_path / "c.zarr/raw"
    with pytest.raises(ValueError, match="holds float16; allowed: uint8, uint16"):
        write(path, np.zeros((2, 2, 2), np.float16))


def test_only_labels_are_listed_as_labels(tmp_path):
    write(tmp_path / "c.zarr/labels/raw", np.zeros((2, 2, 2), np.uint8))
    write(tmp_path / "c.zarr/labels/mito", np.zeros((2, 2, 2), np.uint8), kind="labels")
    listing = json.loads((tmp_path / "c.zarr/labels/zarr.json").read_text())
    assert listing["attributes"]["ome"]["labels"] == ["mito"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ome: ome["multiscales"][0]["axes"][0].update(unit="parsec"), "in 'parsec'"),
        (lambda ome: ome["multiscales"][0]["axes"][0].update(name="w"), r"axes \(z, y, x\)"),
        (lambda ome: ome["multiscales"][0].pop("datasets"), "bad OME-NGFF metadata at"),
    ],
)
def test_metadata_that_cannot_be_read(tmp_path, change, message):
    path = tmp_path / "c.zarr/raw"
    write(path, np.zeros((2, 2, 2), np.uint8))
    document = json.loads((path / "zarr.json").read_text())
    change(document["attributes"]["ome"])
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        ngff.open_image(path)


def test_what_is_no_image_says_what_it_is(tmp_path):
    write(tmp_path / "c.zarr/raw", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"is a container; name one of its images: .*raw"):
        open_volume(tmp_path / "c.zarr")
    with pytest.raises(ValueError, match=r"is no image in a format"):
        ngff.open_image(tmp_path / "other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/zarr.json").write_text("{")
    with pytest.raises(ValueError, match=r"zarr\.json is damaged"):
        ngff.open_image(tmp_path / "other")


def test_a_missing_array_is_named(tmp_path):
    path = tmp_path / "c.zarr/raw"
    write(path, np.zeros((2, 2, 2), np.uint8))
    (path / "0/zarr.json").unlink()
    with pytest.raises(ValueError, match="raw/0 cannot be read"):
        ngff.open_image(path)


def test_label_images_of_many_colours_are_opened(tmp_path):
    """Other programs list a colour for each object."""
    path = tmp_path / "labels"
    write(path, np.ones((2, 2, 2), np.uint16), kind="labels")
    colours = [{"label-value": n, "rgba": [n % 256, 0, 0, 255]} for n in range(1, 1000)]
    edit(path, lambda attributes: attributes["ome"]["image-label"].update(colors=colours))
    assert ngff.open_image(path).kind == "labels"


@pytest.mark.parametrize("open_it", [ngff.open_image, ngff.open_levels, describe_volume])
def test_an_image_that_is_replaced_meanwhile_is_not_mixed(tmp_path, monkeypatch, open_it):
    """Its metadata goes, as for a moment it does, right after it was read."""
    path = tmp_path / "labels"
    write(path, np.ones((2, 2, 2), np.uint16), kind="labels")

    def read_once(read):
        def read_and_delete(file):
            document = read(file)
            Path(str(file)).unlink(missing_ok=True)
            return document

        return read_and_delete

    monkeypatch.setattr(zarr_groups, "read_json", read_once(zarr_groups.read_json))
    monkeypatch.setattr(folder, "read_document", read_once(folder.read_document))
    open_it(path)
    with pytest.raises(ValueError, match=r"is no image in a format|is a container; .*: 0, as in"):
        open_it(path)
