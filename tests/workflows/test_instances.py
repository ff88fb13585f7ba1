"""`asem instances --sizes`: the table is written, and no other file is ever replaced."""

import shutil

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.structures import Structure
from asem.volume import ngff
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.labels import label_volume
from shards import small_shards

HEADER = "id,voxels,volume_nm3"


class Stop(Exception):
    pass


def stop_in(stage):
    def progress(name, done, total):
        if name.startswith(stage) and done:
            raise Stop

    return progress


@pytest.fixture
def segmentation(tmp_path, monkeypatch):
    small_shards(8, monkeypatch.setattr)
    voxels = np.zeros((9, 16, 16), np.uint8)
    voxels[1, 2:4, 3] = voxels[5, 9, 2:13] = 1
    tifffile.imwrite(tmp_path / "s.tif", voxels, photometric="minisblack")
    import_volume(tmp_path / "s.tif", tmp_path / "s", voxel_size=(5.0,) * 3, kind="labels")
    return tmp_path / "s"


@pytest.fixture
def table(tmp_path):
    return tmp_path / "tables/sizes.csv"


def interrupt(segmentation, sizes, stage, **options):
    out = segmentation.parent / "out"
    with pytest.raises(Stop):
        label_instances(segmentation, out, size_table=sizes, progress=stop_in(stage), **options)
    return out


@pytest.mark.parametrize("stage", ["objects", "instances", "level"])
def test_an_interrupted_run_writes_its_table_at_the_end(segmentation, table, stage):
    out = interrupt(segmentation, table, stage)
    assert table.exists() == (stage == "level")
    label_instances(segmentation, out, size_table=table)
    assert table.read_bytes() == f"{HEADER}\n1,2,250\n2,11,1375\n".encode()
    assert [path.name for path in table.parent.iterdir()] == [table.name]


@pytest.mark.parametrize("stage", ["objects", "level"])
def test_a_resumed_run_spares_a_foreign_table(segmentation, table, tmp_path, stage):
    mine = tmp_path / "mine.csv"
    mine.write_text("precious")
    for named in (None, table):
        out = interrupt(segmentation, named, stage)
        with pytest.raises(FileExistsError, match=r"mine.csv exists already and is not a table"):
            label_instances(segmentation, out, size_table=mine)
        assert mine.read_text() == "precious"
    label_instances(segmentation, out, size_table=table)
    assert table.read_text().startswith(HEADER)


def test_a_table_that_changed_since_is_spared(segmentation, table):
    out = interrupt(segmentation, table, "level")
    table.write_text("corrected by hand")
    with pytest.raises(FileExistsError, match="is not a table of asem"):
        label_instances(segmentation, out, size_table=table)
    assert table.read_text() == "corrected by hand"


def test_a_table_that_appears_in_mid_run_is_spared(segmentation, table):
    def progress(name, done, total):
        if name == "instances" and done == total:
            table.write_text("theirs")

    out = segmentation.parent / "out"
    with pytest.raises(FileExistsError, match="appeared while it was being made"):
        label_instances(segmentation, out, size_table=table, progress=progress)
    assert table.read_text() == "theirs"
    assert not ngff.is_image(out)
    table.unlink()
    label_instances(segmentation, out, size_table=table)
    assert table.read_text().startswith(HEADER)


def test_overwriting_is_resumed_after_an_interruption(segmentation, table):
    table.parent.mkdir()
    table.write_text(f"{HEADER}\nold\n")
    with pytest.raises(FileExistsError, match="by this run; give --overwrite to replace"):
        label_instances(segmentation, segmentation.parent / "out", size_table=table)
    assert not (segmentation.parent / "out").exists()
    out = interrupt(segmentation, table, "instances", overwrite=True)
    assert table.read_text() == f"{HEADER}\nold\n"
    label_instances(segmentation, out, size_table=table)
    assert "old" not in table.read_text()
    assert table.read_text().startswith(HEADER)


FOREIGN = ["[[train]]\n", "\n", HEADER[:-1], f"{HEADER}s\n", f"{HEADER},note\r\n", f"# {HEADER}\n"]


@pytest.mark.parametrize("text", FOREIGN)
def test_only_a_table_of_sizes_is_overwritten(segmentation, table, capsys, text):
    table.parent.mkdir()
    table.write_bytes(text.encode())
    out = segmentation.parent / "out"
    words = ["instances", str(segmentation), str(out), "--sizes", str(table), "--overwrite"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "sizes.csv exists already and is not a table of asem; it is not replaced" in error
    assert table.read_bytes() == text.encode()
    assert not out.exists()
    for old in ("", HEADER, f"{HEADER}\r\n1,2,3", f"{HEADER}\n"):
        table.write_bytes(old.encode())
        assert main(words) == 0, old
        assert table.read_text().split() == [HEADER, "1,2,250", "2,11,1375"]


WITHIN = {
    "s/zarr.json": "within the input",
    "s/0/zarr.json": "within the input",
    "s/sizes.csv": "within the input",
    "other/zarr.json": "within the image",
    "other/sizes.csv": "within the image",
    "other/0/c/sizes.csv": "within the Zarr array",
    "out/zarr.json": "within the output",
    "out/sizes.csv": "within the output",
    "out": "would contain",
    "link/sizes.csv": "within the image",
}


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "again"])
@pytest.mark.parametrize("name", WITHIN)
def test_no_table_is_written_within_an_image(segmentation, capsys, name, exists, overwrite):
    folder = segmentation.parent
    shutil.copytree(segmentation, folder / "other")
    (folder / "link").symlink_to("other")
    if exists:
        label_instances(segmentation, folder / "out")
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    words = ["instances", str(segmentation), str(folder / "out"), "--sizes", str(folder / name)]
    assert main([*words, *overwrite]) == 2
    error = capsys.readouterr().err
    assert WITHIN[name] in error
    assert error.count("\n") == 1
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_output_is_not_made_below_its_table(segmentation, capsys):
    folder = segmentation.parent
    words = ["instances", str(segmentation), str(folder / "t/out"), "--sizes", str(folder / "t")]
    assert main(words) == 2
    assert f"t would contain {folder / 't/out'}; name another file" in capsys.readouterr().err
    assert not (folder / "t").exists()


def test_nothing_is_deleted_where_the_zone_cannot_be_written(segmentation, tmp_path):
    """Both outputs of `asem labels` are looked at before either is replaced."""
    preset, labels = Structure(name="x", zone_out_nm=5), tmp_path / "labels"
    label_volume(segmentation, labels, preset)
    (tmp_path / "zone").mkdir()
    (tmp_path / "zone/notes").write_text("theirs")
    with pytest.raises(FileExistsError, match="zone exists already and is not an image"):
        label_volume(segmentation, labels, preset, exclusion_zone=tmp_path / "zone", overwrite=True)
    assert ngff.is_image(labels)
    assert (tmp_path / "zone/notes").read_text() == "theirs"
