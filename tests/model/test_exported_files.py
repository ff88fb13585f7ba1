"""Only what asem exported is replaced by an export."""

import shutil
import zipfile

import onnx
import pytest

import funlib
from asem.cli import main
from asem.model.exported_files import is_exported_by_asem
from asem.workflows.models import convert_model, export_model


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A folder with a model and both of its exports."""
    folder = tmp_path_factory.mktemp("exports")
    source = funlib.save(folder / "m.pt", funlib.random_state(levels=2))
    convert_model(source, folder / "mito", structure="mito", voxel_size=(10.0, 10.0, 10.0))
    export_model(folder / "mito", folder / "m.onnx", format="onnx")
    export_model(folder / "mito", folder / "m.zip", format="bioimageio")
    return folder


def without_metadata(exports, path):
    model = onnx.load(exports / "m.onnx")
    del model.metadata_props[:]
    onnx.save(model, path)


def with_other_metadata(exports, path):
    model = onnx.load(exports / "m.onnx")
    for entry in model.metadata_props:
        entry.value = "{}"
    onnx.save(model, path)


def with_a_note(exports, path):
    shutil.copy(exports / "m.zip", path)
    with zipfile.ZipFile(path, "a") as package:
        package.writestr("thesis.txt", "other")


def of_others(exports, path):
    with zipfile.ZipFile(exports / "m.zip") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"\n  asem:\n", b"\n  other:\n"))


def cut(exports, path):
    path.write_bytes((exports / "m.onnx").read_bytes()[:-900])


FOREIGN = {
    "an empty file": lambda _, path: path.touch(),
    "a text": lambda _, path: path.write_text("[[train]]\nasem = 1\n"),
    "zeros": lambda _, path: path.write_bytes(bytes(10**6)),
    "a long number": lambda _, path: path.write_bytes(b"\xff" * 10**6),
    "a large field": lambda _, path: path.write_bytes(b"\x3a" + b"\xff" * 8 + b"\x7f"),
    "a field beyond the end": lambda _, path: path.write_bytes(b"\x72\xff\x7f"),
    "an ONNX file of others": without_metadata,
    "an ONNX file with other metadata": with_other_metadata,
    "an ONNX file that was cut off": cut,
    "a package of others": of_others,
    "a package with a note": with_a_note,
    "a zip that was cut off": lambda _, path: path.write_bytes(b"PK\3\4" + bytes(100)),
}


def test_exports_are_recognized(exports):
    assert is_exported_by_asem(exports / "m.onnx")
    assert is_exported_by_asem(exports / "m.zip")


@pytest.mark.parametrize("foreign", FOREIGN)
def test_other_files_are_not_replaced(exports, tmp_path, capsys, foreign):
    path = tmp_path / "x"
    FOREIGN[foreign](exports, path)
    before = path.read_bytes()
    words = ["models", "export", str(exports / "mito"), str(path), "--format", "onnx"]
    assert main([*words, "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "x exists already and is not an exported model of asem; it is not replaced" in error
    assert error.count("\n") == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["state.json", "model.safetensors", "new.onnx"])
def test_a_model_is_not_damaged_by_its_export(exports, capsys, name):
    path = exports / "mito" / name
    words = ["models", "export", str(exports / "mito"), str(path), "--format", "onnx"]
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    assert main([*words, "--overwrite"]) == 2
    assert "is within the model" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
