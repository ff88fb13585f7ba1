"""A folder of results is finished or resumable, and never takes other files with it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from asem.blocks.results_folder import NoResultsError, create_results
from asem.system.folder_snapshot import delete_unchanged
from asem.tables import read_table
from asem.volume.roi import Roi
from shards import small_shards

ROI = Roi.of_shape((9, 17, 20))
FILES = ("t.csv", "t.parquet", "figure_*.png")


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    small_shards(8, monkeypatch.setattr)


class Stop(Exception):
    pass


def run(path, *, stop_after=None, request=None, raises=None, **options):
    """Count the voxels of all blocks; return the blocks that were computed."""
    computed = []

    def count(block):
        if len(computed) == stop_after:
            raise Stop
        computed.append(block)
        return {"voxels": np.array([block.size])}

    with create_results(
        path, ROI, files=FILES, command="count", request=request or {}, **options
    ) as output:
        results = output.store_block_results(count, output.write_blocks(), stage="count")
        if raises:
            raise raises
        assert results.folder.exists()
        frame = pd.DataFrame({"voxels": [sum(block.size for block in output.write_blocks())]})
        output.provenance["blocks"] = len(output.write_blocks())
        output.write_table("t", frame, {"voxels": "number of voxels"})
        output.write_file("figure_1.png", b"PNG")
    return computed


def test_a_finished_folder_has_tables_figures_and_provenance(tmp_path):
    run(tmp_path / "out", request={"raw": "uuid"})
    out = tmp_path / "out"
    names = {"t.csv", "t.parquet", "figure_1.png", "provenance.json"}
    assert {path.name for path in out.iterdir()} == names
    assert read_table(out / "t")["voxels"].tolist() == [ROI.size]
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["command"] == "count"
    assert provenance["request"] == {"raw": "uuid"}
    assert provenance["facts"] == {"blocks": 18}
    assert provenance["columns"] == {"t": {"voxels": "number of voxels"}}


def test_an_interrupted_folder_is_resumed(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Stop):
        run(out, stop_after=5)
    assert {path.name for path in out.iterdir()} == {".asem"}
    with pytest.raises(ValueError, match="another request"):
        run(out, request={"raw": "other"})
    assert len(run(out)) == 13
    assert not (out / ".asem").exists()


def test_what_has_nothing_to_compute_leaves_nothing(tmp_path):
    with pytest.raises(NoResultsError, match="empty"):
        run(tmp_path / "out", raises=NoResultsError("empty"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    with pytest.raises(NoResultsError):
        run(tmp_path / "out", raises=NoResultsError("empty"))
    assert not list((tmp_path / "out").iterdir())


def test_overwrite_replaces_results_finished_or_not(tmp_path):
    out = tmp_path / "out"
    run(out)
    with pytest.raises(FileExistsError, match="give --overwrite"):
        run(out)
    assert len(run(out, overwrite=True)) == 18
    shutil.rmtree(out)
    with pytest.raises(Stop):
        run(out, stop_after=5)
    assert len(run(out, overwrite=True, request={"raw": "other"})) == 18


@pytest.mark.parametrize("finished", [True, False])
def test_other_files_are_never_replaced(tmp_path, finished):
    out = tmp_path / "out"
    if finished:
        run(out)
    else:
        with pytest.raises(Stop):
            run(out, stop_after=5)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        run(out, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/data.csv").write_text("1")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="not a results folder"):
            run(tmp_path / "out", overwrite=overwrite)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="link"):
        run(tmp_path / "link")


def test_results_within_an_image_are_refused(tmp_path):
    image = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"multiscales": []}}}
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/zarr.json").write_text(json.dumps(image))
    with pytest.raises(FileExistsError, match="within the image"):
        run(tmp_path / "raw/out")


def test_a_run_killed_after_its_last_file_is_finished(tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr("asem.blocks.results_folder.delete_journal", lambda path: None)
    run(out)
    monkeypatch.undo()
    assert (out / ".asem").exists()
    with pytest.raises(FileExistsError, match="exists already"):
        run(out)
    assert not (out / ".asem").exists()


def names_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("finished", [True, False])
def test_what_a_person_wrote_is_kept(tmp_path, finished):
    out, options = tmp_path / "out", {"kept": ("mine.csv",)}
    out.mkdir()
    (out / "mine.csv").write_text("mine")
    if finished:
        run(out, **options)
    else:
        with pytest.raises(Stop):
            run(out, stop_after=5, **options)
    inode = (out / "mine.csv").stat().st_ino
    (out / "figure_2.png").write_bytes(b"of an earlier run")
    assert len(run(out, overwrite=True, request={"raw": "other"}, **options)) == 18
    assert names_in(out) == {"t.csv", "t.parquet", "figure_1.png", "provenance.json", "mine.csv"}
    assert (out / "mine.csv").read_text() == "mine"
    assert (out / "mine.csv").stat().st_ino == inode  # it never left its place
    (out / "notes.txt").write_text("mine, too")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        run(out, overwrite=True, **options)
    (out / "notes.txt").unlink()
    with pytest.raises(FileExistsError, match=r"holds more than a results folder \(mine\.csv\)"):
        run(out, overwrite=True)


@pytest.mark.parametrize("deletions", [0, 1, 2])
def test_a_run_killed_while_it_deletes_can_be_repeated(tmp_path, monkeypatch, deletions):
    out, options = tmp_path / "out", {"kept": ("mine.csv",), "overwrite": True}
    run(out, **options)
    (out / "mine.csv").write_text("mine")
    count = 0

    def delete(*arguments):
        nonlocal count
        if count == deletions:
            raise Stop
        count += 1
        return delete_unchanged(*arguments)

    monkeypatch.setattr("asem.blocks.results_folder.delete_unchanged", delete)
    if deletions == 2:
        monkeypatch.setattr("asem.blocks.results_folder.delete_journal", delete)
    with pytest.raises(Stop):
        run(out, **options)
    monkeypatch.undo()
    assert "mine.csv" in names_in(out)
    small_shards(8, monkeypatch.setattr)
    assert len(run(out, **options)) == 18
    assert (out / "mine.csv").read_text() == "mine"
