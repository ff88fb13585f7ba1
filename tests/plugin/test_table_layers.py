import json
import shutil

import numpy as np
import pandas as pd
import pytest

from asem.measure.pits.table import PIT_COLUMNS
from asem.plugin.column_colours import MISSING, colour_labels, colour_values
from asem.plugin.reader import get_reader, read_cell, read_table
from asem.plugin.table_layers import UNUSED, find_tables, make_points, read_object_table
from asem.tables import write_table
from asem.volume.sources import open_volume
from asem.workflows.measure import measure_instances
from pit_tables import make_table


@pytest.fixture(scope="module")
def measured(cell, tmp_path_factory):
    """A cell whose mitochondria are measured, and with a table of pits."""
    folder = tmp_path_factory.mktemp("measured") / "cell.zarr"
    shutil.copytree(cell / "cell.zarr", folder)
    measure_instances(folder / "labels/mito", folder / "tables/mito")
    write_pits(folder / "tables/pits", deep=3, caveola=2, vesicle=2)
    return folder


def write_pits(folder, **counts):
    rng = np.random.default_rng(0)
    frame = make_table(rng, **counts)
    frame[["z_nm", "y_nm", "x_nm"]] = rng.uniform(100, 300, (len(frame), 3))
    frame.loc[0, "flags"] = "merged"
    folder.mkdir()
    frame = frame[list(PIT_COLUMNS)]
    write_table(folder / "pits", frame, PIT_COLUMNS, {"request": {"segmentation": "x"}})
    return frame


def test_labels_have_the_columns_of_their_table(measured):
    names = {settings["name"]: (settings, kind) for _, settings, kind in read_cell(str(measured))}
    assert list(names) == ["raw", "labels/mito", "tables/pits/pits"]
    features = names["labels/mito"][0]["features"]
    volume = open_volume(measured / "labels/mito")
    ids, voxels = np.unique(volume.read(volume.roi), return_counts=True)
    assert features["index"].tolist() == ids[1:].tolist()
    assert np.allclose(features["volume_um3"], voxels[1:] * 1e-6)
    assert "features" not in names["raw"][0]


def test_a_table_of_other_labels_is_a_layer_of_its_own(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "cell.zarr")
    metadata = tmp_path / "cell.zarr/labels/mito/zarr.json"
    text = metadata.read_text()
    own_uuid = json.loads(text)["attributes"]["asem"]["uuid"]
    metadata.write_text(text.replace(own_uuid, own_uuid[::-1]))
    layers = {s["name"]: (s, kind) for _, s, kind in read_cell(str(tmp_path / "cell.zarr"))}
    assert "features" not in layers["labels/mito"][0]
    assert layers["tables/mito/objects"][1] == "points"


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_points_are_where_the_table_says(measured, suffix):
    path = measured / f"tables/pits/pits.{suffix}"
    assert get_reader(str(path)) is read_table
    ((data, settings, kind),) = read_table(str(path))
    frame = read_object_table(path).frame
    assert kind == "points"
    assert settings["units"] == ("nm", "nm", "nm")
    scale = np.array(settings["scale"])
    assert np.allclose(data * scale, frame[["z_nm", "y_nm", "x_nm"]])
    assert np.allclose(settings["size"] * scale[0], frame["width_nm"])
    assert list(settings["features"].columns) == [*PIT_COLUMNS, "group"]
    groups = settings["features"]["group"].tolist()
    assert groups[0] == UNUSED
    assert groups[1:] == [
        *["endocytic coated pits"] * 2,
        *["caveolae"] * 2,
        *["endocytic coated vesicles"] * 2,
    ]
    assert settings["border_color"] == "group"
    cycle = settings["border_color_cycle"]
    assert set(groups) <= set(cycle)
    assert len({tuple(colour) for colour in cycle.values()}) == len(cycle)


def test_rows_without_a_size_or_a_position(tmp_path):
    frame = write_pits(tmp_path / "pits", deep=3)
    frame.loc[1, "width_nm"] = np.nan
    frame.loc[2, "z_nm"] = np.nan
    path = tmp_path / "pits/pits.csv"
    frame.to_csv(path, index=False)
    data, settings, _ = make_points(read_object_table(path), "pits")
    assert len(data) == len(settings["features"]) == 2
    assert np.isfinite(settings["size"]).all()
    frame[:0].to_csv(path, index=False)
    assert make_points(read_object_table(path), "pits")[0].shape == (0, 3)


