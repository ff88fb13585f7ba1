"""``cell.zarr/raw#2``, and the same image by its URL."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from asem.volume.formats import detect
from asem.volume.formats.source_image import LabelValues
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.sources import open_labels, open_source, open_volume
from asem.workflows.id_counts import count_ids
from asem.workflows.importing import ImportOptions, import_volume
from remote_servers import serve_files

SIZE = (10.0, 10.0, 10.0)


@pytest.fixture
def image(tmp_path, rng):
    tifffile.imwrite(tmp_path / "raw.tif", rng.integers(1, 200, (24, 96, 80)).astype(np.uint8))
    path = tmp_path / "cell.zarr/raw"
    import_volume(tmp_path / "raw.tif", path, voxel_size=SIZE, offset_nm=(100.0, 0.0, 5.0))
    return path


def test_a_coarser_level_is_at_the_centre_of_its_voxels(image):
    fine, coarse = open_volume(image), open_volume(f"{image}#1")
    assert coarse.voxel_size == (20.0, 20.0, 20.0)
    assert coarse.offset_nm == (105.0, 5.0, 10.0)
    assert coarse.shape == (12, 48, 40)
    bins = fine.read(fine.roi).reshape(12, 2, 48, 2, 40, 2).mean((1, 3, 5))
    assert np.abs(coarse.read(coarse.roi) - bins).max() <= 1
    assert coarse.name == f"{image}#1"


def test_levels_have_their_own_identities_and_are_checked_for_replacement(image):
    fine, coarse = open_volume(image), open_volume(f"{image}#1")
    assert fine.identity != coarse.identity
    check_not_replaced([fine, coarse])
    import_volume(image.parent.parent / "raw.tif", image, voxel_size=SIZE, overwrite=True)
    with pytest.raises(OSError, match=r"raw#1 was replaced"):
        check_not_replaced([coarse])


def test_a_level_that_does_not_exist(image):
    with pytest.raises(ValueError, match=r"it has 2 levels; the coarsest is #1"):
        open_volume(f"{image}#7")


def test_a_level_can_be_imported(image, tmp_path):
    copy = import_volume(f"{image}#1", tmp_path / "coarse")
    coarse = open_volume(f"{image}#1")
    assert (copy.voxel_size, copy.offset_nm) == (coarse.voxel_size, coarse.offset_nm)
    assert (copy.read(copy.roi) == coarse.read(coarse.roi)).all()


def test_a_url_is_read_like_a_path(image, tmp_path):
    with serve_files(tmp_path) as server:
        for level in ("", "#1"):
            remote, local = (
                open_volume(f"{at}{level}") for at in (f"{server.url}/cell.zarr/raw", image)
            )
            assert (remote.voxel_size, remote.offset_nm) == (local.voxel_size, local.offset_nm)
            assert (remote.read(remote.roi) == local.read(local.roi)).all()
        check_not_replaced([remote])


def test_labels_that_are_signed_are_opened_as_unsigned(tmp_path):
    labels = np.array([[[0, 3], [127, 1]]], np.int8)
    tifffile.imwrite(
        tmp_path / "labels.tif", labels, imagej=False, ome=True,
        metadata={"axes": "ZYX", "PhysicalSizeX": 4, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 4,
                  "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 8, "PhysicalSizeZUnit": "nm"},
    )  # fmt: skip
    opened = open_labels(tmp_path / "labels.tif")
    assert opened.read(opened.roi).tolist() == [[[0, 3], [255, 1]]]
    assert opened.kind == "labels"
    assert open_source(tmp_path / "labels.tif", kind="labels").dtype == np.int8  # import converts


def write_stack(path, voxels, **options):
    tifffile.imwrite(
        path, voxels, imagej=True, resolution=(1 / 0.004, 1 / 0.004),
        metadata={"axes": "ZYX", "spacing": 0.008, "unit": "um"}, **options,
    )  # fmt: skip


def test_a_tiff_that_states_its_voxel_size_is_read_directly(tmp_path, rng, caplog):
    voxels = rng.integers(0, 255, (5, 8, 9)).astype(np.uint8)
    write_stack(tmp_path / "plain.tif", voxels)
    volume = open_volume(tmp_path / "plain.tif")
    assert volume.voxel_size == pytest.approx((8.0, 4.0, 4.0))
    assert (volume.read(volume.roi) == voxels).all()
    assert caplog.messages == []
    write_stack(tmp_path / "packed.tif", voxels, compression="zlib")
    for _ in range(2):
        packed = open_volume(tmp_path / "packed.tif")
    assert (packed.read(packed.roi) == voxels).all()
    (warning,) = caplog.messages
    assert (
        "compressed planes, which are decoded as a whole for each block; `asem import`" in warning
    )


def test_a_tiff_that_states_a_part_of_its_voxel_size(tmp_path):
    tifffile.imwrite(
        tmp_path / "raw.tif", np.zeros((3, 4, 5), np.uint8), imagej=True,
        resolution=(1 / 0.004, 1 / 0.004), metadata={"axes": "ZYX", "unit": "um"},
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"does not state its voxel size \(it states \?,4,4\)"):
        open_volume(tmp_path / "raw.tif")


def test_stated_label_values_hold_for_every_verb(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "l.tif", np.array([[[0, 1, 1, 9, 9, 255]]], np.uint8))
    stated = LabelValues(background=(9,), unlabelled=(0,))

    def open_with_values(address, *options, **more):
        image = detect.open_source_image(address, *options, **more)
        (level,) = image.levels
        levels = (replace(level, voxel_size=SIZE),)
        return replace(image, levels=levels, label_values=stated, kind="labels")

    for module in ("volume.sources", "workflows.importing", "workflows.id_counts"):
        monkeypatch.setattr(f"asem.{module}.open_source_image", open_with_values)
    labels = open_labels(tmp_path / "l.tif")
    assert labels.read(labels.roi).ravel().tolist() == [255, 1, 1, 0, 0, 255]
    counts = count_ids(tmp_path / "l.tif")
    assert counts["voxels"] == {"foreground": 2, "background": 2, "unlabelled": 2}
    imported = import_volume(tmp_path / "l.tif", tmp_path / "l", kind="labels")
    assert imported.read(imported.roi).ravel().tolist() == [255, 1, 1, 0, 0, 255]
    with pytest.raises(ValueError, match="states its unlabelled value; leave out --unlabelled"):
        import_volume(
            tmp_path / "l.tif", tmp_path / "m", kind="labels", options=ImportOptions(unlabelled=1)
        )
