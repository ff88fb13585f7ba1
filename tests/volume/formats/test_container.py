import json

import numpy as np
import pytest
import zarr

from asem.volume.address import Address
from asem.volume.formats import container
from asem.volume.formats.detect import open_source_image
from chunked import add_attributes, write_n5, write_zarr


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 255, (9, 8, 7)).astype(np.uint8)


def message(address):
    with pytest.raises(ValueError, match=r"is a container|holds no TIFF") as error:
        open_source_image(Address.parse(str(address)))
    return str(error.value)


def test_n5(tmp_path, voxels):
    root = tmp_path / "cell.n5"
    add_attributes(root / "attributes.json", {"n5": "2.0.0"})
    write_n5(root / "em/fibsem-uint8/s0", voxels)
    write_n5(root / "labels/mito_seg", voxels)
    assert message(root) == (
        f"{root} is a container; name one of its images: em/fibsem-uint8, labels/mito_seg, as in "
        f"{root}/em/fibsem-uint8"
    )
    assert message(root / "labels").endswith(f"images: mito_seg, as in {root}/labels/mito_seg")


def test_zarr(tmp_path, voxels):
    root = tmp_path / "cell.zarr"
    zarr.open_group(str(root), mode="w", zarr_format=2)
    write_zarr(root / "volumes/raw_equalized_0.02", voxels)
    write_zarr(root / "volumes/labels/mito", voxels)
    listed = "volumes/raw_equalized_0.02, volumes/labels/mito, as in"
    assert listed in message(root)


def test_container_of_asem(cell):
    assert "images: raw, labels/mito, as in" in message(cell / "cell.zarr")


def test_depth_and_number_are_limited(tmp_path, voxels, monkeypatch):
    write_zarr(tmp_path / "a/b/c/d/e", voxels)
    assert "holds no TIFF plane" in message(tmp_path)
    assert "images: b/c/d/e, as in" in message(tmp_path / "a")
    for number in range(12):
        write_zarr(tmp_path / f"many/{number:02}", voxels)
    assert "06, 07, ..., as in" in message(tmp_path / "many")
    monkeypatch.setattr(container, "MAX_FOLDERS", 2)
    assert "images: 00, 01, as in" in message(tmp_path / "many")
    monkeypatch.setattr(container, "MAX_SECONDS", -1.0)
    assert "holds no TIFF plane" in message(tmp_path / "many")


def test_damaged_image_is_not_listed(tmp_path, voxels):
    write_zarr(tmp_path / "good", voxels)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/.zarray").write_text("{")
    assert "images: good, as in" in message(tmp_path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_metadata(tmp_path, voxels, zarr_format):
    root = tmp_path / "cell.zarr"
    zarr.open_group(str(root), mode="w", zarr_format=zarr_format)
    zarr.open_group(str(root / "em"), mode="w", zarr_format=zarr_format)
    write_zarr(root / "em/raw/0", voxels, zarr_format=zarr_format)
    write_zarr(root / "em/other", voxels, zarr_format=zarr_format)
    multiscales = {"multiscales": [{"datasets": [{"path": "0"}]}]}
    group = zarr.open_group(str(root / "em/raw"), mode="a", zarr_format=zarr_format)
    group.attrs.update(multiscales if zarr_format == 2 else {"ome": multiscales})
    zarr.consolidate_metadata(str(root), zarr_format=zarr_format)
    document = json.loads((root / (".zmetadata" if zarr_format == 2 else "zarr.json")).read_text())
    consolidated = document if zarr_format == 2 else document["consolidated_metadata"]
    found = container._find_images(container._entries(consolidated))
    assert found == ["em/other", "em/raw"]
