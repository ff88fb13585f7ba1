"""Links, pipes and second names planted among the files that asem makes: nothing goes through."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile

from asem.annotate.edits import Stroke
from asem.cli import main
from asem.volume import ngff
from asem.workflows.annotation import open_session
from asem.workflows.importing import import_volume
from killed import run_killed
from shards import small_shards

EDGE = 16
TEXT = "years of work, without a newline at the end"
WORDS = ["clahe", "raw", "out", "--kernel", "16"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder with an image `raw` and an output `out` that was killed."""
    folder = tmp_path_factory.mktemp("interrupted")
    voxels = np.random.default_rng(0).integers(0, 255, (20, 40, 40)).astype(np.uint8)
    tifffile.imwrite(folder / "raw.tif", voxels)
    import_volume(folder / "raw.tif", folder / "raw", voxel_size=(5.0,) * 3)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert run_killed(WORDS, edge=EDGE, after=22, log=folder / "log") == -signal.SIGKILL
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def place(interrupted, tmp_path, monkeypatch):
    """The same, and `elsewhere`, in which nothing may be touched."""
    shutil.copytree(interrupted, tmp_path / "work")
    (tmp_path / "elsewhere/0").mkdir(parents=True)
    (tmp_path / "elsewhere/thesis.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path / "work")
    small_shards(EDGE, monkeypatch.setattr)
    return tmp_path


def seen(folder):
    """All entries of a folder, and their contents."""
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def refused(words, capsys, *names):
    """Run a command that is refused in one line with all of `names`."""
    assert main(list(map(str, words))) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("asem: ")
    for name in names:
        assert name in line
    return line


def plant(path, target):
    """Put a link in the place of what is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


FILES = [
    ".asem/lock",
    ".asem/journal.jsonl",
    ".asem/mappings/zarr.json",
    "zarr.json",
    "0/zarr.json",
    "0/c/0/0/0",
    "0/c/0/0/0.__lock",
]
FOLDERS = [".asem", ".asem/mappings", "0", "0/c", "0/c/1"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("target", ["thesis.txt", "new"])
def test_no_file_is_written_through_a_link(place, capsys, name, target):
    elsewhere = place / "elsewhere"
    before = seen(elsewhere)
    plant(Path("out") / name, elsewhere / target)
    refused(WORDS, capsys, f"out/{name} is a symbolic link")
    assert seen(elsewhere) == before
    assert not ngff.is_image(Path("out"))
    Path("out", name).unlink()  # as the message says


@pytest.mark.parametrize("name", FOLDERS)
def test_no_folder_is_written_through_a_link(place, capsys, name):
    elsewhere = place / "elsewhere"
    before = seen(elsewhere)
    plant(Path("out") / name, elsewhere)
    refused(WORDS, capsys, f"out/{name} is a symbolic link")
    assert seen(elsewhere) == before


@pytest.mark.parametrize("name", [".asem/lock", ".asem/journal.jsonl", ".asem"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_links_in_an_output_that_was_not_begun(place, capsys, name, overwrite):
    elsewhere = place / "elsewhere"
    before = seen(elsewhere)
    plant(Path("fresh") / name, elsewhere / ("0" if name == ".asem" else "thesis.txt"))
    refused(["clahe", "raw", "fresh", *overwrite], capsys, "is a symbolic link")
    assert seen(elsewhere) == before


@pytest.mark.parametrize("name", ["0", ".asem/mappings"])
def test_an_output_with_a_link_in_it_is_not_deleted(place, capsys, name):
    before = seen(place / "elsewhere")
    plant(Path("out") / name, place / "elsewhere")
    assert main([*WORDS, "--overwrite"]) == 2
    assert f"holds more than an image ({name})" in capsys.readouterr().err
    assert Path("out", name).is_symlink()
    assert seen(place / "elsewhere") == before


@pytest.mark.parametrize("name", [".asem/lock", ".asem/journal.jsonl", "zarr.json"])
@pytest.mark.parametrize("output", ["out", "fresh"])
def test_a_pipe_is_not_waited_for(place, capsys, name, output):
    path = Path(output, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    refused(["clahe", "raw", output, "--kernel", "16"], capsys, output)


@pytest.mark.parametrize("name", ["thesis.txt", "lines.txt", "values.jsonl"])
def test_a_second_name_of_a_foreign_file_is_no_journal(place, capsys, name):
    foreign = place / "elsewhere" / name
    foreign.write_text({"thesis.txt": TEXT, "lines.txt": "a\nb", "values.jsonl": "[1]\n[2"}[name])
    before = seen(place / "elsewhere")
    for output in ("out", "fresh"):
        path = Path(output, ".asem/journal.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(foreign, path)
        refused(["clahe", "raw", output, "--kernel", "16"], capsys, output)
        assert seen(place / "elsewhere") == before
    path.unlink()
    shutil.copy(foreign, path)  # nor is it one without another name
    refused(["clahe", "raw", "fresh", "--kernel", "16"], capsys, "fresh")
    assert path.read_bytes() == foreign.read_bytes()


def test_a_journal_with_a_second_name_is_copied_first(place):
    """Backups may be made of hard links; nothing is added to them."""
    os.link("out/.asem/journal.jsonl", "backup")
    before = Path("backup").read_bytes()
    assert main(WORDS) == 0
    assert Path("backup").read_bytes() == before


def test_overwriting_deletes_no_image_through_a_link(place, capsys):
    shutil.copytree("raw", place / "elsewhere/image")
    before = seen(place / "elsewhere")
    Path("lnk").symlink_to(place / "elsewhere/image")
    words = ["clahe", "raw", "lnk", "--overwrite"]
    refused(words, capsys, "lnk is a symbolic link; give the path that it points to")
    assert seen(place / "elsewhere") == before
    Path("data").symlink_to(place / "elsewhere")  # a folder above may be one
    assert main(["clahe", "raw", "data/image", "--overwrite"]) == 0
    assert (
        ngff.read_image_metadata(place / "elsewhere/image").asem_metadata.made_by["command"]
        == "clahe"
    )
    Path("data/a.zarr").mkdir()
    assert main(["clahe", "raw", "data/a.zarr/clahe"]) == 0


@pytest.mark.parametrize("name", ["cell.zarr", "cell.zarr/labels"])
def test_groups_above_an_image_are_looked_at_before_it_is_begun(place, capsys, name):
    before = seen(place / "elsewhere")
    plant(Path(name) / "zarr.json", place / "elsewhere/new")
    refused(["mask", "raw", "cell.zarr/labels/mask"], capsys, f"{name}/zarr.json is a symbolic")
    Path(name, "zarr.json").unlink()
    Path(name, "zarr.json").write_text("{")
    refused(["mask", "raw", "cell.zarr/labels/mask"], capsys, f"{name}/zarr.json")
    assert not Path("cell.zarr/labels/mask").exists()
    assert seen(place / "elsewhere") == before


SESSION = [
    ".asem",
    ".asem/lock",
    ".asem/session.json",
    "mito",
    "mito/log.jsonl",
    "mito/accepted",
    "mito/predictions",
]


@pytest.mark.parametrize("name", SESSION)
@pytest.mark.parametrize("begun", [False, True])
def test_no_link_of_a_session_is_followed(place, name, begun):
    elsewhere, window = place / "elsewhere", None
    raw, folder = Path("raw"), Path("annotations")
    if begun:
        volume, session = open_session(raw, folder)
        with session:
            window = volume.roi
            annotation = session.open_structure("mito")
            annotation.add_edit(Stroke(1, 0, 2, False, ((1, 1, 1),)))
            annotation.accept_window(window, np.ones(window.shape, bool))
    is_folder = name in (".asem", "mito", "mito/accepted", "mito/predictions")
    plant(folder / name, elsewhere if is_folder else elsewhere / "thesis.txt")
    before = seen(elsewhere)
    with (
        pytest.raises(OSError, match=f"annotations/{name} is a symbolic link") as caught,
        open_session(raw, folder)[1] as session,
    ):
        session.open_structure("mito")
    assert "\n" not in str(caught.value)
    assert seen(elsewhere) == before


def test_a_session_may_lie_behind_a_link(place):
    Path("annotations").symlink_to(place / "elsewhere/0")
    with open_session(Path("raw"), Path("annotations"))[1] as session:
        session.open_structure("mito").add_edit(Stroke(1, 0, 2, False, ((1, 1, 1),)))
    assert (place / "elsewhere/0/mito/log.jsonl").is_file()


def test_regions_are_not_kept_through_a_link(place, caplog):
    strokes = np.zeros((20, 40, 40), np.uint8)
    strokes[5, 5, 5], strokes[15, 30, 30] = 1, 2
    tifffile.imwrite("strokes.tif", strokes)
    import_volume(Path("strokes.tif"), Path("strokes"), voxel_size=(5.0,) * 3, kind="labels")
    before = seen(place / "elsewhere")
    plant(Path("raw.annotations/.asem"), place / "elsewhere")
    assert main(["graphcut", "raw", "strokes", "cut"]) == 0
    assert "cannot be cached; the region is prepared again" in caplog.text
    plant(Path("raw.annotations/.asem"), place / "elsewhere/new")
    assert main(["graphcut", "raw", "strokes", "cut", "--overwrite"]) == 0
    assert seen(place / "elsewhere") == before


@pytest.mark.parametrize("name", ["metrics.csv", "curves.png", "checkpoints", "run.json", ".asem"])
def test_no_link_in_a_run_is_followed(cell, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/thesis.txt").write_text(TEXT)
    text = (cell / "train.toml").read_text().replace('"cell.zarr', f'"{cell}/cell.zarr')
    Path("train.toml").write_text(text.replace("iterations = 6", "iterations = 1"))
    assert main(["train", "train.toml", "--out", "run"]) == 0, capsys.readouterr().err
    is_folder = name in ("checkpoints", ".asem")
    if name == "run.json":
        shutil.move("run/run.json", "elsewhere/run.json")
    before = seen(tmp_path / "elsewhere")
    target = "run.json" if name == "run.json" else "" if is_folder else "thesis.txt"
    plant(Path("run") / name, tmp_path / "elsewhere" / target)
    Path("train.toml").write_text(text.replace("iterations = 6", "iterations = 2"))
    capsys.readouterr()
    words = ["train", "train.toml", "--out", "run", "--resume"]
    refused(words, capsys, f"run/{name} is a symbolic link")
    assert seen(tmp_path / "elsewhere") == before
    Path("lnk").symlink_to("run")
    if name == "metrics.csv":
        words = ["train", "train.toml", "--out", "lnk", "--overwrite"]
        refused(words, capsys, "lnk is a symbolic link")
        assert Path("run/run.json").is_file()


def test_links_of_the_user_in_a_run_are_no_fault(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.parent)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/notes").symlink_to("/etc/hostname")
    text = Path("train.toml").read_text().replace("iterations = 6", "iterations = 7")
    Path("longer.toml").write_text(text)
    assert main(["train", "longer.toml", "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert (tmp_path / "run/notes").is_symlink()
