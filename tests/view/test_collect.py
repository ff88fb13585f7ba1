"""Which images, meshes and tables paths name, and what is displayed of a cell."""

import json
import shutil

import numpy as np
import pytest

from asem.view.collect import collect, find_kind
from asem.view.open_view import open_view
from asem.volume.volume import Volume
from view_cells import draw_raw, write_image


def names(collected, *, visible=None):
    return [one.name for one in collected.images if visible in (None, one.visible)]


def test_a_cell_is_drawn_from_raw_to_instances(known_cell):
    collected = collect([known_cell])
    assert [(one.name, one.kind) for one in collected.images] == [
        ("raw", "image"),
        ("predictions/mito/probability", "probability"),
        ("exclusion/mito", "zone"),
        ("labels/mito", "labels"),
        ("predictions/mito/instances", "instances"),
    ]
    assert names(collected, visible=True) == ["raw", "predictions/mito/instances"]
    assert collected.images[-1].meshes.path == known_cell / "predictions/mito/meshes"
    assert collected.images[-1].meshes.find_segments() == [7]


def test_the_best_labels_of_each_structure_are_displayed(known_cell, tmp_path):
    cell = shutil.copytree(known_cell, tmp_path / "cell.zarr")
    shutil.rmtree(cell / "predictions/mito/instances")
    shutil.copytree(cell / "labels/mito", cell / "labels/er")
    shutil.copytree(cell / "raw", cell / "clahe")
    assert names(collect([cell]), visible=True) == ["raw", "labels/er", "labels/mito"]
    shutil.rmtree(cell / "raw")
    assert names(collect([cell]), visible=True)[0] == "clahe"


def test_named_images_are_all_displayed_with_short_names(known_cell):
    collected = collect([known_cell / "labels/mito", known_cell / "predictions/mito/probability"])
    assert names(collected, visible=True) == ["mito/probability", "labels/mito"]
    twice = collect([known_cell / "raw", known_cell / "raw"])
    assert names(twice) == ["raw", "raw (2)"]


def test_a_folder_of_a_cell_is_one_structure(known_cell):
    collected = collect([known_cell / "predictions/mito"])
    assert names(collected) == ["mito/probability", "mito/instances"]
    assert names(collected, visible=True) == ["mito/instances"]


def test_two_cells_have_their_names_before_those_of_images(known_cell, tmp_path):
    other = tmp_path / "other.zarr"
    write_image(other / "raw", draw_raw())
    found = names(collect([known_cell, other]), visible=True)
    assert found == ["cell/raw", "other/raw", "cell/predictions/mito/instances"]


def test_meshes_find_their_instances_after_a_move(known_cell, tmp_path):
    cell = shutil.copytree(known_cell, tmp_path / "moved.zarr")
    (image,) = collect([cell / "predictions/mito/meshes"]).images
    assert (image.name, image.levels[0].name) == (
        "mito/meshes", str(cell / "predictions/mito/instances"),
    )  # fmt: skip
    (alone,) = collect([shutil.copytree(cell / "predictions/mito/meshes", tmp_path / "a/b")]).images
    assert alone.levels[0].name == str(known_cell / "predictions/mito/instances")
    info = tmp_path / "a/b/info"
    info.write_text(json.dumps({"@type": "neuroglancer_multilod_draco"}))
    (alone,) = collect([tmp_path / "a/b"]).images
    assert alone.levels == ()


def test_meshes_do_not_choose_a_url(known_cell, tmp_path, monkeypatch, caplog):
    meshes = shutil.copytree(known_cell / "predictions/mito/meshes", tmp_path / "meshes")
    document = json.loads((meshes / "info").read_text())
    document["asem"] = {"instances": "https://example.org/instances.zarr"}
    (meshes / "info").write_text(json.dumps(document))
    monkeypatch.setattr("asem.view.collect.open_levels", lambda address: pytest.fail(str(address)))
    (alone,) = collect([meshes]).images
    assert alone.levels == ()
    assert "https://example.org/instances.zarr are not found, or at a URL" in caplog.text


def test_meshes_of_an_earlier_version_are_named(known_cell, tmp_path, caplog):
    cell = shutil.copytree(known_cell, tmp_path / "cell.zarr")
    info = cell / "predictions/mito/meshes/info"
    document = json.loads(info.read_text())
    document["asem"]["instances_id"] = "another"
    info.write_text(json.dumps(document))
    collect([cell])
    assert "make them again" in caplog.text


