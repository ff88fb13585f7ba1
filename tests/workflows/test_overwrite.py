"""A destination that --overwrite does not replace: the first message states it, for all outputs."""

import shutil

import pytest

import funlib
from asem.annotate.session import AnnotationSession
from asem.cli import main
from asem.workflows.models import convert_model, export_model

COMMANDS = {
    "an image": "clahe raw OUT",
    "a run": "train {cell}/train.toml --out OUT",
    "a TIFF export": "export raw OUT",
    "an exported model": "models export model OUT --format onnx",
    "a converted model": "models convert m.pt OUT --published 1847",
    "a demo": "demo OUT",
    "a table": "instances labels new --sizes OUT",
    "a results folder": "measure labels --out OUT",
    "a picture": "view raw --screenshot OUT",
    "a report": "report raw --out OUT",
}


@pytest.fixture
def folder(tmp_path, cell, monkeypatch):
    shutil.copytree(cell / "cell.zarr/raw", tmp_path / "raw")
    shutil.copytree(cell / "cell.zarr/labels/mito", tmp_path / "labels")
    source = funlib.save(tmp_path / "m.pt", funlib.random_state(levels=2))
    convert_model(source, tmp_path / "model", structure="mito", voxel_size=(10.0, 10.0, 10.0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(folder, cell, capsys):
    """Run a command without and with --overwrite: both print one message, and change nothing."""

    def run(kind, out):
        words = [out if word == "OUT" else word for word in COMMANDS[kind].split()]
        words = [word.format(cell=cell) for word in words]
        before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
        assert main(words) == 2
        first = capsys.readouterr().err.splitlines()[-1]
        assert main([*words, "--overwrite"]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == first
        after = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
        assert after.keys() == before.keys()
        assert {path for path in after if path.is_file() and after[path] != before[path]} == set()
        return first

    return run


def make_text(path):
    path.write_text("thesis")


def make_folder(path):
    path.mkdir()
    (path / "thesis.txt").write_text("thesis")


def make_nested_folder(path):
    (path / "chapters").mkdir(parents=True)
    (path / "chapters/1.tex").write_text("thesis")


FOREIGN = [make_text, make_folder, make_nested_folder]


@pytest.mark.parametrize("make", FOREIGN)
@pytest.mark.parametrize("kind", COMMANDS)
def test_what_is_no_output_is_never_replaced(folder, refused, kind, make):
    make(folder / "OUT")
    assert refused(kind, "OUT") == (
        f"asem: OUT exists already and is not {kind} of asem; it is not replaced, even with "
        "--overwrite: give another path"
    )


def test_outputs_of_other_kinds_are_not_replaced(folder, refused):
    export_model(folder / "model", folder / "m.onnx", format="onnx")
    for kind in COMMANDS.keys() - {"an image", "a table"}:
        assert f"raw exists already and is not {kind} of asem; it is not " in refused(kind, "raw")
    for kind in COMMANDS.keys() - {"an exported model"}:
        assert f"m.onnx exists already and is not {kind} of asem" in refused(kind, "m.onnx")
    for kind in COMMANDS.keys() - {"a converted model", "a table"}:
        assert f"model exists already and is not {kind} of asem" in refused(kind, "model")


@pytest.mark.parametrize(
    "kind", ["an image", "a run", "a TIFF export", "a converted model", "a results folder"]
)
def test_an_output_with_a_foreign_file_is_never_replaced(folder, run, refused, capsys, kind):
    if kind == "a run":
        shutil.copytree(run, folder / "OUT")
    else:
        words = COMMANDS[kind].replace("OUT", str(folder / "OUT"))
        assert main(words.split()) == 0
        capsys.readouterr()
    (folder / "OUT/thesis.txt").write_text("thesis")
    assert refused(kind, "OUT") == (
        f"asem: OUT holds more than {kind} (thesis.txt); it is not replaced, even with "
        "--overwrite: move that away, or give another path"
    )


def test_an_image_with_a_foreign_file_in_a_level_is_never_replaced(folder, refused):
    shutil.copytree(folder / "raw", folder / "OUT")
    (folder / "OUT/0/c/thesis.txt").write_text("thesis")
    assert "OUT holds more than an image (0/c/thesis.txt); it is" in refused("an image", "OUT")


def test_an_image_of_another_program_is_never_replaced(folder, refused):
    shutil.copytree(folder / "raw", folder / "OUT")
    file = folder / "OUT/zarr.json"
    file.write_text(file.read_text().replace('"asem"', '"other"'))
    assert "OUT exists already and is not an image of asem; it is" in refused("an image", "OUT")


def test_a_finished_image_is_not_replaced_through_a_link(folder, refused):
    (folder / "OUT").symlink_to("labels")
    assert "OUT is a symbolic link; give the path" in refused("an image", "OUT")


@pytest.mark.parametrize("make", FOREIGN)
def test_no_session_is_created_in_a_foreign_folder(tmp_path, make):
    make(tmp_path / "s")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError) as caught:
        AnnotationSession.open(tmp_path / "s", "raw", (4, 5, 6))
    assert str(caught.value) == (
        f"{tmp_path / 's'} exists already and is not an annotation session of asem; nothing is "
        "written there: give another path"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_session_that_lost_its_description_is_opened(tmp_path):
    """An empty folder is used, too; files that were added later do no harm."""
    (tmp_path / "s").mkdir()
    with AnnotationSession.open(tmp_path / "s", "raw", (4, 5, 6)) as session:
        session.open_structure("mito")
    shutil.rmtree(tmp_path / "s/.asem")
    AnnotationSession.open(tmp_path / "s", "raw", (4, 5, 6)).close()
    (tmp_path / "s/notes.txt").write_text("notes")
    with AnnotationSession.open(tmp_path / "s", "raw", (4, 5, 6)) as session:
        assert session.structures == ("mito",)