def test_other_files_are_left_to_other_readers(tmp_path, measured):
    pd.DataFrame({"axis-0": [1.0], "axis-1": [2.0]}).to_csv(tmp_path / "points.csv")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    for name in ("points.csv", "damaged.parquet", "missing.csv"):
        assert get_reader(str(tmp_path / name)) is None
    with pytest.raises(ValueError, match="damaged"):
        read_table(str(tmp_path / "damaged.parquet"))


def test_a_damaged_table_does_not_hide_the_cell(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "cell.zarr")
    table = tmp_path / "cell.zarr/tables/mito/objects.parquet"
    table.write_bytes(table.read_bytes()[:99])
    hidden = tmp_path / "cell.zarr/.asem/pits.parquet"
    hidden.parent.mkdir()
    shutil.copy(tmp_path / "cell.zarr/tables/pits/pits.parquet", hidden)
    assert hidden not in find_tables(tmp_path / "cell.zarr")
    with pytest.warns(UserWarning, match=r"objects.parquet is damaged"):
        layers = read_cell(str(tmp_path / "cell.zarr"))
    assert [settings["name"] for _, settings, _ in layers] == [
        "raw",
        "labels/mito",
        "tables/pits/pits",
    ]


def test_colours_follow_values():
    values = pd.Series([3.0, 1.0, np.nan, 2.0])
    colours = colour_values(values, "gray")
    assert colours[2].tolist() == list(MISSING)
    grey = colours[[1, 3, 0], 0]
    assert grey[0] == 0
    assert grey[2] == 1
    assert abs(grey[1] - 0.5) < 0.01
    many = pd.Series(np.append(np.arange(1000.0), 1e9))
    assert np.unique(colour_values(many, "gray")[:-1, 0]).size > 200, "an outlier hides the rest"
    texts = colour_values(pd.Series(["pit", "vesicle", "pit", ""]))
    assert np.array_equal(texts[0], texts[2])
    assert not np.array_equal(texts[0], texts[1])
    assert texts[3].tolist() == list(MISSING)
    assert len(np.unique(colour_values(pd.Series([True, False])), axis=0)) == 2


def test_colours_of_labels_are_those_of_their_rows():
    features = pd.DataFrame({"index": [7, 2**40], "volume_um3": [1.0, 2.0]})
    colours = colour_labels(features, "volume_um3", "gray")
    assert colours[7][0] == 0
    assert colours[2**40][0] == 1
    assert colours[0][3] == 0


@pytest.mark.gui
def test_instances_and_pits_are_coloured_by_a_column(screen, measured, pictures):
    import napari
    from napari.qt import get_qapp

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    _, mito, pits = viewer.open(str(measured), plugin="asem")
    assert np.allclose(pits.data_to_world(pits.data[0]), pits.features.loc[0, "z_nm":"x_nm"])
    dock, widget = viewer.window.add_plugin_dock_widget("asem", "Colour by column")
    names = [widget.layers.itemText(i) for i in range(widget.layers.count())]
    assert names == ["labels/mito", "tables/pits/pits"]
    widget.columns.setCurrentText("volume_um3")
    widget.colour()
    largest = mito.features.loc[mito.features["volume_um3"].idxmax(), "index"]
    expected = colour_values(mito.features["volume_um3"])[mito.features["volume_um3"].idxmax()]
    assert np.allclose(mito.get_color(largest), expected, atol=1 / 255)
    widget.layers.setCurrentText("tables/pits/pits")
    widget.columns.setCurrentText("coated")
    widget.colour()
    assert len(np.unique(pits.border_color, axis=0)) == 2
    # A ring is shown in the planes within half of the median width.
    first = pits.data[0, 1:].tolist()
    for distance, is_shown in ((-10, True), (10, False)):
        viewer.dims.set_point(0, pits.features.loc[0, "z_nm"] + pits.scale[0] / 2 + distance)
        get_qapp().processEvents()
        assert (first in pits._view_data.tolist()) == is_shown
    get_qapp().processEvents()
    viewer.screenshot(str(pictures / "colours.png"), canvas_only=False, flash=False)
    viewer.layers.remove(mito)
    assert widget.layers.count() == 1
    viewer.layers.clear()
    assert "No layer has a table" in widget.text.text()
    viewer.window.remove_dock_widget(dock)
    get_qapp().processEvents()
    viewer.open(str(measured), plugin="asem")  # the widget is deleted
    viewer.close()