def test_what_cannot_be_read_in_a_cell_is_left_out(known_cell, tmp_path, caplog):
    cell = shutil.copytree(known_cell, tmp_path / "cell.zarr")
    (cell / "labels/mito/0/zarr.json").write_text("{")
    assert "labels/mito" not in names(collect([cell]))
    assert "labels/mito is left out" in caplog.text
    with pytest.raises(ValueError, match=r"0/zarr\.json"):
        collect([cell / "labels/mito"])


def test_figures_of_runs_and_results_are_no_images(known_cell, tmp_path, caplog):
    shutil.copytree(known_cell / "raw", tmp_path / "raw.zarr")
    run = {"state": "finished", "iteration": 1, "checkpoint": {}}
    for name, document in (("run/run.json", run), ("scores/provenance.json", {"command": "a"})):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(document))
        (tmp_path / name).with_name("curves.png").write_bytes(b"")
    assert names(collect([tmp_path])) == [f"{tmp_path.name}/raw.zarr"]
    assert caplog.records == []
    with pytest.raises(ValueError, match="is a training run, which has no images; asem report"):
        collect([tmp_path / "run"])


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no image in a format that asem reads"):
        collect([tmp_path])
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        collect([tmp_path / "none"])


def test_tables_of_a_results_folder(tmp_path):
    for name in ("objects.parquet", "objects.csv", "pits.csv", "contacts.csv", "pores.txt"):
        (tmp_path / name).touch()
    collected = collect([tmp_path])
    assert collected.tables == [
        (tmp_path / "objects.parquet", "objects"), (tmp_path / "pits.csv", "pits"),
    ]  # fmt: skip


def test_tables_of_the_same_name_have_that_of_their_folder(tmp_path):
    for folder in ("mito", "er"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "objects.csv").touch()
    (tmp_path / "er/pores.csv").touch()
    collected = collect([tmp_path / "mito", tmp_path / "er", tmp_path / "er"])
    assert [name for _, name in collected.tables] == [
        "mito/objects", "er/objects", "er/pores", "er/objects (2)", "er/pores (2)",
    ]  # fmt: skip


def test_tables_in_a_cell_are_displayed_and_their_figures_are_no_images(
    known_cell, tmp_path, caplog
):
    cell = shutil.copytree(known_cell, tmp_path / "cell.zarr")
    for name, header in (("mito", "object_id,z_nm,y_nm,x_nm"), ("scores", "object_id,best_iou")):
        folder = cell / "tables" / name
        folder.mkdir(parents=True)
        (folder / "objects.csv").write_text(f"{header}\n")
        (folder / "provenance.json").write_text("{}")
        (folder / "sizes.png").write_bytes(b"a figure")
    collected = collect([cell])
    assert collected.tables == [(cell / "tables/mito/objects.csv", "objects")]
    assert names(collected) == names(collect([known_cell]))
    assert not caplog.text
    assert collect([cell, cell / "tables/mito"]).tables == collected.tables
    with open_view([cell]) as view:
        assert "objects" not in view.describe()["layers"]
    assert "objects.csv is left out" in caplog.text
    caplog.clear()
    with pytest.raises(ValueError, match="no row"), open_view([cell, cell / "tables/mito"]):
        pass
    (cell / "tables/link").mkdir()
    (cell / "tables/link/objects.csv").symlink_to(cell / "tables/mito/objects.csv")
    assert collect([cell]).tables == collected.tables
    (cell / "tables/mito/objects.csv").write_bytes(b"\xff,")
    assert collect([cell]).tables == []
    assert "objects.csv is left out" in caplog.text


@pytest.mark.parametrize(
    ("kind", "name", "command", "expected"),
    [
        ("image", "raw", "import", "image"),
        ("image", "predictions/a/probability", None, "probability"),
        ("image", "anything", "predict", "probability"),
        ("labels", "exclusion/mito", "labels", "zone"),
        ("labels", "exclusion", "labels", "labels"),
        ("labels", "x", "instances", "instances"),
        ("labels", "mask", "mask", "segmentation"),
        ("labels", "predictions/a/segmentation", None, "segmentation"),
        ("labels", "labels/mito", "import", "labels"),
    ],
)
def test_kinds(kind, name, command, expected):
    volume = Volume(np.zeros((2, 2, 2), np.uint8), (1.0, 1.0, 1.0), kind=kind)
    assert find_kind(volume, name, {"command": command} if command else {}) == expected
