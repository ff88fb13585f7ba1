import json
import os

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from asem.volume.address import Address
from asem.volume.formats import container, listing
from asem.volume.formats.detect import open_source_image
from asem.workflows.container import describe_images, find_images
from chunked import add_attributes, write_n5, write_zarr


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 255, (9, 8, 7)).astype(np.uint8)


def message(address):
    with pytest.raises(ValueError, match=r"is a container|is no image in a format") as error:
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
    write_zarr(tmp_path / "a/b/c/d/e/f", voxels)
    assert "is no image in a format" in message(tmp_path)
    assert "images: b/c/d/e/f, as in" in message(tmp_path / "a")
    for number in range(12):
        write_zarr(tmp_path / f"many/{number:02}", voxels)
    assert "06, 07, ..., as in" in message(tmp_path / "many")
    monkeypatch.setattr(container, "MAX_FOLDERS", 2)
    assert "images: 00, 01, ..., as in" in message(tmp_path / "many")
    monkeypatch.setattr(container, "MAX_SECONDS", -1.0)
    assert "is no image in a format" in message(tmp_path / "many")


def test_single_files_and_folders_of_planes_are_listed(tmp_path):
    """The command and the message list the same images."""
    planes = np.zeros((4, 5), np.uint8)
    (tmp_path / "planes").mkdir()
    tifffile.imwrite(tmp_path / "planes/0.tif", planes)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["raw"] = np.zeros((2, 3, 4), np.uint8)
    (tmp_path / "notes.txt").touch()
    assert "images: b.h5, planes, as in" in message(tmp_path)
    assert find_images(tmp_path) == [Address(f"{tmp_path}/{n}") for n in ("b.h5", "planes")]
    assert find_images(tmp_path / "planes") == find_images(tmp_path / "b.h5") == []


def test_what_cannot_be_an_image_is_not_listed(tmp_path, voxels):
    write_zarr(tmp_path / "good", voxels)
    for loop in ("loop", "sub/loop"):
        (tmp_path / loop).parent.mkdir(exist_ok=True)
        (tmp_path / loop).symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "link").symlink_to(tmp_path / "good")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/zarr.json")
    os.mkfifo(tmp_path / "a.mrc")
    for name in (".hidden", "two\nlines"):
        write_zarr(tmp_path / name, voxels)
    write_zarr(tmp_path / "unfinished", voxels)
    (tmp_path / "unfinished/.asem").mkdir()
    (tmp_path / "unfinished/.asem/journal.jsonl").touch()
    assert "images: good, link, as in" in message(tmp_path)
    assert find_images(tmp_path) == [Address(f"{tmp_path}/{name}") for name in ("good", "link")]


def test_meshes_and_figures_of_asem_are_no_images(tmp_path, voxels):
    write_zarr(tmp_path / "good", voxels)
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes/info").write_text('{"@type": "neuroglancer_multilod_draco"}')
    for name, written in (("objects", "provenance.json"), ("run", "run.json"), ("planes", "x.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sizes.png").touch()
        (tmp_path / name / written).touch()
    listed = [str(one) for one in find_images(tmp_path)]
    assert listed == [f"{tmp_path}/good", f"{tmp_path}/planes"]


def test_a_pipe_behind_links_is_not_opened(tmp_path):
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/zarr.json")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/back").symlink_to(tmp_path)
    assert f"{tmp_path}/links is no image in a format" in message(tmp_path / "links")


def test_a_list_that_ends_at_a_limit(tmp_path, voxels, monkeypatch, caplog):
    for number in range(4):
        write_zarr(tmp_path / f"{number}", voxels)
    assert len(find_images(tmp_path)) == 4
    assert caplog.text == ""
    for name, limit in (("MAX_FOLDERS", 3), ("MAX_IMAGES", 3)):
        with monkeypatch.context() as changed:
            changed.setattr(container, name, limit)
            assert len(find_images(tmp_path)) == 3
        assert f"{tmp_path} has more folders than are searched; name one of them" in caplog.text
        caplog.clear()
    monkeypatch.setattr(listing, "MAX_ENTRIES", 2)
    assert len(find_images(tmp_path)) == 2
    assert "more folders than are searched" in caplog.text


def test_images_are_opened_for_a_limited_time(tmp_path, voxels, monkeypatch):
    image = Address(str(write_zarr(tmp_path / "a", voxels)))
    assert describe_images([image])[str(image)]["shape"] == [9, 8, 7]
    monkeypatch.setattr("asem.workflows.container.MAX_SECONDS", -1.0)
    assert describe_images([image])[str(image)] == {"error": "not opened within -1 s; name it"}


@pytest.mark.parametrize(
    "key", ["../a", "b/../../a", "/a", "b//a", "a\nb", "/".join(["a"] * 10**6)]
)
def test_hostile_consolidated_metadata(key):
    array = {"shape": [1, 1, 1]}
    metadata = {f"{key}/.zarray": array, "good/.zarray": array, "line/.zarray": {"shape": [1]}}
    assert container._find_images(container._entries({"metadata": metadata})) == ["good"]


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
