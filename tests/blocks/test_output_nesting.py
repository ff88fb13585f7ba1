"""No output is written into another one, and no image of another program is deleted."""

import json
import shutil

import pytest

import funlib
from asem.blocks.output_nesting import check_not_within_output
from asem.cli import main
from asem.workflows.models import convert_model

TEN = (10.0, 10.0, 10.0)


@pytest.fixture
def folder(tmp_path, cell, run, monkeypatch):
    """An image, a run, a model and a training file in the working folder."""
    shutil.copytree(cell / "cell.zarr/raw", tmp_path / "raw.zarr")
    shutil.copytree(run, tmp_path / "run")
    source = funlib.save(tmp_path / "m.pt", funlib.random_state(levels=2))
    convert_model(source, tmp_path / "model", structure="mito", voxel_size=TEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


WORDS = {
    "mask raw.zarr raw.zarr/1": "the image",
    "mask raw.zarr raw.zarr/1 --overwrite": "the image",
    "clahe raw.zarr raw.zarr/sub": "the image",
    "export raw.zarr raw.zarr/0/c/planes": "the Zarr array",
    "export raw.zarr raw.zarr/planes": "the image",
    "predict model raw.zarr run/p": "the run",
    "predict model raw.zarr run/checkpoints/p": "the run",
    "predict model raw.zarr model/p": "the model",
    "models convert m.pt raw.zarr/m --published 1847": "the image",
    "models convert m.pt run/m --published 1847": "the run",
    "models export model raw.zarr/m.onnx --format onnx": "the image",
    "models export run run/m.onnx --format onnx": "the run",
    "train {cell}/train.toml --out raw.zarr/run": "the image",
    "train {cell}/train.toml --out run/run": "the run",
    "demo raw.zarr/demo": "the image",
}


@pytest.mark.parametrize("words", WORDS)
def test_nothing_is_written_into_an_output(folder, cell, capsys, words):
    before = snapshot(folder)
    assert main(words.format(cell=cell).split()) == 2
    error = capsys.readouterr().err
    assert f"is within {WORDS[words]} " in error
    assert error.count("\n") == 1
    assert snapshot(folder) == before


def test_nothing_is_written_into_an_unfinished_image(folder, capsys):
    (folder / "half/.asem").mkdir(parents=True)
    (folder / "half/.asem/journal.jsonl").touch()
    assert main(["clahe", "raw.zarr", "half/sub"]) == 2
    assert "half/sub is within the unfinished output " in capsys.readouterr().err


def test_outputs_of_one_command_are_not_nested(folder, cell, capsys):
    labels = str(cell / "cell.zarr/labels/mito")
    for one, other in (("a", "a/b"), ("a/b", "a")):
        assert main(["labels", labels, one, "--structure", "mito", "--exclusion-zone", other]) == 2
        assert "a/b would be within a, an image" in capsys.readouterr().err
    model = '[[input.model]]\ncheckpoint = "model"\nout = "{}"\n'
    jobs = '[[input]]\nraw = "raw.zarr"\n' + model.format("p/q") + model.format("p")
    (folder / "jobs.toml").write_text(jobs)
    assert main(["predict", "--inputs", "jobs.toml"]) == 2
    assert "/p/q would be within " in capsys.readouterr().err
    assert not {"a", "p"} & {path.name for path in folder.iterdir()}


def test_containers_may_contain_outputs(tmp_path):
    """So may folders with files of the same names, and labels of other programs."""
    (tmp_path / "cell.zarr/raw").mkdir(parents=True)
    group = {"zarr_format": 3, "node_type": "group"}
    (tmp_path / "cell.zarr/zarr.json").write_text(json.dumps(group))
    for name in ("run.json", "state.json"):
        (tmp_path / name).write_text("{}")
    foreign = group | {"attributes": {"ome": {"multiscales": []}}}
    (tmp_path / "cell.zarr/raw/zarr.json").write_text(json.dumps(foreign))
    for inner in ("labels/mito", "predictions/run/probability", "raw", "raw/labels/mito"):
        check_not_within_output(tmp_path / "cell.zarr" / inner)
    with pytest.raises(FileExistsError, match="is within the image"):
        check_not_within_output(tmp_path / "cell.zarr/raw/sub")


@pytest.mark.parametrize("own", [None, {}, "asem", []])
def test_an_image_of_another_program_is_not_deleted(folder, capsys, own):
    file = folder / "foreign_image/zarr.json"
    shutil.copytree(folder / "raw.zarr", folder / "foreign_image")
    document = json.loads(file.read_text())
    del document["attributes"]["asem"]
    if own is not None:
        document["attributes"]["asem"] = own
    file.write_text(json.dumps(document))
    before = snapshot(folder)
    assert main(["clahe", "raw.zarr", "foreign_image", "--overwrite"]) == 2
    message = "foreign_image exists already and is not an image of asem; it is not replaced, even"
    assert message in capsys.readouterr().err
    assert snapshot(folder) == before
