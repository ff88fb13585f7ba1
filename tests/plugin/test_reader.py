import shutil

import numpy as np
import pytest
from npe2 import PluginManifest

from asem.plugin.reader import find_images, get_reader, read_cell
from asem.plugin.sample_data import make_phantom
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.workflows.annotation import open_session, save_labels


def test_all_images_of_a_cell_are_positioned_in_nm(cell):
    raw, mito = read_cell(str(cell / "cell.zarr"))
    assert [layer[1]["name"] for layer in (raw, mito)] == ["raw", "labels/mito"]
    assert [layer[2] for layer in (raw, mito)] == ["image", "labels"]
    for _, settings, _ in (raw, mito):
        assert settings["scale"] == (10, 10, 10)
        assert settings["translate"] == (0, 0, 0)
        assert settings["units"] == ("nm", "nm", "nm")
        assert settings["visible"]
    assert raw[1]["contrast_limits"] == (0, 255)
    assert [level.shape for level in raw[0]] == [(40, 48, 72), (20, 24, 36)]


def test_one_image_alone(cell):
    ((levels, settings, kind),) = read_cell(str(cell / "cell.zarr/raw"))
    assert (settings["name"], kind) == ("raw", "image")
    assert settings["metadata"] == {"asem": str(cell / "cell.zarr/raw")}
    volume = open_volume(cell / "cell.zarr/raw")
    assert np.array_equal(levels[0][7, :, 3:9], volume.read(volume.roi)[7, :, 3:9])


def test_the_best_labels_of_a_structure_are_visible(cell, tmp_path):
    copied = shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    for name in ("predictions/mito/segmentation", "labels/er", "mask", "exclusion/er"):
        shutil.copytree(cell / "cell.zarr/labels/mito", copied / name)
    layers = read_cell(str(copied))
    visible = {settings["name"] for _, settings, _ in layers if settings["visible"]}
    assert visible == {"raw", "predictions/mito/segmentation", "labels/er"}
    ((_, alone, _),) = read_cell(str(copied / "labels/mito"))
    assert alone["visible"]


def test_unlabelled_voxels_are_not_shown(cell, tmp_path):
    shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    volume, session = open_session(tmp_path / "cell.zarr/raw")
    window = Roi((0, 0, 0), (8, 8, 8))
    with session:
        for part in (window, window.shift((16, 16, 16))):
            session.open_structure("er").accept_window(part, np.ones(window.shape, bool))
        save_labels(volume, session, "er", tmp_path / "cell.zarr/labels/er")
    ((levels, _, kind),) = read_cell(str(tmp_path / "cell.zarr/labels/er"))
    assert kind == "labels"
    assert np.unique(levels[0].array.store[...].read().result()).tolist() == [1, 255]
    values = np.asarray(levels[0])
    assert np.unique(values).tolist() == [0, 1]
    assert values.dtype == levels[0].dtype
    assert (values == 1).sum() == 2 * window.size


def test_only_folders_with_images_are_read(cell, tmp_path):
    assert get_reader(str(cell / "cell.zarr")) is read_cell
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(cell / "cell.zarr")]) is None
    assert find_images(cell / "cell.zarr") == [
        cell / "cell.zarr/labels/mito",
        cell / "cell.zarr/raw",
    ]


def test_the_sample_is_a_cell_with_mitochondria():
    (raw, _, image), (mitochondria, settings, labels) = make_phantom()
    assert (image, labels) == ("image", "labels")
    assert raw.shape == mitochondria.shape
    assert mitochondria.any()
    assert settings["scale"] == (10, 10, 10)


@pytest.mark.gui
def test_napari_finds_all_that_the_manifest_names(screen):
    PluginManifest.from_distribution("asem").validate_imports()


@pytest.mark.gui
def test_napari_opens_a_cell_and_offers_to_annotate_it(screen, cell, tmp_path, pictures):
    import napari
    from napari.qt import get_qapp
    from qtpy.QtWidgets import QPushButton

    path = shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    raw, mito = viewer.open(str(path), plugin="asem")
    assert np.array_equal(raw.extent.world, mito.extent.world)
    assert raw.extent.world[1].tolist() == [390, 470, 710]
    viewer.layers.selection.active = raw
    dock, widget = viewer.window.add_plugin_dock_widget("asem", "Annotate (graph cut)")
    assert widget.raw_path.text() == str(path / "raw")
    widget.findChildren(QPushButton)[1].click()
    assert "least certain" in viewer.layers
    with pytest.raises(BlockingIOError):
        open_session(path / "raw")
    get_qapp().processEvents()
    viewer.screenshot(str(pictures / "cell.png"), canvas_only=False, flash=False)
    viewer.window.remove_dock_widget(dock)
    assert [layer.name for layer in viewer.layers] == ["raw", "labels/mito"]
    assert [drag.__name__ for drag in viewer.mouse_drag_callbacks] == ["drag_to_zoom"]
    open_session(path / "raw")[1].close()
    viewer.close()
